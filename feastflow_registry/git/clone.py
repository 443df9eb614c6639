"""The checkout and its history, as the ``git`` program tells them.

A shallow clone can prove that one commit contains another, but never that it does not.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath

from feastflow_registry.git import origin
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import SUBMODULE, Checkout, Relation, Revision, Tree
from feastflow_registry.model.references import Commit
from feastflow_registry.model.wording import some

_SECONDS = 120
_DEEP = 101
_MOST_REVISIONS = 20_000
_LAST_SECOND = 253_402_300_799  # Of the year 9999.
_PART = 1024 * 1024
_SETTINGS = {
    "color.ui": "false",
    "core.attributesFile": os.devnull,
    "core.checkStat": "default",
    "core.fileMode": "true",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.ignoreStat": "false",
    "core.symlinks": "true",
    "core.trustctime": "true",
    "core.untrackedCache": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "log.showSignature": "false",
}
"""What a configuration could make git overlook, run or write otherwise, and how it is here.

https://git-scm.com/docs/git-config
"""
_VARIABLES = {
    "GIT_ATTR_SOURCE": "HEAD",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
}
"""The same, where no configuration says it. https://git-scm.com/docs/git#_environment_variables"""
_SUBMODULE_MODE, _LINK_MODE = "160000", "120000"
_ALONE = (
    *("--no-optional-locks", "--no-replace-objects"),
    *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")),
)


