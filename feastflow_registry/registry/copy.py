"""Copying an image to another repository or registry: the same bytes, so the same digest.

A manifest is written after all that it lists: layers first, then platforms and attestations, an
index last. Each is written by its digest alone, so that no tag names an incomplete image. What the
target has is not sent. Layers pass through this process in pieces and are hashed on the way; within
a registry they are mounted. What refers to the image (signatures of other tools, for example) is
brought along before it gets a tag.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from threading import BoundedSemaphore
from urllib.parse import urlencode, urlsplit

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Along, Blob, Manifest, malformed
from feastflow_registry.model.marks import CONFIG, CONFIG_DIGEST, NOTHING, nothing
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.ports import Tell, Working, unseen
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.tag_names import subject
from feastflow_registry.model.wording import size
from feastflow_registry.registry import referrers
from feastflow_registry.registry.client import WRITTEN, RegistryClient, upload_address
from feastflow_registry.registry.refusals import damaged
from feastflow_registry.transport.addresses import redact
from feastflow_registry.transport.http import REDIRECTS, Stream
from feastflow_registry.transport.response import Response

_AT_ONCE = 4
_DEEPEST = 3
"""A signature of an SBOM of an image."""
_MOST = 1000
"""How many of what refers to an image are looked at: whoever may push may list any number."""


@dataclass(slots=True)
class ImageCopier:
    """Copies from one registry to another, or within one.

    To mount layers, the token of ``target`` must have been asked for both repositories.
    """

    source: RegistryClient
    target: RegistryClient
    working: Working = unseen
    _slots: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_AT_ONCE))

    def copy(self, source: Repository, digest: Digest, target: Repository) -> int:
        """Copy an image with all that it lists, unless it is there; the bytes that were sent.

        Raises an unverified failure if bytes are not what their digest says.
        """
        if source == target:
            return 0
        text = f"copying to {target}"
        with self.working(text) as tell:
            sent = _count(text, tell)
            route = _Route(self.source, source, self.target, target, self._slots, sent)
            return self._copy(route, digest)

    def _copy(self, route: _Route, digest: Digest) -> int:
        manifests = self._read(route.origin, digest)
        present = spread(route.has, manifests)
        missing = [each for each, there in zip(manifests, present, strict=True) if not there]
        blobs = dict.fromkeys(blob for each in missing for blob in manifests[each].blobs)
        sent = sum(spread(route.copy_blob, blobs))
        images = [each for each in missing if not manifests[each].is_index]
        spread(lambda each: route.put(each, manifests[each]), images)
        for each in missing:
            if manifests[each].is_index:
                route.put(each, manifests[each])
        return sent

    def bring_along(self, source: Repository, digest: Digest, target: Repository) -> Along:
        """Copy what refers to an image, to its platforms, and to what was brought along itself.

        What cannot be read is left, and so is a tag that holds something else at the target.
        """
        if source == target:
            return Along()
        trip = _Trip(self, source, target)
        trip.tags = [each for each in self.source.tags(source) if subject(each)]
        wanted = {digest, *(each.digest for each in self.source.descendants(source, digest))}
        done: set[Digest] = set()
        for _ in range(_DEEPEST):
            found = [trip.bring(each) for each in sorted(wanted)]
            done |= wanted
            wanted = {*chain.from_iterable(found)} - done
        return Along(len(trip.brought), trip.size, trip.told)

    def clear(self, mark: Reference) -> None:
        """Point a tag at the image of nothing, whose configuration is sent if it is missing."""
        repository = mark.repository
        _Route(self.source, repository, self.target, repository, self._slots).send_config()
        self.target.manifests[repository, NOTHING] = nothing()
        self.target.set_tag(mark, NOTHING)

    def _read(self, repository: Repository, digest: Digest) -> dict[Digest, Manifest]:
        """Read a manifest and all that it lists; each comes after what it lists."""
        children = self.source.descendants(repository, digest)[::-1]
        digests = [*(each.digest for each in children), digest]
        found = spread(lambda each: self.source.manifest(repository, each), digests)
        manifests = dict(zip(digests, found, strict=True))
        if any(manifests[each.digest].is_index and not each.is_index for each in children):
            raise malformed("lists an index as an image")
        return manifests


@dataclass(slots=True)
class _Trip:
    """What refers to one image, on its way to another repository.

    ``tags``: those at the source that are made from digests; ``lists``: whether the source keeps
    lists of its own, as far as it was asked; ``passed_over``: how many were more than enough.
    """

    copier: ImageCopier
    origin: Repository
    goal: Repository
    tags: list[Tag] = field(default_factory=list)
    lists: bool = True
    brought: set[Digest] = field(default_factory=set)
    left: list[str] = field(default_factory=list)
    size: int = 0
    passed_over: int = 0

    @property
    def told(self) -> tuple[str, ...]:
        """What was left, and why."""
        more = f"{self.passed_over} of them, as there are more than {_MOST}"
        return (*([more] if self.passed_over else []), *self.left)

    def bring(self, digest: Digest) -> set[Digest]:
        """Bring along what refers to one manifest; what that is."""
        source, listing = self.copier.source, referrers.list_tag(digest)
        found: set[Digest] = set()
        own = [each for each in self.tags if subject(each) == digest]
        for tag in own:
            if tag != listing and (held := self._bring_tag(tag)):
                found.add(held)
        entries: dict[Digest, object] = {}
        if self.lists:
            asked = referrers.ask(source, self.origin, digest)
            self.lists = asked is not None
            entries |= asked or {}
        if listing in own:
            entries |= self._kept(source, self.origin, digest) or {}
        entries = {
            key: each for key, each in entries.items() if self._bring(key, key, about=digest)
        }
        if entries:
            self._list(digest, entries)
        return {*found, *entries}

    def _bring_tag(self, tag: Tag) -> Digest | None:
        """Copy what a tag holds, and give it its tag, unless that is taken."""
        source, target = Reference(self.origin, tag), Reference(self.goal, tag)
        held = self.copier.source.resolve(source)
        there = self.copier.target.resolve(target)
        if held is None or held == there:
            return held
        if there:
            self.left.append(f"{tag} holds something else there")
            return None
        if self._bring(held, tag):
            referrers.give(self.copier.target, target, held)
            return held
        return None

    def _bring(self, digest: Digest, name: Tag | Digest, *, about: Digest | None = None) -> bool:
        """Copy one of them; whether that could be done.

        ``about``: what it has to name as its subject.
        """
        if len(self.brought) + len(self.left) >= _MOST:
            self.passed_over += 1
            return False
        try:
            if about:
                referrers.check(self.copier.source.manifest(self.origin, digest), about)
            self.size += self.copier.copy(self.origin, digest, self.goal)
        except Failure as failure:
            self._leave(name, failure)
            return False
        self.brought.add(digest)
        return True

    def _kept(
        self, client: RegistryClient, repository: Repository, digest: Digest
    ) -> referrers.Listed | None:
        """What the list under a tag says; nothing, if the tag holds something else."""
        try:
            return referrers.kept(client, repository, digest)
        except Failure as failure:
            self._leave(Reference(repository, referrers.list_tag(digest)), failure)
            return None

    def _leave(self, name: Tag | Digest | Reference, failure: Failure) -> None:
        """Take note of what cannot be read; raises any other failure."""
        if failure.kind is not Kind.UNVERIFIED:
            raise failure
        self.left.append(f"{name}: {failure.problems[0].cause}")

    def _list(self, digest: Digest, entries: Mapping[Digest, object]) -> None:
        """Make sure that the target lists what was brought, with all that it has listed so far."""
        target = self.copier.target
        if referrers.ask(target, self.goal, digest) is None:
            known = self._kept(target, self.goal, digest)
            if known is not None and entries.keys() - known.keys():
                referrers.keep(target, self.goal, digest, {**known, **entries}.values())


def _count(text: str, tell: Tell) -> Callable[[int], None]:
    """What tells how many bytes have been sent, when it is told of more."""
    sent = 0

    def more(count: int) -> None:
        nonlocal sent
        sent += count
        tell(f"{text}: {size(sent)} sent")

    return more


@dataclass(frozen=True, slots=True)
class _Route:
    """From one repository to another. ``sent``: is told of the bytes of layers that pass."""

    source: RegistryClient
    origin: Repository
    target: RegistryClient
    goal: Repository
    slots: BoundedSemaphore
    sent: Callable[[int], None] = lambda _: None

    def has(self, digest: Digest) -> bool:
        """Whether the target holds a manifest."""
        return self.target.resolve(Reference(self.goal, digest)) is not None

    def put(self, digest: Digest, manifest: Manifest) -> None:
        """Write one manifest by its digest. It is not remembered, so that it is read back later."""
        self.target.manifests[self.goal, digest] = manifest
        self.target.set_tag(Reference(self.goal, digest), digest)
        self.target.manifests.pop((self.goal, digest), None)

    def copy_blob(self, blob: Blob) -> int:
        """Copy one blob, unless it is there; the bytes that were sent."""
        with self.slots:
            upload = self._begin_upload(blob.digest)
            return self._stream(blob, upload) if upload else 0

    def send_config(self) -> None:
        """Send the configuration of the image of nothing, unless it is there.

        An upload that is unknown to the registry may have arrived, with its answer lost.
        """
        for _ in range(2):
            upload = self._begin_upload(CONFIG_DIGEST)
            if not upload:
                return
            headers = {"Content-Type": "application/octet-stream"}
            response = self.target.request("PUT", upload, headers, self.goal, body=CONFIG)
            if response.status in WRITTEN:
                return
        raise self._refused(response, "the upload of")

    def _begin_upload(self, digest: Digest) -> str:
        """Begin an upload: its address, or empty if the blob is there or could be mounted."""
        response = self.target.send("HEAD", self.goal, f"blobs/{digest}")
        if response.status == 200 or response.status in REDIRECTS:
            return ""
        if response.status != 404:
            raise self._refused(response, "a look at")
        path = "blobs/uploads/"
        if self.origin.host == self.goal.host:
            query = urlencode({"mount": digest.value, "from": self.origin.path})
            response = self.target.send("POST", self.goal, f"{path}?{query}", body=b"")
            if response.status == 201:
                return ""
        if response.status != 202:
            response = self.target.send("POST", self.goal, path, body=b"")
        if response.status != 202:
            raise self._refused(response, "the upload of")
        upload = upload_address(response)
        if not upload:
            raise Failure(
                Kind.UNREACHABLE,
                f"{self.goal.host} wants an upload to go to another address, "
                f"{redact(response.headers.get('location', ''))[:200]!r}.",
                'The credential is sent to no other address: check the input "registry", or what '
                "stands before the registry.",
            )
        return f"{upload}{'&' if urlsplit(upload).query else '?'}{urlencode({'digest': digest})}"

    def _stream(self, blob: Blob, first_upload: str) -> int:
        """Stream one blob into an upload; after a transient failure, all of it into a new one."""
        uploads = [first_upload]

        def sink(pieces: Iterator[bytes]) -> None:
            upload = uploads.pop() if uploads else self._begin_upload(blob.digest)
            if upload:  # Else the blob is there after all: only the answer was lost.
                body = Stream(self._checked(pieces, blob), blob.size)
                headers = {"Content-Type": "application/octet-stream"}
                response = self.target.request("PUT", upload, headers, self.goal, body=body)
                if response.status not in WRITTEN:
                    raise self._refused(response, "the upload of")

        response = self.source.send("GET", self.origin, f"blobs/{blob.digest}", sink=sink)
        self.source.check_found(response, self.origin, blob.digest)
        return blob.size

    def _checked(self, pieces: Iterator[bytes], blob: Blob) -> Iterator[bytes]:
        """Yield a blob's pieces, the last one only if all of it has the right digest and size."""
        hashed, passed = hashlib.new(blob.digest.algorithm), 0
        expected = blob.digest.value.partition(":")[2]
        for piece in pieces:
            hashed.update(piece)
            passed += len(piece)
            if passed > blob.size or (passed == blob.size and hashed.hexdigest() != expected):
                break
            self.sent(len(piece))
            yield piece
        if passed != blob.size or hashed.hexdigest() != expected:
            raise damaged(self.origin, blob.digest)

    def _refused(self, response: Response, what: str) -> Failure:
        return self.target.unexpected(response, f"{what} a layer of {self.goal}", write=True)
