"""The files that ``manifests`` names: found inside the workspace, and replaced whole or not at all.

It refuses what leads out of the workspace, is missing, is no file or may not be written, before
anything is. Links to files are followed, so that a file is one file by whatever name. What is to be
edited is found by the names of manifests, through links to folders only where they are named, and
hidden only where the dot is written. Of what is only read, nothing is left out.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from feastflow_registry.kubernetes.kustomization import NAMES
from feastflow_registry.kubernetes.workloads import LARGEST
from feastflow_registry.model.errors import Failure, Kind, gather, nearest

_SUFFIXES = (".yaml", ".yml", ".json")
_MOST = 2000
_PIECE = 1024 * 1024
_MAGIC = frozenset("*?[")
_ANYWHERE = "**"
_GIT = ".git"

Pattern = tuple[str, ...]
"""The names of folders and of a file, one below the other, with ``*`` and ``**``."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file as it was read. ``name``: relative to the workspace, links followed."""

    name: str
    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file that is only read, a piece at a time. ``name``: as in ``ManifestFile``."""

    name: str
    path: Path

    @property
    def is_manifest(self) -> bool:
        """Whether its name is one of a manifest."""
        return _is_manifest(self.path.name)

    def pieces(self) -> Iterator[bytes]:
        """Read it, however large it is. Raises a conflict if it is gone by now."""
        with _explained(self.name), self.path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def beginning(self, most: int) -> bytes:
        """Read no more of it than so many bytes."""
        with _explained(self.name), self.path.open("rb") as file:
            return file.read(most)


def every(workspace: Path, wanted: Sequence[str]) -> tuple[ShownFile, ...]:
    """Find all files that names, patterns and folders stand for, each once, in their order.

    Of a folder, these are all that is below it but ``.git``: hidden files, those of any name, and
    what links lead to. Raises one input failure with all that cannot be read.
    """
    top = workspace.resolve()
    files: dict[Path, ShownFile] = {}

    def add(item: str) -> None:
        for path in _candidates(top, item, every=True):
            real = _within(top, path)
            files[real] = ShownFile(_check_file(top, real), real)

    gather(*(partial(add, item) for item in wanted))
    return tuple(files.values())


def find(workspace: Path, wanted: Sequence[str]) -> tuple[ManifestFile, ...]:
    """Read the files that names, patterns and folders stand for, each once, in their order.

    Of a folder, and of a pattern that ends with ``*``, these are the ``*.yaml``, ``*.yml``,
    ``*.json`` and kustomizations. Raises one input failure with all that cannot be read.
    """
    top = workspace.resolve()
    files: dict[Path, ManifestFile] = {}

    def add(item: str) -> None:
        for path in _candidates(top, item):
            real = _within(top, path)
            if real not in files:
                files[real] = _read(top, real)
            if len(files) > _MOST:
                cause = f'input "manifests": {item!r} stands for more than {_MOST} files.'
                raise Failure(Kind.INPUT, cause, "Name the folders that hold manifests.")

    gather(*(partial(add, item) for item in wanted))
    return tuple(files.values())


def check_writable(files: Sequence[ManifestFile]) -> None:
    """Refuse files that may not be replaced, all at once."""
    gather(*(partial(_check_writable, each) for each in files))


def replace(changes: Sequence[tuple[ManifestFile, bytes]]) -> None:
    """Write new contents, each file whole or not at all; none, if one of them cannot be.

    Raises a conflict if a file is not what it was when it was read, and a failure of this machine
    (as of a build on it) if the system does not write.
    """
    check_writable([file for file, _ in changes])
    done: list[str] = []
    with ExitStack() as drafts:
        ready = [(file, drafts.enter_context(_draft(file, content))) for file, content in changes]
        for file, _ in ready:
            _check_unchanged(file)
        for file, draft in ready:
            more = f"; replaced before it: {', '.join(done)}" if done else ""
            with _explained(file.name, Kind.BUILD, more):
                draft.replace(file.path)
                _flush(file.path.parent)
            done.append(file.name)


@contextmanager
def _draft(file: ManifestFile, content: bytes) -> Iterator[Path]:
    """Write what is to take a file's place beside it, on the disk and with its mode and owner."""
    with _explained(file.name, Kind.BUILD):
        old = file.path.stat()
        handle, name = tempfile.mkstemp(prefix=f".{file.path.name}.", dir=file.path.parent)
    try:
        with _explained(file.name, Kind.BUILD), os.fdopen(handle, "wb") as draft:
            draft.write(content)
            if (old.st_uid, old.st_gid) != (os.getuid(), os.getgid()):
                os.fchown(handle, old.st_uid, old.st_gid)
            os.fchmod(handle, stat.S_IMODE(old.st_mode))
            draft.flush()
            os.fsync(handle)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _check_unchanged(file: ManifestFile) -> None:
    with _explained(file.name, Kind.BUILD):
        same = file.path.resolve() == file.path and file.path.read_bytes() == file.content
    if not same:
        cause = f"{file.name} was changed by someone else while this ran; nothing was written."
        raise Failure(Kind.CONFLICT, cause, "Run the same command again.")


