"""What docker is asked and told, and how a session ends: without docker."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.failures import fails
from support.memory import FakeLog
from support.runs import SHOP

from feastflow_registry.builder.build_log import BuildLog
from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.builder.diagnosis import Fault
from feastflow_registry.builder.sessions import Ended
from feastflow_registry.model.credentials import Credential, docker_config
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.references import RegistryHost
from feastflow_registry.model.services import BuildOptions

HOST = RegistryHost("r.example.com")
PLUGIN = "/usr/libexec/docker-buildx"
DRIVER = "Name:   b\nDriver: {}\n"


class Docker(Buildx):
    """A builder whose docker gives answers by the beginning of what it is asked."""

    answers: dict[str, str | int]

    def _run(self, *command: str, seconds: float = 0) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        found = next((each for start, each in self.answers.items() if line.startswith(start)), 1)
        code = found if isinstance(found, int) else 0
        return subprocess.CompletedProcess(command, code, "" if code else str(found), "")


def about(version: str = "v0.29.1", context: str = "default") -> str:
    """What `docker info` says."""
    plugins = [{"Name": "compose"}, {"Name": "buildx", "Path": PLUGIN, "Version": version}]
    return json.dumps({"Context": context, "Plugins": plugins})


def docker(answers: dict[str, str | int], builder: str = "", *, credential: bool = False) -> Docker:
    known = {HOST: Credential("ada", "token")} if credential else {}
    found = Docker(Path(), {}, FakeLog(), lambda _: None, builder, known, Path)
    found.answers = answers
    return found


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"docker info": 127}, "the program docker is not installed"),
        ({"docker info": 1}, "docker has no buildx"),
        ({"docker info": "no JSON"}, "docker has no buildx"),
        ({"docker info": "[]"}, "docker has no buildx"),
        ({"docker info": '{"Plugins": null}'}, "docker has no buildx"),
        ({"docker info": '{"Plugins": [{"Name": "buildx"}]}'}, "docker has no buildx"),
        ({"docker buildx version": "buildx v0.30.0"}, "docker has no buildx that knows bake"),
        ({"docker info": 125, "docker --version": "podman version 5.6.2"}, "docker is Podman here"),
        (
            {"docker --version": "podman version 4.9.3", "docker buildx version": "buildah 1.33.7"},
            "docker is Podman here",
        ),
    ],
)
def test_a_machine_without_buildx(answers: dict[str, str | int], words: str) -> None:
    with pytest.raises(Failure, match=words) as caught:
        docker(answers).check_ready([])
    assert caught.value.kind is Kind.BUILD


def test_a_program_named_docker_that_lists_no_plugins() -> None:
    answer = "github.com/docker/buildx v0.30.0 abc"
    known: dict[str, str | int] = {
        "docker info": 1,
        "docker buildx version": answer,
        "docker buildx bake": "Usage:",
    }
    found = docker(known)
    assert found.release == "0.30.0"
    assert found._about.program == ("docker", "buildx")


@pytest.mark.parametrize(
    ("version", "driver", "words"),
    [
        ("v0.12.1", "docker", "too old: it does not report its steps"),
        ("0.24.0+ds1", "docker-container", "too old: it cannot take the credential from memory"),
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
            found.check_ready([])
    else:
        found.check_ready([])


@pytest.mark.parametrize(
    ("version", "run", "words"),
    [
        (
            "0.24.0",
            BuildOptions(extra_hosts=(("a", "::1"),)),
            'too old for the input "add-hosts" (in a file: ',
        ),
        ("0.16.2", BuildOptions(entitlements=("device",)), "Update buildx to 0.17 or newer"),
        ("0.25.0", BuildOptions(extra_hosts=(("a", "::1"),), entitlements=("device",)), ""),
        ("0.13.0", BuildOptions(network="none"), ""),
    ],
)
@pytest.mark.parametrize("is_needed", [False, True], ids=["its own", "of what it is built from"])
def test_what_an_old_one_would_not_obey(
    version: str, run: BuildOptions, words: str, is_needed: bool
) -> None:
    answers: dict[str, str | int] = {"docker info": about(version)}
    other = replace(SHOP, name="base", options=run)
    images = [BuildImage(SHOP, (), ()), BuildImage(other, (), ())]
    if is_needed:
        images = [BuildImage(SHOP, (), (), needs=(other,))]
    if words:
        with fails(words, kind=Kind.BUILD):
            docker(answers).check_ready(images)
    else:
        docker(answers).check_ready(images)


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
    """A process that says one line and remembers how it was started."""

    started: dict[str, Any]
    returncode = 0

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        Child.started = {"command": list(command), **options}
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(b"ERROR: target app: failed to x: no")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *problem: object) -> None:
        pass


def bake(
    buildx: Buildx, folder: Path, *targets: str, alone: bool = True, no_cache: bool = False
) -> Ended:
    metadata = folder / "metadata.json"
    metadata.write_text('{"app": {"containerimage.digest": "sha256:1"}}')
    log = BuildLog(buildx.log, dict.fromkeys(targets, "Building"))
    return buildx.bake('{"target": {}}', metadata, log, targets, alone=alone, no_cache=no_cache)


def test_a_session_ends_with_what_is_built_or_with_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subprocess, "Popen", Child)
    buildx = docker({"docker info": about()})
    assert bake(buildx, tmp_path, "app") == Ended({"app": {"containerimage.digest": "sha256:1"}})
    assert Child.started["command"][-3:] == ["-f", "-", "app"]
    bake(buildx, tmp_path, "app", no_cache=True)
    assert Child.started["command"][-2:] == ["--set=app.no-cache=true", "app"]
    monkeypatch.setattr(Child, "returncode", 1)
    ended = bake(buildx, tmp_path, "app", "menu", alone=False)
    assert ended.fault == Fault("failed to x: no")
    assert set(ended.suspects) == {"app"}
    assert Child.started["command"][-3:] == ["-", "app", "menu"]
    monkeypatch.setattr(Child, "returncode", -9)
    with fails("the program buildx was ended by the signal 9", kind=Kind.BUILD):
        bake(buildx, tmp_path, "app")


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
    assert not bake(buildx, tmp_path, "app").fault
    environ = Child.started["env"]
    assert environ["PATH"] == "/bin"
    assert environ["BUILDX_GIT_INFO"] == "0"
    assert environ["DOCKER_AUTH_CONFIG"] == docker_config({HOST: Credential("ada", "token")})
    shown = {name for name, value in environ.items() if "hidden" in value}
    assert shown == {f"FEASTFLOW_SECRET_{name}" for name in names}
    assert "hidden" not in str(Child.started["command"])
    asked: list[dict[str, str]] = []

    def run(*_: object, env: dict[str, str], **__: object) -> None:
        asked.append(env)

    monkeypatch.setattr(subprocess, "run", run)
    Buildx._run(buildx, "docker", "info")
    assert asked == [{"PATH": "/bin"}]


@pytest.mark.parametrize(
    ("said", "platforms"),
    [
        (DRIVER.format("docker") + "Platforms: linux/amd64, linux/386\n", {"amd64", "386"}),
        ("Platforms:        linux/amd64*, linux/386\n", {"amd64", "386"}),
        ("Platforms: linux/amd64\nName: b1\nPlatforms: linux/arm64\n", {"amd64", "arm64"}),
        (DRIVER.format("docker"), set()),
    ],
)
def test_the_platforms_that_a_builder_runs(said: str, platforms: set[str]) -> None:
    found = docker({"docker info": about(), f"{PLUGIN} inspect": said}).platforms
    assert found == {f"linux/{each}" for each in platforms}


def test_another_builder_is_asked_anew() -> None:
    answers: dict[str, str | int] = {
        f"{PLUGIN} inspect other": DRIVER.format("remote"),
        f"{PLUGIN} inspect": DRIVER.format("docker"),
    }
    found = docker({"docker info": about(), **answers})
    assert found.driver == "docker"
    found.use("other")
    assert (found.builder, found.driver) == ("other", "remote")


def test_when_builders_were_used(tmp_path: Path) -> None:
    for name, when in (
        ("instances/a", 5),
        ("activity/a", 9),
        ("instances/b", 7),
        ("activity/c", 9),
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (when, when))
    found = docker({})
    assert dict(replace(found, environ={"BUILDX_CONFIG": str(tmp_path)}).used()) == {"a": 9, "b": 7}
    assert dict(replace(found, environ={"BUILDX_CONFIG": str(tmp_path / "new")}).used()) == {}
