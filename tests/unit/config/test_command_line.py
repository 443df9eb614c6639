"""The command line: what it says, and what is refused before anything else is looked at."""

from __future__ import annotations

import pytest

from feastflow_registry.config.command_line import read
from feastflow_registry.config.settings import parse
from feastflow_registry.model.plan import Command


def test_every_option_is_an_input() -> None:
    found = read(["promote", "--to", "a1b2c3d", "--tag", "production", "--dry-run"], str)
    assert found.given == {
        "command": "promote",
        "to": "a1b2c3d",
        "tag": "production",
        "dry_run": "true",
    }
    assert (found.json, found.problem) == (False, None)
    assert read(["publish", "ada", "--json"], str).given == {
        "command": "publish",
        "username": "ada",
    }
    assert read(["tags", "--json"], str).json


def test_the_version_is_looked_up_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert read([], pytest.fail).given == {}
    with pytest.raises(SystemExit) as ended:
        read(["--version"], lambda: "1.2.3")
    assert (ended.value.code, capsys.readouterr().out) == (0, "1.2.3\n")


def test_an_option_that_is_given_twice_has_both_values() -> None:
    given = read(["promote", "--tag", "a", "--tag", "b,c"], str).given
    assert [str(each) for each in parse(given).tag] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "cause", "fix"),
    [
        (["promote", "--to", ""], "--to is given without a value", "may have been empty"),
        (["publish", "--build-args", " "], "--build-args is given without", "Leave it out"),
        (["rollback", "web"], "rollback takes no other word", "--services"),
        (["tags", "ada"], "tags takes no other word", "DOCKERHUB_USERNAME"),
        (["publish", "ada", "dckr_pat_x"], "has a word too many", "a command and a user"),
        (["publish", "--tgas=x"], '"--tgas" is not an option', 'meant "--tag"'),
        (["publish", "--username=x"], '"--username" is not an option', "`publish USER`"),
        (["publish", "--token=dckr_pat_x"], '"--token" is not an option', "never an option"),
    ],
)
def test_what_is_refused(words: list[str], cause: str, fix: str) -> None:
    problem = read(words, str).problem
    assert problem
    assert cause in problem.cause
    assert fix in problem.fix
    assert "dckr_pat" not in str(problem)


@pytest.mark.parametrize("command", Command)
def test_help_says_what_each_command_is_for(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(["--help"], str)
    lines = capsys.readouterr().out.splitlines()
    [line] = [each for each in lines if each.split()[:1] == [command.value]]
    assert len(line.split()) > 3
