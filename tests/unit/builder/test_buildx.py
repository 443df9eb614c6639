"""What a session's end means, and what docker is asked and told: without docker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.failures import fails
from support.memory import FakeLog

from feastflow_registry.builder import buildx as module
from feastflow_registry.builder.build_log import BuildLog
from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost

HOST = RegistryHost("r.example.com")
PLUGIN = "/usr/libexec/docker-buildx"
DEFINITION = json.dumps({"target": {"app": {}}})
DRIVER = "Name:   b\nDriver: {}\n"


class Scripted(Buildx):
    """A builder whose every session ends with the same error."""

    error = ""
    event: object = None
    sessions = 0

    def _session(self, command: Sequence[str], definition: str, folds: BuildLog) -> int:
        self.sessions += 1
        folds.read(json.dumps(self.event))
        folds.read(f"ERROR: failed to solve: {self.error}")
        return 1


class Docker(Buildx):
    """A builder whose docker gives answers by the beginning of what it is asked."""

    answers: dict[str, str | int]

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        found = next((each for start, each in self.answers.items() if line.startswith(start)), 1)
        code = found if isinstance(found, int) else 0
        return subprocess.CompletedProcess(command, code, "" if code else str(found), "")


def about(version: str = "v0.29.1", context: str = "default") -> str:
    """What `docker info` says."""
    plugins = [{"Name": "compose"}, {"Name": "buildx", "Path": PLUGIN, "Version": version}]
    return json.dumps({"Context": context, "Plugins": plugins})


def docker(answers: dict[str, str | int], builder: str = "", *, credential: bool = False) -> Docker:
    known = Credential("ada", "token") if credential else None
    found = Docker(Path(), {}, FakeLog(), lambda _: None, builder, HOST, known)
    found.answers = answers
    return found


def session(error: str, tmp_path: Path) -> tuple[Scripted, BuildLog]:
    buildx = Scripted(tmp_path, {}, FakeLog(), lambda _: None, "", HOST, None)
    buildx.__dict__["_about"] = module.About(("docker-buildx",), "0.29.1")
    buildx.error = error
    return buildx, BuildLog(buildx.log, {"app": "Building app"})


@pytest.mark.parametrize(
    ("error", "kind", "sessions"),
    [
        ("unexpected status from POST request to https://r/v2/: 403 Forbidden", Kind.REFUSED, 1),
        ("failed to push r/a: unexpected status from PUT request: 403", Kind.REFUSED, 1),
        ("Attestation is not supported for the docker driver.", Kind.BUILD, 1),
        ("unexpected status: 503 Service Unavailable", Kind.BUILD, 4),
        ("failed to push r/a: unexpected EOF", Kind.UNREACHABLE, 4),
    ],
)
def test_what_is_nobodys_fault(error: str, kind: Kind, sessions: int, tmp_path: Path) -> None:
    buildx, folds = session(error, tmp_path)
    with pytest.raises(Failure) as caught:
        buildx.bake(DEFINITION, tmp_path / "metadata.json", folds, push=True)
    assert (caught.value.kind, buildx.sessions) == (kind, sessions)
    assert error in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        'process "/bin/sh -c denied" did not complete successfully: 1',
        'process "/bin/sh -c cat <<EOF" did not complete successfully: 1',
        "dockerfile parse error on line 2",
    ],
)
def test_what_is_a_services_fault(error: str, tmp_path: Path) -> None:
    buildx, folds = session(error, tmp_path)
    faults = buildx.bake(DEFINITION, tmp_path / "metadata.json", folds, push=True)
    assert [each.error for each in faults.values()] == [error]
    assert buildx.sessions == 1


def test_a_denial_is_told_before_a_services_fault(tmp_path: Path) -> None:
    buildx, folds = session("failed to push r/a: denied", tmp_path)
    vertex = {"digest": "x", "name": "[1/1] RUN x", "started": "x", "completed": "x", "error": "no"}
    buildx.event = {"vertexes": [vertex]}
    with pytest.raises(Failure, match="a registry denied the build"):
        buildx.bake(DEFINITION, tmp_path / "metadata.json", folds, push=True)


@pytest.mark.parametrize("push", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        "failed to stat active key during commit: snapshot x1 does not exist: not found",
        "Internal: failed to get dead record thzfpw64re: not found",
    ],
    ids=["a step that was canceled", "what was cleaned up"],
)
def test_what_the_builder_stumbled_over_is_built_again(
    error: str, push: bool, tmp_path: Path
) -> None:
    buildx, folds = session(error, tmp_path)
    with pytest.raises(Failure, match=r"its own cache: .*not found Run again.*builder prune"):
        buildx.bake(DEFINITION, tmp_path / "metadata.json", folds, push=push)
    assert buildx.sessions == 4


def test_without_a_push_nothing_is_tried_twice(tmp_path: Path) -> None:
    buildx, folds = session("unexpected status: 503 Service Unavailable", tmp_path)
    with pytest.raises(Failure):
        buildx.bake(DEFINITION, tmp_path / "metadata.json", folds, push=False)
    assert buildx.sessions == 1


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"docker info": 127}, "the program docker is not installed"),
        ({"docker info": 1}, "docker has no buildx"),
        ({"docker info": "no JSON"}, "docker has no buildx"),
        ({"docker info": "[]"}, "docker has no buildx"),
        ({"docker info": '{"Plugins": null}'}, "docker has no buildx"),
        ({"docker info": '{"Plugins": [{"Name": "buildx"}]}'}, "docker has no buildx"),
    ],
)
def test_a_machine_without_buildx(answers: dict[str, str | int], words: str) -> None:
    with pytest.raises(Failure, match=words) as caught:
        docker(answers).check_ready()
    assert caught.value.kind is Kind.BUILD


def test_a_program_named_docker_that_lists_no_plugins() -> None:
    answer = "github.com/docker/buildx v0.30.0 abc"
    found = docker({"docker info": 1, "docker buildx version": answer})
    assert found.release == "0.30.0"
    assert found._about.program == ("docker", "buildx")


@pytest.mark.parametrize(
    ("version", "driver", "words"),
    [
        ("v0.12.1", "docker", "too old to be followed"),
        ("0.24.0+ds1", "docker-container", "cannot be handed a credential"),
        ("0.24.0+ds1", "docker", ""),
        ("0.25.0", "remote", ""),
        ("v1.0.0", "remote", ""),
        ("v0.0.0+unknown", "remote", ""),
        ("unknown", "remote", ""),
    ],
)
def test_the_version_decides_what_it_can_be_asked(version: str, driver: str, words: str) -> None:
    answers: dict[str, str | int] = {"docker info": about(version), PLUGIN: DRIVER.format(driver)}
    found = docker(answers, "b", credential=True)
    if words:
        with fails(words, kind=Kind.BUILD):
            found.check_ready()
    else:
        found.check_ready()


def test_a_builder_that_is_not_there() -> None:
    answers: dict[str, str | int] = {"docker info": about(), PLUGIN: 1}
    with fails("there is no builder named 'gone'", kind=Kind.BUILD):
        _ = docker(answers, "gone").driver
    assert docker(answers).driver == "", "no engine answers"


@pytest.mark.parametrize(
    ("context", "answer", "host"),
    [
        ("default", 1, "unix:///var/run/docker.sock"),
        ("", 1, "unix:///var/run/docker.sock"),
        ("desktop", "unix:///home/ada/docker.sock\n", "unix:///home/ada/docker.sock"),
        ("gone", 1, "unix:///var/run/docker.sock"),
    ],
)
def test_the_engine_of_the_context(context: str, answer: str | int, host: str) -> None:
    answers = {"docker info": about(context=context), "docker context": answer}
    assert docker(answers).context_host() == host


class Child:
    """A process that says nothing and remembers how it was started."""

    started: dict[str, Any]
    returncode = 0
    stdin = stdout = None

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        Child.started = {"command": list(command), **options}

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *problem: object) -> None:
        pass


def test_only_the_session_sees_secrets_and_they_replace_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subprocess, "Popen", Child)
    buildx = docker({"docker info": about()}, credential=True)
    names = ["PATH", "DOCKER_AUTH_CONFIG", "BUILDX_GIT_INFO", "LD_PRELOAD", "NPM"]
    values = {name: f"hidden-{name}" for name in names}
    buildx = replace(buildx, environ={"PATH": "/bin"}, variables=values)
    buildx.answers = {"docker info": about()}
    assert "hidden" not in repr(buildx)
    folds = BuildLog(buildx.log, {"app": "Building app"})
    assert buildx.bake(DEFINITION, tmp_path / "metadata.json", folds, push=True) == {}
    environ = Child.started["env"]
    assert environ["PATH"] == "/bin"
    assert environ["BUILDX_GIT_INFO"] == "0"
    assert environ["DOCKER_AUTH_CONFIG"] == Credential("ada", "token").docker_config(HOST)
    shown = {name for name, value in environ.items() if "hidden" in value}
    assert shown == {f"FEASTFLOW_SECRET_{name}" for name in names}
    assert "hidden" not in str(Child.started["command"])
    asked: list[dict[str, str]] = []

    def run(*_: object, env: dict[str, str], **__: object) -> None:
        asked.append(env)

    monkeypatch.setattr(subprocess, "run", run)
    Buildx._run(buildx, "docker", "info")
    assert asked == [{"PATH": "/bin"}]
