"""Small real servers for the integration tests: all on loopback, all recording what they see.

| module | what it is |
|---|---|
| `serving` | the ground: a threaded HTTP server that records every request |
| `token_server` | the token server a registry with `auth: token` sends its clients to |
| `registry` | a distribution registry process: no auth, htpasswd, or token |
| `fault_proxy`, `faults` | a reverse proxy that forwards faithfully and fails where it is told to |
| `github_api` | the part of GitHub's REST API that history, tags and statuses need |
| `git_repository`, `github_shapes` | what `github_api` reads, and the JSON it sends |
| `images` | small images pushed by hand |
"""
