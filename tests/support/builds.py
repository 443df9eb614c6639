"""Services in a folder, and the engine that builds them as a run would."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.conftest import REMOTE, Builder

from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.builder.engine import Engine
from feastflow_registry.model.credentials import Credential, docker_config
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.ports import BuiltImage
from feastflow_registry.model.references import Digest, Reference, RegistryHost, Repository, Tag
from feastflow_registry.model.services import Service
from support.memory import FakeLog
from support.registries import USER, LocalRegistry
from support.repositories import MARK

EPOCH = 1_700_000_000


def script(text: str) -> str:
    """A step that runs a shell script without any image to pull."""
    return f"RUN {json.dumps(['/busybox', 'sh', '-c', text])}"


def _pause(seconds: float) -> None:
    """Wait, but not for long."""
    time.sleep(min(seconds, 0.5))


@dataclass
class BuildSetup:
    """One builder, one registry, and a folder of services. `word` makes every build a new one."""

    builder: Builder
    place: LocalRegistry
    folder: Path
    busybox: Path
    log: FakeLog = field(default_factory=FakeLog)
    word: str = field(default_factory=lambda: secrets.token_hex(8))
    variables: Mapping[str, str] = field(default_factory=dict)
    cache_service: Mapping[str, str] = field(default_factory=dict)
    _ages: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def engine(self, log: FakeLog | None = None) -> Engine:
        """A new run's engine."""
        environ = {**self.builder.variables, "HOME": str(self.folder)}
        builder = REMOTE if self.builder.name == "remote" else ""
        host = RegistryHost.parse(self.place.host)
        credential = Credential(USER, self.place.token)
        log = log or self.log
        return Engine(
            Buildx(
                self.folder,
                environ,
                log,
                _pause,
                builder,
                {host: credential},
                lambda: self.folder / "spare",
                self.variables,
                self.cache_service,
            )
        )

    def image(self, name: str, *steps: str, base: str = "scratch", **words: Any) -> BuildImage:
        """Write a service's Dockerfile and context; `words`: of the service and of the build."""
        context = self.folder / name
        context.mkdir(exist_ok=True)
        head = [f"FROM {base}", f"LABEL {MARK}", f"COPY page-{self.word} /pages/{name}"]
        if any("busybox" in each for each in steps) and base == "scratch":
            shutil.copy2(self.busybox, context / "busybox")
            head.append("COPY busybox /")
        (context / "Dockerfile").write_text("\n".join((*head, *steps, "")))
        page = context / f"page-{self.word}"
        page.write_text(f"{name} {self.word}")
        # Another checkout's files are of another time; no checkout is older than its commit.
        age = EPOCH + 86_400 * next(self._ages)
        os.utime(page, (age, age))
        own = {each: words.pop(each) for each in tuple(words) if each in Service.__slots__}
        host = RegistryHost.parse(self.place.host)
        service = Service(name, Repository.parse(host, f"feastflow/{name}"), context=name, **own)
        reference = Reference(service.repository, Tag(f"commit-{self.word[:7]}"))
        return BuildImage(service, (reference,), (), **words)

    def publish(self, image: BuildImage) -> str:
        """Check, build and push one image; its digest on the registry."""
        engine = self.engine()
        engine.check_ready([image])
        built = engine.build([image], push=True)
        assert not built.failures, built.failures
        return str(self.push(engine, image, built.images[image.service.name]))

    def push(self, engine: Engine, image: BuildImage, built: BuiltImage) -> Digest:
        """Push what a build left in the engine; a builder of its own has pushed it."""
        return built.digest or engine.push(built, image.tags[0])

    def buildx(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Plain buildx, logged in by the variable that it knows."""
        engine = self.engine()
        config = docker_config(engine.buildx.credentials)
        builder = {"BUILDX_BUILDER": REMOTE} if self.builder.name == "remote" else {}
        environ = {**self.builder.variables, "DOCKER_AUTH_CONFIG": config, **builder}
        environ["BUILDX_NO_DEFAULT_ATTESTATIONS"] = "1"
        command = ["docker", "buildx", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def forget(self) -> None:
        """Take what this workshop built, and nothing else, out of the builder's cache."""
        self.buildx("prune", "--all", "--force", "--filter", f"description~={self.word}")

    def manifest(self, image: BuildImage, target: str) -> Any:
        """A manifest or index as crane reads it."""
        return json.loads(self.place.crane("manifest", self.at(image, target)))

    def at(self, image: BuildImage, target: str) -> str:
        """How crane names an image of this workshop."""
        return self.place.at(target, f"feastflow/{image.service.name}")

    def quoted(self) -> list[str]:
        """What BuildKit and the steps said."""
        return [text for kind, text in self.log.lines if kind == "quote"]
