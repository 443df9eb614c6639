"""What the pages say, held to what the project does: tables, links, the step to copy."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
from typing import Any

import pytest
import yaml
from support.act import ROOT

from feastflow_registry.config import file
from feastflow_registry.config.schema import ServiceModel
from feastflow_registry.config.settings import parse
from feastflow_registry.model.errors import Kind

DOCS = sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", *DOCS)
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/reference.md").read_text()
MONOREPOS = (ROOT / "docs/monorepos.md").read_text()
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
CALLER: dict[str, Any] = yaml.safe_load((ROOT / "workflows/registry-ci.yml").read_text())
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")


def _snippets(text: str, kind: str) -> list[str]:
    """What stands between the fences of one kind."""
    return [body for each, body in FENCE.findall(text) if each == kind]


def _table(text: str) -> list[list[str]]:
    """The rows of the first table, without its head; cells are separated by bars."""
    lines = re.findall(r"(?m)^\|.*\|$", text)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _marked(name: str) -> str:
    found = re.search(rf"(?s)<!-- {name}\b[^\n]*-->\n(.*?)<!-- /{name} -->", REFERENCE)
    assert found, f"docs/reference.md has no place for the {name}"
    return found[1]


def _section(page: str, title: str) -> str:
    found = re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text())
    assert found, f"{page} has no section {title}"
    return found[1]


def test_the_inputs_are_those_of_the_action() -> None:
    rows = _table(_marked("inputs"))
    assert [name for name, _, _ in rows] == [f"`{name}`" for name in ACTION["inputs"]]
    for (name, default, said), each in zip(rows, ACTION["inputs"].values(), strict=True):
        whole = f"{said} Default: {default.strip('`')}." if default else said
        expected = each["description"]
        assert whole in (expected, f"{expected} Default: {each['default']}."), name


def test_the_outputs_are_those_of_the_action() -> None:
    expected = [[f"`{name}`", each["description"]] for name, each in ACTION["outputs"].items()]
    assert _table(_marked("outputs")) == expected, "dev/readme brings it in line"


def test_the_script_that_writes_them_finds_nothing_to_do() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "dev" / "readme"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_exit_codes_are_those_of_the_program() -> None:
    rows = _table(_section("docs/reference.md", "Exit codes"))
    assert [int(code) for code, _ in rows] == [0, 1, *sorted(Kind)]
    assert all(meaning for _, meaning in rows)


def test_the_step_to_copy_is_the_one_of_the_workflow() -> None:
    steps: list[dict[str, Any]] = yaml.safe_load(_snippets(README, "yaml")[0])
    [job] = CALLER["jobs"].values()
    checkout, ours = job["steps"]
    assert steps[-1]["uses"] == ours["uses"]
    assert steps[-1]["with"] == ours["with"]
    assert set(ours["with"]) <= set(ACTION["inputs"])
    assert steps[0]["uses"].partition("@")[0] == checkout["uses"].partition("@")[0]


def _given(node: Any) -> list[dict[str, Any]]:
    """The inputs that a workflow gives to this action, or a page beside its text."""
    if isinstance(node, list):
        return [each for one in node for each in _given(one)]
    if not isinstance(node, dict):
        return []
    if str(node.get("uses", "")).startswith("feastflow/registry-action"):
        return [node["with"]]
    return [each for one in node.values() for each in _given(one)]


@pytest.mark.parametrize("page", DOCS)
def test_what_a_page_gives_is_taken(page: str) -> None:
    text = (ROOT / page).read_text()
    for body in _snippets(text, "yaml"):
        node = yaml.safe_load(body)
        is_flat = set(node) <= set(ACTION["inputs"]) and not any(
            isinstance(each, dict) for each in node.values()
        )
        given = [node] if is_flat else _given(node)
        for each in given:
            assert ("token" in each) == ("username" in each), body
            settings = parse(
                {name: str(value) for name, value in each.items() if "${{" not in str(value)}
            )
            assert settings, body


def test_the_file_to_copy_is_one() -> None:
    [text] = _snippets(MONOREPOS, "yaml")
    found = file.read("feastflow.yml", text.encode())
    assert list(found.services) == ["frontend", "pricing"]
    assert found.policy["reuse"].value == "unchanged"


def test_the_words_of_a_service_are_all_named() -> None:
    words = [field.alias or name for name, field in ServiceModel.model_fields.items()]
    assert [each for each in words if f"`{each}`" not in MONOREPOS] == []


def test_the_step_to_copy_checks_out_as_the_workflow_does() -> None:
    shipped = (ROOT / "workflows/registry-ci.yml").read_text()
    pinned = re.search(r"actions/checkout@[0-9a-f]{40} # (v\d+)\.", shipped)
    named = re.search(r"actions/checkout@(v\d+)", README)
    assert pinned
    assert named
    assert named[1] == pinned[1]


def _links(page: str) -> list[str]:
    text = FENCE.sub("", (ROOT / page).read_text())
    found = [urllib.parse.urlsplit(each) for each in LINK.findall(text)]
    return [each.path for each in found if not each.scheme and each.path]


@pytest.mark.parametrize("page", PAGES)
def test_a_link_between_pages_leads_somewhere(page: str) -> None:
    missing = [each for each in _links(page) if not (ROOT / page).parent.joinpath(each).exists()]
    assert missing == []


def test_the_links_are_found_at_all() -> None:
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= set(_links("README.md"))


@pytest.mark.parametrize("name", re.findall(r"`make (\w+)`|^make (\w+)", README, re.MULTILINE))
def test_the_recipes_exist(name: tuple[str, str]) -> None:
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text())
    assert "".join(name) in targets


def test_the_reading_order_names_files_that_exist() -> None:
    named = re.findall(
        r"`(?:feastflow_registry/)?([\w/]+\.py)`", _section("CONTRIBUTING.md", "Reading the code")
    )
    assert len(named) > 5
    for name in named:
        assert (ROOT / "feastflow_registry" / name).is_file(), name


def test_the_tree_names_every_module() -> None:
    tree = (ROOT / "ARCHITECTURE.md").read_text().partition("## The tree")[2].partition("\n## ")[0]
    for path in (ROOT / "feastflow_registry").glob("*/[a-z]*.py"):
        row = next(
            line for line in tree.splitlines() if line.startswith(f"| `{path.parent.name}/`")
        )
        assert f"`{path.stem}`" in row or path.parent.name in ("commands", "report"), path


def test_the_changelog_says_what_is_not_released_yet() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"(?m)^## \[Unreleased\]\n\n### \w+\n- \S", text)


def test_every_cell_of_the_threat_model_has_a_test() -> None:
    """A path in the last column; one without a folder is in that of the path before it."""
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if "`" in line]
    named = [cell for row in rows if row.startswith("|") for cell in [row.split("|")[-2]]]
    paths = [each for cell in named for each in re.findall(r"`([\w/.:]+)`", cell)]
    assert len(paths) > 20
    folder = ""
    for path in paths:
        file, _, test = path.partition("::")
        folder = file.rpartition("/")[0] or folder
        place = ROOT / "tests" / folder / file.rpartition("/")[2]
        assert place.exists(), path
        assert not test or f"def {test}(" in place.read_text(), path
