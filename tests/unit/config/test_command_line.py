"""The command line: what it says, and what is refused before anything else is looked at."""

from __future__ import annotations

import shlex

import pytest

from feastflow_registry.config import manual
from feastflow_registry.config.command_line import read
from feastflow_registry.config.manual import SHELLS
from feastflow_registry.config.settings import INPUTS, parse
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
        (["promote", "--to", ""], "--to has no value", "may have been empty"),
        (["publish", "--build-args", " "], "--build-args has no value", "leave it out"),
        (["rollback", "web"], "rollback takes no user name", "--services"),
        (["promote", "ada"], "promote takes no user name", "DOCKERHUB_USERNAME"),
        (["completion"], "completion needs the name of a shell", "`completion bash`"),
        (["completion", "dckr_pat_x"], "completion needs the name of a shell", "bash, zsh, fish"),
        (["completion", "bash", "--tgas"], '"--tgas" is not an option', 'meant "--tag"'),
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


def test_the_word_of_tags_is_an_image() -> None:
    assert read(["tags", "a1b2c3d"], str).given == {"command": "tags", "to": "a1b2c3d"}
    found = read(["tags", "--to", "latest", "--digest"], str)
    assert (found.given, found.digest) == ({"command": "tags", "to": "latest"}, True)
    assert read(["tags"], str).given == {"command": "tags"}
    found = read(["tags", "--image", "shop", "--digest", "a1b2c3d"], str)
    assert found.given == {"command": "tags", "image": "shop", "to": "a1b2c3d"}
    given = read(["--image", "shop", "build", "--latest", "never", "ada"], str).given
    assert (given["command"], given["username"]) == ("build", "ada")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_completed_for(shell: str) -> None:
    found = read(["completion", shell], str)
    assert (found.shell, found.problem, found.given) == (shell, None, {})


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        read(words, str)
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", Command)
def test_help_says_what_each_command_is_for(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = helped(capsys, "--help").splitlines()
    [line] = [each for each in lines if each.split()[:1] == [command.value]]
    assert len(line.split()) > 3


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["a-command", "--help"]])
def test_help_of_no_command_is_the_programs(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert helped(capsys, *words) == f"{manual.overview()}\n"


@pytest.mark.parametrize(
    ("command", "has", "has_not"),
    [
        ("promote", "--to", "--from"),
        ("rollback", "--unmark", "--build-args"),
        ("prune", "--keep-days", "--to"),
        ("publish", "--build-args", "--keep"),
        ("tags", "--digest", "--milestone"),
        ("doctor", "--platforms", "--dry-run"),
    ],
)
def test_help_of_a_command_has_its_own_options(
    command: str, has: str, has_not: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = helped(capsys, "--help", command).split()
    assert has in shown
    assert has_not not in shown


@pytest.mark.parametrize("command", Command)
def test_the_example_of_a_command_is_read(command: Command) -> None:
    found = read(shlex.split(manual.MANUALS[command].example), str)
    assert found.problem is None
    assert parse(found.given).command is command
    shown = {name for names in manual.MANUALS[command].options().values() for name in names}
    assert found.given.keys() - {"command", "username", "to"} <= shown


def test_every_option_is_in_the_help_of_a_command() -> None:
    shown = [each.options().values() for each in manual.MANUALS.values()]
    named = {name for groups in shown for names in groups for name in names}
    assert named == {*INPUTS} - {"command", "username"}
