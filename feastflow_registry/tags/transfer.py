"""Carrying out the plans that move no layers, of promote and rollback: copies, marks, then tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.marks import is_in_force
from feastflow_registry.model.parallel import attempt, results
from feastflow_registry.model.plan import (
    Action,
    CopyImage,
    KeepTag,
    MirrorImage,
    MoveTag,
    Outcome,
    Plan,
    ReuseImage,
    Step,
    UnmarkImage,
    WithdrawImage,
)
from feastflow_registry.model.ports import Copier, Deletion, Listing
from feastflow_registry.model.references import Digest, Reference, Repository
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service
from feastflow_registry.tags.mirror import Mirror
from feastflow_registry.tags.move import Tagger, bring, not_seen
from feastflow_registry.tags.survey import Surveyor

_NOT_THERE = "that image is not there"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Carries out a plan that moves no layers: copies first, then marks, then tags.

    A tag that no longer holds what the plan saw is left alone, as is every step that would follow.
    ``copier``: what brings images from one repository to another, asked for only where something is
    copied; ``untagging``: what deletes a tag alone, where a repository's registry does that;
    ``late``: what looks at marks that the registry has taken and does not show yet.
    """

    plan: Plan
    surveyor: Surveyor
    clock: Callable[[], float]
    state: RunState
    copier: Callable[[Repository, Repository], Copier]
    untagging: Callable[[Repository], Listing | Deletion]
    late: list[Callable[[], Outcome]] = field(default_factory=list)

    def prepare(self) -> Iterator[Outcome]:
        """Copy and mark; raises what failed, after yielding what was done."""
        return self._carry_out(
            (ReuseImage, self._reuse),
            (CopyImage, self._copy),
            (MirrorImage, self._mirror),
            (UnmarkImage, self._unmark),
            (WithdrawImage, self._withdraw),
        )

    def move(self) -> Iterator[Outcome]:
        """Move the tags, likewise."""
        return self._carry_out((KeepTag, self._keep), (MoveTag, self._move))

    def look_again(self) -> Iterator[Outcome]:
        """Look for the marks that were not visible before the tags moved, likewise."""
        yield from results(attempt(lambda look: look(), self.late))

    def _carry_out(
        self, *phases: tuple[type[Step], Callable[..., Outcome | None]]
    ) -> Iterator[Outcome]:
        for kind, work in phases:
            steps = [step for step in self.plan.steps if isinstance(step, kind)]
            yield from filter(None, results(attempt(work, steps)))

    def tagger(self, service: Service) -> Tagger:
        """What gives a service's tags the image that was chosen, which is some commit's."""
        images = (step.image for step in self.plan.of(service) if isinstance(step, ReuseImage))
        commit = next((each.revision for each in images), None) or self.plan.commit
        return Tagger(self.surveyor, commit, self.clock, self.state)

    def _reuse(self, step: ReuseImage) -> Outcome:
        """Take up the image that a service is to have."""
        digest = self.state.proven[step.service] = step.image.digest
        return Outcome(step.service, Action.REUSED, step.reference, digest, step.image.size)

    def _copy(self, step: CopyImage) -> Outcome:
        digest = self.state.proven[step.service]
        started = self.clock()
        source, reference = step.source.repository, Reference(step.target, digest)
        copier = self.copier(source, step.target)
        size, note = bring(copier, self.surveyor.registry, Reference(source, digest), step.target)
        seconds = self.clock() - started
        return Outcome(step.service, Action.COPIED, reference, digest, size, seconds, note)

    def _mirror(self, step: MirrorImage) -> Outcome:
        self.state.origins[step.service.name] = step.source
        return Mirror(self.tagger(step.service), self.copier).copy(step)

    def _withdraw(self, step: WithdrawImage) -> Outcome | None:
        """Mark what is bad, unless it is not there.

        Nothing yet, where the registry has taken the mark and does not show it: no tag waits.
        """
        tagger = self.tagger(step.service)
        registry = self.surveyor.registry
        before = registry.resolve(step.reference)
        if before != step.digest:
            try:
                tagger.write(step.reference, step.digest)
            except Failure:
                # What is copied there later finds the mark of where it comes from.
                if not registry.resolve(Reference(step.service.repository, step.digest)):
                    return Outcome(step.service, Action.KEPT, step.reference, note=_NOT_THERE)
                tagger.write(step.reference, step.digest)  # Or it was copied just then.
        look = partial(self._marked, step, before)
        try:
            return look()
        except Failure:
            self.late.append(look)
            return None

    def _marked(self, step: WithdrawImage, before: Digest | None) -> Outcome:
        """Read a mark back."""
        read = self.surveyor.registry.resolve(step.reference)
        if read != step.digest:
            raise not_seen(step.reference, read, before)
        return Outcome(step.service, Action.MARKED, step.reference, step.digest)

    def _unmark(self, step: UnmarkImage) -> Outcome:
        """Take a mark off: it holds nothing from then on, and is deleted where a tag can be.

        In this order it is safe where a registry deletes the image that a tag holds. As long as
        it is seen, whoever looks again in the end takes the tags back.
        """
        repository = step.service.repository
        registry = self.surveyor.registry
        with self.tagger(step.service).writing(step.reference):
            self.copier(repository, repository).clear(step.reference)
        deleted = Deleted.UNSUPPORTED
        with suppress(Failure):  # Not every credential may delete, and none has to.
            deleted = self.untagging(repository).delete_tag(repository, step.tag)
        if deleted is not Deleted.UNSUPPORTED:
            registry.expect(step.reference, None)
        read = registry.resolve(step.reference)
        if is_in_force(read):
            raise not_seen(step.reference, read, read)
        note = "the mark holds nothing now" if read else "the mark is deleted"
        return Outcome(step.service, Action.UNMARKED, step.reference, step.digest, note=note)

    def _keep(self, step: KeepTag) -> Outcome:
        return Outcome(step.service, Action.KEPT, step.reference, step.current, note=step.reason)

    def _move(self, step: MoveTag) -> Outcome:
        tagger = self.tagger(step.service)
        current = tagger.surveyor.registry.resolve(step.reference)
        if step.keep:
            if current:
                self.state.current[step.reference] = current
            note = step.keep if current == step.expect else "another run has moved it meanwhile"
            return Outcome(step.service, Action.KEPT, step.reference, current, note=note)
        digest = self.state.proven[step.service]
        if current not in (step.expect, digest):
            raise Failure(
                Kind.CONFLICT,
                f"{step.reference} was moved by another run since the plan was made: it holds "
                f"{current.short if current else 'nothing'} now.",
                "Look at what is there (`feastflow-registry tags`) before you run again.",
                see="moved-meanwhile",
            )
        return tagger.set(step, digest, current, "")
