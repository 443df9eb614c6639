"""The program's HTTP client, for which waiting costs no time."""

from __future__ import annotations

import time
from typing import Any

from feastflow_registry.git.github import GitHubApi, GitHubHistory
from feastflow_registry.transport.http import Client
from support.registries import GITHUB_TOKEN, REPOSITORY


def quick_client(slept: list[float] | None = None, **more: Any) -> Client:
    """A client that writes down how long it would have slept, and whose clock says so."""
    waits = [] if slept is None else slept
    given = {
        "clock": lambda: time.monotonic() + sum(waits),
        "wall": time.time,
        "sleep": waits.append,
        "jitter": lambda: 0.5,
    }
    return Client(**{**given, **more})


def github_history(
    url: str, token: str = GITHUB_TOKEN, slept: list[float] | None = None, **more: Any
) -> GitHubHistory:
    """The history of the tests' repository, as GitHub's API at an address tells it."""
    return GitHubHistory(GitHubApi(quick_client(slept, **more), url, REPOSITORY, token))
