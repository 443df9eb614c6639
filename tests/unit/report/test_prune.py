from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from support.memory import FakeLog
from support.runs import service

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import Action, DeleteTag, Outcome, Plan
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.report import prune
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.summary import EMPTY
from unit.report.test_summary import rows
from unit.tags.test_catalog import ONE, TWO
from unit.tags.test_delete import going, plan, reference, staying

PRICING = service("pricing")
STEPS = (
    going("a", ONE),
    going("b", ONE),
    replace(going("c", TWO), reason="1 day old"),
    staying("d", TWO),
    replace(staying("latest", TWO), reason="it is a <b>"),
    staying("e", TWO),
    going("a", ONE, PRICING),
)
WHOLE = plan(*STEPS)
DONE = [
    Outcome(each.service, Action.DELETED, each.reference, each.digest)
    for each in STEPS
    if isinstance(each, DeleteTag)
]


def link(tag: str, repository: str = "shop") -> str:
    page = f"https://hub.docker.com/r/ada/{repository}/tags?name={tag}"
    return f"[<code>{tag}</code>]({page})"


class TestPlan:
    def test_tags_of_one_reason_share_a_line(self) -> None:
        assert prune.plan_lines(WHOLE) == [
            "prune: 4 of 7 tags go",
            "delete ada/shop: a, b: 400 days old",
            "delete ada/shop: c: 1 day old",
            "keep   ada/shop: d, e: it is young",
            "keep   ada/shop: latest: it is a <b>",
            "delete ada/pricing: a: 400 days old",
        ]

    def test_a_few_at_a_time(self) -> None:
        many = plan(*(going(f"t{number:02}", ONE) for number in range(13)))
        assert [line.count(",") for line in prune.plan_lines(many)] == [0, 5, 5, 0]

    def test_one_and_none(self) -> None:
        assert prune.plan_lines(plan(going("a", ONE)))[0] == "prune: 1 of 1 tag goes"
        assert prune.plan_lines(plan()) == ["prune: 0 of 0 tags go"]

    def test_what_only_some_registries_can_delete(self) -> None:
        needed = replace(going("a", ONE), needed=Tag("latest"))
        assert prune.plan_lines(plan(needed, going("b", TWO))) == [
            "prune: 2 of 2 tags go, 1 of them only where a tag can be deleted without its image",
            (
                "delete ada/shop: a: 400 days old, unless the registry also deletes the image: "
                "latest needs that image"
            ),
            "delete ada/shop: b: 400 days old",
        ]


