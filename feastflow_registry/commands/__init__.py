"""One module a command, named as the user types it; ``app`` wires them.

``publish`` is also ``build`` and ``push``. A command that plans has two functions, and ``run``
carries all of them out alike; ``tags``, ``doctor`` and ``init`` have a ``run`` of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from feastflow_registry.model.parallel import one_after_another, results
from feastflow_registry.model.plan import Outcome, Plan
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.results import RunReport

if TYPE_CHECKING:
    from feastflow_registry.commands.app import App


class Command(Protocol):
    """The module of a command that plans."""

    def plan(self, app: App) -> Plan:
        """Read, decide and refuse; write nothing."""

    def carry_out(self, app: App, plan: Plan) -> Iterator[Outcome]:
        """Carry the plan out; yield what was done and proven."""


def run(command: Command, app: App, journal: Journal) -> RunReport:
    """Plan, show the plan, and carry it out unless this is a dry run."""
    if app.permission.warning:
        app.log.warning(app.permission.warning)
    with app.log.working(f"{app.settings.command}: looking at {app.settings.registry}"):
        plan = command.plan(app)
    journal.begin(plan)
    try:
        with app.log.working(f"{plan.command}: carrying out the plan") as tell:
            for number, outcome in enumerate(carry_out(command, app, plan), 1):
                journal.note(outcome)
                tell(f"{plan.command}: carrying out the plan, {number} done")
    finally:
        # Threads of an interrupted run go on until they ask.
        app.state.stopped = True
    journal.pushed = app.publishes and not app.settings.dry_run
    is_doubted = app.publishes and bool(app.inputs.doubts)
    return journal.report(dry_run=app.settings.dry_run, is_doubted=is_doubted)


def carry_out(command: Command, app: App, plan: Plan) -> Iterator[Outcome]:
    """Carry a plan out, unless this is a dry run; raises in the end what left registries out."""
    done = () if app.settings.dry_run else command.carry_out(app, plan)
    return one_after_another(done, results(app.state.missed.values()))
