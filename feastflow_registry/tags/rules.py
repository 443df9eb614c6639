"""The rules of tags: how each may move, and whose an image is.

Pure decisions over facts that others gathered. Every answer says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Published
from feastflow_registry.model.parts import Part
from feastflow_registry.model.plan import Facts, Release, Rule
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.source import Source
from feastflow_registry.model.tag_names import LATEST, CommitTags, commit_digits, part_digits

ADVANCING = frozenset({Rule.FORWARD, Rule.MILESTONE, Rule.BRANCH})
"""The rules of tags that newer commits take over."""
THERE = "it is there already"


@dataclass(frozen=True, slots=True)
class Decision:
    """Move the tag, or leave it and say why.

    ``conflict``: what the user is told, where the rule forbids what was asked for.
    """

    move: bool
    reason: str = ""
    conflict: Failure | None = None

    @classmethod
    def refuse(cls, cause: str, fix: str, see: str = "") -> Decision:
        """Leave the tag, against what was asked for."""
        return cls(False, cause.removesuffix("."), Failure(Kind.CONFLICT, cause, fix, see))


def is_ours(image: Published, commit: Commit, source: Source) -> bool:
    """Tell whether an image's labels say that it is this commit of this repository."""
    return image.revision == commit and source.owns(image.source)


def may_be_carried(image: Published, commit: Commit, source: Source, tags: CommitTags) -> bool:
    """Tell whether an image can be an ancestor's that was carried forward to a commit.

    Its own commit tag must have another name, or it could be there for its own sake.
    """
    return (
        bool(image.inputs and image.revision and source.owns(image.source))
        and image.revision != commit
        and tags.of(image.revision or commit) != tags.of(commit)
    )


def decide(
    rule: Rule, facts: Facts, *, digest: Digest | None, reference: Reference, commit: Commit
) -> Decision:
    """Decide whether a tag moves to a commit's image (``digest``, if it is built already).

    Raises a conflict where another repository's image is there.
    """
    current = facts.current
    if rule is Rule.RELEASE and facts.release:  # Which is no withdrawn one.
        return _decide_release(current, facts.release, digest, reference)
    if rule is not Rule.FORCE and facts.withdrawn:
        return Decision(False, f"{commit.short} was withdrawn by a rollback")
    if rule is Rule.RELEASE:
        return Decision(False, "no release that it is for is published")
    if current is not None and current.digest == digest:
        return Decision(False, THERE)
    if rule is Rule.FORCE or current is None:
        return _decide_milestone(facts, commit) if rule is Rule.MILESTONE else Decision(True)
    if rule is Rule.GIT_TAG or (rule is Rule.FINAL and facts.frozen):
        return _decide_final(facts, reference, current)
    if rule is Rule.FINAL and facts.relation is Relation.BEHIND:
        return Decision(True)
    if rule is Rule.MILESTONE and not (milestone := _decide_milestone(facts, commit)).move:
        return milestone
    return _forward(rule, facts, reference, commit, current)


def _decide_release(
    current: Published | None, release: Release, digest: Digest | None, reference: Reference
) -> Decision:
    if release.is_damaged:
        return Decision(False, holder(release, reference))
    if current is not None and current.digest == release.digest:
        is_own = release.digest == digest
        return Decision(False, THERE if is_own else holder(release, reference))
    if current is not None and current.revision is None:
        return _leave_unknown(Rule.RELEASE, reference, current)
    return Decision(True)


def holder(release: Release, reference: Reference) -> str:
    """Why a tag is another release's."""
    why = f"{release.name} is a higher release"
    if reference.target == Tag.near(release.name):
        why = f"it is the name of the git tag {release.name}"
    return f"{why}, whose image is damaged" if release.is_damaged else why


def _decide_final(facts: Facts, reference: Reference, current: Published) -> Decision:
    if facts.relation is Relation.SAME:
        return Decision(True)
    name = reference.identifier
    hint = "" if facts.frozen else f'; if it was a milestone, set input "milestone: {name}"'
    return Decision.refuse(
        f"{reference} belongs to {_named(current)} and is never moved.",
        f"Publish under a new git tag{hint}.",
    )