class TestReport:
    def test_of_a_dry_run(self) -> None:
        answer = prune.report(WHOLE, [], dry_run=True)
        assert answer.lines == [
            "Would delete 4 tags, keep 3.",
            "       2 kept: it is young",
            "       1 kept: it is a <b>",
            'This was a dry run: nothing was deleted. To delete, use input "dry-run: false".',
        ]
        assert answer.outputs["reason"] == "a dry run deletes nothing"
        assert answer.outputs["pushed"] == "false"
        document = json.loads(answer.json)
        assert json.loads(answer.outputs["plan"]).items() <= document.items()
        assert (document["dry_run"], document["outcomes"]) == (True, [])
        steps = document["steps"]
        assert steps[0] == {
            "step": "delete",
            "service": "shop",
            "tag": "a",
            "reason": "400 days old",
        }
        assert len(steps) == 7
        head = "### ✅ Dry run, nothing is changed: 4 tags would go, 3 stay\n"
        assert answer.markdown.startswith(head)
        assert rows(answer.markdown)[2] == ["shop", link("c"), "1 day old"]
        assert "| 1 | it is a &lt;b&gt; |" in answer.markdown
        assert "run this with <code>dry-run: false</code>" in answer.markdown

    def test_of_what_was_done(self) -> None:
        kept = Outcome(WHOLE.services[0], Action.KEPT, reference("c"), TWO, note="it has changed")
        answer = prune.report(WHOLE, [*DONE[:2], kept, DONE[3]], dry_run=False)
        assert answer.lines == [
            "Deleted 3 tags, kept 4.",
            "       2 kept: it is young",
            "       1 kept: it has changed",
            "       1 kept: it is a <b>",
        ]
        assert answer.outputs["reason"] == "push on main"
        assert answer.markdown.startswith("### ✅ Deleted 3 tags, kept 4\n")
        assert ["pricing", link("a", "pricing"), "400 days old"] in rows(answer.markdown)
        assert "<code>c</code>" not in answer.markdown
        assert "dry-run" not in answer.markdown

    def test_the_date_that_decided_has_a_column(self) -> None:
        dated = replace(going("a", ONE), dated="pushed 2025-01-02")
        answer = prune.report(plan(dated, going("b", ONE)), [], dry_run=True)
        assert "| service | tag | why | date used |" in answer.markdown
        assert [row[3] for row in rows(answer.markdown)] == ["pushed 2025-01-02", EMPTY]

    def test_where_nothing_goes(self) -> None:
        kept = plan(staying("a", ONE))
        assert "To delete them" not in prune.report(kept, [], dry_run=True).markdown
        answer = prune.report(kept, [], dry_run=False)
        assert answer.lines[0] == "Deleted 0 tags, kept 1."
        assert [line for line in answer.markdown.splitlines() if line.startswith("|")] == [
            "| tags | why |",
            "| --: | --- |",
            "| 1 | it is young |",
        ]

    def test_of_many_reasons_the_most_frequent(self) -> None:
        steps = [replace(staying(f"t{n}", ONE), reason=f"reason {n}") for n in range(10)]
        lines = prune.report(plan(*steps), [], dry_run=False).lines
        assert lines[-1] == "       2 kept: for other reasons, above"
        assert len(lines) == 10
        shown = prune.report(plan(*steps), [], dry_run=False).markdown
        assert "| 2 | other reasons, in the log |" in shown

    def test_thousands_of_tags_fit(self) -> None:
        many: Plan = plan(*(going("x" * 120 + str(number), ONE) for number in range(6_000)))
        answer = prune.report(many, [], dry_run=True)
        assert len(answer.markdown.encode()) < 1024 * 1024
        (left,) = re.findall(r"\| and (\d+) more, in the log \|", answer.markdown)
        assert len(rows(answer.markdown)) == 6_001 - int(left)
        assert answer.outputs["plan"] == ""
        assert len(json.loads(answer.json)["steps"]) == 6_000


class TestRemains:
    def test_what_is_done_and_what_is_not(self) -> None:
        answer = prune.remains(WHOLE, DONE[:1])
        assert answer.lines == [
            "Deleted before the failure: 1 tag. Not known to be: 3 tags.",
            "What is gone stays gone; the next run goes on from there.",
        ]

    def test_as_a_summary(self) -> None:
        journal = Journal(FakeLog(), RunState())
        journal.begin(WHOLE)
        journal.note(DONE[0])
        text = journal.failed(Failure(Kind.REFUSED, "it refuses.", "Ask.")).markdown
        head = "### ❌ Prune failed: 1 tag deleted, 3 tags not known to be deleted\n"
        assert text.startswith(head)
        assert [state for _, state in rows(text)] == ["deleted", *["not known to be deleted"] * 3]
        assert "- **It refuses.** Ask.\n- What is gone stays gone" in text

    def test_when_nothing_is_done(self) -> None:
        kept = Outcome(WHOLE.services[0], Action.KEPT, reference("c"), TWO, note="it has changed")
        answer = prune.remains(WHOLE, [kept])
        assert answer.lines[0] == "Deleted before the failure: 0 tags. Not known to be: 3 tags."
        assert answer.outputs["pushed"] == "false"

    def test_when_all_is_done(self) -> None:
        assert prune.remains(WHOLE, DONE).lines == [
            "Deleted before the failure: 4 tags. Not known to be: 0 tags."
        ]

    def test_when_nothing_was_due(self) -> None:
        assert prune.remains(plan(staying("a", ONE)), []).lines == ()


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_journal_of_a_prune_speaks_so(dry_run: bool) -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(WHOLE)
    said = [text for _, text in journal.log.lines]  # type: ignore[attr-defined]
    assert said == prune.plan_lines(WHOLE)
    assert journal.report(dry_run=dry_run) == prune.report(WHOLE, [], dry_run=dry_run)
    assert journal.remains() == prune.remains(WHOLE, [])
