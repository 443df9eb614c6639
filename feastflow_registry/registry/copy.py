"""Copying an image to another repository or registry: the same bytes, so the same digest.

Manifests go after all that they list: layers first, then platforms and attestations, an index last,
and each by its digest alone, so that nothing has a name before it is whole. What is there is left
out. Layers go through this process in pieces, each hashed as it passes; within a registry they are
mounted. Whatever names the image as its ``subject`` (signatures of other tools) is not followed.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from urllib.parse import urlencode, urlsplit

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Blob, Manifest
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.references import Digest, Reference, Repository
from feastflow_registry.registry.client import RegistryClient, damaged, upload_address
from feastflow_registry.registry.http import REDIRECTS, Response, Stream, redact

_AT_ONCE = 4
_DEEPEST = 4
_MOST_MANIFESTS = 1000


@dataclass(slots=True)
class ImageCopier:
    """Copies from one registry to another, or within one.

    To mount, the token of ``target`` must have been asked for both repositories.
    """

    source: RegistryClient
    target: RegistryClient
    _slots: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_AT_ONCE))

    def copy(self, source: Repository, digest: Digest, target: Repository) -> int:
        """Copy an image with all that it lists, what is there left out; the bytes that went.

        Raises an unverified failure if bytes are not what their digest says.
        """
        if source == target:
            return 0
        road = _Road(self.source, source, self.target, target, self._slots)
        manifests: dict[Digest, Manifest] = {}
        self._collect(road, digest, manifests, _DEEPEST)
        wanted = [each for each, there in self._look(road, manifests) if not there]
        blobs = dict.fromkeys(blob for each in wanted for blob in manifests[each].blobs)
        sent = sum(spread(road.carry, blobs))
        images = [each for each in wanted if not manifests[each].is_index]
        for _ in spread(lambda each: road.put(each, manifests[each]), images):
            pass
        for each in wanted:
            if manifests[each].is_index:
                road.put(each, manifests[each])
        return sent

    def _collect(
        self, road: _Road, digest: Digest, found: dict[Digest, Manifest], depth: int
    ) -> None:
        """Read a manifest and all that it lists, into an order in which nothing is missing."""
        manifest = road.source.manifest(road.origin, digest)
        children = [each for each in manifest.children if each not in found]
        if depth == 0 or len(found) + len(children) > _MOST_MANIFESTS:
            raise Failure(
                Kind.UNVERIFIED,
                f"{road.origin}@{digest.short} lists manifests without end.",
                "Look at what published it.",
            )
        # Each client keeps what it has read, so that the walk finds it there.
        for _ in spread(lambda each: road.source.manifest(road.origin, each), children):
            pass
        for each in children:
            self._collect(road, each, found, depth - 1)
        found[digest] = manifest

    def _look(
        self, road: _Road, manifests: dict[Digest, Manifest]
    ) -> Iterator[tuple[Digest, bool]]:
        def is_there(digest: Digest) -> bool:
            return self.target.resolve(Reference(road.goal, digest)) is not None

        return zip(manifests, spread(is_there, manifests), strict=True)


@dataclass(frozen=True, slots=True)
class _Road:
    """From one repository to another."""

    source: RegistryClient
    origin: Repository
    target: RegistryClient
    goal: Repository
    slots: BoundedSemaphore

    def put(self, digest: Digest, manifest: Manifest) -> None:
        """Write one manifest by its digest, and keep no memory of it: it is to be read back."""
        self.target.manifests[self.goal, digest] = manifest
        self.target.set_tag(Reference(self.goal, digest), digest)
        self.target.manifests.pop((self.goal, digest), None)

    def carry(self, blob: Blob) -> int:
        """Bring one blob over; the bytes that went."""
        with self.slots:
            begun = self._begin(blob.digest)
            return self._pour(blob, begun) if begun else 0

    def _begin(self, digest: Digest) -> str:
        """Begin an upload; nothing, if the blob is there or could be mounted."""
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
                "The credential is sent to no other address: check the input registry, or what "
                "stands before the registry.",
            )
        return f"{upload}{'&' if urlsplit(upload).query else '?'}{urlencode({'digest': digest})}"

    def _pour(self, blob: Blob, begun: str) -> int:
        """Stream one blob into an upload; into a new one, from its start, after a bad moment."""
        uploads = [begun]

        def sink(pieces: Iterator[bytes]) -> None:
            upload = uploads.pop() if uploads else self._begin(blob.digest)
            if upload:  # Or it is there after all: only the answer was lost.
                body = Stream(self._checked(pieces, blob), blob.size)
                headers = {"Content-Type": "application/octet-stream"}
                response = self.target.request("PUT", upload, headers, body=body)
                if response.status not in (201, 204):
                    raise self._refused(response, "the upload of")

        response = self.source.send("GET", self.origin, f"blobs/{blob.digest}", sink=sink)
        self.source.check_found(response, self.origin, blob.digest)
        return blob.size

    def _checked(self, pieces: Iterator[bytes], blob: Blob) -> Iterator[bytes]:
        """Pass on a blob; its last piece only if all of it is what its digest and size say."""
        hashed, passed = hashlib.new(blob.digest.algorithm), 0
        expected = blob.digest.value.partition(":")[2]
        for piece in pieces:
            hashed.update(piece)
            passed += len(piece)
            if passed > blob.size or (passed == blob.size and hashed.hexdigest() != expected):
                break
            yield piece
        if passed != blob.size or hashed.hexdigest() != expected:
            raise damaged(self.origin, blob.digest)

    def _refused(self, response: Response, what: str) -> Failure:
        return self.target.unexpected(response, f"{what} a layer of {self.goal}", write=True)
