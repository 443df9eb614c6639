"""The workflow that people copy, run by act as GitHub runs it: real engine, real registry.

| module | what it holds |
|---|---|
| `acting` | a runner: starting act on a commit, and what came of it |
| `workflows` | `workflows/registry-ci.yml` with a registry, and variants for other events |
| `events`, `payloads/` | what GitHub says of an event: variables and payload |
| `leaks` | every form of a token, and where one could be found |

What act does otherwise than GitHub, and how the tests allow for it: it starts a workflow on any
branch and tag, whatever `on.push` says; it hands `INPUT_*` and its own environment to the steps,
and to the job outputs that the action does not declare (`tests/action` holds those); its JSON log
shows what is masked, so that the tests of secrecy read the plain one.
"""
