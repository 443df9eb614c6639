"""The first parents before a commit, as a clone and as GitHub's API tell them."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import pytest
from support.clients import github_history
from support.random_histories import ENVIRON
from support.registries import REPOSITORY
from support.repositories import Project
from support.servers.fault_proxy import FaultProxy
from support.servers.github_api import GitHubApi

from feastflow_registry.git.clone import Git
from feastflow_registry.git.github import GitHubHistory
from feastflow_registry.model.references import Commit


@pytest.fixture
def git(project: Project) -> Git:
    return Git(project.folder, ENVIRON)


@pytest.fixture
def history(github: FaultProxy) -> GitHubHistory:
    return github_history(github.url)


class Line:
    """main: one ─ two ─ merge ─ four; side commits, newer than two, join at the merge."""

    def __init__(self, project: Project) -> None:
        self.one = Commit(project.head)
        project.git("checkout", "--quiet", "-b", "side")
        self.side = Commit(project.commit({"side": "1"}))
        project.git("checkout", "--quiet", "main")
        self.two = Commit(project.commit())
        project.git("merge", "--quiet", "--no-ff", "-X", "ours", "-m", "Merge", "side")
        self.merge = Commit(project.head)
        self.four = Commit(project.commit())


@pytest.mark.parametrize("who", ["git", "github"])
def test_the_first_parents_before_a_commit(
    project: Project, git: Git, history: GitHubHistory, who: str
) -> None:
    line = Line(project)
    source = git if who == "git" else history
    assert list(source.ancestors(line.four)) == [line.merge, line.two, line.one]
    assert list(source.ancestors(line.merge)) == [line.two, line.one]
    assert list(source.ancestors(line.side)) == [line.one]
    assert list(source.ancestors(line.one)) == []
    assert list(source.ancestors(Commit("0" * 40))) == []


@pytest.mark.parametrize(("depth", "known"), [(1, 0), (2, 1), (3, 2), (9, 3)])
def test_a_shallow_clone_lists_what_it_holds(
    project: Project, tmp_path: Path, depth: int, known: int
) -> None:
    line = Line(project)
    clone = project.clone(tmp_path / "shallow", f"--depth={depth}")
    found = list(Git(clone, ENVIRON).ancestors(line.four))
    assert found == [line.merge, line.two, line.one][:known]


def test_about_a_hundred_ancestors_cost_one_request(
    project: Project, git: Git, history: GitHubHistory, github: FaultProxy
) -> None:
    for number in range(120):
        project.git("commit", "--quiet", "--allow-empty", "-m", f"empty {number}")
    project.git("push", "--quiet", "origin", "main")
    head = Commit(project.head)
    found = list(history.ancestors(head))
    assert found == list(git.ancestors(head))[:99]
    assert len(found) == 99
    (request,) = github.requests
    url = urllib.parse.urlsplit(request.path)
    assert url.path == f"/repos/{REPOSITORY}/commits"
    asked = dict(urllib.parse.parse_qsl(url.query))
    assert (asked["sha"], asked["per_page"]) == (head.sha, "100")


def test_a_busy_side_branch_hides_older_ancestors_but_invents_none(
    project: Project, history: GitHubHistory
) -> None:
    one = Commit(project.head)
    project.git("checkout", "--quiet", "-b", "side")
    for number in range(110):
        project.git("commit", "--quiet", "--allow-empty", "-m", f"side {number}")
    project.git("checkout", "--quiet", "main")
    two = Commit(project.commit())
    project.git("merge", "--quiet", "--no-ff", "-m", "Merge", "side")
    project.git("push", "--quiet", "origin", "main")
    found = list(history.ancestors(Commit(project.head)))
    assert found in ([two], [two, one]), "the second of these in a second's tie alone"


def test_a_commit_that_github_has_forgotten_has_no_known_ancestors(
    project: Project, history: GitHubHistory, api: GitHubApi
) -> None:
    line = Line(project)
    api.repository.forgotten.add(line.four.sha)
    assert list(history.ancestors(line.four)) == []
