"""The Kubernetes manifests of a run: read, planned as edits, and written. For deploy and rollback.

All that is wrong with them is found before the registry is asked anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from feastflow_registry.commands.app import App
from feastflow_registry.kubernetes import files as manifest_files
from feastflow_registry.kubernetes import workloads
from feastflow_registry.kubernetes.files import ManifestFile
from feastflow_registry.kubernetes.image_names import Pin, with_library
from feastflow_registry.kubernetes.workloads import Edit, KubernetesManifest
from feastflow_registry.model.errors import Failure, Kind, Problem, gather
from feastflow_registry.model.plan import Action, EditFile, Outcome, Plan
from feastflow_registry.model.services import Service
from feastflow_registry.report.deploy import unified


@dataclass(frozen=True, slots=True)
class Manifests:
    """The manifests of a run, each with its file, and the services whose images they hold."""

    files: tuple[tuple[ManifestFile, KubernetesManifest], ...]
    services: tuple[Service, ...]

    @property
    def manifests(self) -> tuple[KubernetesManifest, ...]:
        """What the files say."""
        return tuple(manifest for _, manifest in self.files)


def read(app: App) -> Manifests:
    """Read the manifests of a run. Raises one input failure with all that is wrong with them.

    That they lack an image is said only where all of them can be read.
    """
    if not app.settings.manifests:
        raise Failure(
            Kind.INPUT,
            f'input "manifests": {app.settings.command} needs to know which files to edit.',
            'Name files, patterns or folders, as in input "manifests: k8s/**".',
        )
    repositories = [each.repository for each in app.everywhere]
    files: dict[Path, ManifestFile] = {}
    manifests: list[tuple[ManifestFile, KubernetesManifest]] = []

    def find(item: str) -> None:
        found = manifest_files.find(app.workspace.folder, [item])
        files.update((file.path, file) for file in found)

    def take(file: ManifestFile) -> None:
        manifest = workloads.read(file.name, file.content)
        manifests.append((file, manifest))
        concerned = any(manifest.holds(each) for each in repositories)
        gather(
            partial(workloads.check, manifest, repositories),
            partial(manifest_files.check_writable, [file] if concerned else []),
        )

    def take_all() -> None:
        gather(*(partial(take, file) for file in files.values()))

    gather(*(partial(find, item) for item in app.settings.manifests), take_all)
    return Manifests(tuple(manifests), _match(app, [manifest for _, manifest in manifests]))


def plan_edits(app: App, manifests: Manifests, pins: Mapping[Service, Pin]) -> tuple[EditFile, ...]:
    """Point the manifests at images. A dry run shows how their files would differ."""
    edits = _edit(manifests.files, pins)
    for _, edit in edits:
        for place in edit.left:
            app.log.notice(f"{edit.name}, {place} is left as it is.")
    if app.settings.dry_run:
        for _, edit in edits:
            for line in unified(edit.name, edit.before, edit.after).splitlines():
                app.log.quote(line)
    return _steps([edit for _, edit in edits], pins)


def write(app: App, plan: Plan) -> Iterator[Outcome]:
    """Write what is planned: all files or none. Raises a conflict if a file is another by now."""
    if not plan.every(EditFile):
        return
    pins = {step.service: Pin(step.tag, step.digest) for step in plan.every(EditFile)}
    files = manifest_files.find(app.workspace.folder, app.settings.manifests)
    edits = _edit([(file, workloads.read(file.name, file.content)) for file in files], pins)
    if _steps([edit for _, edit in edits], pins) != plan.every(EditFile):
        raise Failure(
            Kind.CONFLICT,
            "the manifests were changed by someone else while this ran; nothing was written.",
            "Run the same command again.",
        )
    manifest_files.replace([(file, edit.after) for file, edit in edits if edit.changes])
    for step in plan.every(EditFile):
        yield Outcome(step.service, Action.EDITED, step.reference, step.digest, note=step.file)


def _edit(
    files: Sequence[tuple[ManifestFile, KubernetesManifest]], pins: Mapping[Service, Pin]
) -> list[tuple[ManifestFile, Edit]]:
    wanted = {service.repository: pin for service, pin in pins.items()}
    return [(file, workloads.edit(manifest, wanted)) for file, manifest in files]


def _steps(edits: Sequence[Edit], pins: Mapping[Service, Pin]) -> tuple[EditFile, ...]:
    services = {with_library(service.repository): service for service in pins}
    return tuple(
        EditFile(
            service := services[change.repository],
            pins[service].tag,
            pins[service].digest,
            edit.name,
            change.line,
            change.resource,
            change.container,
            change.old,
            change.new,
        )
        for edit in edits
        for change in edit.changes
    )


def _match(app: App, manifests: Sequence[KubernetesManifest]) -> tuple[Service, ...]:
    """The services whose images are there. Refuses none at all, and one that was asked for.

    Of several registries, the manifests say which they take an image from.
    """
    known = [s for s in app.everywhere if any(each.holds(s.repository) for each in manifests)]
    named = {service.name for service in known}
    problems: list[Problem] = []
    for service in app.services:
        if service.name not in named:
            problem = workloads.unmatched(manifests, service.repository)
            if known and not app.settings.services:
                app.log.notice(f"{service.name} is not deployed: {problem.cause}")
            else:
                problems.append(problem)
    for name, problem in _skipped(manifests):
        if known and name not in app.settings.manifests:
            app.log.notice(problem.cause)
        else:
            problems.append(problem)
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    return tuple(known)


def _skipped(manifests: Sequence[KubernetesManifest]) -> Iterator[tuple[str, Problem]]:
    """Yield the files that hold something else than Kubernetes would read."""
    for manifest in manifests:
        for line in manifest.skipped[:1]:
            cause = f"{manifest.name}, line {line}: this is not a Kubernetes object."
            fix = "Give it kind and apiVersion, or leave the file out."
            yield manifest.name, Problem(cause, fix)
