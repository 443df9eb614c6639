"""Docker Engine through its SDK: which store it has, image facts, and pushing by image ID.

The credential reaches the engine in the header of one request. The SDK raises nothing when a
push fails, so the engine's own report is read to its end.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from feastflow_registry import bake
from feastflow_registry.buildx import DENIED, Buildx, clean
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.plan import BuildImage
from feastflow_registry.ports import BuiltImage
from feastflow_registry.references import Digest, Reference

_PUSHED = re.compile(r"[Dd]igest\W{1,4}(sha256:[0-9a-f]{64})")
_FINAL = re.compile(r"\b4(?:00|05|06|11|13|15|22)\b|immutab|too large", re.IGNORECASE)
_TRIES = 4
_SILENCE = 180


@dataclass
class Engine:
    """The engine that a builder belongs to, if it belongs to one."""

    buildx: Buildx

    @cached_property
    def client(self) -> docker.DockerClient:
        """The engine's API client. Raises a build failure where no engine answers."""
        address = self.buildx.environ.get("DOCKER_HOST") or self.buildx.context_host()
        try:
            environment = {**self.buildx.environ, "DOCKER_HOST": address}
            client = docker.from_env(environment=environment, timeout=_SILENCE)
            client.ping()
        except (DockerException, requests.exceptions.RequestException):
            raise Failure(
                Kind.BUILD,
                f"Cannot connect to the Docker daemon at {address}.",
                "Start Docker Desktop, or on Linux `sudo systemctl start docker`; "
                "check DOCKER_HOST and that your user is in the group docker.",
            ) from None
        return client

    @cached_property
    def has_containerd_store(self) -> bool:
        """Whether the engine keeps images in containerd, and so whole indexes."""
        status = self.client.info().get("DriverStatus") or []
        return any("io.containerd.snapshotter" in str(value) for _, value in status)

    @property
    def builds_into_engine(self) -> bool:
        """Whether the builder is the engine's own, so that what it builds is in the engine."""
        return self.buildx.driver == "docker"

    def check_ready(self, images: Sequence[BuildImage]) -> None:
        """Refuse before anything starts what this engine and builder cannot do."""
        self.buildx.check_ready()
        if not self.buildx.driver:
            _ = self.client  # buildx names no driver where no engine answers.
        several = [each.service.name for each in images if len(each.service.platforms) > 1]
        if several and self.builds_into_engine and not self.has_containerd_store:
            raise Failure(
                Kind.BUILD,
                f"the engine's image store keeps one platform, but {several[0]} has several.",
                "Use docker/setup-buildx-action and name its builder in the input builder, "
                "or turn on the engine's containerd image store.",
            )

    def describe(self) -> str:
        """Name the engine and its store."""
        store = "containerd" if self.has_containerd_store else "classic"
        return f"Docker {self.client.version()['Version']}, {store} image store"

    def describe_builder(self) -> str:
        """Name buildx and the builder's driver."""
        driver = f", driver {self.buildx.driver}" if self.buildx.driver else ""
        return f"buildx {self.buildx.release}{driver}"

    def build(self, images: Sequence[BuildImage], *, push: bool) -> Mapping[str, BuiltImage]:
        """Build all images in one Bake session; on other drivers, push them by digest."""
        outputs = {each.service.name: self._output(each, push=push) for each in images}
        names = bake.target_names(images)
        title = f"Building {', '.join(names)}"
        with tempfile.TemporaryDirectory(prefix="feastflow-") as folder:
            metadata = Path(folder, "metadata.json")
            with self.buildx.log.group(title):
                self.buildx.bake(bake.definition(images, outputs), metadata, push=push)
            found = json.loads(metadata.read_text())
        return {name: self._built(found.get(target, {}), push) for name, target in names.items()}

    def push(self, image: BuiltImage, reference: Reference) -> Digest:
        """Push an image by its ID under a tag, again after a passing failure."""
        try:
            local = self.client.images.get(image.image_id)
        except ImageNotFound:
            raise Failure(
                Kind.BUILD,
                f"the image {image.image_id[:19]} is no longer in the engine.",
                "Build it again.",
            ) from None
        local.tag(str(reference.repository), reference.identifier)
        with self.buildx.log.group(f"Pushing {reference}"):
            return self._push_until_done(reference)

    def _push_until_done(self, reference: Reference) -> Digest:
        for attempt in range(_TRIES):
            digest, error = self._push_once(reference)
            if digest:
                return digest
            if DENIED.search(error):
                raise Failure(
                    Kind.REFUSED,
                    f"{reference.repository.host} denied the push of {reference}: {error}",
                    "Give the token read and write scope, and check the namespace.",
                )
            if _FINAL.search(error):
                raise Failure(
                    Kind.UNREACHABLE,
                    f"{reference.repository.host} does not take {reference}: {error}",
                    "See the registry's rules on immutable tags and sizes.",
                )
            if attempt < _TRIES - 1:
                self.buildx.log.say(f"the push failed for a moment, trying again: {error}")
                self.buildx.sleep(2.0**attempt)
        raise Failure(
            Kind.UNREACHABLE,
            f"the push of {reference} failed {_TRIES} times: {error}",
            "Check the registry's status, then run again.",
        )

    def _push_once(self, reference: Reference) -> tuple[Digest | None, str]:
        """Push once; the digest, or what the engine reports instead."""
        credential = self.buildx.credential
        error = "the engine reported neither success nor failure"
        try:
            for event in self.client.api.push(
                str(reference.repository),
                tag=reference.identifier,
                stream=True,
                decode=True,
                auth_config=credential and credential.engine_auth(reference.repository.host),
            ):
                # The classic store reports the digest apart, the containerd store in words.
                found = _PUSHED.search(str(event.get("aux") or event.get("status", "")))
                if found:
                    return Digest.parse(found[1]), ""
                if "error" in event:
                    error = clean(str(event["error"]))
                self._show(event)
        except (DockerException, requests.exceptions.RequestException) as problem:
            error = clean(str(problem))
        return None, error

    def _show(self, event: Mapping[str, Any]) -> None:
        """Write a line when a layer arrives, not for each of its progress reports."""
        if event.get("id") and event.get("status") in ("Pushed", "Layer already exists"):
            self.buildx.log.quote(f"{event['id']}: {event['status']}")

    def _output(self, image: BuildImage, *, push: bool) -> str:
        if self.builds_into_engine:
            return "type=docker"
        if push:
            name = image.tags[0].repository
            return f"type=image,name={name},push-by-digest=true,name-canonical=true,push=true"
        return "type=cacheonly" if len(image.service.platforms) > 1 else "type=docker"

    def _built(self, metadata: Mapping[str, str], push: bool) -> BuiltImage:
        digest = metadata.get("containerimage.digest", "")
        if push and not self.builds_into_engine:
            return BuiltImage("", Digest.parse(digest))
        for image_id in (metadata.get("containerimage.config.digest"), digest):
            found = self._find(image_id) if image_id else None
            if found:
                return found
        return BuiltImage("")

    def _find(self, image_id: str) -> BuiltImage | None:
        try:
            found = self.client.images.get(image_id)
        except (ImageNotFound, Failure):
            return None
        return BuiltImage(str(found.id), size=int(found.attrs.get("Size", 0)))
