"""The program on real parts: git, engines, BuildKit, registries with passwords and with tokens."""
