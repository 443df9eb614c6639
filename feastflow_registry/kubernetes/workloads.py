"""Images in Kubernetes manifests: which there are, and pinning some of them in place.

It decides which kinds run containers (Kubernetes' own, and lists of them) and leaves every other
one alone. It refuses an edit that would change anything but images: an anchor that is used for
something else too, a key that readers understand differently, a name that waits for a template.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from feastflow_registry.kubernetes import kustomization, yaml_tree
from feastflow_registry.kubernetes.image_names import Found, Pin, mentions, shown, spell, whole
from feastflow_registry.kubernetes.streams import Stream, parse
from feastflow_registry.kubernetes.yaml_edit import Replacement, Step, rewrite
from feastflow_registry.kubernetes.yaml_tree import Cursor, Node, Shape
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.references import Digest, Repository, Tag

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
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_MOST_NAMED = 5
_ANY = Pin(Tag("tag"), Digest(f"sha256:{'0' * 64}"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file. ``skipped``: the lines of documents that are none of Kubernetes."""

    stream: Stream
    images: tuple[Found, ...]
    skipped: tuple[int, ...]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.stream.name

    def uses(self, repository: Repository) -> tuple[Found, ...]:
        """The images of a repository, whatever their spelling, those left alone included."""
        return tuple(each for each in self.images if each.repository == whole(repository))

    def mentions(self, repository: Repository) -> Iterator[str]:
        """Yield the tag and digest wherever any text names a repository with one, workload or not.

        As one text, or in keys of one mapping, as the values of a Helm chart have them.
        """
        for node in yaml_tree.every(self.stream.documents):
            if node.shape is Shape.SCALAR:
                yield from mentions(node.value, repository)
            elif node.shape is Shape.MAPPING:
                here = Cursor(node)
                for name, key in product(here.get("repository"), ("tag", "digest")):
                    host = here.text("registry")
                    for value in here.get(key):
                        rest = f"{'@' if key == 'digest' else ':'}{value.node.value}"
                        both = f"{name.node.value}{rest}"
                        yield from mentions(both, repository)
                        yield from mentions(f"{host}/{both}" if host else "", repository)

    def names(self, repository: Repository) -> bool:
        """Whether a repository is named here at all."""
        return bool(self.uses(repository)) or any(self.mentions(repository))

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
    """A file before and after. ``left``: images that were meant, but whose kind is not known."""

    name: str
    before: bytes
    after: bytes
    changes: tuple[Change, ...]
    left: tuple[Found, ...]


def read(name: str, content: bytes) -> Manifest:
    """Read a manifest. Raises an input failure if it is no YAML that Kubernetes would read."""
    stream = parse(name, content)
    named = name.rpartition("/")[2] in kustomization.NAMES
    images: list[Found] = []
    skipped: list[int] = []
    for document in stream.documents:
        root = Cursor(document)
        kind, group = root.text("kind"), _group(root.text("apiVersion"))
        if (named and not kind) or (kind in kustomization.KINDS and group in kustomization.GROUPS):
            images += kustomization.find(document)
            continue
        for resource, kind, version in _resources(root):
            if kind and version:
                images += _find(document, resource, kind, version)
            else:
                skipped.append(resource.node.line)
    return Manifest(stream, tuple(images), tuple(skipped))


def _resources(
    root: Cursor, kind: str = "", version: str = ""
) -> Iterator[tuple[Cursor, str, str]]:
    """Yield a resource, or those of a list of them, which may leave their kind to the list."""
    kind, version = root.text("kind") or kind, root.text("apiVersion") or version
    items = list(root.get("items")) if kind.endswith("List") else []
    known = kind.removesuffix("List")
    for item in (item for each in items for item in each.each()):
        yield from _resources(item, known, version if known else "")
    if not items:
        yield root, kind, version


def _find(document: Node, resource: Cursor, kind: str, version: str) -> Iterator[Found]:
    """Yield the images of a resource, in whose pod they are listed."""
    groups, way = _KINDS.get(kind, ((), _TEMPLATE))
    name = shown("/".join(filter(None, (kind, resource.text("metadata", "name")))))
    namespace = shown(resource.text("metadata", "namespace"))
    # What the kind is was read from these.
    doubts = [each.doubt for key in ("kind", "apiVersion") for each in resource.get(key)]
    for pod in replace(resource, doubt=max([resource.doubt, *doubts])).get(*way):
        lists = [each for key in _CONTAINERS for each in pod.get(key)]
        for container in (item for each in lists for item in each.each()):
            for image in container.get("image"):
                text = image.node.value
                spelling = spell(text)
                yield Found(
                    document=document,
                    place=image,
                    resource=name,
                    container=shown(container.text("name")),
                    text=text,
                    spelling=spelling,
                    can_pin=spelling is not None and spelling.is_reference,
                    doubt=image.doubt,
                    foreign=_group(version) not in groups,
                    namespace=namespace,
                )


