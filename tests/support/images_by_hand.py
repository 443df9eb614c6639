"""Images that are copied: made by hand, of any shape, and the clients that copy them."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.images import INDEXES
from feastflow_registry.model.references import Digest, RegistryHost, Repository
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.copy import ImageCopier
from support.clients import quick_client
from support.registries import USER, LocalRegistry
from support.servers.images import CONFIG, LAYER, MANIFEST

APP = "team/app"
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def descriptor(kind: str, data: bytes, hashing: str = "sha256", **more: Any) -> dict[str, Any]:
    digest = f"{hashing}:{hashlib.new(hashing, data).hexdigest()}"
    return {"mediaType": kind, "digest": digest, "size": len(data), **more}


@dataclass
class FilledRegistry:
    """One registry, stocked by hand, and reached by the program through its proxy."""

    place: LocalRegistry
    random: random.Random = field(default_factory=lambda: random.Random(4))
    names: Any = field(default_factory=itertools.count)

    def repository(self, path: str = APP) -> Repository:
        """A repository as the program names it."""
        return Repository.parse(RegistryHost.parse(self.place.host), path)

    def fresh(self) -> Repository:
        """A repository that nobody has used."""
        return self.repository(f"prod/app{next(self.names)}")

    def client(
        self, *repositories: Repository, timeout: float = 300.0, slept: list[float] | None = None
    ) -> RegistryClient:
        """A run's client, for which waiting costs no time."""
        http = quick_client(slept, timeout=(timeout, timeout))
        host = RegistryHost.parse(self.place.host)
        credential = Credential(USER, self.place.token)
        return RegistryClient(http, Authenticator(http, host, credential, repositories, True))

    def put_blob(self, pieces: Iterable[bytes], digest: str, path: str = APP) -> None:
        """Push a blob at the registry itself, not through the proxy."""
        url = f"{self.place.registry.url}/v2/{path}/blobs/uploads/"
        with self._session(path) as session:
            location = session.post(url, timeout=300).headers["Location"]
            put = session.put(location, params={"digest": digest}, data=pieces, timeout=300)
            assert put.status_code == 201, put.text

    def begin_upload(self, path: str) -> str:
        """Where an upload goes that nobody has gone on with, as a path."""
        url = f"{self.place.registry.url}/v2/{path}/blobs/uploads/"
        with self._session(path) as session:
            return (
                urlsplit(session.post(url, timeout=300).headers["Location"])
                ._replace(scheme="", netloc="")
                .geturl()
            )

    def put_manifest(self, content: dict[str, Any], path: str = APP, tag: str = "") -> Digest:
        """Push a manifest by its digest, or by a tag."""
        data = json.dumps(content).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        url = f"{self.place.registry.url}/v2/{path}/manifests/{tag or digest}"
        with self._session(path) as session:
            headers = {"Content-Type": content["mediaType"]}
            put = session.put(url, data=data, headers=headers, timeout=300)
            assert put.status_code == 201, put.text
        return Digest(digest)

    def put(self, *layers: dict[str, Any], tag: str = "", **more: Any) -> Digest:
        """Push the manifest of layers that are there, with a configuration of its own."""
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "variant": self.random.randbytes(9).hex()}
            | {"rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in layers]}}
        ).encode()
        described = descriptor(CONFIG, config)
        self.put_blob(iter([config]), described["digest"])
        content = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described}
        return self.put_manifest({**content, "layers": list(layers), **more}, tag=tag)

    def layer(self, size: int = 100_000, kind: str = LAYER, hashing: str = "sha256") -> Any:
        """Push random bytes; their descriptor."""
        data = self.random.randbytes(size)
        described = descriptor(kind, data, hashing)
        self.put_blob(iter([data]), described["digest"])
        return described

    def put_index(self, *entries: tuple[Digest, dict[str, Any]], tag: str = "") -> Digest:
        """Push an index of manifests that are there."""
        listed = [
            {"mediaType": MANIFEST, "digest": str(digest), "size": 500, **more}
            for digest, more in entries
        ]
        content = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": listed}
        return self.put_manifest(content, tag=tag)

    def put_platforms(self, size: int = 100_000, tag: str = "") -> Digest:
        """Push an index of two platforms that share a layer, and the attestation of each."""
        shared = self.layer(size)
        images = [self.put(shared, self.layer(size)) for _ in range(2)]
        notes = [self.put(self.layer(99, "application/vnd.in-toto+json")) for _ in images]
        return self.put_index(
            *((each, {"platform": {"os": "linux", "architecture": "amd64"}}) for each in images),
            *((each, {"annotations": ATTESTATION}) for each in notes),
            tag=tag,
        )

    def blobs(self) -> set[str]:
        """The digests of all that the registry holds, manifests too."""
        files = self.place.registry.storage.glob("docker/registry/v2/blobs/*/*/*/data")
        return {f"{each.parts[-4]}:{each.parts[-2]}" for each in files}

    def _session(self, path: str) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.auth = (USER, self.place.token)
        if self.place.tokens:
            token = self.place.tokens.sign(USER, [f"repository:{path}:pull,push"])
            session.auth = lambda request: _bear(request, token)
        return session


def _bear(request: requests.PreparedRequest, token: str) -> requests.PreparedRequest:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def copy(
    source: FilledRegistry, digest: Digest, target: FilledRegistry, goal: Repository, **options: Any
) -> int:
    """Copy from the one repository of a depot, as one run would."""
    origin = source.repository()
    if source is target:
        client = source.client(origin, goal, **options)
        return ImageCopier(client, client).copy(origin, digest, goal)
    ways = source.client(origin, **options), target.client(goal, **options)
    return ImageCopier(*ways).copy(origin, digest, goal)
