"""Registries to check the contract on: the fake, and a real one with each kind of authentication.

Every one is stocked with the same bytes, so that digests and sizes can be compared.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.images import Published, read_created
from feastflow_registry.model.ports import Registry
from feastflow_registry.model.references import Commit, Digest, RegistryHost, Repository, Tag
from feastflow_registry.model.tag_names import INPUTS_LABEL
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.http import Client
from support.memory import FakeRegistry, Store
from support.servers import images
from support.servers.registry import Registry as RegistryProcess
from support.servers.token_server import TokenServer

KINDS = ("fake", "open", "htpasswd", "token")
INDEX = "application/vnd.oci.image.index.v1+json"
_USERS = {"ada": "s3cret", "bob": "hunter2"}
_GRANTS = {"ada": {"*": {"pull", "push"}}, "bob": {"*": {"pull"}}}

Origin = tuple[Commit | None, str]


@dataclass(frozen=True)
class Image:
    """One platform's image: its parts, and what they say of their origin."""

    origin: Origin
    layer: bytes = b"a layer"
    inputs: str = ""
    created: str = ""

    @property
    def config(self) -> bytes:
        revision, source = self.origin
        labels = {"org.opencontainers.image.source": source}
        if revision:
            labels["org.opencontainers.image.revision"] = revision.sha
        if self.inputs:
            labels[INPUTS_LABEL] = self.inputs
        content: dict[str, object] = {"architecture": "amd64", "os": "linux"}
        content |= {"config": {"Labels": labels}, "created": self.created}
        return json.dumps(content).encode()

    @property
    def manifest(self) -> bytes:
        content = {
            "schemaVersion": 2,
            "mediaType": images.MANIFEST,
            "config": _descriptor(images.CONFIG, self.config),
            "layers": [_descriptor(images.LAYER, self.layer)],
        }
        return json.dumps(content).encode()

    @property
    def size(self) -> int:
        return len(self.config) + len(self.layer)


def _descriptor(media_type: str, data: bytes, **more: object) -> dict[str, object]:
    size = len(data)
    return {"mediaType": media_type, "digest": images.digest_of(data), "size": size, **more}


def index_of(platforms: Sequence[Image]) -> bytes:
    """The index of several platforms, with an attestation of the first as BuildKit adds it."""
    entries = [_descriptor(images.MANIFEST, each.manifest) for each in platforms]
    annotation = {"vnd.docker.reference.type": "attestation-manifest"}
    entries.append(_descriptor(images.MANIFEST, attestation().manifest, annotations=annotation))
    content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    return json.dumps(content).encode()


def attestation() -> Image:
    """A manifest that no platform can run; it is not part of the image."""
    return Image((None, ""), b"an attestation, longer than any layer" * 100)


class ContractRegistry(Protocol):
    """A registry to be stocked by hand, and the clients of it."""

    repository: Repository

    def turn_over(self) -> None:
        """Go on with a repository that nobody has used."""

    def client(self) -> Registry:
        """A run's client."""

    def reader(self) -> Registry | None:
        """A client that may only read, where there is such a thing."""

    def put(self, tag: str, *platforms: Image) -> Digest:
        """Put an image there, or with several platforms an index of them."""

    def corrupt(self, digest: Digest) -> None:
        """Change the bytes of a manifest, so that they no longer hash to its digest."""


class FakeContractRegistry:
    """A fake, told what the bytes would say."""

    def __init__(self) -> None:
        self.count = 0
        self.turn_over()

    def turn_over(self) -> None:
        self.count += 1
        self.store = Store()
        self.repository = Repository(RegistryHost("localhost:5000"), f"ada/shop{self.count}")

    def client(self) -> Registry:
        return FakeRegistry(self.store)

    def reader(self) -> Registry | None:
        self.store.readonly = True
        return FakeRegistry(self.store)

    def put(self, tag: str, *platforms: Image) -> Digest:
        data = platforms[0].manifest if len(platforms) == 1 else index_of(platforms)
        origins = {(*each.origin, each.inputs) for each in platforms}
        revision, source, inputs = origins.pop() if len(origins) == 1 else (None, "", "")
        size = max(each.size for each in platforms)
        image = Published(Digest(images.digest_of(data)), revision, source, size, inputs)
        self.store.platforms[image.digest] = "linux/amd64"
        if created := [each for platform in platforms if (each := read_created(platform.config))]:
            self.store.created[image.digest] = max(created)
        return self.store.add(self.repository, image, Tag(tag))

    def corrupt(self, digest: Digest) -> None:
        self.store.corrupt.add(digest)


