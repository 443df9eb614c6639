"""What prune says: every tag with what becomes of it and why, and in the end how many. Pure.

Tags of one fate and one reason share a line, a few at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from feastflow_registry.model.plan import Action, DeleteTag, KeepTag, Outcome, Plan
from feastflow_registry.model.references import Tag
from feastflow_registry.model.services import Service
from feastflow_registry.report import data, results, text
from feastflow_registry.report.results import RunReport, Standing
from feastflow_registry.report.summary import DRY_RUN, Summary, Table, code, counted, join, tag_link

_PER_LINE = 6
_MOST_REASONS = 8
_MOST_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a tag: whether it stays, why, and the date that decided."""

    service: Service
    tag: Tag
    kept: bool
    why: str
    dated: str = ""


Fates = Sequence[Fate]


def plan_lines(plan: Plan) -> list[str]:
    """The whole plan, as lines; the first one is its head."""
    due = _going(plan)
    going, needed = len(due), sum(each.needed is not None for each in due)
    head = f"prune: {going} of {counted(len(plan.steps), 'tag')} {'goes' if going == 1 else 'go'}"
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
        lines.append(
            'This was a dry run: nothing was deleted. To delete, use input "dry-run: false".'
        )
    document = data.planned(plan, (), outcomes, dry_run=dry_run)
    outputs = results.outputs(plan, (), pushed=False)
    if len(outputs["plan"]) > _MOST_BYTES:  # Of the 1 MiB that a job's outputs may have.
        outputs["plan"] = ""
    if dry_run:
        outputs["reason"] = "a dry run deletes nothing"
    return RunReport(lines, _markdown(fates, dry_run=dry_run), outputs, document)


def remains(plan: Plan, outcomes: Sequence[Outcome]) -> RunReport:
    """Say where a run that was broken off leaves the registry."""
    left = standing(plan, outcomes)
    deleted, unknown = (len(each) for each in left.states.values())
    if not deleted and not unknown:
        return RunReport()
    known = f"Deleted before the failure: {counted(deleted, 'tag')}."
    lines = [f"{known} Not known to be: {counted(unknown, 'tag')}."]
    lines += [left.again] if left.again else []
    return RunReport(lines, outputs=results.outputs(plan, (), pushed=False))


def standing(plan: Plan, outcomes: Sequence[Outcome]) -> Standing:
    """Which tags are deleted, and of which nobody knows."""
    deleted = [each.reference for each in outcomes if each.action is Action.DELETED]
    reached = {each.reference for each in outcomes}
    left = [each.reference for each in _going(plan) if each.reference not in reached]
    again = "What is gone stays gone; the next run goes on from there." if left else ""
    return Standing({"deleted": deleted, "not known to be deleted": left}, again)


def _going(plan: Plan) -> list[DeleteTag]:
    return [each for each in plan.steps if isinstance(each, DeleteTag)]


def _planned(steps: Iterable[object]) -> Fates:
    return [
        Fate(each.service, each.tag, False, text.why(each), each.dated)
        if isinstance(each, DeleteTag)
        else Fate(each.service, each.tag, True, text.why(each))
        for each in steps
        if isinstance(each, DeleteTag | KeepTag)
    ]


def _done(plan: Plan, outcomes: Sequence[Outcome]) -> Fates:
    """What became of each tag; why it was deleted is what the plan says."""
    last = {each.reference: each for each in outcomes}
    due = [
        Fate(step.service, step.tag, True, done.note)
        if done.action is Action.KEPT
        else Fate(step.service, step.tag, False, step.reason, step.dated)
        for step in _going(plan)
        if (done := last.get(step.reference))
    ]
    kept = [each for each in plan.steps if isinstance(each, KeepTag)]
    return [*due, *_planned(kept)]


def _grouped(fates: Fates) -> Iterator[tuple[str, str, list[str]]]:
    """Tags of one fate and one reason, in the order of the first of each."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for each in fates:
        groups.setdefault((each.kept, each.why), []).append(each.tag.value)
    for (kept, why), names in groups.items():
        yield "keep" if kept else "delete", why, names


def _counted(fates: Fates, *, dry_run: bool) -> list[str]:
    """How many tags go and stay, and why these do."""
    reasons = Counter(each.why for each in fates if each.kept)
    stay = reasons.total()
    verb = "Would delete" if dry_run else "Deleted"
    lines = [f"{verb} {counted(len(fates) - stay, 'tag')}, {'keep' if dry_run else 'kept'} {stay}."]
    lines += [f"   {count:5} kept: {why}" for why, count in reasons.most_common(_MOST_REASONS)]
    more = stay - sum(count for _, count in reasons.most_common(_MOST_REASONS))
    return lines + ([f"   {more:5} kept: for other reasons, above"] if more else [])


def _markdown(fates: Fates, *, dry_run: bool) -> str:
    """The job summary: every tag that goes or went, and how many stay for which reason."""
    called = text.called(each.service for each in fates)
    rows = [
        (called[each.service], tag_link(each.service.repository, each.tag), each.why, each.dated)
        for each in fates
        if not each.kept
    ]
    reasons = Counter(each.why for each in fates if each.kept)
    kept = [(str(count), why) for why, count in reasons.most_common(_MOST_REASONS)]
    more = reasons.total() - sum(int(count) for count, _ in kept)
    kept += [(str(more), "other reasons, in the log")] if more else []
    tags, stay = counted(len(rows), "tag"), reasons.total()
    done = f"{DRY_RUN}: {tags} would go, {stay} stay" if dry_run else f"Deleted {tags}, kept {stay}"
    todo = join("To delete them, run this with ", code("dry-run: false"), ".")
    return Summary(
        done,
        table=Table(("service", "tag", "why", "date used"), rows),
        todo=[todo] if dry_run and rows else [],
        details={"Why the others stay": Table(("tags", "why"), kept, frozenset({"tags"}))},
    ).markdown()
