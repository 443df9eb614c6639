"""Repositories of many tags: commits of chosen days, tiny images, and tags put into the files."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests

from support.registries import REPOSITORY, USER, LocalRegistry
from support.repositories import Project
from support.servers import images
from support.servers.docker_hub import Account, DockerHub

DAY = 86400
INDEX = "application/vnd.oci.image.index.v1+json"


def commit_days(project: Project, *ages: float, subject: str = "Change") -> list[str]:
    """Commit so many days ago, the oldest first, and push main; the commits' digits."""
    parent, tree = project.head, project.git("rev-parse", "HEAD^{tree}")
    file = project.folder / ".git" / "commit-to-be"
    found: list[str] = []
    for number, age in enumerate(ages, 1):
        who = f"Ada <ada@example.com> {int(time.time() - age * DAY)} +0000"
        text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n"
        file.write_text(f"{text}{subject} {number}\n")
        parent = project.git("hash-object", "-t", "commit", "-w", str(file))
        found.append(parent[:7])
    project.git("update-ref", "refs/heads/main", parent)
    project.git("push", "--quiet", "--force", "-u", "origin", "main")
    return found


class ImageMaker:
    """What is put on a place's registry by hand, past every proxy."""

    def __init__(self, place: LocalRegistry) -> None:
        self.place = place
        header = f"Basic {place.login['auth']}"
        if place.tokens:
            header = f"Bearer {place.sign([f'repository:{REPOSITORY}:pull,push'])}"
        self._sizes: dict[str, int] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = header

    def image(
        self,
        name: str,
        *,
        size: int = 0,
        created: str = "",
        subject: str = "",
        repository: str = REPOSITORY,
    ) -> str:
        """An image of its own by its name, under no tag; its digest. ``size``: of its one file.

        ``subject``: the digest of the image that it refers to, if it is a signature, say.
        """
        layer = _tar(name, size)
        rootfs = {"type": "layers", "diff_ids": [images.digest_of(layer)]}
        packed = gzip.compress(layer, compresslevel=0, mtime=0)
        config: dict[str, Any] = {"architecture": "amd64", "os": "linux", "rootfs": rootfs}
        config |= {"created": created} if created else {}
        parts = {images.CONFIG: json.dumps(config).encode(), f"{images.LAYER}+gzip": packed}
        url = f"{self.place.registry.url}/v2/{repository}"
        for data in parts.values():
            images.put_blob(self._session, url, data)
        found = [
            {"mediaType": kind, "digest": images.digest_of(data), "size": len(data)}
            for kind, data in parts.items()
        ]
        content: dict[str, Any] = {"schemaVersion": 2, "mediaType": images.MANIFEST}
        if subject:
            size = self._sizes.get(subject, 0)
            content["subject"] = {"mediaType": images.MANIFEST, "digest": subject, "size": size}
        return self._put(url, {**content, "config": found[0], "layers": found[1:]})

    def index(self, *digests: str, repository: str = REPOSITORY) -> str:
        """An index of images that are there; its digest."""
        url = f"{self.place.registry.url}/v2/{repository}"
        entries = [
            {
                "mediaType": images.MANIFEST,
                "digest": each,
                "size": self._sizes[each],
                "platform": {"os": "linux", "architecture": "amd64"},
            }
            for each in digests
        ]
        return self._put(url, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})

    def _put(self, url: str, content: Mapping[str, Any]) -> str:
        data = json.dumps(content).encode()
        digest = images.digest_of(data)
        headers = {"Content-Type": content["mediaType"]}
        self._sizes[digest] = len(data)
        answer = self._session.put(f"{url}/manifests/{digest}", data=data, headers=headers)
        assert answer.status_code == 201, answer.text
        return digest

    def tag(self, tags: Mapping[str, str], *, age: float = 0, repository: str = REPOSITORY) -> None:
        """Point tags at digests, so many days ago."""
        self.place.retag(tags, repository)
        folder = self.place.registry.storage / "docker/registry/v2/repositories" / repository
        at = time.time() - age * DAY
        for tag in tags:
            os.utime(folder / "_manifests/tags" / tag / "current/link", (at, at))

    def pulls(self, digests: Sequence[str], repository: str = REPOSITORY) -> None:
        """Crane pulls each, with all of its layers."""
        for digest in digests:
            self.place.crane("validate", "--remote", self.place.at(digest, repository))


def _tar(name: str, size: int) -> bytes:
    """A layer with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        file = tarfile.TarInfo(name)
        file.size = size
        archive.addfile(file, io.BytesIO(b"x" * size))
    return buffer.getvalue()


@contextmanager
def docker_hub(place: LocalRegistry, **account: Any) -> Iterator[DockerHub]:
    """Docker Hub's API over a place's registry."""
    known = {USER: Account(place.token, owns=(REPOSITORY.partition("/")[0],), **account)}
    with DockerHub(place.registry.storage, known) as hub:
        hub.limit = 1_000_000
        yield hub
