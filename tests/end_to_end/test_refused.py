"""Bad input and a wrong token: one annotation a problem, at once, and nothing was sent."""

from __future__ import annotations

import time

import pytest
from support import events, workflows
from support.act import Job, Runner
from support.registries import OURS, Place
from support.repositories import Project
from support.servers.github_api import GitHubApi


def _check(job: Job, place: Place, api: GitHubApi, *problems: tuple[str, str]) -> None:
    job.failed(2)
    assert len(job.errors) == len(problems), job.errors
    for (cause, fix), error in zip(problems, job.errors, strict=True):
        assert cause in error.splitlines()[0]
        assert fix in error.splitlines()[1]
        assert len(error.splitlines()) == 2
    assert not any("Building" in line for line in job.readable.splitlines())
    assert place.proxy.requests == place.realm.requests == api.requests == ()


COMMAND = ('input "command"', 'Perhaps you meant "publish".')
NAME = ("must be lowercase", 'Write "feastflow".')
DOCKERFILE = ("there is no file", "relative to the context")


def test_an_unknown_command(place: Place, project: Project, runner: Runner, api: GitHubApi) -> None:
    text = workflows.caller(place.host, command="publsh")
    _check(runner.run(project.folder, workflow=text), place, api, COMMAND)


def test_a_user_name_in_upper_case(
    place: Place, project: Project, runner: Runner, api: GitHubApi
) -> None:
    text = workflows.with_input(workflows.caller(place.host), "username", "FeastFlow")
    _check(runner.run(project.folder, workflow=text), place, api, NAME)


def test_a_missing_dockerfile(
    place: Place, project: Project, runner: Runner, api: GitHubApi
) -> None:
    project.git("rm", "--quiet", "Dockerfile")
    project.commit()
    _check(runner.run(project.folder), place, api, DOCKERFILE)


PLATFORM = ('input "platforms"', "linux/amd64")


@pytest.mark.parametrize(
    ("inputs", "problems"),
    [
        ({"command": "publsh", "platforms": "linux"}, [COMMAND, PLATFORM]),
        ({"username": "FeastFlow", "dockerfile": "nowhere/Dockerfile"}, [NAME, DOCKERFILE]),
        ({"command": "publsh", "username": "FeastFlow"}, [COMMAND, NAME]),
    ],
    ids=["two inputs", "a name and a file", "an input and a name"],
)
def test_two_problems_are_reported_at_once(
    place: Place,
    project: Project,
    runner: Runner,
    api: GitHubApi,
    inputs: dict[str, str],
    problems: list[tuple[str, str]],
) -> None:
    given = {"username": "feastflow", **inputs}
    username = given.pop("username")
    text = workflows.with_input(workflows.caller(place.host, **given), "username", username)
    _check(runner.run(project.folder, workflow=text), place, api, *problems)


def test_a_push_without_secrets_says_what_to_set(
    place: Place, project: Project, runner: Runner, api: GitHubApi
) -> None:
    credentials = ("there are no credentials", "username and token")
    _check(runner.run(project.folder, secrets=False), place, api, credentials)


@pytest.mark.parametrize("place", ["htpasswd", "token"], indirect=True)
def test_a_wrong_token_ends_the_run_before_the_build(
    place: Place, project: Project, runner: Runner
) -> None:
    runner.token = "dckr_pat_of_somebody_else"
    began = time.monotonic()
    job = runner.run(project.folder, events.push("main", project.head)).failed(3)
    assert time.monotonic() - began < 20, "no retry of what is refused"
    [error] = job.errors
    assert "does not accept the user name and token" in error.splitlines()[0]
    assert "create a new one" in error.splitlines()[1]
    assert not any("Building" in line for line in job.readable.splitlines())
    assert {each.method for each in place.requests("")} <= {"HEAD", "GET"}
    assert len(place.requests("")) == len(place.requests(OURS)) <= 3
    assert place.tags() == {}
