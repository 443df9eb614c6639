"""Fixtures: the action as released, a repository that uses it, a registry, a runner."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import docker
import pytest
from conftest import Stack
from docker.errors import APIError
from support import workflows
from support.act import GITHUB_TOKEN, Runner, job_path, ship
from support.machine import Machine
from support.registries import REPOSITORY, Auth, Place, Processes
from support.repositories import MARK, Project
from support.servers.github_api import READ, WRITE_STATUS, GitHubApi

Runners = Callable[..., Runner]


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action in a folder of its own, as a release holds it."""
    return ship(tmp_path_factory.mktemp("released") / "action")


@pytest.fixture(scope="session")
def tool_cache(action: Path, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runner's tool cache in which the action's packages are kept already."""
    folder = tmp_path_factory.mktemp("tool-cache")
    path = job_path(stack.variables()["PATH"])
    subprocess.run(
        [
            shutil.which("python3", path=path) or "",
            "-I",
            "-S",
            str(action / "bootstrap.py"),
            "install",
        ],
        env={**os.environ, "PATH": path, "RUNNER_TOOL_CACHE": str(folder)},
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def docker_config(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Docker configuration with buildx, without credentials."""
    folder = tmp_path_factory.mktemp("docker-config")
    plugins = Path(stack.variables().get("DOCKER_CONFIG", "/nowhere"), "cli-plugins")
    if plugins.exists():
        shutil.copytree(plugins, folder / "cli-plugins", symlinks=True)
    return folder


@pytest.fixture(scope="session")
def engines(stack: Stack, docker_config: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """Give what a job needs to find the engine of a store; what tests leave there is removed."""
    known: dict[str, dict[str, str]] = {}

    def give(store: str) -> dict[str, str]:
        if store not in known:
            found = stack.variables(store)
            known[store] = {name: found[name] for name in ("PATH", "DOCKER_HOST")}
            known[store]["DOCKER_CONFIG"] = str(docker_config)
        return known[store]

    yield give
    for variables in known.values():
        client = docker.DockerClient(base_url=variables["DOCKER_HOST"])
        for image in client.images.list(filters={"label": MARK}):
            with suppress(APIError):
                client.images.remove(str(image.id), force=True)
        client.close()


@pytest.fixture
def places(registries: Processes, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Open a registry with a kind of auth, perhaps a token; closed when the test ends."""
    with ExitStack() as open_:

        def give(auth: Auth, *, token: str = "") -> Place:
            home = tmp_path / "witness"
            return open_.enter_context(Place(auth, registries, home=home, token=token))

        yield give


@pytest.fixture
def place(request: pytest.FixtureRequest, places: Callable[..., Place]) -> Place:
    """A registry with a password file, or of the kind that the test names."""
    return places(getattr(request, "param", "htpasswd"))


@pytest.fixture
def project(tmp_path: Path, place: Place) -> Project:
    """A repository on main that has the workflow, and a bare remote."""
    project = Project.create(tmp_path)
    project.commit({workflows.PATH: workflows.caller(place.host)})
    return project


@pytest.fixture
def api(project: Project) -> Iterator[GitHubApi]:
    """GitHub's API over the project's remote."""
    tokens = {GITHUB_TOKEN: [READ, WRITE_STATUS]}
    with GitHubApi(project.origin, name=REPOSITORY, tokens=tokens, private=True) as api:
        yield api


@pytest.fixture
def runners(
    tmp_path: Path,
    action: Path,
    tool_cache: Path,
    place: Place,
    api: GitHubApi,
    engines: Callable[[str], dict[str, str]],
) -> Runners:
    """Set up a runner with the engine of a store."""

    def give(store: str = "classic", *, name: str = "runner", cold: bool = False) -> Runner:
        folder = tmp_path / name
        kept = None if cold else tool_cache
        return Runner(folder, action, place, engines(store), api.url, kept)

    return give


@pytest.fixture
def runner(runners: Runners) -> Runner:
    """A runner with the classic store, and the action's packages in its tool cache."""
    return runners()


@pytest.fixture
def publish(
    tmp_path: Path,
    project: Project,
    place: Place,
    api: GitHubApi,
    engines: Callable[[str], dict[str, str]],
) -> Callable[[], str]:
    """Publish HEAD as the workflow does, but in this process; its commit tag."""
    machine = Machine(tmp_path / "machine", project, place, engines("classic"), api.url)

    def run() -> str:
        machine.call(machine.runner(milestone="sprint3")).ended()
        return f"commit-{project.head[:7]}"

    return run
