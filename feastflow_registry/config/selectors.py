"""Which published image is meant, and where it is to go: ``to``, ``tag`` and ``keep``, parsed once.

``to`` is a commit (whole, abbreviated, or as its commit tag), a digest or a tag. The first digits
of a digest are enough, with or without ``sha256:``, where one image begins so. ``tag`` is a tag, or
with a slash in it a repository, which may be on another registry and may hold ``{service}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feastflow_registry.config.filter_patterns import parse_pattern
from feastflow_registry.config.grammar import refusal, unreserved
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import (
    HUB,
    Digest,
    RegistryHost,
    Repository,
    Tag,
    split_host,
)
from feastflow_registry.model.services import SERVICE_PLACEHOLDER, Service
from feastflow_registry.model.tag_names import COMMIT, LATEST
from feastflow_registry.model.wording import lower_ascii

_COMMIT = re.compile(rf"(?:{COMMIT})?([0-9a-f]{{4,64}})")
_OF_GIT = re.compile(r"^HEAD$|[~^@{}]")
_OFFICIAL = "library/"
_DIGESTS = ("sha256:", "sha512:")
_FEWEST = 7
"""How many digits of a digest are the fewest that may be meant to name it."""
_START = re.compile(rf"sha256:[0-9a-f]{{{_FEWEST},63}}|sha512:[0-9a-f]{{{_FEWEST},127}}")


@dataclass(frozen=True, slots=True)
class Selector:
    """A published image, as somebody names it. One of the four is given.

    ``commit``: the first digits, in lower case, of which there are at least four; ``short``: the
    beginning of a digest.
    """

    commit: str = ""
    tag: Tag | None = None
    digest: Digest | None = None
    short: str = ""

    @property
    def start(self) -> str:
        """How the digest may begin that is meant: digits can be a commit's or a digest's."""
        return self.short or (self.commit if len(self.commit) >= _FEWEST else "")

    def __str__(self) -> str:
        return self.commit or self.short or str(self.tag or self.digest)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an image goes. Without ``path``, it stays in its own repository.

    ``path`` may hold ``{service}``. Without ``tag``, the image gets its commit tag alone.
    """

    tag: Tag | None
    path: str = ""
    host: RegistryHost | None = None

    def repository(self, service: Service) -> Repository:
        """The repository that this means for one service."""
        if not self.path:
            return service.repository
        path = self.path.replace(SERVICE_PLACEHOLDER, service.name)
        return Repository.parse(self.host or service.repository.host, path)

    def __str__(self) -> str:
        name = f"{self.host}/{self.path}" if self.host else self.path
        return ":".join(each for each in (name, str(self.tag or "")) if each)


@dataclass(frozen=True, slots=True)
class KeepItem:
    """One item of ``keep``: a pattern of tags, a commit's first digits, or a tag or digest.

    ``path``: the tag's repository, or its last part alone; with ``host``, where that is;
    ``start``: how the digest begins that may be meant.
    """

    text: str
    pattern: str = ""
    commit: str = ""
    host: RegistryHost | None = None
    path: str = ""
    tag: Tag | None = None
    digest: Digest | None = None
    start: str = ""

    def short_for(self, digests: Iterable[Digest]) -> list[Digest]:
        """The digests of which it gives the first digits."""
        return [each for each in digests if self.start and each.begins(self.start)]

    def targets(self, repository: Repository, digests: Iterable[Digest]) -> list[Tag | Digest]:
        """What it names of a repository with these images, but for a pattern; a commit by its tag.

        A digest counts anywhere, for what an image is does not depend on where it is.
        """
        targets: list[Tag | Digest] = [self.digest] if self.digest else []
        targets += self.short_for(digests)
        if self.commit:
            targets.append(Tag(f"{COMMIT}{self.commit}"))
        elif self.tag and self._is_of(repository):
            targets.append(self.tag)
        return targets

    def _is_of(self, repository: Repository) -> bool:
        if self.host not in (None, repository.host):
            return False
        same = self.path.removeprefix(_OFFICIAL) == repository.path.removeprefix(_OFFICIAL)
        return same or (not self.host and self.path == repository.name)


