"""What prune says: every tag with what becomes of it and why, and in the end how many. Pure.

Tags of one fate and one reason share a line, a few at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from feastflow_registry.model.plan import Action, DeleteTag, KeepTag, Outcome, Plan
from feastflow_registry.model.services import Service
from feastflow_registry.report import results, text
from feastflow_registry.report.markdown import cell
from feastflow_registry.report.results import RunReport

_PER_LINE = 6
_MOST_REASONS = 8
_MOST_BYTES = 400_000
_MOST_ROWS = 1000

Fates = Sequence[tuple[Service, str, bool, str]]
"""Of every tag: whose it is, its name, whether it stays, and why."""


def plan_lines(plan: Plan) -> list[str]:
    """The whole plan, as lines; the first one is its head."""
    due = _going(plan)
    going, needed = len(due), sum(each.needed is not None for each in due)
    head = f"prune: {going} of {_tags(len(plan.steps))} {'goes' if going == 1 else 'go'}"
    if needed:
        head += f", {needed} of them only where a tag can be deleted without its image"
    lines = [head]
    for service in plan.services:
        for verb, why, names in _grouped(_planned(plan.of(service))):
            for start in range(0, len(names), _PER_LINE):
                part = ", ".join(names[start : start + _PER_LINE])
                lines.append(f"{verb:6} {service.repository}: {part}: {why}")
    return lines


def report(plan: Plan, outcomes: Sequence[Outcome], *, dry_run: bool) -> RunReport:
    """Sum up a run that has done what it was to do."""
    fates = _planned(plan.steps) if dry_run else _done(plan, outcomes)
    lines = _counted(fates, dry_run=dry_run)
    if dry_run:
        lines.append("This was a dry run: nothing was deleted. With dry-run: false, it is.")
    outputs = results.outputs(plan, (), pushed=False)
    if len(outputs["plan"]) > _MOST_BYTES:  # Of the 1 MiB that a job's outputs may have.
        outputs["plan"] = ""
    if dry_run:
        outputs["reason"] = "a dry run deletes nothing"
    return RunReport(lines, _markdown(fates, lines), outputs, text.plan_json(plan))


def remains(plan: Plan, outcomes: Sequence[Outcome]) -> RunReport:
    """Say where a run that was broken off leaves the registry."""
    deleted = sum(each.action is Action.DELETED for each in outcomes)
    reached = {each.reference for each in outcomes}
    left = [each for each in _going(plan) if each.reference not in reached]
    if not deleted and not left:
        return RunReport()
    lines = [f"Deleted before the failure: {_tags(deleted)}. Not known to be: {_tags(len(left))}."]
    if left:
        lines.append("What is gone stays gone; the next run goes on from there.")
    markdown = "".join(f"- {cell(line)}\n" for line in lines) + "\n"
    return RunReport(lines, markdown, results.outputs(plan, (), pushed=False))


def _going(plan: Plan) -> list[DeleteTag]:
    return [each for each in plan.steps if isinstance(each, DeleteTag)]


def _planned(steps: Iterable[object]) -> Fates:
    return [
        (each.service, each.reference.identifier, isinstance(each, KeepTag), text.why(each))
        for each in steps
        if isinstance(each, DeleteTag | KeepTag)
    ]


def _done(plan: Plan, outcomes: Sequence[Outcome]) -> Fates:
    """What became of each tag; why it was deleted is what the plan says."""
    why = {each.reference: each.reason for each in _going(plan)}
    kept = [each for each in plan.steps if isinstance(each, KeepTag)]
    done = [
        (each.service, each.reference.identifier, True, each.note)
        if each.action is Action.KEPT
        else (each.service, each.reference.identifier, False, why[each.reference])
        for each in outcomes
    ]
    return [*done, *_planned(kept)]


def _grouped(fates: Fates) -> Iterator[tuple[str, str, list[str]]]:
    """Tags of one fate and one reason, in the order of the first of each."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for _, name, kept, why in fates:
        groups.setdefault((kept, why), []).append(name)
    for (kept, why), names in groups.items():
        yield "keep" if kept else "delete", why, names


def _counted(fates: Fates, *, dry_run: bool) -> list[str]:
    """How many tags go and stay, and why these do."""
    reasons = Counter(why for _, _, kept, why in fates if kept)
    stay = reasons.total()
    verb = "Would delete" if dry_run else "Deleted"
    lines = [f"{verb} {_tags(len(fates) - stay)}, {'keep' if dry_run else 'kept'} {stay}."]
    lines += [f"   {count:5} kept: {why}" for why, count in reasons.most_common(_MOST_REASONS)]
    more = stay - sum(count for _, count in reasons.most_common(_MOST_REASONS))
    return lines + ([f"   {more:5} kept: for other reasons, above"] if more else [])


def _markdown(fates: Fates, lines: Sequence[str]) -> str:
    """The job summary: the counts, then each service's tags; cut where it would be too long."""
    head = [f"### {cell(lines[0])}", "", *(f"- {cell(line.strip())}" for line in lines[1:]), ""]
    rows = [
        f"| {cell(service.name)} | <code>{cell(name)}</code> | {cell(why)} |"
        for service, name, kept, why in fates
        if not kept
    ]
    if not rows:
        return "\n".join(head) + "\n"
    shown = rows[:_MOST_ROWS]
    if len(rows) > len(shown):
        shown.append(f"| | and {len(rows) - len(shown)} more | |")
    table = ["| service | tag | why it goes |", "|---|---|---|", *shown]
    return "\n".join([*head, *table]) + "\n\n"


def _tags(count: int) -> str:
    return f"{count} {'tag' if count == 1 else 'tags'}"
