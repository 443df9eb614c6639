"""Where the development stack keeps its things, and how it speaks to the developer."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
STATE = PROJECT / ".dev"
TOOLS = STATE / "tools"
BIN = STATE / "bin"
PROGRAM = PROJECT / ".venv/bin"
DOCKER_CONFIG = STATE / "docker-config"

# Two checkouts on one machine get engines, bridges and sockets of their own.
MARK = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:6]
# A unix socket's path holds 107 bytes, and containerd appends to it: too few in a deep checkout.
RUNTIME = Path(f"/run/feastflow-dev-{MARK}")

_began = time.monotonic()


class StackError(Exception):
    """Something cannot be done: the cause in one sentence, the fix in another."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}\n{fix}")


def say(line: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"[{time.monotonic() - _began:5.1f}s] {line}", flush=True)


def is_root() -> bool:
    """Whether this process may start daemons."""
    return os.geteuid() == 0


def search_path() -> str:
    """PATH with the stack's own tools first, then the program's folder."""
    first = [str(folder) for folder in (BIN, PROGRAM) if folder.is_dir()]
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*first, *(entry for entry in given if entry not in first)])


def system_path() -> str:
    """PATH for the daemons: unpacked packages first, then the system's."""
    unpacked = [TOOLS / "usr/sbin", TOOLS / "usr/bin"]
    system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return os.pathsep.join([*map(str, unpacked), *system])


def give_back(path: Path) -> None:
    """Under sudo, hand a file or folder to the person who called."""
    if is_root() and "SUDO_UID" in os.environ:
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
