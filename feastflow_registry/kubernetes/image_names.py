"""An image as manifests name it: the repository that is meant, and what the name is pinned to.

It decides which spellings mean one repository (``nginx`` is ``docker.io/library/nginx``), and
what is no reference yet but waits for another program to fill it in. The spelling of the
repository is kept: a cluster may pull only what is spelled with its host.
https://pkg.go.dev/github.com/distribution/reference#ParseNormalizedNamed
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from feastflow_registry.kubernetes.yaml_lookup import Cursor, Doubt
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag, split_host

_AFTER_NAME = re.compile(r"(?=[:@])")
_PINNED = re.compile(
    r"(?::(\w[\w.-]{0,127}))?(?:@([a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]+))?", re.ASCII
)

_NAMED = re.compile(
    r"(?::\w[\w.-]{0,127})?(?:@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?", re.ASCII
)
_BREAK = re.compile(r"[\s\"'`=,;()<>|]+")


@dataclass(frozen=True, slots=True)
class Pin:
    """What a repository's image is to be: a tag for people, and the digest that counts."""

    tag: Tag
    digest: Digest

    def __str__(self) -> str:
        return f":{self.tag}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Spelling:
    """A repository as it is written, and what comes after it."""

    name: str
    rest: str
    repository: Repository

    @property
    def is_reference(self) -> bool:
        """Whether the rest is a tag, a digest, both or nothing."""
        return _PINNED.fullmatch(self.rest) is not None


@dataclass(frozen=True, slots=True)
class Found:
    """An image, where it stands and whose it is.

    ``place``: the scalar that holds it, or the entry of a kustomization; ``text``: the image;
    ``spelling``: nothing, if it names no repository; ``can_pin``: whether what follows the
    repository is a tag, a digest or nothing; ``doubt``: what is against editing it in place;
    ``foreign``: whether its kind is not one of Kubernetes' own; ``namespace``: where its resource
    says that it lives, if it does; ``ephemeral``: whether it is an ephemeral container's.
    """

    place: Cursor
    resource: str
    container: str
    text: str
    spelling: Spelling | None
    can_pin: bool
    doubt: Doubt | None = None
    foreign: bool = False
    namespace: str = ""
    ephemeral: bool = False

    @property
    def repository(self) -> Repository | None:
        """The repository that is meant."""
        return self.spelling.repository if self.spelling else None

    @property
    def name(self) -> str:
        """The repository as it is spelled, or all that is written."""
        return self.spelling.name if self.spelling else shown(self.text)

    @property
    def line(self) -> int:
        """The line where it is written."""
        return self.place.node.line

    @property
    def owner(self) -> str:
        """Whose image it is, on one line."""
        return shown(f"{self.container or 'a container'} in {self.resource}")


def shown(text: str) -> str:
    """Untrusted text on one line, shortened."""
    printable = "".join(each if each.isprintable() else "?" for each in text)
    return printable if len(printable) <= 120 else f"{printable[:117]}..."


def spell(text: str) -> Spelling | None:
    """Read what may be an image; nothing, if it does not begin with a repository."""
    host, rest = split_host(text)
    path, *after = _AFTER_NAME.split(rest, maxsplit=1)
    try:
        repository = Repository.parse(RegistryHost.parse(host or "docker.io"), path)
    except Failure:
        return None
    return Spelling(f"{host}/{path}" if host else path, "".join(after), whole(repository))


def mentions(text: str, repository: Repository) -> Iterator[str]:
    """Yield what stands after a repository wherever a text names it with a tag or a digest."""
    for word in _BREAK.split(text) if repository.name in text else ():
        spelling = spell(word.rstrip("."))
        if spelling and spelling.repository == whole(repository):
            found = _NAMED.match(spelling.rest)
            if found and found[0]:
                yield found[0]


def whole(repository: Repository) -> Repository:
    """Write out what Docker Hub's own images leave out."""
    if repository.host.is_docker_hub and "/" not in repository.path:
        return Repository(repository.host, f"library/{repository.path}")
    return repository
