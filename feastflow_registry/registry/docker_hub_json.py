"""What a registry's own listing says of a repository and its tags, read from untrusted JSON.

The shapes are those of Docker Hub's API. A name or a digest that is none is refused; whatever is
merely shown to people, a size or a time, is left out where it makes no sense.
https://docs.docker.com/reference/api/hub/latest/#tag/repositories
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import (
    HubRepository,
    ImmutableTags,
    ListedTag,
    Platform,
    PullLimit,
    read_moment,
)
from feastflow_registry.model.references import Digest, Tag

_LIMIT = re.compile(r"([0-9]{1,9})(?:;w=([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class TagPage:
    """One page of a listing; ``next`` is where it goes on, as the registry says, or empty."""

    tags: tuple[ListedTag, ...]
    next: str = ""

    @classmethod
    def read(cls, data: Mapping[str, object]) -> TagPage:
        """Read a page. Raises an unreachable failure on anything that is not one."""
        results = data.get("results")
        if not isinstance(results, list):
            raise hub_misbehaving("sends a page of tags without tags")
        return cls(tuple(map(read_listed_tag, results)), _text(data.get("next")))


def read_hub_repository(data: Mapping[str, object]) -> HubRepository:
    """Read a repository. Raises an unreachable failure if its visibility is not said."""
    private, settings = data.get("is_private"), data.get("immutable_tags_settings")
    rights = data.get("permissions")
    if not isinstance(private, bool):
        raise hub_misbehaving("does not say whether a repository is private")
    return HubRepository(
        private,
        _immutable(settings if isinstance(settings, dict) else {}),
        frozenset(str(name) for name, has in rights.items() if has is True)
        if isinstance(rights, dict)
        else frozenset(),
    )


def read_pull_limit(headers: Mapping[str, str]) -> PullLimit | None:
    """Read the answer to a HEAD of any manifest; nothing, where pulls are not limited.

    Header names are in lower case. To ask costs no pull:
    https://docs.docker.com/docker-hub/usage/pulls/#view-hourly-pull-rate-and-limit
    """
    remaining = _LIMIT.fullmatch(headers.get("ratelimit-remaining", ""))
    limit = _LIMIT.fullmatch(headers.get("ratelimit-limit", ""))
    if remaining is None or limit is None:
        return None
    return PullLimit(int(remaining[1]), int(limit[1]), int(limit[2] or remaining[2] or 0))


def read_listed_tag(entry: object) -> ListedTag:
    """Read one entry. Raises an unreachable failure if its name or digest is none."""
    data = entry if isinstance(entry, dict) else {}
    try:
        name = Tag.parse(_text(data.get("name")))
        digest = Digest.parse(_text(data["digest"])) if data.get("digest") else None
    except Failure as failure:
        raise hub_misbehaving(
            f"lists a tag that cannot be one: {failure.problems[0].cause}"
        ) from None
    images = data.get("images")
    found = [_platform(each) for each in images] if isinstance(images, list) else []
    return ListedTag(
        name,
        digest,
        _count(data.get("full_size")),
        read_moment(data.get("tag_last_pushed")) or read_moment(data.get("last_updated")),
        tuple(dict.fromkeys(each for each in found if each)),
    )


def hub_misbehaving(cause: str) -> Failure:
    """Docker Hub, or what stands before it, answered what it should not."""
    fix = "Check Docker Hub's status, and FEASTFLOW_HUB_URL if it is set, then run again."
    return Failure(Kind.UNREACHABLE, f"Docker Hub's API {cause}".rstrip(".") + ".", fix)


def _immutable(settings: Mapping[str, object]) -> ImmutableTags:
    rules = settings.get("rules")
    known = [each for each in rules if isinstance(each, str)] if isinstance(rules, list) else []
    return ImmutableTags(settings.get("enabled") is True, tuple(known))


def _platform(entry: object) -> Platform | None:
    """One of ``images``; those of os ``unknown`` are attestations."""
    data = entry if isinstance(entry, dict) else {}
    os, architecture = _word(data.get("os")), _word(data.get("architecture"))
    if not os or not architecture or os == "unknown":
        return None
    return Platform(os, architecture, _word(data.get("variant")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _word(value: object) -> str:
    return found if (found := _text(value)).isascii() and found.isalnum() else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
