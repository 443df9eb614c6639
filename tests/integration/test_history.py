"""git and GitHub's API on real repositories: who descends from whom, and what nobody can know."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clients import github_history
from support.repositories import Project
from support.servers.fault_proxy import FaultProxy
from support.servers.faults import Fault
from support.servers.github_api import GitHubApi
from support.soak import chosen, one_in

from feastflow_registry.git.clone import Git
from feastflow_registry.git.github import GitHubHistory
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.references import Commit

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"}


class Tree:
    """main: one ─ two ─ merge ─ four; a side branch joins at the merge; `lost` is on no branch."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.one = Commit(project.head)
        project.git("checkout", "--quiet", "-b", "side")
        self.side = Commit(project.commit({"side": "1"}))
        project.git("checkout", "--quiet", "main")
        self.two = Commit(project.commit())
        project.git("merge", "--quiet", "--no-ff", "-X", "ours", "-m", "Merge", "side")
        self.merge = Commit(project.head)
        self.four = Commit(project.commit())
        project.git("checkout", "--quiet", "--orphan", "lost")
        self.lost = Commit(project.commit())
        project.git("checkout", "--quiet", "main")


@pytest.fixture
def tree(project: Project) -> Tree:
    return Tree(project)


@pytest.fixture
def git(project: Project) -> Git:
    return Git(project.folder, ENVIRON)


@pytest.fixture
def history(github: FaultProxy) -> GitHubHistory:
    return github_history(github.url)


def test_a_whole_clone_knows_every_relation(tree: Tree, git: Git) -> None:
    assert git.relation(tree.two, tree.two) is Relation.SAME
    assert git.relation(tree.one, tree.four) is Relation.AHEAD
    assert git.relation(tree.side, tree.four) is Relation.AHEAD
    assert git.relation(tree.four, tree.one) is Relation.BEHIND
    assert git.relation(tree.side, tree.two) is Relation.DIVERGED
    assert git.relation(tree.lost, tree.two) is Relation.DIVERGED
    assert git.relation(Commit("0" * 40), tree.two) is Relation.UNKNOWN


def test_a_shallow_clone_proves_what_it_holds_and_guesses_nothing(
    tree: Tree, project: Project, tmp_path: Path
) -> None:
    git = Git(project.clone(tmp_path / "shallow", "--depth=2"), ENVIRON)
    assert git.is_shallow()
    assert git.relation(tree.merge, tree.four) is Relation.AHEAD
    assert git.relation(tree.four, tree.merge) is Relation.BEHIND
    assert git.relation(tree.one, tree.four) is Relation.UNKNOWN
    assert git.relation(tree.side, tree.two) is Relation.UNKNOWN


def test_github_knows_every_relation(tree: Tree, history: GitHubHistory, api: GitHubApi) -> None:
    assert history.relation(tree.one, tree.four) is Relation.AHEAD
    assert history.relation(tree.four, tree.one) is Relation.BEHIND
    assert history.relation(tree.side, tree.two) is Relation.DIVERGED
    assert history.relation(Commit("0" * 40), tree.two) is Relation.UNKNOWN
    assert history.relation(tree.lost, tree.two) in (Relation.DIVERGED, Relation.UNKNOWN)
    api.repository.forgotten.add(tree.one.sha)
    assert history.relation(tree.one, tree.four) is Relation.UNKNOWN


@pytest.mark.parametrize("who", ["git", "github"])
def test_the_newer_commits_of_a_branch(
    tree: Tree, git: Git, history: GitHubHistory, who: str
) -> None:
    """Newest first, main's own only: a commit of the side branch was never main's head."""
    source = git if who == "git" else history
    assert list(source.newer(tree.one, "main")) == [tree.four, tree.merge, tree.two]
    assert list(source.newer(tree.four, "main")) == []
    assert list(source.newer(tree.lost, "main")) == []
    assert list(source.newer(tree.one, "no-such-branch")) == []


def test_a_clone_hears_of_commits_that_came_after_it(project: Project, tmp_path: Path) -> None:
    clone = project.clone(tmp_path / "early")
    one = Commit(project.head)
    two = Commit(project.commit())
    before = project.git("status", "--porcelain", at=clone)
    assert list(Git(clone, ENVIRON).newer(one, "main")) == [two]
    assert project.git("rev-parse", "HEAD", at=clone) == one.sha
    assert project.git("rev-parse", "origin/main", at=clone) == one.sha, "no ref is moved"
    assert project.git("status", "--porcelain", at=clone) == before


