"""Reading OCI manifests, indexes and image configurations, which come from anywhere.

https://github.com/opencontainers/image-spec/blob/main/manifest.md
https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Commit, Digest, Tag
from feastflow_registry.model.tag_names import INPUTS_LABEL

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ATTESTATION = "vnd.docker.reference.type"
_REVISION = "org.opencontainers.image.revision"
_SOURCE = "org.opencontainers.image.source"
_FIRST_YEAR = 2000
_RULE = re.compile(
    r"\^?(?:(?:[\w/-]|\.|\\[.dw-]|\[(?:\w(?:-\w)?|\.)+\])(?:[*+?]|\{\d\d?\})?)*\$?", re.ASCII
)
_MOST_REPEATS = 3
_MOST_BYTES = 2**60
"""More than that no part of an image has."""
_FOREIGN = (".image.rootfs.foreign.", ".image.layer.nondistributable.")


class Blob(NamedTuple):
    """A configuration or a layer. ``size``: bytes."""

    digest: Digest
    size: int


class Child(NamedTuple):
    """A manifest that an index lists. An attestation tells about an image and is not one."""

    digest: Digest
    is_index: bool = False
    is_attestation: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: its very bytes, and what they say."""

    data: bytes
    media_type: str
    content: Mapping[str, object]

    @classmethod
    def parse(cls, data: bytes, content_type: str) -> Manifest:
        """Read a manifest. Raises an unverified failure on anything that is not one."""
        content = json_object(data)
        media_type = str(content.get("mediaType") or content_type.partition(";")[0].strip())
        if media_type not in INDEXES + IMAGES:
            raise malformed(f"has the type {media_type[:80]!r}")
        return cls(data, media_type, content)

    @property
    def is_index(self) -> bool:
        """Whether this lists the manifests of several platforms."""
        return self.media_type in INDEXES

    @property
    def children(self) -> tuple[Child, ...]:
        """Every manifest that an index lists, attestations included; none for an image."""
        listed = self.content.get("manifests") if self.is_index else None
        return tuple(map(_child, listed)) if isinstance(listed, list) else ()

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What a registry must hold for one platform's image: its configuration and its layers.

        Not those layers that may not be distributed and are fetched from their own addresses:
        https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers
        """
        if self.is_index:
            return ()
        layers = [each for each in self._layers if not _is_foreign(each)]
        return tuple(
            Blob(_digest(each), _size(each)) for each in (self.content.get("config"), *layers)
        )

    @property
    def config(self) -> Digest:
        """The image configuration of one platform's manifest."""
        return _digest(self.content.get("config"))

    @property
    def size(self) -> int:
        """The bytes of the configuration and all layers, compressed, as they are pulled."""
        parts = [self.content.get("config"), *self._layers]
        sizes = [each.get("size") for each in parts if isinstance(each, dict)]
        return sum(each for each in sizes if isinstance(each, int) and 0 < each <= _MOST_BYTES)

    @property
    def _layers(self) -> list[dict[str, object]]:
        layers = self.content.get("layers")
        return (
            [each for each in layers if isinstance(each, dict)] if isinstance(layers, list) else []
        )


class Origin(NamedTuple):
    """What an image was made from, by its labels: commit, repository, digest of the inputs."""

    revision: Commit | None = None
    source: str = ""
    inputs: str = ""


def read_origin(data: bytes) -> Origin:
    """What an image configuration's labels say of its origin, if they do.

    https://github.com/opencontainers/image-spec/blob/main/config.md
    """
    config = json_object(data).get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    if not isinstance(labels, dict):
        return Origin()
    return Origin(
        Commit.read(labels.get(_REVISION)),
        str(labels.get(_SOURCE) or ""),
        str(labels.get(INPUTS_LABEL) or ""),
    )


def read_created(data: bytes) -> datetime | None:
    """When an image was made, if its configuration says so; builders write 1970 for never."""
    moment = read_moment(json_object(data).get("created"))
    return moment if moment and moment.year >= _FIRST_YEAR else None


def json_object(data: bytes) -> Mapping[str, object]:
    """Parse JSON that must be an object, however hostile. Half a character is no text."""
    try:
        found = json.loads(data)
        if b"\\u" in data:
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise malformed("is no JSON object")
    return found


def hashes_to(data: bytes, digest: Digest) -> bool:
    """Recompute a digest from the bytes it names."""
    algorithm, _, expected = digest.value.partition(":")
    return hashlib.new(algorithm, data).hexdigest() == expected


