from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.report.terminal import TerminalLog


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
    ],
)
def test_lines(method: str, texts: list[str], plain: str) -> None:
    assert shown(method, *texts) == plain
    coloured = shown(method, *texts, colour=True)
    assert ("\x1b[" in coloured) is (method != "say")
    assert coloured.count("\x1b[0m") == (method != "say")


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


def test_an_interrupted_run_writes_on_whoever_holds_the_log() -> None:
    stream = io.StringIO()
    log = TerminalLog(stream, str)
    with ThreadPoolExecutor(1) as other:
        other.submit(log._writing.acquire).result()
        log.seize()
        log.warning("The run was cancelled.")
    assert stream.getvalue() == "⚠  The run was cancelled.\n"
