"""What a tag goes back along: the commits of a branch, or the releases of a line.

Both are places in an order, each with an image of every service that was published there. Where the
places come from is all that differs: how to go back along them is told once, in ``way_back``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Protocol

from feastflow_registry.config.selectors import Selector
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import Since
from feastflow_registry.model.references import Commit, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.survey import Surveyor

_MOST_RELEASES = 30
"""Among how many of the highest ones the held release is looked for."""

Place = Commit | str
"""A commit, or a release by its git tag."""
Held = Mapping[Service, Chosen]
"""What a tag holds of each service."""


@dataclass(frozen=True, slots=True)
class TagLists:
    """The tags of repositories, each of which is asked for once."""

    surveyor: Surveyor
    _listed: dict[Repository, frozenset[Tag]] = field(default_factory=dict)

    def of(self, repository: Repository) -> frozenset[Tag]:
        """Every tag of a repository."""
        if repository not in self._listed:
            self._listed[repository] = frozenset(self.surveyor.registry.tags(repository))
        return self._listed[repository]


class Trail(Protocol):
    """The places that a tag goes along. ``follows``: whether publishing moves it along them."""

    @property
    def follows(self) -> bool:
        """Whether it is known that the tag was at what is published along here."""

    def newest(self, held: Held) -> Place:
        """The newest place that any service is at. Raises where that cannot be known."""

    def holders(self, held: Held, place: Place) -> list[Service]:
        """The services that are at a place."""

    def older(self, place: Place) -> Sequence[Place]:
        """The places before one, the newest first."""

    def image(self, repository: Repository, place: Place) -> Chosen | None:
        """The image of a place, if it is published there."""

    def good(self, repository: Repository, place: Place) -> Chosen | None:
        """The same, if it is not withdrawn."""

    def taken_back(self, held: Held, place: Place) -> Place | None:
        """The nearest place after one from which a rollback has taken the tag back."""

    def order(self, one: Chosen, other: Chosen) -> Relation:
        """Say where the ``other`` image stands to ``one``: AHEAD is newer."""

    def since(self, held: Chosen, base: Chosen) -> Since:
        """What is published by now of what comes after ``base``: the rest takes the tag over."""


@dataclass(frozen=True, slots=True)
class Commits:
    """The first parents of a commit.

    ``branch``: the main one; ``follows``: whether publishing moves the tag to its newest commit.
    """

    surveyor: Surveyor
    lists: TagLists
    tag: Tag
    branch: str
    follows: bool

    def newest(self, held: Held) -> Commit:
        """The newest commit that any service holds."""
        newest: Commit | None = None
        for chosen in held.values():
            if chosen.commit is None:
                raise Failure(
                    Kind.CONFLICT,
                    f"{Reference(chosen.repository, self.tag)} holds an image of no known commit.",
                    "Say in the input to which commit it is to go.",
                )
            relation = self.surveyor.history.relation(newest or chosen.commit, chosen.commit)
            if relation in (Relation.DIVERGED, Relation.UNKNOWN):
                raise Failure(
                    Kind.CONFLICT,
                    f"the services hold {chosen.commit.short}, which {relation.value} "
                    f"{newest.short if newest else 'another'}.",
                    "Roll them back one by one (services), or say where to (to).",
                )
            newest = chosen.commit if relation is not Relation.BEHIND else newest
        assert newest is not None
        return newest

    def holders(self, held: Held, place: Place) -> list[Service]:
        """The services whose image is a commit's."""
        return [service for service, chosen in held.items() if chosen.commit == place]

    def older(self, place: Place) -> Sequence[Commit]:
        """The first parents of a commit."""
        assert isinstance(place, Commit)
        return self.surveyor.history.ancestors(place)

    def image(self, repository: Repository, place: Place) -> Chosen | None:
        """A commit's image, if it is published.

        Raises an unreachable failure if its tag is listed but is not there: without it, the tag
        would go one image too far back.
        """
        assert isinstance(place, Commit)
        chooser = Chooser(self.surveyor)
        chosen = chooser.published(repository, place)
        tag = self.surveyor.commit_tags.of(place)
        if chosen is None and tag in self.lists.of(repository):
            chosen = chooser.published(repository, place)
            if chosen is None:
                raise Failure(
                    Kind.UNREACHABLE,
                    f"{Reference(repository, tag)} is listed, and is not there.",
                    "Another run may have deleted it: run again, or name where to go in the input "
                    "to.",
                )
        return chosen

    def good(self, repository: Repository, place: Place) -> Chosen | None:
        """The same, if it is not withdrawn."""
        return _unmarked(self.surveyor, self.image(repository, place))

    def taken_back(self, held: Held, place: Place) -> Commit | None:
        """The nearest newer commit of the branch that is marked."""
        assert isinstance(place, Commit)
        newer = list(self.surveyor.history.newer(place, self.branch))[::-1]
        repositories = [each.repository for each in self.holders(held, place) if newer]
        for commit in newer:
            mark = self.surveyor.commit_tags.withdrawn(commit)
            marks = (Reference(each, mark) for each in repositories if mark in self.lists.of(each))
            if any(map(self.surveyor.is_marked, marks)):
                return commit
        return None

    def order(self, one: Chosen, other: Chosen) -> Relation:
        """As the commits stand to each other."""
        return order(self.surveyor, one, other)

    def since(self, held: Chosen, base: Chosen) -> Since:
        """The commits of the branch after one that are published."""
        if not self.follows or base.commit is None:
            return Since()
        newer = list(self.surveyor.history.newer(base.commit, self.branch))
        others = [each for each in newer if each != held.commit]
        tags = self.lists.of(held.repository) if others else frozenset()
        known = (c for c in newer if c == held.commit or self.surveyor.commit_tags.of(c) in tags)
        return Since(base.commit, frozenset(known))


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of a line. ``names``: their git tags, the highest first."""

    surveyor: Surveyor
    lists: TagLists
    tag: Tag
    names: Sequence[str]
    _images: dict[tuple[Repository, str], Chosen | None] = field(default_factory=dict)

    @property
    def follows(self) -> bool:
        """Each release moves its tags."""
        return True

    def newest(self, held: Held) -> str:
        """The highest release that any service holds, among the highest ones."""
        repositories = [service.repository for service in held]
        found = (name for name in self.names if any(self._is_there(r, name) for r in repositories))
        for name in islice(found, _MOST_RELEASES):
            spread(partial(self._image, name=name), repositories)
            if self.holders(held, name):
                return name
        raise Failure(
            Kind.INPUT,
            f"{self.tag} holds the image of no release.",
            "Say in the input to which commit it is to go.",
        )

    def holders(self, held: Held, place: Place) -> list[Service]:
        """The services that hold the image of a release."""
        images = ((each, self._image(each.repository, str(place))) for each in held)
        return [each for each, image in images if image and image.digest == held[each].digest]

    def older(self, place: Place) -> Sequence[str]:
        """The lower releases."""
        return self.names[self.names.index(str(place)) + 1 :]

    def image(self, repository: Repository, place: Place) -> Chosen | None:
        """The image of a release, if it is published."""
        return self._image(repository, str(place))

    def good(self, repository: Repository, place: Place) -> Chosen | None:
        """The same, if it is not withdrawn."""
        return _unmarked(self.surveyor, self.image(repository, place))

    def taken_back(self, held: Held, place: Place) -> str | None:
        """The nearest higher release that is marked."""
        for name in reversed(self.names[: self.names.index(str(place))]):
            images = (self._image(service.repository, name) for service in held)
            if any(map(Chooser(self.surveyor).is_withdrawn, filter(None, images))):
                return name
        return None

    def order(self, one: Chosen, other: Chosen) -> Relation:
        """As the releases stand to each other; images that are none, as their commits do."""
        places = [self._name(each) for each in (one, other)]
        if "" in places:
            return order(self.surveyor, one, other)
        first, second = map(self.names.index, places)
        return Relation.AHEAD if second < first else Relation.BEHIND

    def since(self, held: Chosen, base: Chosen) -> Since:
        """The releases of the line that are published."""
        return Since(release=self._name(base), releases=frozenset(self._published(held.repository)))

    def _is_there(self, repository: Repository, name: str) -> bool:
        return Tag.near(name) in self.lists.of(repository)

    def _published(self, repository: Repository) -> Iterator[str]:
        return (name for name in self.names if self._is_there(repository, name))

    def _image(self, repository: Repository, name: str) -> Chosen | None:
        """The image of a release, where there is one."""
        if (repository, name) not in self._images:
            wanted = Selector(tag=Tag.near(name))
            there = self._is_there(repository, name)
            chosen = Chooser(self.surveyor).choose(repository, wanted) if there else None
            self._images[repository, name] = chosen
        return self._images[repository, name]

    def _name(self, chosen: Chosen) -> str:
        """The release whose image this is; empty, if it is none of the highest ones."""
        for name in islice(self._published(chosen.repository), _MOST_RELEASES):
            image = self._image(chosen.repository, name)
            if image and image.digest == chosen.digest:
                return name
        return ""


def _unmarked(surveyor: Surveyor, image: Chosen | None) -> Chosen | None:
    return None if image and Chooser(surveyor).is_withdrawn(image) else image


def order(surveyor: Surveyor, one: Chosen, other: Chosen) -> Relation:
    """Say where the commit of the ``other`` image stands to that of ``one``."""
    if one.digest == other.digest:
        return Relation.SAME
    if one.commit is None or other.commit is None:
        return Relation.UNKNOWN
    return surveyor.history.relation(one.commit, other.commit)


def named(place: Place) -> str:
    """A place as people call it."""
    return place.short if isinstance(place, Commit) else place
