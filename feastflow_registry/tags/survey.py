"""Looking before planning: asks the registry and the history only what a decision needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Published
from feastflow_registry.model.marks import is_in_force
from feastflow_registry.model.parallel import AT_ONCE, spread
from feastflow_registry.model.parts import Part
from feastflow_registry.model.plan import (
    Facts,
    Line,
    Release,
    Reuse,
    Rule,
    SharedTag,
)
from feastflow_registry.model.ports import History, Registry
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.snapshot import Seen, Snapshot
from feastflow_registry.model.source import Source
from feastflow_registry.model.tag_names import (
    CommitTags,
    commit_digits,
    frozen_marker,
    withdrawn_digits,
)
from feastflow_registry.model.wording import some
from feastflow_registry.tags.fingerprint import Fingerprint
from feastflow_registry.tags.rules import (
    check_commit_image,
    check_part,
    is_ours,
    may_be_carried,
)

_MOST_TAGS_ASKED = 500
_UNLISTED = 4
"""How many of the newest commits are asked for though no list names them: lists may be late."""
_MOST_NAMES_ASKED = 100
"""How many of the highest releases are, of which many may never have been published."""


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Gathers facts about the commits of one source repository and their images.

    ``source``: that repository, by all its names; ``fingerprint``: what a service's image is made
    from.
    """

    registry: Registry
    history: History
    source: Source
    commit_tags: CommitTags
    fingerprint: Callable[[Service], Fingerprint]

    def survey(
        self,
        commit: Commit,
        services: Sequence[Service],
        shared: Sequence[SharedTag],
        reuse: Reuse,
        parts: Callable[[Service], Sequence[str]] = lambda _: (),
        pushed: Callable[[Service], Sequence[str]] = lambda _: (),
    ) -> Snapshot:
        """Look at a commit's own tag and at the shared tags of each service.

        ``parts``: the platforms of a service whose parts are looked for; ``pushed``: those of them
        that another run has pushed for sure, or an empty text for the image itself.
        """
        own_tag = self.commit_tags.of(commit)

        def look(service: Service) -> Seen:
            # Before the image, for whom these are taken away.
            held = self._held(service.repository, commit, parts(service))
            return replace(self._see(commit, service, shared, reuse), held=held)

        def see(service: Service) -> Seen:
            seen = look(service)
            late = [] if seen.image else [each for each in pushed(service) if each not in seen.held]
            for platform in late:
                tag = self.commit_tags.part(commit, platform) if platform else own_tag
                self.registry.announce(Reference(service.repository, tag))
            if late:
                seen = look(service)
            found = {} if seen.image else self._parts(service.repository, commit, seen.held)
            return replace(seen, parts=found)

        return dict(zip(services, spread(see, services), strict=True))

    def _see(
        self, commit: Commit, service: Service, shared: Sequence[SharedTag], reuse: Reuse
    ) -> Seen:
        repository = service.repository
        held = self.registry.resolve(Reference(repository, self.commit_tags.of(commit)))
        own = self.registry.inspect(repository, held) if held else None
        if own:
            self.check_own(repository, commit, own)
        image, inputs, why, bad = own, Fingerprint(""), "", None
        if (own is None and reuse is Reuse.UNCHANGED) or reuse is Reuse.NEVER:
            inputs = self.fingerprint(service)
        if own is None and reuse is Reuse.UNCHANGED:
            image, why, bad = self._find_unchanged(repository, commit, inputs)
        digest = image.digest if image else None
        facts = {each.tag: self.look(repository, commit, each, digest) for each in shared}
        unsettled = [tag for tag, each in facts.items() if each.current != image]
        if own and unsettled and self.is_withdrawn(repository, commit, own):
            facts |= {tag: replace(facts[tag], withdrawn=True) for tag in unsettled}
        return Seen(own, facts, None if own else image, inputs.digest, why, bad=bad)

    def _held(
        self, repository: Repository, commit: Commit, platforms: Sequence[str]
    ) -> dict[str, Digest]:
        """What the tags of a commit's parts hold, by their platforms."""
        tags = [self.commit_tags.part(commit, each) for each in platforms]
        found = spread(self.registry.resolve, [Reference(repository, tag) for tag in tags])
        return {name: each for name, each in zip(platforms, found, strict=True) if each}

    def _parts(
        self, repository: Repository, commit: Commit, held: Mapping[str, Digest]
    ) -> dict[str, Part]:
        """Read the parts of a commit's image. Raises a conflict on what is none of them."""
        found = spread(partial(self.registry.part, repository), held.values())
        parts = dict(zip(held, found, strict=True))
        for platform, part in parts.items():
            tag = self.commit_tags.part(commit, platform)
            check_part(part, platform, Reference(repository, tag), commit, self.source)
        if len({each.image.inputs for each in parts.values()}) > 1:
            names = some([self.commit_tags.part(commit, each).value for each in parts])
            raise Failure(
                Kind.CONFLICT,
                f"{names} of {repository} were not made from the same inputs.",
                "Delete these tags, then run all jobs again.",
                see="wrong-part",
            )
        return parts

    def _find(self, repository: Repository, commit: Commit) -> Published | None:
        """What another commit's tag holds, if that can be read."""
        digest = self.registry.resolve(Reference(repository, self.commit_tags.of(commit)))
        return self.read(repository, digest) if digest else None

    def check_own(self, repository: Repository, commit: Commit, image: Published) -> None:
        """Refuse a commit tag that holds neither this commit's image nor one carried forward.

        That the inputs were the same was proven by the run that carried it: they are not compared
        again, for another machine may sum them up in another way.
        """
        if not self.stands_for(image, commit):
            tag, source = self.commit_tags.of(commit), self.source
            check_commit_image(image, repository=repository, tag=tag, commit=commit, source=source)

    def stands_for(self, image: Published, commit: Commit) -> bool:
        """Whether an image is a commit's own, or an ancestor's that was carried forward to it."""
        if is_ours(image, commit, self.source):
            return True
        if not may_be_carried(image, commit, self.source, self.commit_tags):
            return False
        revision = image.revision or commit
        return self.history.relation(revision, commit) is Relation.AHEAD

    def _find_unchanged(
        self, repository: Repository, commit: Commit, inputs: Fingerprint
    ) -> tuple[Published | None, str, Commit | None]:
        """The image of the nearest published ancestor, if it would come out the same; or why not.

        In the end the ancestor, if its image would be the one, and was withdrawn.

        An older one is not looked for: what was published in between would seem to be newer.
        """
        if not inputs.digest:
            return None, inputs.doubt, None
        nearest = self._nearest(repository, commit)
        if not nearest:
            return None, "no ancestor is published", None
        image = self._find(repository, nearest)
        if not image:
            return None, f"the image of {nearest.short} is damaged or gone", None
        if image.inputs != inputs.digest or not self.stands_for(image, nearest):
            return None, f"it changed since {nearest.short}", None
        if self.is_withdrawn(repository, nearest, image):
            return None, f"the image of {nearest.short} was withdrawn", nearest
        return image, "", None

    def _nearest(self, repository: Repository, commit: Commit) -> Commit | None:
        """The nearest first-parent ancestor that has a commit tag."""
        first, *others = self.history.ancestors(commit) or (None,)
        if first is None:
            return None
        if self.registry.resolve(Reference(repository, self.commit_tags.of(first))):
            return first
        tags = set(self.registry.tags(repository))
        return next((c for c in others if self.commit_tags.of(c) in tags), None)

    def look(
        self, repository: Repository, commit: Commit, shared: SharedTag, digest: Digest | None
    ) -> Facts:
        """Gather what decides whether a tag may move to a commit's image (``digest``, if built)."""
        marker = Reference(repository, frozen_marker(shared.tag))
        # The marker follows its tag: if it is asked for first, the tag is where it is final.
        frozen = self.registry.resolve(marker) if shared.rule is Rule.FINAL else None
        held = self.registry.resolve(Reference(repository, shared.tag))
        settled = held is not None and held == digest
        forced = shared.rule is Rule.FORCE  # Whatever is there, an image or not, may go.
        current = None
        if held:
            current = Published(held, None, "") if forced else self._identify(repository, held)
        relation = Relation.UNKNOWN
        if current and current.revision and not settled:
            relation = self.history.relation(current.revision, commit)
        if held is None and frozen not in (None, digest):
            was = self._identify(repository, frozen)  # Its tag was deleted: the name is not free.
            current = None if was.revision == commit else was
        git_tag = None
        if shared.rule is Rule.MILESTONE and not settled:
            git_tag = self.history.git_tag(shared.tag.value)
            frozen = self.registry.resolve(marker)
        release = self.highest(repository, commit, shared.line, digest) if shared.line else None
        is_final = frozen is not None
        return Facts(current, relation, git_tag, is_final, line=shared.line, release=release)

    def highest(
        self, repository: Repository, commit: Commit, line: Line, digest: Digest | None
    ) -> Release | None:
        """The highest release of a line that is published and not withdrawn.

        This run's own counts as published, with the image ``digest``, if it is built, unless its
        name holds another image, and may never be moved.
        """
        for name, found in self._named(repository, line):
            at = self.history.git_tag(name) if name == line.own or found else None
            if name == line.own:
                image = self.registry.inspect(repository, digest) if digest else None
                is_free = found in (None, digest)
                if at == commit and is_free and not self.is_withdrawn(repository, commit, image):
                    return Release(name, digest)
            elif found and at:
                image = self.read(repository, found)
                if image is None:
                    return Release(name, found, is_damaged=True)
                if self.stands_for(image, at) and not self.is_withdrawn(repository, at, image):
                    return Release(name, found)
        return None

    def _named(self, repository: Repository, line: Line) -> Iterator[tuple[str, Digest | None]]:
        """What the names of releases hold, the highest first.

        A list may be late, so that the highest are asked for by name, side by side from the second
        one on. Of many that were never published, a list costs less.
        """

        def resolve(name: str) -> Digest | None:
            return self.registry.resolve(Reference(repository, Tag.near(name)))

        asked, others = line.names[:_MOST_NAMES_ASKED], line.names[_MOST_NAMES_ASKED:]
        places = [0, *range(1, len(asked), AT_ONCE), len(asked)]
        for begin, end in pairwise(places):
            yield from zip(asked[begin:end], spread(resolve, asked[begin:end]), strict=True)
        listed = set(self.registry.tags(repository)) if others else set()
        for name in others:
            if name == line.own or Tag.near(name) in listed:
                yield name, resolve(name)

    def read(self, repository: Repository, digest: Digest) -> Published | None:
        """Read an image; nothing, if it is damaged: that of another commit stops no publish."""
        try:
            return self.registry.inspect(repository, digest)
        except Failure as failure:
            if failure.kind is not Kind.UNVERIFIED:
                raise
            return None

    def is_withdrawn(
        self, repository: Repository, commit: Commit | None, image: Published | None
    ) -> bool:
        """Whether a rollback has marked a commit's image as bad, under whatever commit's name."""
        return next(self.marks(repository, commit, image), None) is not None

    def marks(
        self, repository: Repository, commit: Commit | None, image: Published | None
    ) -> Iterator[Reference]:
        """The marks of a commit's image that are in force.

        A mark holds the image that it is for, which several commits may share. None names what
        nobody knows the commit of.
        """
        if commit is None:
            return
        own = Reference(repository, self.commit_tags.withdrawn(commit))
        if self.is_marked(own):
            yield own
        if image is None or not image.inputs:
            return
        for tag in self.registry.tags(repository):
            mark = Reference(repository, tag)
            if (
                withdrawn_digits(tag)
                and mark != own
                and self.registry.resolve(mark) == image.digest
            ):
                yield mark

    def is_marked(self, mark: Reference) -> bool:
        """Whether a mark is there, in force: it is believed by its bytes, for a tag hangs on it."""
        found = self.registry.resolve(mark)
        if found:
            self.registry.confirm(mark, found)
        return is_in_force(found)

    def offered(self, repository: Repository) -> list[str]:
        """The digits of the published commits, but for those that a rollback has marked."""
        tags = self.registry.tags(repository)
        marks = [tag for tag in tags if withdrawn_digits(tag)]
        held = spread(self.registry.resolve, [Reference(repository, mark) for mark in marks])
        pairs = zip(marks, held, strict=True)
        bad = {withdrawn_digits(mark) for mark, digest in pairs if is_in_force(digest)}
        digits = (commit_digits(tag) for tag in tags)
        return [each for each in digits if each and each not in bad]

    def _identify(self, repository: Repository, digest: Digest) -> Published:
        """Read an image; its commit is known only if its labels name this repository's source.

        An image without such labels, or a damaged one, is known by a commit tag that shares its
        digest.
        """
        image = self.read(repository, digest) or Published(digest, None, "")
        if image.revision and self.source.owns(image.source):
            return image
        return replace(image, revision=next(self.commits_at(repository, digest), None))

    def commits_at(self, repository: Repository, digest: Digest) -> Iterator[Commit | None]:
        """The commits whose tags hold an image; nothing for one that no history knows."""
        tags = [tag for tag in self.registry.tags(repository) if commit_digits(tag)]
        for tag in tags[:_MOST_TAGS_ASKED]:
            if self.registry.resolve(Reference(repository, tag)) == digest:
                yield self.history.resolve(commit_digits(tag))

    def newest(
        self, repository: Repository, commit: Commit, newer: Sequence[Commit]
    ) -> tuple[Commit, Digest] | None:
        """The first of some commits that contains another one and is published.

        ``newer``: the newest first.
        """
        listed = set(self.registry.tags(repository)) if newer else set()
        for place, each in enumerate(newer):
            if place >= _UNLISTED and self.commit_tags.of(each) not in listed:
                continue
            # A merge lists the commits of a side branch too, which may not contain this one.
            if self.history.relation(commit, each) is Relation.AHEAD:
                digest = self.find_published(repository, each)
                if digest:
                    return each, digest
        return None

    def good_before(self, repository: Repository, commit: Commit) -> Digest | None:
        """The image of the nearest first parent that is published and not withdrawn."""
        found = (self.find_published(repository, each) for each in self.history.ancestors(commit))
        return next(filter(None, found), None)

    def find_published(self, repository: Repository, commit: Commit) -> Digest | None:
        """The digest of a commit's image, if it is published, proven and not withdrawn."""
        image = self._find(repository, commit)
        if image is None or not self.stands_for(image, commit):
            return None
        return None if self.is_withdrawn(repository, commit, image) else image.digest
