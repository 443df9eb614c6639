"""The command ``promote``: a published image gets another tag, repository or registry."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain

from feastflow_registry import rules
from feastflow_registry.app import App
from feastflow_registry.choosing import Chooser, Chosen
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.moving import Moves
from feastflow_registry.parallel import spread
from feastflow_registry.plan import Plan, Step
from feastflow_registry.ports import together
from feastflow_registry.promotion import plan_promotion
from feastflow_registry.registry import RegistryClient
from feastflow_registry.report import Answer
from feastflow_registry.selectors import Destination, Selector
from feastflow_registry.services import Service
from feastflow_registry.settings import Latest
from feastflow_registry.survey import Surveyor


@dataclass(frozen=True, slots=True)
class Promotion:
    """One promotion, of all services at once."""

    app: App

    def run(self) -> Answer:
        """Choose, plan, and move tags; or stop after the plan."""
        destination = self._destination()
        self.app.check_may_write()
        target = self._target(destination)
        there = replace(self.app.surveyor, registry=target)
        plan = self._plan(destination, there)
        journal, dry_run = self.app.journal, self.app.settings.dry_run
        journal.begin(plan)
        if not dry_run:
            for outcome in self._moves(plan, there, target).run():
                journal.note(outcome)
            journal.pushed = True
        return journal.answer(dry_run=dry_run)

    def _destination(self) -> Destination:
        """Where to; refused if there is none, or one for several services."""
        found = self.app.settings.tag
        if found is None:
            raise Failure(
                Kind.INPUT,
                'input "tag": promote needs to know which tag the image is to get.',
                "Name it, as in tag: production, or a repository: host/team/{service}:production.",
            )
        if self.app.settings.latest is Latest.NEVER and found.tag == rules.LATEST:
            raise Failure(
                Kind.INPUT,
                'input "tag": latest is not to be moved, as the input latest says never.',
                "Promote to another tag, or leave the input latest out.",
            )
        names = Counter(found.repository(each) for each in self.app.services)
        if found.path and max(names.values()) > 1:
            raise Failure(
                Kind.INPUT,
                f'input "tag": {found} is one repository for {len(self.app.services)} services.',
                "Put {service} into it, or name one service in the input services.",
            )
        return found

    def _target(self, destination: Destination) -> RegistryClient:
        repositories = [destination.repository(each) for each in self.app.services]
        if repositories[0].host == self.app.settings.registry:
            return self.app.registry
        return self.app.connect(repositories)

    def _plan(self, destination: Destination, there: Surveyor) -> Plan:
        wanted = self.app.settings.to or Selector(commit=self.app.context.commit.sha)
        chooser = Chooser(self.app.surveyor)

        def plan_one(service: Service) -> tuple[Step, ...]:
            chosen = chooser.choose(service.repository, wanted)
            withdrawn = self._is_withdrawn(chosen)
            latest = self.app.settings.latest
            return plan_promotion(
                service, chosen, destination, there, latest=latest, withdrawn=withdrawn
            )

        steps = tuple(chain(*together(spread, plan_one, self.app.services)))
        context = self.app.context
        settings = self.app.settings
        return Plan(settings.command, context.commit, context.source, self.app.permission, steps)

    def _is_withdrawn(self, chosen: Chosen) -> bool:
        eyes = replace(self.app.surveyor, commit=chosen.commit or self.app.context.commit)
        return chosen.commit is not None and eyes.is_withdrawn(chosen.repository, chosen.image)

    def _moves(self, plan: Plan, there: Surveyor, target: RegistryClient) -> Moves:
        from feastflow_registry.copying import ImageCopier  # noqa: PLC0415

        return Moves(
            plan=plan,
            there=there,
            clock=self.app.http.clock,
            attempted=self.app.journal.attempted,
            copier=ImageCopier(self.app.registry, target, spread),
            spread=spread,
        )
