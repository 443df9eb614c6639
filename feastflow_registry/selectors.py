"""Which published image is meant, and where it is to go: ``to``, ``tag`` and ``keep``, parsed once.

``to`` is a commit (whole, abbreviated, or as its commit tag), a digest or a tag. ``tag`` is a tag,
or with a slash in it a repository, which may be on another registry and may hold ``{service}``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from feastflow_registry.errors import Failure, Kind
from feastflow_registry.grammar import unreserved
from feastflow_registry.patterns import compile_pattern
from feastflow_registry.references import Digest, RegistryHost, Repository, Tag
from feastflow_registry.services import EACH, Service

_COMMIT = re.compile(r"(?:commit-)?([0-9a-f]{4,64})")
_OF_GIT = re.compile(r"^HEAD$|[~^@{}]")
_LATEST = Tag("latest")


@dataclass(frozen=True, slots=True)
class Selector:
    """A published image, as somebody names it. One of the three is given.

    ``commit``: the first digits, in lower case, of which there are at least four.
    """

    commit: str = ""
    tag: Tag | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.commit or str(self.tag or self.digest)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an image goes. Without ``path``, into its own repository; without ``tag``, see there.

    ``path`` may hold ``{service}``.
    """

    tag: Tag | None
    path: str = ""
    host: RegistryHost | None = None

    def repository(self, service: Service) -> Repository:
        """The repository that this means for one service."""
        if not self.path:
            return service.repository
        path = self.path.replace(EACH, service.name)
        return Repository.parse(self.host or service.repository.host, path)

    def __str__(self) -> str:
        name = f"{self.host}/{self.path}" if self.host else self.path
        return ":".join(each for each in (name, str(self.tag or "")) if each)


def selector(text: str) -> Selector:
    """Read ``to``. What can be a commit is one; ``commit-`` before it makes no difference."""
    if _OF_GIT.search(text):
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} is a name that only git knows.",
            "Give the commit's digits, which `git rev-parse` tells.",
        )
    found = _COMMIT.fullmatch(text.lower())
    if found:
        return Selector(commit=found[1])
    if ":" in text:
        return Selector(digest=Digest.parse(text))
    return Selector(tag=Tag.parse(text))


def destination(text: str) -> Destination:
    """Read ``tag``, which must be free to be moved."""
    found = _parse(text)
    if found.tag and found.tag != _LATEST:
        unreserved(found.tag)
    return found


def _parse(text: str) -> Destination:
    """A first part with a dot or a port, or ``localhost``, is a registry."""
    if "/" not in text:
        return Destination(Tag.parse(text))
    first, _, rest = text.partition("/")
    named = re.search(r"[.:]", first) or first == "localhost"
    host = RegistryHost.parse(first) if named else None
    path, colon, tag = (rest if named else text).partition(":")
    if "@" in path or "@" in tag:
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} names a digest, which cannot be moved.",
            "Give the digest as the input to.",
        )
    Repository.parse(host or RegistryHost("docker.io"), path.replace(EACH, "service"))
    return Destination(Tag.parse(tag) if colon else None, path, host)


def single(command: str, given: Sequence[Destination]) -> Tag | None:
    """The one bare tag that a command is about, or none."""
    for each in given:
        if each.path or len(given) > 1:
            raise Failure(
                Kind.INPUT,
                f'input "tag": {command} is about one tag of each service, not {each}.',
                "Give the tag alone, as in tag: production.",
            )
    return given[0].tag if given else None


def kept(text: str) -> str:
    """Check one item of ``keep``: a digest, a reference, or a pattern of tags."""
    name, _, digest = text.rpartition("@") if "@" in text else ("", "", text)
    if digest.startswith("sha"):
        Digest.parse(digest)
    elif "/" not in text:
        compile_pattern(text)
    elif ":" not in text.rpartition("/")[2]:
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} names no tag and no digest.",
            "Write repository:tag, repository@sha256:…, or a pattern of tags.",
        )
    if "/" in text:
        _parse(name or text)
    return text
