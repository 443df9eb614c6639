"""What tests of more than one folder share: the development stack, engines, registries, an API.

A stack that is up already is used and left alone; one that is brought up here is taken down at the
session's end. Tests of which a machine is not capable are skipped, with one reason.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError
from support.buildkit_image import BuildKitPort
from support.registries import GITHUB_TOKEN, REPOSITORY, Auth, LocalRegistry, RegistryProcesses
from support.repositories import MARK, Project
from support.servers.github_api import READ, WRITE_STATUS, GitHubApi
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# The tests of each of these read what one long run left: one worker runs them all.
TOGETHER = (
    "end_to_end/test_matrix.py",
    "end_to_end/test_monorepo.py",
    "action/test_file_schema.py",
)
OWN_ENGINES = "unix:///run/feastflow-dev-"
STACK = Path(__file__).resolve().parent.parent / "dev" / "stack"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side, hand out one after another, but some files whole."""

    def split(nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(TOGETHER) else nodeid

    if config.getvalue("dist") != "loadscope":
        return None
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = split
    return scheduler


@dataclass
class Stack:
    """`dev/stack`, asked for its parts only when a test needs them."""

    started: bool = False
    """Whether nothing was up before, so that all of it is ours to take down."""
    known: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def variables(self, store: str = "") -> Mapping[str, str]:
        """PATH, DOCKER_HOST and what else programs need to find the engine of a store."""
        if store not in self.known:
            options = ["--store", store] if store else []
            if self._run("env", "--json", *options).returncode:
                self._up(*options)
            self.known[store] = json.loads(self._run("env", "--json", *options).stdout)
        return self.known[store]

    @property
    def buildkit(self) -> str:
        """The address of a builder for the driver `remote`."""
        known = self.variables("containerd")
        if "FEASTFLOW_DEV_BUILDKIT" not in known:
            self._up("--buildkit")
            del self.known["containerd"]
        return self.variables("containerd")["FEASTFLOW_DEV_BUILDKIT"]

    def give_busybox(self, folder: Path) -> None:
        """Put a static busybox into a folder."""
        done = self._run("busybox", str(folder))
        if done.returncode:
            pytest.skip(f"no static busybox on this machine: {done.stderr.strip()}")

    def _up(self, *options: str) -> None:
        before = self._run("status").stdout
        idle = all(f"{part} none" in " ".join(before.split()) for part in ("engine", "registry"))
        done = self._run("up", *options)
        self.started = self.started or idle
        if done.returncode and os.geteuid() != 0:
            pytest.skip(f"no root, so no engine of its own: dev/stack up {' '.join(options)}")
        assert done.returncode == 0, done.stdout + done.stderr

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(STACK), *arguments], capture_output=True, text=True, check=False
        )

    def down(self) -> None:
        """Leave the machine as it was found; what others may use beside this process stays."""
        if self.started and "PYTEST_XDIST_WORKER" not in os.environ:
            self._run("down")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def docker_config(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Docker configuration with buildx, without credentials, apart from the developer's."""
    folder = tmp_path_factory.mktemp("docker-config")
    plugins = Path(stack.variables().get("DOCKER_CONFIG", "/nowhere"), "cli-plugins")
    if plugins.exists():
        shutil.copytree(plugins, folder / "cli-plugins", symlinks=True)
    (folder / "config.json").write_text('{"auths": {}}')
    return folder


@pytest.fixture(scope="session")
def engines(stack: Stack, docker_config: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """Give the variables that find the engine of a store.

    What tests leave in the machine's own engine is removed; in one of `dev/stack` it goes with
    `dev/stack down --purge`.
    """
    given: dict[str, dict[str, str]] = {}

    def give(store: str) -> dict[str, str]:
        if store not in given:
            variables = stack.variables(store)
            given[store] = {name: variables[name] for name in ("PATH", "DOCKER_HOST")}
            given[store]["DOCKER_CONFIG"] = str(docker_config)
        return given[store]

    yield give
    hosts = {variables["DOCKER_HOST"] for variables in given.values()}
    for host in (each for each in hosts if not each.startswith(OWN_ENGINES)):
        with closing(docker.DockerClient(host, timeout=300)) as client:
            _remove_images(client)


def _remove_images(client: docker.DockerClient) -> None:
    for _ in range(100):
        try:
            client.images.prune(filters={"dangling": False, "label": MARK})
        except APIError:  # Another session prunes, and an engine does so for one at a time.
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="session")
def buildkit_port(stack: Stack) -> Iterator[int]:
    """A port on loopback behind which a BuildKit answers."""
    with BuildKitPort(stack.buildkit) as server:
        yield server.server_address[1]


@pytest.fixture(scope="session")
def registries(stack: Stack) -> Iterator[RegistryProcesses]:
    """The registry processes that tests use in turn."""
    processes = RegistryProcesses(stack.variables()["PATH"])
    yield processes
    processes.close()


@pytest.fixture
def places(registries: RegistryProcesses, tmp_path: Path) -> Iterator[Callable[..., LocalRegistry]]:
    """Open a registry with a kind of auth; closed when the test ends."""
    numbers = itertools.count()
    with ExitStack() as open_:

        def give(auth: Auth = "htpasswd", **options: Any) -> LocalRegistry:
            home = tmp_path / f"witness-{next(numbers)}"
            return open_.enter_context(LocalRegistry(auth, registries, home=home, **options))

        yield give


@pytest.fixture
def place(request: pytest.FixtureRequest, places: Callable[..., LocalRegistry]) -> LocalRegistry:
    """A registry with a password file, or of the kind that the test names."""
    return places(getattr(request, "param", "htpasswd"))


@pytest.fixture
def api(project: Project) -> Iterator[GitHubApi]:
    """GitHub's API over the project's remote."""
    tokens = {GITHUB_TOKEN: [READ, WRITE_STATUS]}
    with GitHubApi(project.origin, name=REPOSITORY, tokens=tokens, private=True) as api:
        yield api
