"""How a run ends: what it gives the runner and prints as JSON, and what it says at last."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from feastflow_registry.commands.request import Request
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.report import runner
from feastflow_registry.report.results import RunReport
from feastflow_registry.report.runner import RunnerLog
from feastflow_registry.report.terminal import TerminalLog

_ROOM = "Check that the disk has room, and that the folder exists and can be written."


@dataclass(slots=True)
class Ending:
    """The end of one run.

    ``finish``: makes a text what may be written; ``is_printed``: whether the JSON was.
    """

    request: Request
    log: RunnerLog | TerminalLog
    finish: Callable[[str], str]
    as_json: bool = False
    is_printed: bool = False

    def end(self, report: RunReport) -> bool:
        """Tell what was done, in each form once; whether later steps get their outputs."""
        handed_over = self._hand_over(report)
        if not self.is_printed:
            self.is_printed = True
            if self.as_json:
                write(self.finish(report.json))
        return handed_over

    def _hand_over(self, report: RunReport) -> bool:
        """Give what was done to the runner, then say it."""
        lost: OSError | None = None
        if report.outputs:
            values = {name: self.finish(value) for name, value in report.outputs.items()}
            try:
                self._append("GITHUB_OUTPUT", runner.outputs(values, secrets.token_hex))
            except OSError as problem:
                lost = problem
        if report.markdown:
            try:
                summary = runner.summary(self.finish(report.markdown))
                self._append("GITHUB_STEP_SUMMARY", summary)
            except OSError as problem:
                self.log.warning(f"There is no job summary: {unusable(problem)}")
        for line in report.lines:
            self.log.say(line)
        if lost:
            [why] = unusable(lost).problems
            self.log.fail(f"the step has no outputs: {why.cause}", why.fix)
        return lost is None

    def _append(self, variable: str, data: bytes) -> None:
        """Append to one of the files that the runner reads after the step: all of it, or nothing.

        The runner refuses a file whose last value has no end.
        """
        name = self.request.environ.get(variable)
        if not name or not self.request.in_runner:
            return
        path = Path(name)
        end = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(data)
        except OSError:
            with suppress(OSError):
                os.truncate(path, end)
            raise


def unusable(problem: OSError) -> Failure:
    """What this machine does not let us do, with a file of its own."""
    where = f"{problem.filename}: " if problem.filename else ""
    return Failure(Kind.BUILD, f"{where}{problem.strerror or problem}.", _ROOM)


def write(text: str) -> None:
    """Print a result, or raise why it could not be printed."""
    try:
        print(text, flush=True)
    except OSError:  # Or Python would try once more at its end.
        write_no_more(sys.stdout)
        raise


def write_no_more(*streams: TextIO) -> None:
    """Have what Python would still flush at its end go nowhere."""
    for each in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), each.fileno())
