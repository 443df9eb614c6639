"""Looking again after the shared tags were moved, so that runs that interleave end alike.

Of two runs, the one that writes a tag later sees what the other published before:

    commit 1:  push commit-1 ─────────── move latest ▸ newer? commit-2 is there: move on to it
    commit 2:       push commit-2 ▸ move latest ▸ newer? no
    ends at:   latest = commit-2, whichever of the two moves came last
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from feastflow_registry.model import tag_names
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import (
    Action,
    CarryImage,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    ReuseImage,
    Rule,
)
from feastflow_registry.model.ports import History
from feastflow_registry.model.references import Commit, Digest, Reference, Tag
from feastflow_registry.tags import rules
from feastflow_registry.tags.move import ADVANCING, Tagger, tag_of, unverified

_ROUNDS = 5


@dataclass(slots=True)
class Settlement:
    """The end of one run.

    ``branch``: the one whose newer commits take shared tags over; empty on a git tag.
    ``others``: shared tags that other runs of this commit may have moved, and that newer
    commits of ``main`` take over; ``united``: those of them that this run repointed.
    """

    plan: Plan
    tagger: Tagger
    branch: str
    main: str = ""
    others: tuple[Tag, ...] = ()
    united: dict[Reference, MoveTag] = field(default_factory=dict)

    @property
    def _history(self) -> History:
        return self.tagger.surveyor.history

    def run(self) -> Iterator[Outcome]:
        """Look again until nothing has become newer."""
        for _ in range(_ROUNDS):
            settled = True
            for outcome in chain(self._adopt_commit_tags(), self._unite(), self._follow()):
                settled = False
                yield outcome
            if settled:
                return
        raise unverified("The shared tags were moved by other runs time and again.")

    def move(self, step: MoveTag, there: Digest | None) -> Outcome:
        """Move a tag to this run's image."""
        return self.tagger.move(
            step, there, lambda: self.tagger.newest(step.service, self._newer(self.branch))
        )

    def _newer(self, branch: str) -> list[Commit]:
        return list(self._history.newer(self.plan.commit, branch)) if branch else []

    def _adopt_commit_tags(self) -> Iterator[Outcome]:
        """Take over a commit tag that another run of this commit wrote at the same time."""
        moving = {step.service.name for step in self.plan.moves}
        due = [
            each
            for each in self.plan.images
            if not isinstance(each, ReuseImage) or each.service.name in moving
        ]
        before = dict(self.tagger.digests)
        proven = spread(lambda own: self.tagger.prove(own.service, own.reference), due)
        for own, (digest, size) in zip(due, proven, strict=True):
            if digest != before[own.service.name]:
                yield from self._adopt(own, digest, size)

    def _adopt(
        self, own: PushImage | CarryImage | ReuseImage, digest: Digest, size: int
    ) -> Iterator[Outcome]:
        self.tagger.digests[own.service.name] = digest
        note = "another run of this commit published it at the same time"
        yield Outcome(own.service, Action.ADOPTED, own.reference, digest, size, note=note)
        for step in self.plan.moves:
            if step.service == own.service:
                yield self.move(step, self._resolve(step.reference))

    def _resolve(self, reference: Reference) -> Digest | None:
        return self.tagger.surveyor.registry.resolve(reference)

    def _is_final(self, reference: Reference) -> bool:
        marker = Reference(reference.repository, tag_names.frozen_marker(tag_of(reference)))
        return self._resolve(marker) is not None

    def _unite(self) -> Iterator[Outcome]:
        """Give one commit one digest: who pushed last repoints the tags that hold another.

        No write can be made to spare a commit tag that appeared meanwhile.
        """
        moves = {step.reference for step in self.plan.moves}
        surveyor = self.tagger.surveyor
        written: tuple[PushImage | CarryImage, ...] = (*self.plan.pushes, *self.plan.carries)
        for push in written:
            repository, digest = push.service.repository, self.tagger.digests[push.service.name]
            moved = {each for each in moves if (each, digest) not in self.tagger.decided}
            for reference in (Reference(repository, tag) for tag in self.others):
                there = None if reference in moved else self._resolve(reference)
                if there in (None, digest):
                    continue
                image = surveyor.registry.inspect(repository, there)
                if not rules.is_ours(image, self.plan.commit, self.plan.source):
                    continue
                if self._is_final(reference):
                    # It is never moved: the commit tag takes its digest instead.
                    self.tagger.write(push.reference, there)
                    yield from self._adopt(push, there, image.size)
                else:
                    rule = Rule.FORWARD if reference.target == tag_names.LATEST else Rule.MILESTONE
                    step = MoveTag(push.service, reference, rule, there)
                    self.united[reference] = step
                    yield self.tagger.set(step, digest, there, "one digest for one commit")

    def _follow(self) -> Iterator[Outcome]:
        """Move forward tags on to the newest published commit of the branch."""
        tagger = self.tagger
        moved = [(step, self.branch) for step in self.plan.moves if step.rule in ADVANCING]
        moved += [(step, self.main) for step in self.united.values()]
        newer = {branch: self._newer(branch) for branch in {branch for _, branch in moved}}
        for step, branch in moved:
            tagged = self._tagged(step)
            commit, digest = tagged or tagger.newest(step.service, newer[branch])
            known = tagger.found[step.reference] == digest
            if known or (step.reference, digest) in tagger.decided:
                continue
            if tagged:
                yield tagger.advance(
                    replace(step, rule=Rule.FORCE), commit, digest, "its git tag exists now"
                )
            else:
                note = f"commit {commit.short} is newer" if commit != self.plan.commit else ""
                yield tagger.advance(step, commit, digest, note)

    def _tagged(self, step: MoveTag) -> tuple[Commit, Digest] | None:
        """Whose a milestone is, if it became final while this run moved it."""
        if step.rule is not Rule.MILESTONE:
            return None
        commit = self._history.git_tag(tag_of(step.reference).value)
        repository = step.service.repository
        digest = self.tagger.surveyor.find_published(repository, commit) if commit else None
        return (commit, digest) if commit and digest else None
