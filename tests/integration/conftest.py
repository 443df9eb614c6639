"""Fixtures: an engine by its store, a project, a registry with either kind of auth, a machine."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Stack
from support.feastflow import FeastFlow, lay_out
from support.machine import Machine
from support.published_pair import PublishedPair
from support.registries import (
    GITHUB_TOKEN,
    REMOTE_NAME,
    REPOSITORY,
    LocalRegistry,
    RegistryProcesses,
)
from support.repositories import Project
from support.scenes import ELSEWHERE, Scene
from support.servers.certificates import Authority
from support.servers.fault_proxy import FaultProxy
from support.servers.github_api import READ, GitHubApi
from support.soak import chosen

from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.builder.own_builder import PREFIX

REMOTE = "feastflow-tests"
BUILDERS = ("classic", "containerd", "remote")
DECIDES = ("PATH", "DOCKER_", "BUILDX_")
"""The variables that decide which docker, engine and builder answers."""


@dataclass(frozen=True)
class Builder:
    """One way to build: an engine's own builder, or one that pushes by digest."""

    name: str
    variables: dict[str, str]

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that choose it."""
        return {"builder": REMOTE} if self.name == "remote" else {}


@pytest.fixture(scope="session", autouse=True)
def remember_docker() -> Iterator[None]:
    """Ask docker about itself once for each engine and builder: its answer stays the same."""
    ask = Buildx._run
    answers: dict[tuple[object, ...], subprocess.CompletedProcess[str]] = {}

    def recall(buildx: Buildx, *command: str, **options: float) -> subprocess.CompletedProcess[str]:
        ours = command[-1].startswith(PREFIX)  # These come and go.
        if command[1] not in ("info", "inspect") or ours:
            return ask(buildx, *command, **options)
        seen = [each for each in buildx.environ.items() if each[0].startswith(DECIDES)]
        question = (command, *sorted(seen))
        answer = answers.get(question) or ask(buildx, *command)
        if answer.returncode == 0:
            answers[question] = answer
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Buildx, "_run", recall)
        yield


@pytest.fixture(scope="session")
def builders(stack: Stack, engines: Callable[[str], dict[str, str]]) -> Callable[[str], Builder]:
    """Give a builder by its name."""
    given: dict[str, Builder] = {}

    def give(name: str) -> Builder:
        if name not in given:
            variables = engines("classic" if name == "classic" else "containerd")
            if name == "remote":
                create = ["create", "--driver", "remote", "--name", REMOTE, stack.buildkit]
                subprocess.run(
                    ["docker", "buildx", *create], env=variables, check=True, capture_output=True
                )
            given[name] = Builder(name, variables)
        return given[name]

    return give


@pytest.fixture(params=chosen(BUILDERS))
def builder(request: pytest.FixtureRequest, builders: Callable[[str], Builder]) -> Builder:
    """Each way to build in turn."""
    return builders(request.param)


@pytest.fixture
def classic(builders: Callable[[str], Builder]) -> Builder:
    """The engine with the classic image store."""
    return builders("classic")


@pytest.fixture
def remote(builders: Callable[[str], Builder]) -> Builder:
    """A builder that pushes by digest."""
    return builders("remote")


@pytest.fixture(scope="session")
def busybox(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static busybox, for images that run something and pull nothing."""
    folder = tmp_path_factory.mktemp("busybox")
    stack.variables()
    stack.give_busybox(folder)
    return folder / "busybox"


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """What every test's repository is copied from."""
    return Project.create(tmp_path_factory.mktemp("pattern"))


@pytest.fixture(scope="session")
def pair(
    pattern: Project,
    registries: RegistryProcesses,
    builders: Callable[[str], Builder],
    tmp_path_factory: pytest.TempPathFactory,
) -> PublishedPair:
    """Two published commits, to be copied."""
    folder, builder = tmp_path_factory.mktemp("pair"), builders("remote")
    project = pattern.copy(folder)
    with (
        LocalRegistry("htpasswd", registries, home=folder / "witness") as place,
        GitHubApi(project.origin, name=REPOSITORY, tokens={GITHUB_TOKEN: [READ]}) as api,
    ):
        machine = Machine(folder / "machine", project, place, builder.variables, api.url)
        return PublishedPair.publish(machine, folder / "storage", builder.inputs)


@pytest.fixture
def project(request: pytest.FixtureRequest, pattern: Project, tmp_path: Path) -> Project:
    """A repository with one commit on main; the pair's at its second, where a test takes it."""
    takes_pair = "pair" in request.fixturenames
    source = request.getfixturevalue("pair").project if takes_pair else pattern
    copy: Project = source.copy(tmp_path)
    return copy


@pytest.fixture
def github(api: GitHubApi) -> Iterator[FaultProxy]:
    """The way to GitHub's API, where it can fail."""
    with FaultProxy(api.url) as proxy:
        yield proxy


@pytest.fixture
def machines(
    tmp_path: Path, project: Project, github: FaultProxy
) -> Callable[[LocalRegistry, Builder], Machine]:
    """Set up a machine with a builder that publishes to a place."""

    def give(place: LocalRegistry, builder: Builder) -> Machine:
        return Machine(tmp_path / "machine", project, place, builder.variables, github.url)

    return give


@pytest.fixture
def machine(
    machines: Callable[[LocalRegistry, Builder], Machine], place: LocalRegistry, classic: Builder
) -> Machine:
    """A machine with the classic engine, and a registry with a password file."""
    return machines(place, classic)


@pytest.fixture
def scenes(
    place: LocalRegistry,
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Scene]:
    """Give a command's scene."""

    def give(command: str) -> Scene:
        other = places(place.auth) if command == ELSEWHERE else None
        return Scene.prepare(command, machines(place, remote), pair, monkeypatch, other)

    return give


@pytest.fixture
def feastflow(machine: Machine, busybox: Path) -> FeastFlow:
    """The frontend, of which nothing is published yet."""
    return lay_out(machine, busybox)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of the tests' servers."""
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have `REMOTE_NAME` lead to this machine; every host that is looked up.

    Which certificates are trusted is up to the tests.
    """
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    look_up, asked = socket.getaddrinfo, list[str]()

    def find(host: str, *more: Any, **options: Any) -> list[Any]:
        asked.append(host)
        return look_up("127.0.0.1" if host == REMOTE_NAME else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return asked
