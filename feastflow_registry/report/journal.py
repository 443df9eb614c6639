"""What a run set out to do and has done so far: told as it happens, and summed up in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import Command, Outcome, Plan
from feastflow_registry.model.ports import Log
from feastflow_registry.model.run_state import RunState
from feastflow_registry.report import data, deploy, markdown, prune, results, text
from feastflow_registry.report.results import RunReport
from feastflow_registry.tags.rules import THERE


@dataclass(slots=True)
class Journal:
    """One run of a command. ``pushed``: whether the registry holds what the plan says, proven."""

    log: Log
    state: RunState
    command: str = ""
    plan: Plan | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    pushed: bool = False

    def begin(self, plan: Plan) -> None:
        """Take up a plan, and show it. What deploy will do is shown by what it has done."""
        self.plan = plan
        if plan.command is Command.DEPLOY:
            return
        head, *steps = (prune if plan.command is Command.PRUNE else text).plan_lines(plan)
        with self.log.group(head):
            for line in steps:
                self.log.say(line)

    def note(self, outcome: Outcome) -> None:
        """Take down what was done and proven."""
        self.outcomes.append(outcome)
        if outcome.note != THERE and self.plan and self.plan.command is not Command.DEPLOY:
            self.log.say(results.outcome_line(outcome))

    def report(self, *, dry_run: bool, is_doubted: bool = False) -> RunReport:
        """Sum up a run that has done what it was to do.

        ``is_doubted``: a warning has said why the same would fail without ``dry_run``.
        """
        if self.plan is None:
            return RunReport()
        if self.plan.command is Command.PRUNE:
            return prune.report(self.plan, self.outcomes, dry_run=dry_run)
        if self.plan.command is Command.DEPLOY:
            return deploy.report(self.plan, self.outcomes, dry_run=dry_run)
        services = results.results(self.plan, self.outcomes)
        outputs = results.outputs(self.plan, services, pushed=self.pushed)
        outputs["changed-files"] = results.changed_files(self.outcomes)
        lines = results.closing(self.plan, services)
        if dry_run:
            outputs["reason"] = "a dry run pushes nothing"
            done = "built or pushed" if self.plan.command.builds else "written"
            fails = f" {self.plan.command} would fail: see the warning above."
            lines.append(f"This was a dry run: nothing was {done}.{fails if is_doubted else ''}")
        lines += self.plan.left_out
        lines += deploy.edit_lines(self.plan)
        if not dry_run:
            lines += self.plan.advice
        if self.plan.kubectl and not dry_run:
            head = f"{markdown.CLUSTER[self.plan.guessed]}:"
            lines += [head, *(f"  {each}" for each in self.plan.kubectl)]
        document = data.planned(self.plan, services, self.outcomes, dry_run=dry_run)
        summary = markdown.planned(self.plan) if dry_run else ""
        summary = summary or markdown.success(self.plan, services, self.outcomes)
        return RunReport(lines, summary, outputs, document)

    def remains(self) -> RunReport:
        """Say where a run that was broken off leaves the registry."""
        if self.plan is None:
            return RunReport()
        if self.plan.command is Command.PRUNE:
            return prune.remains(self.plan, self.outcomes)
        services = results.results(self.plan, self.outcomes)
        outputs = results.outputs(self.plan, services, pushed=False)
        return RunReport(self._standing.lines, outputs=outputs)

    def failed(self, failure: Failure) -> RunReport:
        """Sum up a run that failed: why, what to do, and where that leaves the registry."""
        report = self.broken_off(failure.problems, failure.kind)
        return replace(report, lines=()) if failure.kind is Kind.INPUT else report

    def broken_off(self, why: Sequence[Problem], code: int) -> RunReport:
        """Sum up a run that did not come to its end, by what it exits with."""
        standing = self._standing if self.plan else results.Standing()
        left = self.remains()
        return RunReport(
            left.lines,
            markdown.failed(self.plan, why, standing, cancelled=code > max(Kind)),
            {**left.outputs, "pushed": "false", "reason": why[0].cause},
            data.failed(self.command, code, why, standing),
        )

    @property
    def _standing(self) -> results.Standing:
        assert self.plan
        if self.plan.command is Command.PRUNE:
            return prune.standing(self.plan, self.outcomes)
        return results.standing(self.plan, self.outcomes, self.state)
