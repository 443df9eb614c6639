"""Makes the environment that bootstrap.py does not find.

It is made in a folder of its own and renamed when complete, so runs at the same time and runs that
were killed leave nothing half-made to be found. Python 3.6 can parse this, too.
"""

import os
import sys

from bootstrap import (
    ACTION,
    MACHINES,
    MARKER,
    NEWEST,
    OLDEST,
    homes,
    is_kept,
    is_private,
    name_environment,
    tell,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

UNFINISHED_FOR = 60 * 60
UNUSED_FOR = 30 * 24 * 60 * 60

BAD_RUNNER = 2


class Stop(Exception):
    """What keeps this runner from it: an exit code, a cause and a fix."""


def install() -> int:
    """Make the environment and tell the runner where it is; an exit code."""
    try:
        _check_machine()
        if not OLDEST <= sys.version_info[:2] <= NEWEST:
            _restart_with_another_python()
        key = name_environment()
        tell(next((home for home in homes() if is_kept(home, key)), None) or _make(key), key)
    except OSError as error:
        fix = "Free space on the runner, and let its folders and GITHUB_OUTPUT be written."
        command("error", f"The packages were not installed: {error}.\n{fix}")
        return BAD_RUNNER
    except Stop as stop:
        code, cause, fix = stop.args
        command("error", f"{cause}\n{fix}")
        return int(code)
    return 0


def _check_machine() -> None:
    here = f"Linux on {os.uname().machine}" if sys.platform == "linux" else sys.platform
    if here not in [f"Linux on {machine}" for machine in MACHINES]:
        raise Stop(
            BAD_RUNNER,
            f"This action runs on Linux on {' or '.join(MACHINES)}; this runner is {here}.",
            "Set runs-on to such a runner, for example ubuntu-24.04.",
        )


def _restart_with_another_python() -> "NoReturn":
    """Start over with a Python of the right age, or say that there is none."""
    import subprocess

    asked = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    for python in _pythons():
        try:
            code = subprocess.call([python, "-I", "-S", "-c", asked], stderr=subprocess.DEVNULL)
        except OSError:  # It was made for another system than this container's.
            continue
        if code == 0:
            bootstrap = os.path.join(ACTION, "bootstrap.py")
            os.execv(python, [python, "-I", "-S", bootstrap, "install"])  # noqa: S606  No shell.
    here, oldest, newest = (".".join(map(str, v[:2])) for v in (sys.version_info, OLDEST, NEWEST))
    raise Stop(
        BAD_RUNNER,
        f"This action needs Python {oldest} to {newest}; this runner has only Python {here}.",
        f"Put actions/setup-python before this step, or install python{newest} on the runner.",
    )


def _pythons() -> "Iterator[str]":
    """Yield the Pythons that may be of the right age, the likeliest first."""
    import re
    import shutil

    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            yield found
    # What the runner's image and actions/setup-python put by; a file beside it says that it is
    # whole. https://github.com/actions/toolkit/tree/main/packages/tool-cache
    cache = os.path.join(os.environ.get("RUNNER_TOOL_CACHE") or "/nowhere", "Python")
    architecture = "x64" if os.uname().machine == "x86_64" else "arm64"
    names = os.listdir(cache) if os.path.isdir(cache) else []
    versions = [name for name in names if re.match(r"3\.\d+\.\d+$", name)]
    for version in sorted(versions, key=lambda name: [*map(int, name.split("."))], reverse=True):
        folder = os.path.join(cache, version, architecture)
        if os.path.exists(folder + ".complete"):
            yield os.path.join(folder, "bin", "python3")
    yield "/usr/bin/python3"


def _make(key: str) -> str:
    """Install the packages and keep them; answers the home they are kept in."""
    import shutil
    import time

    from wheels import fill

    began = time.monotonic()
    home, folder = _open_home()
    _sweep(home)
    try:
        fill(os.path.join(folder, "site"))
        with open(os.path.join(folder, MARKER), "w", encoding="utf-8") as file:
            file.write(f"{sys.version}\n")
        _put_in_place(folder, home, key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"Installed this action's packages in {time.monotonic() - began:.1f} s.", flush=True)
    return home


def _open_home() -> "tuple[str, str]":
    """Find a home that can be written, and a new folder in it."""
    import tempfile

    for home in homes():
        try:
            os.makedirs(home, mode=0o700, exist_ok=True)
            if not is_private(home):
                raise PermissionError(0, "other users can write there")
            return home, tempfile.mkdtemp(prefix="unfinished-", dir=home)
        except OSError as error:
            command("notice", f"{home} cannot keep this action's packages: {error.strerror}.")
    raise Stop(
        BAD_RUNNER,
        "This runner has no folder to keep this action's packages in.",
        "Let RUNNER_TOOL_CACHE or RUNNER_TEMP name a folder that its user can write.",
    )


def _put_in_place(folder: str, home: str, key: str) -> None:
    """Rename, unless another run was faster; what stands there and is not sound goes."""
    final = os.path.join(home, key)
    try:
        os.rename(folder, final)
    except OSError:
        if not is_kept(home, key):
            _remove(final)
            os.rename(folder, final)


def _sweep(home: str) -> None:
    """Remove what killed runs left unfinished, and environments that nobody uses any more."""
    import time

    for name in os.listdir(home):
        folder = os.path.join(home, name)
        marker = os.path.join(folder, MARKER)
        path, limit = (marker, UNUSED_FOR) if os.path.exists(marker) else (folder, UNFINISHED_FOR)
        try:
            age = time.time() - os.lstat(path).st_mtime
        except OSError:  # Another run sweeps, too.
            continue
        if age > limit:
            _remove(folder)


def _remove(folder: str) -> None:
    """Remove an environment; the marker goes first, so that no half of one is ever used."""
    import contextlib
    import shutil

    for path in (os.path.join(folder, MARKER), folder):  # A link in its place goes itself.
        with contextlib.suppress(OSError):
            os.unlink(path)
    shutil.rmtree(folder, ignore_errors=True)


def command(name: str, text: str) -> None:
    """Give the runner one command on a line of its own."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{name}::{escaped}", flush=True)
