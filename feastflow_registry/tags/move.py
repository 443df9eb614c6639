"""Giving one tag its image: what it holds now decides, and every write is read back.

A tag that changed since the plan was made is decided afresh by the same pure rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.plan import (
    Action,
    MoveTag,
    Outcome,
    Rule,
    SharedTag,
)
from feastflow_registry.model.ports import Copier, Registry
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, frozen_marker
from feastflow_registry.tags import rules
from feastflow_registry.tags.survey import Surveyor

_MOST_TOLD = 10
"""How much of what does not go along with an image is named."""
_WRITES = 2
"""How often a tag is written that reads back unchanged: another run may have set it again."""


@dataclass(frozen=True, slots=True)
class Tagger:
    """Gives tags the image of one commit.

    ``branch``: the one whose newer published commits take an advancing tag over; empty, if none
    is looked for. ``clock``: in seconds.
    """

    surveyor: Surveyor
    commit: Commit
    clock: Callable[[], float]
    state: RunState
    branch: str = ""

    @property
    def own_tag(self) -> Tag:
        """The commit's own tag."""
        return self.surveyor.commit_tags.of(self.commit)

    @contextmanager
    def writing(self, reference: Reference) -> Iterator[None]:
        """Take note of a write, and of its answer; none begins once the run was interrupted."""
        if self.state.stopped:
            raise SystemExit
        self.state.attempted.add(reference)
        yield
        self.state.answered.add(reference)

    def write(self, reference: Reference, digest: Digest) -> None:
        """Point a tag at a digest."""
        with self.writing(reference):
            self.surveyor.registry.set_tag(reference, digest)

    def prove(self, service: Service, reference: Reference) -> tuple[Digest, int]:
        """Read a commit tag back: some run of this very commit must have written it."""
        digest = self.surveyor.registry.resolve(reference)
        if digest is None:
            raise unverified(f"{reference} was pushed, but is not on the registry.")
        image = self.surveyor.registry.inspect(reference.repository, digest)
        self.surveyor.check_own(service.repository, self.commit, image)
        self.state.proven[service] = digest
        return digest, image.size

    def move_all(
        self, steps: Iterable[MoveTag], look: Callable[[MoveTag], Digest | None]
    ) -> list[Outcome]:
        """Move a service's tags in their order; ``look``: what one holds now.

        One that fails is told in the end. It keeps no other from moving, but for its own marker.
        """
        done: list[Outcome] = []
        unmarked: set[Tag] = set()
        for step in steps:
            if step.tag in unmarked:
                continue
            try:
                done.append(self.move(step, look(step)))
            except Failure as failure:
                self._note(step, failure)
                unmarked.add(frozen_marker(step.tag))
        return done

    def move(self, step: MoveTag, current: Digest | None) -> Outcome:
        """Move one tag, unless what it holds now forbids what the plan foresaw."""
        commit, digest = self.commit, self.state.proven[step.service]
        if step.keep not in ("", rules.THERE) and current == step.expect:
            self._note(step, step.conflict)
            return Outcome(step.service, Action.KEPT, step.reference, current, note=step.keep)
        if current not in (step.expect, digest) or step.rule is Rule.RELEASE:
            return self.advance(step, commit, digest, "")
        if current not in (None, digest) and self._may_be_carried(step, current):
            if step.rule in rules.ADVANCING:
                commit, digest = self.newest(step.service, self.newer(self.branch))
                if digest == current:
                    return self._keep(step, digest, current, _also(commit))
            holder = self._newer_holder(step, current, commit)
            if holder:
                return self._keep(step, digest, current, _also(holder))
        return self.set(step, digest, current, self.newer_note(commit))

    def _may_be_carried(self, step: MoveTag, digest: Digest) -> bool:
        """Whether an image may be a newer commit's than its labels say, or has none any more."""
        if step.rule not in rules.ADVANCING and step.rule is not Rule.ONE_RUN:
            return False
        image = self.surveyor.read(step.service.repository, digest)
        return image is None or bool(image.inputs)

    def _newer_holder(self, step: MoveTag, digest: Digest, commit: Commit) -> Commit | None:
        """A commit after ours that an image was carried forward to, where no branch tells.

        A branch tells nothing of a damaged image: what is looked for there is sound.
        """
        follows = step.rule in rules.ADVANCING and self.branch
        if follows and self.surveyor.read(step.service.repository, digest):
            return None
        relation = self.surveyor.history.relation
        holders = self.surveyor.commits_at(step.service.repository, digest)
        return next((c for c in holders if c and relation(commit, c) is Relation.AHEAD), None)

    def advance(self, step: MoveTag, commit: Commit, digest: Digest, note: str) -> Outcome:
        """Decide afresh, on what the registry holds now, whether a tag moves to a commit."""
        surveyor, repository = self.surveyor, step.service.repository
        shared = SharedTag(step.tag, step.rule, step.line)
        facts = surveyor.look(repository, commit, shared, digest)
        image = surveyor.registry.inspect(repository, digest)
        facts = replace(facts, withdrawn=surveyor.is_withdrawn(repository, commit, image))
        current = facts.current.digest if facts.current else None
        decision = rules.decide(
            step.rule, facts, digest=digest, reference=step.reference, commit=commit
        )
        if facts.release and facts.release.digest not in (None, digest):
            digest, note = facts.release.digest, rules.holder(facts.release, step.reference)
        if not decision.move:
            self._note(step, decision.conflict)
            return self._keep(step, digest, current, decision.reason)
        if current and self._may_be_carried(step, current):
            holder = self._newer_holder(step, current, commit)
            if holder:
                return self._keep(step, digest, current, _also(holder))
        return self.set(step, digest, current, note)

    def _note(self, step: MoveTag, conflict: Failure | None) -> None:
        """Remember what is said in the end: no tag that may stay keeps another from its image."""
        if conflict:
            self.state.conflicts[step.reference] = conflict

    def _keep(self, step: MoveTag, digest: Digest, current: Digest | None, why: str) -> Outcome:
        if current == digest or step.reference not in self.state.current:
            # Whatever it holds, it is looked at again in the end, as those that were moved.
            self.state.current[step.reference] = digest
        self.state.declined.add((step.reference, digest))
        return Outcome(step.service, Action.KEPT, step.reference, current, note=why)

    def set(self, step: MoveTag, digest: Digest, current: Digest | None, note: str) -> Outcome:
        """Point a tag at a digest, and read it back."""
        self.state.conflicts.pop(step.reference, None)
        started = self.clock()
        if current == digest:
            self.state.current[step.reference] = digest
            return Outcome(step.service, Action.KEPT, step.reference, digest, note=rules.THERE)
        for _ in range(_WRITES):
            self.write(step.reference, digest)
            self.state.given.add((step.reference, digest))
            read = self._read_back(step.reference, digest)
            if read != current:
                break
        if read not in (None, digest) and step.rule is Rule.ONE_RUN:
            return self.advance(step, self.commit, digest, note)
        swallowed = read == current and not self._is_shared(step)
        if read is None or swallowed or (read != digest and not self._may_differ(step, read)):
            if read not in (None, current):
                self.state.answered.discard(step.reference)
            raise not_seen(step.reference, read, current)
        self.state.current[step.reference] = read
        seconds = self.clock() - started
        action = Action.MOVED if current else Action.CREATED
        return Outcome(step.service, action, step.reference, digest, 0, seconds, note)

    def _read_back(self, reference: Reference, digest: Digest) -> Digest | None:
        """What a tag holds after a write. Another image than ours is believed by its bytes alone.

        Somebody may write it between the two requests: then it is asked for once more.
        """
        registry = self.surveyor.registry
        read = registry.resolve(reference)
        if read in (None, digest):
            return read
        try:
            registry.confirm(reference, read)
        except Failure:
            read = registry.resolve(reference)
            if read not in (None, digest):
                registry.confirm(reference, read)
        return read

    def _is_shared(self, step: MoveTag) -> bool:
        """Whether runs of other commits move a tag, and look again as this one does."""
        return step.rule is Rule.RELEASE or (step.rule in rules.ADVANCING and bool(self.branch))

    def _may_differ(self, step: MoveTag, read: Digest) -> bool:
        """Whether another run may have moved a tag already: what follows a branch is anybody's."""
        surveyor = self.surveyor
        if self._is_shared(step) or step.since.commit:
            return True
        image = surveyor.registry.inspect(step.service.repository, read)
        if surveyor.stands_for(image, self.commit):
            return True
        newer = image.revision and surveyor.history.relation(self.commit, image.revision)
        return step.rule in rules.ADVANCING and newer is Relation.AHEAD

    def newer(self, branch: str) -> list[Commit]:
        """The commits of a branch that come after ours, the newest first."""
        return list(self.surveyor.history.newer(self.commit, branch)) if branch else []

    def newest(self, service: Service, newer: Sequence[Commit]) -> tuple[Commit, Digest]:
        """The newest published one of the commits that come after ours, with its image; or ours."""
        found = self.surveyor.newest(service.repository, self.commit, newer)
        return found or (self.commit, self.state.proven[service])

    def take_back(self, step: MoveTag, commit: Commit, good: Digest | None) -> Outcome | None:
        """Give a tag a good image, if it still holds what it was given: a withdrawn commit's."""
        given = self.state.current[step.reference]
        if good in (None, given):
            return None
        # Somebody else's by now, who looks again as we do; or final, which is nobody's.
        if self.surveyor.registry.resolve(step.reference) != given or self._is_final(step):
            return None
        why = f"{commit.short} was withdrawn by a rollback"
        return self.set(step, good, given, why)

    def _is_final(self, step: MoveTag) -> bool:
        """Whether a tag became final: then it stays, even with an image that was withdrawn."""
        if step.tag == LATEST:
            return False
        marker = Reference(step.service.repository, frozen_marker(step.tag))
        named = self.surveyor.history.git_tag(step.tag.value)
        return named is not None or self.surveyor.registry.resolve(marker) is not None

    def newer_note(self, commit: Commit) -> str:
        """What is said of a tag that a newer commit than ours takes over."""
        return f"commit {commit.short} is newer" if commit != self.commit else ""


