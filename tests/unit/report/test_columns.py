"""What fits a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.report.columns import aligned, fit, wrap

WORDS = st.lists(st.text("abc-/:.", min_size=1, max_size=90), min_size=1).map(" ".join)


@given(WORDS, st.integers(0, 130))
def test_no_word_is_broken_and_none_is_lost(line: str, width: int) -> None:
    parts = wrap(line, width)
    assert " ".join(" ".join(parts).split()) == line
    for part in parts:
        assert not width or len(part) < max(width, 41) or len(part.split()) == 1


@pytest.mark.parametrize("width", [50, 80])
def test_a_command_is_copied_whole(width: int) -> None:
    command = "`git push origin main --force-with-lease`"
    parts = wrap(f"{'word ' * 12}{command} and {'word ' * 12}", width)
    assert any(command in part for part in parts)
    assert not any("\0" in part for part in parts)


@pytest.mark.parametrize("length", range(60, 80))
def test_a_number_stays_with_its_unit(length: int) -> None:
    parts = wrap(f"{'x' * length}  1.0 kB  12.5 s and more words", 80)
    assert all(any(each in part for part in parts) for each in ("1.0 kB", "12.5 s"))


def test_an_indented_line_stays_whole_unless_it_is_ours() -> None:
    line = f"  {'word ' * 30}"
    assert wrap(line, 60) == [line]
    assert len(wrap(line, 60, anyway=True)) > 1
    assert wrap("word " * 30, 60, indent="> ")[1].startswith("> word")


def test_columns_go_by_their_worth() -> None:
    rows = [{"A": "a" * 10, "B": "b" * 10, "C": "c" * 10, "D": ""}]
    of = {"worth": ("C", "A", "B", "D"), "whole": 1, "least": {"B": 5}}
    found = {
        width: fit(rows, width, **of)  # type: ignore[arg-type]
        for width in (0, 60, 31, 30, 23, 9)
    }
    whole = {"C": 10, "A": 10, "B": 10}
    assert found[0] == found[60] == whole
    assert found[31] == {"C": 10, "A": 10, "B": 6}
    assert found[30] == {"C": 10, "A": 10, "B": 5}
    assert found[23] == {"C": 10, "A": 10}
    assert found[9] == {"C": 10}


def test_a_row_is_cut_to_its_columns() -> None:
    row = {"A": "left", "B": "7", "C": "a subject that is long"}
    assert aligned(row, {"A": 6, "B": 3, "C": 9}, "B") == "left      7  a subjec…"
    assert aligned(row, {"A": 4}, "B") == "left"
