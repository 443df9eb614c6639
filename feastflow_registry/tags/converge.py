"""Looking again after the shared tags were moved, so that runs that interleave end alike.

Of two runs, the one that writes a tag later sees what the other published before:

    commit 1:  push commit-1 ─────────── move latest ▸ newer? commit-2 is there: move on to it
    commit 2:       push commit-2 ▸ move latest ▸ newer? no
    ends at:   latest = commit-2, whichever of the two moves came last
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain, product, starmap

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Published
from feastflow_registry.model.parallel import asked, attempt, one_after_another, results
from feastflow_registry.model.plan import (
    Action,
    Command,
    Imaging,
    Line,
    MirrorImage,
    MoveTag,
    Outcome,
    Plan,
    ReuseImage,
    Rule,
    WithdrawImage,
)
from feastflow_registry.model.ports import Registry
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, frozen_marker
from feastflow_registry.tags import rules
from feastflow_registry.tags.mirror import Mirror
from feastflow_registry.tags.move import Tagger, unverified
from feastflow_registry.tags.transfer import Transfer

_ROUNDS = 5


def _until_settled(registry: Registry, look: Callable[[], Iterator[Outcome]]) -> Iterator[Outcome]:
    """Look again until nothing has to be moved any more.

    What fails in the last round is raised; in an earlier one it keeps nothing else from the next.
    """
    for _ in range(_ROUNDS):
        settled, failures = True, list[Failure]()
        registry.catch_up()
        try:
            for outcome in look():
                settled = False
                yield outcome
        except Failure as failure:
            failures = [failure]
        if settled:
            yield from results(failures)
            return
    raise unverified("other runs moved the tags again and again.")


@dataclass(slots=True)
class Convergence:
    """The end of a publish.

    ``others``: shared tags that other runs of this commit may have moved, and that newer commits
    of the branch ``main`` take over; ``repointed``: those of them that this run gave its digest;
    ``lines``: the releases that tags are for, as they are now.
    """

    plan: Plan
    tagger: Tagger
    mirror: Mirror
    main: str = ""
    others: tuple[Tag, ...] = ()
    lines: Callable[[], Mapping[Tag, Line]] = dict
    repointed: dict[Reference, MoveTag] = field(default_factory=dict)

    def run(self) -> Iterator[Outcome]:
        """Look again until nothing has become newer."""
        return _until_settled(self.tagger.surveyor.registry, self._look)

    def _look(self) -> Iterator[Outcome]:
        parts = self._adopt_commit_tags(), self._repoint(), self._follow(), self._release()
        return one_after_another(*parts)

    def _adopt_commit_tags(self) -> Iterator[Outcome]:
        """Take over a commit tag that another run of this commit wrote at the same time."""
        moving = {step.service for step in self.plan.moves if not step.keep}
        due = [
            step
            for step in self.plan.images
            if step.reference.target == self.tagger.own_tag
            and (not isinstance(step, ReuseImage) or step.service in moving)
        ]
        before = dict(self.tagger.state.proven)

        def adopt(step: Imaging, proven: tuple[Digest, int] | Failure) -> Iterator[Outcome]:
            [(digest, size)] = results([proven])
            if digest != before[step.service]:
                yield from self._adopt(step, digest, size)

        yield from one_after_another(*map(adopt, due, attempt(self._prove, due)))

    def _prove(self, step: Imaging) -> tuple[Digest, int]:
        """What a commit tag holds by now; a copy follows what it is copied from."""
        if isinstance(step, MirrorImage):
            self.mirror.copy(step)
        return self.tagger.prove(step.service, step.reference)

    def _adopt(self, own: Imaging, digest: Digest, size: int) -> Iterator[Outcome]:
        self.tagger.state.proven[own.service] = digest
        note = "another run of this commit published it at the same time"
        yield Outcome(own.service, Action.ADOPTED, own.reference, digest, size, note=note)
        steps = (each for each in self.plan.moves if each.service == own.service)
        yield from self.tagger.move_all(steps, lambda step: self._resolve(step.reference))

    def _resolve(self, reference: Reference) -> Digest | None:
        return self.tagger.surveyor.registry.resolve(reference)

    def _repoint(self) -> Iterator[Outcome]:
        """Give one commit one digest: the run that pushed last repoints tags that hold another.

        No write can be made to spare a commit tag that appeared meanwhile.
        """
        planned = {step.reference for step in self._considered()}
        written = [each for each in self.plan.images if not isinstance(each, ReuseImage)]
        pairs = product(written, self.others)
        yield from one_after_another(*(self._repoint_one(*each, planned) for each in pairs))

    def _repoint_one(
        self, own: Imaging, tag: Tag, planned: Collection[Reference]
    ) -> Iterator[Outcome]:
        """Give one tag the digest of a commit that it holds another one of."""
        state, surveyor = self.tagger.state, self.tagger.surveyor
        repository, digest = own.service.repository, state.proven[own.service]
        reference = Reference(repository, tag)
        is_moved = reference in planned and (reference, digest) not in state.declined
        current = None if is_moved else self._resolve(reference)
        if current in (None, digest):
            return
        image = surveyor.read(repository, current)
        if image is None or not rules.is_ours(image, self.plan.commit, surveyor.source):
            return
        is_final = self._resolve(Reference(repository, frozen_marker(tag)))
        if is_final and isinstance(own, MirrorImage):
            return  # A copy is what the other registry holds.
        if is_final:
            # A final tag is never moved: the commit tag takes its digest instead.
            self.tagger.write(own.reference, current)
            yield from self._adopt(own, current, image.size)
        else:
            rule = Rule.FORWARD if tag == LATEST else Rule.MILESTONE
            step = MoveTag(own.service, tag, rule, current)
            self.repointed[reference] = step
            yield self.tagger.set(step, digest, current, "one digest for one commit")

    def _considered(self) -> list[MoveTag]:
        """The tags that were not just left as the plan saw them."""
        return [step for step in self.plan.moves if step.reference in self.tagger.state.current]

    def _follow(self) -> Iterator[Outcome]:
        """Move advancing tags on to the newest published commit of their branch."""
        tagger, state = self.tagger, self.tagger.state
        considered = self._considered()
        moved = [(step, tagger.branch) for step in considered if step.rule in rules.ADVANCING]
        moved += [(step, self.main) for step in self.repointed.values()]
        newer = asked(tagger.newer, (branch for _, branch in moved))
        pairs = ((step.service, branch) for step, branch in moved)
        newest = asked(lambda pair: tagger.newest(pair[0], newer(pair[1])), pairs)
        find_withdrawn = cache(self._find_withdrawn)

        def take_on(step: MoveTag, branch: str) -> Iterator[Outcome]:
            final = self._final_image(step)
            commit, digest = final or newest((step.service, branch))
            given = state.current[step.reference]
            is_given = (step.reference, given) in state.given
            withdrawn = find_withdrawn(step.service, given) if is_given else None
            if withdrawn:
                good = tagger.surveyor.good_before(step.service.repository, withdrawn)
                taken = tagger.take_back(step, withdrawn, good)
                if taken:
                    yield taken
            if given == digest or (step.reference, digest) in state.declined:
                return
            if final:
                forced = replace(step, rule=Rule.FORCE)
                yield tagger.advance(forced, commit, digest, "its git tag exists now")
            else:
                yield tagger.advance(step, commit, digest, tagger.newer_note(commit))

        yield from one_after_another(*starmap(take_on, moved))

    def _find_withdrawn(self, service: Service, digest: Digest) -> Commit | None:
        """The commit of an image, if a rollback has marked it as bad."""
        surveyor, repository = self.tagger.surveyor, service.repository
        image = surveyor.registry.inspect(repository, digest)
        is_own = digest == self.tagger.state.proven[service]
        commit = self.plan.commit if is_own else image.revision
        return commit if surveyor.is_withdrawn(repository, commit, image) else None

    def _release(self) -> Iterator[Outcome]:
        """Move tags of releases on to the highest one that is published by now."""
        lines, conflicts = self.lines(), self.tagger.state.conflicts
        due = [each for each in self.plan.moves if each.reference not in conflicts]
        steps = [replace(each, line=line) for each in due if (line := lines.get(each.tag))]
        yield from one_after_another(*map(self._move_on, steps))

    def _move_on(self, step: MoveTag) -> Iterator[Outcome]:
        """Move one tag on to the highest release of its line, unless it is there."""
        tagger, state, commit = self.tagger, self.tagger.state, self.plan.commit
        own, repository = state.proven[step.service], step.service.repository
        assert step.line
        found = tagger.surveyor.highest(repository, commit, step.line, own)
        digest = found.digest if found else None
        if digest in (None, state.current.get(step.reference, step.expect)):
            return
        if (step.reference, digest) not in state.declined:
            yield tagger.advance(step, commit, own, "")

    def _final_image(self, step: MoveTag) -> tuple[Commit, Digest] | None:
        """Whose a milestone is, if it became final while this run moved it."""
        if step.rule is not Rule.MILESTONE:
            return None
        commit = self.tagger.surveyor.history.git_tag(step.tag.value)
        repository = step.service.repository
        digest = self.tagger.surveyor.find_published(repository, commit) if commit else None
        return (commit, digest) if commit and digest else None


@dataclass(frozen=True, slots=True)
class _Meanwhile:
    """What has happened since the plan; what could not be learned is raised where it is asked for.

    ``newer``: what is newer than a commit; ``line``: the releases of a tag that goes along some;
    ``is_withdrawn``: whether an image is.
    """

    newer: Callable[[Commit], Sequence[Commit]]
    line: Callable[[Tag], Sequence[str]]
    is_withdrawn: Callable[[tuple[Repository, Published]], bool]


@dataclass(frozen=True, slots=True)
class TransferConvergence:
    """The end of a promotion or a rollback: what other runs did meanwhile is not overwritten.

    A write replaces whatever a tag holds at that moment, and no registry tells what that was:

        rollback:  plan (latest = 2) ──────────────────────── latest = 1 ▸ newer than 2? commit-3
        commit 3:                push commit-3 ▸ latest = 3
        ends at:   latest = commit-3

    ``main``: the branch whose newer commits take over the tags that follow it; ``releases``: the
    git tags of the releases that a tag is for, the highest first.
    """

    transfer: Transfer
    main: str
    releases: Callable[[Tag], Sequence[str]] = lambda _: ()

    def run(self) -> Iterator[Outcome]:
        """Look again until nothing has changed."""
        return _until_settled(self.transfer.surveyor.registry, self._look)

    def _look(self) -> Iterator[Outcome]:
        # What was written once stays, whatever comes.
        moves = [each for each in self.transfer.plan.moves if each.rule is not Rule.COMMIT]
        written = [each for each in moves if each.reference in self.transfer.state.current]
        settle = partial(self._settle, self._ask(written))
        return chain.from_iterable(results(attempt(settle, written)))

    def _ask(self, steps: Sequence[MoveTag]) -> _Meanwhile:
        """Ask what several tags have in common, once."""
        history = self.transfer.surveyor.history
        bases = (step.since.commit for step in steps if step.since.commit)
        tags = (step.tag for step in steps if step.since.release)
        given = (each for each in attempt(self._given, steps) if isinstance(each, tuple))
        return _Meanwhile(
            asked(lambda base: tuple(history.newer(base, self.main)), bases),
            asked(self.releases, tags),
            asked(self._is_withdrawn, given),
        )

    def _given(self, step: MoveTag) -> tuple[Repository, Published] | None:
        """What this run gave a tag, in the repository where it would be marked.

        Or what it has marked itself, if another run brought the tag to that. Nothing, if it was
        withdrawn already when it was chosen.
        """
        given = self.transfer.state.current[step.reference]
        steps = self.transfer.plan.of(step.service)
        marked = {each.digest for each in steps if isinstance(each, WithdrawImage)}
        if given in marked:
            own = step.service.repository
            return own, self.transfer.surveyor.registry.inspect(own, given)
        if (step.reference, given) not in self.transfer.state.given:
            return None
        reuses = self.transfer.plan.every(ReuseImage)
        source = next((each for each in reuses if each.service == step.service), None)
        if source and given == source.image.digest:
            return None if step.since.withdrawn else (source.reference.repository, source.image)
        repository = step.service.repository
        return repository, self.transfer.surveyor.registry.inspect(repository, given)

    def _is_withdrawn(self, source: tuple[Repository, Published]) -> bool:
        repository, image = source
        return self.transfer.surveyor.is_withdrawn(repository, image.revision, image)

    def _settle(self, meanwhile: _Meanwhile, step: MoveTag) -> list[Outcome]:
        """Move one tag on, or back, if what happened meanwhile asks for it."""
        tagger, state = self.transfer.tagger(step.service), self.transfer.state
        given = self._given(step)
        is_withdrawn = given and meanwhile.is_withdrawn(given)
        withdrawn = given[1].revision if given and is_withdrawn else None
        before = self._before(step, withdrawn, meanwhile) if withdrawn else None
        taken = withdrawn and tagger.take_back(step, withdrawn, before)
        if taken:
            return [taken]
        newer = self._newer(step, meanwhile)
        current = state.current[step.reference]
        if newer is None or newer[1] == current or (step.reference, newer[1]) in state.declined:
            return []
        commit, digest, moved = newer
        if moved.line:
            return [tagger.advance(moved, commit, digest, "a higher release is published")]
        return [tagger.advance(moved, commit, digest, f"commit {commit.short} is newer")]

    def _newer(self, step: MoveTag, meanwhile: _Meanwhile) -> tuple[Commit, Digest, MoveTag] | None:
        """What was published meanwhile and takes the tag over: its commit, its image, its rule."""
        since, repository = step.since, step.service.repository
        surveyor = self.transfer.surveyor
        if since.commit:
            unknown = [each for each in meanwhile.newer(since.commit) if each not in since.known]
            newest = surveyor.newest(repository, since.commit, unknown)
            rule = Rule.FORWARD if step.tag == LATEST else Rule.MILESTONE
            return (*newest, replace(step, rule=rule)) if newest else None
        if since.release:
            higher = _above(meanwhile.line(step.tag), since.release)
            line = Line("", tuple(each for each in higher if each not in since.releases))
            found = surveyor.highest(repository, self.transfer.plan.commit, line, None)
            commit = surveyor.history.git_tag(found.name) if found else None
            if found and found.digest and commit:
                return commit, found.digest, replace(step, rule=Rule.RELEASE, line=line)
        return None

    def _before(self, step: MoveTag, withdrawn: Commit, meanwhile: _Meanwhile) -> Digest | None:
        """What a tag holds instead of an image that a rollback has withdrawn meanwhile."""
        repository = step.service.repository
        surveyor = self.transfer.surveyor
        is_rollback = self.transfer.plan.command is Command.ROLLBACK
        if step.since.release:
            names = meanwhile.line(step.tag)
            lower = names[len(_above(names, step.since.release)) :]
            found = surveyor.highest(repository, withdrawn, Line("", tuple(lower)), None)
            return found.digest if found else None
        if is_rollback or step.since.commit:
            good = surveyor.good_before(repository, withdrawn)
            if good or is_rollback:
                return good
        if step.expect is None:
            raise Failure(
                Kind.CONFLICT,
                f"{withdrawn.short} was withdrawn by a rollback while {step.reference} was given "
                "its image.",
                "Promote another commit to that tag, or delete it.",
            )
        return step.expect


def _above(names: Sequence[str], name: str) -> Sequence[str]:
    """The releases of a line that are higher than one of them."""
    return names[: names.index(name)] if name in names else ()
