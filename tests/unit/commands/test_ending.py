"""How a run ends: each form of what was done is told once, and a file of the runner stays whole."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from feastflow_registry.commands.ending import Ending, write
from feastflow_registry.commands.request import Request
from feastflow_registry.report.results import RunReport
from feastflow_registry.report.terminal import TerminalLog

FULL = Path("/dev/full")
REPORT = RunReport(["a line"], "### a token\n", {"pushed": "a token"}, '{"a": "token"}')


def ending(as_json: bool = False, **files: Path) -> tuple[Ending, io.StringIO]:
    """The end of a run whose runner reads these files, if there are any."""
    stream = io.StringIO()
    environ = {name: str(path) for name, path in files.items()}
    environ |= {"GITHUB_ACTIONS": "true"} if files else {}

    def finish(text: str) -> str:
        return text.replace("token", "***")

    request = Request(environ, {}, Path())
    return Ending(request, TerminalLog(stream, finish), finish, as_json=as_json), stream


def test_everything_is_told_and_no_secret_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.write_text("before\n")
    end, stream = ending(True, GITHUB_OUTPUT=output, GITHUB_STEP_SUMMARY=summary)
    assert end.end(REPORT)
    assert stream.getvalue() == "a line\n"
    assert output.read_text().startswith("before\npushed<<end-")
    assert "\na ***\n" in output.read_text()
    assert summary.read_text() == "### a ***\n"
    assert capsys.readouterr().out == '{"a": "***"}\n'


def test_the_json_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    end, stream = ending(True)
    end.end(REPORT)
    end.end(RunReport(["another"], json='{"b": 1}'))
    assert capsys.readouterr().out == '{"a": "***"}\n'
    assert stream.getvalue() == "a line\nanother\n"


def test_without_json_it_counts_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    end, _ = ending()
    end.end(REPORT)
    assert end.is_printed
    assert capsys.readouterr().out == ""


def test_by_hand_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    end, _ = ending(GITHUB_OUTPUT=tmp_path / "output")
    end.request = Request({"GITHUB_OUTPUT": str(tmp_path / "output")}, {}, Path())
    assert end.end(REPORT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [FULL, Path("/nowhere/output")])
def test_lost_outputs_fail_the_step(place: Path) -> None:
    end, stream = ending(GITHUB_OUTPUT=place)
    assert not end.end(REPORT)
    assert "✗  the step has no outputs: " in stream.getvalue()
    assert "Check that the disk has room" in stream.getvalue()


@pytest.mark.parametrize("place", [FULL, Path("/nowhere/summary")])
def test_a_lost_summary_is_only_said(place: Path) -> None:
    end, stream = ending(GITHUB_STEP_SUMMARY=place)
    assert end.end(REPORT)
    assert "⚠  There is no job summary: " in stream.getvalue()


def test_what_cannot_be_printed_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(OSError, match="space"):
            write("{}")
        stream.flush()
