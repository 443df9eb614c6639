"""Whatever a branch, a commit, a label, a manifest or a registry says, through every sink.

A report is made twice, with a plain word and with a hostile text in every place that somebody else
fills. Both must have one structure: a text is shown, and obeyed by nothing.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.memory import FakeLog, digest_of
from support.runs import SHOP, A, B, image
from support.soak import soak

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import ListedTag
from feastflow_registry.model.plan import (
    Action,
    BuildImage,
    Command,
    DeleteTag,
    EditFile,
    KeepTag,
    MoveTag,
    Outcome,
    Permission,
    Plan,
    PushImage,
    ReuseImage,
    Rule,
)
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.report import runner, tags
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.results import RunReport
from feastflow_registry.report.runner import RunnerLog
from feastflow_registry.report.terminal import TerminalLog
from feastflow_registry.tags.catalog import compile_catalog
from unit.report.test_runner import obeyed, words
from unit.tags.test_catalog import START, own

PLAIN = "word"
PIECES = (
    *("::error::", "::add-mask::a", "::stop-commands::w0", "::w0::", "##[error]", "%0A", "%0D"),
    *("\n", "\r", "\r\n", "\x85", "\u2028", "\x00", "\x1b[2J", "\x1b]8;;", "\u202e", "\ud800"),
    *("|", "```", "~~~", "`", "</code>", "<script>", "<br>", "<!--", "<details>", "\\", "\t"),
    *("[a](https://evil.example)", "![a](x)", "https://evil.example", "www.evil.example"),
    *("@octocat", "$x$", "**", "__", "\n# a", "\n- a", "\n> a", "end-w0", "end-w0\nx<<y", " "),
)
SOME = st.sampled_from(PIECES) | st.text(min_size=1, max_size=5)
TEXTS = st.lists(SOME, min_size=1, max_size=6).map("".join)
NEW, OLD = image(B), image(A)
OWN, LATEST = Tag(f"commit-{B.short}"), Tag("latest")
PUBLISHED = Reference(SHOP.repository, OWN)


def told(command: Command, text: str, *, dry_run: bool = False) -> RunReport:
    """The end of a run that met a text everywhere: of what it was to do, and of what it did."""
    move, keep = MoveTag(SHOP, LATEST, Rule.FORWARD, None), KeepTag(SHOP, LATEST, OLD.digest, text)
    outcome = Outcome(SHOP, Action.MOVED, Reference(SHOP.repository, LATEST), NEW.digest)
    kept = replace(outcome, action=Action.KEPT, digest=OLD.digest, note=text)
    edit = EditFile(SHOP, OWN, NEW.digest, text, 7, f"Deployment/{text}", text, text, text)
    reuse = ReuseImage(SHOP, PUBLISHED, NEW)
    service = replace(SHOP, context=text)
    steps, outcomes = {
        Command.PUBLISH: (
            (BuildImage(service, (PUBLISHED,), (), why=text), PushImage(service, OWN), keep),
            (replace(outcome, action=Action.PUSHED, reference=PUBLISHED, note=text), kept),
        ),
        Command.PROMOTE: ((reuse, move), (outcome, replace(outcome, note=text))),
        Command.ROLLBACK: ((reuse, move, edit), (outcome, replace(outcome, note=text))),
        Command.DEPLOY: ((reuse, edit), (replace(outcome, action=Action.EDITED, note=text),)),
        Command.PRUNE: (
            (DeleteTag(SHOP, Tag("old"), OLD.digest, text), keep),
            (
                replace(
                    outcome, action=Action.DELETED, reference=Reference(SHOP.repository, Tag("old"))
                ),
                kept,
            ),
        ),
    }[command]
    journal = Journal(FakeLog(), RunState())
    journal.begin(
        Plan(
            command,
            B,
            Permission(True, not dry_run, f"push on {text}", fix=text),
            steps,
            advice=(text,),
            kubectl=(text,),
            left_out=(text,),
            names={OLD.digest: text},
            run_url="https://github.com/feastflow/shop/actions/runs/1",
        )
    )
    for each in outcomes:
        journal.note(each)
    failure = Failure(Kind.REFUSED, f"the registry says {text}.", f"Ask {text}.")
    report, left = journal.report(dry_run=dry_run), journal.failed(failure)
    assert isinstance(journal.log, FakeLog)
    lines = [line for _, line in journal.log.lines]
    return replace(
        report,
        lines=[*lines, *report.lines, *left.lines],
        markdown=report.markdown + left.markdown,
    )


def listed(text: str) -> RunReport:
    """The table of tags of a repository whose commits have a text for a subject."""
    known = {
        each.short: Revision(each, place, START, START + timedelta(place), text)
        for place, each in enumerate((A, B))
    }
    there = [ListedTag(Tag(own(each)), digest_of(each.sha), 9, START) for each in (A, B)]
    catalogs = [compile_catalog(SHOP, there, known)]
    return RunReport(tags.lines(catalogs), tags.markdown(catalogs), {}, tags.json(catalogs))


def failed(text: str) -> RunReport:
    """A failure before there is a plan, as its summary and its lines."""
    failure = Failure(Kind.REFUSED, f"the registry says {text}.", f"Ask {text}.")
    report = Journal(FakeLog(), RunState()).failed(failure)
    return replace(report, lines=[str(failure.problems[0])])


TOLD = (Command.PUBLISH, Command.PROMOTE, Command.ROLLBACK, Command.DEPLOY, Command.PRUNE)
REPORTS: dict[str, Callable[[str], RunReport]] = {
    **{each.value: partial(told, each) for each in TOLD},
    **{f"{each.value} dry": partial(told, each, dry_run=True) for each in TOLD},
    "tags": listed,
    "failure": failed,
}


def structure(summary: str) -> list[str]:
    """What GitHub would do something about, line by line: marks, links, tables, HTML.

    Between fences, only a fence is obeyed.
    https://spec.commonmark.org/0.31.2/#fenced-code-blocks
    """
    found, inside = [], False
    for line in summary.split("\n"):
        is_fence = line.lstrip().startswith("```")
        marks = re.findall(
            r"^[#>*+-]|https?://|www\.(?=\w)|[|`*_~$@\\\[\]<>]", re.sub(r"&#?\w+;", "", line)
        )
        found.append("" if inside and not is_fence else " ".join(marks))
        inside ^= is_fence
    return found


@example(text="".join(PIECES))
def no_text_changes_what_a_report_is(name: str, text: str) -> None:
    plain, hostile = REPORTS[name](PLAIN), REPORTS[name](text)
    shown = runner.summary(hostile.markdown).decode()
    assert structure(shown) == structure(plain.markdown)
    assert len(hostile.lines) == len(plain.lines)
    log, terminal = io.StringIO(), io.StringIO()
    for line in hostile.lines:
        RunnerLog(log, words(), str).say(line)
        TerminalLog(terminal, str).say(line)
    assert obeyed(log.getvalue()) == []
    for printed in (log.getvalue(), terminal.getvalue()):
        assert len(printed.splitlines()) == len(plain.lines)
        assert all(each.isprintable() or each == "\n" for each in printed)
    assert read(hostile) == {name: _sent(value) for name, value in hostile.outputs.items()}
    if hostile.json:
        json.loads(hostile.json)


EACH, ANY = pytest.mark.parametrize("name", REPORTS), given(text=TEXTS)
test_no_text = EACH(settings(max_examples=25)(ANY(no_text_changes_what_a_report_is)))
test_no_text_of_a_thousand = soak(
    EACH(settings(max_examples=1000)(ANY(no_text_changes_what_a_report_is)))
)


def _sent(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def read(report: RunReport) -> dict[str, str]:
    """The outputs as the runner reads them from its file.

    https://github.com/actions/runner/blob/main/src/Runner.Worker/FileCommandManager.cs
    """
    lines = runner.outputs(report.outputs, words("unguessable")).decode().split("\n")
    found: dict[str, str] = {}
    while lines and lines[0]:
        name, _, delimiter = lines.pop(0).partition("<<")
        end = lines.index(delimiter)
        found[name] = "\n".join(lines[:end])
        del lines[: end + 1]
    return found
