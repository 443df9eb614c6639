"""Images in Kubernetes manifests: which there are, and pinning some of them in place.

It decides which kinds run containers (Kubernetes' own, and lists of them) and leaves every other
one alone. It refuses to edit what an alias or ``<<`` shares, what readers of YAML understand
differently, and a name that waits for a template.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from feastflow_registry.kubernetes import kustomization
from feastflow_registry.kubernetes.image_names import (
    LONGEST_SHOWN,
    FoundImage,
    Pin,
    parse_image,
    with_library,
)
from feastflow_registry.kubernetes.yaml_edit import Replacement, TextEdit, rewrite
from feastflow_registry.kubernetes.yaml_lookup import Cursor
from feastflow_registry.model import yaml_tree
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.references import Digest, Repository, Tag
from feastflow_registry.model.wording import printable, some
from feastflow_registry.model.yaml_tree import Limits, Shape, YamlFile

LARGEST = 4 * 1024 * 1024
_LIMITS = Limits(
    size=LARGEST,
    values=750_000,
    depth=100,
    advice="Split the file, or leave it out if it is no manifest.",
    template_advice="It looks like a Helm template: set the image in the chart's values.yaml, or "
    "give the output of `helm template`.",
)
_CORE, _APPS, _BATCH = ("",), ("apps", "extensions"), ("batch",)
_TEMPLATE = ("spec", "template", "spec")
_KINDS = {
    "Pod": (_CORE, ("spec",)),
    "PodTemplate": (_CORE, ("template", "spec")),
    "ReplicationController": (_CORE, _TEMPLATE),
    "Deployment": (_APPS, _TEMPLATE),
    "DaemonSet": (_APPS, _TEMPLATE),
    "ReplicaSet": (_APPS, _TEMPLATE),
    "StatefulSet": (_APPS, _TEMPLATE),
    "Job": (_BATCH, _TEMPLATE),
    "CronJob": (_BATCH, ("spec", "jobTemplate", *_TEMPLATE)),
}
"""Each kind that runs containers: its API groups, and the way to the pod's specification."""
_EPHEMERAL = "ephemeralContainers"
_CONTAINERS = ("initContainers", "containers", _EPHEMERAL)
_ANY = Pin(Tag("tag"), Digest(f"sha256:{'0' * 64}"))


@dataclass(frozen=True, slots=True)
class KubernetesManifest:
    """One file. ``skipped``: the lines of documents that are none of Kubernetes."""

    file: YamlFile
    images: tuple[FoundImage, ...]
    skipped: tuple[int, ...]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    def uses(self, repository: Repository) -> tuple[FoundImage, ...]:
        """The images of a repository, however it is spelled, those left alone included."""
        return tuple(each for each in self.images if each.repository == with_library(repository))

    def holds(self, repository: Repository) -> bool:
        """Whether it has an image of a repository that can be edited."""
        return any(not each.foreign for each in self.uses(repository))


@dataclass(frozen=True, slots=True)
class Change:
    """An image that another one takes the place of. ``line``: where it stood."""

    repository: Repository
    line: int
    resource: str
    container: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A file before and after.

    ``left``: where there are images that were meant, but whose kind is not known, and whose.
    """

    name: str
    before: bytes
    after: bytes
    changes: tuple[Change, ...]
    left: tuple[str, ...]


def read(name: str, content: bytes) -> KubernetesManifest:
    """Read a manifest. Raises an input failure if it is no YAML that Kubernetes would read."""
    file = yaml_tree.parse(name, content, _LIMITS)
    is_named_so = name.rpartition("/")[2] in kustomization.NAMES
    images: list[FoundImage] = []
    skipped: list[int] = []
    for document in file.documents:
        root = Cursor(document)
        if not (document.items or document.value):
            continue
        kind, group = root.text("kind"), _group(root.text("apiVersion"))
        if (is_named_so and not kind) or (
            kind in kustomization.KINDS and group in kustomization.GROUPS
        ):
            images += kustomization.find(document)
            continue
        for resource, kind, version in _resources(root):
            if kind and version:
                images += _find(resource, kind, version)
            else:
                skipped.append(resource.node.line)
    return KubernetesManifest(file, tuple(images), tuple(skipped))


def _resources(
    root: Cursor, kind: str = "", version: str = ""
) -> Iterator[tuple[Cursor, str, str]]:
    """Yield a resource, or those of a list of them, which may leave their kind to the list."""
    kind, version = root.text("kind") or kind, root.text("apiVersion") or version
    items = list(root.get("items")) if kind.endswith("List") else []
    item_kind = kind.removesuffix("List")
    for item in (item for each in items for item in each.each()):
        yield from _resources(item, item_kind, version if item_kind else "")
    if not items:
        yield root, kind, version


def _find(resource: Cursor, kind: str, version: str) -> Iterator[FoundImage]:
    """Yield the images of a resource, in whose pod they are listed."""
    groups, way = _KINDS.get(kind, ((), _TEMPLATE))
    parts = filter(None, (kind, resource.text("metadata", "name")))
    name = printable("/".join(parts), LONGEST_SHOWN)
    namespace = printable(resource.text("metadata", "namespace"), LONGEST_SHOWN)
    # What the kind is was read from these.
    doubts = [each.doubt for key in ("kind", "apiVersion") for each in resource.get(key)]
    doubt = next(filter(None, (resource.doubt, *doubts)), None)
    for pod, key in product(replace(resource, doubt=doubt).get(*way), _CONTAINERS):
        for container in (item for each in pod.get(key) for item in each.each()):
            for place in container.get("image"):
                image = parse_image(place.node.value)
                yield FoundImage(
                    place=place,
                    resource=name,
                    container=printable(container.text("name"), LONGEST_SHOWN),
                    text=place.node.value,
                    image=image,
                    can_pin=image is not None and image.is_reference,
                    doubt=place.doubt,
                    foreign=_group(version) not in groups,
                    namespace=namespace,
                    ephemeral=key == _EPHEMERAL,
                )


def _group(version: str) -> str:
    """The group of an ``apiVersion``; Kubernetes' core has none."""
    return version.rpartition("/")[0]