def _check_writable(file: ManifestFile) -> None:
    """Refuse what may not be written, and what root would not be stopped from writing."""
    with _explained(file.name):
        mode = file.path.stat().st_mode
    if not mode & 0o222 or not os.access(file.path, os.W_OK):
        fix = "Allow it with chmod u+w, or leave the file out of the manifests."
        raise Failure(Kind.INPUT, f'input "manifests": {file.name!r} is read-only.', fix)
    if not os.access(file.path.parent, os.W_OK | os.X_OK):
        cause = f'input "manifests": the folder of {file.name!r} is read-only.'
        fix = "Allow writing in it: a file is replaced by another that is written beside it."
        raise Failure(Kind.INPUT, cause, fix)


def _flush(folder: Path) -> None:
    """Put a folder's own entries on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _explained(name: str, kind: Kind = Kind.INPUT, more: str = "") -> Iterator[None]:
    """Turn an error of the system into a failure that names the file."""
    try:
        yield
    except FileNotFoundError:
        cause = f"{name} was removed by someone else while this ran{more}."
        raise Failure(Kind.CONFLICT, cause, "Run the same command again.") from None
    except OSError as error:
        cause = f'input "manifests": {name!r}: {error.strerror or error}{more}.'
        fix = "Check its permissions and the space on its disk, then run this again."
        raise Failure(kind, cause, fix) from None


def _read(top: Path, path: Path) -> ManifestFile:
    name = _check_file(top, path)
    with _explained(name), path.open("rb") as file:
        return ManifestFile(name, path, file.read(LARGEST + 1))


def _check_file(top: Path, path: Path) -> str:
    """Refuse what is missing, or no file; its name."""
    name = path.relative_to(top).as_posix()
    if not path.is_file():
        cause = f'input "manifests": {name!r} is not a file.'
        raise Failure(Kind.INPUT, cause, "Name files, folders or patterns of files.")
    return name


def _within(top: Path, path: Path) -> Path:
    """Follow links. Raises an input failure if they lead out of the workspace."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # A loop of links.
        real = Path("/")
    if not real.is_relative_to(top) or _GIT in real.relative_to(top).parts:
        cause = f'input "manifests": {os.path.relpath(path, top)!r} lies outside the repository.'
        fix = "Name what is inside it; a symbolic link must not lead out of it."
        raise Failure(Kind.INPUT, cause, fix)
    return real


