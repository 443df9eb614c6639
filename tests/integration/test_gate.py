"""Where nothing may be pushed: a green build, a reason, and not one request to the registry."""

from __future__ import annotations

import html
from typing import Any

import pytest
from support.machine import Machine
from support.registries import REPOSITORY, Place

from integration.conftest import Builder

PULL = "refs/pull/7/merge"


def _pull_request(sha: str, repository: str) -> dict[str, Any]:
    return {"pull_request": {"head": {"sha": sha, "repo": {"full_name": repository}}}}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "pull_request": ({"event": "pull_request", "ref": PULL}, "the event pull_request never"),
    "merged pull_request": (
        {"event": "pull_request", "ref": "refs/heads/main"},
        "the event pull_request never",
    ),
    "fork": (
        {"event": "pull_request", "ref": PULL, "payload": _pull_request("", "stranger/app")},
        "a fork never pushes",
    ),
    "pull_request_target": (
        {"event": "pull_request_target"},
        "the event pull_request_target never",
    ),
    "workflow_run": ({"event": "workflow_run"}, "the event workflow_run never"),
    "workflow_run of a fork": (
        {
            "event": "workflow_run",
            "payload": {"workflow_run": {"head_repository": {"full_name": "stranger/app"}}},
        },
        "a fork never pushes",
    ),
    "merge_group": (
        {"event": "merge_group", "ref": "refs/heads/gh-readonly-queue/main/pr-7"},
        "the event merge_group never",
    ),
    "an unknown event": ({"event": "issue_comment"}, "the event issue_comment never"),
    "another branch": ({"ref": "refs/heads/topic"}, "branch topic is not among the branches"),
    "main in another case": ({"ref": "refs/heads/Main"}, "branch Main is not among"),
    "main at the end": ({"ref": "refs/heads/x/main"}, "branch x/main is not among"),
    "another git tag": (
        {"ref": "refs/tags/nightly", "git_tags": "v*"},
        "git tag nightly is not among the git tags",
    ),
    "deleted": (
        {"payload": {"deleted": True, "after": "0" * 40}},
        "branch main was deleted, which publishes nothing",
    ),
    "no ref": ({"event": "workflow_dispatch", "ref": ""}, "neither a branch nor a git tag"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_builds_says_why_and_sends_nothing(machine: Machine, place: Place, case: str) -> None:
    facts, reason = CASES[case]
    environ = machine.runner(**facts, milestone="sprint3", token="", username="")
    ran = machine.call(environ).ended()
    assert ran.outputs["pushed"] == "false"
    assert reason in ran.outputs["reason"]
    assert reason in ran.log
    assert reason.lower() in html.unescape(ran.summary).lower()
    assert "built" in ran.log
    assert place.proxy.requests == ()
    assert place.tags() == {}


@pytest.mark.parametrize("case", ["fork", "pull_request_target"])
def test_credentials_change_nothing(machine: Machine, place: Place, case: str) -> None:
    """A secret that GitHub hands out by mistake is not used either: as in a real process."""
    facts, _ = CASES[case]
    ran = machine.run(machine.runner(**facts)).ended()
    assert ran.outputs["pushed"] == "false"
    assert place.proxy.requests == ()


def test_a_builder_that_pushes_by_digest_pushes_nothing_either(
    machine: Machine, place: Place, remote: Builder
) -> None:
    machine.variables = remote.variables
    environ = machine.runner(event="pull_request", ref=PULL, **remote.inputs)
    machine.call(environ).ended()
    assert place.proxy.requests == ()


def test_a_pull_request_is_labelled_with_its_own_commit(machine: Machine) -> None:
    """GITHUB_SHA of a pull request is a merge that nobody else can find."""
    own = "a" * 40
    payload = _pull_request(own, REPOSITORY)
    ran = machine.call(machine.runner(event="pull_request", ref=PULL, payload=payload)).ended()
    assert f"commit {own[:7]} pushes nothing" in ran.log


def test_dependabot_without_secrets_ends_green_and_warns(machine: Machine, place: Place) -> None:
    environ = machine.runner(actor="dependabot[bot]", token="", username="")
    ran = machine.call(environ).ended()
    assert "::warning::Nothing is pushed: Dependabot's runs are given no secrets" in ran.log
    assert ran.outputs["pushed"] == "false"
    assert place.proxy.requests == ()


def test_anybody_else_without_secrets_is_told_so_before_the_build(
    machine: Machine, place: Place
) -> None:
    ran = machine.call(machine.runner(token="", username="")).ended(2)
    assert "there are no credentials" in ran.errors[0]
    assert "Building" not in ran.log
    assert place.proxy.requests == ()


def test_an_allowed_branch_publishes_its_commit_tag_alone(machine: Machine, place: Place) -> None:
    environ = machine.runner(ref="refs/heads/release/1", branches="main, release/*")
    ran = machine.call(environ | {"FEASTFLOW_MILESTONE": "sprint3"}).ended()
    assert set(place.tags()) == {f"commit-{machine.project.head[:7]}"}
    assert "allowed but not main" in ran.outputs["reason"]