def test_many_newer_commits_come_page_by_page(
    project: Project, history: GitHubHistory, github: FaultProxy
) -> None:
    one = Commit(project.head)
    for number in range(130):
        project.git("commit", "--quiet", "--allow-empty", "-m", f"empty {number}")
    project.git("push", "--quiet", "origin", "main")
    newer = list(history.newer(one, "main"))
    assert len(newer) == 130
    assert newer[0].sha == project.head
    assert len(github.requests) == 2


@pytest.mark.parametrize("who", ["git", "github"])
@pytest.mark.parametrize("annotated", [False, True])
def test_a_git_tag_is_peeled(
    project: Project, git: Git, history: GitHubHistory, who: str, annotated: bool
) -> None:
    source = git if who == "git" else history
    assert source.git_tag("v1") is None
    ref = project.tag("v1", annotated=annotated)
    assert (ref != project.head) is annotated
    assert source.git_tag("v1") == Commit(project.head)
    assert source.git_tag("v") is None, "a prefix is no name"


@pytest.mark.parametrize("who", ["git", "github"])
def test_the_names_of_all_git_tags(
    project: Project, git: Git, history: GitHubHistory, who: str
) -> None:
    source = git if who == "git" else history
    assert list(source.git_tag_names()) == []
    names = sorted(["release/2.0", "v1.2.3+b5", *(f"v{number}" for number in range(120))])
    for name in names:
        project.git("tag", name)
    project.git("tag", "-a", "-m", "annotated", "v-last")
    project.git("push", "--quiet", "--tags", "origin")
    assert sorted(source.git_tag_names()) == sorted([*names, "v-last"])


@pytest.mark.parametrize("nth", [1, 2])
def test_a_page_of_git_tags_that_is_missing_is_no_empty_one(
    project: Project, history: GitHubHistory, github: FaultProxy, nth: int
) -> None:
    for number in range(120):
        project.git("tag", f"v{number}")
    project.git("push", "--quiet", "--tags", "origin")
    github.add(Fault("status", status=404, path="/matching-refs/", nth=nth))
    with pytest.raises(Failure, match="does not list the git tags that it has") as failure:
        history.git_tag_names()
    assert failure.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize("who", ["git", "github"])
def test_an_abbreviation_is_completed(
    tree: Tree, git: Git, history: GitHubHistory, who: str
) -> None:
    source = git if who == "git" else history
    assert source.resolve(tree.two.sha[:7]) == tree.two
    assert source.resolve("0" * 7) is None


def test_the_checkout_of_an_annotated_git_tag_is_its_commit(project: Project, git: Git) -> None:
    """GITHUB_SHA may be the tag object's own name."""
    ref = project.tag("v1", annotated=True)
    git.ensure(Commit(ref))
    git.ensure(Commit(project.head))
    found = git.checkout("main")
    assert found.head == Commit(project.head)
    assert found.on_remote_main
    assert found.branch == "main"


def test_a_remote_that_is_gone_is_unreachable(project: Project, git: Git) -> None:
    project.git("remote", "set-url", "origin", str(project.folder / "nowhere"))
    with pytest.raises(Failure, match="the git remote origin could not be asked") as failure:
        git.git_tag("v1")
    assert failure.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Kind.REFUSED), (403, Kind.REFUSED), (410, Kind.UNREACHABLE)]
)
def test_github_that_refuses_is_not_asked_again(
    project: Project, history: GitHubHistory, github: FaultProxy, status: int, kind: Kind
) -> None:
    fault = github.add(Fault("status", status=status, times=None, body=b'{"message": "no"}'))
    with pytest.raises(Failure) as failure:
        history.relation(Commit(project.head), Commit("0" * 40))
    assert failure.value.kind is kind
    assert fault.fired == 1


def test_an_answer_that_arrives_damaged_is_asked_for_again(
    project: Project, history: GitHubHistory, github: FaultProxy
) -> None:
    one, two = Commit(project.head), Commit(project.commit())
    damages: list[dict[str, Any]] = [
        {"kind": "truncate"},
        {"kind": "status", "status": 200, "body": b'{"status": "ah'},
    ]
    said = ["broke the connection", "sends damaged answers"]
    for damage, cause in zip(damages, said, strict=True):
        once = github.add(Fault(**damage))
        assert history.relation(one, two) is Relation.AHEAD
        assert once.fired == 1
        github.clear()
        github.add(Fault(times=None, **damage))
        with pytest.raises(Failure, match=f"^GitHub's API {cause}") as failure:
            history.relation(one, two)
        assert failure.value.kind is Kind.UNREACHABLE
        github.clear()