def _candidates(top: Path, item: str, *, every: bool = False) -> list[Path]:
    """List the paths that one item of the input stands for; ``every``: not manifests alone."""
    path = top / item
    if os.path.lexists(path):
        real = _within(top, path)
        if not real.is_dir():
            return [path]
        found = _walk_all(top, real, (_ANYWHERE,)) if every else _walk(real, hidden=False)
        paths = [each for each in found if every or _is_manifest(each.name)]
        lacks = f"there is no {'file' if every else 'manifest'} in the folder {item!r}."
        fix = f"Manifests are files that end with {', '.join(_SUFFIXES)}."
    elif _MAGIC & set(item):
        paths = _glob(top, item, every=every)
        lacks = f"no file matches {item!r}."
        fix = "Use * within a name, ** for folders below one another, and / between names."
    else:
        paths = []
        lacks = f"there is no {item!r}."
        fix = "Give a path relative to the top folder of the repository."
        if path.parent.is_dir():
            beside = [os.path.relpath(each, top) for each in _within(top, path.parent).iterdir()]
            fix = nearest(item, beside) if beside else fix
    if not paths:
        raise Failure(Kind.INPUT, f'input "manifests": {lacks}', fix)
    return paths


def _glob(top: Path, item: str, *, every: bool) -> list[Path]:
    pattern = Path(item).parts
    fixed = next(index for index, part in enumerate(pattern) if _MAGIC & set(part))
    base = _within(top, top.joinpath(*pattern[:fixed]))
    rest = pattern[fixed:]
    if every:
        return list(_walk_all(top, base, rest))
    hidden = any(part.startswith(".") for part in rest)
    found = _walk(base, hidden=hidden)
    paths = [each for each in found if _matches(each.relative_to(base).parts, rest)]
    if not rest[-1].endswith("*"):
        return paths
    return [each for each in paths if _is_manifest(each.name)]


def _walk(folder: Path, *, hidden: bool) -> Iterator[Path]:
    """Yield the files below a folder in their order, without following links to folders."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            each for each in folders if each != _GIT and (hidden or not each.startswith("."))
        )
        yield from (Path(place, each) for each in sorted(files) if hidden or each[0] != ".")


def _walk_all(top: Path, folder: Path, pattern: Pattern) -> Iterator[Path]:
    """Yield every file below a folder that matches by one of its names, in their order.

    A folder that links lead to is entered once for each rest of the pattern that is left there, so
    that no name is overlooked, and a circle ends. Raises an input failure at what cannot be listed,
    or leads out of the workspace.
    """

    def refuse(error: OSError) -> None:
        with _explained(os.path.relpath(error.filename, top)):
            raise error

    left = {str(folder): frozenset([pattern])}
    entered = {(folder, left[str(folder)])}
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here = left.pop(place)
        names, folders[:] = sorted(folders), []
        for name in names:
            path = Path(place, name)
            rests = _after(here, name, hidden=True) if name != _GIT else frozenset()
            if rests and (entry := (_within(top, path), rests)) not in entered:
                entered.add(entry)
                left[str(path)] = rests
                folders.append(name)
        for name in sorted(files):
            if name != _GIT and _is_whole(_after(here, name, hidden=True)):
                yield Path(place, name)


def _matches(path: Sequence[str], pattern: Pattern) -> bool:
    """Match the parts of a path; a leading dot is matched by a dot alone."""
    rests = frozenset([pattern])
    for name in path:
        rests = _after(rests, name, hidden=False)
    return _is_whole(rests)


def _after(rests: Iterable[Pattern], name: str, *, hidden: bool) -> frozenset[Pattern]:
    """What may be left of a pattern after one more name; ``hidden``: whatever it begins with."""
    found: set[Pattern] = set()
    for rest in rests:
        for place, part in enumerate(rest):
            visible = hidden or part.startswith(".") or not name.startswith(".")
            if visible and part == _ANYWHERE:
                found.add(rest[place:])
            elif visible and fnmatchcase(name, part):
                found.add(rest[place + 1 :])
            if part != _ANYWHERE:
                break
    return frozenset(found)


def _is_whole(rests: Iterable[Pattern]) -> bool:
    """Whether a path may end here."""
    return any(all(part == _ANYWHERE for part in rest) for rest in rests)


def _is_manifest(name: str) -> bool:
    return name in NAMES or name.endswith(_SUFFIXES)
