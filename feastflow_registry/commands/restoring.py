"""The command ``rollback``: a tag goes back to an image that it held before, without a build.

With ``manifests``, they are pointed at that image, too; the commands that do the same in a cluster
are printed in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from feastflow_registry.commands import deploy
from feastflow_registry.commands.app import App
from feastflow_registry.commands.deploy import Targets
from feastflow_registry.commands.rollback import Retreat, Target, plan_rollback
from feastflow_registry.config import selectors
from feastflow_registry.kubernetes import kubectl
from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.kubernetes.workloads import Edit
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import Latest, MarkImage, Plan
from feastflow_registry.model.references import Tag
from feastflow_registry.model.services import Service
from feastflow_registry.report import deploy as changes
from feastflow_registry.report.results import Answer
from feastflow_registry.tags.choose import Chooser
from feastflow_registry.tags.moving import Moves

_NO_FILES = Targets((), ())


@dataclass(frozen=True, slots=True)
class Rollback:
    """One rollback, of one service, several or all."""

    app: App

    def run(self) -> Answer:
        """Find the way back, mark what is bad, move the tags; or stop after the plan."""
        app = self.app
        tag = selectors.single(app.settings.command, app.settings.tag) or tag_names.LATEST
        self._check_movable(tag)
        app.check_may_write()
        files = deploy.read(app) if app.settings.manifests else _NO_FILES
        targets = self._targets(tag)
        plan = self._plan(targets, tag)
        app.journal.begin(plan)
        if not app.settings.dry_run:
            self._carry_out(plan)
        return self._answer(plan, targets, files, tag)

    def _check_movable(self, tag: Tag) -> None:
        """Refuse a tag that is not to be moved, and a second try that might go one further back."""
        settings = self.app.settings
        if tag == tag_names.LATEST and settings.latest is Latest.NEVER:
            raise Failure(
                Kind.INPUT,
                "latest is not to be moved, as the input latest says never.",
                "Roll another tag back, or leave the input latest out.",
            )
        if self.app.context.attempt > 1 and not settings.to and not settings.dry_run:
            raise Failure(
                Kind.INPUT,
                "this run is started again, and its first try may have moved the tags already.",
                "Name where to go in the input to, or start a new run: each goes one further back.",
            )

    def _targets(self, tag: Tag) -> list[Target]:
        retreat = Retreat(self.app.surveyor, tag)
        held = retreat.held(self.app.services)
        for service in self.app.services:
            if service not in held:
                self.app.log.notice(f"{service.name} has no tag {tag}: it is left out.")
        wanted = self.app.settings.to
        if not wanted:
            return retreat.back(held)
        targets = retreat.to(held, wanted)
        for each in targets:
            if each.good and Chooser(self.app.surveyor).is_withdrawn(each.good):
                self.app.log.warning(f"{each.good} was withdrawn by a rollback, and stays marked.")
        return targets

    def _plan(self, targets: Sequence[Target], tag: Tag) -> Plan:
        context = self.app.context
        steps = plan_rollback(targets, self.app.surveyor, tag)
        command = self.app.settings.command
        return Plan(command, context.commit, context.source, self.app.permission, steps)

    def _carry_out(self, plan: Plan) -> None:
        moves = Moves(
            plan=plan,
            there=lambda _: self.app.surveyor,
            clock=self.app.http.clock,
            attempted=self.app.journal.attempted,
            copier=self.app.copier,
        )
        for outcome in moves.run():
            self.app.journal.note(outcome)
        self.app.journal.pushed = True

    def _answer(self, plan: Plan, targets: Sequence[Target], files: Targets, tag: Tag) -> Answer:
        """Point the manifests at what the tags hold now, and say how to do so in a cluster."""
        pins = {
            each.service: Pin(each.good.tag, each.good.digest)
            for each in targets
            if each.good and each.good.tag
        }
        edits = self._edit(files, pins, tag)
        answer = self.app.journal.answer(dry_run=self.app.settings.dry_run)
        commands = kubectl.commands(_moving(targets, pins), files.manifests)
        where = "In a cluster:" if files.manifests else "In a cluster, if it has these names:"
        shown = [where, *(f"  {each}" for each in commands)] if commands else []
        fenced = ["```bash", *commands, "```"] if commands else []
        table = [*changes.table(edits), "", *fenced, ""]
        written = deploy.changed_files(self.app, edits)
        return replace(
            answer,
            lines=[*answer.lines, *changes.listed(edits), *_advice(plan), *shown],
            markdown=answer.markdown + "\n".join(table) + "\n",
            outputs={**answer.outputs, "changed-files": written},
        )

    def _edit(self, files: Targets, pins: Mapping[Service, Pin], tag: Tag) -> tuple[Edit, ...]:
        """Point the manifests; what fails now comes after the tags, and says so."""
        try:
            return deploy.point(self.app, files, pins)
        except Failure as failure:
            if self.app.settings.dry_run:
                raise
            fix = f"Mend that, then run deploy with tag: {tag} and the same manifests."
            raise Failure.of(
                Kind.CONFLICT,
                [
                    Problem(f"the tags are moved, the manifests are not: {each.cause}", fix)
                    for each in failure.problems
                ],
            ) from None


def _advice(plan: Plan) -> list[str]:
    """What a person on call may not think of."""
    if not plan.moves:
        return ["Nothing to do: each tag is where it is to be, or has nothing to go back to."]
    marked = {step.reference.identifier for step in plan.steps if isinstance(step, MarkImage)}
    names = ", ".join(sorted(each.removeprefix(tag_names.WITHDRAWN) for each in marked))
    advice = f"Revert {names} on the branch, or what is published next has it again."
    return [advice] if names else []


def _moving(targets: Sequence[Target], pins: Mapping[Service, Pin]) -> dict[Service, Pin]:
    """Those that hold another image than they are to hold."""
    moving = (
        each.service for each in targets if each.good and each.good.digest != each.held.digest
    )
    return {service: pins[service] for service in moving if service in pins}
