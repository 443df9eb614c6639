"""The command ``deploy``: Kubernetes manifests are pointed at published images, in place.

Every image is proven to be there before a file is touched. Nothing is written to the registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from feastflow_registry.commands import manifests
from feastflow_registry.commands.app import App
from feastflow_registry.config import selectors
from feastflow_registry.config.selectors import Selector
from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.parallel import together
from feastflow_registry.model.plan import Action, Outcome, Permission, Plan, ReuseImage
from feastflow_registry.model.references import Reference
from feastflow_registry.model.services import Service
from feastflow_registry.tags.choose import Chooser, Chosen

_REASON = "deploy writes files and pushes nothing"


def plan(app: App) -> Plan:
    """Read the manifests, prove the images, and plan the edits."""
    wanted = _wanted(app)
    files = manifests.read(app)
    chooser = Chooser(app.surveyor)
    images = together(partial(_choose, app, chooser, wanted), files.services)
    edits = manifests.plan_edits(app, files, {step.service: pin for step, pin in images})
    permission = Permission(push=False, shared=False, reason=_REASON)
    return replace(app.plan((*(step for step, _ in images), *edits)), permission=permission)


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Write the files."""
    for step in plan.every(ReuseImage):
        digest = step.image.digest
        yield Outcome(step.service, Action.REUSED, step.reference, digest, step.image.size)
    yield from manifests.write(app, plan)


def _wanted(app: App) -> Selector:
    """Which image: ``to``, else ``tag``, else this run's commit."""
    tag = selectors.single(app.settings.command, app.settings.tag)
    named = Selector(tag=tag) if tag else None
    return app.settings.to or named or Selector(commit=app.run.commit.sha)


def _choose(
    app: App, chooser: Chooser, wanted: Selector, service: Service
) -> tuple[ReuseImage, Pin]:
    """Find a service's image, and what manifests name it by."""
    chosen = chooser.choose(service.repository, wanted)
    if wanted.tag:  # A commit's image names its commit; of another tag a header alone has told.
        app.registry.confirm(Reference(service.repository, wanted.tag), chosen.digest)
    if chooser.is_withdrawn(chosen):
        _check_named(app, chosen)
    if chosen.tag is None:
        raise Failure(
            Kind.INPUT,
            f"no commit tag holds {chosen}, so nobody could see which commit is deployed.",
            "Name the image by a tag, or give it one with promote.",
        )
    step = ReuseImage(service, Reference(service.repository, chosen.tag), chosen.image)
    return step, Pin(chosen.tag, chosen.digest)


def _check_named(app: App, chosen: Chosen) -> None:
    """Refuse an image that a rollback has marked, unless somebody asks for it by name."""
    if not app.settings.to and not app.settings.tag:
        raise Failure(
            Kind.CONFLICT,
            f"{chosen} was withdrawn by a rollback.",
            'Deploy another commit; if it is to run all the same, name it in the input "to".',
            see="withdrawn",
        )
    app.log.warning(f"{chosen} was withdrawn by a rollback.")
