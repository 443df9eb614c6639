"""What a deploy did, and which images of which manifests were changed: text, Markdown and JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from feastflow_registry.model.plan import Action, EditFile, Outcome, Plan, ReuseImage
from feastflow_registry.model.wording import printable
from feastflow_registry.report import data, results
from feastflow_registry.report.results import RunReport
from feastflow_registry.report.summary import (
    DRY_RUN,
    NOT_DRY,
    Block,
    Summary,
    Table,
    code,
    counted,
    join,
)

_LONG = re.compile(r"(?<=:)([0-9a-f]{12})[0-9a-f]{20,}")
_LONGEST = 120
_CONTEXT = 3
_UNFINISHED = "\\ No newline at end of file"

_NEXT = join(
    "Commit the files. Then apply them to the cluster, for example with ",
    code("kubectl apply"),
    ".",
)

_Block = tuple[int, int, int, int]
"""Lines that differ: where they begin and end in the old text, and in the new one."""


def report(plan: Plan, outcomes: Sequence[Outcome], *, dry_run: bool) -> RunReport:
    """Sum up a deploy, or what it would do."""
    sentence = _sentence(plan.every(EditFile), dry_run=dry_run)
    images = {
        step.service.name: f"{step.reference}@{step.image.digest}"
        for step in plan.every(ReuseImage)
    }
    lines = [f"✅ {name}: {image}" for name, image in images.items()]
    summary = Summary(
        _headline(plan.every(EditFile), sentence, dry_run=dry_run),
        table=table(plan),
        todo=[NOT_DRY if dry_run else _NEXT] if plan.every(EditFile) else [],
        details={"Images to copy": Block("text", list(images.values()))},
    )
    reused = [
        Outcome(step.service, Action.REUSED, step.reference, step.image.digest, step.image.size)
        for step in plan.every(ReuseImage)
    ]
    found = results.results(plan, reused)
    outputs = results.outputs(plan, found, pushed=False)
    outputs["changed-files"] = results.changed_files(outcomes)
    return RunReport(
        [*lines, *edit_lines(plan), sentence],
        summary.markdown(),
        outputs,
        data.planned(plan, found, outcomes, dry_run=dry_run),
    )


def edit_lines(plan: Plan) -> Iterator[str]:
    """Yield two lines for each image: where it stands and whose it is; what it was and is."""
    for edit in plan.every(EditFile):
        where = f"{_shown(edit.file)}:{edit.line}"
        yield f"📝 {where}  {edit.container} in {edit.resource}"
        yield f"   {_brief(edit.old)} → {_brief(edit.new)}"


def table(plan: Plan) -> Table:
    """The edits of manifests as a table of the job summary."""
    rows = [
        (
            edit.file,
            str(edit.line),
            f"{edit.container} in {edit.resource}",
            code(_brief(edit.old)),
            code(_brief(edit.new)),
        )
        for edit in plan.every(EditFile)
    ]
    return Table(("file", "line", "container", "from", "to"), rows, frozenset({"line"}))


def _headline(edits: Sequence[EditFile], sentence: str, *, dry_run: bool) -> str:
    if edits and dry_run:
        return f"{DRY_RUN}: {_counted(edits)} would change"
    return f"{sentence.removesuffix('.')}; no cluster was touched"


def _counted(edits: Sequence[EditFile]) -> str:
    return f"{counted(len(edits), 'image')} in {counted(len({e.file for e in edits}), 'file')}"


def _sentence(edits: Sequence[EditFile], *, dry_run: bool) -> str:
    if not edits:
        return "Nothing to change: the manifests name these images already."
    return f"{_counted(edits)} {'to change: this was a dry run' if dry_run else 'changed'}."


def _shown(value: str) -> str:
    return printable(value, _LONGEST)


def _brief(image: str) -> str:
    """An image on one line, its digest cut to the digits that people compare."""
    return _shown(_LONG.sub(r"\1…", image))


def unified(name: str, before: bytes, after: bytes) -> str:
    """Compare two texts in UTF-8, as a unified diff; nothing, if they are the same.

    Nothing in a file can command a terminal or a runner: every line has a mark before it, and what
    is not printable is spelled out.
    https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html
    """
    old, new = _text_lines(before), _text_lines(after)
    blocks = _blocks(old, new)
    if not blocks:
        return ""
    lines = [f"--- a/{_spelled_out(name)}", f"+++ b/{_spelled_out(name)}"]
    for hunk in _hunks(blocks):
        lines += _write(old, new, hunk)
    return "".join(f"{line}\n" for line in lines)


def _blocks(old: Sequence[str], new: Sequence[str]) -> list[_Block]:
    if len(old) != len(new):
        from difflib import SequenceMatcher

        codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        return [(i, j, k, m) for tag, i, j, k, m in codes if tag != "equal"]
    # Most edits keep every line in its place; difflib takes minutes for thousands of them.
    found: list[_Block] = []
    pairs = enumerate(zip(old, new, strict=True))
    for differs, run in groupby(pairs, key=lambda each: each[1][0] != each[1][1]):
        places = [place for place, _ in run] if differs else []
        found += [(places[0], places[-1] + 1, places[0], places[-1] + 1)] if places else []
    return found


def _hunks(blocks: Sequence[_Block]) -> Iterator[list[_Block]]:
    """Put together what is so close that its context would overlap."""
    hunk = [blocks[0]]
    for block in blocks[1:]:
        if block[0] - hunk[-1][1] > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(block)
    yield hunk


def _write(old: Sequence[str], new: Sequence[str], hunk: Sequence[_Block]) -> Iterator[str]:
    begin = max(0, hunk[0][0] - _CONTEXT)
    end = min(len(old), hunk[-1][1] + _CONTEXT)
    shift, growth = hunk[0][2] - hunk[0][0], hunk[-1][3] - hunk[-1][1]
    yield f"@@ -{begin + 1},{end - begin} +{begin + shift + 1},{end + growth - begin - shift} @@"
    done = begin
    for i, j, k, m in hunk:
        yield from (f" {line}" for line in old[done:i])
        yield from (f"-{line}" for line in old[i:j])
        yield from (f"+{line}" for line in new[k:m])
        done = j
    yield from (f" {line}" for line in old[done:end])


def _text_lines(content: bytes) -> list[str]:
    *lines, last = content.decode().split("\n")
    lines = [_spelled_out(line.removesuffix("\r")) for line in lines]
    return [*lines, f"{_spelled_out(last)}\n{_UNFINISHED}"] if last else lines


def _spelled_out(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode()
        for each in text
    )
