"""What the core asks of the world. Adapters answer; each may raise a ``Failure``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import (
    Along,
    Deleted,
    HubRepository,
    ListedTag,
    Published,
    PullLimit,
)
from feastflow_registry.model.parts import Index, Part
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image fresh from the builder: in the engine by ID, or on the registry by digest.

    ``cache``: what became of the caches of its build; empty, if it has none.
    """

    image_id: str
    digest: Digest | None = None
    size: int = 0
    cache: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build session made, and what it did not: both by the service's name."""

    images: Mapping[str, BuiltImage]
    failures: Mapping[str, Failure] = field(default_factory=dict)


class Registry(Protocol):
    """A registry as its distribution API shows it; or several, each with its repositories."""

    def resolve(self, reference: Reference) -> Digest | None:
        """Ask what a tag or digest points at; nothing, if it is not there.

        What this run has written is waited for where the registry shows it late.
        """

    def expect(self, reference: Reference, digest: Digest | None) -> None:
        """Take note of what another client wrote for this run, or deleted: it may show late."""

    def announce(self, reference: Reference) -> None:
        """Take note that another run has written a tag, whatever it holds: it may show late."""

    def catch_up(self) -> None:
        """Wait until what other runs wrote before now is visible, if writes are shown late here."""

    def confirm(self, reference: Reference, digest: Digest) -> None:
        """Read what a tag holds; raises an unverified failure if its bytes have another digest."""

    def inspect(self, repository: Repository, digest: Digest) -> Published:
        """Read an image by digest and recompute the digest from its bytes."""

    def part(self, repository: Repository, digest: Digest) -> Part:
        """Read one platform of an image, as it was pushed by itself."""

    def put_index(self, reference: Reference, index: Index) -> None:
        """Write an index of images that are there, under a tag."""

    def size(self, repository: Repository, digest: Digest) -> int:
        """The bytes of an image, of an index those of its largest platform; 0 if it is no image.

        It costs less than ``inspect``.
        """

    def created(self, repository: Repository, digest: Digest) -> datetime | None:
        """When an image was made, by its newest platform; nothing if none tells."""

    def set_tag(self, reference: Reference, digest: Digest) -> None:
        """Point a tag at a manifest of the same repository, byte for byte."""

    def tags(self, repository: Repository) -> tuple[Tag, ...]:
        """List every tag; none, if there is no such repository."""

    def check_push(self, repository: Repository) -> None:
        """Make sure that the credential may push here, without publishing anything."""

    def pull_limit(self, reference: Reference) -> PullLimit | None:
        """Ask how many pulls are left; nothing, where they are not limited."""


class Copier(Protocol):
    """Brings images to a repository: from another one, or the image of nothing."""

    def clear(self, mark: Reference) -> None:
        """Point a tag at the image of nothing (``marks``)."""

    def copy(self, source: Repository, digest: Digest, target: Repository) -> int:
        """Copy an image with all that it lists, what is there left out; the bytes that went."""

    def bring_along(self, source: Repository, digest: Digest, target: Repository) -> Along:
        """Copy what refers to an image that was copied: signatures, SBOMs, attestations."""


class Deletion(Protocol):
    """Deletes on one registry, as its distribution API allows."""

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        """Delete one tag and leave its image, if the registry does that. May raise a refusal."""

    def delete_manifest(self, repository: Repository, digest: Digest) -> Deleted:
        """Delete an image and all of its tags."""

    def restore(self, repository: Repository, digest: Digest) -> None:
        """Bring an image back that ``delete_manifest`` has deleted, without its tags."""

    def children(self, repository: Repository, digest: Digest) -> frozenset[Digest]:
        """Every manifest that an image needs to stay whole; none if it is no index."""


class Listing(Protocol):
    """A registry's own API, which tells more than names and deletes a tag alone."""

    def tags(self, repository: Repository) -> Iterable[ListedTag]:
        """List every tag, page by page; none, if there is no such repository."""

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        """Delete one tag and leave its image. May raise a refusal, or a conflict."""


class DockerHub(Listing, Protocol):
    """Docker Hub's own API."""

    def about(self, repository: Repository) -> HubRepository | None:
        """Read a repository's facts; nothing, if it is not there, or is not ours to see."""

    def check_delete(self, repository: Repository, absent: Tag) -> None:
        """Make sure that the token may delete, by deleting a tag that is not there."""


