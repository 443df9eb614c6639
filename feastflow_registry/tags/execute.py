"""Runs a publish through the ports, in phases, and yields what was done and proven.

Build ▸ check ▸ push commit tags ▸ prove them ▸ move shared tags ▸ prove them ▸ converge. A service
that fails keeps no other from being published, but no shared tag of any service moves before
every commit tag is proven; running again finishes the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.parallel import attempt, one_after_another, results, spread
from feastflow_registry.model.parts import Part, put_together
from feastflow_registry.model.plan import (
    Action,
    BuildImage,
    CarryImage,
    DeleteTag,
    Imaging,
    JoinParts,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
)
from feastflow_registry.model.ports import (
    Builder,
    BuiltImage,
    Checker,
    Deletion,
    Listing,
    Registry,
    Worktree,
)
from feastflow_registry.model.references import Digest, Reference
from feastflow_registry.model.services import Service
from feastflow_registry.tags.converge import Convergence
from feastflow_registry.tags.move import Tagger

_PUBLISHED = "it was published already, and a commit tag stays"
StepT = TypeVar("StepT", BuildImage, PushImage)


@dataclass(slots=True)
class Execution:
    """One run of one plan.

    ``builder`` and ``checker`` are reached for only when something is built or pushed.
    ``built``: images by service, made earlier for ``push`` or by this run, and sound;
    ``failures``: what kept a service from being published, by its name;
    ``untagging``: what deletes a tag alone, where a registry does that.
    """

    plan: Plan
    builder: Callable[[], Builder]
    checker: Callable[[], Checker]
    worktree: Worktree
    tagger: Tagger
    convergence: Convergence
    untagging: Callable[[], Listing | Deletion]
    built: Mapping[str, BuiltImage] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def run(self) -> Iterator[Outcome]:
        """Carry out every step; raises what failed, after yielding what was done."""
        yield from self._build()
        yield from self._push()
        yield from self._move()
        yield from one_after_another(self.convergence.run(), self._take_away(), self._tell())

    def _tell(self) -> Iterator[Outcome]:
        """Raise what has kept tags from moving, as it is in the end."""
        yield from results(self.tagger.state.conflicts.values())

    @property
    def _registry(self) -> Registry:
        return self.tagger.surveyor.registry

    def _build(self) -> Iterator[Outcome]:
        builds = self.plan.builds
        if not builds:
            return
        self.builder().check_ready(builds)
        self._fail(
            self.plan.pushes, lambda step: self._registry.check_push(step.service.repository)
        )
        builds = tuple(step for step in builds if step.service.name not in self.failures)
        if not builds:
            return
        started = self.tagger.clock()
        made = self.builder().build(builds, push=bool(self.plan.pushes))
        # Of several, no one took the session's whole time.
        seconds = self.tagger.clock() - started if len(builds) == 1 else 0.0
        self.failures |= made.failures
        self.built = made.images
        for step in builds:
            if step.service.name in made.images:
                image = made.images[step.service.name]
                note = f"cache: {image.cache}" if image.cache else ""
                built = Outcome(step.service, Action.BUILT, step.tags[0], note=note)
                yield replace(built, size=image.size, seconds=seconds)
        self._check(builds)
        sound = made.images.keys() - self.failures.keys()
        self.built = {name: image for name, image in made.images.items() if name in sound}

    def _check(self, builds: Sequence[BuildImage]) -> None:
        """Judge what was built, side by side; an interrupt ends what still runs."""
        due = [step for step in builds if step.service.name in self.built]
        due = [step for step in due if step.service.smoke_test or step.service.check]
        if not due:
            return
        checker = self.checker()

        def judge(step: BuildImage) -> None:
            image = self.built[step.service.name]
            checker.check(step.service, image, step.tags[0], alone=len(due) == 1)

        try:
            self._fail(due, judge)
        except BaseException:
            checker.end()
            raise

    def _fail(self, steps: Sequence[StepT], work: Callable[[StepT], None]) -> None:
        """Work on several steps at once, and remember the service of each that fails."""
        for step, result in zip(steps, attempt(work, steps), strict=True):
            if isinstance(result, Failure):
                self.failures[step.service.name] = result

    def _push(self) -> Iterator[Outcome]:
        if self.plan.pushes or self.plan.carries:
            self.worktree.ensure(self.plan.commit, by_content=True)
        due = [step for step in self.plan.images if step.service.name not in self.failures]
        failed = list(self.failures.values())
        for result in attempt(self._publish, due):
            if isinstance(result, Failure):
                failed.append(result)
            else:
                yield result
        if failed:
            raise Failure.join(failed)

    def _publish(self, step: Imaging) -> Outcome:
        """Give one service its commit tag."""
        if isinstance(step, PushImage):
            return self._push_image(step)
        if isinstance(step, CarryImage):
            return self._carry_image(step)
        if isinstance(step, JoinParts):
            return self._join_parts(step)
        digest = self.tagger.state.proven[step.service] = step.image.digest
        return Outcome(step.service, Action.REUSED, step.reference, digest, step.image.size)

    def _push_image(self, step: PushImage) -> Outcome:
        tagger = self.tagger
        started = tagger.clock()
        pushed = None
        if self._registry.resolve(step.reference) is None:
            image = self.built[step.service.name]
            if image.digest:
                pushed = image.digest
                self._registry.expect(Reference(step.service.repository, pushed), pushed)
                tagger.write(step.reference, pushed)
            else:
                tagger.begin(step.reference)
                pushed = self.builder().push(image, step.reference)
                self._registry.expect(step.reference, pushed)
        reference = step.reference
        try:
            digest, size = tagger.prove(step.service, reference)
        except Failure:
            # Of a part: another run may have put the image together, and taken the part away.
            reference = Reference(reference.repository, tagger.own_tag)
            if reference == step.reference or not self._registry.resolve(reference):
                raise
            digest, size = tagger.prove(step.service, reference)
        action = Action.PUSHED if digest == pushed else Action.ADOPTED
        note = "" if digest == pushed else _PUBLISHED
        seconds = tagger.clock() - started
        return Outcome(step.service, action, reference, digest, size, seconds, note)

    def _carry_image(self, step: CarryImage) -> Outcome:
        tagger = self.tagger
        started = tagger.clock()
        if self._registry.resolve(step.reference) is None:
            tagger.write(step.reference, step.image.digest)
        digest, size = tagger.prove(step.service, step.reference)
        same = digest == step.image.digest
        action = Action.CARRIED if same else Action.ADOPTED
        since = step.image.revision
        note = f"unchanged since {since.short}" if same and since else "it was published already"
        seconds = tagger.clock() - started
        return Outcome(step.service, action, step.reference, digest, size, seconds, note)

    def _join_parts(self, step: JoinParts) -> Outcome:
        """Put an image together; another run may have done so by now, and taken parts away."""
        tagger = self.tagger
        started = tagger.clock()
        index = None
        if self._registry.resolve(step.reference) is None:
            index = put_together(self._whole(step), step.annotations)
            tagger.begin(step.reference)
            self._registry.put_index(step.reference, index)
        digest, size = tagger.prove(step.service, step.reference)
        is_own = index is not None and digest == index.image.digest
        action = Action.JOINED if is_own else Action.ADOPTED
        note = f"of {', '.join(step.service.platforms)}" if is_own else _PUBLISHED
        seconds = tagger.clock() - started
        return Outcome(step.service, action, step.reference, digest, size, seconds, note)

    def _whole(self, step: JoinParts) -> list[tuple[str, Part]]:
        """The parts of an image. Raises a failure that names those that are missing."""
        if step.missing:
            raise Failure(
                Kind.BUILD,
                f"{step.reference} lacks {', '.join(step.missing)}: no job has pushed that.",
                "Run the jobs that failed again, then this one.",
            )
        return [(platform, part) for platform, part in step.parts if part]

    def _take_away(self) -> Iterator[Outcome]:
        """Take away the tags of parts, as long as that leaves what they hold where it is."""
        due = self.plan.deletions
        if not due:
            return
        untag = partial(self._untag, self.untagging())
        first = untag(due[0])
        yield first
        if first.action is Action.DELETED:
            yield from spread(untag, due[1:])

    def _untag(self, untagging: Listing | Deletion, step: DeleteTag) -> Outcome:
        """Delete the tag of a part; the image goes on without. To publish, nobody has to delete."""
        registry, repository, digest = self._registry, step.service.repository, step.digest
        assert digest
        part = Reference(repository, digest)
        why = "no tag is deleted alone here; prune takes it away with its image"
        try:
            registry.inspect(repository, digest)  # To have it, should it go along.
            deleted = untagging.delete_tag(repository, step.tag)
            if registry.resolve(part) is None:
                registry.set_tag(part, digest)
            elif deleted is not Deleted.UNSUPPORTED:
                return Outcome(step.service, Action.DELETED, step.reference)
        except Failure as failure:
            why = failure.problems[0].cause
        return Outcome(step.service, Action.KEPT, step.reference, note=why)

    def _move(self) -> Iterator[Outcome]:
        yield from chain.from_iterable(spread(self._move_tags, self.plan.services))

    def _move_tags(self, service: Service) -> list[Outcome]:
        """Move one service's shared tags in their order."""
        # A snapshot that no build or upload has aged needs no second look.
        writes = self.plan.pushes or self.plan.carries or self.plan.joins

        def look(step: MoveTag) -> Digest | None:
            return self._registry.resolve(step.reference) if writes else step.expect

        return self.tagger.move_all(
            (each for each in self.plan.moves if each.service == service), look
        )
