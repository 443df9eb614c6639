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
from feastflow_registry.model.references import Commit, Digest, Reference, Tag
from feastflow_registry.model.tag_names import LATEST, frozen_marker
from feastflow_registry.tags import rules
from feastflow_registry.tags.move import ADVANCING, Tagger, unverified

_ROUNDS = 5


@dataclass(slots=True)
class Convergence:
    """The end of one run.

    ``others``: shared tags that other runs of this commit may have moved, and that newer commits
    of the branch ``main`` take over; ``repointed``: those of them that this run gave its digest.
    """

    plan: Plan
    tagger: Tagger
    main: str = ""
    others: tuple[Tag, ...] = ()
    repointed: dict[Reference, MoveTag] = field(default_factory=dict)

    def run(self) -> Iterator[Outcome]:
        """Look again until nothing has become newer."""
        for _ in range(_ROUNDS):
            settled = True
            for outcome in chain(self._adopt_commit_tags(), self._repoint(), self._follow()):
                settled = False
                yield outcome
            if settled:
                return
        raise unverified("The shared tags were moved by other runs time and again.")

    def _adopt_commit_tags(self) -> Iterator[Outcome]:
        """Take over a commit tag that another run of this commit wrote at the same time."""
        moving = {step.service for step in self.plan.moves}
        due = [
            step
            for step in self.plan.images
            if not isinstance(step, ReuseImage) or step.service in moving
        ]
        before = dict(self.tagger.state.proven)
        proven = spread(lambda step: self.tagger.prove(step.service, step.reference), due)
        for step, (digest, size) in zip(due, proven, strict=True):
            if digest != before[step.service]:
                yield from self._adopt(step, digest, size)

    def _adopt(
        self, own: PushImage | CarryImage | ReuseImage, digest: Digest, size: int
    ) -> Iterator[Outcome]:
        self.tagger.state.proven[own.service] = digest
        note = "another run of this commit published it at the same time"
        yield Outcome(own.service, Action.ADOPTED, own.reference, digest, size, note=note)
        for step in self.plan.moves:
            if step.service == own.service:
                yield self.tagger.move(step, self._resolve(step.reference))

    def _resolve(self, reference: Reference) -> Digest | None:
        return self.tagger.surveyor.registry.resolve(reference)

    def _repoint(self) -> Iterator[Outcome]:
        """Give one commit one digest: the run that pushed last repoints tags that hold another.

        No write can be made to spare a commit tag that appeared meanwhile.
        """
        state, registry = self.tagger.state, self.tagger.surveyor.registry
        planned = {step.reference for step in self.plan.moves}
        written: tuple[PushImage | CarryImage, ...] = (*self.plan.pushes, *self.plan.carries)
        for own in written:
            repository, digest = own.service.repository, state.proven[own.service]
            moved = {each for each in planned if (each, digest) not in state.declined}
            for tag in self.others:
                reference = Reference(repository, tag)
                current = None if reference in moved else self._resolve(reference)
                if current in (None, digest):
                    continue
                image = registry.inspect(repository, current)
                if not rules.is_ours(image, self.plan.commit, self.plan.source):
                    continue
                if self._resolve(Reference(repository, frozen_marker(tag))):
                    # A final tag is never moved: the commit tag takes its digest instead.
                    self.tagger.write(own.reference, current)
                    yield from self._adopt(own, current, image.size)
                else:
                    rule = Rule.FORWARD if tag == LATEST else Rule.MILESTONE
                    step = MoveTag(own.service, tag, rule, current)
                    self.repointed[reference] = step
                    yield self.tagger.set(step, digest, current, "one digest for one commit")

    def _follow(self) -> Iterator[Outcome]:
        """Move advancing tags on to the newest published commit of their branch."""
        tagger, state = self.tagger, self.tagger.state
        moved = [(step, tagger.branch) for step in self.plan.moves if step.rule in ADVANCING]
        moved += [(step, self.main) for step in self.repointed.values()]
        newer = {branch: tagger.newer(branch) for branch in {branch for _, branch in moved}}
        for step, branch in moved:
            final = self._final_image(step)
            commit, digest = final or tagger.newest(step.service, newer[branch])
            settled = state.current[step.reference] == digest
            if settled or (step.reference, digest) in state.declined:
                continue
            if final:
                forced = replace(step, rule=Rule.FORCE)
                yield tagger.advance(forced, commit, digest, "its git tag exists now")
            else:
                yield tagger.advance(step, commit, digest, tagger.newer_note(commit))

    def _final_image(self, step: MoveTag) -> tuple[Commit, Digest] | None:
        """Whose a milestone is, if it became final while this run moved it."""
        if step.rule is not Rule.MILESTONE:
            return None
        commit = self.tagger.surveyor.history.git_tag(step.tag.value)
        repository = step.service.repository
        digest = self.tagger.surveyor.find_published(repository, commit) if commit else None
        return (commit, digest) if commit and digest else None
