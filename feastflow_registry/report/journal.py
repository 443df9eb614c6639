"""What a run set out to do and has done so far: told as it happens, and summed up in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from feastflow_registry.model.plan import Command, Outcome, Plan
from feastflow_registry.model.ports import Log
from feastflow_registry.model.references import Reference
from feastflow_registry.report import markdown, prune, results, text
from feastflow_registry.report.results import Answer
from feastflow_registry.tags import rules


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
        speaks = prune if plan.command is Command.PRUNE else text
        head, *steps = speaks.plan_lines(plan)
        with self.log.group(head):
            for line in steps:
                self.log.say(line)

    def note(self, outcome: Outcome) -> None:
        """Take down what was done and proven."""
        self.outcomes.append(outcome)
        if outcome.note != rules.THERE:
            self.log.say(results.outcome_line(outcome))

    def answer(self, *, dry_run: bool) -> Answer:
        """Sum up a run that has done what it was to do."""
        if self.plan is None:
            return Answer()
        if self.plan.command is Command.PRUNE:
            return prune.answer(self.plan, self.outcomes, dry_run=dry_run)
        found = results.results(self.plan, self.outcomes)
        outputs = results.outputs(self.plan, found, pushed=self.pushed)
        lines = results.closing(self.plan, found)
        if dry_run:
            outputs["reason"] = "a dry run pushes nothing"
            done = "built or pushed" if self.plan.command.builds else "written"
            lines.append(f"This was a dry run: nothing was {done}.")
        summary = markdown.success(self.plan, found, self.outcomes)
        return Answer(lines, summary, outputs, text.plan_json(self.plan))

    def remains(self) -> Answer:
        """Say where a run that was broken off leaves the registry."""
        if self.plan is None:
            return Answer()
        if self.plan.command is Command.PRUNE:
            return prune.remains(self.plan, self.outcomes)
        found = results.results(self.plan, self.outcomes)
        lines = results.standing(self.plan, self.outcomes, self.attempted)
        summary = markdown.remains(self.plan, found, self.outcomes, self.attempted)
        return Answer(lines, summary, results.outputs(self.plan, found, pushed=False))
