"""What the pages say, held to what the project does: tables, links, messages, examples."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
import urllib.parse
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.act import ROOT
from support.docker_actions import ACTIONS

from feastflow_registry.config import command_line, file
from feastflow_registry.config.schema import ServiceModel
from feastflow_registry.config.settings import parse
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.plan import Action
from feastflow_registry.report.text import STEPS as PLANNED

DOCS = sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", *DOCS)
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/reference.md").read_text()
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
CALLER: dict[Any, Any] = yaml.safe_load((ROOT / "workflows/registry-ci.yml").read_text())
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^( *)```(\w*)\n(.*?)^\1```")
COMPOSE = "docs/compose.md"
"""Its files are Compose's; tests/integration/test_services_from.py reads them."""


def _snippets(page: str, kind: str) -> list[str]:
    """What stands between the fences of one kind."""
    found = FENCE.findall((ROOT / page).read_text())
    return [textwrap.dedent(body) for _, each, body in found if each == kind]


def _table(text: str) -> list[list[str]]:
    """The rows of the first table, without its head; cells are separated by bars."""
    return _rows(text)[2:]


def _rows(text: str) -> list[list[str]]:
    """The rows of all tables, with their heads."""
    lines = re.findall(r"(?m)^\|.*\|$", text)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


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
    [job] = CALLER["jobs"].values()
    [step] = yaml.safe_load(_snippets("docs/getting-started.md", "yaml")[-1])
    shipped = job["steps"][-1]
    assert step["uses"] == shipped["uses"]
    assert step["with"] == shipped["with"]
    assert set(step["with"]) <= set(ACTION["inputs"])


def test_the_workflow_to_paste_does_what_the_shipped_one_does() -> None:
    pasted = yaml.safe_load(_snippets("README.md", "yaml")[0])
    [job], [shipped] = pasted["jobs"].values(), CALLER["jobs"].values()
    assert [each["uses"].partition("@")[0] for each in job["steps"]] == [
        each["uses"].partition("@")[0] for each in shipped["steps"]
    ]
    assert job["steps"][-1]["uses"] == shipped["steps"][-1]["uses"]
    given, needed = job["steps"][-1]["with"], shipped["steps"][-1]["with"]
    assert given.keys() - needed.keys() == {"context", "image"}
    assert {name: needed[name] for name in ("username", "token")}.items() <= given.items()
    # `on` is a truth in YAML 1.1.
    assert pasted[True].keys() <= CALLER[True].keys()