def _child(entry: object) -> Child:
    digest = _digest(entry)
    descriptor = entry if isinstance(entry, dict) else {}
    annotations = descriptor.get("annotations")
    is_attestation = isinstance(annotations, dict) and _ATTESTATION in annotations
    return Child(digest, descriptor.get("mediaType") in INDEXES, is_attestation)


def _is_foreign(entry: dict[str, object]) -> bool:
    media_type = str(entry.get("mediaType"))
    return bool(entry.get("urls")) and any(each in media_type for each in _FOREIGN)


def _size(entry: object) -> int:
    size = entry.get("size") if isinstance(entry, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST_BYTES:
        raise malformed("does not say how large its parts are")
    return size


def _digest(entry: object) -> Digest:
    try:
        return Digest.parse(str(entry.get("digest")) if isinstance(entry, dict) else "")
    except Failure:
        raise malformed("names no digest where one is due") from None


def malformed(what: str) -> Failure:
    """What the registry holds cannot be read."""
    return Failure(
        Kind.UNVERIFIED,
        f"what the registry holds is not a container image: it {what}.",
        "Publish under another name, or delete what is there.",
    )


@dataclass(frozen=True, slots=True)
class Published:
    """An image on the registry. ``size``: compressed bytes. Labels that disagree are unknown.

    ``inputs``: the digest of what it was made from, if it was published to be carried forward.
    """

    digest: Digest
    revision: Commit | None
    source: str
    size: int = 0
    inputs: str = ""


class Along(NamedTuple):
    """What went along with an image. ``size``: bytes; ``left``: what could not, and why."""

    number: int = 0
    size: int = 0
    left: tuple[str, ...] = ()


class Deleted(Enum):
    """What became of a deletion."""

    DONE = "deleted"
    GONE = "was not there"
    UNSUPPORTED = "not by tag"


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform of an image."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(each for each in (self.os, self.architecture, self.variant) if each)


@dataclass(frozen=True, slots=True)
class ListedTag:
    """A tag as it is listed. ``size``: compressed, in bytes; ``pushed``: in UTC."""

    name: Tag
    digest: Digest | None = None
    size: int = 0
    pushed: datetime | None = None
    platforms: tuple[Platform, ...] = ()


class Verdict(Enum):
    """Whether a tag is immutable, as far as can be told from here."""

    NO = "may be changed"
    MAYBE = "may be immutable"
    YES = "is immutable"


@dataclass(frozen=True, slots=True)
class ImmutableTags:
    """Docker Hub's setting of a repository: a tag that matches any of the rules is immutable.

    https://docs.docker.com/docker-hub/repos/manage/hub-images/immutable-tags/
    """

    enabled: bool = False
    rules: tuple[str, ...] = ()

    def judge(self, tag: str) -> tuple[Verdict, str]:
        """Say whether a tag is immutable, and by which rule.

        Docker does not say whether a rule must match the whole tag: if only a part matches, or
        if there is no rule at all, the tag may be immutable.
        """
        if not self.enabled:
            return Verdict.NO, ""
        verdicts = [(_judge(rule, tag), rule) for rule in self.rules]
        for wanted in (Verdict.YES, Verdict.MAYBE):
            for verdict, rule in verdicts:
                if verdict is wanted:
                    return verdict, rule
        return (Verdict.NO if self.rules else Verdict.MAYBE), ""


def _judge(rule: str, tag: str) -> Verdict:
    """Judge by one rule, which is a regular expression of Go's RE2.

    Only a row of characters and classes with few repeats, such as ``v.*``, is decided: it means
    the same to Python, and takes little time.
    """
    try:
        simple = _RULE.fullmatch(rule) and len(re.findall(r"[*+?]", rule)) <= _MOST_REPEATS
        pattern = re.compile(rule, re.ASCII) if simple else None
    except re.error:  # A range that ends before it begins.
        pattern = None
    if pattern is None:
        return Verdict.MAYBE
    if pattern.fullmatch(tag):
        return Verdict.YES
    return Verdict.MAYBE if pattern.search(tag) else Verdict.NO


@dataclass(frozen=True, slots=True)
class HubRepository:
    """What Docker Hub says of a repository. ``rights``: the user's, not those of the token."""

    private: bool
    immutable: ImmutableTags
    rights: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PullLimit:
    """How many pulls are left, out of how many in how many seconds."""

    remaining: int
    limit: int
    window: int


def read_moment(value: object) -> datetime | None:
    """Read an RFC 3339 time; Go's zero time stands for never."""
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
        moment = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1 else None


Names = Mapping[Tag | Digest, str]
"""What is used by its tag or digest, and where."""
