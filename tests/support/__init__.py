"""What tests are made of; `tests/README.md` has the table."""
