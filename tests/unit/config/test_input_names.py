"""A message names an input as whoever reads it has given it, or would."""

from __future__ import annotations

import html
import json

import pytest

from feastflow_registry.config.input_names import InputNames
from feastflow_registry.config.settings import INPUTS, option

BY_HAND = InputNames(in_runner=False)
IN_A_WORKFLOW = InputNames(in_runner=True)
TEXT = 'Name it in the input "to", or run once with input "latest: force".'


def test_by_hand_it_is_an_option() -> None:
    assert BY_HAND.spell(TEXT) == "Name it in --to, or run once with `--latest force`."
    assert BY_HAND.spell('input "from": it moves.') == "--from: it moves."


def test_in_a_workflow_it_is_an_input() -> None:
    text = 'Name it in the input "to", or run once with `latest: force`.'
    assert IN_A_WORKFLOW.spell(TEXT) == text


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("username", "DOCKERHUB_USERNAME"),
        ("token", "DOCKERHUB_TOKEN"),
        ("github-token", "FEASTFLOW_GITHUB_TOKEN"),
        ("also-credentials", "FEASTFLOW_ALSO_CREDENTIALS"),
        ("cache-token", "FEASTFLOW_CACHE_TOKEN"),
        ("command", "the command"),
        ("keep-days", "--keep-days"),
    ],
)
def test_by_hand_what_is_no_option_is_a_variable(name: str, spelled: str) -> None:
    assert BY_HAND.spell(f'Set the input "{name}".') == f"Set {spelled}."


@pytest.mark.parametrize("in_runner", [False, True])
def test_what_a_file_has_given_is_its_key(in_runner: bool) -> None:
    names = InputNames(in_runner)
    names.learn("feastflow.yml", ["latest", "keep_days"])
    text = 'Leave the input "latest" out; input "keep-days": it is no number.'
    assert names.spell(text) == (
        "Leave `latest:` in feastflow.yml out; `keep-days:` in feastflow.yml: it is no number."
    )
    once = "`latest: force`" if in_runner else "`--latest force`"
    assert names.spell('Run once with input "latest: force".') == f"Run once with {once}."


def test_json_stays_json() -> None:
    spelled = json.loads(BY_HAND.spell(json.dumps({"fix": TEXT})))["fix"]
    assert spelled == BY_HAND.spell(TEXT)
    assert json.loads(IN_A_WORKFLOW.spell(json.dumps([TEXT]))) == [IN_A_WORKFLOW.spell(TEXT)]


def test_markdown_shows_names_as_code() -> None:
    assert IN_A_WORKFLOW.spell(html.escape(TEXT)) == (
        "Name it in the input <code>to</code>, or run once with <code>latest: force</code>."
    )
    names = InputNames(in_runner=True)
    names.learn("feastflow.yml", ["to"])
    assert "in <code>to:</code> in feastflow.yml, or" in names.spell(html.escape(TEXT))


@pytest.mark.parametrize(
    "text",
    ['the input "nothing" is', 'input "to', "input to", 'the inputs "to" and', 'input "to&quot;'],
)
def test_what_names_no_input_stays(text: str) -> None:
    assert BY_HAND.spell(text) == text


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_has_another_name_by_hand(name: str) -> None:
    assert option(name) not in ("", BY_HAND.spell(f'input "{option(name)}"'))
