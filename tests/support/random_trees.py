"""A repository of several services, and what can be done to it: much of it is unseen by git."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Service

FOLDERS = ("web", "web/deep", "web/deep/er", "api", "lib", "lib/in", "docker", "job", "other")
FILTER = ("filter.case.clean=tr A-Z a-z", "filter.case.smudge=tr a-z A-Z")
SETTINGS = ("core.filemode=false", "core.symlinks=false", "core.autocrlf=true", "core.eol=crlf")
FIRST = {
    "web/Dockerfile": "FROM scratch\nARG A=0\nLABEL a=$A\nENV A=$A\nCOPY . /web\n",
    "docker/Dockerfile": (
        "FROM scratch AS one\nCOPY . /api\nCOPY --from=shared . /lib\n"
        "FROM scratch AS two\nCOPY --from=shared . /two\nFROM one\nARG A=0\nENV A=$A\n"
    ),
    "docker/job": "FROM base AS one\nFROM one AS two\nCOPY . /job\nARG A=0\nLABEL job=$A\n",
    **{f"{folder}/{name}": f"{folder}\n" for folder in FOLDERS for name in ("a", "b.txt")},
}


def _service(name: str, context: str, **facts: Any) -> Service:
    repository = Repository.parse(RegistryHost("docker.io"), f"feastflow/{name}")
    return Service(name, repository, context=context, **facts)


SERVICES = (
    _service("web", "web", labels=(("team", "w"),)),
    _service("deep", "web/deep", dockerfile="../Dockerfile"),
    _service("api", "api", dockerfile="../docker/Dockerfile", contexts=(("shared", "lib"),)),
    _service("job", "job", dockerfile="../docker/job", contexts=(("base", "service:web"),)),
    _service("in", "lib/in", dockerfile="../../web/Dockerfile", watch=("other",)),
)


@dataclass
class WorkingCopy:
    """One working copy, and the services that are made from it."""

    home: Path
    folder: Path = field(init=False)
    services: dict[str, Service] = field(default_factory=dict)
    clones: int = 0

    def __post_init__(self) -> None:
        self.folder = self.home / "0"
        self.services = {each.name: each for each in SERVICES}
        git(self.home, "init", "--quiet", "--template=", "-b", "main", str(self.folder))
        for each in FILTER:
            self.git("config", *each.split("=", 1))
        for name, text in FIRST.items():
            Write(name, text.encode()).to(self)

    def git(self, *arguments: str) -> bool:
        """Run git; whether it did as it was told."""
        return git(self.folder, *arguments)

    def clear(self, name: str) -> Path | None:
        """Make room for a file: nothing is there; nothing, if something else is in the way."""
        path = self.folder / name
        for parent in reversed(path.relative_to(self.folder).parents):
            if (self.folder / parent).is_symlink() or (self.folder / parent).is_file():
                return None
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            return None
        path.unlink(missing_ok=True)
        return path

    def known(self, name: str) -> Path | None:
        """What is there, if it is reached by no link."""
        path = self.folder / name
        linked = any(self.folder.joinpath(each).is_symlink() for each in Path(name).parents)
        return None if linked or not name or not os.path.lexists(path) else path

    def commit(self, *, everything: bool) -> str:
        """Commit what is tracked, or everything that git does not ignore; what HEAD is then."""
        self.git("add", "--all" if everything else "--update")
        self.git("commit", "--quiet", "--allow-empty", "-m", "An edit")
        return _git(self.folder, "rev-parse", "HEAD").stdout.strip()

    def clone(self, umask: int) -> None:
        """Go on in a clone of the last commit, made on a machine with that umask."""
        self.clones += 1
        fresh = self.home / str(self.clones)
        before = os.umask(umask)
        try:
            known = _git(self.folder, "config", "--local", "--list").stdout.splitlines()
            kept = [each for each in known if each in (*FILTER, *SETTINGS)]
            options = [word for each in kept for word in ("-c", each)]
            if git(self.home, "clone", "--quiet", *options, str(self.folder), str(fresh)):
                self.folder = fresh
        finally:
            os.umask(before)


class Edit:
    """One change of a checkout; none, where it is not possible."""

    def to(self, checkout: WorkingCopy) -> None:
        """Make it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Write(Edit):
    """Give a file a content."""

    name: str
    text: bytes

    def to(self, checkout: WorkingCopy) -> None:
        if path := checkout.clear(self.name):
            path.write_bytes(self.text)


