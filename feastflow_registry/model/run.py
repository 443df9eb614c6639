"""The facts of this run: which event, which ref, which commit, whose repository.

It decides what GitHub's variables and event payload mean, and refuses those that are missing,
malformed or hostile. Whether a run may push is decided in ``tags/gate.py``.

https://docs.github.com/en/actions/reference/workflows-and-actions/variables
https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import cast

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.references import Commit
from feastflow_registry.model.source import Source

DEPENDABOT = "dependabot[bot]"
LAPTOP = "by hand"  # No event that GitHub names holds a space.
_NAME = r"(?!\.\.?(?:/|$))[A-Za-z0-9_.-]{1,100}"
_REPOSITORY = re.compile(f"{_NAME}/{_NAME}")
_EVENT = re.compile(r"[a-z_]{1,64}")
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"'()`|]+")
_REF = re.compile(r"refs/(heads|tags|pull)/([^\x00-\x20\x7f~^:?*\[\\]+)")
_FIX_RUNNER = "Run this action in a job of GitHub Actions, which sets it; do not overwrite it."


class RefKind(Enum):
    """What a git ref is."""

    BRANCH = "branch"
    TAG = "git tag"
    PULL = "pull request"
    NONE = "detached commit"


@dataclass(frozen=True, slots=True)
class Ref:
    """A git ref by kind and short name: (BRANCH, ``main``), (TAG, ``sprint3``)."""

    kind: RefKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``commit`` names the image; ``checkout`` is what HEAD must be for a push.

    ``foreign``: something else is checked out, which anybody may have written; ``repository_id``:
    GitHub's own number of the repository, which a new name does not change.
    """

    event: str
    ref: Ref
    commit: Commit
    checkout: Commit
    committed: datetime
    source: Source
    repository: str = ""
    repository_id: str = ""
    actor: str = ""
    fork: bool = False
    deleted: bool = False
    run_url: str = ""
    attempt: int = 1
    on_remote_main: bool = False
    foreign: bool = False
    default_branch: str = ""
    number: str = ""

    @property
    def in_runner(self) -> bool:
        """Whether GitHub Actions runs this, and not a person."""
        return self.event != LAPTOP


def from_checkout(checkout: Checkout) -> Run:
    """Describe a run by hand, from what git says of the working copy."""
    kind = RefKind.BRANCH if checkout.branch else RefKind.NONE
    source = Source.behind(checkout.remotes)
    return Run(
        event=LAPTOP,
        ref=Ref(kind, checkout.branch),
        commit=checkout.head,
        checkout=checkout.head,
        committed=checkout.committed,
        source=source,
        repository=source.repository,
        on_remote_main=checkout.on_remote_main,
        default_branch=checkout.default_branch,
    )


def from_runner(environ: Mapping[str, str], payload: str, checkout: Checkout) -> Run:
    """Describe a run in GitHub Actions. Raises an input failure on what GitHub never sends."""
    event = _variable(environ, "GITHUB_EVENT_NAME", _EVENT)
    repository = _variable(environ, "GITHUB_REPOSITORY", _REPOSITORY)
    server = _variable(environ, "GITHUB_SERVER_URL", _URL)
    body = read_payload(payload)
    built = Commit.parse(_variable(environ, "GITHUB_SHA", re.compile(r"\S+")))
    named = built
    if event.startswith("pull_request"):
        named = Commit.read(_within(body, "pull_request", "head", "sha")) or built
    ref = _ref(environ.get("GITHUB_REF", ""))
    default = _within(body, "repository", "default_branch")
    if event == "schedule":  # It runs on that branch alone, and may come without a payload.
        default = default or ref.name
    default = default if isinstance(default, str) and default else checkout.default_branch
    run = environ.get("GITHUB_RUN_ID", "")
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "")[:9]
    number = environ.get("GITHUB_RUN_NUMBER", "")[:9]
    identity = environ.get("GITHUB_REPOSITORY_ID", "")[:20]
    return Run(
        event=event,
        ref=ref,
        commit=named,
        checkout=built,
        committed=checkout.committed,
        source=Source.of(f"{server}/{repository}"),
        repository=repository,
        repository_id=identity if identity.isascii() and identity.isdecimal() else "",
        actor=environ.get("GITHUB_ACTOR", ""),
        fork=_is_fork(body, repository),
        deleted=body.get("deleted") is True,
        run_url=f"{server}/{repository}/actions/runs/{run}" if run.isdecimal() else "",
        attempt=int(attempt) if attempt.isdecimal() else 1,
        default_branch=default,
        number=number if number.isdecimal() else "",
    )


def read_payload(text: str) -> Mapping[str, object]:
    """Parse an event payload: a JSON object, however hostile the text."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Failure(
            Kind.INPUT,
            "the event payload named by GITHUB_EVENT_PATH is not a JSON object.",
            _FIX_RUNNER,
        )
    return cast("dict[str, object]", body)


def _variable(environ: Mapping[str, str], name: str, grammar: re.Pattern[str]) -> str:
    value = environ.get(name, "")
    if grammar.fullmatch(value) is None:
        state = f"is {value[:80]!r}, which GitHub never sends." if value else "is not set."
        raise Failure(Kind.INPUT, f"the variable {name} {state}", _FIX_RUNNER)
    return value


def _ref(text: str) -> Ref:
    if not text:
        return Ref(RefKind.NONE, "")
    match = _REF.fullmatch(text)
    if match is None:
        raise Failure(
            Kind.INPUT, f"the variable GITHUB_REF is {text[:80]!r}, not a git ref.", _FIX_RUNNER
        )
    kinds = {"heads": RefKind.BRANCH, "tags": RefKind.TAG, "pull": RefKind.PULL}
    return Ref(kinds[match[1]], match[2])


def _within(body: object, *path: str) -> object:
    for key in path:
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _is_fork(body: Mapping[str, object], repository: str) -> bool:
    """Tell whether the code comes from another repository than the one that runs it."""
    head = _within(body, "pull_request", "head", "repo", "full_name")
    if not isinstance(head, str):
        head = _within(body, "workflow_run", "head_repository", "full_name")
    return isinstance(head, str) and head.lower() != repository.lower()
