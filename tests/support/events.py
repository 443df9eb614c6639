"""What GitHub says of an event: the variables that it sets, and the payload that it sends.

The payloads are those of https://docs.github.com/en/webhooks/webhook-events-and-payloads, cut down
to what names a repository, a commit, a ref or a person.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from support.repositories import Project

PAYLOADS = Path(__file__).parent / "payloads"


@dataclass(frozen=True)
class Event:
    """One event. `sha`: what GITHUB_SHA is, if it is not HEAD."""

    name: str
    ref: str
    payload: dict[str, Any] = field(default_factory=dict)
    sha: str = ""
    head_ref: str = ""
    base_ref: str = ""
    actor: str = "developer"


PUSH = Event("push", "refs/heads/main")


def read(file: str, **shas: str) -> dict[str, Any]:
    """Read a payload; `<head>` and the like become the shas of the test's own commits."""
    text = (PAYLOADS / f"{file}.json").read_text()
    for name, sha in shas.items():
        text = text.replace(f"<{name}>", sha)
    payload: dict[str, Any] = json.loads(text)
    return payload


def push(branch: str, sha: str) -> Event:
    """A push to a branch."""
    payload = read("push", head=sha, ref=f"refs/heads/{branch}")
    return Event("push", f"refs/heads/{branch}", payload)


def push_tag(tag: str, sha: str) -> Event:
    """A push of a git tag; `sha` is what the ref holds, an annotated tag's own included."""
    return Event("push", f"refs/tags/{tag}", read("push", head=sha, ref=f"refs/tags/{tag}"))


def pull_request(sha: str, *, fork: bool = False, actor: str = "developer") -> Event:
    """A pull request: GITHUB_SHA is a merge, `sha` is the commit that somebody wrote."""
    payload = read("pull_request_fork" if fork else "pull_request", head=sha)
    facts = {"head_ref": "topic", "base_ref": "main", "actor": actor}
    return Event("pull_request", "refs/pull/7/merge", payload, **facts)


def pull_request_target(sha: str, *, fork: bool = False) -> Event:
    """A pull request, run with the base's workflow and secrets on the base's branch."""
    payload = read("pull_request_fork" if fork else "pull_request", head=sha)
    return Event("pull_request_target", "refs/heads/main", payload, base_ref="main")


def merged(sha: str) -> Event:
    """A pull request that was closed by merging it: its ref is the base branch."""
    payload = read("pull_request", head=sha)
    payload["action"] = "closed"
    payload["pull_request"] |= {"state": "closed", "merged": True}
    return Event("pull_request", "refs/heads/main", payload, head_ref="topic", base_ref="main")


def workflow_run(sha: str) -> Event:
    """Another workflow has ended, one that a fork's pull request had started."""
    return Event("workflow_run", "refs/heads/main", read("workflow_run", head=sha))


def merge_group(sha: str) -> Event:
    """A merge queue tries a merge."""
    payload = read("merge_group", head=sha)
    return Event("merge_group", payload["merge_group"]["head_ref"], payload)


def _merge(project: Project) -> str:
    """Check out what GITHUB_SHA of a pull request is; the commit that was written."""
    project.git("checkout", "--quiet", "-b", "topic")
    written = project.commit()
    project.git("checkout", "--quiet", "--detach", "main")
    project.git("merge", "--quiet", "--no-ff", "-m", "Merge topic into main", "topic")
    return written


def _branch(project: Project) -> str:
    project.git("checkout", "--quiet", "-b", "topic")
    return project.commit()


def _main(project: Project) -> str:
    return project.head


NEVER = "the event {} never pushes"
BLOCKED: dict[str, tuple[Callable[[Project], str], Callable[[str], Event], str]] = {
    "pull_request": (_merge, pull_request, NEVER.format("pull_request")),
    "a merged pull_request": (_main, merged, NEVER.format("pull_request")),
    "a fork": (_merge, partial(pull_request, fork=True), "a fork never pushes"),
    "dependabot": (
        _merge,
        partial(pull_request, actor="dependabot[bot]"),
        NEVER.format("pull_request"),
    ),
    "pull_request_target": (_main, pull_request_target, NEVER.format("pull_request_target")),
    "pull_request_target of a fork": (
        _main,
        partial(pull_request_target, fork=True),
        "a fork never pushes",
    ),
    "workflow_run": (_main, workflow_run, NEVER.format("workflow_run")),
    "merge_group": (_merge, merge_group, NEVER.format("merge_group")),
    "another branch": (
        _branch,
        partial(push, "topic"),
        'branch topic is not among the branches that may push (the input "branches": main)',
    ),
    "another git tag": (
        _main,
        partial(push_tag, "nightly"),
        (
            "git tag nightly is not among the git tags that may push "
            '(the input "git-tags": v*, sprint*)'
        ),
    ),
}
"""Runs that never push: what they check out, their event, and the reason that they give."""
