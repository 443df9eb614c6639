"""What a tag goes back along: the commits of a branch, or the releases of a line.

Both are places in an order, each with an image of every service that was published there. Where the
places come from is all that differs: how to go back along them is told once, in ``way_back``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
        """The newest place that any service is at. Raises where that cannot be known.

        An image is at the place that it came with, and not at later ones that it was carried to.
        """

    def holders(self, held: Held, place: Place) -> list[Service]:
        """The services that are at a place."""

    def came_last(self, images: Held) -> list[Service]:
        """Whose images came last: those of the others were there before."""

    def older(self, place: Place) -> Sequence[Place]:
        """The places before one, the newest first."""

    def image(self, repository: Repository, place: Place) -> Chosen | None:
        """The image of a place, if it is published there."""

    def good(self, repository: Repository, place: Place) -> Chosen | None:
        """The same, if it is not withdrawn."""

    def taken_back(self, held: Held, place: Place) -> Held:
        """The nearest image after a place that a rollback has marked, of each service with one."""

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
        found: Commit | None = None
        for chosen in held.values():
            if chosen.origin is None:
                raise Failure(
                    Kind.CONFLICT,
                    f"{Reference(chosen.repository, self.tag)} holds an image of no known commit.",
                    'Say which commit it is to go to, in the input "to".',
                )
            newest = found or chosen.origin
            relation = self.surveyor.history.relation(newest, chosen.origin)
            if relation in (Relation.DIVERGED, Relation.UNKNOWN):
                raise Failure(
                    Kind.CONFLICT,
                    f"the services hold {chosen.origin.short}, which {relation.value} "
                    f"{newest.short}.",
                    'Roll them back one by one, by the input "services", or say where to, by '
                    'the input "to".',
                )
            found = chosen.origin if relation is not Relation.BEHIND else newest
        assert found is not None
        return found

    def holders(self, held: Held, place: Place) -> list[Service]:
        """The services whose image was made of a commit."""
        return [service for service, chosen in held.items() if chosen.origin == place]

    def came_last(self, images: Held) -> list[Service]:
        """Those whose image was made of the newest commit."""
        return self.holders(images, self.newest(images)) if len(images) > 1 else list(images)

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
                    f"{Reference(repository, tag)} is in the list of tags, but is not there.",
                    "Another run may have deleted it: run again, or say where to go in "
                    'the input "to".',
                )
        return chosen

    def good(self, repository: Repository, place: Place) -> Chosen | None:
        """The same, if it is not withdrawn."""
        return _unmarked(self.surveyor, self.image(repository, place))

    def taken_back(self, held: Held, place: Place) -> Held:
        """The marked image of the nearest newer commit of the branch."""
        assert isinstance(place, Commit)
        newer = list(self.surveyor.history.newer(place, self.branch))[::-1]
        marks = [self.surveyor.commit_tags.withdrawn(each) for each in newer]

        def find(service: Service) -> Chosen | None:
            listed = self.lists.of(service.repository)
            known = [Reference(service.repository, mark) for mark in marks if mark in listed]
            for mark in filter(self.surveyor.is_marked, known):
                wanted = Selector(tag=Tag(mark.identifier))
                return Chooser(self.surveyor).choose(service.repository, wanted)
            return None

        found = zip(held, spread(find, held if marks else ()), strict=False)
        return {service: image for service, image in found if image}

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
        """The highest release that the image of any service came with."""
        found = filter(None, self._places(held))
        newest = min(found, key=self.names.index, default="")
        if newest:
            return newest
        raise Failure(
            Kind.INPUT,
            f"{self.tag} holds an image that is of no release.",
            'Say which commit it is to go to, in the input "to".',
        )

    def holders(self, held: Held, place: Place) -> list[Service]:
        """The services whose image came with a release."""
        places = zip(held, self._places(held), strict=True)
        return [service for service, name in places if name == place]

    def came_last(self, images: Held) -> list[Service]:
        """Those whose image came with the highest release; of what is in none, the last commit."""
        if any(self._places(images)):
            return self.holders(images, self.newest(images))
        return Commits(self.surveyor, self.lists, self.tag, "", follows=False).came_last(images)

    def older(self, place: Place) -> Sequence[str]:
        """The lower releases."""
        return self.names[self.names.index(str(place)) + 1 :]

    def image(self, repository: Repository, place: Place) -> Chosen | None:
        """The image of a release, if it is published."""
        return self._image(repository, str(place))

    def good(self, repository: Repository, place: Place) -> Chosen | None:
        """The same, if it is not withdrawn."""
        return _unmarked(self.surveyor, self.image(repository, place))

    def taken_back(self, held: Held, place: Place) -> Held:
        """The marked image of the nearest higher release, not the one that was carried there."""
        higher = self.names[: self.names.index(str(place))][::-1]

        def find(service: Service) -> Chosen | None:
            images = (self._image(service.repository, name) for name in higher)
            others = (each for each in images if each and each.digest != held[service].digest)
            return next(filter(Chooser(self.surveyor).is_withdrawn, others), None)

        found = zip(held, spread(find, held), strict=True)
        return {service: image for service, image in found if image}

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

    def _places(self, held: Held) -> list[str]:
        """With which release each image came: the lowest of those in a row that have it."""
        return spread(lambda each: self._place(each.repository, held[each]), held)

    def _place(self, repository: Repository, chosen: Chosen) -> str:
        place = ""
        for name in islice(self._published(repository), _MOST_RELEASES):
            image = self._image(repository, name)
            if image and image.digest == chosen.digest:
                place = name
            elif place:
                break
        return place

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