class Builder(Protocol):
    """Docker Engine and buildx."""

    def describe(self) -> str:
        """Name the engine and its image store."""

    def describe_builder(self, images: Sequence[BuildImage]) -> str:
        """Name buildx, and the builder that would build these; raises what keeps it from that."""

    def check_ready(self, images: Sequence[BuildImage]) -> None:
        """Make sure that the engine and a builder are there and can build these.

        May make a builder of our own.
        """

    def build(self, images: Sequence[BuildImage], *, push: bool) -> Built:
        """Build all images in one session; one that fails keeps no other from being built.

        Raises what is no single service's failure, such as an engine that is gone.
        """

    def push(self, image: BuiltImage, reference: Reference) -> Digest:
        """Push an image that is in the engine under a tag."""


class Checker(Protocol):
    """Judges an image before it gets any name on the registry."""

    def check(
        self, service: Service, image: BuiltImage, reference: Reference, *, alone: bool
    ) -> None:
        """Run the service's smoke test and its check. Raises a build failure.

        ``reference``: the commit tag, which an image in the engine is already called by;
        ``alone``: whether no other check runs, so that its output may be shown as it comes.
        Several threads may check at once.
        """

    def end(self) -> None:
        """Let every check that still runs end soon, and leave nothing behind."""


class History(Protocol):
    """What git and GitHub know of the commits of one repository."""

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Say where ``head`` stands to ``base``: AHEAD is a descendant."""

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """The first-parent commits of a branch that come after one, newest first."""

    def ancestors(self, commit: Commit) -> Sequence[Commit]:
        """The first parents before a commit, newest first, about a hundred of them."""

    def is_shallow(self) -> bool:
        """Whether what is known is cut off somewhere."""

    def git_tag(self, name: str) -> Commit | None:
        """The commit of a git tag on the remote."""

    def git_tag_names(self) -> Collection[str]:
        """The names of all git tags on the remote."""

    def resolve(self, abbreviation: str) -> Commit | None:
        """The one commit whose name begins so."""


@dataclass(frozen=True, slots=True)
class Status:
    """One line at a commit on GitHub. ``url``: where more is to be seen.

    ``is_whole``: whether it tells of a success.
    """

    context: str
    description: str
    url: str
    is_whole: bool = True


class Statuses(Protocol):
    """What GitHub shows at the commits of one repository."""

    def set(self, commit: Commit, status: Status) -> None:
        """Set a status. Raises a failure if that may not or cannot be."""


class Worktree(Protocol):
    """The files that images are built from."""

    def ensure(self, commit: Commit, *, by_content: bool = False) -> None:
        """Refuse unless HEAD is this commit and no tracked file differs from it."""

    def untracked(self, folders: Sequence[str]) -> Sequence[str]:
        """The files that are in no commit, and are not ignored."""


class Ledger(Protocol):
    """What ``build`` made, for ``push``."""

    def write(self, commit: Commit, images: Mapping[str, BuiltImage]) -> None:
        """Remember the images of one commit, by the service's name."""

    def read(self, commit: Commit) -> Mapping[str, BuiltImage]:
        """Recall them; empty, if another commit or none was built."""


Tell = Callable[[str], None]
Working = Callable[[str], AbstractContextManager[Tell]]
"""Shows what is waited for meanwhile; what it gives says it anew."""


@contextmanager
def unseen(_: str) -> Iterator[Tell]:
    """Show nothing: nobody looks on."""
    yield lambda _: None


class Log(Protocol):
    """Where a person reads along. Untrusted text goes to ``quote`` alone."""

    def say(self, text: str) -> None:
        """Write one line of our own."""

    def group(self, title: str) -> AbstractContextManager[None]:
        """Fold the lines written inside."""

    def quote(self, line: str) -> None:
        """Write one line of somebody else's."""

    def working(self, text: str) -> AbstractContextManager[Tell]:
        """Show what is waited for, where somebody looks on (``Working``), for several threads."""

    def notice(self, text: str) -> None:
        """Point out something that is right but may surprise."""

    def warning(self, text: str) -> None:
        """Point out something that is probably not wanted."""

    def fail(self, cause: str, fix: str, more: str = "") -> None:
        """Say what failed, what to do, and at which address more is said of it."""


@dataclass(frozen=True, slots=True)
class Printed:
    """How ``bake --print`` ended, and what it wrote. ``folder``: where its files were."""

    code: int
    text: str
    errors: str
    folder: str
