"""Runs a publish through the ports, in phases, and yields what was done and proven.

Build ▸ check ▸ push commit tags ▸ copy them to other registries ▸ prove them ▸ move shared tags ▸
prove them ▸ converge. A service that fails keeps no other from being published, but no shared tag
of a registry moves before every commit tag is proven there; running again finishes the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

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
    MirrorImage,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    ReuseImage,
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
from feastflow_registry.model.references import Digest, Reference, Repository
from feastflow_registry.model.services import Service
from feastflow_registry.tags.converge import Convergence
from feastflow_registry.tags.mirror import Mirror
from feastflow_registry.tags.move import Tagger

T = TypeVar("T")
ImageT = TypeVar("ImageT", bound=Imaging)


class _Written(NamedTuple):
    """The image that a commit tag was given, and what is said of that."""

    digest: Digest | None
    action: Action
    note: str = ""


_BY_ANOTHER = _Written(None, Action.ADOPTED, "it was published already, and a commit tag stays")


@dataclass(slots=True)
class Execution:
    """One run of one plan.

    ``builder`` and ``checker`` are reached for only when something is built or pushed.
    ``built``: images by service, made earlier for ``push`` or by this run;
    ``failures``: what kept a service from being published on a registry;
    ``untagging``: what deletes a tag alone on the registry of a repository, where that is done.
    """

    plan: Plan
    builder: Callable[[], Builder]
    checker: Callable[[], Checker]
    worktree: Worktree
    mirror: Mirror
    convergence: Callable[[Plan], Convergence]
    untagging: Callable[[Repository], Listing | Deletion]
    built: Mapping[str, BuiltImage] = field(default_factory=dict)
    failures: dict[Service, Failure] = field(default_factory=dict)

    def run(self) -> Iterator[Outcome]:
        """Carry out every step; raises what failed, after yielding what was done."""
        yield from self._build()
        yield from self._push()
        lacking = {each.repository.host for each in self.failures}
        whole = [self.plan.on(host) for host in self.plan.hosts if host not in lacking]
        yield from one_after_another(*map(self._finish, whole), self._take_away(), self._tell())

    def _finish(self, plan: Plan) -> Iterator[Outcome]:
        """Move the shared tags of one registry, which has every commit tag."""
        yield from self._move(plan)
        yield from self.convergence(plan).run()

    def _tell(self) -> Iterator[Outcome]:
        """Raise what has kept images and tags from their places, as it is in the end."""
        yield from results([*self.failures.values(), *self.tagger.state.conflicts.values()])

    @property
    def tagger(self) -> Tagger:
        """What gives tags their images."""
        return self.mirror.tagger

    @property
    def _registry(self) -> Registry:
        return self.tagger.surveyor.registry

    def _build(self) -> Iterator[Outcome]:
        builds = self.plan.builds
        if not builds:
            return
        self.builder().check_ready(builds)
        self._attempt(
            lambda step: self._registry.check_push(step.service.repository),
            [each for each in self.plan.images if isinstance(each, PushImage | MirrorImage)],
        )
        builds = tuple(placed for step in builds if (placed := self._placed(step)))
        if not builds:
            return
        started = self.tagger.clock()
        made = self.builder().build(builds, push=bool(self.plan.every(PushImage)))
        # Of several, no one took the session's whole time.
        seconds = self.tagger.clock() - started if len(builds) == 1 else 0.0
        for name, failure in made.failures.items():
            self._give_up(name, failure)
        self.built = made.images
        for step in builds:
            if step.service.name in made.images:
                image = made.images[step.service.name]
                if image.digest:
                    origin = Reference(step.service.repository, image.digest)
                    self.tagger.state.origins[step.service.name] = origin
                note, size = f"cache: {image.cache}" if image.cache else "", image.size
                yield Outcome(step.service, Action.BUILT, step.tags[0], None, size, seconds, note)
        self._check(builds)

    def _placed(self, step: BuildImage) -> BuildImage | None:
        """The same build, for the first registry that takes the image; nothing, if none does."""
        name = step.service.name
        places = (each.service for each in self.plan.images if each.service.name == name)
        for place in (step.service, *places):
            if place not in self.failures:
                tags = tuple(Reference(place.repository, each.target) for each in step.tags)
                return replace(step, service=place, tags=tags)
        return None

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
            for step, result in zip(due, attempt(judge, due), strict=True):
                if isinstance(result, Failure):
                    self._give_up(step.service.name, result)
        except BaseException:
            checker.end()
            raise

    def _give_up(self, name: str, failure: Failure) -> None:
        """Publish a service nowhere."""
        for each in self.plan.services:
            if each.name == name:
                self.failures.setdefault(each, failure)

    def _push(self) -> Iterator[Outcome]:
        if any(isinstance(each, PushImage | CarryImage) for each in self.plan.steps):
            self.worktree.ensure(self.plan.commit, by_content=True)
        due: dict[str, list[Imaging]] = {}
        for step in self.plan.images:
            if step.service not in self.failures:
                due.setdefault(step.service.name, []).append(step)
        yield from chain.from_iterable(spread(self._publish_everywhere, due.values()))

    def _publish_everywhere(self, steps: Sequence[Imaging]) -> list[Outcome]:
        """Give one service its commit tag, on one registry first, from which it is copied."""
        copies = [each for each in steps if isinstance(each, MirrorImage)]
        here = [each for each in steps if each not in copies]
        done = self._attempt(self._publish, here)
        if here and not done and isinstance(here[0], JoinParts):  # Its parts are nowhere else.
            self._give_up(here[0].service.name, self.failures[here[0].service])
            return done
        while copies and not done:
            done = self._attempt(self._take_over, [copies.pop(0)])
        if done:
            self.tagger.state.origins[done[0].service.name] = done[0].reference
        return done + self._attempt(self.mirror.copy, copies)

    def _attempt(self, work: Callable[[ImageT], T], steps: Sequence[ImageT]) -> list[T]:
        """What was done; why the rest was not is told in the end."""
        done: list[T] = []
        for step, result in zip(steps, attempt(work, steps), strict=True):
            if isinstance(result, Failure):
                self.failures[step.service] = result
            else:
                done.append(result)
        return done

    def _publish(self, step: Imaging) -> Outcome:
        """Give one service its commit tag, with an image that is here or on its own registry."""
        match step:
            case ReuseImage():
                digest = self.tagger.state.proven[step.service] = step.image.digest
                return Outcome(step.service, Action.REUSED, step.reference, digest, step.image.size)
            case CarryImage():
                origin = Reference(step.service.repository, step.image.digest)
                self.tagger.state.origins[step.service.name] = origin
                return self._write_once(step, self._carry)
            case JoinParts():
                return self._write_once(step, self._join)
            case _:
                return self._write_once(step, self._push_built)

    def _take_over(self, step: MirrorImage) -> Outcome:
        """Publish where the image was to be copied to, as the registry that was first fails."""
        if step.service.name in self.tagger.state.origins:
            return self.mirror.copy(step)
        return self._write_once(step, self._push_built)

    def _write_once(self, step: ImageT, write: Callable[[ImageT], _Written]) -> Outcome:
        """Write a commit tag, unless another run has done so by now, and read it back."""
        started, written = self.tagger.clock(), _BY_ANOTHER
        if self._registry.resolve(step.reference) is None:
            written = write(step)
        reference, digest, size = self._prove(step)
        _, action, note = written if digest == written.digest else _BY_ANOTHER
        seconds = self.tagger.clock() - started
        return Outcome(step.service, action, reference, digest, size, seconds, note)

    def _prove(self, step: Imaging) -> tuple[Reference, Digest, int]:
        """Read back what was written; or the whole image, if it was a part of one.

        Another run may have put the image together by now, and taken the part away.
        """
        whole = Reference(step.service.repository, self.tagger.own_tag)
        try:
            return step.reference, *self.tagger.prove(step.service, step.reference)
        except Failure:
            if step.reference == whole or not self._registry.resolve(whole):
                raise
            return whole, *self.tagger.prove(step.service, whole)

    def _push_built(self, step: PushImage | MirrorImage) -> _Written:
        """Name what was pushed by digest, or have the engine push what it has."""
        image = self.built[step.service.name]
        if image.digest:
            self._registry.expect(Reference(step.service.repository, image.digest), image.digest)
            self.tagger.write(step.reference, image.digest)
            return _Written(image.digest, Action.PUSHED)
        with self.tagger.writing(step.reference):
            digest = self.builder().push(image, step.reference)
        self._registry.expect(step.reference, digest)
        return _Written(digest, Action.PUSHED)

    def _carry(self, step: CarryImage) -> _Written:
        """Give an ancestor's image this commit's tag, too."""
        self.tagger.write(step.reference, step.image.digest)
        since = step.image.revision
        note = f"unchanged since {since.short}" if since else ""
        return _Written(step.image.digest, Action.CARRIED, note)

    def _join(self, step: JoinParts) -> _Written:
        """Put an image together from its parts."""
        index = put_together(self._whole(step), step.annotations)
        with self.tagger.writing(step.reference):
            self._registry.put_index(step.reference, index)
        note = f"of {', '.join(step.service.platforms)}"
        return _Written(index.image.digest, Action.JOINED, note)

    def _whole(self, step: JoinParts) -> list[tuple[str, Part]]:
        """The parts of an image. Raises a failure that names those that are missing."""
        if step.missing:
            raise Failure(
                Kind.BUILD,
                f"{step.reference} lacks {', '.join(step.missing)}: no job has pushed that.",
                "Run the jobs that failed again, then this one.",
                see="lacks",
            )
        return [(platform, part) for platform, part in step.parts if part]

    def _take_away(self) -> Iterator[Outcome]:
        """Take away the tags of parts, as long as that leaves what they hold where it is."""
        due = [each for each in self.plan.every(DeleteTag) if each.service not in self.failures]
        if not due:
            return
        untag = partial(self._untag, self.untagging(due[0].service.repository))
        first = untag(due[0])
        yield first
        if first.action is Action.DELETED:
            yield from spread(untag, due[1:])

    def _untag(self, untagging: Listing | Deletion, step: DeleteTag) -> Outcome:
        """Delete the tag of a part; the image goes on without. To publish, nobody has to delete."""
        registry, repository, digest = self._registry, step.service.repository, step.digest
        assert digest
        part = Reference(repository, digest)
        try:
            registry.inspect(repository, digest)  # Its bytes are kept, to be put back.
            deleted = untagging.delete_tag(repository, step.tag)
        except Failure as failure:
            why = failure.problems[0].cause
            return Outcome(step.service, Action.KEPT, step.reference, note=why)
        why = "no tag is deleted alone here; prune takes it away with its image"
        if registry.resolve(part) is None:
            registry.set_tag(part, digest)
            why = "the registry deleted its image too, which is put back"
        elif deleted is not Deleted.UNSUPPORTED:
            return Outcome(step.service, Action.DELETED, step.reference)
        return Outcome(step.service, Action.KEPT, step.reference, note=why)

    def _move(self, plan: Plan) -> Iterator[Outcome]:
        yield from chain.from_iterable(spread(self._move_tags, plan.services))

    def _move_tags(self, service: Service) -> list[Outcome]:
        """Move one service's shared tags in their order."""
        # A snapshot that no build, upload or copy has aged needs no second look.
        writes = [each for each in self.plan.images if not isinstance(each, ReuseImage)]

        def look(step: MoveTag) -> Digest | None:
            return self._registry.resolve(step.reference) if writes else step.expect

        return self.tagger.move_all(
            (each for each in self.plan.moves if each.service == service), look
        )
