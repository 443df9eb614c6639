"""What a run set out to do and has done so far: told as it happens, and summed up in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from feastflow_registry import outline, report, rules, summary, tally
from feastflow_registry.plan import Outcome, Plan
from feastflow_registry.ports import Log
from feastflow_registry.references import Reference
from feastflow_registry.report import Answer
from feastflow_registry.settings import Command


@dataclass(slots=True)
class Journal:
    """One run.

    ``attempted``: the tags that were written, whether or not the answer arrived; ``pushed``:
    whether the registry holds what the plan says, proven.
    """

    log: Log
    plan: Plan | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    attempted: set[Reference] = field(default_factory=set)
    pushed: bool = False

    def begin(self, plan: Plan) -> None:
        """Take up a plan, and show it."""
        self.plan = plan
        speaks = tally if plan.command is Command.PRUNE else outline
        head, *steps = speaks.plan_lines(plan)
        with self.log.group(head):
            for line in steps:
                self.log.say(line)

    def note(self, outcome: Outcome) -> None:
        """Take down what was done and proven."""
        self.outcomes.append(outcome)
        if outcome.note != rules.THERE:
            self.log.say(report.outcome_line(outcome))

    def answer(self, *, dry_run: bool) -> Answer:
        """Sum up a run that has done what it was to do."""
        if self.plan is None:
            return Answer()
        if self.plan.command is Command.PRUNE:
            return tally.answer(self.plan, self.outcomes, dry_run=dry_run)
        found = report.results(self.plan, self.outcomes)
        outputs = report.outputs(self.plan, found, pushed=self.pushed)
        lines = report.closing(self.plan, found)
        if dry_run:
            outputs["reason"] = "a dry run pushes nothing"
            done = "built or pushed" if self.plan.command.builds else "written"
            lines.append(f"This was a dry run: nothing was {done}.")
        markdown = summary.success(self.plan, found, self.outcomes)
        return Answer(lines, markdown, outputs, outline.plan_json(self.plan))

    def remains(self) -> Answer:
        """Say where a run that was broken off leaves the registry."""
        if self.plan is None:
            return Answer()
        if self.plan.command is Command.PRUNE:
            return tally.remains(self.plan, self.outcomes)
        found = report.results(self.plan, self.outcomes)
        lines = report.standing(self.plan, self.outcomes, self.attempted)
        markdown = summary.remains(self.plan, found, self.outcomes, self.attempted)
        return Answer(lines, markdown, report.outputs(self.plan, found, pushed=False))