@dataclass(frozen=True, slots=True)
class Git:
    """One working copy. ``environ``: what the ``git`` process may see.

    ``offline``: whether what was last fetched counts as what the remote has.
    """

    workspace: Path
    environ: Mapping[str, str]
    offline: bool = False

    def checkout(self, main: str) -> Checkout:
        """Read what HEAD is. Raises an input failure where there is no commit to publish.

        ``main``: the main branch; where it is empty, the remote's default branch is.
        """
        answer = self._run("log", "-1", "--format=%H %ct")
        if answer.returncode == 127:
            raise Failure(Kind.INPUT, "the program git is not installed.", "Install git.")
        fields = answer.stdout.split()
        if "dubious ownership" in answer.stderr:
            raise Failure(
                Kind.INPUT,
                f"git does not trust {self.workspace}, which belongs to another user.",
                "Run as its owner, or `git config --global --add safe.directory` with its path.",
            )
        if answer.returncode and self._text("rev-parse", "--git-dir"):
            raise Failure(
                Kind.INPUT,
                f"the git repository {self.workspace} has no commit yet.",
                "Commit what is to be published (`git add .`, then `git commit`), then run again.",
            )
        if answer.returncode or len(fields) != 2:
            raise Failure(
                Kind.INPUT,
                f"{self.workspace} is not a git repository with a commit.",
                "Check the repository out first: actions/checkout in a workflow, git by hand. "
                'Where it was given a path, name that in the input "working-directory".',
            )
        head = Commit.parse(fields[0])
        default = self._text("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        default = default.removeprefix("origin/")
        remote_main = f"refs/remotes/origin/{main or default or 'main'}"
        return Checkout(
            head=head,
            committed=_moment(fields[1]),
            branch=self._text("symbolic-ref", "--quiet", "--short", "HEAD"),
            remotes=origin.addresses(
                self._text("config", "--get", "remote.origin.url"),
                self._text("remote", "get-url", "origin"),
                self.environ,
            ),
            on_remote_main=self._contains(remote_main, head.sha),
            default_branch=default,
        )

    def peel(self, commit: Commit) -> Commit:
        """Follow an annotated git tag's own object to its commit."""
        return self.resolve(commit.sha) or commit

    def ensure(self, commit: Commit, *, by_content: bool = False) -> None:
        """Refuse unless HEAD is this commit (a git tag is peeled) and no tracked file differs.

        ``by_content``: read every file, for git believes what somebody may have told it.
        """
        head = self._text("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if head != commit.sha and head != self.peel(commit).sha:
            raise Failure(
                Kind.INPUT,
                f"HEAD is {head[:7] or 'no commit'}, but this run is for {commit.short}.",
                "Leave the ref of actions/checkout at its default, and do not move HEAD in a "
                "later step.",
            )
        status = self._run(
            "status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=none"
        )
        changed = [entry[3:] for entry in status.stdout.split("\0") if entry]
        hidden = [entry.partition(" ") for entry in self._list("-v")]
        changed += [name for mark, _, name in hidden if self._is_hidden(mark, name)]
        if by_content and not changed:
            changed = self.altered()
        if status.returncode or changed:
            names = some([repr(name) for name in changed], 3) or "unknown to git"
            raise Failure(
                Kind.INPUT,
                f"tracked files differ from commit {commit.short}: {names}.",
                "Commit or restore them: what is pushed must be what the commit says.",
                see="modified-files",
            )

    def altered(self, folder: str = "") -> list[str]:
        """The files whose content is not what HEAD holds, whatever git has noted of them.

        A submodule that is checked out is looked into. Git is asked only about files that HEAD's
        own attributes may have changed on their way to the disk.
        https://git-scm.com/docs/gitattributes
        """
        listed = self._bytes("ls-tree", "-r", "-z", "--full-tree", "HEAD").stdout.split(b"\0")
        altered: dict[str, str] = {}
        for entry in filter(None, listed):
            facts, _, raw = entry.partition(b"\t")
            mode, _, digest = facts.decode().split(" ")
            name = os.fsdecode(raw)
            if mode == _SUBMODULE_MODE:
                altered |= dict.fromkeys(self._altered_submodule(name, digest), "")
            elif self._object_name(name, digest, is_link=mode == _LINK_MODE) not in (digest, ""):
                altered[name] = digest
        own = [name for name, digest in altered.items() if digest and "\n" not in name]
        if own and not self._reads_otherwise():
            names = "".join(f"{name}\n" for name in own).encode("utf-8", "surrogateescape")
            cleaned = self._bytes("hash-object", "--stdin-paths", given=names).stdout.split()
            for name, found in zip(own, cleaned, strict=False):
                if found.decode() == altered[name]:
                    del altered[name]
        return [posixpath.join(folder, name) for name in altered]

    def _altered_submodule(self, name: str, commit: str) -> list[str]:
        path = self.workspace / name
        if not path.is_dir() or not any(path.iterdir()):
            return []  # It is not checked out.
        inner = replace(self, workspace=path)
        head = inner.resolve("HEAD")  # The superproject's, if it has no repository of its own.
        return inner.altered(name) if head and head.sha == commit else [name]

    def _object_name(self, name: str, like: str, *, is_link: bool = False) -> str:
        """A file's or a link's name as a git object, as it lies there; empty if it does not.

        ``is_link``: which of both it has to be.

        https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        """
        path = self.workspace / name
        try:
            if path.is_symlink() != is_link:
                return "another kind of file"
            content = os.fsencode(path.readlink()) if is_link else path.read_bytes()
        except OSError:
            return ""
        return _object_name(b"blob", content, like)

    def _reads_otherwise(self) -> bool:
        """Whether anything but HEAD says how git is to read files: it may say that all is well."""
        own = self.workspace / self._text("rev-parse", "--git-path", "info/attributes")
        with suppress(OSError):
            if own.read_bytes().strip():
                return True
        return bool(self._list("--others", "--", ":(glob)**/.gitattributes"))

    def _is_hidden(self, mark: str, name: str) -> bool:
        """Whether git ignores changes of a file that is there: a sparse checkout leaves files out.

        https://git-scm.com/docs/git-ls-files#Documentation/git-ls-files.txt--v
        """
        return mark.islower() or (mark == "S" and os.path.lexists(self.workspace / name))

    def tracks(self, path: str) -> bool:
        """Whether a file is tracked."""
        return bool(self._list("--", f":(literal){path}"))

    def is_committed(self, path: str) -> bool:
        """Whether a file is what HEAD holds, byte by byte; false where HEAD does not have it."""
        name = self._text("rev-parse", "--verify", "--quiet", "HEAD")
        content = self._object(b"commit", name)
        name = content.partition(b"\n")[0].removeprefix(b"tree ").decode()
        for part in PurePosixPath(path).parts:
            name = _entries(self._object(b"tree", name), len(name) // 2).get(os.fsencode(part), "")
        return bool(name) and self._object_name(path, name) == name

    def _object(self, kind: bytes, name: str) -> bytes:
        """An object of git's, if its bytes are what its name says; git does not look."""
        content = self._bytes("cat-file", kind.decode(), name).stdout if name else b""
        return content if _object_name(kind, content, name) == name else b""

    def tree(self) -> Tree:
        """List what is on disk; git only tells which of it is tracked.

        Git itself overlooks modes, pipes, a ``.git`` in a folder, and what attributes change.
        https://git-scm.com/docs/git-ls-files
        """
        listed = (entry.partition("\t") for entry in self._list("--stage"))
        tracked = {name: facts.partition(" ")[0] for facts, _, name in listed}
        parents = _parents(tracked)
        files: dict[str, str] = {}
        folders: dict[str, str] = {}
        untracked: list[str] = []
        unread = [""]
        while unread:
            for name, mode in self._modes(unread.pop()):
                if name in parents and stat.S_ISDIR(mode):
                    folders[name] = f"{mode:o}"
                    unread.append(name)
                elif tracked.get(name) == SUBMODULE:
                    files[name] = SUBMODULE
                elif name in tracked and (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                    files[name] = f"{mode:o}"
                else:
                    untracked.append(name)
        return Tree(files, folders, tuple(sorted(untracked)), cache(self._digest))

    def _modes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Names and modes in a folder, without git's own files; nothing if it cannot be read."""
        with suppress(OSError), os.scandir(self.workspace / folder) as entries:
            for entry in entries:
                if folder or entry.name != ".git":
                    mode = entry.stat(follow_symlinks=False).st_mode
                    yield posixpath.join(folder, entry.name), mode

    def _digest(self, name: str) -> str:
        """Hash a file's content, or the target of a link; empty if it cannot be read."""
        path = self.workspace / name
        hashed = hashlib.sha256()
        try:
            if path.is_symlink():
                hashed.update(os.fsencode(path.readlink()))
            else:
                with path.open("rb", buffering=0) as file:
                    while part := file.read(_PART):
                        hashed.update(part)
        except OSError:
            return ""
        return hashed.hexdigest()

    def _list(self, *arguments: str) -> list[str]:
        """List names of any bytes; decoded leniently, two of them could look the same."""
        answer = self._bytes("ls-files", "-z", *arguments)
        if answer.returncode:
            raise Failure(
                Kind.INPUT, "git could not list the files.", "See what `git ls-files` says."
            )
        return [os.fsdecode(entry) for entry in answer.stdout.split(b"\0") if entry]

    def untracked(self, folders: Sequence[str]) -> list[str]:
        """List what git neither tracks nor ignores."""
        return self._list("--others", "--exclude-standard", "--", *folders)

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Say where ``head`` stands to ``base``, as far as this clone can prove it."""
        if base == head:
            return Relation.SAME
        if self._contains(head.sha, base.sha):
            return Relation.AHEAD
        if self._contains(base.sha, head.sha):
            return Relation.BEHIND
        whole = self._text("rev-parse", "--is-shallow-repository") == "false"
        both = all(self._is_known(each) for each in (base, head))
        return Relation.DIVERGED if whole and both else Relation.UNKNOWN

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """Ask the remote for a branch's head, and list the first parents back to a commit."""
        ref = f"refs/heads/{branch}"
        tip = Commit.read(self._refs(ref).get(ref, ""))
        if tip in (None, commit):
            return []
        if not self._is_known(tip):
            self._remote(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "origin", tip.sha
            )
        if not self._contains(tip.sha, commit.sha):
            return []
        newer = self._text("rev-list", "--first-parent", f"{commit}..{tip}").split()
        return [Commit.parse(each) for each in newer]

    def ancestors(self, commit: Commit) -> Sequence[Commit]:
        """List the first parents before a commit, as far as this clone goes."""
        listed = self._text("rev-list", "--first-parent", f"--max-count={_DEEP}", commit.sha)
        return [Commit.parse(each) for each in listed.split()[1:]]

    def git_tag(self, name: str) -> Commit | None:
        """Ask the remote for a git tag; an annotated one is peeled to its commit."""
        ref = f"refs/tags/{name}"
        listed = self._refs(ref, f"{ref}^{{}}")
        return Commit.read(listed.get(f"{ref}^{{}}") or listed.get(ref))

    def git_tag_names(self) -> Collection[str]:
        """Ask the remote for the names of all git tags."""
        tags = (ref.partition("refs/tags/") for ref in self._refs("refs/tags/*"))
        return [name for start, _, name in tags if not start and not name.endswith("^{}")]

    def _refs(self, *patterns: str) -> dict[str, str]:
        """What the remote's branches and tags point to; with ``^{}``, an annotated one's commit."""
        if self.offline:
            known = self._text("show-ref", "--dereference").split("\n")
            kept = [line for line in known if " refs/heads/" not in line]
            listed = "\n".join(kept).replace(" refs/remotes/origin/", " refs/heads/")
        else:
            listed = self._remote("ls-remote", "origin", *patterns)
        fields = listed.split()
        return dict(zip(fields[1::2], fields[::2], strict=False))

    def resolve(self, abbreviation: str) -> Commit | None:
        """Complete an abbreviated commit that this clone knows."""
        return Commit.read(
            self._text("rev-parse", "--verify", "--quiet", f"{abbreviation}^{{commit}}")
        )

    def revisions(self) -> Iterator[Revision]:
        """Every commit that this clone knows, on whatever branch, newest first; bounded."""
        wanted = ("--all", "--date-order", f"--max-count={_MOST_REVISIONS}", "--no-show-signature")
        log = self._text("log", *wanted, "--encoding=UTF-8", "--format=%H %ct %at %s")
        for place, line in enumerate(log.split("\n") if log else ()):
            sha, committed, authored, *subject = line.split(" ", 3)
            yield Revision(
                Commit.parse(sha), place, _moment(committed), _moment(authored), "".join(subject)
            )

    def is_shallow(self) -> bool:
        """Whether the clone's history is cut off."""
        return self._text("rev-parse", "--is-shallow-repository") == "true"

    def folder(self) -> Path:
        """Git's own folder, in which this program keeps files too."""
        return self.workspace / self._text("rev-parse", "--git-dir")

    def _contains(self, head: str, commit: str) -> bool:
        return self._run("merge-base", "--is-ancestor", commit, head).returncode == 0

    def _is_known(self, commit: Commit) -> bool:
        return self._run("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0

    def _text(self, *arguments: str) -> str:
        answer = self._run(*arguments)
        return answer.stdout.strip() if answer.returncode == 0 else ""

    def _remote(self, *arguments: str) -> str:
        answer = self._run(*arguments)
        if answer.returncode:
            answer = self._run(*arguments)  # A transient failure of the network.
        if answer.returncode:
            raise Failure(
                Kind.UNREACHABLE,
                "the git remote origin could not be asked about its branches and tags.",
                "Check `git ls-remote origin`, then run again.",
            )
        return answer.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self._bytes(*arguments)
        texts = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)

    def _bytes(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["git", *_ALONE, "-C", str(self.workspace), "--work-tree=.", *arguments]
        try:
            return subprocess.run(
                command,
                env={**self.environ, **_VARIABLES},
                input=given,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, b"", b"")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, b"", b"")


def _entries(tree: bytes, size: int) -> dict[bytes, str]:
    """What a tree holds: the name of an object by that of a file; ``size``: bytes of the former."""
    found: dict[bytes, str] = {}
    while tree:
        head, _, tree = tree.partition(b"\0")
        found[head.partition(b" ")[2]], tree = tree[:size].hex(), tree[size:]
    return found


def _object_name(kind: bytes, content: bytes, like: str) -> str:
    """The name of an object, by the algorithm that another name has."""
    hashed = hashlib.sha256() if len(like) == 64 else hashlib.sha1(usedforsecurity=False)
    hashed.update(kind + b" %d\0" % len(content) + content)
    return hashed.hexdigest()


def _moment(seconds: str) -> datetime:
    """Read unix time; a broken commit's is kept within what a datetime can hold."""
    return datetime.fromtimestamp(min(max(int(seconds or 0), 0), _LAST_SECOND), UTC)


def _parents(names: Iterable[str]) -> set[str]:
    """All folders above these files."""
    folders: set[str] = set()
    for name in names:
        folder = posixpath.dirname(name)
        while folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return folders
