"""The command ``rollback``: a tag goes back to an image that it held before, without a build."""

from __future__ import annotations

from dataclasses import dataclass

from feastflow_registry import rules
from feastflow_registry.app import App
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.moving import Moves
from feastflow_registry.parallel import spread
from feastflow_registry.plan import Plan
from feastflow_registry.references import Tag
from feastflow_registry.report import Answer
from feastflow_registry.rollback import Retreat, Target, plan_rollback


@dataclass(frozen=True, slots=True)
class Rollback:
    """One rollback, of one service, several or all."""

    app: App

    def run(self) -> Answer:
        """Find the way back, mark what is bad, move the tags; or stop after the plan."""
        tag = self._tag()
        self.app.check_may_write()
        targets = self._targets(tag)
        plan = self._plan(targets, tag)
        journal, dry_run = self.app.journal, self.app.settings.dry_run
        journal.begin(plan)
        if not dry_run:
            moves = Moves(
                plan=plan,
                there=self.app.surveyor,
                clock=self.app.http.clock,
                attempted=journal.attempted,
                spread=spread,
            )
            for outcome in moves.run():
                journal.note(outcome)
            journal.pushed = True
        return journal.answer(dry_run=dry_run)

    def _tag(self) -> Tag:
        given = self.app.settings.tag
        if given and given.path:
            raise Failure(
                Kind.INPUT,
                f'input "tag": {given} is a repository, and rollback moves a tag of each service.',
                "Give the tag alone, as in tag: production.",
            )
        return given.tag if given and given.tag else rules.LATEST

    def _targets(self, tag: Tag) -> list[Target]:
        retreat = Retreat(self.app.surveyor, tag)
        held = retreat.held(self.app.services)
        for service in self.app.services:
            if service not in held:
                self.app.log.notice(f"{service.name} has no tag {tag}: it is left out.")
        wanted = self.app.settings.to
        return retreat.to(held, wanted) if wanted else retreat.back(held)

    def _plan(self, targets: list[Target], tag: Tag) -> Plan:
        context = self.app.context
        steps = plan_rollback(targets, self.app.surveyor, tag)
        command = self.app.settings.command
        return Plan(command, context.commit, context.source, self.app.permission, steps)
