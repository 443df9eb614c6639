"""However a run ends, other programs are told: by JSON, by outputs and by the job summary."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from unittest.mock import Mock

import pytest

from feastflow_registry import cli
from feastflow_registry.commands.request import Request
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.secrets import Secrets
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.results import RunReport
from feastflow_registry.transport.http import Client


def end(error: BaseException, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    """A rollback that ends by an error of its own; its exit code."""
    monkeypatch.setattr(cli, "_run", Mock(side_effect=error))
    request = Request(environ, {"command": "rollback"}, Path())
    http = Mock(spec=Client, secrets=Secrets(), stop=Event())
    return cli.run(request, http, io.StringIO(), as_json=True)


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (KeyboardInterrupt(), 130, "the run was cancelled."),
        (SystemExit(143), 143, "the run was cancelled."),
        (ZeroDivisionError(), 1, "this program has a defect."),
        (AssertionError(), 1, "this program has a defect."),
    ],
)
def test_a_run_without_an_end_is_told_too(
    error: BaseException,
    code: int,
    cause: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    assert end(error, environ, monkeypatch) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["exit_code"]) == ("rollback", code)
    assert document["problems"][0]["cause"] == cause
    assert document["standing"] == {}
    assert f"\n{cause}\n" in output.read_text()
    assert "\nfalse\n" in output.read_text()
    assert cause[1:] in summary.read_text()


def test_a_defect_of_what_sums_up_is_one_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Journal, "broken_off", Mock(side_effect=ZeroDivisionError))
    assert end(ValueError(), {}, monkeypatch) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("argv", "unread", "code"),
    [
        (["tags", "--help"], "stdout", 141),
        (["--version"], "stdout", 141),
        (["completion", "bash"], "stdout", 141),
        (["publish", "--no-option"], "stderr", 141),
        (["publish", "--json"], "stdout", Kind.INPUT),
        (["publish", "--json"], "stderr", Kind.INPUT),
        (["publish"], "stdout", Kind.INPUT),
    ],
)
def test_what_nobody_reads_ends_quietly(
    argv: list[str], unread: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_run", Mock(side_effect=Failure(Kind.INPUT, "It is so.", "Mend.")))
    assert end_unread(argv, unread, monkeypatch) == code


def end_unread(argv: list[str], name: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How the program ends where one of its streams is a pipe that nobody reads."""
    monkeypatch.setattr(cli, "_obey_signals", Mock())
    reader, writer = os.pipe()
    os.close(reader)
    with Path(os.devnull).open("w") as nothing, open(writer, "w") as unread:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", nothing)
        monkeypatch.setattr(sys, "stderr", nothing)
        monkeypatch.setattr(sys, name, unread)
        code = cli.main(argv)
        unread.flush()  # As Python does at its end.
    return code


def test_what_was_printed_is_not_printed_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_end", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(cli, "_run", Mock(return_value=RunReport(json="{}")))
    http = Mock(spec=Client, secrets=Secrets(), stop=Event())
    assert cli.run(Request({}, {}, Path()), http, io.StringIO(), as_json=True) == 130
    assert capsys.readouterr().out == "{}\n"


@pytest.mark.parametrize(
    ("token", "masked"),
    [
        ("dckr_pat_1234", ["dckr_pat_1234"]),
        ("short", ["short"]),
        # A runner looks at one line at a time; a short one of several is part of others.
        ("{\n  private: MIIEvQIBADAN\n}\n", ["  private: MIIEvQIBADAN"]),
        ("first-line-1234\r\nsecond-line-56", ["first-line-1234", "second-line-56"]),
    ],
)
def test_a_password_of_several_lines_is_masked_line_by_line(
    token: str, masked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_run", Mock(return_value=RunReport()))
    http = Mock(spec=Client, secrets=Secrets(), stop=Event())
    stream = io.StringIO()
    request = Request({"GITHUB_ACTIONS": "true"}, {}, Path(), token=token)
    assert cli.run(request, http, stream) == 0
    assert stream.getvalue().splitlines() == [f"::add-mask::{each}" for each in masked]


@pytest.mark.parametrize("environ", [{}, {"GITHUB_ACTIONS": "true"}])
def test_who_waits_for_a_server_says_so_in_the_log(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    http = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)

    def read(*_: object) -> None:
        http.rest("https://api.example.com/x", 60)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_find_checkout", lambda request, _: request.folder)
    monkeypatch.setattr("feastflow_registry.commands.inputs.read", read)
    stream = io.StringIO()
    assert cli.run(Request(environ, {}, Path()), http, stream) == 130
    assert "api.example.com asks to wait 60 seconds" in stream.getvalue()
