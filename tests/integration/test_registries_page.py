"""`docs/registries.md` says what the tests try, and what the program says."""

from __future__ import annotations

import re
from pathlib import Path

from support.habit_table import TABLE, render
from support.scenes import COLUMNS

from feastflow_registry.model.registries import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs/registries.md"
REGISTRIES: tuple[str, ...] = (
    "Docker Hub",
    "GHCR",
    "ECR",
    "ACR",
    "Google",
    "GitLab",
    "Quay",
    "Harbor",
    "Gitea",
)
REGISTRIES += ("Forgejo", "zot", "Artifactory", "Nexus", "distribution")


def test_the_table_is_that_of_the_tests() -> None:
    assert PAGE.read_text().endswith(render()), f"docs/registries.md has to end with:\n{render()}"


def test_no_cell_of_the_table_is_empty() -> None:
    for line in render().splitlines()[2:]:
        cells = [each.strip() for each in line.strip("|").split("|")]
        assert len(cells) == 2 + len(COLUMNS)
        assert all(cells)


def test_whoever_has_a_habit_has_a_line_of_its_own() -> None:
    """Or is no registry, but what stands before one."""
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    named = [line[0] for line in lines if len(line) == 5]
    for name in REGISTRIES:
        assert any(name in each for each in named), name
    others = ("gateway", "load balancer", "nginx", "all, while", "some token servers")
    for row in TABLE.values():
        known = [each for each in (*REGISTRIES, *others) if each in row.who]
        assert known, row.who


def test_what_deletes_elsewhere_is_told_as_the_program_tells_it() -> None:
    text = re.sub(r"\s+", " ", PAGE.read_text())
    for kind in KINDS:
        assert kind.instead in text
