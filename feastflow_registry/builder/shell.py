"""A command as a step of a workflow runs it: by bash if there is one, and failing at once.

Decides that nothing of a command outlives it: it has a process group of its own, which ends with
the command, with its time, with an interruption, and with this program however that ends. It is
handed no environment but the one given, no standard input and no terminal.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NOT_FOUND = 127
_BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c")
_GRACE = 3.0
_TICK = 0.1
_LONGEST_LINE = 64 * 1024
# Its input ends when this program does, SIGKILL included.
_GUARD = ("sh", "-c", 'read -r group && { read -r _; kill -s KILL -- "-$group"; }')


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
        environ = {**self.environ, **variables}
        with _guard(environ) as watch:
            process = subprocess.Popen(
                [*self._program, command],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
            try:
                watch(process.pid)
                code = self._follow(process, _Lines(process, quote), limit)
            finally:
                _kill(process, signal.SIGKILL)
                process.wait()
        return 128 - code if code is not None and code < 0 else code

    @property
    def _program(self) -> tuple[str, ...]:
        """What GitHub's ``shell: bash`` is, so that a scanner may be piped into ``tee``.

        https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
        """
        found = shutil.which("bash", path=self.environ.get("PATH"))
        return _BASH if found else ("sh", "-e", "-c")

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


@contextmanager
def _guard(environ: Mapping[str, str]) -> Iterator[Callable[[int], None]]:
    """Start what kills a process group if this program dies before the block ends.

    The kernel's own signal at a parent's death reaches one process and no group.
    """
    with subprocess.Popen(
        _GUARD,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,
    ) as guard:

        def watch(group: int) -> None:
            assert guard.stdin
            with suppress(BrokenPipeError):  # Somebody ended it; the command runs all the same.
                guard.stdin.write(f"{group}\n".encode())

        try:
            yield watch
        finally:
            guard.kill()


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a whole group, if any of it is left."""
    with suppress(OSError):
        os.killpg(process.pid, number)
