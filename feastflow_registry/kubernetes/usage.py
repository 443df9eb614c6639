"""Which images of a repository manifests and ``keep`` name: what must not be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from feastflow_registry.config.selectors import KeepItem
from feastflow_registry.kubernetes.image_names import Found, shown, spell, whole
from feastflow_registry.kubernetes.workloads import Manifest
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Names
from feastflow_registry.model.references import Digest, Repository, Tag
from feastflow_registry.tags.retention import KEEP


def named(repository: Repository, keep: Sequence[KeepItem], manifests: Iterable[Manifest]) -> Names:
    """What ``keep`` and manifests name of a repository, by tag or digest.

    Raises one input failure with all images of which a manifest does not tell which one is used.
    """
    found: dict[Tag | Digest, str] = {}
    problems: list[Problem] = []
    for item in keep:
        found |= dict.fromkeys(item.targets(repository), KEEP)
    for manifest in manifests:
        for rest in manifest.mentions(repository):
            found |= dict.fromkeys(_pinned(rest), shown(manifest.name))
        for each in manifest.uses(repository):
            targets = _targets(each.text, repository)
            found |= dict.fromkeys(targets, shown(manifest.name))
            if each.doubt or not each.can_pin or (not targets and _is_renamed(each)):
                problems.append(_unclear(manifest, each))
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    return found


def _targets(image: str, repository: Repository) -> list[Tag | Digest]:
    """The tag and the digest that an image is named by, if it is of this repository."""
    spelling = spell(image)
    if spelling is None or spelling.repository != whole(repository) or not spelling.is_reference:
        return []
    return _pinned(spelling.rest)


def _pinned(rest: str) -> list[Tag | Digest]:
    tag, _, digest = rest.partition("@")
    return [*([Tag(tag[1:])] if tag else []), *([Digest(digest)] if digest else [])]


def _is_renamed(found: Found) -> bool:
    """Whether a kustomization leaves the tag to the image that it renames."""
    old = spell(found.container) if found.resource == "Kustomization" else None
    return old is not None and old.repository != found.repository


def _unclear(manifest: Manifest, found: Found) -> Problem:
    return Problem(
        f"{shown(manifest.name)}, line {found.line}: which image {found.owner} uses is not told by "
        f"{shown(found.text)!r}.",
        "Name what it uses in keep, and leave this file out of the manifests.",
    )
