"""Giving one tag its image: what is there now decides, and every write is read back.

A tag that changed since the plan was made is decided afresh by the same pure rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.plan import Action, MoveTag, Outcome, Rule, SharedTag
from feastflow_registry.model.references import Commit, Digest, Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.tags import rules
from feastflow_registry.tags.survey import Surveyor

ADVANCING = frozenset({Rule.FORWARD, Rule.MILESTONE})


@dataclass(slots=True)
class Tagger:
    """Writes the tags of one run.

    ``follows``: whether the newer commits of a branch are looked for after every move.
    ``digests``: what each service's commit tag holds, proven; ``found``: what each shared tag read
    back as; ``decided``: moves that were decided against; ``attempted``: what was written,
    whether or not the answer arrived; ``stopped``: whether the run was interrupted.
    """

    surveyor: Surveyor
    clock: Callable[[], float]
    follows: bool
    attempted: set[Reference] = field(default_factory=set)
    digests: dict[str, Digest] = field(default_factory=dict)
    found: dict[Reference, Digest] = field(default_factory=dict)
    decided: set[tuple[Reference, Digest]] = field(default_factory=set)
    stopped: bool = False

    def begin(self, reference: Reference) -> None:
        """Take note of a write that begins now; none begins once the run was interrupted."""
        if self.stopped:
            raise SystemExit
        self.attempted.add(reference)

    def write(self, reference: Reference, digest: Digest) -> None:
        """Point a tag at a digest."""
        self.begin(reference)
        self.surveyor.registry.set_tag(reference, digest)

    def prove(self, service: Service, reference: Reference) -> tuple[Digest, int]:
        """Read a commit tag back: some run of this very commit must have written it."""
        digest = self.surveyor.registry.resolve(reference)
        if digest is None:
            raise unverified(f"{reference} was pushed, but is not on the registry.")
        image = self.surveyor.registry.inspect(reference.repository, digest)
        self.surveyor.check_own(service, image)
        self.digests[service.name] = digest
        return digest, image.size

    def move(
        self, step: MoveTag, there: Digest | None, newest: Callable[[], tuple[Commit, Digest]]
    ) -> Outcome:
        """Move one tag, unless what is there now forbids what the plan foresaw.

        ``newest``: the newest published commit, which takes over an advancing tag anyway.
        """
        digest = self.digests[step.service.name]
        commit = self.surveyor.commit
        if there not in (step.expect, digest):
            return self.advance(step, commit, digest, "")
        if there not in (None, digest) and self._is_carried(step, there):
            if step.rule in ADVANCING and self.follows:
                commit, digest = newest()
                if digest == there:
                    return self._keep(step, digest, there, _also(commit))
            holder = self._newer_holder(step, there, commit)
            if holder:
                return self._keep(step, digest, there, _also(holder))
        return self.set(step, digest, there, _newer(commit, self.surveyor.commit))

    def _is_carried(self, step: MoveTag, there: Digest) -> bool:
        """Whether an image may be a newer commit's than its labels say."""
        if step.rule not in ADVANCING and step.rule is not Rule.DATED:
            return False
        return bool(self.surveyor.registry.inspect(step.reference.repository, there).inputs)

    def _newer_holder(self, step: MoveTag, there: Digest, commit: Commit) -> Commit | None:
        """A commit after ours that an image was carried forward to, where no branch tells."""
        if step.rule in ADVANCING and self.follows:
            return None
        relation = self.surveyor.history.relation
        holders = self.surveyor.commits_at(step.reference.repository, there)
        return next((c for c in holders if c and relation(commit, c) is Relation.AHEAD), None)

    def advance(self, step: MoveTag, commit: Commit, digest: Digest, note: str) -> Outcome:
        """Decide afresh, on what the registry holds now, whether a tag moves to a commit."""
        surveyor = replace(self.surveyor, commit=commit)
        each = SharedTag(tag_of(step.reference), step.rule)
        facts = surveyor.look(step.service.repository, each, digest)
        repository = step.service.repository
        image = surveyor.registry.inspect(repository, digest)
        facts = replace(facts, withdrawn=surveyor.is_withdrawn(repository, image))
        there = facts.current.digest if facts.current else None
        decision = rules.decide(
            step.rule, facts, digest=digest, reference=step.reference, commit=commit
        )
        if not decision.move:
            return self._keep(step, digest, there, decision.reason)
        if there and self._is_carried(step, there):
            holder = self._newer_holder(step, there, commit)
            if holder:
                return self._keep(step, digest, there, _also(holder))
        return self.set(step, digest, there, note)

    def _keep(self, step: MoveTag, digest: Digest, there: Digest | None, reason: str) -> Outcome:
        self.found.setdefault(step.reference, digest)
        self.decided.add((step.reference, digest))
        return Outcome(step.service, Action.KEPT, step.reference, there, note=reason)

    def set(self, step: MoveTag, digest: Digest, there: Digest | None, note: str) -> Outcome:
        """Point a tag at a digest, and read it back."""
        started = self.clock()
        if there == digest:
            self.found[step.reference] = digest
            return Outcome(step.service, Action.KEPT, step.reference, digest, note=rules.THERE)
        self.write(step.reference, digest)
        there = self.surveyor.registry.resolve(step.reference)
        if there not in (None, digest) and step.rule is Rule.DATED:
            return self.advance(step, self.surveyor.commit, digest, note)
        if there is None or (there != digest and not self._may_differ(step, there)):
            raise unverified(f"{step.reference} was moved, but reads back as {there or 'absent'}.")
        self.found[step.reference] = there
        seconds = self.clock() - started
        return Outcome(step.service, Action.MOVED, step.reference, digest, 0, seconds, note)

    def _may_differ(self, step: MoveTag, there: Digest) -> bool:
        """Whether newer commits, or another run of this one, may have moved a tag already."""
        surveyor = self.surveyor
        if step.rule in ADVANCING and self.follows:
            return True
        image = surveyor.registry.inspect(step.reference.repository, there)
        if surveyor.stands_for(image, surveyor.commit):
            return True
        newer = image.revision and surveyor.history.relation(surveyor.commit, image.revision)
        return step.rule in ADVANCING and newer is Relation.AHEAD

    def newest(self, service: Service, newer: Sequence[Commit]) -> tuple[Commit, Digest]:
        """The newest published one of the commits that come after ours, or ours."""
        own = self.surveyor.commit
        tags = set(self.surveyor.registry.tags(service.repository)) if newer else set()
        for commit in newer:
            if tag_names.commit_tag(commit, self.surveyor.sha_length) not in tags:
                continue
            # A merge lists the commits of a side branch too, which may not contain this one.
            if self.surveyor.history.relation(own, commit) is Relation.AHEAD:
                digest = self.surveyor.find_published(service.repository, commit)
                if digest:
                    return commit, digest
        return own, self.digests[service.name]


def tag_of(reference: Reference) -> Tag:
    """The tag that a reference names."""
    assert isinstance(reference.target, Tag)
    return reference.target


def _also(commit: Commit) -> str:
    return f"it is newer commit {commit.short}'s too"


def _newer(commit: Commit, own: Commit) -> str:
    return f"commit {commit.short} is newer" if commit != own else ""


def unverified(cause: str) -> Failure:
    """What was written does not read back."""
    return Failure(
        Kind.UNVERIFIED,
        cause,
        "Look at the repository, then run again: what is published is not sent twice.",
    )
