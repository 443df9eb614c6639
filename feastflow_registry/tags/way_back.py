"""Where a tag goes when it is taken back, and what becomes of it when there is nothing to do.

All services go back to one place: the nearest one before, published and not withdrawn, at which
one of those that are at the bad place had another image. A service that did not change since stays
as it is; that makes a rollback that was broken off end where the whole one would have.

Who names the bad image (``away_from``) says that no tag may hold it, not that a tag goes one back:
two people who name two images end at the same image, in whichever order they come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from feastflow_registry.config.selectors import Selector
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.history import Relation
from feastflow_registry.model.parallel import attempt, spread
from feastflow_registry.model.plan import (
    KeepTag,
    MoveTag,
    ReuseImage,
    Rule,
    Since,
    Step,
    WithdrawImage,
)
from feastflow_registry.model.references import Commit, Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, CommitTags, frozen_marker
from feastflow_registry.model.wording import some
from feastflow_registry.tags import rules
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.survey import Surveyor
from feastflow_registry.tags.trails import Held, Place, Trail, named


@dataclass(frozen=True, slots=True)
class Return:
    """Where one tag of one service goes. ``held``: what it holds now; ``good``: what it is to hold.

    ``why``: why it stays; ``bad``: the image that is bad; ``marks``: whether it is to be marked;
    ``since``: what is published already of what would take the tag over; ``is_foreign``: whether
    nothing tells that the tag ever held the bad image.
    """

    service: Service
    tag: Tag
    held: Chosen
    good: Chosen | None
    why: str = ""
    bad: Chosen | None = None
    marks: bool = False
    since: Since = field(default_factory=Since)
    is_foreign: bool = False

    @property
    def moves(self) -> bool:
        """Whether the tag gets another image."""
        return self.good is not None and self.good.digest != self.held.digest


@dataclass(frozen=True, slots=True)
class WayBack:
    """Looks for where one tag can go back to, in all services side by side."""

    surveyor: Surveyor
    tag: Tag
    trail: Trail

    @property
    def _chooser(self) -> Chooser:
        return Chooser(self.surveyor)

    def held(self, services: Sequence[Service]) -> Held:
        """What the tag holds of each service that has it. Raises where none has."""
        git_tag = self.tag != LATEST and self.surveyor.history.git_tag(self.tag.value)

        def look(service: Service) -> Chosen | None:
            reference = Reference(service.repository, self.tag)
            marker = Reference(service.repository, frozen_marker(self.tag))
            is_final = self.surveyor.registry.resolve(marker) is not None
            if is_final or git_tag:
                why = "is final" if is_final else "is the name of a git tag"
                raise Failure(
                    Kind.CONFLICT,
                    f"{reference} {why}, and is never moved.",
                    "Roll another tag back, or promote what should run to a tag of its own.",
                )
            if len(services) > 1 and not self.surveyor.registry.resolve(reference):
                return None
            return self._chooser.choose(service.repository, Selector(tag=self.tag))

        looked = zip(services, spread(look, services), strict=True)
        held = {service: chosen for service, chosen in looked if chosen}
        if not held:
            raise Failure(
                Kind.INPUT,
                f"no service has the tag {self.tag}.",
                "Name the tag that is to go back in the input tag.",
            )
        return held

    def holds(self, held: Held) -> Chosen:
        """The image of the newest place that any service is at."""
        return held[self.trail.holders(held, self.trail.newest(held))[0]]

    def to(self, held: Held, wanted: Selector) -> list[Return]:
        """Send every service to the image that is named."""
        choose = partial(self._choose, wanted)
        chosen = list(zip(held, attempt(choose, held), strict=True))
        failures = [each for _, each in chosen if isinstance(each, Failure)]
        good = {service: each for service, each in chosen if isinstance(each, Chosen)}
        if failures and good and failures[0].kind is Kind.INPUT:
            names = ", ".join(service.name for service in good)
            fix = f"To move those that have it, name them in the input services: {names}."
            causes = (problem.cause for each in failures for problem in each.problems)
            raise Failure.of(Kind.INPUT, [Problem(cause, fix) for cause in causes])
        if failures:
            raise Failure.join(failures)
        # What is in between was passed over by whoever named the image, published or not.
        return [
            self._return(service, held[service], each, base=held[service])
            for service, each in good.items()
        ]

    def _choose(self, wanted: Selector, service: Service) -> Chosen:
        return self._chooser.choose(service.repository, wanted)

    def back(self, held: Held, *, is_told: bool = False) -> list[Return]:
        """Send every service back to before the newest place that any of them is at.

        Unless it is told which image is bad, that was done already where what comes next is
        withdrawn: two people on call, or a second try of a run that was broken off, are not to end
        two images back.
        """
        at = self.trail.newest(held)
        bad = None if is_told else self.trail.taken_back(held, at)
        if bad:
            why = f"it was taken back from {named(bad)} already, and is at {named(at)}"
            repositories = [service.repository for service in held]
            look = partial(self.trail.image, place=bad)
            images = zip(held, spread(look, repositories), strict=True)
            # Manifests may be left to point at what the tag holds.
            return [Return(s, self.tag, held[s], held[s], why, image) for s, image in images]
        affected = self.trail.holders(held, at)
        before = list(self.trail.older(at))
        for index, place in enumerate(before):
            look = partial(self.trail.good, place=place)
            found = spread(look, [service.repository for service in affected])
            good = dict(zip(affected, found, strict=True))
            if any(each and each.digest != held[service].digest for service, each in good.items()):
                nearest = spread(partial(self._nearest, before[index:], good), held)
                return [
                    self._return(service, held[service], chosen, base=chosen)
                    for service, chosen in zip(held, nearest, strict=True)
                ]
        raise self._nowhere(affected, at, others=held.keys() - set(affected), before=before)

    def away_from(
        self, held: Held, bad: Mapping[Service, Chosen], to: Selector | None
    ) -> list[Return]:
        """Take the tag back where it holds a bad image, and say why it stays where it does not."""
        holding = {
            service: chosen
            for service, chosen in held.items()
            if service in bad and bad[service].digest == chosen.digest
        }
        found: list[Return] = []
        if holding:
            found = self.to(holding, to) if to else self.back(holding, is_told=True)
        others = [service for service in held if service not in holding]
        return found + spread(lambda each: self._stay(each, held[each], bad.get(each)), others)

    def _stay(self, service: Service, held: Chosen, bad: Chosen | None) -> Return:
        """Leave a tag that does not hold the bad image, which must not come to it either."""
        stays = partial(Return, service, self.tag, held, held)
        if bad is None:
            return stays("it never had that image")
        at, name = called(held), called(bad)
        if self._chooser.is_withdrawn(bad):
            taken = "it was taken back from" if self.trail.follows else "nothing moves it to"
            return stays(f"{taken} {name} already, and is at {at}", bad)
        order = self.trail.order(bad, held)
        if order is Relation.AHEAD or (order is Relation.BEHIND and self.trail.follows):
            is_newer = "newer" if order is Relation.AHEAD else "older"
            why = f"it is at {at}, which is {is_newer} than {name}"
            since = self.trail.since(held, held)
            return stays(why, bad, marks=bad.commit is not None, since=since)
        return stays(
            f"it is at {at}, and nothing tells that it ever was at {name}", is_foreign=True
        )

    def _nearest(
        self,
        places: Sequence[Place],
        looked_at: Mapping[Service, Chosen | None],
        service: Service,
    ) -> Chosen | None:
        """The image of the first place that has a good one; the first was ``looked_at``."""
        first, *others = places
        look = partial(self.trail.good, service.repository)
        good = looked_at[service] if service in looked_at else look(first)
        return good or next(filter(None, map(look, others)), None)

    def _return(
        self, service: Service, held: Chosen, good: Chosen | None, *, base: Chosen | None
    ) -> Return:
        if good is None or base is None:
            return Return(service, self.tag, held, None, "nothing older is published")
        is_forward = self.trail.order(held, good) is Relation.AHEAD
        is_bad = good.digest != held.digest and not is_forward
        since = self.trail.since(held, base)
        bad, marks = (held, held.commit is not None) if is_bad else (None, False)
        return Return(service, self.tag, held, good, "", bad, marks, since)

    def _nowhere(
        self,
        services: Sequence[Service],
        bad: Place,
        *,
        others: Collection[Service],
        before: Sequence[Place],
    ) -> Failure:
        """Say whose image has nothing before it, and what to do instead."""
        names = ", ".join(each.name for each in services)
        if isinstance(bad, Commit) and not before:
            return Failure(
                Kind.INPUT,
                f"{names} is at commit {bad.short}, and git knows no commit before it.",
                "Where that is not the first commit, fetch the history (`git fetch`, in a shallow "
                "clone with --unshallow); or name a commit in the input to.",
                see="shallow-clone",
            )
        rest = ", ".join(sorted(each.name for each in others))
        offered = self.surveyor.offered(services[0].repository)
        offered = [each for each in offered if not str(bad).startswith(each)]
        fix = "Publish a commit that mends it"
        fix += f", or name one in the input to: {some(offered)}." if offered else "."
        if rest:
            fix = f"To take the others back, name them in the input services: {rest}."
        return Failure(
            Kind.INPUT,
            f"{names} has nothing to go back to: before {named(bad)}, no other image is published "
            "and not withdrawn.",
            fix,
        )


def called(chosen: Chosen) -> str:
    """An image as people call it."""
    if chosen.commit:
        return chosen.commit.short
    return str(chosen.tag or chosen.digest.short)


def steps(returns: Sequence[Return], tags: CommitTags) -> tuple[Step, ...]:
    """Plan the way back: marks first, so that no run moves a tag to a bad image again.

    Raises a conflict where the tags of one service would go to different images.
    """
    goals: dict[Service, dict[Chosen, Tag]] = {}
    for each in returns:
        if each.good and each.moves:
            goals.setdefault(each.service, {}).setdefault(each.good, each.tag)
    for service, found in goals.items():
        if len({each.digest for each in found}) > 1:
            ways = ", ".join(f"{tag} to {called(chosen)}" for chosen, tag in found.items())
            raise Failure(
                Kind.CONFLICT,
                f"the tags of {service.name} would go to different images: {ways}.",
                "Roll them back one by one, or say in the input to where all of them go.",
            )
    # Several tags of a service have its image and its mark in common.
    return tuple(dict.fromkeys(step for each in returns for step in _steps(each, tags)))


def _steps(target: Return, tags: CommitTags) -> Iterator[Step]:
    service, held, good, bad = target.service, target.held, target.good, target.bad
    if good and target.moves:
        yield ReuseImage(service, Reference(good.repository, good.tag or good.digest), good.image)
    if target.marks and bad and bad.commit:
        yield WithdrawImage(service, tags.withdrawn(bad.commit), bad.digest)
    if target.moves or target.marks:
        yield MoveTag(
            service, target.tag, Rule.FORCE, held.digest, keep=target.why, since=target.since
        )
    else:
        yield KeepTag(service, target.tag, held.digest, target.why or rules.THERE)
