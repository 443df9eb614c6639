"""The form of every job summary: what is shown, in which order, cut to what room there is."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import A
from support.summaries import SUMMARIES

from feastflow_registry.model.references import RegistryHost, Repository, Tag
from feastflow_registry.report import summary
from feastflow_registry.report.summary import EMPTY, Block, Summary, Table, cell, code, join, link

HOSTILE = "a|b`c`<img src=x onerror=1>[x](https://evil)\n| forged | row |\n# heading\x1b[31m~@*_\\"
KEPT = Path(__file__).parent / "summaries"


def rows(text: str) -> list[list[str]]:
    """The cells of the first table's rows, without its head."""
    inside = text.partition("\n| ")[2].partition("\n\n")[0] if "\n| " in text else ""
    lines = [line for line in f"| {inside}".splitlines() if inside]
    assert all(line.startswith("|") and line.endswith("|") for line in lines)
    return [[each.strip() for each in line[1:-1].split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", SUMMARIES)
def test_is_what_was_looked_at(name: str) -> None:
    """After a change, `dev/summaries` writes them anew; then look at them (`--pictures`)."""
    assert SUMMARIES[name]() == (KEPT / f"{name}.md").read_text(encoding="utf-8")


def test_no_summary_is_left_over() -> None:
    assert {each.stem for each in KEPT.iterdir()} == set(SUMMARIES)


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_summary_has_one_order_and_no_empty_cell(name: str) -> None:
    text = SUMMARIES[name]()
    assert re.match(r"### (✅|⚠️|❌) ", text)
    assert not re.search(r"(?m)^\|.*\| +\|", text)
    places = [text.find(each) for each in ("\n| ", "**What to do next**", "<details>")]
    known = [each for each in places if each >= 0]
    assert known == sorted(known)
    assert text.count("<details>") == text.count("</details>")


class TestCell:
    @given(st.text())
    def test_nothing_can_be_forged_and_nothing_is_lost(self, text: str) -> None:
        safe = cell(text)
        assert not set(safe) & set("|`<>*_[]\\~@$\n\r\"'")
        assert "://" not in safe
        assert re.sub(r"&(#x?[0-9a-fA-F]+|[a-z]+);", "", safe).count("&") == 0
        flat = "".join(each if each.isprintable() else " " for each in text)
        assert html.unescape(safe) == flat

    @pytest.mark.parametrize("mark", "|`*_[]\\~@$<>&")
    def test_each_mark_is_written_as_an_entity(self, mark: str) -> None:
        assert re.fullmatch(r"&(#\d+|lt|gt|amp);", cell(mark))

    def test_what_is_markdown_already_stays(self) -> None:
        assert cell(code("a_b")) == "<code>a&#95;b</code>"
        assert join("a|", code("b"), by=" ") == "a&#124; <code>b</code>"

    def test_a_text_made_of_markdown_is_none(self) -> None:
        assert cell(f"{code('b')}") == "&lt;code&gt;b&lt;/code&gt;"


class TestLinks:
    def test_only_where_a_page_is_known(self) -> None:
        assert link("a|", "https://b.example") == "[a&#124;](https://b.example)"
        assert link("a|", None) == link("a|", "") == "a&#124;"

    def test_of_a_commit_lead_to_the_github_where_this_runs(self) -> None:
        found = summary.commit_link(A, "https://git.example/a/b/actions/runs/7")
        assert found == f"[<code>{A.short}</code>](https://git.example/a/b/commit/{A.sha})"
        assert summary.commit_link(A, "") == f"<code>{A.short}</code>"

    @pytest.mark.parametrize(
        ("host", "page"),
        [
            ("docker.io", "https://hub.docker.com/r/ada/shop/tags?name=v1"),
            ("quay.io", "https://quay.io/repository/ada/shop?tab=tags"),
            ("localhost:5000", ""),
            ("registry.gitlab.com", ""),
        ],
    )
    def test_of_a_tag_lead_to_its_registry(self, host: str, page: str) -> None:
        repository = Repository.parse(RegistryHost.parse(host), "ada/shop")
        expected = f"[<code>v1</code>]({page})" if page else "<code>v1</code>"
        assert summary.tag_link(repository, Tag("v1")) == expected


class TestTable:
    def test_an_empty_column_is_left_out_and_an_empty_cell_is_marked(self) -> None:
        table = Table(("a", "b", "c"), [("1", "", "x"), ("2", "", "")], frozenset({"a"}))
        assert table.lines(1000) == [
            "| a | c |",
            "| --: | --- |",
            "| 1 | x |",
            f"| 2 | {EMPTY} |",
        ]

    @pytest.mark.parametrize("rows", [[], [("", "")]])
    def test_without_anything_in_it_is_none(self, rows: list[tuple[str, str]]) -> None:
        assert Table(("a", "b"), rows).lines(1000) == []

    def test_is_cut_where_there_is_no_more_room(self) -> None:
        table = Table(("a", "b"), [(str(number), "x") for number in range(9)])
        row = len("| 0 | x |\n")
        assert table.lines(2 * row)[2:] == [
            "| 0 | x |",
            "| 1 | x |",
            f"| and 7 more, in the log | {EMPTY} |",
        ]
        assert table.lines(3 * row - 1) == table.lines(2 * row)
        assert len(table.lines(9 * row)) == 11

    def test_a_hostile_cell_stays_one(self) -> None:
        *_, row = Table(("a", "b"), [(HOSTILE, HOSTILE)]).lines(10_000)
        assert row.count("|") == 3


def test_a_block_cannot_be_closed_from_inside() -> None:
    lines = Block("bash", ["a ``` b\n```"]).lines(0)
    assert lines == ["```bash", "a ''' b '''", "```"]
    assert Block("bash", []).lines(0) == []


def test_a_label_holds_nothing_that_a_picture_obeys() -> None:
    assert summary.label('a"] --> b; click c "x"\nd') == '"a -- b click c xd"'


def test_a_summary_is_cut_to_what_github_shows() -> None:
    table = Table(("a",), [(f"{'|' * 100}{number}",) for number in range(9000)])
    text = Summary("x", table=table, details={"y": table}).markdown()
    assert 800_000 < len(text.encode()) < 1_000_000
    cut = [int(each) for each in re.findall(r"and (\d+) more, in the log", text)]
    assert len(cut) == 2
    assert text.count("| &#124;") + sum(cut) == 18_000
    assert text.endswith("</details>\n\n")
    noted = Summary("x", table=table, notes=("n" * 500_000,)).markdown()
    assert 800_000 < len(noted.encode()) < 1_000_000


def test_commands_alone_are_to_be_done_too() -> None:
    text = Summary("x", commands=("kubectl get pods",)).markdown()
    assert "**What to do next**\n\n```bash\nkubectl get pods\n```" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("push on main", "Push on main."),
        ("ada/shop is there.", "ada/shop is there."),
        ("docker.io says no", "docker.io says no."),
        ("", "."),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_it_is_a_name(text: str, said: str) -> None:
    assert summary.sentence(text) == said
