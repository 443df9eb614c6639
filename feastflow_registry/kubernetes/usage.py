"""Which images of a repository manifests name: what must not be deleted."""

from __future__ import annotations

from collections.abc import Iterable

from feastflow_registry.kubernetes.image_names import (
    LONGEST_SHOWN,
    FoundImage,
    parse_image,
    targets,
)
from feastflow_registry.kubernetes.workloads import KubernetesManifest
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Names
from feastflow_registry.model.references import Digest, Repository, Tag
from feastflow_registry.model.wording import printable


def named(repository: Repository, manifests: Iterable[KubernetesManifest]) -> Names:
    """What manifests name of a repository, by tag or digest, each with the file that does.

    Raises one input failure with all images of which a manifest does not tell which one is used.
    """
    names: dict[Tag | Digest, str] = {}
    problems: list[Problem] = []
    for manifest in manifests:
        file = printable(manifest.name, LONGEST_SHOWN)
        names |= dict.fromkeys(manifest.mentions(repository), file)
        for found in manifest.uses(repository):
            image = parse_image(found.text)
            own = list(targets(image.rest)) if image else []
            names |= dict.fromkeys(own, file)
            if not found.can_pin or (not own and _is_renamed(found)):
                problems.append(_unclear(file, found))
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    return names


def _is_renamed(found: FoundImage) -> bool:
    """Whether a kustomization leaves the tag to the image that it renames."""
    old = parse_image(found.container) if found.resource == "Kustomization" else None
    return old is not None and old.repository != found.repository


def _unclear(file: str, found: FoundImage) -> Problem:
    text = printable(found.text, LONGEST_SHOWN)
    return Problem(
        f"{file}, line {found.line}: which image {found.owner} uses is not told by {text!r}.",
        "Name what it uses in keep, and leave this file out of the manifests.",
    )
