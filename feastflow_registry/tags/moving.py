"""Carrying out what moves no layers: copies first, then marks, then tags; each is read back.

A tag that is no longer what the plan saw is left alone, as is every step that would follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.parallel import attempt, results
from feastflow_registry.model.plan import (
    Action,
    CopyImage,
    KeepTag,
    MarkImage,
    MoveTag,
    Outcome,
    Plan,
    ReuseImage,
    Step,
)
from feastflow_registry.model.ports import Copier
from feastflow_registry.model.references import Digest, Reference, Repository
from feastflow_registry.model.services import Service
from feastflow_registry.tags.move import Tagger, unverified
from feastflow_registry.tags.survey import Surveyor


@dataclass(slots=True)
class Moves:
    """One run of one plan. ``there``: eyes on the registry that a repository is on.

    ``copier``: what brings an image to a repository; never asked for where nothing is copied.
    """

    plan: Plan
    there: Callable[[Repository], Surveyor]
    clock: Callable[[], float]
    attempted: set[Reference]
    copier: Callable[[Repository], Copier]
    _taggers: dict[Service, Tagger] = field(default_factory=dict)

    def run(self) -> Iterator[Outcome]:
        """Carry out every step; raises what failed, after yielding what was done."""
        phases: tuple[tuple[type[Step], Callable[..., Outcome]], ...] = (
            (ReuseImage, self._reuse),
            (CopyImage, self._copy),
            (MarkImage, self._mark),
            (KeepTag, self._keep),
            (MoveTag, self._move),
        )
        for kind, work in phases:
            steps = [step for step in self.plan.steps if isinstance(step, kind)]
            yield from results(attempt(work, steps))

    def _reuse(self, step: ReuseImage) -> Outcome:
        """Take up the image that a service is to have."""
        image, there = step.image, self.there(step.service.repository)
        self._taggers[step.service] = Tagger(
            replace(there, commit=image.revision or there.commit),
            self.clock,
            follows=False,
            attempted=self.attempted,
            digests={step.service.name: image.digest},
        )
        return Outcome(step.service, Action.REUSED, step.reference, image.digest, image.size)

    def _copy(self, step: CopyImage) -> Outcome:
        tagger, digest = self._tagger(step)
        started = tagger.clock()
        moved = self.copier(step.target).copy(step.source.repository, digest, step.target)
        tagger.surveyor.registry.inspect(step.target, digest)
        seconds = tagger.clock() - started
        note = "" if moved else "all of it was there"
        reference = Reference(step.target, digest)
        return Outcome(step.service, Action.COPIED, reference, digest, moved, seconds, note)

    def _mark(self, step: MarkImage) -> Outcome:
        tagger, _ = self._tagger(step)
        registry = tagger.surveyor.registry
        if registry.resolve(step.reference) != step.digest:
            tagger.write(step.reference, step.digest)
            there = registry.resolve(step.reference)
            if there != step.digest:
                raise unverified(
                    f"{step.reference} was set, but reads back as {there or 'absent'}."
                )
        return Outcome(step.service, Action.MARKED, step.reference, step.digest)

    def _keep(self, step: KeepTag) -> Outcome:
        return Outcome(step.service, Action.KEPT, step.reference, step.there, note=step.reason)

    def _move(self, step: MoveTag) -> Outcome:
        tagger, digest = self._tagger(step)
        there = tagger.surveyor.registry.resolve(step.reference)
        if there not in (step.expect, digest):
            raise Failure(
                Kind.CONFLICT,
                f"{step.reference} was moved by another run since the plan was made: it holds "
                f"{there.short if there else 'nothing'} now.",
                "Look at what is there (`feastflow-registry tags`) before you run again.",
            )
        return tagger.set(step, digest, there, "")

    def _tagger(self, step: Step) -> tuple[Tagger, Digest]:
        tagger = self._taggers[step.service]
        return tagger, tagger.digests[step.service.name]
