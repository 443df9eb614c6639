"""Promise 2: which runs may push, and what they say."""

from __future__ import annotations

import itertools

import pytest
from support.runs import context

from feastflow_registry.config.settings import parse
from feastflow_registry.model.credentials import Access
from feastflow_registry.model.plan import Permission
from feastflow_registry.model.run import LAPTOP, RefKind, Run
from feastflow_registry.tags.gate import access, permit

PATTERNS = "main, release/**, !release/old/**"
FIRST = 'the input "branches": main'
NOT_ON_MAIN = "from a commit that is not on the remote's main"
BRANCHES = {"branches": PATTERNS, "git-tags": "v*, !v0*"}
ALLOWED = ["push", "workflow_dispatch", "schedule", "release", "repository_dispatch"]
NEVER = ["pull_request", "pull_request_target", "workflow_run", "merge_group", "issue_comment"]
REFS = [
    (RefKind.BRANCH, "main", True, True),
    (RefKind.BRANCH, "release/1.0", True, False),
    (RefKind.BRANCH, "release/old/1.0", False, False),
    (RefKind.BRANCH, "feature", False, False),
    (RefKind.BRANCH, "Main", False, False),
    (RefKind.BRANCH, "v1.0.0", False, False),
    (RefKind.TAG, "v1.0.0", True, True),
    (RefKind.TAG, "v0.1.0", False, False),
    (RefKind.TAG, "main", False, False),
    (RefKind.PULL, "7/merge", False, False),
    (RefKind.NONE, "", False, False),
]


@pytest.mark.parametrize(
    ("event", "fork", "deleted"),
    list(itertools.product(ALLOWED + NEVER, [False, True], [False, True])),
)
def test_event_fork_deleted_ref(event: str, fork: bool, deleted: bool) -> None:
    for kind, name, may, shared in REFS:
        found = permit(
            parse(BRANCHES), context(ref=name, kind=kind, event=event, fork=fork, deleted=deleted)
        )
        excluded = event in NEVER or fork or deleted
        assert found.push is (may and not excluded), (kind, name)
        assert found.shared is (shared and not excluded), (kind, name)


@pytest.mark.parametrize(
    ("ref", "kind", "more", "reason"),
    [
        ("main", RefKind.BRANCH, {}, "push on branch main"),
        ("v1", RefKind.TAG, {}, "push on git tag v1"),
        (
            "release/1",
            RefKind.BRANCH,
            {},
            f"push on branch release/1, which is allowed but not main ({FIRST})",
        ),
        (
            "x",
            RefKind.BRANCH,
            {},
            f'branch x is not among the branches that may push (the input "branches": {PATTERNS})',
        ),
        (
            "x",
            RefKind.TAG,
            {},
            'git tag x is not among the git tags that may push (the input "git-tags": v*, !v0*)',
        ),
        ("", RefKind.NONE, {}, "detached commit is neither a branch nor a git tag"),
        (
            "main",
            RefKind.BRANCH,
            {"deleted": True},
            "branch main was deleted, which publishes nothing",
        ),
        ("main", RefKind.BRANCH, {"fork": True}, "a fork never pushes"),
        (
            "main",
            RefKind.BRANCH,
            {"event": "pull_request_target"},
            "the event pull_request_target never pushes",
        ),
    ],
)
def test_says_why(ref: str, kind: RefKind, more: dict[str, object], reason: str) -> None:
    assert permit(parse(BRANCHES), context(ref=ref, kind=kind, **more)).reason == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "fix"),
    [
        (context(ref="main", fork=True), "A push to main publishes, as merging it does."),
        (
            context(ref="x"),
            'Merge it into main, or name the branch in the input "branches".',
        ),
        (
            context(ref="x", kind=RefKind.TAG),
            'Name it, or a pattern of it, in the input "git-tags".',
        ),
    ],
)
def test_says_how_to_publish(found: Run, fix: str) -> None:
    assert permit(parse(BRANCHES), found).fix == fix


@pytest.mark.parametrize(("kind", "name"), [(RefKind.BRANCH, "main"), (RefKind.TAG, "v1")])
def test_a_runner_of_many_moves_no_shared_tag(kind: RefKind, name: str) -> None:
    found = permit(parse({"shared-tags": "false"}), context(ref=name, kind=kind))
    assert (found.push, found.shared) == (True, False)


@pytest.mark.parametrize(
    ("shared", "on_main", "expected"),
    [
        ("true", True, Permission(True, True, "by hand, from a commit of main")),
        ("false", True, Permission(True, False, "by hand, from a commit of main")),
        (
            "true",
            False,
            Permission(
                True,
                False,
                f"by hand, {NOT_ON_MAIN} ({FIRST})",
            ),
        ),
    ],
)
def test_by_hand_any_branch_may_push(shared: str, on_main: bool, expected: Permission) -> None:
    for kind, name in ((RefKind.BRANCH, "feature"), (RefKind.NONE, "")):
        found = context(ref=name, kind=kind, event=LAPTOP, on_remote_main=on_main)
        assert permit(parse({"shared-tags": shared}), found) == expected


@pytest.mark.parametrize(
    ("command", "dry_run", "may", "wanted"),
    [
        ("publish", "false", True, Access.WRITE),
        ("publish", "true", True, Access.READ),
        ("publish", "false", False, Access.READ),
        ("build", "false", True, Access.READ),
        ("tags", "false", True, Access.READ),
        ("doctor", "false", True, Access.WRITE),
        ("prune", "true", True, Access.READ),
        ("prune", "false", True, Access.DELETE),
        ("prune", "false", False, Access.READ),
    ],
)
def test_a_registry_is_asked_for_no_more_than_is_needed(
    command: str, dry_run: str, may: bool, wanted: Access
) -> None:
    settings = parse({"command": command, "dry_run": dry_run})
    assert access(settings, Permission(may, may, "push on branch main")) is wanted
