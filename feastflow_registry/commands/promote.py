"""The command ``promote``: a published image gets another tag, repository or registry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

from feastflow_registry.commands.app import App
from feastflow_registry.commands.promotion import plan_promotion
from feastflow_registry.config.selectors import Destination, Selector
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.parallel import together
from feastflow_registry.model.plan import Latest, Plan, Step
from feastflow_registry.model.references import Repository
from feastflow_registry.model.services import Service
from feastflow_registry.report.results import Answer
from feastflow_registry.tags.choose import Chooser
from feastflow_registry.tags.moving import Moves
from feastflow_registry.tags.survey import Surveyor


@dataclass(frozen=True, slots=True)
class Promotion:
    """One promotion, of all services at once."""

    app: App

    def run(self) -> Answer:
        """Choose, plan, and move tags; or stop after the plan."""
        self._check_destinations()
        self.app.check_may_write()
        plan = self._plan()
        journal, dry_run = self.app.journal, self.app.settings.dry_run
        journal.begin(plan)
        if not dry_run:
            moves = Moves(
                plan=plan,
                there=self._eyes,
                clock=self.app.http.clock,
                attempted=journal.attempted,
                copier=self.app.copier,
            )
            for outcome in moves.run():
                journal.note(outcome)
            journal.pushed = True
        return journal.answer(dry_run=dry_run)

    def _check_destinations(self) -> None:
        """Refuse what leads nowhere, and one repository for several services."""
        given, services = self.app.settings.tag, self.app.services
        if not given:
            raise Failure(
                Kind.INPUT,
                'input "tag": promote needs to know which tag the image is to get.',
                "Name it, as in tag: production, or a repository: host/team/{service}:production.",
            )
        for each in given:
            if each.tag == tag_names.LATEST and self.app.settings.latest is Latest.NEVER:
                raise Failure(
                    Kind.INPUT,
                    'input "tag": latest is not to be moved, as the input latest says never.',
                    "Promote to another tag, or leave the input latest out.",
                )
            if len({each.repository(service) for service in services}) < len(services):
                raise Failure(
                    Kind.INPUT,
                    f'input "tag": {each} is one repository for {len(services)} services.',
                    "Put {service} into it, or name one service in the input services.",
                )

    def _eyes(self, repository: Repository) -> Surveyor:
        return replace(self.app.surveyor, registry=self.app.client(repository))

    def _plan(self) -> Plan:
        settings, context = self.app.settings, self.app.context
        wanted = settings.to or Selector(commit=context.commit.sha)
        chooser = Chooser(self.app.surveyor)

        def plan_one(service: Service) -> list[Step]:
            chosen = chooser.choose(service.repository, wanted)
            withdrawn = chooser.is_withdrawn(chosen)

            def plan_tag(each: Destination) -> tuple[Step, ...]:
                return plan_promotion(
                    service,
                    chosen,
                    each,
                    self._eyes(each.repository(service)),
                    latest=settings.latest,
                    withdrawn=withdrawn,
                )

            # What the first one holds is most likely what the others hold, and is read once.
            first, *others = settings.tag
            return [*plan_tag(first), *chain(*together(plan_tag, others))]

        # Several tags of one repository have its image in common.
        steps = dict.fromkeys(chain(*together(plan_one, self.app.services)))
        permission = self.app.permission
        return Plan(settings.command, context.commit, context.source, permission, tuple(steps))
