"""Looking again after the shared tags were moved, so that runs that interleave end alike.

Of two runs, the one that writes a tag later sees what the other published before:

    commit 1:  push commit-1 ─────────── move latest ▸ newer? commit-2 is there: move on to it
    commit 2:       push commit-2 ▸ move latest ▸ newer? no
    ends at:   latest = commit-2, whichever of the two moves came last
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Published
from feastflow_registry.model.parallel import attempt, results, spread
from feastflow_registry.model.plan import (
    Action,
    CarryImage,
    Command,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    ReuseImage,
    Rule,
)
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, frozen_marker
from feastflow_registry.tags import rules
from feastflow_registry.tags.move import Tagger, Transfer, unverified
from feastflow_registry.tags.survey import Surveyor

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
            self.tagger.surveyor.registry.catch_up()
            for outcome in chain(self._adopt_commit_tags(), self._repoint(), self._follow()):
                settled = False
                yield outcome
            if settled:
                return
        raise unverified("The shared tags were moved by other runs time and again.")

    def _adopt_commit_tags(self) -> Iterator[Outcome]:
        """Take over a commit tag that another run of this commit wrote at the same time."""
        moving = {step.service for step in self.plan.moves if not step.held}
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
        moved = [(step, tagger.branch) for step in self.plan.moves if step.rule in rules.ADVANCING]
        moved += [(step, self.main) for step in self.repointed.values()]
        newer = {branch: tagger.newer(branch) for branch in {branch for _, branch in moved}}
        pairs = {(step.service, branch) for step, branch in moved}
        newest = {pair: tagger.newest(pair[0], newer[pair[1]]) for pair in pairs}
        good_before = cache(self._good_before)
        for step, branch in moved:
            final = self._final_image(step)
            commit, digest = final or newest[step.service, branch]
            settled = state.current[step.reference] == digest
            own = state.proven[step.service]
            # What was there already may have been withdrawn before, and brought back on purpose.
            unsure = settled and digest == own and not (step.held and step.expect == own)
            good = good_before(step.service) if unsure and not final else None
            is_own = good is not None and self._resolve(step.reference) == own
            if good and is_own and not is_final(tagger.surveyor, step):
                note = f"{self.plan.commit.short} was withdrawn by a rollback"
                yield tagger.set(replace(step, rule=Rule.FORCE), good, own, note)
                continue
            if settled or (step.reference, digest) in state.declined:
                continue
            if final:
                forced = replace(step, rule=Rule.FORCE)
                yield tagger.advance(forced, commit, digest, "its git tag exists now")
            else:
                yield tagger.advance(step, commit, digest, tagger.newer_note(commit))

    def _good_before(self, service: Service) -> Digest | None:
        """The image that a service goes back to, if a rollback has withdrawn ours meanwhile."""
        if not self.tagger.is_withdrawn(service):
            return None
        found = self.tagger.surveyor.good_before(service.repository, self.plan.commit)
        return found[1] if found else None

    def _final_image(self, step: MoveTag) -> tuple[Commit, Digest] | None:
        """Whose a milestone is, if it became final while this run moved it."""
        if step.rule is not Rule.MILESTONE:
            return None
        commit = self.tagger.surveyor.history.git_tag(step.tag.value)
        repository = step.service.repository
        digest = self.tagger.surveyor.find_published(repository, commit) if commit else None
        return (commit, digest) if commit and digest else None


def is_final(surveyor: Surveyor, step: MoveTag) -> bool:
    """Whether a tag became final: then it stays, even with an image that was withdrawn."""
    marker = Reference(step.service.repository, frozen_marker(step.tag))
    if step.tag == LATEST:
        return False
    named = surveyor.history.git_tag(step.tag.value)
    return named is not None or surveyor.registry.resolve(marker) is not None


@dataclass(frozen=True, slots=True)
class _Meanwhile:
    """What has happened since the plan: what is ``newer`` than a commit, and what is withdrawn."""

    newer: Mapping[Commit, Sequence[Commit]]
    withdrawn: Collection[tuple[Repository, Published]]


@dataclass(frozen=True, slots=True)
class Transferred:
    """A promotion or a rollback, and its end: what other runs did meanwhile is not overwritten.

    A write replaces whatever a tag holds at that moment, and no registry tells what that was:

        rollback:  plan (latest = 2) ──────────────────────── latest = 1 ▸ newer than 2? commit-3
        commit 3:                push commit-3 ▸ latest = 3
        ends at:   latest = commit-3

    ``main``: the branch whose newer commits take over the tags that follow it.
    """

    transfer: Transfer
    main: str

    def run(self) -> Iterator[Outcome]:
        """Carry the plan out, then look again, even if a part of it failed."""
        failures: list[Failure] = []
        for part in (self.transfer.run(), self._converge()):
            try:
                yield from part
            except Failure as failure:
                failures.append(failure)
        if failures:
            raise Failure.join(failures)

    def _converge(self) -> Iterator[Outcome]:
        """Look again until nothing has changed."""
        state = self.transfer.state
        for _ in range(_ROUNDS):
            settled = True
            # What was written once stays, whatever comes.
            moves = [each for each in self.transfer.plan.moves if each.rule is not Rule.COMMIT]
            written = [each for each in moves if each.reference in state.current]
            hosts = {each.repository.host: each.repository for each in self.transfer.plan.services}
            for repository in hosts.values():
                self.transfer.surveyor(repository).registry.catch_up()
            meanwhile = self._look(written)
            for outcomes in results(attempt(partial(self._settle, meanwhile), written)):
                for outcome in outcomes:
                    settled = False
                    yield outcome
            if settled:
                return
        raise unverified("The tags were moved by other runs time and again.")

    def _look(self, written: Sequence[MoveTag]) -> _Meanwhile:
        """Ask what several tags have in common, once."""
        bases = {step.since.commit for step in written if step.since.commit}
        newer = {each: tuple(self.transfer.history.newer(each, self.main)) for each in bases}
        images = {self._image(step.service) for step in written if not step.since.withdrawn}
        withdrawn = zip(images, spread(self._is_withdrawn, images), strict=True)
        return _Meanwhile(newer, {image for image, marked in withdrawn if marked})

    def _image(self, service: Service) -> tuple[Repository, Published]:
        """The image that a service's tags get, in the repository that it is taken from."""
        steps = self.transfer.plan.of(service)
        source = next(step for step in steps if isinstance(step, ReuseImage))
        return source.reference.repository, source.image

    def _is_withdrawn(self, source: tuple[Repository, Published]) -> bool:
        repository, image = source
        if image.revision is None:  # No mark names what nobody knows the commit of.
            return False
        return self.transfer.surveyor(repository).is_withdrawn(repository, image.revision, image)

    def _settle(self, meanwhile: _Meanwhile, step: MoveTag) -> list[Outcome]:
        """Move one tag on, or back, if what happened meanwhile asks for it."""
        tagger = self.transfer.tagger(step.service)
        written = self.transfer.state.current[step.reference]
        state = self.transfer.state
        newer = self._newer(step, meanwhile)
        if newer:
            commit, digest = newer
            rule = Rule.FORWARD if step.tag == LATEST else Rule.MILESTONE
            if digest == written or (step.reference, digest) in state.declined:
                return []
            note = f"commit {commit.short} is newer"
            return [tagger.advance(replace(step, rule=rule), commit, digest, note)]
        before = None
        if self._image(step.service) in meanwhile.withdrawn:
            before = self._before(step, tagger.commit, written)
        if before is None or before[0] == written:
            return []
        digest, note = before
        current = tagger.surveyor.registry.resolve(step.reference)
        # Somebody else's by now, who looks again as we do; or final, which is nobody's.
        if current != written or is_final(tagger.surveyor, step):
            return []
        return [tagger.set(replace(step, rule=Rule.FORCE), digest, current, note)]

    def _newer(self, step: MoveTag, meanwhile: _Meanwhile) -> tuple[Commit, Digest] | None:
        """The newest commit that was published meanwhile, with its image."""
        since = step.since
        if since.commit is None:
            return None
        surveyor = self.transfer.surveyor(step.service.repository)
        unknown = [each for each in meanwhile.newer[since.commit] if each not in since.known]
        return surveyor.newest(step.service.repository, since.commit, unknown)

    def _before(self, step: MoveTag, commit: Commit, written: Digest) -> tuple[Digest, str] | None:
        """What a tag holds instead of an image that a rollback has withdrawn meanwhile."""
        repository, image = self._image(step.service)
        if step.since.withdrawn or written != image.digest:
            return None
        why = f"{commit.short} was withdrawn by a rollback"
        if self.transfer.plan.command is Command.ROLLBACK:
            good = self.transfer.surveyor(repository).good_before(repository, commit)
            return (good[1], why) if good else None
        if step.expect is None:
            raise Failure(
                Kind.CONFLICT,
                f"{why} while {step.reference} was given its image.",
                "Promote another commit to that tag, or delete it.",
            )
        return step.expect, why
