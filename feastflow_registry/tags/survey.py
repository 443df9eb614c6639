"""Looking before planning: asks the registry and the history only what a decision needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Published
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import Facts, Reuse, Rule, Seen, SharedTag, Snapshot
from feastflow_registry.model.ports import History, Registry
from feastflow_registry.model.references import Commit, Digest, Reference, Repository
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import (
    COMMIT,
    WITHDRAWN,
    commit_tag,
    frozen_marker,
    withdrawn_marker,
)
from feastflow_registry.tags.fingerprint import Fingerprint
from feastflow_registry.tags.rules import check_commit_image, is_ours, may_be_carried, same_source

_MOST_TAGS_ASKED = 500


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Gathers facts about one commit of one repository's source.

    ``fingerprint``: what a service's image is made from at this commit.
    """

    registry: Registry
    history: History
    commit: Commit
    source: str
    sha_length: int
    fingerprint: Callable[[Service], Fingerprint]

    def survey(
        self, services: Sequence[Service], shared: Sequence[SharedTag], reuse: Reuse
    ) -> Snapshot:
        """Look at the commit tag and the shared tags of each service."""

        def see(service: Service) -> Seen:
            return self._see(service, shared, reuse)

        names = [each.name for each in services]
        return dict(zip(names, spread(see, services), strict=True))

    def _see(self, service: Service, shared: Sequence[SharedTag], reuse: Reuse) -> Seen:
        repository = service.repository
        own = self._find(repository, self.commit)
        if own:
            self.check_own(service, own)
        image, inputs, why = own, Fingerprint(""), ""
        if (own is None and reuse is Reuse.UNCHANGED) or reuse is Reuse.NEVER:
            inputs = self.fingerprint(service)
        if own is None and reuse is Reuse.UNCHANGED:
            image, why = self._find_unchanged(repository, inputs)
        digest = image.digest if image else None
        facts = {each.tag: self.look(repository, each, digest) for each in shared}
        unsettled = [tag for tag, each in facts.items() if each.current != image]
        if own and unsettled and self.is_withdrawn(repository, own):
            facts |= {tag: replace(facts[tag], withdrawn=True) for tag in unsettled}
        return Seen(own, facts, None if own else image, inputs.digest, why)

    def _find(self, repository: Repository, commit: Commit) -> Published | None:
        """What a commit's tag holds, whatever it is."""
        digest = self.registry.resolve(Reference(repository, commit_tag(commit, self.sha_length)))
        return self.registry.inspect(repository, digest) if digest else None

    def check_own(self, service: Service, image: Published) -> None:
        """Refuse a commit tag that holds neither this commit's image nor one carried forward.

        That the inputs were the same was proven by who carried it: they are not compared again,
        for another machine may sum them up in another way.
        """
        if not self.stands_for(image, self.commit):
            check_commit_image(
                image,
                repository=service.repository,
                tag=commit_tag(self.commit, self.sha_length),
                commit=self.commit,
                source=self.source,
            )

    def stands_for(self, image: Published, commit: Commit) -> bool:
        """Whether an image is a commit's own, or an ancestor's that was carried forward to it."""
        if is_ours(image, commit, self.source):
            return True
        if not may_be_carried(image, commit, self.source, self.sha_length):
            return False
        revision = image.revision or commit
        return self.history.relation(revision, commit) is Relation.AHEAD

    def _find_unchanged(
        self, repository: Repository, inputs: Fingerprint
    ) -> tuple[Published | None, str]:
        """The image of the nearest published ancestor, if it would come out the same; or why not.

        An older one is not looked for: what was published in between would seem to be newer.
        """
        if not inputs.digest:
            return None, inputs.doubt
        nearest = self._nearest(repository)
        image = self._find(repository, nearest) if nearest else None
        if not nearest or not image:
            return None, "no ancestor is published"
        if image.inputs != inputs.digest or not self.stands_for(image, nearest):
            return None, f"it changed since {nearest.short}"
        if replace(self, commit=nearest).is_withdrawn(repository, image):
            return None, f"the image of {nearest.short} was withdrawn"
        return image, ""

    def _nearest(self, repository: Repository) -> Commit | None:
        """The nearest first-parent ancestor that has a commit tag."""
        first, *others = self.history.ancestors(self.commit) or (None,)
        if first is None:
            return None
        tag = commit_tag(first, self.sha_length)
        if self.registry.resolve(Reference(repository, tag)):
            return first
        tags = set(self.registry.tags(repository))
        return next((c for c in others if commit_tag(c, self.sha_length) in tags), None)

    def look(self, repository: Repository, each: SharedTag, digest: Digest | None) -> Facts:
        """Gather what decides whether a tag may move to our image (``digest`` if it exists)."""
        marker = Reference(repository, frozen_marker(each.tag))
        # The marker follows its tag: if it is asked for first, the tag is where it is final.
        frozen = each.rule is Rule.FINAL and self.registry.resolve(marker) is not None
        found = self.registry.resolve(Reference(repository, each.tag))
        settled = found is not None and found == digest
        current = None
        if found:
            forced = each.rule is Rule.FORCE  # Whatever is there, an image or not, may go.
            current = Published(found, None, "") if forced else self._identify(repository, found)
        relation = Relation.UNKNOWN
        if current and current.revision and not settled and each.rule is not Rule.FORCE:
            relation = self.history.relation(current.revision, self.commit)
        git_tag = None
        if each.rule is Rule.MILESTONE and not settled:
            git_tag = self.history.git_tag(each.tag.value)
            frozen = self.registry.resolve(marker) is not None
        return Facts(current, relation, git_tag, frozen)

    def is_withdrawn(self, repository: Repository, image: Published | None) -> bool:
        """Whether a rollback has marked our commit's image as bad, under whatever commit's name.

        A marker holds the image that it marks, which several commits may share.
        """
        marker = Reference(repository, withdrawn_marker(self.commit, self.sha_length))
        if self.registry.resolve(marker) is not None:
            return True
        if image is None or not image.inputs:
            return False
        tags = self.registry.tags(repository)
        marked = (tag for tag in tags if tag.value.startswith(WITHDRAWN))
        return any(self.registry.resolve(Reference(repository, e)) == image.digest for e in marked)

    def _identify(self, repository: Repository, digest: Digest) -> Published:
        """Read an image; its commit is known only if its labels name this repository's source.

        An image without such labels is known by a commit tag that shares its digest.
        """
        image = self.registry.inspect(repository, digest)
        if image.revision and same_source(image.source, self.source):
            return image
        return replace(image, revision=next(self.commits_at(repository, digest), None))

    def commits_at(self, repository: Repository, digest: Digest) -> Iterator[Commit | None]:
        """The commits whose tags hold an image; nothing for one that no history knows."""
        tags = self.registry.tags(repository)
        named = [tag for tag in tags if tag.value.startswith(COMMIT)]
        for tag in named[:_MOST_TAGS_ASKED]:
            if self.registry.resolve(Reference(repository, tag)) == digest:
                yield self.history.resolve(tag.value.removeprefix(COMMIT))

    def find_published(self, repository: Repository, commit: Commit) -> Digest | None:
        """The digest of another commit's image, if it is published, proven and not withdrawn."""
        image = self._find(repository, commit)
        if image is None or not self.stands_for(image, commit):
            return None
        there = replace(self, commit=commit)
        return None if there.is_withdrawn(repository, image) else image.digest