def test_a_repository_that_may_not_be_seen_is_not_taken_for_an_empty_one(
    tree: Tree, github: FaultProxy, api: GitHubApi
) -> None:
    """GitHub answers 404 for what exists and for what a token may not see alike."""
    api.private = True
    blind = github_history(github.url, token="")
    for ask in (
        lambda: blind.newer(tree.one, "main"),
        lambda: blind.git_tag("sprint3"),
        lambda: blind.relation(tree.one, tree.two),
    ):
        with pytest.raises(Failure, match="does not let this run read"):
            ask()


MALFORMED = {
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a word": b'"ahead"',
    "a page": b"<html>Unicorn!</html>",
    "another status": b'{"status": 5}',
    "a status that is none": b'{"status": "sideways"}',
    "no commits": b'{"status": "ahead", "commits": null, "object": null, "sha": null}',
    "what is no commit": b'{"status": "ahead", "commits": [{"sha": 1, "parents": 2}], "sha": "x"}',
    "another's commit": b'{"sha": "%s", "object": {"type": "commit", "sha": 7}}' % (b"f" * 40),
    "a chain of tags": b'{"object": {"type": "tag", "sha": "%s"}}' % (b"a" * 40),
    "a commit that is its own parent": b'{"status": "ahead", "commits": [{"sha": "%s", "parents": '
    b'[{"sha": "%s"}]}]}' % (b"a" * 40, b"a" * 40),
    "depth": b"[" * 200_000,
    "nothing": b"",
}


@pytest.mark.parametrize("answer", one_in(4, MALFORMED.values()), ids=MALFORMED)
@pytest.mark.parametrize(
    "question",
    chosen(["newer", "relation", "ancestors", "git_tag", "git_tag_names", "resolve"], 2),
)
def test_an_answer_of_another_shape_is_never_a_no(
    tree: Tree, history: GitHubHistory, github: FaultProxy, question: str, answer: bytes
) -> None:
    asked: dict[str, Callable[[], object]] = {
        "relation": lambda: history.relation(tree.one, tree.four),
        "newer": lambda: list(history.newer(tree.one, "main")),
        "ancestors": lambda: list(history.ancestors(tree.four)),
        "git_tag": lambda: history.git_tag("v1"),
        "git_tag_names": history.git_tag_names,
        "resolve": lambda: history.resolve(tree.one.sha[:9]),
    }
    if question == "git_tag_names" and answer == b"[]":
        return  # There is none.
    if question == "relation" and answer.startswith(b'{"status": "ahead"'):
        return  # The commits are not looked at.
    github.add(Fault("status", status=200, body=answer, times=None))
    with pytest.raises(Failure) as failure:
        asked[question]()
    assert failure.value.kind is Kind.UNREACHABLE
    assert "sends damaged answers, so the order of commits is not known" in str(failure.value)


@pytest.mark.parametrize(
    ("status", "headers"),
    chosen(
        [
            (
                403,
                {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3000)},
            ),
            (403, {"Retry-After": "301"}),
            (429, {"Retry-After": "86400"}),
            (429, {"X-RateLimit-Remaining": "0", "Retry-After": "3600"}),
        ]
    ),
)
def test_a_limit_of_requests_is_told_at_once_and_as_what_it_is(
    tree: Tree, history: GitHubHistory, github: FaultProxy, status: int, headers: dict[str, str]
) -> None:
    body = b'{"message": "You have exceeded a secondary rate limit."}'
    fault = Fault("status", status=status, headers=headers, body=body, times=None)
    github.add(fault)
    cause = (
        rf"^GitHub's API answered {status}, and asks to wait \d+ seconds, so the order of commits"
    )
    with pytest.raises(Failure, match=cause) as failure:
        history.relation(tree.one, tree.four)
    assert failure.value.kind is Kind.UNREACHABLE
    assert fault.fired == 1, "a day is not waited for"


