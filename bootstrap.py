"""Gives the action a Python environment of its own, and runs the program in it.

python3 -I -S bootstrap.py install      finds or makes the environment; sees no secret
python3 -I -S bootstrap.py run SITE     runs the program; SITE is what install answered

The environment is kept in the runner's tool cache under the hash of what is in it. It is made
in a folder of its own and renamed when complete, so runs at the same time and runs that were
killed leave nothing half-made to be found.

Every run pays for this file: the way to a kept environment imports next to nothing. Python 3.6
can parse it, so that whoever has only that gets a sentence and not a SyntaxError.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import NoReturn

ACTION = os.path.dirname(os.path.abspath(__file__))
OLDEST, NEWEST = (3, 11), (3, 14)
MACHINES = ("x86_64", "aarch64")

MARKER = "complete"
UNFINISHED_FOR = 60 * 60
UNUSED_FOR = 30 * 24 * 60 * 60

BAD_RUNNER = 2
NO_INDEX = 5

# What uv and pip may see: how to reach the package index, and nothing else that a job sets.
CHILD_SEES = (
    r"PATH|HOME|TMPDIR|LANG|LC_ALL|XDG_(CACHE|CONFIG)_HOME|NETRC|(HTTPS?|ALL|NO)_PROXY|"
    r"SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|"
    r"PIP_(CERT|CLIENT_CERT|CONFIG_FILE|(EXTRA_)?INDEX_URL|NO_INDEX|FIND_LINKS|TRUSTED_HOST|"
    r"PROXY|(DEFAULT_)?TIMEOUT|RETRIES|CACHE_DIR|KEYRING_PROVIDER)|"
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_STRATEGY|INDEX_\w+_(USERNAME|PASSWORD)|(EXTRA_)?INDEX_URL|"
    r"NO_INDEX|FIND_LINKS|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES|CACHE_DIR|KEYRING_PROVIDER|"
    r"NATIVE_TLS|SYSTEM_CERTS|OFFLINE)"
)


class Stop(Exception):
    """What keeps this runner from it: an exit code, a cause and a fix."""


def main(arguments: "list[str]") -> int:
    """Carry out one of the two commands."""
    if arguments[:1] == ["run"]:
        run(arguments[1])
    try:
        install()
    except OSError as error:
        _command("error", f"The packages were not installed: {error}.\nSee to it on the runner.")
        return BAD_RUNNER
    except Stop as stop:
        code, cause, fix = stop.args
        _command("error", f"{cause}\n{fix}")
        return int(code)
    return 0


def run(site: str) -> "NoReturn":
    """Run the program with the packages in `site`, and no others."""
    _keep_bytecode(os.path.join(os.path.dirname(site), "bytecode"))
    sys.path[:0] = [site, ACTION]
    import gc

    gc.disable()  # The program is short, and small: collecting costs a tenth of its time.
    try:
        from feastflow_registry.cli import main as program

        code = program([])
    except KeyboardInterrupt:  # Before anything could be done.
        print("The run was cancelled.")
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Taking every module apart again costs as much as loading some.


def install() -> None:
    """Tell the runner which Python to use, and where its packages are."""
    _check_machine()
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        _restart_with_another_python()
    key = _key()
    home = next((home for home in _homes() if _is_kept(home, key)), None) or _make(key)
    folder = os.path.join(home, key)
    try:
        os.utime(os.path.join(folder, MARKER))
    except OSError:  # Kept for all that; only sweeping asks when it was last used.
        pass
    with open(os.environ.get("GITHUB_OUTPUT") or 1, "a", encoding="utf-8") as output:
        output.write(f"python={sys.executable}\nsite={os.path.join(folder, 'site')}\n")


def _check_machine() -> None:
    here = f"Linux on {os.uname().machine}" if sys.platform == "linux" else sys.platform
    if here not in [f"Linux on {machine}" for machine in MACHINES]:
        raise Stop(
            BAD_RUNNER,
            f"This action runs on Linux on {' or '.join(MACHINES)}; this runner is {here}.",
            "Set runs-on to such a runner, for example ubuntu-24.04.",
        )


def _key() -> str:
    """Name an environment by all that decides what belongs into it, and by who trusts it."""
    import hashlib

    with open(os.path.join(ACTION, "requirements.txt"), "rb") as file:
        content = file.read()
    libc = getattr(sys.implementation, "_multiarch", "")
    tag = f"{sys.implementation.cache_tag}{sys.abiflags} {os.uname().machine} {libc}"
    return hashlib.sha256(tag.encode() + b"\n" + content).hexdigest()[:32]


def _homes() -> "list[str]":
    """List the folders that may hold environments, best first.

    A job in a container shares the runner's tool cache as another user; each has its own folder.
    """
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parents = [os.environ.get("RUNNER_TOOL_CACHE"), os.environ.get("RUNNER_TEMP"), user_cache]
    name = f"feastflow-registry-{os.getuid()}"
    return [os.path.join(parent, name) for parent in parents if parent and os.path.isabs(parent)]


def _is_kept(home: str, key: str) -> bool:
    folder = os.path.join(home, key)
    return (
        os.path.isfile(os.path.join(folder, MARKER)) and _is_private(home) and _is_private(folder)
    )


def _is_private(folder: str) -> bool:
    """Whether nobody else could have put code there."""
    found = os.lstat(folder)
    is_folder = found.st_mode & 0o170000 == 0o040000
    return is_folder and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _keep_bytecode(cache: str) -> None:
    """Keep the program's bytecode beside its packages: the runner unpacks it anew for every job.

    `sys.pycache_prefix` alone would compile the standard library again, too.
    """
    from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader

    class Loader(SourceFileLoader):
        def get_code(self, fullname: str) -> "CodeType | None":
            sys.pycache_prefix = cache
            try:
                return super().get_code(fullname)
            finally:
                sys.pycache_prefix = None

    def find_in(folder: str) -> FileFinder:
        if folder != ACTION and not folder.startswith(ACTION + os.sep):
            raise ImportError
        return FileFinder(folder, (Loader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, find_in)


# From here on: what happens once, and may take its time.


def _restart_with_another_python() -> "NoReturn":
    """Start over with a Python of the right age, or say that there is none."""
    import shutil
    import subprocess

    asked = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    minors = range(NEWEST[1], OLDEST[1] - 1, -1)
    for name in [*(f"python3.{minor}" for minor in minors), "/usr/bin/python3"]:
        python = shutil.which(name)
        asking = [python or "", "-I", "-S", "-c", asked]
        if python and subprocess.call(asking, stderr=subprocess.DEVNULL) == 0:
            os.execv(python, [python, "-I", "-S", os.path.abspath(__file__), "install"])  # noqa: S606  No shell.
    here, oldest, newest = (".".join(map(str, v[:2])) for v in (sys.version_info, OLDEST, NEWEST))
    raise Stop(
        BAD_RUNNER,
        f"This action needs Python {oldest} to {newest}; this runner has only Python {here}.",
        f"Put actions/setup-python before this step, or install python{newest} on the runner.",
    )


def _make(key: str) -> str:
    """Install the packages and keep them; answers the home they are kept in."""
    import shutil
    import time

    began = time.monotonic()
    home, folder = _open_home()
    _sweep(home)
    try:
        _fill(folder)
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

    for home in _homes():
        try:
            os.makedirs(home, mode=0o700, exist_ok=True)
            if not _is_private(home):
                raise PermissionError(0, "other users can write there")
            return home, tempfile.mkdtemp(prefix="unfinished-", dir=home)
        except OSError as error:
            _command("notice", f"{home} cannot keep this action's packages: {error.strerror}.")
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
        if not _is_kept(home, key):
            _remove(final)
            os.rename(folder, final)


def _fill(folder: str) -> None:
    """Install the locked packages into `folder`/site, with the runner's uv or with our own."""
    import shutil

    environ = _child_environ()
    locked = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r"]
    tools = os.path.join(folder, "tools")
    uv = shutil.which("uv")
    if not uv:
        pip = [sys.executable, "-I", "-m", "pip", "install", "--target", tools]
        quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-compile"]
        _call([*pip, *quiet, *locked, "requirements-uv.txt"], environ)
        uv = os.path.join(tools, "bin", "uv")
        # Nobody else has a use for this cache; beside the target, files are linked, not copied.
        environ["UV_CACHE_DIR"] = os.path.join(tools, "cache")
    install = [uv, "pip", "install", "--target", os.path.join(folder, "site")]
    how = ["--quiet", "--no-config", "--python", sys.executable]
    _call([*install, *how, *locked, "requirements.txt"], environ)
    shutil.rmtree(tools, ignore_errors=True)


