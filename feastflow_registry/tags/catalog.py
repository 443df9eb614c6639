"""What a repository holds, tag by tag: which share an image, whose commit it is, what is bad.

It is computed from one listing and one look at the history. A tag that is no commit's has the
commit of the newest commit tag on its image. Of several commit tags on one image, the oldest made
it, and the others carry it forward.

``Cataloguer`` reads one. Docker Hub lists a hundred tags at a time with all that is told of them.
Other registries list names alone: one HEAD a tag gives its image, and of the newest images the
manifest gives the size. An image's configuration is read only to know when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from operator import itemgetter

from feastflow_registry.config.selectors import Selector
from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import ListedTag, Platform
from feastflow_registry.model.marks import NOTHING
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.ports import Listing, Registry
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import (
    LATEST,
    commit_digits,
    frozen_marker,
    named_digits,
    part_digits,
    subject,
    withdrawn_digits,
)

_MOST_SIZES = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag. ``size``: compressed bytes, or 0; ``digits``: the first ones of its commit.

    ``made_by``: the commit that an image was carried forward from; ``frozen``: never moved again;
    ``joined``: of a part, whether its image is there.
    """

    tag: Tag
    digest: Digest | None
    size: int = 0
    pushed: datetime | None = None
    platforms: tuple[Platform, ...] = ()
    digits: str = ""
    revision: Revision | None = None
    made_by: str = ""
    withdrawn: bool = False
    frozen: bool = False
    joined: bool = False

    @property
    def is_commit(self) -> bool:
        """Whether this is a commit's own tag."""
        return bool(commit_digits(self.tag))

    @property
    def is_part(self) -> bool:
        """Whether this is one platform of a commit's image, and no image by itself."""
        return bool(part_digits(self.tag))

    @property
    def is_marker(self) -> bool:
        """Whether this is a mark of a commit's image, in force or taken off."""
        return bool(withdrawn_digits(self.tag))

    @property
    def subject(self) -> Digest | None:
        """The image that a tag of another tool is about: a signature, for example."""
        return subject(self.tag)

    @property
    def moment(self) -> datetime | None:
        """Since when it is there: its last push, else not before its commit."""
        return self.pushed or (self.revision.committed if self.revision else None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """One service's repository; ``entries``: the newest first, those without any date last."""

    service: Service
    entries: tuple[Entry, ...]
    sharing: Mapping[Digest, tuple[Tag, ...]]

    @property
    def latest(self) -> Entry | None:
        """Where ``latest`` points."""
        return next((each for each in self.entries if each.tag == LATEST), None)

    @property
    def commits(self) -> tuple[Entry, ...]:
        """The commit tags, newest first."""
        return tuple(each for each in self.entries if each.is_commit)

    def holding(self, wanted: Selector) -> Catalog:
        """Only the tags that hold an image that is meant. Digits may mean several."""
        meant = {each.digest for each in self.entries if each.digest and _is_meant(each, wanted)}
        entries = tuple(each for each in self.entries if each.digest in meant)
        sharing = {digest: tags for digest, tags in self.sharing.items() if digest in meant}
        return Catalog(self.service, entries, sharing)

    def unsized(self, most: int) -> tuple[Digest, ...]:
        """Of the newest images, those whose size is not known."""
        sizes: dict[Digest, int] = {}
        for each in self.entries:
            if each.digest:
                sizes[each.digest] = each.size
        return tuple(digest for digest, size in islice(sizes.items(), most) if not size)

    def sized(self, sizes: Mapping[Digest, int]) -> Catalog:
        """The same with sizes that were looked up."""
        known = (
            replace(each, size=sizes.get(each.digest, each.size)) if each.digest else each
            for each in self.entries
        )
        return replace(self, entries=tuple(known))


def _is_meant(entry: Entry, wanted: Selector) -> bool:
    """Whether a tag, its commit or its image is what somebody names."""
    assert entry.digest
    own = commit_digits(entry.tag)
    if wanted.commit and own and (own.startswith(wanted.commit) or wanted.commit.startswith(own)):
        return True
    if wanted.start and entry.digest.begins(wanted.start):
        return True
    return entry.digest == wanted.digest or entry.tag.value in (str(wanted.tag), wanted.commit)


def abbreviations(listed: Iterable[ListedTag]) -> frozenset[str]:
    """The commits that tags name, as far as they name them."""
    return frozenset(digits for each in listed if (digits := named_digits(each.name)))


def complete(wanted: Collection[str], history: Iterable[Revision]) -> dict[str, Revision]:
    """Find the commits that some digits mean. Where they mean two of them, none is found."""
    lengths = {len(each) for each in wanted}
    found: dict[str, Revision] = {}
    ambiguous: set[str] = set()
    for revision in history:
        for digits in (revision.commit.sha[:length] for length in lengths):
            if digits in found:
                ambiguous.add(digits)
            elif digits in wanted:
                found[digits] = revision
    return {digits: each for digits, each in found.items() if digits not in ambiguous}


def compile_catalog(
    service: Service, listed: Iterable[ListedTag], known: Mapping[str, Revision]
) -> Catalog:
    """Put together what is known of each tag. ``known``: commits by the digits that tags name."""
    entries = {each.name: _enter(each, known) for each in listed}
    marks = [each for each in entries.values() if each.is_marker and each.digest != NOTHING]
    bad = {each.digits for each in marks}
    marked = {each.digest for each in marks if each.digest}
    whole = {each.digits for each in entries.values() if each.is_commit}
    commits: dict[Digest, list[Entry]] = {}
    for each in sorted(entries.values(), key=_newest_first):
        if each.is_commit and each.digest:
            commits.setdefault(each.digest, []).append(each)
    makers = {digest: _maker(own) for digest, own in commits.items()}
    for tag, each in entries.items():
        own = commits.get(each.digest) if each.digest else None
        whose = own[0] if own and not each.digits else each
        maker = makers.get(each.digest) if each.is_commit and each.digest else None
        entries[tag] = replace(
            each,
            digits=whose.digits,
            revision=whose.revision,
            made_by=maker.digits if maker and maker.tag != tag else "",
            withdrawn=each.digest in marked or (each.is_commit and each.digits in bad),
            frozen=frozen_marker(tag) in entries,
            joined=each.is_part and each.digits in whole,
        )
    ordered = sorted(entries.values(), key=_newest_first)
    sharing: dict[Digest, list[Tag]] = {}
    for each in ordered:
        if each.digest:
            sharing.setdefault(each.digest, []).append(each.tag)
    shared = {digest: tuple(tags) for digest, tags in sharing.items()}
    return Catalog(service, tuple(ordered), shared)


def _enter(listed: ListedTag, known: Mapping[str, Revision]) -> Entry:
    digits = named_digits(listed.name)
    return Entry(
        listed.name,
        listed.digest,
        listed.size,
        listed.pushed,
        listed.platforms,
        digits,
        known.get(digits),
    )


def _maker(commits: Sequence[Entry]) -> Entry | None:
    """Who made the image that commits share; nothing where that cannot be known."""
    return in_order(commits)[-1] if all(each.moment for each in commits) else None


def in_order(commits: Sequence[Entry]) -> list[Entry]:
    """Commits as history has them, the newest first; where it lacks one, as they are listed."""
    places = [each.revision.place for each in commits if each.revision]
    if len(places) < len(commits):
        return list(commits)
    return [each for _, each in sorted(zip(places, commits, strict=True), key=itemgetter(0))]


def _newest_first(entry: Entry) -> tuple[float, int, bool, str]:
    """Where the registry tells, the last push counts; else the commit's place in the history."""
    known = entry.pushed or entry.revision
    place = entry.revision.place if entry.revision else 0
    when = entry.pushed.timestamp() if entry.pushed else 0.0
    return (-when if known else 1.0, place, entry.is_commit, entry.tag.value)


@dataclass(frozen=True, slots=True)
class Cataloguer:
    """Reads the repositories of one registry.

    ``listing``: a registry's own, if it has one; ``history``: the clone's commits, newest first.
    """

    registry: Registry
    listing: Listing | None
    history: Callable[[], Iterable[Revision]]

    def read(self, services: Sequence[Service], *, sizes: bool = True) -> tuple[Catalog, ...]:
        """Read each service's repository, with the sizes of its newest images if wanted."""
        repositories = [each.repository for each in services]
        lists = zip(repositories, spread(self._list, repositories), strict=True)
        listed = [self._resolve(*each) for each in lists]
        wanted = abbreviations(tag for tags in listed for tag in tags)
        known = complete(wanted, self.history()) if wanted else {}
        found = tuple(
            compile_catalog(service, tags, known)
            for service, tags in zip(services, listed, strict=True)
        )
        return tuple(map(self._measure, found)) if sizes and not self.listing else found

    def _list(self, repository: Repository) -> Sequence[ListedTag]:
        if self.listing:
            return tuple(self.listing.tags(repository))
        return tuple(ListedTag(tag) for tag in self.registry.tags(repository))

    def _resolve(self, repository: Repository, listed: Sequence[ListedTag]) -> Sequence[ListedTag]:
        """Ask for the images that a listing does not name. One that is no image stays unknown.

        What is listed and not there is asked for twice.
        """
        digests: dict[Tag, Digest] = {}
        for _ in range(2):
            unknown = [each.name for each in listed if not (each.digest or each.name in digests)]
            references = [Reference(repository, tag) for tag in unknown]
            found = zip(unknown, spread(self.registry.resolve, references), strict=True)
            digests |= {tag: digest for tag, digest in found if digest}
        return [replace(each, digest=each.digest or digests.get(each.name)) for each in listed]

    def _measure(self, catalog: Catalog) -> Catalog:
        repository = catalog.service.repository

        digests = catalog.unsized(_MOST_SIZES)
        sizes = spread(partial(self.registry.size, repository), digests)
        return catalog.sized(dict(zip(digests, sizes, strict=True)))

    def created(
        self, repository: Repository, digests: Collection[Digest]
    ) -> dict[Digest, datetime]:
        """When images were made; those left out that do not tell."""
        moments = spread(partial(self.registry.created, repository), digests)
        return {digest: each for digest, each in zip(digests, moments, strict=True) if each}
