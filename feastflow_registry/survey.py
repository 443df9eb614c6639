"""Looking before planning: asks the registry and the history only what a decision needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from feastflow_registry.plan import Seen, Snapshot
from feastflow_registry.policy import (
    Facts,
    Published,
    Relation,
    Rule,
    SharedTag,
    commit_tag,
    frozen_marker,
    is_ours,
    same_source,
    withdrawn_marker,
)
from feastflow_registry.ports import History, Registry
from feastflow_registry.references import Commit, Digest, Reference, Repository
from feastflow_registry.services import Service

_MOST_TAGS_ASKED = 500


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Gathers facts about one commit of one repository's source."""

    registry: Registry
    history: History
    commit: Commit
    source: str
    sha_length: int

    def survey(self, services: Sequence[Service], shared: Sequence[SharedTag]) -> Snapshot:
        """Look at the commit tag and the shared tags of each service."""
        return {service.name: self._see(service.repository, shared) for service in services}

    def _see(self, repository: Repository, shared: Sequence[SharedTag]) -> Seen:
        own = Reference(repository, commit_tag(self.commit, self.sha_length))
        digest = self.registry.resolve(own)
        image = self.registry.inspect(repository, digest) if digest else None
        facts = {each.tag: self.look(repository, each, digest) for each in shared}
        unsettled = [tag for tag, each in facts.items() if each.current != image]
        if image and unsettled and self.is_withdrawn(repository):
            facts |= {tag: replace(facts[tag], withdrawn=True) for tag in unsettled}
        return Seen(image, facts)

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

    def is_withdrawn(self, repository: Repository) -> bool:
        """Whether a rollback has marked our commit's image as bad."""
        marker = Reference(repository, withdrawn_marker(self.commit, self.sha_length))
        return self.registry.resolve(marker) is not None

    def _identify(self, repository: Repository, digest: Digest) -> Published:
        """Read an image; its commit is known only if its labels name this repository's source.

        An image without such labels is known by a commit tag that shares its digest.
        """
        image = self.registry.inspect(repository, digest)
        if image.revision and same_source(image.source, self.source):
            return image
        tags = self.registry.tags(repository)
        named = [tag for tag in tags if tag.value.startswith("commit-")]
        for tag in named[:_MOST_TAGS_ASKED]:
            if self.registry.resolve(Reference(repository, tag)) == digest:
                commit = self.history.resolve(tag.value.removeprefix("commit-"))
                return replace(image, revision=commit)
        return replace(image, revision=None)

    def find_published(self, repository: Repository, commit: Commit) -> Digest | None:
        """The digest of another commit's image, if it is published, proven and not withdrawn."""
        digest = self.registry.resolve(Reference(repository, commit_tag(commit, self.sha_length)))
        if digest is None or not is_ours(
            self.registry.inspect(repository, digest), commit, self.source
        ):
            return None
        return None if replace(self, commit=commit).is_withdrawn(repository) else digest
