"""A real git repository, read with git for `github_api`, in the terms that GitHub's API uses."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
COMMIT_FORMAT = "%x00".join(["%H", "%T", "%P", "%an", "%ae", "%ad", "%cn", "%ce", "%cd", "%B"])
HEX = re.compile(r"[0-9a-f]{4,40}", re.IGNORECASE)

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """One commit; people are (name, address, UTC time as GitHub writes it)."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]
    committer: tuple[str, str, str]
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What lies between two commits; `commits` is oldest first."""

    merge_base: str
    ahead_by: int
    behind_by: int
    commits: tuple[str, ...]

    @property
    def status(self) -> str:
        """GitHub's word for it."""
        if self.ahead_by and self.behind_by:
            return "diverged"
        return "ahead" if self.ahead_by else "behind" if self.behind_by else "identical"


class GitRepository:
    """`path` is a working copy or a bare repository; `forgotten` commits count as unknown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.forgotten: set[str] = set()
        self._known: dict[tuple[str, ...], str] = {}
        self._refs: dict[str, tuple[str, str]] = {}
        self._state: dict[Path, bytes] = {}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environ = clean | {"TZ": "UTC", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}

    def run(self, *arguments: str, stdin: str = "") -> str:
        """The output of a git command; `CalledProcessError` if it fails."""
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(self.path), *arguments],
            input=stdin.encode(),
            capture_output=True,
            check=True,
            env=self._environ,
        )
        return done.stdout.decode(errors="replace")

    def recall(self, *arguments: str, stdin: str = "") -> str:
        """What git says of objects that are named by their hash: for ever the same, once known."""
        question = (*arguments, stdin)
        if question not in self._known:
            self._known[question] = self.run(*arguments, stdin=stdin)
        return self._known[question]

    def refs(self) -> dict[str, tuple[str, str]]:
        """Full name → (sha, type) of every ref; an annotated tag is of type `tag`."""
        state = self._read_refs()
        if state != self._state:
            output = self.run("for-each-ref", "--format=%(refname) %(objectname) %(objecttype)")
            found = (line.split(" ") for line in output.splitlines())
            self._refs = {name: (sha, kind) for name, sha, kind in found}
            self._state = state
        return self._refs

    def _read_refs(self) -> dict[Path, bytes]:
        """The files that hold the refs, as they are: git is asked only after one has changed."""
        folder = self.path / ".git" if (self.path / ".git").exists() else self.path
        files = [folder / "packed-refs", *(folder / "refs").rglob("*")]
        return {
            each: each.read_bytes() for each in files if each.is_file() and each.suffix != ".lock"
        }

    def default_branch(self) -> str:
        """The branch that HEAD names, born or not."""
        return self.run("symbolic-ref", "--short", "HEAD").strip()

    def resolve(self, name: str) -> str | None:
        """The commit of a branch, a tag, `heads/…`, `tags/…`, `HEAD`, or a sha of 4 digits up."""
        refs = self.refs()
        for prefix in ("refs/heads/", "refs/tags/", "refs/"):
            if prefix + name in refs:
                return self._commit(refs[prefix + name][0])
        if name == "HEAD" or HEX.fullmatch(name):
            return self._commit(name)
        return None

    def _commit(self, name: str) -> str | None:
        try:
            ask = self.recall if len(name) == 40 else self.run
            sha = ask("rev-parse", "--verify", "--quiet", name + "^{commit}").strip()
        except subprocess.CalledProcessError:
            return None
        return None if sha in self.forgotten else sha

    def commits(self, shas: Sequence[str]) -> list[Commit]:
        """The named commits, in the order given."""
        if not shas:
            return []
        output = self.recall(
            "log",
            "-z",
            "--no-walk=unsorted",
            "--stdin",
            "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
            f"--format={COMMIT_FORMAT}",
            stdin="\n".join(shas),
        )
        fields = output.removesuffix("\0").split("\0")
        return [_commit(fields[at : at + 10]) for at in range(0, len(fields), 10)]

    def history(self, sha: str, *, path: str = "", since: str = "", until: str = "") -> list[str]:
        """The commits reachable from one, newest first."""
        limits = [f"--since={since}"] * bool(since) + [f"--until={until}"] * bool(until)
        return self.run("rev-list", *limits, sha, "--", *([path] if path else [])).split()

    def compare(self, base: str, head: str) -> Comparison | None:
        """How `head` stands to `base`; `None` without a common ancestor."""
        try:
            merge_base = self.recall("merge-base", base, head).strip()
        except subprocess.CalledProcessError:
            return None
        ahead = self.recall("rev-list", "--reverse", f"{base}..{head}").split()
        behind = self.recall("rev-list", "--count", f"{head}..{base}")
        return Comparison(merge_base, len(ahead), int(behind), tuple(ahead))

    def files(self, old: str, new: str) -> list[Json]:
        """The files that differ, as GitHub lists them, without patches; at most 300."""
        words = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}
        between = ("-z", "--no-renames", old, new)
        raw = self.recall("diff", "--raw", "--abbrev=40", *between).split("\0")
        counts = self.recall("diff", "--numstat", *between).split("\0")
        found = []
        for facts, name, count in zip(raw[0::2], raw[1::2], counts, strict=False):
            *_, sha, letter = facts.split()
            added, removed = (int(n) if n.isdigit() else 0 for n in count.split("\t")[:2])
            found.append(
                {
                    "sha": sha,
                    "filename": name,
                    "status": words[letter],
                    "additions": added,
                    "deletions": removed,
                    "changes": added + removed,
                }
            )
        return found[:300]

    @staticmethod
    def utc(seconds: str) -> str:
        """A time as GitHub writes it."""
        moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def tag(self, sha: str) -> tuple[dict[str, str], str] | None:
        """Headers and message of an annotated tag's object."""
        if not HEX.fullmatch(sha):
            return None
        try:
            text = self.run("cat-file", "tag", sha)
        except subprocess.CalledProcessError:
            return None
        head, _, message = text.partition("\n\n")
        return dict(_pairs(head.splitlines())), message


def _commit(fields: list[str]) -> Commit:
    sha, tree, parents, *rest = fields
    author, committer = (rest[0], rest[1], rest[2]), (rest[3], rest[4], rest[5])
    return Commit(sha, tree, tuple(parents.split()), author, committer, rest[6].rstrip("\n"))


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(" ")
        yield name, value