def test_a_short_limit_is_waited_for_in_both_forms(tree: Tree, github: FaultProxy) -> None:
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 250)}
    for status, headers in ((403, {"Retry-After": "60"}), (403, reset), (429, reset)):
        slept: list[float] = []
        history = github_history(github.url, slept=slept)
        github.add(Fault("status", status=status, headers=headers))
        assert history.relation(tree.one, tree.four) is Relation.AHEAD
        [waited] = slept
        assert waited == 60 if "Retry-After" in headers else 200 < waited <= 250


def test_a_renamed_repository_is_followed_with_the_token(
    tree: Tree, history: GitHubHistory, github: FaultProxy, api: GitHubApi
) -> None:
    """GitHub redirects to the number of a repository that has another name by now."""
    api.private = True
    now = {"Location": f"/repos/{api.name}/compare/{tree.one.sha}...{tree.four.sha}"}
    github.add(Fault("status", status=301, path="/old/", headers=now))
    history.api = replace(history.api, repository="old/app")
    assert history.relation(tree.one, tree.four) is Relation.AHEAD


@pytest.mark.parametrize("where", ["https://evil.example/repos/1", "//evil.example/x", "http://["])
def test_a_redirect_to_another_host_gets_no_token(
    tree: Tree, github: FaultProxy, where: str
) -> None:
    fault = github.add(Fault("status", status=307, headers={"Location": where}, times=None))
    with pytest.raises(Failure, match="redirects to another host"):
        github_history(github.url).relation(tree.one, tree.four)
    assert fault.fired == 1


def test_a_redirect_to_itself_ends(tree: Tree, github: FaultProxy) -> None:
    github.add(Fault("status", status=302, headers={"Location": "/"}, times=None))
    with pytest.raises(Failure, match="redirects without end"):
        github_history(github.url).relation(tree.one, tree.four)


@pytest.mark.parametrize("status", chosen([202, 204, 304, 418]))
def test_a_status_that_is_no_answer_is_unreachable(
    tree: Tree, history: GitHubHistory, github: FaultProxy, status: int
) -> None:
    fault = github.add(Fault("status", status=status, times=None))
    with pytest.raises(Failure, match=f"answered {status}") as failure:
        history.newer(tree.one, "main")
    assert failure.value.kind is Kind.UNREACHABLE
    assert fault.fired == 1


def test_a_listing_without_end_is_unreachable(
    tree: Tree, history: GitHubHistory, github: FaultProxy
) -> None:
    body = json.dumps({"status": "ahead", "total_commits": 9, "commits": []}).encode()
    again = {"Link": '</repos/feastflow/app/compare/more>; rel="next", </x>; rel="last"'}
    github.add(Fault("status", status=200, headers=again, body=body, times=None))
    with pytest.raises(Failure, match="lists newer commits without end"):
        history.newer(tree.one, "main")


@pytest.mark.parametrize("how", chosen(["cut off", "behind"]))
def test_a_comparison_that_contradicts_itself_is_no_proof(
    project: Project, history: GitHubHistory, github: FaultProxy, how: str
) -> None:
    """The newest commits are listed last: whoever stops before them takes an older one for them."""
    one = Commit(project.head)
    for number in range(130):
        project.git("commit", "--quiet", "--allow-empty", "-m", f"empty {number}")
    project.git("push", "--quiet", "origin", "main")
    listed = [{"sha": project.head, "parents": [{"sha": one.sha}]}]
    body: dict[str, Any] = {"status": "behind"}
    if how == "cut off":
        body = {"status": "ahead", "total_commits": 130, "commits": listed}
    nth = 1 if how == "cut off" else 2
    github.add(Fault("status", status=200, body=json.dumps(body).encode(), nth=nth))
    with pytest.raises(Failure, match="the order of commits is not known") as failure:
        history.newer(one, "main")
    assert failure.value.kind is Kind.UNREACHABLE


def test_that_two_commits_cannot_be_compared_is_no_proof_that_none_is_newer(
    tree: Tree, history: GitHubHistory, github: FaultProxy
) -> None:
    github.add(Fault("status", status=404, path="/compare/", body=b'{"message": "Not Found"}'))
    assert list(history.newer(tree.one, "main")) == [tree.four, tree.merge, tree.two]
    gone = {"status": 404, "path": "/compare/", "body": b'{"message": "Not Found"}'}
    github.add(Fault("status", times=None, **gone))  # type: ignore[arg-type]
    with pytest.raises(Failure, match="does not compare commits that it has"):
        history.newer(tree.one, "main")
