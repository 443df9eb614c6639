"""Deleting whole images, where a registry deletes nothing less: every tag on one goes with it.

An image goes when no tag on it stays and nothing that stays needs it. Other runs may move tags at
any moment, and no deletion can be made to spare a tag that was set just before it:

    prune:     look (latest = 2) ──────────────── delete image 1 ▸ look: latest is gone
    rollback:                      latest = 1                           ▸ put image 1 back
    ends at:   latest = 1, and prune is red

So the tags that may move are looked at between any two deletions, and what came to be needed is
put back from its manifest's own bytes: what the manifest lists was not deleted with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import Action, DeleteTag, KeepTag, Outcome
from feastflow_registry.model.ports import Deletion, Registry
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.tag_names import named_digits, subject
from feastflow_registry.model.wording import some

AGAIN = "Another run has moved it meanwhile: run again, to plan with what is there now."


@dataclass(frozen=True, slots=True)
class _View:
    """What the tags that may move hold at one moment, and a tag for each manifest these need."""

    held: Mapping[Tag, Digest | None]
    needed: Mapping[Digest, Tag]


@dataclass(slots=True)
class ImageDeleter:
    """Deletes images of one repository; ``conflicts``: what other runs kept from it.

    ``watched``: planned tags that may move; ``planned``: all of them; ``gone``: what was deleted.
    """

    registry: Registry
    images: Deletion
    repository: Repository
    conflicts: list[Problem]
    watched: list[Tag] = field(default_factory=list)
    planned: set[Tag] = field(default_factory=set)
    gone: set[Digest] = field(default_factory=set)

    def run(
        self, due: Sequence[DeleteTag], kept: Sequence[KeepTag], later: Sequence[DeleteTag]
    ) -> Iterator[Outcome]:
        """Delete images with all of their tags, but for those that are needed.

        ``later``: tags that go after them, and with an image that they hold themselves.
        """
        images: dict[Digest | None, list[DeleteTag]] = {}
        for step in due:
            if step.needed:
                note = f"images are deleted whole here, and {step.needed} needs this one"
                yield kept_back(step, step.digest, note)
            else:
                images.setdefault(step.digest, []).append(step)
        going = (*due, *later)
        self._watch(going, kept)
        # And those that have moved already.
        found = spread(self.registry.resolve, [each.reference for each in going])
        pairs = zip(going, found, strict=True)
        self.watched += [step.tag for step, current in pairs if current != step.digest]
        view = self._look()
        for steps in images.values():
            outcomes, digest = self._delete(steps, view)
            stayed = {each.reference for each in outcomes if each.action is Action.KEPT}
            moved = [each.tag for each in steps if each.reference in stayed]
            self.watched += moved
            if digest:
                now = self._look()
                undone = self._put_back(digest, outcomes, before=view, now=now)
                # Looking once more, as there is more now that may be needed.
                view = now if undone is None else self._look()
                outcomes = outcomes if undone is None else undone
            elif moved:
                view = self._look()
            yield from outcomes
        new = [tag for tag, there in view.held.items() if not there and tag not in self.planned]
        refuse_lost([str(Reference(self.repository, tag)) for tag in new])

    def needed_by_now(
        self, due: Sequence[DeleteTag], kept: Sequence[KeepTag]
    ) -> Collection[Digest]:
        """What the tags need that may have moved since they were planned, ``due`` left out."""
        self._watch(due, kept)
        return self._look().needed.keys()

    def _watch(self, due: Sequence[DeleteTag], kept: Sequence[KeepTag]) -> None:
        """Settle which tags are looked at: those that are no commit's, and may move."""
        self.planned = {each.tag for each in (*due, *kept)}
        self.watched = [
            each.tag for each in kept if not (named_digits(each.tag) or subject(each.tag))
        ]

    def _look(self) -> _View:
        """Ask what the tags hold that may move, and those that were not there when it was planned.

        Each of them needs its manifest and all that this lists. What is absent is asked for twice.
        """
        known = {*self.planned, *self.watched}
        self.watched += [tag for tag in self.registry.tags(self.repository) if tag not in known]
        held: dict[Tag, Digest | None] = {}
        for _ in range(2):
            tags = [tag for tag in self.watched if not held.get(tag)]
            references = [Reference(self.repository, tag) for tag in tags]
            held |= zip(tags, spread(self.registry.resolve, references), strict=True)
        holders = {there: tag for tag, there in held.items() if there}
        parts = zip(holders.values(), spread(self._needs, holders), strict=True)
        return _View(held, {part: tag for tag, needed in parts for part in needed})

    def _needs(self, digest: Digest) -> frozenset[Digest]:
        return self.images.children(self.repository, digest) | {digest}

    def _delete(
        self, due: Sequence[DeleteTag], view: _View
    ) -> tuple[Sequence[Outcome], Digest | None]:
        """Delete the image that all of these tags hold, unless another tag needs it now."""
        found = spread(self.registry.resolve, [each.reference for each in due])
        pairs = list(zip(due, found, strict=True))
        outcomes = [
            changed(step, there, self.conflicts) for step, there in pairs if there != step.digest
        ]
        held = [(step, there) for step, there in pairs if there and there == step.digest]
        if not held:
            return outcomes, None
        digest = held[0][1]
        if digest in view.needed:
            holder = Reference(self.repository, view.needed[digest])
            cause = f"{holder} now needs {digest.short}, which was to be deleted."
            self.conflicts.append(Problem(cause, AGAIN))
            note = "another tag came to need its image meanwhile"
            return [*outcomes, *(kept_back(step, there, note) for step, there in held)], None
        self.images.delete_manifest(self.repository, digest)
        self.gone.add(digest)
        for step, _ in held:
            self.registry.expect(step.reference, None)
        done = (
            Outcome(step.service, Action.DELETED, step.reference, there) for step, there in held
        )
        return [*outcomes, *done], digest

    def _put_back(
        self, digest: Digest, outcomes: Sequence[Outcome], *, before: _View, now: _View
    ) -> Sequence[Outcome] | None:
        """Put back what tags need that were set meanwhile; nothing, if there is no such tag.

        ``digest``: what was deleted between the two looks, and may have taken a tag along.
        """
        lost = [tag for tag, there in now.held.items() if not there and self._went(tag, before)]
        needed = dict(now.needed)
        for tag in lost:
            needed |= dict.fromkeys(self._needs(digest), tag)
        # Who pushes an image anew brings it back himself.
        due = {part for part in self.gone & needed.keys() if not self._resolve(part)}
        if not due:
            return None
        # No registry takes an index before what it lists.
        for part in sorted(due, key=lambda each: len(self._needs(each))):
            self.images.restore(self.repository, part)
            holder = Reference(self.repository, needed[part])
            cause = f"{holder} came to need {part.short} while that was deleted: it was put back."
            self.conflicts.append(Problem(cause, AGAIN))
        if digest not in due:
            return outcomes
        own = [each.reference for each in outcomes if each.digest == digest]
        for reference in (*(Reference(self.repository, tag) for tag in lost), *own):
            # Whoever has set it since then knows better.
            if self.registry.resolve(reference) is None:
                self.registry.set_tag(reference, digest)
                self._prove(reference, digest)
        note = "another tag was given its image at that moment, and it was put back"
        return [
            replace(each, action=Action.KEPT, note=note) if each.reference in own else each
            for each in outcomes
        ]

    def _resolve(self, target: Tag | Digest) -> Digest | None:
        return self.registry.resolve(Reference(self.repository, target))

    def _went(self, tag: Tag, before: _View) -> bool:
        """Whether a tag that is not there went with the image that was deleted last.

        Then it was given that image since the look before: what it held then is still there, as a
        tag goes with its image alone.
        """
        held = before.held.get(tag)
        return bool(held and self._resolve(held))

    def _prove(self, reference: Reference, digest: Digest) -> None:
        there = self.registry.resolve(reference)
        if there != digest:
            raise Failure(
                Kind.UNVERIFIED,
                f"{reference} was put back, but holds {there or 'nothing'}.",
                f"Give it {digest} again with `feastflow-registry promote`.",
            )


def refuse_lost(names: Sequence[str]) -> None:
    """Raise an unverified failure if there are tags whose image is gone."""
    if names:
        raise Failure(
            Kind.UNVERIFIED,
            f"the image of {some(names)} is not on the registry any more.",
            "If nobody else has deleted it, this is a defect: report it with this log, and "
            "publish its commit again.",
        )


def changed(step: DeleteTag, there: Digest | None, conflicts: list[Problem]) -> Outcome:
    """A tag that does not hold what was planned: it is gone already, or it is kept."""
    if there is None:
        note = "it was gone already"
        return Outcome(step.service, Action.DELETED, step.reference, note=note)
    was = step.digest.short if step.digest else "nothing"
    cause = f"{step.reference} holds {there.short} now instead of {was}, so it was kept."
    conflicts.append(Problem(cause, AGAIN))
    return kept_back(step, there, "it holds another image than when it was planned")


def kept_back(step: DeleteTag, there: Digest | None, note: str) -> Outcome:
    """A tag that was to go, and stays."""
    return Outcome(step.service, Action.KEPT, step.reference, there, note=note)
