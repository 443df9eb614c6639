"""The processes that the stack starts: begun detached, known by their command lines, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from places import RUNTIME, STATE, StackError

ENGINE_PROGRAMS = frozenset(
    {"dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy", "runc"}
)


@dataclass(frozen=True, slots=True)
class Process:
    """One long-running program; its arguments name a file of this stack, so they are unique."""

    argv: Sequence[str]
    log: Path

    def pid(self) -> int | None:
        """The pid of the running program, found by its arguments.

        A pidfile would survive a kill or a reboot and then name a stranger.
        """
        wanted = list(self.argv[1:])
        return next((pid for pid, argv in _command_lines() if argv[1:] == wanted), None)

    def start(
        self, *, ready: Callable[[], bool], seconds: float, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start unless running, and return when `ready` answers true."""
        child = None
        if self.pid() is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("wb") as log:
                child = subprocess.Popen(
                    self.argv,
                    env=environ,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        deadline = time.monotonic() + seconds
        while not ready():
            gone = child is not None and child.poll() is not None
            if gone or time.monotonic() > deadline:
                self.stop()
                name = Path(self.argv[0]).name
                raise StackError(
                    f"{name} {'ended' if gone else f'was not ready after {seconds:.0f} s'}:\n"
                    + "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]),
                    f"The whole log is in {self.log}; 'dev/stack down --purge' starts afresh.",
                )
            time.sleep(0.05)

    def stop(self, seconds: float = 15) -> bool:
        """End the process, and say whether it was running."""
        pid = self.pid()
        if pid is not None:
            end([pid], seconds)
        return pid is not None


def end(pids: Iterable[int], seconds: float = 5) -> None:
    """Ask the processes to end, and kill those that have not when the time is over."""
    pids = list(pids)
    for sent, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for pid in pids:
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                continue
            except PermissionError:
                raise StackError(
                    f"Process {pid} of the stack was started by another user.",
                    "Run the same command with sudo.",
                ) from None
        deadline = time.monotonic() + patience
        while pids and time.monotonic() < deadline:
            pids = [pid for pid in pids if _is_alive(pid)]
            time.sleep(0.02)


def find_strays() -> list[int]:
    """Engine processes of this stack that are left when their parents are gone."""
    ours = (f"{RUNTIME}/", f"{STATE}/")
    return [
        pid
        for pid, argv in _command_lines()
        if Path(argv[0]).name in ENGINE_PROGRAMS and any(word.startswith(ours) for word in argv)
    ]


def command_line(pid: int) -> list[str]:
    """The arguments a process was started with; none if it is gone or a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    return []


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").glob("[0-9]*"):
        if argv := command_line(int(entry.name)):
            yield int(entry.name), argv


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return bool(command_line(pid))
