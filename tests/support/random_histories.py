"""Random histories of a repository, and what its services are made from at each point of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from feastflow_registry.git.clone import Git
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import Commit
from feastflow_registry.model.services import Service
from feastflow_registry.tags.fingerprint import Fingerprint, fingerprint
from support import random_trees as edits
from support.random_trees import FIRST, FOLDERS, SERVICES, SETTINGS, Edit, WorkingCopy

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
NAMES = ("a", "a", "b.txt", "b.txt", "c.bat", "d.o", "e\nf", "e\rf", "ü x")
TEXTS = (b"", b"one\n", b"two\n", b"one\r\n", b"ONE\n", b"$Id$\n", b"\0\xff")
LINKS = ("b.txt", "deep", "../lib", "../../other/b.txt", "/etc/hostname", "nowhere")
MODES = (0o644, 0o755, 0o600, 0o664, 0o700, 0o4755)
ATTRIBUTES = (
    "* text=auto",
    "* -text",
    "*.txt text",
    "*.txt text eol=crlf",
    "*.txt ident",
    "*.txt filter=case",
    "*.txt -filter",
    "*.txt working-tree-encoding=UTF-16",
)
IGNORED = ("*.txt", "*", "!a", "deep", "**/b.txt", "# nothing")
WEB = "web/Dockerfile"
CHANGES: tuple[Mapping[str, Any], ...] = (
    {"args": (("A", "1"),)},
    {"args": ()},
    {"target": "one"},
    {"target": "two"},
    {"target": ""},
    {"labels": (("team", "x"),)},
    {"platforms": ("linux/arm64",)},
    {"watch": ("other/a",)},
    {"watch": ()},
)


@dataclass(frozen=True)
class Change:
    """Some edits, and how their commit is made. `umask`: that of a new clone, if there is one."""

    edits: tuple[Edit, ...]
    everything: bool = True
    umask: int | None = None


@dataclass(frozen=True)
class State:
    """A copy of a working copy, and what its services are made from."""

    folder: Path
    services: Mapping[str, Service]
    prints: Mapping[str, Fingerprint]


def replay(home: Path, first: Sequence[Edit], changes: Sequence[Change]) -> list[State]:
    """Go through a history; every state that a publish would not refuse."""
    checkout = WorkingCopy(home)
    found = []
    for number, change in enumerate((Change(tuple(first)), *changes)):
        for edit in change.edits:
            edit.to(checkout)
        commit = Commit.parse(checkout.commit(everything=change.everything))
        if change.umask is not None:
            checkout.clone(change.umask)
        prints = look(checkout, commit)
        if prints:
            copy = home / f"state-{number}"
            subprocess.run(["cp", "-a", str(checkout.folder), str(copy)], check=True)
            found.append(State(copy, dict(checkout.services), prints))
    return found


def look(checkout: WorkingCopy, commit: Commit) -> Mapping[str, Fingerprint]:
    """What each service is made from; nothing, where a publish would refuse to begin."""
    git = Git(checkout.folder, ENVIRON)
    try:
        git.ensure(commit)
    except Failure:
        return {}
    tree, known = git.tree(), checkout.services
    return {name: fingerprint(each, known, tree, {}) for name, each in known.items()}


def _in(folders: Sequence[str], names: Sequence[str]) -> st.SearchStrategy[str]:
    paths = st.builds("{}/{}".format, st.sampled_from(folders), st.sampled_from(names))
    return paths.map(lambda path: path.removeprefix("/"))


def _lines(names: Sequence[str], lines: Sequence[str]) -> st.SearchStrategy[Edit]:
    chosen = st.lists(st.sampled_from(lines), max_size=2, unique=True)
    return st.builds(edits.Lines, _in(("", *FOLDERS), names), chosen.map(tuple))


_FOLDER = st.sampled_from(FOLDERS)
_FILE = _in(("", *FOLDERS, *FOLDERS), NAMES)
_ANYTHING = st.one_of(_FILE, _FILE, _FILE, _FOLDER)
_TEXT = st.sampled_from(TEXTS)
_HIDING = ("assume-unchanged", "skip-worktree")

EDITS: st.SearchStrategy[Edit] = st.one_of(
    st.builds(edits.Write, _FILE, _TEXT),
    st.builds(edits.Remove, _ANYTHING),
    st.builds(edits.Move, _ANYTHING, _ANYTHING),
    st.builds(edits.Mode, _ANYTHING, st.sampled_from(MODES)),
    st.builds(edits.Link, _ANYTHING, st.sampled_from(LINKS)),
    st.builds(edits.Special, _FILE, st.booleans()),
    st.builds(edits.Inner, _FOLDER, _TEXT),
    st.builds(edits.Submodule, _FILE),
    st.builds(edits.Hide, _FILE, st.sampled_from(_HIDING), _TEXT),
    st.builds(edits.LineEnds, _FILE),
    _lines((".gitattributes",), ATTRIBUTES),
    _lines((".gitignore",), IGNORED),
    _lines((".dockerignore", "Dockerfile.dockerignore"), IGNORED),
    st.sampled_from(("", "ENV V=1\n", "LABEL v=1\n")).map(
        lambda more: edits.Write(WEB, (FIRST[WEB] + more).encode())
    ),
    st.sampled_from(ATTRIBUTES).map(lambda line: edits.Lines(".git/info/attributes", (line,))),
    st.sampled_from(SETTINGS).map(lambda each: edits.Command(("config", *each.split("=")))),
    st.just(edits.Command(("sparse-checkout", "set", "--no-cone", "/*", "!b.txt"))),
    st.builds(
        edits.Define, st.sampled_from([each.name for each in SERVICES]), st.sampled_from(CHANGES)
    ),
)
_CHANGES = st.builds(
    Change,
    st.lists(EDITS, min_size=1, max_size=3).map(tuple),
    st.booleans(),
    st.sampled_from((None, None, 0o022, 0o077)),
)
HISTORIES = st.tuples(st.lists(EDITS, max_size=4), st.lists(_CHANGES, min_size=1, max_size=3))
