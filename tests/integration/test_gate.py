"""Where nothing may be pushed: a green build, a reason, and not one request to the registry."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from support.events import BLOCKED
from support.machine import Machine
from support.registries import REPOSITORY, LocalRegistry
from support.repositories import Project
from support.soak import chosen, one_in

from integration.conftest import Builder

PULL = "refs/pull/7/merge"


def _pull_request(sha: str, repository: str) -> dict[str, Any]:
    return {"pull_request": {"head": {"sha": sha, "repo": {"full_name": repository}}}}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "workflow_run of a fork": (
        {
            "event": "workflow_run",
            "payload": {"workflow_run": {"head_repository": {"full_name": "stranger/app"}}},
        },
        "a fork never pushes",
    ),
    "an unknown event": ({"event": "issue_comment"}, "the event issue_comment never"),
    "main in another case": ({"ref": "refs/heads/Main"}, "branch Main is not among"),
    "main at the end": ({"ref": "refs/heads/x/main"}, "branch x/main is not among"),
    "deleted": (
        {"payload": {"deleted": True, "after": "0" * 40}},
        "branch main was deleted, which publishes nothing",
    ),
    "no ref": ({"event": "workflow_dispatch", "ref": ""}, "neither a branch nor a git tag"),
}


def _facts(case: str, project: Project) -> tuple[dict[str, Any], str]:
    """What a run is told, and the reason that it gives."""
    if case in CASES:
        return CASES[case]
    prepare, describe, reason = BLOCKED[case]
    event = describe(prepare(project))
    facts = {"event": event.name, "ref": event.ref, "payload": event.payload}
    return {**facts, "actor": event.actor, "git_tags": "v*,sprint*"}, reason


@pytest.mark.parametrize("case", one_in(3, [*CASES, *BLOCKED]))
def test_it_builds_says_why_and_sends_nothing(
    machine: Machine, place: LocalRegistry, case: str
) -> None:
    facts, reason = _facts(case, machine.project)
    environ = machine.runner(**facts, milestone="sprint3", token="", username="")
    ran = machine.call(environ).ended()
    assert ran.outputs["pushed"] == "false"
    assert reason in ran.outputs["reason"]
    assert reason in ran.log
    quoted = re.sub("</?code>", '"', html.unescape(ran.summary))
    assert reason.lower() in quoted.lower()
    assert "built" in ran.log
    assert place.proxy.requests == ()
    assert place.tags() == {}


@pytest.mark.parametrize("case", chosen(["a fork", "pull_request_target of a fork"]))
def test_credentials_change_nothing(machine: Machine, place: LocalRegistry, case: str) -> None:
    """A secret that GitHub hands out by mistake is not used either: as in a real process."""
    facts, _ = _facts(case, machine.project)
    ran = machine.run(machine.runner(**facts)).ended()
    assert ran.outputs["pushed"] == "false"
    assert place.proxy.requests == ()


def test_a_pull_request_that_does_not_build_fails(machine: Machine, place: LocalRegistry) -> None:
    machine.project.commit({"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    facts, _ = _facts("pull_request", machine.project)
    ran = machine.call(machine.runner(**facts)).ended(4)
    assert "the build of " in ran.errors[0]
    assert " failed: " in ran.errors[0]
    assert place.proxy.requests == ()


def test_a_builder_that_pushes_by_digest_pushes_nothing_either(
    machine: Machine, place: LocalRegistry, remote: Builder
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


def test_dependabot_without_secrets_ends_green_and_warns(
    machine: Machine, place: LocalRegistry
) -> None:
    environ = machine.runner(actor="dependabot[bot]", token="", username="")
    ran = machine.call(environ).ended()
    assert "::warning::Nothing is pushed: Dependabot's runs publish nothing" in ran.log
    assert ran.outputs["pushed"] == "false"
    assert place.proxy.requests == ()


def test_anybody_else_without_secrets_is_told_so_before_the_build(
    machine: Machine, place: LocalRegistry
) -> None:
    ran = machine.call(machine.runner(token="", username="")).ended(2)
    assert "there are no credentials" in ran.errors[0]
    assert "Building" not in ran.log
    assert place.proxy.requests == ()


def test_an_allowed_branch_publishes_its_commit_tag_alone(
    machine: Machine, place: LocalRegistry
) -> None:
    environ = machine.runner(ref="refs/heads/release/1", branches="main, release/*")
    ran = machine.call(environ | {"FEASTFLOW_MILESTONE": "sprint3"}).ended()
    assert set(place.tags()) == {f"commit-{machine.project.head[:7]}"}
    assert "allowed but not main" in ran.outputs["reason"]
