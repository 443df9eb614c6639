"""Where the repository lies, and what its main branch is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.failures import fails
from support.machine import Machine
from support.registries import LocalRegistry
from support.repositories import Project

from feastflow_registry.git import checkouts
from feastflow_registry.git.clone import Git
from feastflow_registry.model.references import Commit


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace that is no repository, with a folder that is none either."""
    folder = tmp_path / "workspace"
    (folder / "node_modules" / "x").mkdir(parents=True)
    return folder


def find(workspace: Path, project: Project, named: str = "", commit: str = "") -> str:
    """The folder that is found, as the workspace names it."""
    wanted = Commit.parse(commit or project.head)
    return str(checkouts.find(workspace, named, wanted, {}).relative_to(workspace))


@pytest.mark.parametrize("inputs", [{}, {"working_directory": "app"}])
def test_a_checkout_below_the_workspace_is_published(
    machine: Machine, place: LocalRegistry, workspace: Path, inputs: dict[str, Any]
) -> None:
    machine.project.clone(workspace / "app")
    machine.workspace = workspace
    ran = machine.call(machine.runner(**inputs)).ended()
    assert ran.outputs["pushed"] == "true"
    assert "latest" in place.tags()


def test_beside_other_repositories_it_is_what_is_at_the_commit(
    workspace: Path, project: Project
) -> None:
    project.clone(workspace / "tools")
    project.commit()
    project.clone(workspace / "app", "--depth=1")
    assert find(workspace, project) == "app"
    annotated = project.tag("v1", annotated=True)
    project.git("fetch", "--quiet", "--tags", at=workspace / "app")
    assert find(workspace, project, commit=annotated) == "app"
    assert find(workspace, project, "tools") == "tools", "who names one means it"
    project.clone(workspace / "again")
    with fails("more than one of its folders is at commit", "'again', 'app'", "working-directory"):
        find(workspace, project)


@pytest.mark.parametrize("named", ["", "."])
def test_a_workspace_that_is_a_repository_is_the_one(
    workspace: Path, project: Project, named: str
) -> None:
    project.clone(workspace / "node_modules" / "x")
    project.clone(workspace / "app")
    checked_out = project.clone(workspace.parent / "whole")
    (workspace / "app").rename(checked_out / "app")
    assert find(checked_out, project, named) == "."


def test_what_is_at_another_commit_is_not_guessed(workspace: Path, project: Project) -> None:
    assert find(workspace, project) == ".", "which git then says is no repository"
    project.clone(workspace / "tools")
    project.commit()
    with fails("none of its folders is at commit", "'tools'", 'input "working-directory"'):
        find(workspace, project)


@pytest.mark.parametrize("named", ["node_modules", "none", "node_modules/x"])
def test_a_folder_without_a_repository_is_refused(
    workspace: Path, project: Project, named: str
) -> None:
    with fails(f"'{named}' is no folder with a git repository", "actions/checkout"):
        find(workspace, project, named)


@pytest.mark.parametrize("named", ["/etc", "../other", "app/../../other"])
def test_a_folder_elsewhere_is_refused(machine: Machine, workspace: Path, named: str) -> None:
    machine.project.clone(workspace.parent / "other")
    machine.workspace = workspace
    ran = machine.call(machine.runner(working_directory=named)).ended(2)
    [error] = ran.errors
    assert error.startswith(f'input "working-directory": {named!r} ')


@pytest.mark.parametrize("named", ["link", "app/link", "whole/..", "link/../app", "loop"])
def test_a_link_that_leads_elsewhere_is_refused(
    workspace: Path, project: Project, named: str
) -> None:
    """What is checked out may hold one: everything that is named below would be read there."""
    other = project.clone(workspace.parent / "other")
    app = project.clone(workspace / "app")
    for link in (workspace / "link", app / "link"):
        link.symlink_to(other)
    (workspace / "whole").symlink_to(other)
    (workspace / "loop").symlink_to("loop")
    with fails(f"'{named}' lies outside the workspace", "a symbolic link must not lead out of it"):
        find(workspace, project, named)


def test_a_link_that_leads_elsewhere_is_not_found_either(workspace: Path, project: Project) -> None:
    (workspace / "app").symlink_to(project.clone(workspace.parent / "other"))
    assert find(workspace, project) == ".", "which git then says is no repository"
    (workspace / "here").symlink_to(project.clone(workspace / "node_modules" / "x"))
    assert find(workspace, project) == "here", "one that stays inside is taken"


def test_the_remotes_default_branch_is_known_where_it_was_cloned(
    workspace: Path, project: Project
) -> None:
    assert Git(project.folder, {}).checkout("").default_branch == ""
    project.git("checkout", "--quiet", "-b", "trunk")
    project.commit()
    project.git("symbolic-ref", "HEAD", "refs/heads/trunk", at=project.origin)
    git = Git(project.clone(workspace / "app"), {})
    found = git.checkout("")
    assert (found.default_branch, found.on_remote_main) == ("trunk", True)
    assert not git.checkout("main").on_remote_main
