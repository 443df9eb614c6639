"""Docker Hub's API over a real registry, a proxy before it, and time that only waiting spends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import requests
from conftest import Stack

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag
from feastflow_registry.registry.docker_hub import HubClient
from feastflow_registry.transport.http import Client
from support.registries import find_registry
from support.servers.docker_hub import Account, DockerHub, Scope
from support.servers.fault_proxy import FaultProxy
from support.servers.images import put_image
from support.servers.registry import Registry

EPOCH = 1_800_000_000.0
NAMESPACE = "feastflow"
APP = Repository(RegistryHost.parse("docker.io"), f"{NAMESPACE}/app")
USER = "ada"
SECRET = "dckr_pat_only_for_tests"


@dataclass
class Time:
    """A clock that stands still but for who sleeps; `slept` is how long each time."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Hub:
    """Docker Hub for one test, with the tags that it is told to hold, all of one image."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.time = Time()
        registry.clear()
        accounts = {USER: Account(SECRET, owns=(NAMESPACE,))}
        self.server = DockerHub(registry.storage, accounts, clock=self.time.wall)
        self.server.limit = 1_000_000
        self.proxy = FaultProxy()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.server)
        self.proxy.upstream = self.server.url
        self._open.enter_context(self.proxy)
        return self

    def __exit__(self, *problem: object) -> None:
        self.proxy.clear()
        self._open.close()

    def fill(self, *tags: str) -> Digest:
        """Push an image, and point tags at it."""
        with requests.Session() as session:
            session.trust_env = False
            digest = put_image(session, f"{self.registry.url}/v2/{APP.path}", tags[0])
        self.server.shapes.point(APP.path, digest, *tags)
        return Digest.parse(digest)

    def client(
        self, *, anonymous: bool = False, scope: Scope = "repo:admin", timeout: float = 300.0
    ) -> HubClient:
        """A run's client; `scope` is that of its token."""
        self.server.accounts[USER] = Account(SECRET, scope, owns=(NAMESPACE,))
        http = Client(
            clock=self.time.clock,
            wall=self.time.wall,
            sleep=self.time.sleep,
            jitter=lambda: 0.5,
            timeout=(timeout, timeout),
        )
        credential = None if anonymous else Credential(USER, SECRET)
        return HubClient(http, credential, self.proxy.url)

    def left(self) -> set[str]:
        """The tags as the registry's own files have them."""
        return set(self.server.shapes.names(APP.path))

    @property
    def sent(self) -> list[str]:
        """What the proxy saw, as `DELETE one 204`."""
        return [
            f"{each.method} {each.path.rstrip('/').rpartition('/')[2]} {each.status}"
            for each in self.proxy.requests
        ]


def tags(*names: str) -> list[Tag]:
    """Names as tags."""
    return [Tag(name) for name in names]


def fails(kind: Kind, *words: str) -> Any:
    """A failure of a kind, whose cause and fix hold these words."""

    def check(failure: BaseException) -> bool:
        assert isinstance(failure, Failure)
        assert SECRET not in str(failure)
        said = str(failure)
        assert said.count("\n") == 0
        assert [word for word in words if word not in said] == [], said
        return failure.kind is kind

    return pytest.raises(Failure, check=check)


@pytest.fixture(scope="module", name="registry")
def registry_fixture(stack: Stack) -> Iterator[Registry]:
    with Registry(binary=find_registry(stack.variables()["PATH"])) as registry:
        yield registry


@pytest.fixture(name="hub")
def hub_fixture(registry: Registry) -> Iterator[Hub]:
    with Hub(registry) as hub:
        yield hub
