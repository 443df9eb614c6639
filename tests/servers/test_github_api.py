"""The GitHub API server over a real repository, as PyGithub sees it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import github
import pytest
import requests
from support.servers.fault_proxy import FaultProxy
from support.servers.github_api import GitHubApi


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Main: c1 c2 c3; `side` from c2: s1; a milestone, a light tag, a stranger."""
    path = tmp_path_factory.mktemp("repository")
    person = {
        f"GIT_{role}_{part}": "ada@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }

    def git(*arguments: str) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(path), **person}
        subprocess.run(
            ["git", "-C", str(path), *arguments],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def commit(name: str) -> None:
        (path / f"{name} ü.txt").write_text(f"{name}\n")
        git("add", ".")
        git("commit", "-m", f"{name}\n\nIts body.")

    git("init", "-b", "main")
    commit("c1")
    commit("c2")
    git("checkout", "-b", "feature/side")
    commit("s1")
    git("checkout", "main")
    commit("c3")
    git("tag", "-a", "sprint3", "-m", "The third")
    git("tag", "light")
    git("checkout", "--orphan", "stranger")
    commit("x1")
    git("checkout", "main")
    return path


TOKENS = {"full": {"contents:read", "statuses:write"}, "read": {"contents:read"}}


class TestGitHubApi:
    @pytest.fixture
    def api(self, path: Path) -> Iterator[GitHubApi]:
        with GitHubApi(path, tokens=TOKENS) as api:
            yield api

    @pytest.fixture
    def repository(self, api: GitHubApi) -> Iterator[Any]:
        client = self.client(api, "full")
        yield client.get_repo(api.name)
        client.close()

    @staticmethod
    def client(api: GitHubApi, token: str | None) -> github.Github:
        auth = github.Auth.Token(token) if token else None
        return github.Github(base_url=api.url, auth=auth, retry=None, timeout=9)

    @pytest.mark.parametrize(
        ("base", "head", "status", "ahead", "behind"),
        [
            ("main~", "main", "ahead", 1, 0),
            ("main", "main~", "behind", 0, 1),
            ("main", "light", "identical", 0, 0),
            ("main", "feature/side", "diverged", 1, 1),
        ],
    )
    def test_compare(
        self,
        api: GitHubApi,
        repository: Any,
        base: str,
        head: str,
        status: str,
        ahead: int,
        behind: int,
    ) -> None:
        shas = [api.repository.run("rev-parse", name).strip() for name in (base, head)]
        found = repository.compare(*shas)
        assert (found.status, found.ahead_by, found.behind_by) == (status, ahead, behind)
        assert found.total_commits == ahead == len(list(found.commits))
        fork = api.repository.run("merge-base", *shas).strip()
        assert found.merge_base_commit.sha == fork

    def test_compare_is_oldest_first_and_paged(self, api: GitHubApi, repository: Any) -> None:
        base = repository.get_commits()[2].sha
        found = repository.compare(base, "main", comparison_commits_per_page=1)
        titles = [commit.commit.message.splitlines()[0] for commit in found.commits]
        assert titles == ["c2", "c3"]
        assert [file.filename for file in found.files] == ["c2 ü.txt", "c3 ü.txt"]
        assert sum("/compare/" in seen.path for seen in api.requests) == 2

    def test_compare_of_what_is_not_there(self, api: GitHubApi, repository: Any) -> None:
        for base in ("0" * 40, "stranger", "nothing"):
            # Not always an UnknownObjectException: that one needs the message "Not Found".
            with pytest.raises(github.GithubException) as refused:
                _ = repository.compare(base, "main").status
            assert refused.value.status == 404
        lost = repository.get_branch("feature/side").commit.sha
        assert repository.compare(lost, "main").status == "diverged"
        api.repository.forgotten.add(lost)
        with pytest.raises(github.UnknownObjectException):
            _ = repository.compare(lost, "main").status

    def test_commits(self, api: GitHubApi, repository: Any) -> None:
        client = self.client(api, "read")
        client.per_page = 2
        shas = [commit.sha for commit in client.get_repo(api.name).get_commits(sha="main")]
        assert shas == api.repository.run("rev-list", "main").split()
        assert repository.get_commits(sha="main").totalCount == 3
        client.close()

    def test_commits_of_a_merge(self, tmp_path: Path) -> None:
        """By date and not by branch: what a merge brought stands among its first parents."""

        def git(*arguments: str, minute: int = 0) -> str:
            date = f"2026-01-01T00:{minute:02}:00Z"
            words = {"NAME": "Ada", "EMAIL": "ada@example.org", "DATE": date}
            roles = ("AUTHOR", "COMMITTER")
            person = {f"GIT_{role}_{part}": text for role in roles for part, text in words.items()}
            command = ["git", "-C", str(tmp_path), *arguments]
            environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **person}
            return subprocess.run(
                command, check=True, env=environ, capture_output=True, text=True
            ).stdout

        def commit(name: str, minute: int) -> None:
            git("commit", "--allow-empty", "-m", name, minute=minute)

        git("init", "-b", "main")
        commit("m1", 1)
        git("checkout", "-b", "side")
        commit("s2", 2)
        commit("s4", 4)
        git("checkout", "main")
        commit("m3", 3)
        git("merge", "--no-ff", "-m", "m5", "side", minute=5)
        commit("m6", 6)
        with GitHubApi(tmp_path) as api:
            client = self.client(api, None)
            merge = git("rev-parse", "main~").strip()
            found = client.get_repo(api.name).get_commits(sha=merge).get_page(0)
            titles = {each.sha: each.commit.message for each in found}
            assert list(titles.values()) == ["m5", "s4", "m3", "s2", "m1"]
            parents = {titles[e.sha]: [titles[one.sha] for one in e.parents] for e in found}
            assert parents == {
                "m5": ["m3", "s4"],
                "s4": ["s2"],
                "m3": ["m1"],
                "s2": ["m1"],
                "m1": [],
            }
            client.close()

    def test_a_page_holds_a_hundred_at_most(
        self, tmp_path: Path, session: requests.Session
    ) -> None:
        person = "committer Ada <ada@example.org>"
        stream = [f"commit refs/heads/main\n{person} {at} +0000\ndata 0\n" for at in range(101)]
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path], check=True)
        command = ["git", "-C", str(tmp_path), "fast-import", "--quiet"]
        subprocess.run(command, input="".join(stream), text=True, check=True)
        with GitHubApi(tmp_path) as api:
            url = f"{api.url}/repos/{api.name}/commits"
            for asked, size in (("", 30), ("1", 1), ("100", 100), ("1000", 100)):
                answer = session.get(url, params={"sha": "main", "per_page": asked}, timeout=9)
                assert len(answer.json()) == size
                assert "next" in answer.links

    def test_one_commit(self, api: GitHubApi, repository: Any) -> None:
        sha = api.repository.run("rev-parse", "main").strip()
        for name in (sha, sha[:7], "main", "light", "sprint3", "heads/main", "tags/light"):
            assert repository.get_commit(name).sha == sha
        commit = repository.get_commit(sha)
        assert commit.commit.message == "c3\n\nIts body."
        assert (commit.stats.additions, commit.files[0].filename) == (1, "c3 ü.txt")
        assert abs(time.time() - commit.commit.committer.date.timestamp()) < 600
        for name in ("0" * 40, "nothing", "--all"):
            with pytest.raises(github.GithubException) as refused:
                _ = repository.get_commit(name).commit
            assert refused.value.status == 422

    def test_refs_and_tags(self, api: GitHubApi, repository: Any) -> None:
        sha = api.repository.run("rev-parse", "main").strip()
        light = repository.get_git_ref("tags/light").object
        assert (light.type, light.sha) == ("commit", sha)
        annotated = repository.get_git_ref("tags/sprint3").object
        assert annotated.type == "tag"
        tag = repository.get_git_tag(annotated.sha)
        assert (tag.tag, tag.object.sha, tag.message) == ("sprint3", sha, "The third\n")
        assert repository.get_git_ref("heads/feature/side").object.type == "commit"
        with pytest.raises(github.UnknownObjectException):
            _ = repository.get_git_ref("tags/sprint").object
        found = [ref.ref for ref in repository.get_git_matching_refs("tags/s")]
        assert found == ["refs/tags/sprint3"]
        assert list(repository.get_git_matching_refs("tags/v")) == []

    def test_branches(self, api: GitHubApi, repository: Any) -> None:
        assert repository.default_branch == "main"
        sha = api.repository.run("rev-parse", "feature/side").strip()
        assert repository.get_branch("feature/side").commit.sha == sha
        with pytest.raises(github.GithubException) as refused:
            repository.get_branch("light")
        assert refused.value.status == 404

    def test_statuses(self, api: GitHubApi, repository: Any) -> None:
        sha = repository.get_branch("main").commit.sha
        commit = repository.get_commit(sha)
        status = commit.create_status("success", "http://127.0.0.1/x", "Published", "registry")
        assert (status.state, status.context) == ("success", "registry")
        assert [seen.sha for seen in api.statuses] == [sha]
        weak = self.client(api, "read")
        with pytest.raises(github.GithubException) as refused:
            weak.get_repo(api.name).get_commit(sha).create_status("success")
        assert refused.value.status == 403
        weak.close()
        with pytest.raises(github.GithubException) as refused:
            commit.create_status("splendid")
        assert refused.value.status == 422

    def test_who_may_read(self, api: GitHubApi) -> None:
        anonymous, wrong = self.client(api, None), self.client(api, "stolen")
        assert anonymous.get_repo(api.name).full_name == api.name
        with pytest.raises(github.BadCredentialsException) as refused:
            wrong.get_repo(api.name)
        assert refused.value.data["message"] == "Bad credentials"
        api.private = True
        with pytest.raises(github.UnknownObjectException):
            anonymous.get_repo(api.name)
        anonymous.close()
        wrong.close()
        assert "stolen" not in repr(api.requests)

    def test_a_former_name(self, api: GitHubApi, session: requests.Session) -> None:
        old = f"{api.url}/repos/{api.name}"
        api.rename("neworg/web")
        answer = session.get(f"{old}/commits?per_page=1", allow_redirects=False, timeout=9)
        moved = f"{api.url}/repositories/{api.number}/commits?per_page=1"
        assert (answer.status_code, answer.headers["Location"]) == (301, moved)
        assert answer.json()["url"] == moved
        assert session.post(f"{old}/x", allow_redirects=False, timeout=9).status_code == 307
        client = self.client(api, "full")
        found = client.get_repo("feastflow/app")
        assert (found.full_name, found.id) == ("neworg/web", api.number)
        assert client.get_repo(api.number).full_name == "neworg/web"
        client.close()
        assert session.get(f"{api.url}/repositories/1", timeout=9).status_code == 404

    def test_a_former_name_that_somebody_else_has(
        self, api: GitHubApi, session: requests.Session
    ) -> None:
        api.rename("neworg/web")
        api.former.clear()
        api.strangers["feastflow/app"] = 4711
        answer = session.get(f"{api.url}/repos/feastflow/app", timeout=9)
        assert (answer.status_code, answer.json()["id"]) == (200, 4711)
        commits = session.get(f"{api.url}/repos/feastflow/app/commits", timeout=9)
        assert commits.status_code == 404

    def test_a_former_name_of_a_private_repository(
        self, api: GitHubApi, session: requests.Session
    ) -> None:
        old = f"{api.url}/repos/{api.name}"
        api.rename("neworg/web")
        api.private = True
        assert session.get(old, timeout=9).status_code == 404

    def test_rate_limits(self, api: GitHubApi, session: requests.Session) -> None:
        url = f"{api.url}/repos/{api.name}"
        api.limit(429, retry_after=7)
        answer = session.get(url, timeout=9)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert "secondary rate limit" in answer.json()["message"]
        assert session.get(url, timeout=9).headers["X-RateLimit-Used"] == "2"
        api.rate_limit = 2
        spent = session.get(url, timeout=9)
        assert (spent.status_code, spent.headers["X-RateLimit-Remaining"]) == (403, "0")
        assert spent.headers["X-GitHub-Request-Id"]
        client = self.client(api, "full")
        assert client.get_rate_limit().rate.remaining == 0
        client.close()

    def test_through_the_proxy(self, api: GitHubApi) -> None:
        with FaultProxy(api.url) as proxy:
            client = github.Github(base_url=proxy.url, retry=None, per_page=1)
            assert len(list(client.get_repo(api.name).get_commits())) == 3
            client.close()
        assert len(proxy.requests) == len(api.requests) == 4

    def test_a_bare_and_an_empty_repository(self, path: Path, tmp_path: Path) -> None:
        subprocess.run(["git", "clone", "-q", "--bare", path, tmp_path / "bare"], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", tmp_path / "empty"], check=True)
        with GitHubApi(tmp_path / "bare") as bare, GitHubApi(tmp_path / "empty") as empty:
            client = self.client(bare, None)
            assert client.get_repo(bare.name).get_commits().totalCount == 3
            client.close()
            client = self.client(empty, None)
            with pytest.raises(github.GithubException) as refused:
                list(client.get_repo(empty.name).get_commits())
            assert refused.value.status == 409
            client.close()