@pytest.mark.parametrize("page", ["README.md", *DOCS])
def test_a_workflow_on_a_page_is_one(page: str) -> None:
    for body in _snippets(page, "yaml"):
        if "\njobs:" in body:
            done = subprocess.run(
                [Path(sys.executable).parent / "actionlint", "-shellcheck=", "-pyflakes=", "-"],
                input=body,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout


def test_the_file_of_two_services_continues_the_workflow_to_paste() -> None:
    workflow, services = _snippets("README.md", "yaml")
    [step] = [each for each in _given(yaml.safe_load(workflow)) if each]
    first, second = file.read("feastflow.yml", services.encode()).services.values()
    assert (first.context, first.image) == (step["context"], step["image"])
    assert second.context != first.context


def _given(node: Any) -> list[dict[str, Any]]:
    """The inputs that a workflow gives to this action, or a page beside its text."""
    if isinstance(node, list):
        return [each for one in node for each in _given(one)]
    if not isinstance(node, dict):
        return []
    if str(node.get("uses", "")).startswith("feastflow/registry-action@"):
        return [node["with"]]
    return [each for one in node.values() for each in _given(one)]


@pytest.mark.parametrize("page", ["README.md", *(each for each in DOCS if each != COMPOSE)])
def test_what_a_page_gives_is_taken(page: str) -> None:
    """Inputs, a step or a workflow with them, or a `feastflow.yml`; else a thing of Kubernetes."""
    for body in _snippets(page, "yaml"):
        node = yaml.safe_load(body)
        if isinstance(node, dict) and isinstance(node.get("services"), dict):
            assert file.read("feastflow.yml", body.encode()).services
            continue
        is_flat = isinstance(node, dict) and set(node) <= set(ACTION["inputs"])
        given = [node] if is_flat else _given(node)
        assert given or "apiVersion" in node, body
        for each in given:
            assert ("token" in each) == ("username" in each), body
            settings = parse(
                {name: str(value) for name, value in each.items() if "${{" not in str(value)}
            )
            assert settings, body


def test_the_file_to_copy_is_one() -> None:
    [text] = _snippets("docs/monorepos.md", "yaml")
    found = file.read("feastflow.yml", text.encode())
    assert list(found.services) == ["frontend", "pricing"]
    assert found.policy["reuse"].value == "unchanged"


def test_the_words_of_a_service_are_all_named() -> None:
    rows = _table(_marked("service"))
    words = [field.alias or name for name, field in ServiceModel.model_fields.items()]
    assert [name for name, _, _ in rows] == [f"`{each}`" for each in words]


@pytest.mark.parametrize("page", ["README.md", *DOCS])
def test_the_program_takes_the_lines_of_a_script(page: str) -> None:
    for line in "\n".join(_snippets(page, "bash")).splitlines():
        program, *words = shlex.split(line, comments=True) or [""]
        if program == "feastflow-registry":
            read = command_line.read(words, lambda: "")
            assert read.problem is None, line
            assert parse(read.given), line


def test_the_step_to_copy_checks_out_as_the_workflow_does() -> None:
    shipped = (ROOT / "workflows/registry-ci.yml").read_text()
    pinned = re.search(r"actions/checkout@[0-9a-f]{40} # (v\d+)\.", shipped)
    named = re.search(r"actions/checkout@(v\d+)", README)
    assert pinned
    assert named
    assert named[1] == pinned[1]


def _links(page: str) -> list[tuple[str, str]]:
    """The links inside of the project: a path as it is written, and an anchor."""
    text = FENCE.sub("", (ROOT / page).read_text())
    found = [urllib.parse.urlsplit(each) for each in LINK.findall(text)]
    return [(each.path, each.fragment) for each in found if not each.scheme]


@cache
def _anchors(text: str) -> list[str]:
    """What a page's anchors are called: those that are written, and GitHub's of the headings."""
    found = re.findall(r'<a id="([^"]+)"', text)
    for heading in re.findall(r"(?m)^#+ (.+)$", FENCE.sub("", text)):
        found.append(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def _target(page: str, path: str) -> Path:
    return (ROOT / page).parent / path if path else ROOT / page


@pytest.mark.parametrize("page", PAGES)
def test_a_link_between_pages_leads_somewhere(page: str) -> None:
    missing = [path for path, _ in _links(page) if not _target(page, path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_a_link_into_a_page_finds_its_heading(page: str) -> None:
    for path, anchor in _links(page):
        if anchor:
            assert anchor in _anchors(_target(page, path).read_text()), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_an_anchor_is_there_once(page: str) -> None:
    anchors = _anchors((ROOT / page).read_text())
    if page != "CHANGELOG.md":  # Whose versions have the same headings.
        assert sorted(anchors) == sorted(set(anchors))


def test_the_links_are_found_at_all() -> None:
    paths = {path for path, _ in _links("README.md")}
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= paths


def test_the_list_of_pages_has_each_once() -> None:
    rows = _table((ROOT / "docs/README.md").read_text())
    linked = [f"docs/{LINK.findall(page)[0]}" for _, page in rows]
    assert sorted([*linked, "docs/README.md"]) == DOCS


def test_the_ratios_are_those_that_were_measured_last() -> None:
    measured: dict[tuple[str, str], str] = {}
    scenario = ""
    for line in (ROOT / "bench/README.md").read_text().splitlines():
        cells = [each.strip() for each in line.strip("|").split("|")]
        scenario = cells[0].strip("`") if cells[0].startswith("`") else scenario
        if len(cells) > 3 and cells[1].startswith("ours"):
            measured[scenario, cells[1]] = cells[3].partition(" ")[0]
    rows = _table(_section("README.md", "Why not Docker's four actions\\?"))
    for scenario, (_, kept, cold) in zip(("job-first", "job-again"), rows, strict=True):
        assert kept == measured[scenario, "ours, install kept"]
        assert cold == measured[scenario, "ours, install cold, by address"]


@cache
def _messages() -> str:
    """All text of the program, a line each, in pieces where something is filled in."""
    found = [(ROOT / "action.yml").read_text()]
    paths = [ROOT / "bootstrap.py", ROOT / "environment.py"]
    for path in [*paths, *(ROOT / "feastflow_registry").rglob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(each.value) for each in nodes if isinstance(each, ast.Expr)}
        texts = [each for each in nodes if isinstance(each, ast.Constant)]
        found += [str(each.value) for each in texts if id(each) not in docstrings]
    return "\n".join(found)


def test_each_message_to_look_up_is_one_of_the_program() -> None:
    rows = _table((ROOT / "docs/troubleshooting.md").read_text())
    assert len(rows) > 15
    for said, todo in rows:
        assert said.startswith('<a id="'), said
        assert todo
        for message in re.findall(r"`([^`]+)`", said):
            for part in message.split("…"):
                assert part.strip() in _messages(), message


def test_the_glossary_has_each_word_of_the_log() -> None:
    words = {row[0] for row in _rows((ROOT / "docs/glossary.md").read_text())}
    assert {*PLANNED.values(), *Action} <= words


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


def test_the_changelog_has_this_version_and_a_place_for_what_comes() -> None:
    first, newest, *_ = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert first == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", newest)


@pytest.mark.parametrize(("page", "least"), [("docs/security.md", 20), ("tests/cases.md", 18)])
def test_every_row_has_a_test(page: str, least: int) -> None:
    """A path in the last column; one without a folder, or a file, is in that of the one before."""
    rows = [line for line in (ROOT / page).read_text().splitlines() if "`" in line]
    named = [cell for row in rows if row.startswith("|") for cell in [row.split("|")[-2]]]
    paths = [each for cell in named for each in re.findall(r"`([\w/.:]+)`", cell)]
    assert len(paths) > least
    place = ROOT
    folder = ""
    for path in paths:
        file, _, test = path.partition("::")
        folder = file.rpartition("/")[0] or folder
        place = ROOT / "tests" / folder / file.rpartition("/")[2] if file else place
        assert place.exists(), path
        assert not test or f"def {test}(" in place.read_text(), path


COMING_FROM = (ROOT / "docs/from-docker-actions.md").read_text()


def test_the_actions_that_this_one_stands_in_for_are_all_there() -> None:
    assert re.findall(r"(?m)^## (.*)$", COMING_FROM) == list(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_each_input_and_output_of_theirs_has_its_place(action: str) -> None:
    section = COMING_FROM.partition(f"## {action}\n")[2].partition("\n## ")[0]
    inputs, _, outputs = section.partition("\n| output |")
    ours = {*ACTION["inputs"], *ACTION["outputs"], "command"}
    for names, text in zip(ACTIONS[action], (inputs, f"| output |{outputs}"), strict=True):
        rows = _table(text)
        assert tuple(name.strip("`") for name, _ in rows) == names
        for name, here in rows:
            keys = re.findall(r"(?<!Bake )file: `([\w-]+)`", here)
            words = re.match(r"`([\w-]+)", here)
            assert here.startswith(("none: ", "the commit tag", "as ", "file: ")) or words, name
            assert not words or words[1] in ours, name
            assert set(keys) <= ServiceModel.model_fields.keys(), name


def test_the_pictures_show_what_is_true() -> None:
    """They are drawn from a summary and from examples that other tests hold."""
    argv = [sys.executable, str(ROOT / "dev/pictures"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = set(re.findall(r"docs/pictures/([\w-]+\.png)", README))
    assert shown == {each.name for each in (ROOT / "docs/pictures").glob("*.png")}
