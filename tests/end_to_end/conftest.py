"""Fixtures: the action as released, a repository that uses it, a registry, a runner."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Stack
from support import workflows
from support.act import Runner, job_path, ship
from support.machine import Machine
from support.registries import LocalRegistry
from support.repositories import Project
from support.servers.github_api import GitHubApi

Runners = Callable[..., Runner]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, for what all its workers use."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def action(shared: Path) -> Path:
    """The action in a folder of its own, as a release holds it."""
    folder = shared / "released/action"
    with _one_at_a_time(shared):
        return folder if folder.exists() else ship(folder)


@pytest.fixture(scope="session")
def tool_cache(shared: Path, action: Path, stack: Stack) -> Path:
    """A runner's tool cache in which the action's packages are kept already."""
    folder = shared / "tool-cache"
    path = job_path(stack.variables()["PATH"])
    python = shutil.which("python3", path=path) or ""
    with _one_at_a_time(shared):
        subprocess.run(
            [python, "-I", "-S", str(action / "bootstrap.py"), "install"],
            env={**os.environ, "PATH": path, "RUNNER_TOOL_CACHE": str(folder)},
            check=True,
            capture_output=True,
        )
    return folder


@contextmanager
def _one_at_a_time(shared: Path) -> Iterator[None]:
    with (shared / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def project(tmp_path: Path, place: LocalRegistry) -> Project:
    """A repository on main that has the workflow, and a bare remote."""
    project = Project.create(tmp_path)
    project.commit({workflows.PATH: workflows.caller(place.host)})
    return project


@pytest.fixture
def runners(
    tmp_path: Path,
    action: Path,
    tool_cache: Path,
    place: LocalRegistry,
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
    place: LocalRegistry,
    api: GitHubApi,
    engines: Callable[[str], dict[str, str]],
) -> Callable[[], str]:
    """Publish HEAD as the workflow does, but in this process; its commit tag."""
    machine = Machine(tmp_path / "machine", project, place, engines("classic"), api.url)

    def run() -> str:
        machine.call(machine.runner(milestone="sprint3")).ended()
        return f"commit-{project.head[:7]}"

    return run
