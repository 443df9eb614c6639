"""Where a tag goes when it is taken back, and what becomes of it when there is nothing to do.

Bad are the images that came with the bad commit or release. A service that it did not change has
an older image there, which is neither marked nor moved. Each bad image makes way for the nearest
one before that is published and not withdrawn. So what was published tells whose image is bad, and
not who has pressed before: a second press ends where the first one did, or would have.

Who names the bad image (``away_from``) says that no tag may hold it, not that a tag goes one back:
two people who name two images end at the same image, in whichever order they come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from feastflow_registry.config.selectors import Selector
from feastflow_registry.model.errors import Failure, Kind
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
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, CommitTags, frozen_marker
from feastflow_registry.model.wording import some
from feastflow_registry.tags import rules
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.survey import Surveyor
from feastflow_registry.tags.trails import Held, Place, Trail, check_known, named


@dataclass(frozen=True, slots=True)
class Return:
    """Where one tag of one service goes. ``held``: what it holds now; ``good``: what it is to hold.

    ``why``: why it stays; ``bad``: the image that is bad; ``marks``: whether it is to be marked;
    ``since``: what is published already of what would take the tag over; ``is_foreign``: whether
    nothing tells that the tag ever held the bad image; ``is_newer``: whether what it holds is
    newer; ``is_marked``: whether what it is to hold is marked as bad; ``came_with``: of which
    commit the image is that stays, as the bad one did not change it.
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
    is_newer: bool = False
    is_marked: bool = False
    came_with: str = ""

    @property
    def is_stuck(self) -> bool:
        """Whether the tag has no image to go to."""
        return self.good is None

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
            looked_into = some([str(each.repository) for each in services])
            raise Failure(
                Kind.INPUT,
                f"there is no tag {self.tag} in {looked_into}.",
                "If these are the right repositories, name the tag that is to go back in the input "
                '"tag"; else correct the input "namespace".',
            )
        return held

    def holds(self, held: Held) -> Chosen:
        """The image that came last of those that the tag holds."""
        return held[self.trail.holders(held, self.trail.newest(held))[0]]

    def _named(self, held: Held, wanted: Selector) -> Held:
        """The image that is named, of every service. Raises what to do where one has none."""
        choose = partial(self._choose, wanted)
        chosen = list(zip(held, attempt(choose, held), strict=True))
        failures = [each for _, each in chosen if isinstance(each, Failure)]
        good = {service: each for service, each in chosen if isinstance(each, Chosen)}
        if failures and good and failures[0].kind is Kind.INPUT:
            lacking = {service.name for service in held if service not in good}
            where = "services"
            names = dict.fromkeys(service.name for service in good)
            if lacking & names.keys():
                where = "registries"
                names = dict.fromkeys(str(service.repository.host) for service in good)
            fix = (
                f'To move those that have it, name them in the input "{where}": {", ".join(names)}.'
            )
            problems = (problem for each in failures for problem in each.problems)
            raise Failure.of(Kind.INPUT, [replace(each, fix=fix) for each in problems])
        if failures:
            raise Failure.join(failures)
        return good

    def to(self, held: Held, wanted: Selector) -> list[Return]:
        """Send every service to the image that is named."""
        # What is in between was passed over by whoever named the image, published or not.
        return [
            self._return(service, held[service], each, base=held[service])
            for service, each in self._named(held, wanted).items()
        ]

    def bring_back(self, held: Held, wanted: Selector) -> list[Return]:
        """Have the tag hold an image again that is good after all, unless it has gone on since.

        It has where it holds one that is not older, and that nobody has called bad.
        """
        named = self._named(held, wanted)
        return spread(lambda each: self._brought_back(each, held[each], named[each]), named)

    def _brought_back(self, service: Service, held: Chosen, good: Chosen) -> Return:
        order = self.trail.order(good, held)
        if order in (Relation.SAME, Relation.BEHIND) or self._chooser.is_withdrawn(held):
            return Return(service, self.tag, held, good, since=self.trail.since(held, held))
        stands = "is newer than" if order is Relation.AHEAD else order.value
        why = f"the tag is at {called(held)}, which {stands} {called(good)}"
        return Return(service, self.tag, held, held, why)

    def _choose(self, wanted: Selector, service: Service) -> Chosen:
        return self._chooser.choose(service.repository, wanted)

    def back(self, held: Held) -> list[Return]:
        """Take back the images that came last, of those that the tag holds.

        That was done already where what comes next is withdrawn: two people on call, or a second
        try of a run that was broken off, are not to end two images back.
        """
        at = self.trail.newest(held)
        taken = self.trail.taken_back(held, at)
        if taken:
            return [self._taken(service, held[service], taken.get(service)) for service in held]
        affected = self.trail.holders(held, at)
        good = spread(lambda each: self._good_before(each, at, held[each]), affected)
        if not any(good):
            raise self._nowhere(affected, at, others=held.keys() - set(affected))
        moved = dict(zip(affected, good, strict=True))
        return [
            self._return(service, own, moved[service])
            if service in moved
            else self._unchanged(service, own, named(at))
            for service, own in held.items()
        ]

    def _unchanged(self, service: Service, held: Chosen, by: str) -> Return:
        """Leave an image that was there before the bad one, and say which commit it came with."""
        came_with = held.origin.short if held.origin else ""
        why = f"{by} did not change it"
        why += f": its image came with {came_with}" if came_with else ""
        return Return(service, self.tag, held, held, why, came_with=came_with)

    def _taken(self, service: Service, held: Chosen, bad: Chosen | None) -> Return:
        """Leave what was taken back already. Manifests may be left to point at what it holds."""
        why = f"{called(bad)} is marked already, and " if bad else ""
        why += f"the tag is at {called(held)}" + ("" if bad else ", and not marked")
        return Return(service, self.tag, held, held, why, bad)

    def _good_before(self, service: Service, place: Place, bad: Chosen) -> Chosen | None:
        """The nearest good image of a service before a place."""
        older = (self.trail.good(service.repository, each) for each in self.trail.older(place))
        return next((each for each in older if each and each.digest != bad.digest), None)

    def away_from(self, held: Held, named: Held, bad: Held, to: Selector | None) -> list[Return]:
        """Take the tag back where it holds a bad image, and say why it stays where it does not.

        ``named``: the images of what somebody says is bad; ``bad``: those that came with it.
        """
        holding = {s: chosen for s, chosen in held.items() if _is_same(bad.get(s), chosen)}
        if to:
            found = [
                replace(each, bad=bad[each.service], marks=bad[each.service].commit is not None)
                for each in self.to(holding, to)
            ]
        else:
            found = spread(lambda each: self._away(each, holding[each], bad[each]), holding)

        def leave(service: Service) -> Return:
            own = held[service]
            if service in bad:
                return self._stay(service, own, bad[service])
            if service in named:
                return self._unchanged(service, own, called(named[service]))
            return Return(service, self.tag, own, own, "it never had that image")

        return found + spread(leave, [each for each in held if each not in holding])

    def _away(self, service: Service, held: Chosen, bad: Chosen) -> Return:
        """Take one tag back. A bad image with nothing good before it is marked all the same."""
        good = self._good_before(service, self.trail.newest({service: bad}), bad)
        since = self.trail.since(held, good or held)
        why = "" if good else f"nothing good came before {called(bad)}"
        marks = bad.commit is not None
        return Return(service, self.tag, held, good, why, bad, marks, since)

    def _stay(self, service: Service, held: Chosen, bad: Chosen) -> Return:
        """Leave a tag that does not hold the bad image, which must not come to it either."""
        stays = partial(Return, service, self.tag, held, held)
        at, name = called(held), called(bad)
        order = self.trail.order(bad, held)
        if self._chooser.is_withdrawn(bad):
            is_newer = order is Relation.AHEAD
            why = f"{name} is marked already, and the tag is at {at}"
            return stays(f"{why}, which is newer" if is_newer else why, bad, is_newer=is_newer)
        if order is Relation.UNKNOWN:
            check_known(self.surveyor, bad.commit, held.commit)
        if order is Relation.AHEAD or (order is Relation.BEHIND and self.trail.follows):
            stands = "newer" if order is Relation.AHEAD else "older"
            why = f"the tag is at {at}, which is {stands} than {name}"
            since = self.trail.since(held, held)
            return stays(why, bad, marks=bad.commit is not None, since=since)
        return stays(
            f"the tag is at {at}, and there is no sign that it was ever at {name}", is_foreign=True
        )

    def _return(
        self, service: Service, held: Chosen, good: Chosen | None, *, base: Chosen | None = None
    ) -> Return:
        if good is None:
            return Return(service, self.tag, held, None, "nothing older is published")
        is_forward = self.trail.order(held, good) is Relation.AHEAD
        is_bad = good.digest != held.digest and not is_forward
        since = self.trail.since(held, base or good)
        bad, marks = (held, held.commit is not None) if is_bad else (None, False)
        return Return(service, self.tag, held, good, "", bad, marks, since)

    def _nowhere(
        self,
        services: Sequence[Service],
        bad: Place,
        *,
        others: Collection[Service],
    ) -> Failure:
        """Say whose image has nothing before it, and what to do instead."""
        names = ", ".join(each.name for each in services)
        rest = ", ".join(sorted(each.name for each in others))
        offered = self.surveyor.offered(services[0].repository)
        offered = [each for each in offered if not str(bad).startswith(each)]
        or_name = f', or name one in the input "to": {some(offered)}' if offered else ""
        fix = f"Publish a commit that mends it{or_name}."
        if rest:
            fix = f'To take the others back, name them in the input "services": {rest}.'
        return Failure(
            Kind.INPUT,
            f"no good image of {names} from before {named(bad)} is left: all are marked as bad, or "
            "deleted, or none was published.",
            fix,
        )


