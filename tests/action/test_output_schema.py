"""output.schema.json and what `--json` prints cannot disagree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.memory import FakeLog
from support.screens import SCREENS

from feastflow_registry.model.errors import Kind, Problem
from feastflow_registry.model.plan import Action, Command
from feastflow_registry.model.run_state import RunState
from feastflow_registry.report import text
from feastflow_registry.report.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "output.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text())
CHECK = Path(sys.executable).parent / "check-jsonschema"


def documents() -> dict[str, Any]:
    """What every command prints, ended well or not."""
    stopped = Journal(FakeLog(), RunState(), "rollback").broken_off([Problem("a.", "b.")], 130)
    found = {name: dict(make(0).document) for name, make in SCREENS.items()}
    return {**found, "cancelled": json.loads(stopped.json)}


def keys(node: Any, path: str = "") -> Iterator[str]:
    """Every key of a document, by its place; the names of services and digests are none."""
    if isinstance(node, list):
        for each in node:
            yield from keys(each, path)
    if isinstance(node, dict):
        free = path.endswith("/images")
        for key, each in node.items():
            place = path if free else f"{path}/{key}"
            yield place
            yield from keys(each, f"{place}/*" if free else place)


def declared(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every key that a part of the schema declares, by its place."""
    node = SCHEMA["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    for key, each in node.get("properties", {}).items():
        yield f"{path}/{key}"
        yield from declared(each, f"{path}/{key}")
    for below, mark in (("items", ""), ("additionalProperties", "/*")):
        if isinstance(node.get(below), dict):
            yield from declared(node[below], path + mark)


def kind_of(document: Mapping[str, Any]) -> str:
    if "exit_code" in document:
        return "failure"
    return document["command"] if document["command"] in ("tags", "doctor", "init") else "plan"


def test_every_command_prints_what_the_schema_says(tmp_path: Path) -> None:
    found = documents()
    assert {each["command"] for each in found.values()} >= {
        *("publish", "promote", "rollback", "deploy", "prune", "tags", "doctor")
    }
    for name, document in found.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "init.json").write_text('{"command": "init", "file": "feastflow.yml"}')
    argv: list[str | Path] = [CHECK, "--schemafile", FILE, *tmp_path.iterdir()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_is_a_schema() -> None:
    argv: list[str | Path] = [CHECK, "--check-metaschema", FILE]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert SCHEMA["$id"].endswith(f"/main/{FILE.name}")


@pytest.mark.parametrize("name", SCREENS)
def test_no_key_is_printed_that_the_schema_does_not_know(name: str) -> None:
    document = SCREENS[name](0).document
    known = set(declared(SCHEMA["definitions"][kind_of(document)]))
    assert set(keys(document)) <= known


def test_the_words_are_those_of_the_program() -> None:
    of = {
        name: each["properties"]
        for name, each in SCHEMA["definitions"].items()
        if "properties" in each
    }
    assert {*of["outcome"]["action"]["enum"]} == {*Action}
    assert {*of["step"]["step"]["enum"]} == {*text.STEPS.values()}
    assert of["failure"]["exit_code"]["enum"] == [1, *Kind, 130, 143]
    named = {*of["plan"]["command"]["enum"], *("tags", "doctor", "init")}
    assert named == {*Command}
