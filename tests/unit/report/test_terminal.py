from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.report.terminal import TerminalLog

WIPE = "\r\x1b[K"


def shown(method: str, *texts: str, colour: bool = False) -> str:
    stream = io.StringIO()
    getattr(TerminalLog(stream, str, colour), method)(*texts)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("method", "texts", "plain"),
    [
        ("say", ["a"], "a\n"),
        ("quote", ["a"], "  a\n"),
        ("notice", ["a"], "ℹ  a\n"),  # noqa: RUF001
        ("warning", ["a"], "⚠  a\n"),
        ("fail", ["a.", "b."], "✗  a.\n   b.\n"),
        ("fail", ["a.", "b.", "http://c/#d"], "✗  a.\n   b.\n   http://c/#d\n"),
    ],
)
def test_lines(method: str, texts: list[str], plain: str) -> None:
    assert shown(method, *texts) == plain
    coloured = shown(method, *texts, colour=True)
    assert ("\x1b[" in coloured) is (method != "say")
    assert coloured.count("\x1b[0m") == (len(texts) == 3) + (method != "say")


def test_a_group_has_a_head_and_an_end() -> None:
    stream = io.StringIO()
    log = TerminalLog(stream, str)
    with log.group("a\nb"):
        log.say("inside")
    top, title, inside, end = stream.getvalue().splitlines()
    assert (title, inside) == ("a b", "inside")
    assert len(top) == len(end)


@given(st.sampled_from(["say", "quote", "notice", "warning"]), st.text())
def test_no_text_controls_the_terminal(method: str, text: str) -> None:
    written = shown(method, text)
    assert written.endswith("\n")
    assert written[:-1].isprintable()


def test_a_line_is_broken_between_words_and_a_command_is_not() -> None:
    stream = io.StringIO()
    log = TerminalLog(stream, str, width=60)
    log.warning(f"{'word ' * 9}and then `git switch --detach origin/main` again.")
    log.say(f"  kubectl set image {'deployment/shop ' * 5}")
    log.fail(f"{'cause ' * 12}.", f"{'fix ' * 20}.")
    lines = stream.getvalue().splitlines()
    assert any("`git switch --detach origin/main`" in line for line in lines)
    [command] = [line for line in lines if "kubectl" in line]
    assert len(command) > 60
    assert all(len(line) < 60 for line in lines if line != command)
    assert {line[:3] for line in lines} == {"⚠  ", "   ", "  k", "✗  "}
    assert not any(line.startswith("    ") for line in lines)


def test_what_is_waited_for_is_shown_on_a_terminal_without_its_secrets() -> None:
    stream = io.StringIO()
    log = TerminalLog(stream, lambda text: text.replace("token", "***"), width=60, live=True)
    with log.working("the token") as tell:
        log._progress.tick()
        tell("a\ntoken")
        log._progress.tick()
        log.say("done")
    assert stream.getvalue() == (f"… the *** (1 s){WIPE}… a *** (2 s){WIPE}done\n")


@pytest.mark.parametrize(("width", "live"), [(0, True), (80, False)])
def test_nothing_is_drawn_where_nothing_can_be_drawn_over(width: int, live: bool) -> None:
    stream = io.StringIO()
    log = TerminalLog(stream, str, width=width, live=live)
    with log.working("a") as tell:
        tell("b")
        log._progress.tick()
    assert stream.getvalue() == ""


def test_an_interrupted_run_writes_on_whoever_holds_the_log() -> None:
    stream = io.StringIO()
    log = TerminalLog(stream, str, width=80, live=True)
    with ThreadPoolExecutor(1) as other:
        other.submit(log._writing.acquire).result()
        with log.working("what is not waited for any more"):
            log.seize()
            log._progress.tick()
            log.warning("The run was cancelled.")
    assert stream.getvalue() == "⚠  The run was cancelled.\n"
