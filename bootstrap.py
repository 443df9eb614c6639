"""Gives the action a Python environment of its own, and runs the program in it.

python3 -I -S bootstrap.py install      finds or makes the environment; sees no secret
python3 -I -S bootstrap.py run SITE     runs the program; SITE is what install answered

The environment is kept in the runner's tool cache under the hash of what is in it; environment.py
makes it. Every run pays for this file: it imports next to nothing. Python 3.6 can parse it, so that
whoever has only that gets a sentence and not a SyntaxError.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import NoReturn

ACTION = os.path.dirname(os.path.abspath(__file__))
OLDEST, NEWEST = (3, 11), (3, 15)
MACHINES = ("x86_64", "aarch64")
MARKER = "complete"


def main(arguments: "list[str]") -> int:
    """Carry out one of the two commands."""
    if arguments[:1] == ["run"]:
        run(arguments[1])
    if hasattr(os, "uname"):  # Or this is Windows.
        key = name_environment()
        home = next((home for home in homes() if is_kept(home, key)), None)
        if home and _tell(home, key):
            return 0
    sys.dont_write_bytecode = True
    sys.path.insert(0, ACTION)
    import environment

    return environment.install()


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


def name_environment() -> str:
    """Name an environment by all that decides what belongs into it."""
    import hashlib

    with open(os.path.join(ACTION, "requirements.txt"), "rb") as file:
        content = file.read()
    libc = getattr(sys.implementation, "_multiarch", "")
    tag = f"{sys.implementation.cache_tag}{sys.abiflags} {os.uname().machine} {libc}"
    return hashlib.sha256(tag.encode() + b"\n" + content).hexdigest()[:32]


def homes() -> "list[str]":
    """List the folders that may hold environments, best first.

    A job in a container shares the runner's tool cache as another user; each has its own folder.
    """
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parents = [os.environ.get("RUNNER_TOOL_CACHE"), os.environ.get("RUNNER_TEMP"), user_cache]
    name = f"feastflow-registry-{os.getuid()}"
    found = [os.path.join(each, name) for each in parents if each and os.path.isabs(each)]
    return [home for home in found if home.isprintable() and not _is_checked_out(home)]


def _is_checked_out(home: str) -> bool:
    """Whether whoever wrote what is checked out could have put an environment there."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    inside = os.path.join(os.path.realpath(workspace), "") if workspace else "\n"
    return os.path.realpath(home).startswith(inside)


def is_kept(home: str, key: str) -> bool:
    """Whether a home holds a whole environment that nobody else could have changed."""
    folder = os.path.join(home, key)
    return os.path.isfile(os.path.join(folder, MARKER)) and is_private(home) and is_private(folder)


def is_private(folder: str) -> bool:
    """Whether nobody else could have put code there."""
    found = os.lstat(folder)
    is_folder = found.st_mode & 0o170000 == 0o040000
    return is_folder and found.st_uid == os.getuid() and not found.st_mode & 0o022


def tell(home: str, key: str) -> None:
    """Tell the runner which Python to use, and where its packages are."""
    folder = os.path.join(home, key)
    try:
        os.utime(os.path.join(folder, MARKER))
    except OSError:  # Kept for all that; only sweeping asks when it was last used.
        pass
    with open(os.environ.get("GITHUB_OUTPUT") or 1, "a", encoding="utf-8") as output:
        output.write(f"python={sys.executable}\nsite={os.path.join(folder, 'site')}\n")


def _tell(home: str, key: str) -> bool:
    """Tell it, if that is possible; what keeps it from that is said where there is time for it."""
    try:
        tell(home, key)
    except OSError:
        return False
    return True


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
