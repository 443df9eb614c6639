"""Saying which images of which manifests were changed: lines of text, Markdown and JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from feastflow_registry.kubernetes.workloads import Edit
from feastflow_registry.model.wording import printable
from feastflow_registry.report.markdown import cell
from feastflow_registry.report.results import Result

_LONGEST = 120
_LONG = re.compile(r"(?<=:)([0-9a-f]{12})[0-9a-f]{20,}")


def lines(results: Sequence[Result], edits: Sequence[Edit], *, dry_run: bool) -> list[str]:
    """What a deploy did, for whoever reads along."""
    images = [f"✅ {each.service.name}: {_pinned(each)}" for each in results]
    return [*images, *listed(edits), _sentence(edits, dry_run=dry_run)]


def listed(edits: Sequence[Edit]) -> Iterator[str]:
    """Yield two lines for each image: where it stands and whose it is; what it was and is."""
    for edit in edits:
        name = printable(edit.name, _LONGEST)
        for each in edit.changes:
            yield f"📝 {name}:{each.line}  {each.container} in {each.resource}"
            yield f"   {_brief(each.old)} → {_brief(each.new)}"


def markdown(results: Sequence[Result], edits: Sequence[Edit], *, dry_run: bool) -> str:
    """The job summary of a deploy."""
    title = "Planned" if dry_run else "Deployed"
    images = [
        f"- {cell(each.service.name)}: <code>{cell(_pinned(each))}</code>" for each in results
    ]
    text = cell(_sentence(edits, dry_run=dry_run))
    return "\n".join([f"### {title}", "", *images, "", text, "", *table(edits)]) + "\n\n"


def table(edits: Sequence[Edit]) -> list[str]:
    """The changes as a table of the job summary; no line, if there are none."""
    rows = [
        f"| {cell(edit.name)} | {each.line} | {cell(f'{each.container} in {each.resource}')} "
        f"| <code>{cell(_brief(each.old))}</code> | <code>{cell(_brief(each.new))}</code> |"
        for edit in edits
        for each in edit.changes
    ]
    return (
        ["| file | line | container | from | to |", "|---|--:|---|---|---|", *rows] if rows else []
    )


def data(edits: Sequence[Edit]) -> list[dict[str, object]]:
    """The changes for other programs."""
    return [{"file": edit.name, **asdict(each)} for edit in edits for each in edit.changes]


def _pinned(result: Result) -> str:
    return f"{result.tags[0]}@{result.digest}"


def _sentence(edits: Sequence[Edit], *, dry_run: bool) -> str:
    if not edits:
        return "Nothing to change: the manifests name these images already."
    images, files = sum(len(each.changes) for each in edits), len(edits)
    counted = f"{images} image{'s'[: images != 1]} in {files} file{'s'[: files != 1]}"
    return f"{counted} to change: this was a dry run." if dry_run else f"{counted} changed."


def _brief(image: str) -> str:
    """An image on one line, its digest cut to the digits that people compare."""
    return printable(_LONG.sub(r"\1…", image), _LONGEST)
