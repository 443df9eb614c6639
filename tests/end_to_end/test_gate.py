"""Where nothing may be pushed: a green build, a sentence that says why, no request at all.

act hands the secrets even to a fork's pull request, so that it is the program that refuses.
"""

from __future__ import annotations

import html
from collections.abc import Callable

import pytest
from support import events, workflows
from support.act import Job, Runner
from support.events import Event
from support.registries import Place
from support.repositories import Project


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


def _fork(sha: str) -> Event:
    return events.pull_request(sha, fork=True)


def _target_of_fork(sha: str) -> Event:
    return events.pull_request_target(sha, fork=True)


def _dependabot(sha: str) -> Event:
    return events.pull_request(sha, actor="dependabot[bot]")


def _topic(sha: str) -> Event:
    return events.push("topic", sha)


def _nightly(sha: str) -> Event:
    return events.push_tag("nightly", sha)


NEVER = "the event {} never pushes"
CASES: dict[str, tuple[Callable[[Project], str], Callable[[str], Event], str]] = {
    "pull_request": (_merge, events.pull_request, NEVER.format("pull_request")),
    "a merged pull_request": (_main, events.merged, NEVER.format("pull_request")),
    "a fork": (_merge, _fork, "a fork never pushes"),
    "dependabot": (_merge, _dependabot, NEVER.format("pull_request")),
    "pull_request_target": (
        _main,
        events.pull_request_target,
        NEVER.format("pull_request_target"),
    ),
    "pull_request_target of a fork": (_main, _target_of_fork, "a fork never pushes"),
    "workflow_run": (_main, events.workflow_run, NEVER.format("workflow_run")),
    "merge_group": (_merge, events.merge_group, NEVER.format("merge_group")),
    "another branch": (_branch, _topic, "branch topic is not among the branches that may push"),
    "another git tag": (_main, _nightly, "git tag nightly is not among the git tags that may push"),
}
# registry-ci.yml starts on the others; these need another `on:`, and nothing else is changed.
TRIGGERS = ("pull_request_target", "workflow_run", "merge_group")


def _run(place: Place, project: Project, runner: Runner, case: str, *, secrets: bool) -> Job:
    prepare, describe, _ = CASES[case]
    event = describe(prepare(project))
    text = workflows.caller(place.host, git_tags='"v*,sprint*"')
    if event.name in TRIGGERS:
        text = workflows.triggered_by(text, event.name)
    return runner.run(project.folder, event, workflow=text, secrets=secrets)


def _check(job: Job, place: Place, reason: str) -> None:
    job.ended()
    outputs = job.outputs()
    assert outputs["pushed"] == "false"
    assert outputs["reason"] == reason
    assert outputs["digest"] == outputs["image"] == outputs["tags"] == ""
    assert any(reason in line for line in job.printed), job.readable
    assert any("built" in line for line in job.printed), "it was built all the same"
    assert job.summary.startswith("### Built, not pushed: commit ")
    assert reason[1:] in html.unescape(job.summary)
    assert place.proxy.requests == place.realm.requests == ()
    assert place.tags() == {}


@pytest.mark.parametrize("case", CASES)
def test_it_builds_says_why_and_sends_nothing(
    place: Place, project: Project, runner: Runner, case: str
) -> None:
    _check(_run(place, project, runner, case, secrets=True), place, CASES[case][2])


@pytest.mark.parametrize("case", ["a fork", "dependabot", "pull_request_target of a fork"])
def test_it_does_so_without_secrets_too(
    place: Place, project: Project, runner: Runner, case: str
) -> None:
    """As on GitHub, where a fork and Dependabot are given none."""
    _check(_run(place, project, runner, case, secrets=False), place, CASES[case][2])


def test_a_pull_request_that_does_not_build_fails(
    place: Place, project: Project, runner: Runner
) -> None:
    project.commit({"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    event = events.pull_request(project.head)
    job = runner.run(project.folder, event).failed(4)
    assert "the build of " in job.errors[0]
    assert " failed: " in job.errors[0]
    assert place.proxy.requests == ()
