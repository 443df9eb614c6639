"""Fixtures: an engine by its store, a project, a registry with either kind of auth, a machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from conftest import Stack
from support.feastflow import FeastFlow, lay_out
from support.machine import GITHUB_TOKEN, Machine
from support.registries import REPOSITORY, Auth, Place, Processes
from support.repositories import MARK, Project
from support.servers.fault_proxy import FaultProxy
from support.servers.github_api import READ, WRITE_STATUS, GitHubApi

REMOTE = "feastflow-tests"
BUILDERS = ("classic", "containerd", "remote")


@dataclass(frozen=True)
class Builder:
    """One way to build: an engine's own builder, or one that pushes by digest."""

    name: str
    variables: dict[str, str]

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that choose it."""
        return {"builder": REMOTE} if self.name == "remote" else {}


@pytest.fixture(scope="session")
def docker_config(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Docker configuration with buildx, without credentials, apart from the developer's."""
    folder = tmp_path_factory.mktemp("docker-config")
    known = stack.variables().get("DOCKER_CONFIG")
    if known and Path(known, "cli-plugins").exists():
        shutil.copytree(Path(known, "cli-plugins"), folder / "cli-plugins", symlinks=True)
    (folder / "config.json").write_text('{"auths": {}}')
    return folder


@pytest.fixture(scope="session")
def builders(stack: Stack, docker_config: Path) -> Iterator[Callable[[str], Builder]]:
    """Give a builder by its name; what tests leave in its engine is removed in the end."""
    known: dict[str, Builder] = {}

    def give(name: str) -> Builder:
        if name not in known:
            store = "classic" if name == "classic" else "containerd"
            found = stack.variables(store)
            variables = {each: found[each] for each in ("PATH", "DOCKER_HOST")}
            variables["DOCKER_CONFIG"] = str(docker_config)
            if name == "remote":
                create = ["create", "--driver", "remote", "--name", REMOTE, stack.buildkit]
                subprocess.run(
                    ["docker", "buildx", *create], env=variables, check=True, capture_output=True
                )
            known[name] = Builder(name, variables)
        return known[name]

    yield give
    for builder in known.values():
        _remove_images(builder.variables["DOCKER_HOST"])


def _remove_images(host: str) -> None:
    client = docker.DockerClient(base_url=host, timeout=300)
    with suppress(docker.errors.APIError):  # Of another session, which prunes at the same time.
        client.images.prune(filters={"dangling": False, "label": MARK})
    client.close()


@pytest.fixture(params=BUILDERS)
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


@pytest.fixture
def project(pattern: Project, tmp_path: Path) -> Project:
    """A repository with one commit on main."""
    return pattern.copy(tmp_path)


@pytest.fixture
def api(project: Project) -> Iterator[GitHubApi]:
    """GitHub's API over the project's remote."""
    tokens = {GITHUB_TOKEN: [READ, WRITE_STATUS]}
    with GitHubApi(project.origin, name=REPOSITORY, tokens=tokens, private=True) as api:
        yield api


@pytest.fixture
def github(api: GitHubApi) -> Iterator[FaultProxy]:
    """The way to GitHub's API, where it can fail."""
    with FaultProxy(api.url) as proxy:
        yield proxy


@pytest.fixture
def places(registries: Processes, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Open a registry with a kind of auth; closed when the test ends."""
    with ExitStack() as open_:

        def give(auth: Auth = "htpasswd", *, reader: bool = False) -> Place:
            home = tmp_path / f"witness-{auth}"
            return open_.enter_context(Place(auth, registries, home=home, reader=reader))

        yield give


@pytest.fixture
def place(places: Callable[..., Place]) -> Place:
    """A registry with a password file."""
    return places()


@pytest.fixture
def machines(
    tmp_path: Path, project: Project, github: FaultProxy
) -> Callable[[Place, Builder], Machine]:
    """Set up a machine with a builder that publishes to a place."""

    def give(place: Place, builder: Builder) -> Machine:
        return Machine(tmp_path / "machine", project, place, builder.variables, github.url)

    return give


@pytest.fixture
def machine(
    machines: Callable[[Place, Builder], Machine], place: Place, classic: Builder
) -> Machine:
    """A machine with the classic engine, and a registry with a password file."""
    return machines(place, classic)


@pytest.fixture
def feastflow(machine: Machine, busybox: Path) -> FeastFlow:
    """The frontend, of which nothing is published yet."""
    return lay_out(machine, busybox)