def _group(version: str) -> str:
    """The group of an ``apiVersion``; Kubernetes' core has none."""
    return version.rpartition("/")[0]


def check(manifest: Manifest, repositories: Iterable[Repository]) -> None:
    """Refuse what ``edit`` would refuse, before the digests are known."""
    edit(manifest, dict.fromkeys(repositories, _ANY))


def edit(manifest: Manifest, pins: Mapping[Repository, Pin]) -> Edit:
    """Pin the images of some repositories. Raises one input failure with all that is unclear."""
    known = {whole(repository): pin for repository, pin in pins.items()}
    wishes = _Wishes(manifest.name)
    changes: list[Change] = []
    left: list[Found] = []
    for found in manifest.images:
        spelling = found.spelling
        if spelling is None or spelling.repository not in known:
            continue
        pin = known[spelling.repository]
        if found.foreign:
            left.append(found)
        elif wishes.add(found, pin, new := f"{spelling.name}{pin}"):
            changes.append(
                Change(
                    spelling.repository,
                    found.line,
                    found.resource,
                    found.container,
                    found.text,
                    new,
                )
            )
    if "*" in manifest.stream.text:
        wishes.check_aliases()
    if wishes.problems:
        raise Failure.of(Kind.INPUT, wishes.problems)
    before = manifest.stream.encode(manifest.stream.text)
    after = rewrite(manifest.stream, wishes.steps.values()) if changes else before
    return Edit(manifest.name, before, after, tuple(changes), tuple(left))


@dataclass(slots=True)
class _Wishes:
    """What is to be written at which node, and for whom, by which way there."""

    name: str
    steps: dict[Node, Step] = field(default_factory=dict)
    ways: dict[Node, dict[yaml_tree.Path, Found]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, found: Found, pin: Pin, new: str) -> bool:
        """Note how an image is pinned; false, if nothing is to be done."""
        steps: list[tuple[Cursor, Step]] = []
        if found.doubt:
            what = f"readers of YAML differ on which value {found.owner} has here."
            fix = "Keep one key where one is there twice, and write << before the other keys."
            self._refuse(found.doubt, what, fix)
        elif not found.can_pin:
            what = f"{shown(found.text)!r} of {found.owner} is no image with a tag or a digest."
            fix = "If another program fills it in, set it there, and leave this file out."
            self._refuse(found.line, what, fix)
        elif found.place.node.shape is Shape.MAPPING:
            steps = kustomization.steps(found, pin)
        elif found.text != new:
            steps = [(found.place, Replacement(found.place.node, new))]
        for place, step in steps:
            self.ways.setdefault(place.node, {})[place.path] = found
            if self.steps.setdefault(place.node, step) != step:
                self._refuse_shared(found, place.node.line)
        return bool(steps)

    def check_aliases(self) -> None:
        """Refuse to write what is used for anything else, too."""
        for document in {each.document for ways in self.ways.values() for each in ways.values()}:
            for node, path, line in yaml_tree.uses(document, self.ways):
                if path not in self.ways[node]:
                    self._refuse_shared(next(iter(self.ways[node].values())), line)

    def _refuse_shared(self, found: Found, line: int) -> None:
        what = f"{found.owner} shares its image with line {line}, which is not to get the same."
        self._refuse(found.line, what, "Write one of the two out, without an anchor or alias.")

    def _refuse(self, line: int, what: str, fix: str) -> None:
        self.problems.append(Problem(f"{self.name}, line {line}: {what}", fix))


def unmatched(manifests: Sequence[Manifest], repository: Repository) -> Problem:
    """Say that no manifest can get an image of a repository, and which ones come nearest."""
    for each in manifests:
        for found in each.uses(repository):
            cause = f"{each.name}, line {found.line}: {found.owner} is left as it is."
            return Problem(cause, "Only Kubernetes' own kinds and kustomizations are edited.")
    cause = f"no manifest names the image {repository}."
    names = {each.name for manifest in manifests for each in manifest.images}
    if not names:
        return Problem(cause, "Name the files of workloads, or a kustomization with images.")
    near = difflib.get_close_matches(str(repository), names, n=_MOST_NAMED, cutoff=0)
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    return Problem(cause, f"Name files that have it; these have {', '.join(near)}{more}.")