def _decide_milestone(facts: Facts, commit: Commit) -> Decision:
    if facts.git_tag not in (None, commit):
        return Decision(False, "its git tag exists, so it is final")
    if facts.frozen:
        return Decision(False, "it was published from its git tag, so it is final")
    return Decision(True)


def _forward(
    rule: Rule, facts: Facts, reference: Reference, commit: Commit, current: Published
) -> Decision:
    if facts.relation in (Relation.SAME, Relation.AHEAD):
        return Decision(True)
    if facts.relation is Relation.BEHIND:
        return Decision(False, f"{_named(current)} is there, which is newer than {commit.short}")
    if current.revision is None:
        return _leave_unknown(rule, reference, current)
    if rule is Rule.BRANCH:
        return Decision(True)
    is_latest = reference.target == LATEST
    force = 'run once with input "latest: force"' if is_latest else "choose another name"
    cause = f"{reference} holds {_named(current)}, and {commit.short} {facts.relation.value} it."
    if facts.relation is Relation.UNKNOWN:
        fix = (
            "Let it read the history (`permissions: contents: read` and "
            f'the input "github-token", or `git fetch`), or else {force}.'
        )
        return Decision.refuse(cause, fix, see="not-compared")
    return Decision.refuse(cause, f"If history was rewritten on purpose, {force}.", see="diverged")


def _leave_unknown(rule: Rule, reference: Reference, current: Published) -> Decision:
    """Leave a tag whose image is of no known commit. Raises a conflict where it is somebody's."""
    of = f' (its source is "{current.source[:100]}")' if current.source else ""
    cause = f"{reference} holds an image whose labels name no commit of this repository{of}."
    fix = "Choose another name, or delete that tag on the registry."
    if reference.target == LATEST:
        fix = 'If it may be replaced, run once with input "latest: force".'
    if rule is Rule.RELEASE:
        fix = "If it may be replaced, delete that tag on the registry, then run again."
    if current.source:  # Nothing is published among another repository's images.
        raise Failure(Kind.CONFLICT, cause, f"{_claim(current)}{fix}", see="another-repository")
    return Decision.refuse(cause, fix, see="another-repository")


def _named(image: Published) -> str:
    return f"commit {image.revision.short}" if image.revision else f"digest {image.digest.short}"


def _claim(image: Published) -> str:
    """How to say that the repository that a label names was this one."""
    if not image.source:
        return ""
    return 'If that is this repository by another name, give it in the input "also-known-as". '


def check_commit_image(
    image: Published, *, repository: Repository, tag: Tag, commit: Commit, source: Source
) -> None:
    """Refuse a commit tag that holds anything but this commit of this repository."""
    if is_ours(image, commit, source):
        return
    holder = (
        f"commit {image.revision.sha[:12]}" if image.revision else "an image of no known commit"
    )
    fix = "It is never overwritten: look at what published it, or use another image name."
    digits = commit_digits(tag) or part_digits(tag)
    is_twin = image.revision is not None and image.revision.sha.startswith(digits)
    if is_twin and image.revision != commit and source.owns(image.source):
        fix = 'The first digits of the two commits are the same: raise the input "sha-length".'
    elif not source.owns(image.source):
        holder += f' of "{image.source[:100]}"' if image.source else " of no named repository"
        fix = f"{_claim(image)}{fix}"
    cause = f"{repository}:{tag} holds {holder}, not {commit.sha[:12]} of this repository."
    raise Failure(Kind.CONFLICT, cause, fix, see="another-repository")


def check_part(
    part: Part, platform: str, reference: Reference, commit: Commit, source: Source
) -> None:
    """Refuse the tag of a part that holds another commit's, or another platform.

    Of one architecture, an image of a variant may well be made from that of another one.
    """
    repository, tag = reference.repository, Tag(reference.identifier)
    check_commit_image(part.image, repository=repository, tag=tag, commit=commit, source=source)
    if part.platform != "/".join(platform.split("/")[:2]):
        raise Failure(
            Kind.CONFLICT,
            f"{reference} holds an image for {part.platform}, not for {platform}.",
            "Delete that tag, then run the job of its platform again.",
            see="wrong-part",
        )
