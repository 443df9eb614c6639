"""Commits and the working copy, as git and GitHub tell of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from feastflow_registry.model.references import Commit


class Relation(Enum):
    """Where one commit stands to another."""

    SAME = "is the same commit as"
    AHEAD = "is a descendant of"
    BEHIND = "is an ancestor of"
    DIVERGED = "has diverged from"
    UNKNOWN = "cannot be compared with"


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit as history tells it. ``place``: how many come before it, the newest first."""

    commit: Commit
    place: int
    committed: datetime
    authored: datetime
    subject: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """What git says of the working copy. ``on_remote_main``: HEAD is contained in it.

    ``remotes``: the addresses that lead to the remote, the one that it is called by first;
    ``default_branch``: the remote's, as it was when it was cloned; empty, if git does not know.
    """

    head: Commit
    committed: datetime
    branch: str = ""
    remotes: tuple[str, ...] = ()
    on_remote_main: bool = False
    default_branch: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """A working copy as it is on disk, whatever git sees of it.

    ``files``: what git tracks, and ``folders``: what holds that, each with its mode as ``stat``
    has it, in octal digits; ``untracked``: all else, but nothing inside of an untracked folder;
    ``digest``: sums up a file, or where a link leads; empty, where it cannot be read.
    """

    files: Mapping[str, str]
    folders: Mapping[str, str]
    untracked: tuple[str, ...]
    digest: Callable[[str], str]


SUBMODULE = "160000"
