"""The program as a process that costs a fork: one parent of them all has imported it already.

Its children are processes of their own, with an environment, a folder and an output as given. What
is to be known of a start from nothing (imports, signals, what the kernel shows of a process) is
tried with `Machine.start`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

PACKAGE = "feastflow_registry"
MODULES = (f"{PACKAGE}.cli", "docker", "yaml")


def run(
    environ: Mapping[str, str], arguments: Sequence[str], folder: Path, seconds: float = 300
) -> tuple[int, str]:
    """Run the program to its end: its exit code, negative for a signal, and all it printed."""
    with tempfile.TemporaryFile() as output:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(_parent(), [b" "], [theirs.fileno(), output.fileno()])
            asked = {"environ": dict(environ), "arguments": list(arguments), "folder": str(folder)}
            ours.settimeout(seconds)
            ours.sendall(f"{json.dumps(asked)}\n".encode())
            code = int(ours.recv(16))
        output.seek(0)
        return code, output.read().decode()


@cache
def _parent() -> socket.socket:
    """The way to the parent, which ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # Which is done before: it ends the parent.
    return ours


def _serve(way: socket.socket) -> None:
    """Fork one process for each call, until whoever calls has ended."""
    for name in MODULES:
        __import__(name)
    for module in pkgutil.walk_packages(sys.modules[PACKAGE].__path__, f"{PACKAGE}."):
        if not module.name.endswith("__main__"):  # Which a run imports when it needs it.
            __import__(module.name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        _, descriptors, *_ = socket.recv_fds(way, 1, 2)
        if not descriptors:
            return
        if os.fork() == 0:
            way.close()
            _answer(socket.socket(fileno=descriptors[0]), descriptors[1])
        for each in descriptors:
            os.close(each)


def _answer(call: socket.socket, output: int) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked = json.loads(call.makefile().readline())
    child = os.fork()
    if child == 0:
        call.close()
        os._exit(_become(asked, output))
    way = call.fileno()
    if way in select.select([os.pidfd_open(child), way], [], [])[0]:  # Nobody waits any more.
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    call.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(asked: Mapping[str, Any], output: int) -> int:
    """Be what was asked for; its exit code."""
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.argv[1:] = asked["arguments"]
    try:
        runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001  As the interpreter does.
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
