"""What a deploy did, and which images of which manifests were changed: text, Markdown and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from feastflow_registry.model.plan import Action, EditFile, Outcome, Plan
from feastflow_registry.model.wording import printable
from feastflow_registry.report import results, text
from feastflow_registry.report.markdown import cell
from feastflow_registry.report.results import RunReport

_LONG = re.compile(r"(?<=:)([0-9a-f]{12})[0-9a-f]{20,}")
_LONGEST = 120


def report(plan: Plan, outcomes: Sequence[Outcome], *, dry_run: bool) -> RunReport:
    """Sum up a deploy, or what it would do."""
    sentence = _sentence(plan.edits, dry_run=dry_run)
    images = {step.service.name: f"{step.reference}@{step.image.digest}" for step in plan.reuses}
    lines = [f"✅ {name}: {image}" for name, image in images.items()]
    title = "Planned" if dry_run else "Deployed"
    pinned = [f"- {cell(name)}: <code>{cell(image)}</code>" for name, image in images.items()]
    summary = [f"### {title}", "", *pinned, "", cell(sentence), "", *table(plan)]
    reused = [
        Outcome(step.service, Action.REUSED, step.reference, step.image.digest, step.image.size)
        for step in plan.reuses
    ]
    outputs = results.outputs(plan, results.results(plan, reused), pushed=False)
    outputs["changed-files"] = results.changed_files(outcomes)
    data = {**json.loads(text.plan_json(plan)), "changes": list(map(_change, plan.edits))}
    return RunReport(
        [*lines, *edit_lines(plan), sentence],
        "\n".join(summary) + "\n\n",
        outputs,
        json.dumps(data),
    )


def edit_lines(plan: Plan) -> Iterator[str]:
    """Yield two lines for each image: where it stands and whose it is; what it was and is."""
    for edit in plan.edits:
        where = f"{_shown(edit.file)}:{edit.line}"
        yield f"📝 {where}  {edit.container} in {edit.resource}"
        yield f"   {_brief(edit.old)} → {_brief(edit.new)}"


def table(plan: Plan) -> list[str]:
    """The edits as a table of the job summary; no line, if there are none."""
    rows = [
        f"| {cell(edit.file)} | {edit.line} | {cell(f'{edit.container} in {edit.resource}')} "
        f"| <code>{cell(_brief(edit.old))}</code> | <code>{cell(_brief(edit.new))}</code> |"
        for edit in plan.edits
    ]
    head = ["| file | line | container | from | to |", "|---|--:|---|---|---|"]
    return [*head, *rows] if rows else []


def aftermath(plan: Plan) -> str:
    """What a rollback's summary says of manifests and clusters."""
    commands = ["```bash", *plan.kubectl, "```"] if plan.kubectl else []
    return "\n".join([*table(plan), "", *commands, ""]) + "\n"


def _change(edit: EditFile) -> dict[str, object]:
    """An edit for other programs."""
    return {
        "file": edit.file,
        "line": edit.line,
        "resource": edit.resource,
        "container": edit.container,
        "old": edit.old,
        "new": edit.new,
    }


def _sentence(edits: Sequence[EditFile], *, dry_run: bool) -> str:
    if not edits:
        return "Nothing to change: the manifests name these images already."
    images, files = len(edits), len({edit.file for edit in edits})
    counted = f"{images} image{'s'[: images != 1]} in {files} file{'s'[: files != 1]}"
    return f"{counted} to change: this was a dry run." if dry_run else f"{counted} changed."


def _shown(value: str) -> str:
    return printable(value, _LONGEST)


def _brief(image: str) -> str:
    """An image on one line, its digest cut to the digits that people compare."""
    return _shown(_LONG.sub(r"\1…", image))