def _child_environ() -> "dict[str, str]":
    import re

    seen = re.compile(CHILD_SEES)
    found = {name: each for name, each in os.environ.items() if seen.fullmatch(name.upper())}
    if "PIP_INDEX_URL" in found:
        found.setdefault("UV_DEFAULT_INDEX", found["PIP_INDEX_URL"])
    return {**found, "UV_PYTHON_DOWNLOADS": "never"}


def _call(argv: "list[str]", environ: "dict[str, str]") -> None:
    """Run a tool, and show what it says only if it fails."""
    import subprocess

    # The action's own folder: a workspace can hold configuration that steers these tools.
    done = subprocess.run(
        argv,
        cwd=ACTION,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode == 0:
        return
    if b"No module named pip" in done.stdout:
        raise Stop(
            BAD_RUNNER,
            f"This runner has neither uv nor pip for {sys.executable} to install packages with.",
            "Put astral-sh/setup-uv before this step, or install python3-pip on the runner.",
        )
    name = "pip" if argv[0] == sys.executable else "uv"
    _command("group", f"What {name} said")
    word = os.urandom(16).hex()
    _command("stop-commands", word)
    print(done.stdout.decode("utf-8", "replace"), flush=True)
    print(f"::{word}::", flush=True)
    _command("endgroup", "")
    raise Stop(
        NO_INDEX,
        f"{name} could not install this action's packages; the log shows what it said.",
        "Run the job again, or check the runner's network, proxy and package index.",
    )


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


def _command(name: str, text: str) -> None:
    """Give the runner one command on a line of its own."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{name}::{escaped}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