@dataclass(frozen=True)
class Lines(Edit):
    """Give a file lines: attributes, or what is ignored."""

    name: str
    lines: tuple[str, ...]

    def to(self, checkout: WorkingCopy) -> None:
        Write(self.name, "".join(f"{each}\n" for each in self.lines).encode()).to(checkout)


@dataclass(frozen=True)
class Remove(Edit):
    """Remove a file or a whole folder."""

    name: str

    def to(self, checkout: WorkingCopy) -> None:
        path = checkout.known(self.name)
        if path and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path:
            path.unlink()


@dataclass(frozen=True)
class Move(Edit):
    """Rename a file or a folder."""

    name: str
    other: str

    def to(self, checkout: WorkingCopy) -> None:
        path = checkout.known(self.name)
        if path and self.name not in self.other and (room := checkout.clear(self.other)):
            path.rename(room)


@dataclass(frozen=True)
class Mode(Edit):
    """Change who may do what."""

    name: str
    mode: int

    def to(self, checkout: WorkingCopy) -> None:
        path = checkout.known(self.name)
        if path and not path.is_symlink():
            path.chmod(self.mode)


@dataclass(frozen=True)
class Link(Edit):
    """Put a symbolic link where a file or a folder was."""

    name: str
    target: str

    def to(self, checkout: WorkingCopy) -> None:
        Remove(self.name).to(checkout)
        if path := checkout.clear(self.name):
            path.symlink_to(self.target)


@dataclass(frozen=True)
class Special(Edit):
    """Leave an empty folder, or a pipe, that git has no name for."""

    name: str
    pipe: bool = False

    def to(self, checkout: WorkingCopy) -> None:
        if path := checkout.clear(self.name):
            os.mkfifo(path) if self.pipe else path.mkdir()


@dataclass(frozen=True)
class Inner(Edit):
    """Make a folder a repository of its own, which git then leaves alone; or write to one."""

    name: str
    text: bytes

    def to(self, checkout: WorkingCopy) -> None:
        path = checkout.folder / self.name
        if self.name and checkout.clear(f"{self.name}/mark") and path.is_dir():
            if not (path / ".git").exists():
                git(path, "init", "--quiet", "--template=", ".")
            (path / ".git/mark").write_bytes(self.text)


@dataclass(frozen=True)
class Submodule(Edit):
    """Add a repository as a submodule."""

    name: str

    def to(self, checkout: WorkingCopy) -> None:
        source = checkout.home / "submodule"
        if not source.exists():
            git(checkout.home, "init", "--quiet", str(source))
            git(source, "commit", "--quiet", "--allow-empty", "-m", "One")
        options = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
        checkout.git(*options, str(source), self.name)


@dataclass(frozen=True)
class Hide(Edit):
    """Tell git not to look at a file, and change it."""

    name: str
    how: str
    text: bytes

    def to(self, checkout: WorkingCopy) -> None:
        if checkout.git("update-index", f"--{self.how}", "--", self.name):
            Write(self.name, self.text).to(checkout)


@dataclass(frozen=True)
class LineEnds(Edit):
    """Write a text with the line ends of another system."""

    name: str

    def to(self, checkout: WorkingCopy) -> None:
        path = checkout.known(self.name)
        if path and path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            plain = text.replace(b"\r\n", b"\n")
            path.write_bytes(plain if plain != text else plain.replace(b"\n", b"\r\n"))


@dataclass(frozen=True)
class Command(Edit):
    """Have git do something."""

    words: tuple[str, ...]

    def to(self, checkout: WorkingCopy) -> None:
        checkout.git(*self.words)


@dataclass(frozen=True)
class Define(Edit):
    """Change a service's definition."""

    name: str
    change: Mapping[str, Any]

    def to(self, checkout: WorkingCopy) -> None:
        checkout.services[self.name] = replace(checkout.services[self.name], **self.change)


def git(folder: Path, *arguments: str) -> bool:
    """Run git without anybody's configuration; whether it did as it was told."""
    return _git(folder, *arguments).returncode == 0


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    author = {
        f"GIT_{role}_{part}": "developer@example.com"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**clean, **author, **nobody},
        capture_output=True,
        text=True,
        check=False,
    )
