"""The program on real parts: git, engines, BuildKit, registries with passwords and with tokens.

| module | what it holds |
|---|---|
| `running` | starting the program as a runner or a person does, and what came of it |
| `projects` | a git repository with something small to build |
| `places` | a registry behind a fault proxy, and crane as a witness of what is on it |
"""