def bring(
    copier: Copier, registry: Registry, source: Reference, target: Repository
) -> tuple[int, str]:
    """Bring an image, named by digest, to a repository, with what refers to it.

    How many bytes were sent, and what there is to say of it.
    """
    digest = source.target
    assert isinstance(digest, Digest)
    moved = copier.copy(source.repository, digest, target)
    registry.expect(Reference(target, digest), digest)
    registry.inspect(target, digest)
    along = copier.bring_along(source.repository, digest, target)
    size = moved + along.size
    notes = [] if size else ["all of it was there"]
    notes += [f"with {along.number} that refer to it"] if along.number else []
    notes += [f"left: {each}" for each in along.left[:_MOST_TOLD]]
    more = len(along.left) - _MOST_TOLD
    notes += [f"and {more} more"] if more > 0 else []
    return size, "; ".join(notes)


def _also(commit: Commit) -> str:
    return f"it is newer commit {commit.short}'s too"


def not_seen(reference: Reference, read: Digest | None, before: Digest | None) -> Failure:
    """A tag was written, and shows something else: what it held ``before``, or another image."""
    if read in (None, before):
        shown = f"the registry shows {read.short if read else 'nothing'} still"
        return unverified(f"{reference} was written, and is not visible yet: {shown}.")
    return unverified(f"{reference} was moved, but holds {read}.")


def unverified(cause: str) -> Failure:
    """What was written does not read back."""
    return Failure(
        Kind.UNVERIFIED,
        cause,
        "Look at the repository, then run again: what is published is not sent twice.",
    )