def check(manifest: KubernetesManifest, repositories: Iterable[Repository]) -> None:
    """Refuse what ``edit`` would refuse, before the digests are known."""
    edit(manifest, dict.fromkeys(repositories, _ANY))


def edit(manifest: KubernetesManifest, pins: Mapping[Repository, Pin]) -> Edit:
    """Pin the images of some repositories. Raises one input failure with all that is unclear."""
    wanted = {with_library(repository): pin for repository, pin in pins.items()}
    changes: list[Change] = []
    left: list[str] = []
    problems: list[Problem] = []
    text_edits: list[TextEdit] = []
    for found in manifest.images:
        repository = found.repository
        pin = wanted.get(repository) if repository else None
        if not pin or not repository:
            continue
        if found.foreign:
            left.append(f"line {found.line}: {found.owner}")
        elif problem := _problem(manifest.name, found):
            problems.append(problem)
        elif edits := _text_edits(found, pin):
            text_edits += edits
            new = f"{found.name}{pin}"
            place = (found.line, found.resource, found.container)
            changes.append(Change(repository, *place, found.text, new))
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    before = manifest.file.encode(manifest.file.text)
    after = rewrite(manifest.file, text_edits) if changes else before
    return Edit(manifest.name, before, after, tuple(changes), tuple(left))


def _problem(file: str, found: FoundImage) -> Problem | None:
    """Say why an image cannot be pinned where it stands, if so."""
    if found.doubt:
        line, reason = found.doubt
        cause = f"{file}, line {line}: the image of {found.owner} is {reason}."
        fix = "Write it out once where it is used, without an alias or <<, and run this again."
        return Problem(cause, fix)
    if not found.can_pin:
        text = printable(found.text, LONGEST_SHOWN)
        what = f"{text!r} of {found.owner} is no image with a tag or a digest."
        fix = "If another program fills it in, set it there, and leave this file out."
        return Problem(f"{file}, line {found.line}: {what}", fix)
    return None


def _text_edits(found: FoundImage, pin: Pin) -> list[TextEdit]:
    """Say what is to be written; nothing, if the image is right."""
    if found.place.node.shape is Shape.MAPPING:
        return kustomization.text_edits(found, pin)
    new = f"{found.name}{pin}"
    return [Replacement(found.place.node, new)] if found.text != new else []


def unmatched(manifests: Sequence[KubernetesManifest], repository: Repository) -> Problem:
    """Say that no manifest can get an image of a repository, and which ones come nearest."""
    for each in manifests:
        for found in each.uses(repository):
            cause = (
                f"{each.name}, line {found.line}: {found.owner} is of a kind that is not edited."
            )
            fix = "Set its image by hand: only Kubernetes' own kinds and kustomizations are edited."
            return Problem(cause, fix)
    cause = f"no manifest names the image {repository}."
    names = {each.name for manifest in manifests for each in manifest.images}
    if not names:
        return Problem(cause, "Name the files of workloads, or a kustomization with images.")
    nearest = difflib.get_close_matches(str(repository), names, n=len(names), cutoff=0)
    return Problem(cause, f"Name files that have it; these have {some(nearest)}.")
