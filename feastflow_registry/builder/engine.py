"""Docker Engine through its SDK: which image store it has, and pushing by image ID.

The credential reaches the engine in the header of one request. The SDK raises nothing when a
push fails, so the engine's own report is read to its end.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from feastflow_registry.builder import bake, capabilities, diagnosis
from feastflow_registry.builder.build_log import BuildLog
from feastflow_registry.builder.buildx import Buildx, no_podman
from feastflow_registry.builder.capabilities import CAPABILITIES, BuilderKind, Feature
from feastflow_registry.builder.diagnosis import clean
from feastflow_registry.builder.docker_api import ENGINE_ERRORS, tag_image
from feastflow_registry.builder.own_builder import OwnBuilder, Recipe
from feastflow_registry.builder.sessions import Sessions
from feastflow_registry.builder.tries import TRIES, tries
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.ports import Built, BuiltImage, Log, Tell
from feastflow_registry.model.references import Digest, Reference
from feastflow_registry.model.services import Service, output_parts
from feastflow_registry.model.wording import size, some

_PUSHED = re.compile(r"[Dd]igest\W{1,4}(sha256:[0-9a-f]{64})")
_FINAL = re.compile(r"\b4(?:00|05|06|11|13|15|22)\b|immutab|too large", re.IGNORECASE)
_SILENCE = 180


@dataclass
class Engine:
    """Docker Engine, and the builder that is used; a builder may belong to no engine.

    ``recipe``: for a builder of our own, where nobody has chosen one; ``runs``: the platforms whose
    programs the build of a service for some platforms runs.
    """

    buildx: Buildx
    recipe: Recipe | None = None
    runs: Callable[[Service, Sequence[str]], Sequence[str]] = lambda *_: ()
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def client(self) -> docker.DockerClient:
        """The engine's API client. Raises a build failure where none answers, or Podman does."""
        address = self.buildx.environ.get("DOCKER_HOST") or self.buildx.context_host()
        try:
            environment = {**self.buildx.environ, "DOCKER_HOST": address}
            client = docker.from_env(environment=environment, timeout=_SILENCE)
            parts = client.version().get("Components") or []
        except ENGINE_ERRORS:
            raise Failure(
                Kind.BUILD,
                f"Cannot connect to the Docker daemon at {address}.",
                "Start Docker Desktop, or on Linux `sudo systemctl start docker`; "
                "check DOCKER_HOST and that your user is in the group docker.",
                see="docker-daemon",
            ) from None
        if any(part.get("Name") == "Podman Engine" for part in parts):
            raise no_podman()
        return client

    @cached_property
    def has_containerd_store(self) -> bool:
        """Whether the engine keeps images in containerd, and so whole indexes."""
        status = self.client.info().get("DriverStatus") or []
        return any("io.containerd.snapshotter" in str(value) for _, value in status)

    @property
    def kind(self) -> BuilderKind:
        """The kind of the builder, which says what it can do."""
        own = self.buildx.driver == "docker"
        return BuilderKind.of(self.buildx.driver, containerd=own and self.has_containerd_store)

    @property
    def pushes_by_digest(self) -> bool:
        """Whether the builder pushes what it builds, as its images are in no engine."""
        return Feature.BY_DIGEST in CAPABILITIES[self.kind]

    def check_ready(self, images: Sequence[BuildImage]) -> None:
        """Refuse before anything starts what this engine and builder cannot do.

        What only the engine's own builder cannot do is done by one of our own.
        """
        self.buildx.check_ready(images)
        if not self.buildx.driver:
            _ = self.client  # buildx names no driver where no engine answers.
        problems = list(capabilities.check(images, self.kind))
        if problems and self._own_builder:
            for problem in problems:
                self.buildx.log.say(f"The engine's own builder will not do: {problem.cause}")
            self.buildx.use(self._own_builder.prepare())
            self.buildx.check_ready(images)
            problems = []
        self._check(problems, images, self.kind)

    @property
    def _own_builder(self) -> OwnBuilder | None:
        """The builder that may be made, as nobody has chosen another one."""
        if not self.recipe or self.buildx.driver != "docker":
            return None
        return OwnBuilder(self.recipe, self.buildx, self.client)

    def _check(
        self, problems: Sequence[Problem], images: Sequence[BuildImage], kind: BuilderKind
    ) -> None:
        """Raise what keeps a builder of a kind from building."""
        runs: dict[str, list[str]] = {}
        for image in images:
            for service in (*image.needs, image.service):
                platforms = self.runs(service, image.service.platforms)
                runs.setdefault(service.name, []).extend(platforms)
        foreign = list(capabilities.check_platforms(runs, self.buildx.platforms))
        if kind is BuilderKind.OTHER:
            for problem in foreign:
                self.buildx.log.warning(f"{problem} {capabilities.EMULATED}")
        elif foreign:
            problems = [*problems, *foreign]
        if problems:
            raise Failure.of(Kind.BUILD, problems)

    def describe(self) -> str:
        """Name the engine and its store."""
        store = "containerd" if self.has_containerd_store else "classic"
        return f"Docker {self.client.version()['Version']}, {store} image store"

    def describe_builder(self, images: Sequence[BuildImage]) -> str:
        """Name buildx, and the builder that would build these; raises what keeps it from that."""
        problems = list(capabilities.check(images, self.kind)) if self.buildx.driver else []
        own = self._own_builder if problems else None
        self._check([] if own else problems, images, BuilderKind.OTHER if own else self.kind)
        if own:
            return f"buildx {self.buildx.release}, {own.describe()}"
        driver = f", driver {self.buildx.driver}" if self.buildx.driver else ""
        return f"buildx {self.buildx.release}{driver}"

    def build(self, images: Sequence[BuildImage], *, push: bool) -> Built:
        """Build all images in one Bake session, and in further ones if that fails.

        On other drivers than the engine's own, what is built is pushed by digest.
        """
        images = [self._with_folders(each) for each in self._adapted(images, push=push)]
        outputs = {each.service.name: self._output(each, push=push) for each in images}
        names = bake.target_names(images)
        definition = bake.definition(images, outputs, names)
        log = _build_log(self.buildx.log, images, names)
        with (
            self.buildx.log.working(f"Building {some(list(names))}") as log.tell,
            tempfile.TemporaryDirectory(prefix="feastflow-") as folder,
            closing(log),
        ):
            sessions = Sessions(
                partial(self.buildx.bake, definition, Path(folder, "metadata.json"), log),
                log.finish,
                self.buildx.log,
                self.buildx.sleep,
                services={target: name for name, target in names.items()},
                needs=log.needs,
                importing={names[each.service.name] for each in images if each.cache_from},
            )
            sessions.build()
        images_built: dict[str, BuiltImage] = {}
        failures: dict[str, Failure] = {}
        for image in images:
            name, target = image.service.name, names[image.service.name]
            if target in sessions.failures:
                failures[name] = sessions.failures[target]
                continue
            use = log.caches[target]
            use.broken = sessions.broken.get(target, "")
            cache = use.tell(image.cache_from, image.cache_to)
            images_built[name] = replace(self._built(sessions.built[target], push), cache=cache)
        return Built(images_built, failures)

    def push(self, image: BuiltImage, reference: Reference) -> Digest:
        """Push an image by its ID under a tag, again after a passing failure.

        May be called from several threads at once; each writes its group when it has ended.
        """
        lines: list[Callable[[], None]] = []
        try:
            with self._turn:
                client = self.client  # Made once, by the first of the threads.
            tag_image(client, image.image_id, reference)
            with self.buildx.log.working(f"Pushing {reference}") as tell:
                return self._push_until_done(reference, lines, tell)
        finally:
            with self._turn, self.buildx.log.group(f"Pushing {reference}"):
                for write in lines:
                    write()

    def _push_until_done(
        self, reference: Reference, lines: list[Callable[[], None]], tell: Tell
    ) -> Digest:
        error = ""
        for number in tries(self.buildx.sleep):
            if number:
                text = f"the push failed for a moment, trying again: {error}"
                lines.append(partial(self.buildx.log.say, text))
            digest, error = self._push_once(reference, lines, tell)
            if digest:
                return digest
            if diagnosis.is_denied(error):
                raise diagnosis.denied("push", reference, error)
            if diagnosis.is_plain_http(error):
                raise diagnosis.no_tls(f"the push of {reference}", error)
            if _FINAL.search(error):
                raise Failure(
                    Kind.UNREACHABLE,
                    f"{reference.repository.host} does not take {reference}: {error}",
                    "Check what the registry allows: it may have rules on immutable tags and on "
                    "sizes.",
                )
        raise Failure(
            Kind.UNREACHABLE,
            f"the push of {reference} failed {TRIES} times: {error}",
            "Check the registry's status, then run again.",
        )

    def _push_once(
        self, reference: Reference, lines: list[Callable[[], None]], tell: Tell
    ) -> tuple[Digest | None, str]:
        """Push once; the digest, or the error that the engine reports."""
        layers: dict[str, Mapping[str, int]] = {}
        host = reference.repository.host
        credential = self.buildx.credentials.get(host)
        error = "the engine reported neither success nor failure"
        try:
            for event in self.client.api.push(
                str(reference.repository),
                tag=reference.identifier,
                stream=True,
                decode=True,
                auth_config=credential and credential.engine_auth(host),
            ):
                # The classic store reports the digest apart, the containerd store in words.
                found = _PUSHED.search(str(event.get("aux") or event.get("status", "")))
                if found:
                    return Digest.parse(found[1]), ""
                if "error" in event:
                    error = clean(str(event["error"]))
                if moved := event.get("progressDetail"):
                    layers[event["id"]] = moved
                    tell(f"Pushing {reference}: {_moved(layers.values())}")
                # A line when a layer arrives, not for each of its progress reports.
                if event.get("id") and event.get("status") in ("Pushed", "Layer already exists"):
                    text = f"{event['id']}: {event['status']}"
                    lines.append(partial(self.buildx.log.quote, text))
        except ENGINE_ERRORS as problem:
            error = clean(str(problem))
        return None, error

    def _adapted(self, images: Sequence[BuildImage], *, push: bool) -> Sequence[BuildImage]:
        """Leave out what an image that is only loaded, or this builder, does not keep."""
        if self.pushes_by_digest and not push:
            return [replace(each, attest=(), annotations=()) for each in images]
        if Feature.ANNOTATIONS in CAPABILITIES[self.kind]:
            return images
        # Nobody asked for these: named ones are refused, or built by another builder.
        return [replace(each, annotations=()) for each in images]

    def _with_folders(self, image: BuildImage) -> BuildImage:
        """Make the folders of local caches: buildx builds nothing where it cannot."""
        targets = []
        for target in image.cache_to:
            parts = output_parts(target)
            try:
                if parts["type"] == "local":
                    Path(self.buildx.workspace, parts["dest"]).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = f"{parts['dest']}: {error.strerror}"
                self.buildx.log.warning(
                    f"The cache of {image.service.name} is not written: {clean(why)}."
                )
            else:
                targets.append(target)
        return replace(image, cache_to=tuple(targets))

    def _output(self, image: BuildImage, *, push: bool) -> str:
        rewritten = "" if image.epoch is None else ",rewrite-timestamp=true"
        # Only OCI's manifests have annotations.
        rewritten += ",oci-mediatypes=true" if image.annotations else ""
        if push and self.pushes_by_digest:
            name = image.tags[0].repository
            form = f"type=image,name={name},push-by-digest=true,name-canonical=true,push=true"
            insecure = ",registry.insecure=true" if name.host.insecure else ""
            return form + insecure + rewritten
        if self.pushes_by_digest and len(image.service.platforms) > 1:
            return "type=cacheonly"
        return f"type=docker{rewritten}"

    def _built(self, metadata: Mapping[str, str], push: bool) -> BuiltImage:
        digest = metadata.get("containerimage.digest", "")
        if push and self.pushes_by_digest:
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


def _moved(layers: Collection[Mapping[str, int]]) -> str:
    """How much of the layers that are not there yet has been sent; one may not tell its size."""
    sent, total = (sum(each.get(key, 0) for each in layers) for key in ("current", "total"))
    return f"{size(sent)} of {size(max(sent, total))}"


def _build_log(log: Log, images: Sequence[BuildImage], names: Mapping[str, str]) -> BuildLog:
    """A group for each service, after those that it is built from; those not asked for come last.

    What a service is built from comes the farthest first.
    """
    needs = {each.service.name: [need.name for need in reversed(each.needs)] for each in images}
    order: dict[str, None] = {}
    for name, needed in needs.items():
        order |= dict.fromkeys((*filter(needs.__contains__, needed), name))
    order |= dict.fromkeys(names)
    return BuildLog(
        log,
        titles={names[name]: f"Building {name}" for name in order},
        caching={
            names[each.service.name]
            for each in images
            if Feature.CACHE in capabilities.needed(each)
        },
        needs={
            names[name]: [names[each] for each in needs[name]] for name in order if name in needs
        },
    )
