"""Every tag and label that this program owns on a registry: made and read in one place.

``latest``; ``commit-<sha>``, the image of a commit; ``withdrawn-<sha>``, set by a rollback on a bad
image; ``frozen-<milestone>``, set when a milestone becomes final; ``buildcache``, layers.
"""

from __future__ import annotations

import re

from feastflow_registry.model.references import Commit, Tag

LATEST = Tag("latest")
COMMIT, WITHDRAWN = "commit-", "withdrawn-"
CACHE_TAG = "buildcache"
RESERVED = ("latest", "commit-", "withdrawn-", "frozen-", CACHE_TAG)
INPUTS_LABEL = "io.github.feastflow.registry-action.inputs"
OWNED_LABELS = (
    "org.opencontainers.image.revision",
    "org.opencontainers.image.source",
    INPUTS_LABEL,
)
_OF_A_COMMIT = re.compile(rf"({COMMIT}|{WITHDRAWN})([0-9a-f]{{7,64}})")


def commit_tag(commit: Commit, length: int) -> Tag:
    """``commit-`` and the first digits of the commit."""
    return Tag(f"{COMMIT}{commit.sha[:length]}")


def frozen_marker(tag: Tag) -> Tag:
    """The tag that says that a milestone is final."""
    return Tag.near(f"frozen-{tag}")


def withdrawn_marker(commit: Commit, length: int) -> Tag:
    """The tag that says that a commit's image is bad."""
    return Tag(f"{WITHDRAWN}{commit.sha[:length]}")


def marks(tag: Tag) -> tuple[str, str]:
    """What a tag's name says of a commit: how it begins, and the commit's digits; or nothing."""
    found = _OF_A_COMMIT.fullmatch(tag.value)
    return (found[1], found[2]) if found else ("", "")
