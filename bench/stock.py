"""Repositories of many tags: an image a commit, written into the registry's own files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from support.servers.docker_hub import Account, DockerHub
from support.servers.fault_proxy import FaultProxy
from support.servers.images import digest_of, put_image

from bench.machine import USER, Machine
from bench.ours import Ours, github
from bench.project import Project

DAY = 86400
HOUR = 3600
_OLDEST = 3 * 365 * DAY
_SPARE = 20  # Of many commits, two may begin with the same digits.


@dataclass
class Stock:
    """A history of one commit an hour, `tags` of them published, and `latest` the last."""

    machine: Machine
    tags: int
    name: str
    project: Project = field(init=False)
    commits: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.project = Project(self.machine.new_folder(self.name), 0, 1)
        _lengthen(self.project.folder, self.tags + _SPARE)
        found = self.project.git("rev-list", "main").split()
        self.commits = list(dict.fromkeys(each[:7] for each in found))[: self.tags]
        with requests.Session() as session:
            session.trust_env = False
            session.auth = (USER, self.machine.token)
            url = f"{self.machine.registry.url}/v2/{self.repository}"
            digest = put_image(session, url, "latest")
        self._image: dict[str, Any] = json.loads(self._blob(digest).read_text())
        self.fill()

    @property
    def repository(self) -> str:
        """Where all of it is."""
        return f"{USER}/{self.name}"

    @property
    def names(self) -> list[str]:
        """Every tag that is there after `fill`."""
        return ["latest", *(f"commit-{each}" for each in self.commits)]

    def fill(self) -> None:
        """Put every tag there, on an image of its own."""
        shutil.rmtree(self._manifests / "tags")
        at = time.time() - _OLDEST
        for commit in self.commits:
            data = json.dumps({**self._image, "annotations": {"commit": commit}}).encode()
            digest = digest_of(data)
            _write(self._blob(digest), data.decode())
            _write(self._manifests / "revisions" / digest.replace(":", "/") / "link", digest)
            self._tag(f"commit-{commit}", digest, at)
            if commit == self.commits[0]:
                self._tag("latest", digest, at)

    def left(self) -> int:
        """How many tags are there."""
        return len(list((self._manifests / "tags").glob("*/current/link")))

    @contextmanager
    def ours(self, **inputs: str) -> Iterator[Ours]:
        """Our program at work on it."""
        with github(self.project) as api:
            given = {"IMAGE": self.name, **inputs}
            yield Ours.on(self.machine, self.project, api, given, (self.repository,))

    @property
    def _manifests(self) -> Path:
        return self._root / "repositories" / self.repository / "_manifests"

    @property
    def _root(self) -> Path:
        return self.machine.registry.storage / "docker/registry/v2"

    def _blob(self, digest: str) -> Path:
        kind, _, digits = digest.partition(":")
        return self._root / "blobs" / kind / digits[:2] / digits / "data"

    def _tag(self, tag: str, digest: str, at: float) -> None:
        link = self._manifests / "tags" / tag / "current/link"
        _write(link, digest)
        os.utime(link, (at, at))


@contextmanager
def docker_hub(machine: Machine) -> Iterator[str]:
    """Docker Hub's API over the machine's registry, and never out of requests; its address."""
    with ExitStack() as opening:
        accounts = {USER: Account(machine.token, owns=(USER,))}
        hub = opening.enter_context(DockerHub(machine.registry.storage, accounts))
        hub.limit = 1_000_000
        proxy = opening.enter_context(FaultProxy(hub.url))
        machine.proxies.append(proxy)
        opening.callback(machine.proxies.remove, proxy)
        yield proxy.url


def _lengthen(folder: Path, commits: int) -> None:
    """Add commits to main, all of them years old: one by one would take its time."""
    first = int(time.time()) - _OLDEST
    stream = ""
    for number in range(commits):
        subject = f"Change {number}"
        stream += "commit refs/heads/main\n"
        stream += f"committer FeastFlow <bench@feastflow.example> {first + number * HOUR} +0000\n"
        stream += f"data {len(subject)}\n{subject}\n"
        stream += "" if number else "from refs/heads/main^0\n"
    subprocess.run(
        ["git", "-C", str(folder), "fast-import", "--quiet"],
        input=stream,
        text=True,
        check=True,
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
