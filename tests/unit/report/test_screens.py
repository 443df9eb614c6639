"""What every command shows on a terminal is what was looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.screens import SCREENS, WIDTHS, helps, screens

KEPT = Path(__file__).parent / "screens"
HELPS = dict(helps())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_what_was_looked_at(name: str, width: int) -> None:
    """After a change, `dev/screens` writes them anew; then look at them."""
    kept = (KEPT / f"{name}-{width}.txt").read_text(encoding="utf-8")
    assert SCREENS[name](width).text == kept


@pytest.mark.parametrize("name", HELPS)
def test_a_help_is_what_was_looked_at(name: str) -> None:
    assert HELPS[name] == (KEPT / f"{name}.txt").read_text(encoding="utf-8")


def test_no_screen_is_left_over() -> None:
    assert {each.stem for each in KEPT.iterdir()} == set(screens())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_nothing_is_wider_than_the_terminal_but_what_is_copied_whole(name: str, width: int) -> None:
    for line in SCREENS[name](width).text.splitlines():
        is_copied = line.startswith("  ") or len(line.split()) == 1
        assert len(line) < width or is_copied, line


@pytest.mark.parametrize("name", HELPS)
def test_a_help_fits_and_has_an_example(name: str) -> None:
    lines = HELPS[name].splitlines()
    assert max(map(len, lines)) <= 80
    assert name == "help" or lines[4:5] == ["example:"]
