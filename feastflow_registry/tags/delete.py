"""Deleting what was planned, and nothing that somebody came to need meanwhile.

Each tag is looked at again before it goes: one that holds another image now is kept. What is about
an image goes after it, unless that is needed by then. In the end, what was to go is gone, and every
image that was to stay is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.parallel import attempt, one_after_another, results, spread
from feastflow_registry.model.plan import Action, DeleteTag, KeepTag, Outcome, Plan, Step
from feastflow_registry.model.ports import Deletion, Listing, Registry
from feastflow_registry.model.references import Digest, Reference, Repository
from feastflow_registry.model.tag_names import subject
from feastflow_registry.model.wording import some
from feastflow_registry.tags.delete_images import (
    AGAIN,
    ImageDeleter,
    changed,
    kept_back,
    refuse_lost,
)

_AT_ONCE = 8


@dataclass(slots=True)
class Deleter:
    """Carries out the deletions of a plan.

    ``tags``: what deletes a tag alone, if anything does; ``images``: what deletes whole images;
    ``whole``: whether a deletion has shown that nothing less goes here.
    """

    registry: Registry
    tags: Listing | Deletion
    images: Deletion
    conflicts: list[Problem] = field(default_factory=list)
    whole: bool = False

    def run(self, plan: Plan) -> Iterator[Outcome]:
        """Delete; each outcome as it is reached. The first refusal ends one repository.

        Raises a conflict in the end, if tags were kept that had changed or are immutable.
        """
        yield from one_after_another(
            *(self._delete(plan.of(service)) for service in plan.services), self._tell()
        )

    def _tell(self) -> Iterator[Outcome]:
        if self.conflicts:
            raise Failure.of(Kind.CONFLICT, self.conflicts)
        yield from ()

    def _delete(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Delete from one repository, and prove what is there, however far that came."""
        due = [each for each in steps if isinstance(each, DeleteTag)]
        kept = [each for each in steps if isinstance(each, KeepTag)]
        gone: list[Reference] = []

        def delete() -> Iterator[Outcome]:
            for outcome in self._outcomes(due, kept):
                if outcome.action is Action.DELETED:
                    gone.append(outcome.reference)
                yield outcome

        def prove() -> Iterator[Outcome]:
            if due:
                self._prove_gone(gone)
                self._prove_kept(kept)
            yield from ()

        return one_after_another(delete(), prove())

    def _outcomes(self, due: Sequence[DeleteTag], kept: Sequence[KeepTag]) -> Iterator[Outcome]:
        """Delete images' tags, then those of what is about images that nothing needs."""
        left: list[Digest] = []
        about = [each for each in due if subject(each.tag)]
        for outcome in self._clear([each for each in due if each not in about], kept, about):
            if outcome.action is Action.KEPT and outcome.digest:
                left.append(outcome.digest)
            yield outcome
        if about:
            repository = about[0].service.repository
            parts = (self.images.children(repository, each) for each in left)
            now = self._images(repository).needed_by_now(due, kept)
            needed = {*left, *chain.from_iterable(parts), *now}
            going = [each for each in about if subject(each.tag) not in needed]
            for step in (each for each in about if each not in going):
                cause = f"{step.reference} stays: another tag now needs the image that it is about."
                self.conflicts.append(Problem(cause, AGAIN))
                yield kept_back(step, step.digest, "another tag came to need its image meanwhile")
            yield from self._clear(going, kept)

    def _images(self, repository: Repository) -> ImageDeleter:
        return ImageDeleter(self.registry, self.images, repository, self.conflicts)

    def _clear(
        self, due: Sequence[DeleteTag], kept: Sequence[KeepTag], later: Sequence[DeleteTag] = ()
    ) -> Iterator[Outcome]:
        """Delete tags, or images where that is not to be had: the first deletion shows which.

        ``later``: those that go after them.
        """
        waiting = list(due)
        tried = False
        while waiting and not tried:
            outcome, tried = (None, True) if self.whole else self._untag(waiting[0])
            if outcome is None:
                self.whole = True
                yield from self._images(waiting[0].service.repository).run(waiting, kept, later)
                return
            yield outcome
            waiting.pop(0)
        for start in range(0, len(waiting), _AT_ONCE):
            part = waiting[start : start + _AT_ONCE]
            yield from results(attempt(self._untag_alike, part))

    def _untag_alike(self, step: DeleteTag) -> Outcome:
        """Delete one tag where another one was deleted alone."""
        outcome, _ = self._untag(step)
        if outcome is None:
            raise Failure(
                Kind.UNREACHABLE,
                f"the registry does not delete {step.reference}, though it has deleted another "
                "tag.",
                "Check the registry's status, then run again.",
            )
        return outcome

    def _untag(self, step: DeleteTag) -> tuple[Outcome | None, bool]:
        """Delete one tag; no outcome, if this registry does not. And whether it was asked to."""
        there = self.registry.resolve(step.reference)
        if there != step.digest:
            return changed(step, there, self.conflicts), False
        try:
            deleted = self.tags.delete_tag(step.service.repository, step.tag)
        except Failure as failure:
            if failure.kind is not Kind.CONFLICT:
                raise
            self.conflicts.extend(failure.problems)
            return kept_back(step, there, "a rule of the registry makes it immutable"), True
        if deleted is Deleted.UNSUPPORTED:
            return None, True
        self.registry.expect(step.reference, None)
        return Outcome(step.service, Action.DELETED, step.reference, there), True

    def _prove_gone(self, gone: Sequence[Reference]) -> None:
        found = zip(gone, spread(self.registry.resolve, gone), strict=True)
        left = [str(each) for each, there in found if there]
        if left:
            raise Failure(
                Kind.UNVERIFIED,
                f"{some(left)} was deleted, but is still there.",
                "Another run may have published it again: look at it, and run again.",
            )

    def _prove_kept(self, kept: Sequence[KeepTag]) -> None:
        """Look whether every image that was to stay is there, by its digest."""
        holders = {
            Reference(each.service.repository, each.current): str(each.reference)
            for each in kept
            if each.current
        }
        found = zip(holders, spread(self.registry.resolve, holders), strict=True)
        refuse_lost([holders[each] for each, there in found if there is None])
