"""A command as a step of a workflow runs it: by bash if there is one, and failing at once.

No process of a command outlives it: its process group is killed when the command ends, when its
time is over, when it is interrupted, and when this program ends in any way. A command gets only
the environment that it is given, no standard input and no terminal.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NOT_FOUND = 127
_BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c")
_GRACE = 3.0
_TICK = 0.1
_LONGEST_LINE = 64 * 1024
# A process beside the command kills the whole group when the standard input ends, as it does when
# this program is killed. The kernel's signal at a parent's death reaches one process and no group.
_GUARD = "exec 3<&0; { trap '' TERM; read -r _; kill -s KILL 0; } <&3 >/dev/null 2>&1 & "
_GUARDED = ("sh", "-c", _GUARD + 'exec "$@" </dev/null 3<&-', "sh")


@dataclass(frozen=True, slots=True)
class Shell:
    """Where commands run and what they see. ``clock``: seconds that never go back."""

    folder: Path
    environ: Mapping[str, str]
    clock: Callable[[], float]

    def run(
        self, command: str, variables: Mapping[str, str], quote: Callable[[str], None], limit: float
    ) -> int | None:
        """Run a command, quoting every line as it comes; its exit code, or None after ``limit``.

        A signal that ended it counts as in a shell: 128 and its number.
        """
        with subprocess.Popen(
            [*_GUARDED, *self._program, command],
            cwd=self.folder,
            env={**self.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        ) as process:
            try:
                code = self._follow(process, _Lines(process, quote), limit)
            finally:
                _kill(process, signal.SIGKILL)
        return 128 - code if code is not None and code < 0 else code

    @property
    def _program(self) -> tuple[str, ...]:
        """The same as GitHub's ``shell: bash``, so that a scanner may be piped into ``tee``.

        https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
        """
        bash = shutil.which("bash", path=self.environ.get("PATH"))
        return _BASH if bash else ("sh", "-e", "-c")

    def _follow(self, process: subprocess.Popen[bytes], lines: _Lines, limit: float) -> int | None:
        """Read until the command ends, then end what it left in the background."""
        code = None
        deadline = self.clock() + limit
        try:
            while (code := process.poll()) is None and self.clock() < deadline:
                lines.read(_TICK)
        finally:
            _kill(process, signal.SIGTERM)
            deadline = self.clock() + _GRACE
            while lines.open and self.clock() < deadline:
                lines.read(_TICK)
            lines.close()
        return code


class _Lines:
    """Cuts the output of a process into lines, however it arrives; only a line feed ends one."""

    def __init__(self, process: subprocess.Popen[bytes], quote: Callable[[str], None]) -> None:
        assert process.stdout
        self.pipe, self.quote, self.rest, self.open = process.stdout, quote, b"", True
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.pipe, selectors.EVENT_READ)

    def read(self, seconds: float) -> None:
        """Quote what has arrived, waiting for it no longer than this."""
        if not self.open:
            self.ready.select(seconds)
            return
        if not self.ready.select(seconds):
            return
        data = self.pipe.read(_LONGEST_LINE)
        if not data:
            self.ready.unregister(self.pipe)
            self.open = False
        *whole, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > _LONGEST_LINE:
            whole, self.rest = [*whole, self.rest], b""
        for line in whole:
            self.quote(line.decode("utf-8", "replace").rstrip("\r"))

    def close(self) -> None:
        """Quote what no line feed has ended."""
        self.ready.close()
        self.pipe.close()
        if self.rest:
            self.quote(self.rest.decode("utf-8", "replace"))


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a whole group, if any of it is left."""
    with suppress(OSError):
        os.killpg(process.pid, number)