class RealContractRegistry:
    """A registry process. `tokens`: its token server; `login`: whether it wants a password."""

    def __init__(
        self, process: RegistryProcess, *, tokens: TokenServer | None = None, login: bool = False
    ) -> None:
        self.process = process
        self.tokens = tokens
        self.login = login
        self.count = 0
        self.turn_over()

    def turn_over(self) -> None:
        self.count += 1
        self.repository = Repository(RegistryHost.parse(self.process.host), f"ada/shop{self.count}")

    def client(self) -> Registry:
        return self._client("ada" if self.login or self.tokens else "")

    def reader(self) -> Registry | None:
        return self._client("bob") if self.tokens else None

    def _client(self, user: str) -> Registry:
        http = Client(clock=time.monotonic, wall=time.time, sleep=time.sleep, jitter=random.random)
        credential = Credential(user, _USERS[user]) if user else None
        host = self.repository.host
        return RegistryClient(http, Authenticator(http, host, credential, [self.repository], True))

    def put(self, tag: str, *platforms: Image) -> Digest:
        with requests.Session() as session:
            session.trust_env = False
            options = self._options(session)
            for each in (*platforms, attestation()):
                for data in (each.config, each.layer):
                    images.put_blob(session, self._url, data, **options)
                name = tag if len(platforms) == 1 else images.digest_of(each.manifest)
                if each in platforms or len(platforms) > 1:
                    self._put(session, name, images.MANIFEST, each.manifest, options)
            if len(platforms) == 1:
                return Digest(images.digest_of(platforms[0].manifest))
            data = index_of(platforms)
            self._put(session, tag, INDEX, data, options)
            return Digest(images.digest_of(data))

    def corrupt(self, digest: Digest) -> None:
        algorithm, _, digits = digest.value.partition(":")
        folder = self.process.storage / "docker/registry/v2/blobs" / algorithm / digits[:2]
        with (folder / digits / "data").open("ab") as file:
            file.write(b" ")

    @property
    def _url(self) -> str:
        return f"{self.repository.host.url}/v2/{self.repository.path}"

    def _options(self, session: requests.Session) -> dict[str, Any]:
        if self.tokens is None:
            return {"auth": ("ada", _USERS["ada"])} if self.login else {}
        scope = f"repository:{self.repository.path}:pull,push"
        answer = session.get(
            self.tokens.realm,
            params={"service": self.tokens.service, "scope": scope},
            auth=("ada", _USERS["ada"]),
            timeout=9,
        )
        return {"headers": {"Authorization": f"Bearer {answer.json()['token']}"}}

    def _put(
        self, session: requests.Session, name: str, kind: str, data: bytes, options: dict[str, Any]
    ) -> None:
        headers = {"Content-Type": kind, **options.get("headers", {})}
        url = f"{self._url}/manifests/{name}"
        answer = session.put(url, data=data, timeout=300, **{**options, "headers": headers})
        assert answer.status_code == 201, answer.text


@contextmanager
def open_registry(kind: str, binary: str = "") -> Iterator[ContractRegistry]:
    """One of `KINDS`; `binary` is the real registry's program."""
    with ExitStack() as stack:
        if kind == "fake":
            yield FakeContractRegistry()
        elif kind == "token":
            tokens = stack.enter_context(TokenServer(_USERS, _GRANTS))
            process = RegistryProcess(token_server=tokens, binary=binary)
            yield RealContractRegistry(stack.enter_context(process), tokens=tokens)
        else:
            login = kind == "htpasswd"
            process = RegistryProcess(users=_USERS if login else None, binary=binary)
            yield RealContractRegistry(stack.enter_context(process), login=login)
