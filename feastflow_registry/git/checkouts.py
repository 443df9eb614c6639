"""Where the repository is that this run is about: actions/checkout may be given another ``path``.

https://github.com/actions/checkout#usage
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from feastflow_registry.git.clone import Git
from feastflow_registry.git.worktree import lies_within
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Commit
from feastflow_registry.model.wording import some


def find(workspace: Path, named: str, commit: Commit | None, environ: Mapping[str, str]) -> Path:
    """The working copy: the folder that is named, the workspace, or what holds the commit below it.

    Raises an input failure where no folder, or more than one, holds it. None is where a link leads
    out of the workspace.
    """
    if not lies_within(workspace / named, workspace):
        raise Failure(
            Kind.INPUT,
            f'input "working-directory": {named!r} lies outside the workspace.',
            "Give a folder inside it; a symbolic link must not lead out of it.",
        )
    if named and not _is_working_copy(workspace / named):
        raise Failure(
            Kind.INPUT,
            f'input "working-directory": {named!r} is no folder with a git repository.',
            "Give the path that actions/checkout was given.",
        )
    if named or not commit or _is_working_copy(workspace):
        return workspace / named
    inside = (each for each in workspace.glob("*") if lies_within(each, workspace))
    below = sorted(filter(_is_working_copy, inside))
    holding = [each for each in below if _holds(Git(each, environ), commit)]
    if len(holding) == 1 or not below:
        return (holding or [workspace])[0]
    names = some([repr(each.name) for each in holding or below])
    how_many = "more than one of its folders" if holding else "none of its folders"
    raise Failure(
        Kind.INPUT,
        f"the workspace is no git repository, and {how_many} is at commit {commit.short}: {names}.",
        'Name the folder of the repository in the input "working-directory".',
    )


def _is_working_copy(folder: Path) -> bool:
    return (folder / ".git").exists()


def _holds(git: Git, commit: Commit) -> bool:
    """Whether a commit is checked out; a git tag's own object stands for its commit."""
    return git.resolve("HEAD") in (commit, git.peel(commit))
