"""Deleting what was planned, and nothing that somebody came to need meanwhile.

Each tag is looked at again before it goes: one that holds another image now is kept. Where a
registry deletes whole images only, one goes when no tag on it stays and nothing that stays needs
it; tags are listed again for each few images. In the end, what was to go is gone, and every image
that was to stay is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.parallel import attempt, results, spread
from feastflow_registry.model.plan import Action, DeleteTag, KeepTag, Outcome, Plan
from feastflow_registry.model.ports import Deletion, Listing, Registry
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.tag_names import commit_digits, withdrawn_digits
from feastflow_registry.model.wording import some

_AT_ONCE = 8
_AGAIN = "Another run has moved it meanwhile: run again, to plan with what is there now."


@dataclass(frozen=True, slots=True)
class Deleter:
    """Carries out the deletions of a plan.

    ``tags``: what deletes a tag alone, if anything does; ``images``: what deletes whole images.
    """

    registry: Registry
    tags: Listing | Deletion
    images: Deletion
    conflicts: list[Problem] = field(default_factory=list)

    def run(self, plan: Plan) -> Iterator[Outcome]:
        """Delete; each outcome as it is reached. Stops at the first refusal.

        Raises a conflict in the end, if tags were kept that had changed or are immutable.
        """
        for service in plan.services:
            steps = plan.of(service)
            due = [each for each in steps if isinstance(each, DeleteTag)]
            kept = [each for each in steps if isinstance(each, KeepTag)]
            gone: list[Reference] = []
            for outcome in self._clear(due, kept):
                if outcome.action is Action.DELETED:
                    gone.append(outcome.reference)
                yield outcome
            if due:
                self._prove_gone(gone)
                self._prove_kept(kept)
        if self.conflicts:
            raise Failure.of(Kind.CONFLICT, self.conflicts)

    def _clear(self, due: Sequence[DeleteTag], kept: Sequence[KeepTag]) -> Iterator[Outcome]:
        """Delete tags, or images where that is not to be had: the first deletion shows which."""
        waiting = list(due)
        tried = False
        while waiting and not tried:
            outcome, tried = self._untag(waiting[0])
            if outcome is None:
                yield from self._delete_images(waiting, kept)
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
                f"the registry does not delete {step.reference}, after it has deleted another tag.",
                "Check the registry's status, then run again.",
            )
        return outcome

    def _untag(self, step: DeleteTag) -> tuple[Outcome | None, bool]:
        """Delete one tag; no outcome, if this registry does not. And whether it was asked to."""
        there = self.registry.resolve(step.reference)
        if there != step.digest:
            return self._changed(step, there), False
        try:
            deleted = self.tags.delete_tag(step.service.repository, step.tag)
        except Failure as failure:
            if failure.kind is not Kind.CONFLICT:
                raise
            self.conflicts.extend(failure.problems)
            return _kept(step, there, "a rule of the registry makes it immutable"), True
        if deleted is Deleted.UNSUPPORTED:
            return None, True
        return Outcome(step.service, Action.DELETED, step.reference, there), True

    def _changed(self, step: DeleteTag, there: Digest | None) -> Outcome:
        """A tag that does not hold what was planned: it is gone already, or it is kept."""
        if there is None:
            note = "it was gone already"
            return Outcome(step.service, Action.DELETED, step.reference, note=note)
        was = step.digest.short if step.digest else "nothing"
        self.conflicts.append(
            Problem(
                f"{step.reference} holds {there.short} now instead of {was}, so it was kept.",
                _AGAIN,
            )
        )
        return _kept(step, there, "it holds another image than when it was planned")

    def _delete_images(
        self, due: Sequence[DeleteTag], kept: Sequence[KeepTag]
    ) -> Iterator[Outcome]:
        """Delete images with all of their tags, but for those that are needed."""
        repository = due[0].service.repository
        stays = {each.current: each.tag.value for each in kept if each.current}
        needs = dict(zip(stays, spread(partial(self._needs, repository), stays), strict=True))
        needed = {part: stays[each] for each, parts in needs.items() for part in parts}
        images: dict[Digest | None, list[DeleteTag]] = {}
        for step in due:
            if step.digest in needed:
                holder = needed[step.digest]
                note = f"images are deleted whole here, and {holder} needs this one"
                yield _kept(step, step.digest, note)
            else:
                images.setdefault(step.digest, []).append(step)
        movable = [
            each.tag
            for each in kept
            if not commit_digits(each.tag) and not withdrawn_digits(each.tag)
        ]
        movable += self._moved(due)
        planned = {each.tag for each in (*due, *kept)}
        groups = list(images.values())
        for start in range(0, len(groups), _AT_ONCE):
            now = self._needed_now(repository, [*movable, *self._new(repository, planned)])
            work = partial(self._delete_image, needed=now)
            for outcomes in results(attempt(work, groups[start : start + _AT_ONCE])):
                yield from outcomes
        self._prove_new(repository, planned)

    def _moved(self, due: Sequence[DeleteTag]) -> list[Tag]:
        """Tags that hold another image than planned."""
        found = spread(self.registry.resolve, [each.reference for each in due])
        return [
            step.tag for step, current in zip(due, found, strict=True) if current != step.digest
        ]

    def _new(self, repository: Repository, planned: Collection[Tag]) -> list[Tag]:
        """Tags that were not there when it was planned."""
        return [tag for tag in self.registry.tags(repository) if tag not in planned]

    def _needed_now(self, repository: Repository, tags: Sequence[Tag]) -> dict[Digest, Tag]:
        """What some tags hold at this moment, with all that it lists."""
        references = [Reference(repository, tag) for tag in tags]
        found = zip(tags, spread(self.registry.resolve, references), strict=True)
        holders = {there: tag for tag, there in found if there}
        parts = spread(partial(self._needs, repository), holders)
        pairs = zip(holders.values(), parts, strict=True)
        return {part: tag for tag, needed in pairs for part in needed}

    def _needs(self, repository: Repository, digest: Digest) -> frozenset[Digest]:
        return self.images.children(repository, digest) | {digest}

    def _delete_image(
        self, due: Sequence[DeleteTag], *, needed: Mapping[Digest, Tag]
    ) -> list[Outcome]:
        """Delete the image that all of these tags hold, unless another tag needs it now."""
        found = [(each, self.registry.resolve(each.reference)) for each in due]
        outcomes = [self._changed(step, there) for step, there in found if there != step.digest]
        held = [(step, there) for step, there in found if there and there == step.digest]
        if not held:
            return outcomes
        repository, digest = held[0][0].service.repository, held[0][1]
        if digest in needed:
            holder = Reference(repository, needed[digest])
            self.conflicts.append(
                Problem(
                    f"{holder} now needs {digest.short}, which was to be deleted.",
                    _AGAIN,
                )
            )
            note = "another tag came to need its image meanwhile"
            return [*outcomes, *(_kept(step, there, note) for step, there in held)]
        self.images.delete_manifest(repository, digest)
        done = (
            Outcome(step.service, Action.DELETED, step.reference, there) for step, there in held
        )
        return [*outcomes, *done]

    def _prove_new(self, repository: Repository, planned: Collection[Tag]) -> None:
        """Look whether every tag that was set meanwhile has its image."""
        new = [Reference(repository, tag) for tag in self._new(repository, planned)]
        found = zip(new, spread(self.registry.resolve, new), strict=True)
        self._lost([str(each) for each, there in found if there is None])

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
        self._lost([holders[each] for each, there in found if there is None])

    def _lost(self, names: Sequence[str]) -> None:
        if names:
            raise Failure(
                Kind.UNVERIFIED,
                f"the image of {some(names)} is not on the registry any more.",
                "If nobody else has deleted it, this is a defect: report it with this log, and "
                "publish its commit again.",
            )


def _kept(step: DeleteTag, there: Digest | None, note: str) -> Outcome:
    return Outcome(step.service, Action.KEPT, step.reference, there, note=note)
