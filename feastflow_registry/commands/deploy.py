"""The command ``deploy``: Kubernetes manifests are pointed at published images, in place.

All that is wrong with the manifests is found before the registry is asked anything, and every image
is proven to be there before a file is touched. Nothing is written to the registry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from feastflow_registry.commands.app import App
from feastflow_registry.config import selectors
from feastflow_registry.config.selectors import Selector
from feastflow_registry.kubernetes import files as manifest_files
from feastflow_registry.kubernetes import workloads
from feastflow_registry.kubernetes.files import ManifestFile
from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.kubernetes.workloads import Edit, KubernetesManifest
from feastflow_registry.model.errors import Failure, Kind, Problem, gather
from feastflow_registry.model.parallel import together
from feastflow_registry.model.plan import Action, Outcome, Permission, Plan, ReuseImage
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.report import deploy as changes
from feastflow_registry.report import diffs, results, text
from feastflow_registry.report.results import Answer
from feastflow_registry.tags.choose import Chooser, Chosen

_REASON = "deploy writes files and pushes nothing"


@dataclass(frozen=True, slots=True)
class Targets:
    """The manifests of a run, each with its file, and the services whose images they hold."""

    files: tuple[tuple[ManifestFile, KubernetesManifest], ...]
    services: tuple[Service, ...]

    @property
    def manifests(self) -> tuple[KubernetesManifest, ...]:
        """What the files say."""
        return tuple(manifest for _, manifest in self.files)


@dataclass(frozen=True, slots=True)
class Deploying:
    """One run of the command."""

    app: App

    def run(self) -> Answer:
        """Read the manifests, prove the images, and write; or show what would be written."""
        wanted = self._wanted()
        targets = read(self.app)
        known = together(partial(self._choose, wanted), targets.services)
        edits = point(self.app, targets, {step.service: pin for step, pin in known})
        return self._answer([step for step, _ in known], edits)

    def _wanted(self) -> Selector:
        """Which image: ``to``, else ``tag``, else this run's commit."""
        tag = selectors.single(self.app.settings.command, self.app.settings.tag)
        named = Selector(tag=tag) if tag else None
        return self.app.settings.to or named or Selector(commit=self.app.context.commit.sha)

    def _choose(self, wanted: Selector, service: Service) -> tuple[ReuseImage, Pin]:
        """Find a service's image."""
        chosen = Chooser(self.app.surveyor).choose(service.repository, wanted)
        self._check_good(chosen)
        tag = _tag(chosen)
        step = ReuseImage(service, Reference(service.repository, tag), chosen.image)
        return step, Pin(tag, chosen.digest)

    def _check_good(self, chosen: Chosen) -> None:
        """Refuse an image that a rollback has marked, unless somebody asks for it by name."""
        if not Chooser(self.app.surveyor).is_withdrawn(chosen):
            return
        if not self.app.settings.to and not self.app.settings.tag:
            raise Failure(
                Kind.CONFLICT,
                f"{chosen} was withdrawn by a rollback.",
                "Deploy another commit; if it is to run all the same, name it in the input to.",
            )
        self.app.log.warning(f"{chosen} was withdrawn by a rollback.")

    def _answer(self, steps: Sequence[ReuseImage], edits: Sequence[Edit]) -> Answer:
        context, settings = self.app.context, self.app.settings
        allowed = Permission(push=False, shared=False, reason=_REASON)
        plan = Plan(settings.command, context.commit, context.source, allowed, tuple(steps))
        done = [
            Outcome(each.service, Action.REUSED, each.reference, each.image.digest, each.image.size)
            for each in steps
        ]
        found = results.results(plan, done)
        outputs = results.outputs(plan, found, pushed=False)
        outputs["changed-files"] = changed_files(self.app, edits)
        return Answer(
            changes.lines(found, edits, dry_run=settings.dry_run),
            changes.markdown(found, edits, dry_run=settings.dry_run),
            outputs,
            json.dumps({**json.loads(text.plan_json(plan)), "changes": changes.data(edits)}),
        )


def read(app: App) -> Targets:
    """Read the manifests of a run. Raises one input failure with all that is wrong with them.

    That they lack an image is said only where all of them can be read.
    """
    if not app.settings.manifests:
        raise Failure(
            Kind.INPUT,
            f'input "manifests": {app.settings.command} needs to know which files to edit.',
            "Name files, patterns or folders, as in manifests: k8s/**.",
        )
    repositories = [each.repository for each in app.services]
    files: dict[Path, ManifestFile] = {}
    found: list[tuple[ManifestFile, KubernetesManifest]] = []

    def find(item: str) -> None:
        files.update((each.path, each) for each in manifest_files.find(app.workspace, [item]))

    def take(file: ManifestFile) -> None:
        manifest = workloads.read(file.name, file.content)
        found.append((file, manifest))
        concerned = any(manifest.holds(each) for each in repositories)
        gather(
            partial(workloads.check, manifest, repositories),
            partial(manifest_files.check_writable, [file] if concerned else []),
        )

    def take_all() -> None:
        gather(*(partial(take, each) for each in files.values()))

    gather(*(partial(find, each) for each in app.settings.manifests), take_all)
    return Targets(tuple(found), _match(app, [manifest for _, manifest in found]))


def point(app: App, targets: Targets, pins: Mapping[Service, Pin]) -> tuple[Edit, ...]:
    """Point manifests at images; the edits of the files that this changes, or would in a dry run.

    All files are written or none is; a dry run shows the differences instead.
    """
    known = {service.repository: pin for service, pin in pins.items()}
    edits = [(file, workloads.edit(manifest, known)) for file, manifest in targets.files]
    for _, edit in edits:
        for each in edit.left:
            app.log.notice(f"{edit.name}, {each} is left as it is.")
    changed = [(file, edit) for file, edit in edits if edit.changes]
    if not app.settings.dry_run:
        manifest_files.replace([(file, edit.after) for file, edit in changed])
    for _, edit in changed if app.settings.dry_run else ():
        for line in diffs.unified(edit.name, edit.before, edit.after).splitlines():
            app.log.quote(line)
    return tuple(edit for _, edit in changed)


def changed_files(app: App, edits: Sequence[Edit]) -> str:
    """The output of that name: the files that were written, one a line."""
    return "" if app.settings.dry_run else "\n".join(each.name for each in edits)


def _tag(chosen: Chosen) -> Tag:
    if chosen.tag is None:
        raise Failure(
            Kind.INPUT,
            f"no commit tag holds {chosen}, so that nobody could tell what is deployed.",
            "Name the image by a tag, or give it one with promote.",
        )
    return chosen.tag


def _match(app: App, manifests: Sequence[KubernetesManifest]) -> tuple[Service, ...]:
    """The services whose images are there. Refuses none at all, and one that was asked for."""
    known = [s for s in app.services if any(each.holds(s.repository) for each in manifests)]
    problems: list[Problem] = []
    for service in app.services:
        if service not in known:
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
    for each in manifests:
        for line in each.skipped[:1]:
            cause = f"{each.name}, line {line}: this is no object of Kubernetes."
            yield each.name, Problem(cause, "Give it kind and apiVersion, or leave the file out.")
