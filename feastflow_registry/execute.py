"""Runs a plan through the ports, in phases, and yields what was done and proven.

Build ▸ push commit tags ▸ prove them ▸ move shared tags ▸ prove them ▸ move on to whatever
became newer meanwhile. No shared tag moves before every commit tag is proven; after a failure
the outcomes so far say what moved, and running again finishes the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from feastflow_registry import policy
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.plan import (
    Action,
    KeepTag,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    ReuseImage,
)
from feastflow_registry.policy import Relation, Rule, SharedTag
from feastflow_registry.ports import Builder, BuiltImage, History, Registry, Worktree
from feastflow_registry.references import Commit, Digest, Reference, Tag
from feastflow_registry.services import Service
from feastflow_registry.survey import Surveyor

_ROUNDS = 5
_ADVANCING = frozenset({Rule.FORWARD, Rule.MILESTONE})


@dataclass(slots=True)
class Execution:
    """One run of one plan.

    ``builder`` is reached for only when something is built or pushed.
    ``branch``: the one whose newer commits take shared tags over; empty on a git tag.
    ``others``: shared tags that other runs of this commit may have moved, and that newer
    commits of ``main`` take over; ``united``: those of them that this run repointed.
    ``built``: images made earlier, for ``push``; ``digests``: what each service ended with;
    ``found``: what each shared tag read back as; ``decided``: moves that were decided against;
    ``attempted``: what was written, whether or not the answer arrived.
    """

    plan: Plan
    branch: str
    registry: Registry
    builder: Callable[[], Builder]
    history: History
    worktree: Worktree
    surveyor: Surveyor
    clock: Callable[[], float]
    others: tuple[Tag, ...] = ()
    main: str = ""
    built: Mapping[str, BuiltImage] = field(default_factory=dict)
    digests: dict[str, Digest] = field(default_factory=dict)
    found: dict[Reference, Digest] = field(default_factory=dict)
    united: dict[Reference, MoveTag] = field(default_factory=dict)
    decided: set[tuple[Reference, Digest]] = field(default_factory=set)
    attempted: set[Reference] = field(default_factory=set)

    def run(self) -> Iterator[Outcome]:
        """Carry out every step; raises the first failure, after yielding what was done."""
        yield from self._build()
        yield from self._push()
        yield from self._move()
        yield from self._settle()

    def _build(self) -> Iterator[Outcome]:
        builds = self.plan.builds
        if not builds:
            return
        self.builder().check_ready(builds)
        for push in self.plan.pushes:
            self.registry.check_push(push.reference.repository)
        started = self.clock()
        self.built = self.builder().build(builds, push=bool(self.plan.pushes))
        seconds = self.clock() - started
        for step in builds:
            size = self.built[step.service.name].size
            yield Outcome(step.service, Action.BUILT, step.tags[0], size=size, seconds=seconds)

    def _push(self) -> Iterator[Outcome]:
        if self.plan.pushes:
            self.worktree.ensure(self.plan.commit)
        for step in self.plan.steps:
            if isinstance(step, ReuseImage):
                self.digests[step.service.name] = step.image.digest
                image = step.image
                yield Outcome(step.service, Action.REUSED, step.reference, image.digest, image.size)
            elif isinstance(step, PushImage):
                yield self._push_image(step)

    def _push_image(self, step: PushImage) -> Outcome:
        started = self.clock()
        there = self.registry.resolve(step.reference)
        pushed = None
        if there is None:
            image = self.built[step.service.name]
            self.attempted.add(step.reference)
            if image.digest:
                self.registry.set_tag(step.reference, image.digest)
                pushed = image.digest
            else:
                pushed = self.builder().push(image, step.reference)
        digest, size = self._prove_commit_tag(step.service, step.reference)
        self.digests[step.service.name] = digest
        action = Action.PUSHED if digest == pushed else Action.ADOPTED
        note = "" if digest == pushed else "it was published already, and a commit tag stays"
        seconds = self.clock() - started
        return Outcome(step.service, action, step.reference, digest, size, seconds, note)

    def _prove_commit_tag(self, service: Service, reference: Reference) -> tuple[Digest, int]:
        """Read a commit tag back: some run of this very commit must have written it."""
        digest = self.registry.resolve(reference)
        if digest is None:
            raise _unverified(f"{reference} was pushed, but is not on the registry.")
        image = self.registry.inspect(reference.repository, digest)
        policy.check_commit_image(
            image,
            repository=service.repository,
            tag=_tag_of(reference),
            commit=self.plan.commit,
            source=self.plan.source,
        )
        return digest, image.size

    def _move(self) -> Iterator[Outcome]:
        for step in self.plan.steps:
            if isinstance(step, MoveTag):
                # A snapshot that no build or upload has aged needs no second look.
                there = self.registry.resolve(step.reference) if self.plan.pushes else step.expect
                yield self._move_tag(step, there)
            elif isinstance(step, KeepTag):
                yield Outcome(
                    step.service, Action.KEPT, step.reference, step.there, note=step.reason
                )

    def _move_tag(self, step: MoveTag, there: Digest | None) -> Outcome:
        """Move one tag, unless what is there now forbids what the plan foresaw."""
        digest = self.digests[step.service.name]
        if there not in (step.expect, digest):
            return self._advance_tag(step, self.plan.commit, digest, "")
        return self._set(step, digest, there, "")

    def _advance_tag(self, step: MoveTag, commit: Commit, digest: Digest, note: str) -> Outcome:
        """Decide afresh, on what the registry holds now, whether a tag moves to a commit."""
        surveyor = replace(self.surveyor, commit=commit)
        each = SharedTag(_tag_of(step.reference), step.rule)
        facts = surveyor.look(step.service.repository, each, digest)
        facts = replace(facts, withdrawn=surveyor.is_withdrawn(step.service.repository))
        there = facts.current.digest if facts.current else None
        decision = policy.decide(step.rule, facts, digest=digest, tag=each.tag, commit=commit)
        if decision.move:
            return self._set(step, digest, there, note)
        self.found.setdefault(step.reference, digest)
        self.decided.add((step.reference, digest))
        return Outcome(step.service, Action.KEPT, step.reference, there, note=decision.reason)

    def _set(self, step: MoveTag, digest: Digest, there: Digest | None, note: str) -> Outcome:
        """Point a tag at a digest, and read it back."""
        started = self.clock()
        if there == digest:
            self.found[step.reference] = digest
            return Outcome(step.service, Action.KEPT, step.reference, digest, note=policy.THERE)
        self.attempted.add(step.reference)
        self.registry.set_tag(step.reference, digest)
        there = self.registry.resolve(step.reference)
        if there not in (None, digest) and step.rule is Rule.DATED:
            return self._advance_tag(step, self.plan.commit, digest, note)
        if there is None or (there != digest and not self._may_differ(step, there)):
            raise _unverified(f"{step.reference} was moved, but reads back as {there or 'absent'}.")
        self.found[step.reference] = there
        seconds = self.clock() - started
        return Outcome(step.service, Action.MOVED, step.reference, digest, 0, seconds, note)

    def _may_differ(self, step: MoveTag, there: Digest) -> bool:
        """Whether newer commits, or another run of this one, may have moved a tag already."""
        if step.rule in _ADVANCING:
            return True
        image = self.registry.inspect(step.reference.repository, there)
        return policy.is_ours(image, self.plan.commit, self.plan.source)

    def _settle(self) -> Iterator[Outcome]:
        """Look again until nothing has become newer, so that interleaved runs end alike."""
        for _ in range(_ROUNDS):
            settled = True
            for outcome in chain(self._adopt_commit_tags(), self._unite(), self._follow()):
                settled = False
                yield outcome
            if settled:
                return
        raise _unverified("The shared tags were moved by other runs time and again.")

    def _adopt_commit_tags(self) -> Iterator[Outcome]:
        """Take over a commit tag that another run of this commit wrote at the same time."""
        moving = {step.service.name for step in self.plan.moves}
        for own in self.plan.images:
            if isinstance(own, ReuseImage) and own.service.name not in moving:
                continue
            digest, size = self._prove_commit_tag(own.service, own.reference)
            if digest == self.digests[own.service.name]:
                continue
            yield from self._adopt(own, digest, size)

    def _adopt(self, own: PushImage | ReuseImage, digest: Digest, size: int) -> Iterator[Outcome]:
        self.digests[own.service.name] = digest
        note = "another run of this commit published it at the same time"
        yield Outcome(own.service, Action.ADOPTED, own.reference, digest, size, note=note)
        for step in self.plan.moves:
            if step.service == own.service:
                yield self._move_tag(step, self.registry.resolve(step.reference))

    def _is_final(self, reference: Reference) -> bool:
        marker = Reference(reference.repository, policy.frozen_marker(_tag_of(reference)))
        return self.registry.resolve(marker) is not None

    def _unite(self) -> Iterator[Outcome]:
        """Give one commit one digest: who pushed last repoints the tags that hold another.

        An engine's push cannot be made to spare a commit tag that appeared meanwhile.
        """
        moves = {step.reference for step in self.plan.moves}
        for push in self.plan.pushes:
            repository, digest = push.service.repository, self.digests[push.service.name]
            moved = {each for each in moves if (each, digest) not in self.decided}
            for reference in (Reference(repository, tag) for tag in self.others):
                there = None if reference in moved else self.registry.resolve(reference)
                if there in (None, digest):
                    continue
                image = self.registry.inspect(repository, there)
                if not policy.is_ours(image, self.plan.commit, self.plan.source):
                    continue
                if self._is_final(reference):
                    # It is never moved: the commit tag takes its digest instead.
                    self.attempted.add(push.reference)
                    self.registry.set_tag(push.reference, there)
                    yield from self._adopt(push, there, image.size)
                else:
                    rule = Rule.FORWARD if reference.target == policy.LATEST else Rule.MILESTONE
                    step = MoveTag(push.service, reference, rule, there)
                    self.united[reference] = step
                    yield self._set(step, digest, there, "one digest for one commit")

    def _follow(self) -> Iterator[Outcome]:
        """Move forward tags on to the newest published commit of the branch."""
        moved = [(step, self.branch) for step in self.plan.moves if step.rule in _ADVANCING]
        moved += [(step, self.main) for step in self.united.values()]
        newer = {
            branch: list(self.history.newer(self.plan.commit, branch))
            for branch in {branch for _, branch in moved if branch}
        }
        for step, branch in moved:
            tagged = self._tagged(step)
            commit, digest = tagged or self._newest(step.service, newer.get(branch, []))
            if digest == self.found[step.reference] or (step.reference, digest) in self.decided:
                continue
            if tagged:
                yield self._advance_tag(
                    replace(step, rule=Rule.FORCE), commit, digest, "its git tag exists now"
                )
            else:
                note = f"commit {commit.short} is newer" if commit != self.plan.commit else ""
                yield self._advance_tag(step, commit, digest, note)

    def _tagged(self, step: MoveTag) -> tuple[Commit, Digest] | None:
        """Whose a milestone is, if it became final while this run moved it."""
        if step.rule is not Rule.MILESTONE:
            return None
        commit = self.history.git_tag(_tag_of(step.reference).value)
        digest = self.surveyor.find_published(step.service.repository, commit) if commit else None
        return (commit, digest) if commit and digest else None

    def _newest(self, service: Service, newer: list[Commit]) -> tuple[Commit, Digest]:
        tags = set(self.registry.tags(service.repository)) if newer else set()
        for commit in newer:
            if policy.commit_tag(commit, self.surveyor.sha_length) not in tags:
                continue
            # A merge lists the commits of a side branch too, which may not contain this one.
            if self.history.relation(self.plan.commit, commit) is Relation.AHEAD:
                digest = self.surveyor.find_published(service.repository, commit)
                if digest:
                    return commit, digest
        return self.plan.commit, self.digests[service.name]


def _tag_of(reference: Reference) -> Tag:
    assert isinstance(reference.target, Tag)
    return reference.target


def _unverified(cause: str) -> Failure:
    return Failure(
        Kind.UNVERIFIED,
        cause,
        "Look at the repository, then run again: what is published is not sent twice.",
    )
