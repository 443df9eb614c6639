"""Small images with a web server, made as a builder makes them, and what judges them."""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import docker
from docker.errors import ImageNotFound
from integration.conftest import Builder

from feastflow_registry.builder.checks import Checks
from feastflow_registry.model.credentials import Credential, docker_config
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.ports import BuiltImage
from feastflow_registry.model.references import Digest, Reference, RegistryHost, Repository, Tag
from feastflow_registry.model.services import Service, SmokeTest
from support.memory import FakeLog
from support.registries import REPOSITORY, USER, LocalRegistry
from support.repositories import MARK

SERVER = ["/bin/busybox", "httpd", "-f", "-v", "-p", "3000", "-h", "/site"]
PAGES = {
    "index.html": "<h1>1</h1>",
    "cgi-bin/broken": "#!/bin/sh\necho Status: 500; echo; echo broken by design >&2\n",
    "cgi-bin/silent": "#!/bin/sh\nsleep 100\n",
    "cgi-bin/moved": "#!/bin/sh\necho Status: 302; echo Location: /cgi-bin/broken; echo\n",
}


@dataclass
class Images:
    """One way to build, one engine to try on, and one registry. `word` marks what is ours."""

    builder: Builder
    host: str
    place: LocalRegistry
    busybox: Path
    folder: Path
    client: docker.DockerClient
    log: FakeLog = field(default_factory=FakeLog)
    word: str = field(default_factory=lambda: secrets.token_hex(8))
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    nowhere: Callable[[], NoReturn] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """What a check sees."""
        return {**self.builder.variables, "DOCKER_HOST": self.host, "HOME": str(self.folder)}

    @property
    def repository(self) -> Repository:
        """Where the images go."""
        return Repository.parse(RegistryHost.parse(self.place.host), REPOSITORY)

    @property
    def reference(self) -> Reference:
        """The commit tag."""
        return Reference(self.repository, Tag(f"commit-{self.word[:7]}"))

    @property
    def by_digest(self) -> bool:
        """Whether what is built is on the registry and not in the engine."""
        return self.builder.name == "remote"

    def build(self, *command: str, more: str = "", platform: str = "") -> BuiltImage:
        """Build an image that runs a command: the web server, if none is given."""
        context = self.folder / f"context-{next(self.numbers)}"
        for name, text in PAGES.items():
            path = context / "site" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        shutil.copy2(self.busybox, context / "busybox")
        lines = ["FROM scratch", f"LABEL {MARK} only={self.word}", more]
        lines += ["COPY busybox /bin/busybox", "COPY busybox /bin/sh", "COPY site /site"]
        (context / "Dockerfile").write_text(
            "\n".join([*lines, f"ENTRYPOINT {json.dumps(command or SERVER)}\n"])
        )
        options = [f"--platform={platform}"] if platform else []
        found = self._buildx(str(context), *options)
        if self.by_digest:
            return BuiltImage("", Digest(found["containerimage.digest"]))
        image = self.client.images.get(str(self.reference))
        return BuiltImage(str(image.id), size=1)

    def _buildx(self, *arguments: str) -> Mapping[str, str]:
        metadata = self.folder / "metadata.json"
        command = ["docker", "buildx", "build", "--provenance=false", f"--metadata-file={metadata}"]
        environ = dict(self.builder.variables)
        if self.by_digest:
            output = f"type=image,name={self.repository},push-by-digest=true,name-canonical=true"
            command += [
                f"--builder={self.builder.inputs['builder']}",
                f"--output={output},push=true",
            ]
            credential = Credential(USER, self.place.token)
            environ["DOCKER_AUTH_CONFIG"] = docker_config({self.repository.host: credential})
        else:
            command += ["--output=type=docker", f"--tag={self.reference}"]
        done = subprocess.run(
            [*command, *arguments], env=environ, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found: Mapping[str, str] = json.loads(metadata.read_text())
        return found

    def checks(self, **changes: Any) -> Checks:
        """What judges them."""
        given: dict[str, Any] = {
            "client": lambda: self.client,
            "workspace": self.folder,
            "environ": self.environ,
            "log": self.log,
            "clock": time.monotonic,
            "sleep": time.sleep,
            "random_word": lambda: self.word,
            "credentials": {self.repository.host: Credential(USER, self.place.token)},
        }
        return Checks(**{**given, **changes})

    def spent_once(self, text: str, times: int = 1) -> dict[str, Any]:
        """A patience that is spent as soon as a container has written a text, so many times."""
        seconds = 0.0

        def sleep(pause: float) -> None:
            nonlocal seconds
            time.sleep(pause)
            for name in self.containers():
                container = self.client.containers.get(name.strip("[]'/"))
                seconds += 60 * (container.logs().decode().count(text) >= times)

        return {"clock": lambda: seconds, "sleep": sleep}

    def service(
        self, check: str = "", *, port: int = 3000, path: str = "", **facts: Any
    ) -> Service:
        """A service with a check; with a path, it has a smoke test too."""
        test = SmokeTest(port, path) if path else None
        return Service("pricing", self.repository, check=check, smoke_test=test, **facts)

    def judge(self, service: Service, image: BuiltImage, **changes: Any) -> Failure | None:
        """Judge an image; its failure, if it fails, and nothing of ours is left either way."""
        failure = None
        try:
            self.checks(**changes).check(service, image, self.reference)
        except Failure as found:
            failure = found
        assert self.containers() == []
        return failure

    def containers(self) -> list[str]:
        """The names of our own containers that exist."""
        found = self.client.api.containers(all=True, filters={"name": self.word})
        return [str(each["Names"]) for each in found]

    def quoted(self) -> list[str]:
        """What somebody else said."""
        return [line for kind, line in self.log.lines if kind == "quote"]

    def said(self) -> str:
        """What we said ourselves."""
        return "\n".join(line for kind, line in self.log.lines if kind == "say")


MakeImages = Callable[[str], Images]
"""Gives images by the way they are made: an engine, or `remote to` the engine that pulls them."""

WAYS = ("classic", "containerd", "remote to classic", "remote to containerd")


def make_images(
    builders: Callable[[str], Builder], place: LocalRegistry, busybox: Path, folder: Path
) -> Iterator[MakeImages]:
    """Make images on engines, and leave none of them there."""
    with ExitStack() as open_:

        def give(way: str) -> Images:
            builder, _, engine = way.partition(" to ")
            host = builders(engine or builder).variables["DOCKER_HOST"]
            client = open_.enter_context(closing(docker.DockerClient(base_url=host)))
            workspace = folder / way
            workspace.mkdir()
            images = Images(builders(builder), host, place, busybox, workspace, client)
            open_.callback(_remove, images)
            return images

        yield give


def _remove(images: Images) -> None:
    for container in images.client.containers.list(all=True, filters={"name": images.word}):
        container.remove(force=True)
    # An engine prunes for one client at a time, and others may be at it.
    for image in images.client.images.list(all=True, filters={"label": f"only={images.word}"}):
        with suppress(ImageNotFound):
            images.client.images.remove(str(image.id), force=True)
