"""The OCI distribution protocol, as far as publishing safely needs it.

A tag's digest comes from a HEAD request; every manifest is hashed when it is read.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import (
    IMAGES,
    INDEXES,
    Child,
    Manifest,
    Origin,
    Published,
    PullLimit,
    hashes_to,
    malformed,
    read_created,
    read_origin,
)
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.parts import Index, Part, read_part
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.docker_hub_json import read_pull_limit
from feastflow_registry.registry.refusals import damaged, unexpected
from feastflow_registry.registry.visible import Visibility
from feastflow_registry.transport.addresses import redact, same_origin
from feastflow_registry.transport.http import REDIRECTS, Client, Sink, Stream
from feastflow_registry.transport.response import Response, address, misbehaving, next_page, pages

WRITTEN = frozenset({200, 201, 202, 204})
_MANIFEST_LIMIT = 4 * 1024 * 1024
_LIST_LIMIT = 64 * 1024 * 1024  # Google lists every manifest beside the tags.
_CONFIG_LIMIT = 8 * 1024 * 1024
_MOST_PAGES = 1000
_MOST_REDIRECTS = 5
_MOST_PLATFORMS = 64
_MOST_DESCENDANTS = 1000
_DEEPEST = 4
_CANCELLING = 5.0
_ACCEPT = ", ".join(INDEXES + IMAGES)


@dataclass(slots=True)
class RegistryClient:
    """One registry, one run. Manifests and images are immutable, so each is read once."""

    http: Client
    auth: Authenticator
    manifests: dict[tuple[Repository, Digest], Manifest] = field(default_factory=dict)
    images: dict[tuple[Repository, Digest], Published] = field(default_factory=dict)
    visible: Visibility = field(init=False)

    def __post_init__(self) -> None:
        self.visible = Visibility(self.http)

    def resolve(self, reference: Reference) -> Digest | None:
        """Ask what a tag or digest points at, by HEAD: Docker Hub does not count it as a pull.

        What this run has written is waited for.
        """
        return self.visible.read(reference, lambda: self._resolve(reference))

    def expect(self, reference: Reference, digest: Digest | None) -> None:
        """Take note of what another client wrote for this run, or deleted."""
        self.visible.expect(reference, digest)

    def announce(self, reference: Reference) -> None:
        """Take note of what another run has written: where it shows late, it is waited for."""
        self.visible.announce(reference)

    def catch_up(self) -> None:
        """Wait as long as this registry took to show what was written."""
        self.visible.catch_up()

    def _resolve(self, reference: Reference) -> Digest | None:
        path = f"manifests/{reference.identifier}"
        response = self.send("HEAD", reference.repository, path, accept=_ACCEPT)
        if response.status == 404:
            return None
        if response.status != 200:
            raise self.unexpected(response, str(reference))
        text = response.headers.get("docker-content-digest", "")
        try:
            return Digest.parse(text)
        except Failure:
            return self._digest_by_content(reference)

    def confirm(self, reference: Reference, digest: Digest) -> None:
        """Read what a tag holds: only its bytes prove what a header says of it."""
        held = self._digest_by_content(reference)
        if held != digest:
            raise Failure(
                Kind.UNVERIFIED,
                f"the registry says that {reference} is {digest.short}, but it sent the bytes of "
                f"{held.short}.",
                "Run again. If it stays so, check the registry, and any cache between it and this "
                "machine.",
            )

    def inspect(self, repository: Repository, digest: Digest) -> Published:
        """Read an image: its labels over all platforms, and its largest platform's size."""
        if cached := self.images.get((repository, digest)):
            return cached
        platforms = self.platforms(repository, digest)
        origins = {read_origin(self.config(repository, each.config)) for each in platforms}
        origin = origins.pop() if len(origins) == 1 else Origin()
        image = Published(
            digest,
            origin.revision,
            origin.source,
            max(each.size for each in platforms),
            origin.inputs,
        )
        self.images[repository, digest] = image
        return image

    def size(self, repository: Repository, digest: Digest) -> int:
        """The compressed bytes of an image's largest platform; 0 of what is no image."""
        return max((each.size for each in self._images(repository, digest)), default=0)

    def created(self, repository: Repository, digest: Digest) -> datetime | None:
        """When an image was made, by its newest platform; nothing if none tells."""
        images = self._images(repository, digest)
        moments = (read_created(self.config(repository, each.config)) for each in images)
        return max(filter(None, moments), default=None)

    def _images(self, repository: Repository, digest: Digest) -> tuple[Manifest, ...]:
        """The platforms of an image; none of what is no image."""
        try:
            return self.platforms(repository, digest)
        except Failure as failure:
            if failure.kind is not Kind.UNVERIFIED:
                raise
            return ()

    def platforms(self, repository: Repository, digest: Digest) -> tuple[Manifest, ...]:
        """Read an image, or the images of an index, without their attestations."""
        manifest = self.manifest(repository, digest)
        if not manifest.is_index:
            return (manifest,)
        children = self.descendants(repository, digest)
        images = [each.digest for each in children if not each.is_index | each.is_attestation]
        if not 0 < len(images) <= _MOST_PLATFORMS:
            raise malformed(f"is an index of {len(images)} platforms")
        return tuple(self.manifest(repository, each) for each in images)

    def descendants(self, repository: Repository, digest: Digest) -> tuple[Child, ...]:
        """Every manifest that an index lists, and what indexes among them list in turn.

        Each comes after all indexes that list it. Only indexes are read. Raises an unverified
        failure if there are too many, or if they are nested too deeply.
        """
        descendants: dict[Digest, Child] = {}
        indexes = [digest]
        for _ in range(_DEEPEST):
            manifests = spread(partial(self.manifest, repository), indexes)
            children = {each.digest: each for parent in manifests for each in parent.children}
            # What was listed before moves to the end, behind the index that lists it again.
            kept = {key: each for key, each in descendants.items() if key not in children}
            descendants = kept | children
            if len(descendants) > _MOST_DESCENDANTS:
                break
            indexes = [each.digest for each in children.values() if each.is_index]
            if not indexes:
                return tuple(descendants.values())
        raise malformed("lists manifests without end")

    def part(self, repository: Repository, digest: Digest) -> Part:
        """Read one platform of an image that was pushed by itself."""
        held = self.manifest(repository, digest)
        images = self.platforms(repository, digest)
        if len(images) != 1:
            raise malformed(f"is an index of {len(images)} platforms, and no part of one")
        part = read_part(digest, held, images[0], self.config(repository, images[0].config))
        self.images[repository, digest] = part.image
        return part

    def put_index(self, reference: Reference, index: Index) -> None:
        """Write an index under a tag: all that it lists is on the registry, and was read."""
        key = reference.repository, index.image.digest
        self.manifests[key], self.images[key] = index
        self.set_tag(reference, index.image.digest)

    def set_tag(self, reference: Reference, digest: Digest) -> None:
        """Write the manifest's own bytes under a tag: no layer is sent, the digest stays.

        Raises an unverified failure if the registry answers that it has stored something else.
        https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests
        """
        manifest = self.manifest(reference.repository, digest)
        path = f"manifests/{reference.identifier}"
        response = self.send(
            "PUT",
            reference.repository,
            path,
            body=manifest.data,
            content_type=manifest.media_type,
        )
        if response.status not in WRITTEN:
            raise self.unexpected(response, f"writing {reference}", write=True)
        stored = _stored(response, digest)
        if stored != digest:
            raise Failure(
                Kind.UNVERIFIED,
                f"{reference} was given {digest.short}, but {reference.repository.host} says that "
                f"it has stored {stored.short}.",
                "Look at the registry, and at what stands before it, then run again.",
            )
        self.visible.expect(reference, digest)

    def tags(self, repository: Repository) -> tuple[Tag, ...]:
        """List every tag, page by page, in order; none, if there is no such repository.

        The specification asks for that order, and some registries list as their disks do.
        """
        url = self.url(repository, "tags/list?n=1000")
        tags: list[Tag] = []
        doubted = False
        first, left = url, _LIST_LIMIT
        endless = misbehaving(f"{repository} has pages of tags without end")
        for _ in pages(self.http.clock, _MOST_PAGES, endless):
            response = self.request("GET", url, {}, repository, limit=left)
            if response.status == 404 and not doubted:
                doubted = True  # Whoever believes that nothing is there deletes or hides all of it.
                continue
            if response.status == 404 and url == first:
                return ()
            if response.status != 200:
                raise self.unexpected(response, f"the tags of {repository}")
            names = response.json.get("tags", "none")
            if names is not None and not isinstance(names, list):
                raise misbehaving(f"{redact(response.url)} answered without a list of tags")
            tags += filter(None, map(_tag, names or ()))
            doubted = False
            url, left = next_page(response), left - len(response.body)
            if not url:
                break
        return tuple(sorted({*tags}))

    def check_push(self, repository: Repository) -> None:
        """Begin an upload and cancel it, which is the only proof of the right to push."""
        response = self.send("POST", repository, "blobs/uploads/", body=b"")
        if response.status not in (201, 202):
            raise self.unexpected(response, f"pushing to {repository}", write=True)
        if upload := upload_address(response):
            # Some let only those cancel it who may delete. It expires anyway: nobody waits for it.
            header = self.auth.header(repository.path)
            headers = {"Authorization": header} if header else {}
            with suppress(Failure):
                self.http.send("DELETE", upload, headers=headers, deadline=_CANCELLING, tries=1)

    def pull_limit(self, reference: Reference) -> PullLimit | None:
        """Ask how many pulls are left; nothing, where they are not limited."""
        path = f"manifests/{reference.identifier}"
        return read_pull_limit(self.send("HEAD", reference.repository, path).headers)

    def _digest_by_content(self, reference: Reference) -> Digest:
        """Read a manifest and hash it: a header may be missing, late, or another answer's.

        Raises an unverified failure on what is no manifest: something before the registry answers.
        """
        path = f"manifests/{reference.identifier}"
        response = self.send(
            "GET", reference.repository, path, accept=_ACCEPT, limit=_MANIFEST_LIMIT
        )
        if response.status != 200:
            raise self.unexpected(response, str(reference))
        Manifest.parse(response.body, response.headers.get("content-type", ""))
        return Digest.of(response.body)

    def manifest(self, repository: Repository, digest: Digest) -> Manifest:
        """Read a manifest or an index, and recompute its digest."""
        if cached := self.manifests.get((repository, digest)):
            return cached
        path = f"manifests/{digest}"
        response = self.send("GET", repository, path, accept=_ACCEPT, limit=_MANIFEST_LIMIT)
        if response.status == 404:
            for _ in self.visible.pauses(Reference(repository, digest)):
                response = self.send("GET", repository, path, accept=_ACCEPT, limit=_MANIFEST_LIMIT)
                if response.status != 404:
                    break
        self._check_content(response, repository, digest)
        manifest = Manifest.parse(response.body, response.headers.get("content-type", ""))
        self.manifests[repository, digest] = manifest
        return manifest

    def config(self, repository: Repository, digest: Digest) -> bytes:
        """Read an image's configuration."""
        response = self.send("GET", repository, f"blobs/{digest}", limit=_CONFIG_LIMIT)
        self._check_content(response, repository, digest)
        return response.body

    def check_found(self, response: Response, repository: Repository, digest: Digest) -> None:
        """Make sure that what was asked for by digest is there."""
        what = f"{repository}@{digest.short}"
        if response.status == 404:
            raise Failure(
                Kind.UNVERIFIED,
                f"{what} is named by a tag, but is not on the registry.",
                "Another run may have replaced or deleted it: run again.",
            )
        if response.status != 200:
            raise self.unexpected(response, what)

    def _check_content(self, response: Response, repository: Repository, digest: Digest) -> None:
        self.check_found(response, repository, digest)
        if not hashes_to(response.body, digest):
            raise damaged(repository, digest)

    def url(self, repository: Repository, path: str) -> str:
        """The address of what a repository has."""
        return f"{self.auth.host.url}/v2/{repository.path}/{path}"

    def send(
        self,
        method: str,
        repository: Repository,
        path: str,
        *,
        accept: str = "*/*",
        body: bytes | None = None,
        content_type: str = "application/octet-stream",
        limit: int = 65536,
        sink: Sink | None = None,
    ) -> Response:
        """Send one request about a repository; the caller judges the answer.

        The ``sink``, if any, takes the body of a 200; then redirects are followed.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        url = self.url(repository, path)
        response = self.request(method, url, headers, repository, body=body, limit=limit, sink=sink)
        # That a layer is kept elsewhere says that it is there.
        if method != "GET" and not (method == "HEAD" and path.startswith("manifests/")):
            return response
        for _ in range(_MOST_REDIRECTS):
            # The registry keeps it elsewhere itself, and wants the credential there too.
            target = same_origin(response.url, address(response, "location"))
            if response.status not in REDIRECTS or sink or not target:
                break
            response = self.request(method, target, headers, repository, limit=limit)
        if response.status not in REDIRECTS:
            return response
        return self.http.follow(response, method=method, accept=accept, limit=limit, sink=sink)

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        repository: Repository,
        *,
        body: bytes | Stream | None = None,
        limit: int = 65536,
        sink: Sink | None = None,
    ) -> Response:
        """Send with authorization; the first request alone, to learn what the registry wants."""

        def send(header: str | None) -> Response:
            own = {"Authorization": header} if header else {}
            sent = {**headers, **own}
            return self.http.send(method, url, headers=sent, body=body, limit=limit, sink=sink)

        if not self.auth.is_tried:
            with self.auth.lock:
                if not self.auth.is_tried:
                    response = self._authorized(send, repository.path)
                    self.auth.is_tried = True
                    hidden = self.auth.go_unasked() and method in ("GET", "HEAD")
                    if not hidden:
                        return response
        return self._authorized(send, repository.path)

    def _authorized(self, send: Callable[[str | None], Response], repository: str) -> Response:
        """Send, and again with another header as long as the registry answers with a challenge."""
        sent = self.auth.header(repository)
        response = send(sent)
        while response.status == 401:
            before, sent = sent, self.auth.answer(response, sent, repository)
            if sent == before:
                break
            response = send(sent)
        if response.status != 401:
            if sent:
                self.auth.accepted(repository)
        elif not self.auth.is_known(repository) and (
            self.auth.is_basic(sent) or not self.auth.credential
        ):
            raise self.auth.refused()
        return response

    def unexpected(self, response: Response, what: str, *, write: bool = False) -> Failure:
        """Turn a final answer into a failure, with the registry's own explanation."""
        return unexpected(response, self.auth, what, write=write)


def upload_address(response: Response) -> str:
    """The address of a begun upload; empty if it is elsewhere, where no credential may go."""
    return same_origin(response.url, address(response, "location"))


def _stored(response: Response, digest: Digest) -> Digest:
    """The digest that a write was answered with, or else the one that was written.

    It may be in a header of its own or end the address; what is named by another hash, or not at
    all, tells nothing.
    """
    place = address(response, "location").rpartition("/")[2]
    for text in (response.headers.get("docker-content-digest", ""), place):
        with suppress(Failure):
            found = Digest.parse(text)
            if found.algorithm == digest.algorithm:
                return found
    return digest


def _tag(name: object) -> Tag | None:
    """Read a tag of a listing; it becomes part of an address, so nothing else is one."""
    try:
        return Tag.parse(name) if isinstance(name, str) else None
    except Failure:
        return None
