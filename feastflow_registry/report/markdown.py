"""The job summary, in GitHub's Markdown. Pure.

Names of branches, commits and repositories come from anywhere; none can break the table.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.plan import Action, Command, Outcome, Plan
from feastflow_registry.model.references import Reference, Repository, Tag
from feastflow_registry.report import results
from feastflow_registry.report.results import Result

_TITLES = {Command.PROMOTE: "Promoted", Command.ROLLBACK: "Rolled back", Command.PRUNE: "Pruned"}
_WORD = re.compile(r"[a-z]+[,.:;]?(?: |$)")


def cell(text: str) -> str:
    """Make a text safe inside a Markdown table: no cell, link, tag or line can be forged."""
    flat = "".join(each if each.isprintable() else " " for each in text)
    escaped = html.escape(flat)
    for mark in "|`*_[]\\~@$":
        escaped = escaped.replace(mark, f"&#{ord(mark)};")
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def success(plan: Plan, found: Sequence[Result], outcomes: Sequence[Outcome]) -> str:
    """The summary of a run that did what it was to do."""
    title = _title(plan, outcomes)
    lines = [f"### {title}: commit {plan.commit.short}", ""]
    lines += [f"{cell(_sentence(plan.permission.reason))}.", "", *_table(plan, found)]
    ours = {tag for each in found for tag in each.tags}
    kept = [each for each in outcomes if each.action is Action.KEPT and each.reference not in ours]
    lines += ["", *(f"- {cell(str(each.reference))}: {cell(each.note)}" for each in kept)]
    lines += [f"- {cell(each)}" for each in plan.left_out]
    names = [each.tags[0] for each in found if each.tags]
    if names:
        commands = [f"docker pull {name}" for name in names]
        commands += [f"docker run --rm -P {names[0]}"] if len(names) == 1 else []
        lines += ["", "```bash", *commands, "```"]
    return "\n".join(lines) + "\n\n"


def failure(error: Failure) -> str:
    """The summary of a run that failed: what is wrong, and what to do."""
    lines = ["### Failed", ""]
    for problem in error.problems:
        lines += [f"**{cell(_sentence(problem.cause))}** {cell(problem.fix)}", ""]
    return "\n".join(lines) + "\n"


def remains(
    plan: Plan,
    found: Sequence[Result],
    outcomes: Sequence[Outcome],
    attempted: Collection[Reference],
) -> str:
    """What a failed run leaves behind: the registry's standing, and what was made."""
    lines = [f"- {cell(line)}" for line in results.standing(plan, outcomes, attempted)]
    made = [each for each in found if each.tags]
    return "\n".join([*lines, "", *(_table(plan, made) if made else [])]) + "\n\n"


def _table(plan: Plan, found: Sequence[Result]) -> list[str]:
    head = ["| service | tags | digest | size | image | seconds |", "|---|---|---|--:|---|--:|"]
    return head + [_row(plan, each) for each in found]


def _title(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "Planned"
    if plan.command in _TITLES:
        return _TITLES[plan.command]
    if not plan.permission.push or plan.command is Command.BUILD:
        return "Built, not pushed"
    return "Published"


def _row(plan: Plan, found: Result) -> str:
    built = (step for step in plan.builds if step.service == found.service)
    names = found.tags or tuple(tag for step in built for tag in step.tags[:1])
    tags = "<br>".join(_linked(found.service.repository, each, found.tags) for each in names)
    digest = f"<code>{found.digest.short}</code>" if found.digest else ""
    columns = (
        cell(found.service.name),
        tags,
        digest,
        results.size(found.size) if found.size else "",
    )
    action = found.action.value if found.action else ""
    note = f", {cell(found.note)}" if found.note else ""
    return f"| {' | '.join(columns)} | {action}{note} | {found.seconds:.1f} |"


def _sentence(text: str) -> str:
    """Begin with a capital, unless a name or an address comes first."""
    return text[:1].upper() + text[1:] if _WORD.match(text) else text


def _linked(repository: Repository, reference: Reference, there: Sequence[Reference]) -> str:
    name = f"<code>{cell(reference.identifier)}</code>"
    tag = reference.target if reference in there else None
    page = repository.tag_page(tag) if isinstance(tag, Tag) else None
    return f"[{name}]({page})" if page else name
