"""Bad input and a wrong token: one annotation a problem, at once, and nothing was sent."""

from __future__ import annotations

import pytest
from support import events, workflows
from support.act import Runner
from support.registries import OURS, LocalRegistry
from support.repositories import Project
from support.servers.github_api import GitHubApi


def test_all_problems_are_reported_at_once(
    place: LocalRegistry, project: Project, runner: Runner, api: GitHubApi
) -> None:
    text = workflows.caller(place.host, command="publsh")
    text = workflows.with_input(text, "username", "feast flow")
    job = runner.run(project.folder, workflow=text).failed(2)
    problems = [error.splitlines() for error in job.errors]
    expected = [
        ('input "command"', 'Perhaps you meant "publish".'),
        ("holds a space", "Give the bare name"),
    ]
    assert len(problems) == len(expected), problems
    for (cause, fix), (has_cause, has_fix) in zip(problems, expected, strict=True):
        assert has_cause in cause
        assert has_fix in fix
    assert not any("Building" in line for line in job.readable.splitlines())
    assert place.proxy.requests == place.realm.requests == api.requests == ()


@pytest.mark.parametrize("place", ["token"], indirect=True)
def test_a_wrong_token_ends_the_run_before_the_build(
    place: LocalRegistry, project: Project, runner: Runner
) -> None:
    runner.token = "dckr_pat_of_somebody_else"
    job = runner.run(project.folder, events.push("main", project.head)).failed(3)
    [error] = job.errors
    assert "does not accept the user name and token" in error.splitlines()[0]
    assert "create a new one" in error.splitlines()[1]
    assert not any("Building" in line for line in job.readable.splitlines())
    assert {each.method for each in place.requests("")} <= {"HEAD", "GET"}
    assert len(place.requests("")) == len(place.requests(OURS)) <= 3, "no retry of what is refused"
    assert place.tags() == {}
