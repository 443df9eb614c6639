"""A command ends with the program that runs it, however that ends: signals, SIGKILL included."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# As cli does: SIGTERM raises SystemExit. SIGINT is ignored where the tests run in the background.
DRIVER = """
import os, signal, sys, time
from pathlib import Path
from feastflow_registry.builder import shell
shell._GRACE = float(sys.argv[3])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)
say = lambda line: print(line, flush=True)
bash = shell.Shell(Path(sys.argv[1]), dict(os.environ), time.monotonic)
print(bash.run(sys.argv[2], {}, say, 1e9), flush=True)
"""
COMMAND = "sleep 987 & sleep 988 | cat & echo $$; wait"
STUBBORN = "trap '' TERM; sleep 987 & trap 'echo asked' TERM; echo $$; while :; do wait || :; done"
POLITE = "trap 'sleep 0.5; echo tidied; exit 1' TERM; echo $$; sleep 987 & wait"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """What the tests start, ended with them."""
    found: list[subprocess.Popen[str]] = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def _start(
    started: list[subprocess.Popen[str]], folder: Path, command: str, grace: float = 3.0
) -> tuple[subprocess.Popen[str], int]:
    """Start a program that runs a command; it, and the command's process group."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder), command, str(grace)],
        stdout=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    assert process.stdout
    return process, int(process.stdout.readline())


def wait_until_gone(group: int) -> None:
    """Wait until no process of a group is left."""
    deadline = time.monotonic() + 300
    while alive(group):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(group: int) -> list[str]:
    """The processes of a group that are not dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of, *_ = path.read_text().rpartition(")")[2].split()
            if int(of) == group and state != "Z":
                found.append((path.parent / "cmdline").read_text())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_the_program(
    started: list[subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    process, group = _start(started, tmp_path, COMMAND)
    assert len(alive(group)) >= 3
    process.send_signal(number)
    wait_until_gone(group)
    code = process.wait()
    assert code == {signal.SIGTERM: 143}.get(number, -number)


def test_a_second_signal_ends_it_at_once(
    started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    process, group = _start(started, tmp_path, STUBBORN, grace=1e9)
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stdout.readline() == "asked\n", "two signals at one moment would count as one"
    process.send_signal(signal.SIGTERM)
    process.wait()
    wait_until_gone(group)


def test_a_command_may_tidy_up(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    # A signal between fork and exec is lost to what the shell starts: that is killed in the end.
    process, group = _start(started, tmp_path, POLITE, grace=30)
    process.send_signal(signal.SIGTERM)
    assert process.stdout
    said = process.stdout.read()
    assert said == "tidied\n"
    wait_until_gone(group)


def test_a_command_has_no_input_and_no_terminal(tmp_path: Path) -> None:
    """It cannot read what was meant for this program, and cannot wait for a password."""
    ours, theirs = os.openpty()
    os.write(ours, b"a line\n\x04")
    look = "cat; if (: < /dev/tty) 2> /dev/null; then echo a terminal; fi"
    try:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(tmp_path), look, "3"],
            stdin=theirs,
            capture_output=True,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout == b"0\n"