def _is_same(one: Chosen | None, other: Chosen) -> bool:
    return one is not None and one.digest == other.digest


def called(chosen: Chosen) -> str:
    """An image as people call it."""
    if chosen.commit:
        return chosen.commit.short
    return str(chosen.tag or chosen.digest.short)


def steps(
    returns: Sequence[Return], tags: CommitTags, everywhere: Collection[Service]
) -> tuple[Step, ...]:
    """Plan the way back: marks first, so that no run moves a tag to a bad image again.

    ``everywhere``: the services on all registries; an image that is bad on one is so on each that
    has it, whatever the tags hold there. Raises a conflict where the tags of one service would go
    to different images.
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
                'Roll them back one by one, or say in the input "to" where all of them go.',
            )
    marked = {each.service.name for each in returns if each.marks}
    # Several tags of a service have its image and its mark in common.
    every = (_steps(each, tags, marked, everywhere) for each in returns)
    return tuple(dict.fromkeys(chain.from_iterable(every)))


def _steps(
    target: Return, tags: CommitTags, marked: Collection[str], everywhere: Collection[Service]
) -> Iterator[Step]:
    """``marked``: the services whose tags may come to hold a bad image by another run meanwhile."""
    service, held, good, bad = target.service, target.held, target.good, target.bad
    if good and target.moves:
        yield ReuseImage(service, Reference(good.repository, good.tag or good.digest), good.image)
    if target.marks and bad and bad.commit:
        for each in everywhere:
            if each.name == service.name:
                yield WithdrawImage(each, tags.withdrawn(bad.commit), bad.digest)
    if target.moves or service.name in marked:
        yield MoveTag(
            *(service, target.tag, Rule.FORCE, held.digest),
            keep=target.why or ("" if target.moves else rules.THERE),
            conflict=_stuck(target) if target.is_stuck else None,
            since=target.since,
        )
    else:
        yield KeepTag(service, target.tag, held.digest, target.why or rules.THERE)


def _stuck(target: Return) -> Failure:
    reference = Reference(target.service.repository, target.tag)
    return Failure(
        Kind.CONFLICT,
        f"{reference} still holds a bad image: {target.why}.",
        'Publish a commit that mends it, or name one in the input "to".',
    )
