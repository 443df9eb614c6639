"""Which published image somebody means by a commit, a tag or a digest.

It decides by what the registry holds, and refuses what is not there, is ambiguous or is another
commit's, naming what there is instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from feastflow_registry.config.selectors import Selector
from feastflow_registry.model.errors import Failure, Kind, nearest
from feastflow_registry.model.images import Published
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.tag_names import commit_digits, part_digits
from feastflow_registry.model.wording import some
from feastflow_registry.tags.rules import check_commit_image
from feastflow_registry.tags.survey import Surveyor


@dataclass(frozen=True, slots=True)
class Chosen:
    """A published image. ``commit``: whose it is; ``tag``: what names it, a commit tag if one does.

    Neither is known of an image that no commit tag holds.
    """

    repository: Repository
    image: Published
    commit: Commit | None
    tag: Tag | None

    @property
    def digest(self) -> Digest:
        """The image's digest."""
        return self.image.digest

    @property
    def origin(self) -> Commit | None:
        """The commit that the image was made of: its own, or an ancestor that it comes from."""
        return self.image.revision

    def __str__(self) -> str:
        return str(Reference(self.repository, self.tag or self.digest))


@dataclass(frozen=True, slots=True)
class Chooser:
    """Finds images of one repository of source, in any of its image repositories.

    ``offers``: whether others are named where one is not published.
    """

    surveyor: Surveyor
    offers: bool = True

    def choose(self, repository: Repository, wanted: Selector) -> Chosen:
        """Find an image. Raises an input failure if there is none, or more than one."""
        if wanted.digest:
            return self._by_digest(repository, wanted.digest)
        if wanted.tag:
            return self._by_tag(repository, wanted.tag)
        if wanted.short:
            meant = self._digest(repository, wanted.short)
            if meant is None:
                raise _no_image(repository, wanted.short)
            return self._known(repository, meant, None)
        return self._by_commit(repository, wanted)

    def published(self, repository: Repository, commit: Commit) -> Chosen | None:
        """The image of a commit, proven to be its own or carried forward to it; or nothing."""
        tag = self.surveyor.commit_tags.of(commit)
        digest = self.surveyor.registry.resolve(Reference(repository, tag))
        return self._proven(repository, tag, digest, commit) if digest else None

    def is_withdrawn(self, chosen: Chosen) -> bool:
        """Whether a rollback has marked an image as bad."""
        return self.surveyor.is_withdrawn(chosen.repository, chosen.commit, chosen.image)

    def _by_commit(self, repository: Repository, wanted: Selector) -> Chosen:
        digits = wanted.commit
        tag = self._commit_tag(repository, digits)
        digest = self.surveyor.registry.resolve(Reference(repository, tag)) if tag else None
        if tag is None or digest is None:
            named = Tag(digits)  # A date such as 20260101 can be both.
            if self.surveyor.registry.resolve(Reference(repository, named)):
                return self._by_tag(repository, named)
            if wanted.start and (meant := self._digest(repository, wanted.start)):
                return self._known(repository, meant, None)
            raise self._unpublished(repository, digits)
        image = self.surveyor.registry.inspect(repository, digest)
        own = image.revision if image.revision and image.revision.sha.startswith(digits) else None
        commit = Commit.read(digits) or own or self.surveyor.history.resolve(digits)
        if commit is None:
            raise Failure(
                Kind.CONFLICT,
                f"{repository}:{tag} holds an image that is labelled with another commit than "
                f"{digits}, and the history does not explain it.",
                "Let it read the history (`permissions: contents: read` and "
                'the input "github-token"), or `git fetch` the commit.',
            )
        return self._proven(repository, tag, digest, commit)

    def _commit_tag(self, repository: Repository, digits: str) -> Tag | None:
        """The commit tag that some digits mean; only few of them need a listing."""
        if len(digits) >= self.surveyor.commit_tags.length:
            return self.surveyor.commit_tags.beginning(digits)
        tags = self.surveyor.registry.tags(repository)
        found = [tag for tag in tags if commit_digits(tag).startswith(digits)]
        if len(found) > 1:
            raise Failure(
                Kind.INPUT,
                f'"{digits}" is the beginning of {len(found)} published commits of {repository}.',
                f"Give more of it: {some([commit_digits(tag) for tag in found])}.",
            )
        return found[0] if found else None

    def _proven(self, repository: Repository, tag: Tag, digest: Digest, commit: Commit) -> Chosen:
        image = self.surveyor.registry.inspect(repository, digest)
        if not self.surveyor.stands_for(image, commit):
            source = self.surveyor.source
            check_commit_image(image, repository=repository, tag=tag, commit=commit, source=source)
        return Chosen(repository, image, commit, tag)

    def _by_tag(self, repository: Repository, tag: Tag) -> Chosen:
        if digits := part_digits(tag):
            cause = f"{Reference(repository, tag)} holds one platform alone, a part of an image."
            raise Failure(
                Kind.INPUT, cause, f"Name the image itself: {digits}.", see="part-no-image"
            )
        digest = self.surveyor.registry.resolve(Reference(repository, tag))
        if digest is None:
            names = [each.value for each in self.surveyor.registry.tags(repository)]
            fix = (
                nearest(tag.value, names) if names else "Nothing is published there: publish first."
            )
            raise Failure(Kind.INPUT, f"there is no {Reference(repository, tag)}.", fix)
        return self._known(repository, digest, tag)

    def _by_digest(self, repository: Repository, digest: Digest) -> Chosen:
        if self.surveyor.registry.resolve(Reference(repository, digest)) is None:
            raise _no_image(repository, str(digest))
        return self._known(repository, digest, None)

    def _digest(self, repository: Repository, start: str) -> Digest | None:
        """The image that has a tag and whose digest begins so, if there is one."""
        references = [Reference(repository, tag) for tag in self.surveyor.registry.tags(repository)]
        held = spread(self.surveyor.registry.resolve, references)
        found = {each for each in held if each and each.begins(start)}
        check_single(start, found, repository)
        return next(iter(found), None)

    def _known(self, repository: Repository, digest: Digest, tag: Tag | None) -> Chosen:
        """Whose an image is: its labels say so, or a commit tag that holds it."""
        image = self.surveyor.registry.inspect(repository, digest)
        ours = self.surveyor.source.owns(image.source)
        revision = image.revision if ours else None
        if revision:
            own = self.surveyor.commit_tags.of(revision)
            if self.surveyor.registry.resolve(Reference(repository, own)) == digest:
                return Chosen(repository, image, revision, own)
        # Its own commit tag may be pruned, and not that of a commit that it was carried to.
        commit = next((c for c in self.surveyor.commits_at(repository, digest) if c), None)
        name = self.surveyor.commit_tags.of(commit) if commit else tag
        known = commit or revision
        return Chosen(repository, replace(image, revision=revision or commit), known, name)

    def _unpublished(self, repository: Repository, digits: str) -> Failure:
        commit = self.surveyor.history.resolve(digits)
        offered = self.surveyor.offered(repository)
        before = list(self._before(commit, offered)) if commit else []
        fix = f"Publish it, or choose one that was published before it: {some(before)}."
        if not before:
            fix = f"Publish it, or choose one that is: {some(offered)}."
        if not offered:
            fix = "No commit is published there yet: publish first."
        if not self.offers:
            fix = "Look at `feastflow-registry tags`: name the commit that the tag holds."
        return Failure(
            Kind.INPUT, f"{repository} has no image of commit {digits[:12]}.", fix, see="no-image"
        )

    def _before(self, commit: Commit, published: Sequence[str]) -> Iterator[str]:
        """The published ones of a commit's first parents, nearest first."""
        for ancestor in self.surveyor.history.ancestors(commit):
            digits = commit_digits(self.surveyor.commit_tags.of(ancestor))
            if digits in published:
                yield digits


def check_single(start: str, found: Collection[Digest], repository: Repository) -> None:
    """Refuse the beginning of a digest that several images have."""
    if len(found) > 1:
        raise Failure(
            Kind.INPUT,
            f'"{start[:80]}" is the beginning of the digests of {len(found)} images of '
            f"{repository}.",
            f"Give more of it: {some(sorted(map(str, found)))}.",
        )


def _no_image(repository: Repository, digest: str) -> Failure:
    return Failure(
        Kind.INPUT,
        f"{repository} holds no image {digest}.",
        "It may be another repository's: `feastflow-registry tags` lists what is here.",
    )
