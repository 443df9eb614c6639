"""What ``rollback`` will do: which images are bad, and which ones a tag goes back to.

All services go back to one commit: the nearest first parent, published and not withdrawn, at which
one of those that hold the bad commit had another image. A service that did not change since stays
as it is; that makes a rollback that was broken off end where the whole one would have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from feastflow_registry.config.selectors import Selector
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.history import Relation
from feastflow_registry.model.plan import KeepTag, MarkImage, MoveTag, ReuseImage, Rule, Step
from feastflow_registry.model.references import Commit, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.tags import rules
from feastflow_registry.tags.choose import Chooser, Chosen, listed, unmarked
from feastflow_registry.tags.survey import Surveyor


@dataclass(frozen=True, slots=True)
class Target:
    """Where one service goes. ``held``: what the tag holds now; ``good``: what it is to hold.

    ``why``: why there is nothing that it could go to.
    """

    service: Service
    held: Chosen
    good: Chosen | None
    why: str = ""


@dataclass(slots=True)
class Retreat:
    """Looks for the way back, asking the registry for each commit tag once."""

    surveyor: Surveyor
    tag: Tag
    _found: dict[tuple[Repository, Commit], Chosen | None] = field(default_factory=dict)

    @property
    def _chooser(self) -> Chooser:
        return Chooser(self.surveyor)

    def held(self, services: Sequence[Service]) -> Mapping[Service, Chosen]:
        """What the tag holds of each service that has it. Raises where none has."""
        found: dict[Service, Chosen] = {}
        for service in services:
            reference = Reference(service.repository, self.tag)
            self._check_movable(reference)
            if len(services) == 1 or self.surveyor.registry.resolve(reference):
                found[service] = self._chooser.choose(service.repository, Selector(tag=self.tag))
        if not found:
            raise Failure(
                Kind.INPUT,
                f"no service has the tag {self.tag}.",
                "Name the tag that is to go back in the input tag.",
            )
        return found

    def _check_movable(self, reference: Reference) -> None:
        """Refuse a milestone that is final, and the name of a git tag."""
        marker = Reference(reference.repository, tag_names.frozen_marker(self.tag))
        final = self.surveyor.registry.resolve(marker) is not None
        if final or (
            self.tag != tag_names.LATEST and self.surveyor.history.git_tag(self.tag.value)
        ):
            why = "is final" if final else "is the name of a git tag"
            raise Failure(
                Kind.CONFLICT,
                f"{reference} {why}, and is never moved.",
                "Roll another tag back, or promote what should run to a tag of its own.",
            )

    def to(self, held: Mapping[Service, Chosen], wanted: Selector) -> list[Target]:
        """Send every service to the image that is named."""
        found: dict[Service, Chosen] = {}
        failures: list[Failure] = []
        for service in held:
            try:
                found[service] = self._chooser.choose(service.repository, wanted)
            except Failure as failure:
                failures.append(failure)
        if failures and found and failures[0].kind is Kind.INPUT:
            names = ", ".join(each.name for each in found)
            fix = f"To move those that have it, name them in the input services: {names}."
            causes = (problem.cause for each in failures for problem in each.problems)
            raise Failure.of(Kind.INPUT, [Problem(cause, fix) for cause in causes])
        if failures:
            raise Failure.join(failures)
        return [Target(service, held[service], good) for service, good in found.items()]

    def back(self, held: Mapping[Service, Chosen]) -> list[Target]:
        """Send every service back to before the newest commit that any of them holds."""
        bad = self._newest(held)
        before = list(self.surveyor.history.ancestors(bad))
        for place, commit in enumerate(before):
            if any(self._differs(service, there, bad, commit) for service, there in held.items()):
                return [self._target(each, there, before[place:]) for each, there in held.items()]
        bad_ones = [each for each, there in held.items() if there.commit == bad]
        raise self._nowhere(bad_ones, bad, others=held.keys() - set(bad_ones), known=bool(before))

    def _newest(self, held: Mapping[Service, Chosen]) -> Commit:
        newest: Commit | None = None
        for there in held.values():
            if there.commit is None:
                raise Failure(
                    Kind.CONFLICT,
                    f"{Reference(there.repository, self.tag)} holds an image of no known commit.",
                    "Say in the input to which commit it is to go.",
                )
            relation = self.surveyor.history.relation(newest or there.commit, there.commit)
            if relation in (Relation.DIVERGED, Relation.UNKNOWN):
                raise Failure(
                    Kind.CONFLICT,
                    f"the services hold {there.commit.short}, which {relation.value} "
                    f"{newest.short if newest else 'another'}.",
                    "Roll them back one by one (services), or say where to (to).",
                )
            newest = there.commit if relation is not Relation.BEHIND else newest
        assert newest is not None
        return newest

    def _differs(self, service: Service, there: Chosen, bad: Commit, commit: Commit) -> bool:
        """Whether a commit's image of a service that holds the bad one is another, and good."""
        if there.commit != bad:
            return False
        good = self._good(service.repository, commit)
        return good is not None and good.digest != there.digest

    def _good(self, repository: Repository, commit: Commit) -> Chosen | None:
        """A commit's image, if it is published and not withdrawn."""
        if (repository, commit) not in self._found:
            good = self._chooser.published(repository, commit)
            bad = good and self._chooser.is_withdrawn(good)
            self._found[repository, commit] = None if bad else good
        return self._found[repository, commit]

    def _target(self, service: Service, there: Chosen, before: Sequence[Commit]) -> Target:
        found = (self._good(service.repository, commit) for commit in before)
        good = next((each for each in found if each), None)
        return Target(service, there, good, "" if good else "nothing older is published")

    def _nowhere(
        self, services: Sequence[Service], bad: Commit, *, others: Collection[Service], known: bool
    ) -> Failure:
        """Say whose image has nothing before it, and what there is. ``known``: the history is."""
        names = ", ".join(each.name for each in services)
        if not known:
            return Failure(
                Kind.INPUT,
                f"nothing is known from before {bad.short}, of which {names} is.",
                "Where that is not the first commit, fetch the history (`git fetch`, in a shallow "
                "clone with --unshallow); or name a commit in the input to.",
            )
        rest = ", ".join(sorted(each.name for each in others))
        there = unmarked(self.surveyor.registry.tags(services[0].repository))
        there = [each for each in there if not bad.sha.startswith(each)]
        fix = "Publish a commit that mends it"
        fix += f", or name one in the input to: {listed(there)}." if there else "."
        if rest:
            fix = f"To take the others back, name them in the input services: {rest}."
        return Failure(
            Kind.INPUT,
            f"nothing that is published and not withdrawn came before {bad.short} of {names} with "
            "another image.",
            fix,
        )


def plan_rollback(targets: Sequence[Target], surveyor: Surveyor, tag: Tag) -> tuple[Step, ...]:
    """Plan the way back: marks first, so that no run moves the tag to a bad image again."""
    return tuple(step for each in targets for step in _steps(each, surveyor, tag))


def _steps(target: Target, surveyor: Surveyor, tag: Tag) -> Iterator[Step]:
    service, held, good = target.service, target.held, target.good
    reference = Reference(service.repository, tag)
    if good is None or good.digest == held.digest:
        yield KeepTag(service, reference, held.digest, target.why or rules.THERE)
        return
    yield ReuseImage(service, Reference(good.repository, good.tag or good.digest), good.image)
    if held.commit and _is_back(surveyor, held.commit, good.commit):
        marker = tag_names.withdrawn_marker(held.commit, surveyor.sha_length)
        yield MarkImage(service, Reference(service.repository, marker), held.digest)
    yield MoveTag(service, reference, Rule.FORCE, held.digest)


def _is_back(surveyor: Surveyor, held: Commit, good: Commit | None) -> bool:
    """Whether this is no step forward, to what was left before."""
    return good is None or surveyor.history.relation(held, good) is not Relation.AHEAD