def selector(text: str) -> Selector:
    """Read ``to``. What can be a commit is one; ``commit-`` before it makes no difference."""
    if _OF_GIT.search(text):
        fix = "Give the commit itself: `git rev-parse` shows it."
        raise refusal(text, "is a name that only git understands.", fix)
    commit = _COMMIT.fullmatch(text.lower())
    if commit:
        return Selector(commit=commit[1])
    if _START.fullmatch(text):
        return Selector(short=text)
    if ":" in text:
        return Selector(digest=Digest.parse(text))
    return Selector(tag=Tag.parse(text))


def destination(text: str) -> Destination:
    """Read ``tag``, which must be free to be moved."""
    if "/" not in text:
        found = Destination(Tag.parse(text))
    elif "@" in text:
        cause = "names a digest, which cannot be moved."
        raise refusal(text, cause, 'Give the digest as the input "to".')
    else:
        host, path, tag = _split(text)
        Repository.parse(host or HUB, path.replace(SERVICE_PLACEHOLDER, "service"))
        found = Destination(tag, path, host)
    if found.tag and found.tag != LATEST:
        unreserved(found.tag)
    return found


def place(text: str) -> Destination:
    """Read an item of ``also``: a repository, on Docker Hub where it names no registry."""
    host, path, tag = (None, "", None) if "@" in text or "/" not in text else _split(text)
    if not path or tag:
        fix = "Write registry/path/{service}: each image has the same tags everywhere."
        raise refusal(text, "must be a repository, without a tag.", fix)
    Repository.parse(host or HUB, path.replace(SERVICE_PLACEHOLDER, "service"))
    return Destination(None, path, host or HUB)


def _split(text: str) -> tuple[RegistryHost | None, str, Tag | None]:
    """Split ``[host/]path[:tag]``."""
    first, rest = split_host(text)
    host = RegistryHost.parse(first) if first else None
    path, colon, tag = rest.partition(":")
    return host, path, Tag.parse(tag) if colon else None


def lower_repository(text: str) -> str:
    """Write the repository of ``[host/]path[:tag]`` in lower case; a tag alone stays as it is."""
    if "/" not in text:
        return text
    host, rest = split_host(text)
    path, colon, tag = rest.partition(":")
    name = f"{host}/{path}" if host else path
    return f"{lower_ascii(name)}{colon}{tag}"


def bare(command: str, given: Sequence[Destination], what: str = "tags") -> tuple[Tag, ...]:
    """The bare tags that a command is about, each once; ``what``: how many it may be about."""
    for each in given:
        if each.path:
            cause = f'input "tag": {command} takes {what} without a repository, not {each}.'
            raise Failure(Kind.INPUT, cause, 'Give the tag alone, as in input "tag: production".')
    return tuple(dict.fromkeys(each.tag for each in given if each.tag))


def single(command: str, given: Sequence[Destination]) -> Tag | None:
    """The one bare tag that a command is about, or none."""
    tags = bare(command, given, "one tag")
    if len(tags) > 1:
        cause = f'input "tag": {command} takes one tag, not {len(tags)}.'
        raise Failure(Kind.INPUT, cause, 'Give one tag alone, as in input "tag: production".')
    return tags[0] if tags else None


def kept(text: str) -> KeepItem:
    """Read one item of ``keep``. Raises an input failure on what could not name an image."""
    name, at, digest = text.rpartition("@")
    if not at and _START.fullmatch(text):
        return KeepItem(text, start=text)
    if not at and text.startswith(_DIGESTS):
        return KeepItem(text, digest=Digest.parse(text))
    if not at and not {"/", ":"} & set(text):
        commit = _COMMIT.fullmatch(text.lower())
        if commit:
            digits = commit[1]
            return KeepItem(text, commit=digits, start=digits if len(digits) >= _FEWEST else "")
        parse_pattern(text.removeprefix("!"))
        return KeepItem(text, pattern=text)
    host, path, tag = _split(name if at else text)
    Repository.parse(host or HUB, path)
    if not tag and not at:
        fix = "Write repository:tag, repository@sha256:…, or a pattern of tags."
        raise refusal(text, "names no tag and no digest.", fix)
    return KeepItem(
        text, host=host, path=path, tag=tag, digest=Digest.parse(digest) if at else None
    )
