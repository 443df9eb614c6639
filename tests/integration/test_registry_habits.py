"""Each habit of a registry, with each command: all end as they do where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.scenes import COMMANDS, Scene
from support.servers.habits import (
    Habit,
    Late,
    ListingMore,
    NoCancelling,
    PagesElsewhere,
    Redirecting,
    TwoChallenges,
)
from support.soak import one_in

HABITS: Mapping[str, Callable[[Scene], Habit]] = {
    "late by 10 s": lambda scene: Late(10, scene.place.tags, lambda: scene.machine.waited),
    "uploads are not cancelled": lambda _: NoCancelling(),
    "pages elsewhere": lambda scene: PagesElsewhere(scene.place.tags),
    "manifests are redirected": lambda _: Redirecting(),
    "several challenges": lambda _: TwoChallenges(),
    "lists more than tags": lambda scene: ListingMore(scene.place.tags),
}
PAGE = Path(__file__).resolve().parents[2] / "docs/registries.md"
TABLE = [(command, habit) for habit in HABITS for command in COMMANDS]


def test_the_page_names_what_is_tried() -> None:
    _, _, table = PAGE.read_text().partition("| habit | who has it |\n|---|---|\n")
    assert [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()] == list(HABITS)


@pytest.mark.parametrize(("command", "habit"), one_in(2, TABLE))
def test_a_habit_changes_no_end(scenes: Callable[[str], Scene], command: str, habit: str) -> None:
    scene = scenes(command)
    scene.reset()
    whole = scene.state(scene.run().ended())
    scene.reset()
    scene.place.proxy.habits = [HABITS[habit](scene)]
    ran = scene.run().ended()
    assert scene.state(ran) == whole
    assert ran.slept < 60 or "late" in habit
