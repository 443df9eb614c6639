"""The workflows that people copy, run by act as GitHub runs them: real engine, real registry."""
