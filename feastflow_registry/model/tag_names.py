"""Every tag and label that this program owns on a registry: made and read in one place.

``latest``; ``commit-<sha>``, the image of a commit, and ``commit-<sha>.<platform>``, a part of it;
``withdrawn-<sha>``, set by a rollback on a bad image; ``frozen-<milestone>``, set when a milestone
becomes final; ``buildcache``, layers, and ``buildcache-<platform>``, those of a build for that
platform alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from feastflow_registry.model.references import Commit, Digest, Tag

LATEST = Tag("latest")
COMMIT, WITHDRAWN = "commit-", "withdrawn-"
CACHE_TAG = "buildcache"
RESERVED = ("latest", "commit-", "withdrawn-", "frozen-", CACHE_TAG, f"{CACHE_TAG}-")
OF_OTHER_TOOLS = re.compile(r"sha(?:256|384|512)-[0-9a-f]{32,}.*")
"""Tags of signatures and attestations, and of lists of what refers to an image.

https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
"""
_BESIDE = re.compile(r"sha256-([0-9a-f]{64})(?:[._-].*)?")
INPUTS_LABEL = "io.github.feastflow.registry-action.inputs"
OWNED_LABELS = (
    "org.opencontainers.image.revision",
    "org.opencontainers.image.source",
    INPUTS_LABEL,
)
_OF_A_COMMIT = re.compile(rf"({COMMIT}|{WITHDRAWN})([0-9a-f]{{7,64}})")
_PART = re.compile(rf"{COMMIT}([0-9a-f]{{7,64}})\.[a-z0-9]+-[a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class CommitTags:
    """Makes the tags that name a commit. ``length``: how many of its digits they have."""

    length: int

    def of(self, commit: Commit) -> Tag:
        """The tag of a commit's image."""
        return self.beginning(commit.sha)

    def beginning(self, digits: str) -> Tag:
        """The tag of the commit whose name begins with these digits, of which there are enough."""
        return Tag(f"{COMMIT}{digits[: self.length]}")

    def part(self, commit: Commit, platform: str) -> Tag:
        """The tag of one platform of a commit's image, which is put together from several."""
        return Tag(f"{self.of(commit)}.{platform.replace('/', '-')}")

    def withdrawn(self, commit: Commit) -> Tag:
        """The tag that a rollback gives a commit's bad image."""
        return Tag(f"{WITHDRAWN}{commit.sha[: self.length]}")


def commit_digits(tag: Tag) -> str:
    """The digits of the commit whose image a tag is for; empty, if it is no commit tag."""
    return _digits(tag, COMMIT)


def part_digits(tag: Tag) -> str:
    """The digits of the commit of whose image a tag holds a part; empty, if it holds none."""
    found = _PART.fullmatch(tag.value)
    return found[1] if found else ""


def withdrawn_digits(tag: Tag) -> str:
    """The digits of the commit that a tag marks as withdrawn; empty, if it marks none."""
    return _digits(tag, WITHDRAWN)


def named_digits(tag: Tag) -> str:
    """The digits of the commit that a tag's name tells: it is its own, a part's or a mark."""
    return commit_digits(tag) or part_digits(tag) or withdrawn_digits(tag)


def _digits(tag: Tag, prefix: str) -> str:
    found = _OF_A_COMMIT.fullmatch(tag.value)
    return found[2] if found and found[1] == prefix else ""


def subject(tag: Tag) -> Digest | None:
    """The image that a tag of another tool is about; nothing, if it is about none."""
    found = _BESIDE.fullmatch(tag.value)
    return Digest(f"sha256:{found[1]}") if found else None


def is_shared(tag: Tag) -> bool:
    """Whether a tag may hold any commit's image: it is no commit's, no mark, no other tool's."""
    others = (name for name in RESERVED if name != LATEST.value)
    return not tag.value.startswith(tuple(others)) and not OF_OTHER_TOOLS.fullmatch(tag.value)


def cache_tag(platforms: Sequence[str]) -> Tag:
    """The tag of the layers of a build for these platforms; of several, one build leaves one."""
    parts = (CACHE_TAG, *platforms) if len(platforms) == 1 else (CACHE_TAG,)
    return Tag("-".join(parts).replace("/", "-"))


def is_cache(tag: str) -> bool:
    """Whether a tag can be one of layers."""
    return tag == CACHE_TAG or tag.startswith(f"{CACHE_TAG}-")


def frozen_marker(tag: Tag) -> Tag:
    """The tag that says that a milestone is final."""
    return Tag.near(f"frozen-{tag}")
