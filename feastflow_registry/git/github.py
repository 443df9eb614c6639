"""GitHub's REST API: the history of a repository, and the statuses of its commits.

https://docs.github.com/en/rest/commits/commits#compare-two-commits
https://docs.github.com/en/rest/git/refs#get-a-reference
https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import TypeVar

import requests
from github import Auth, Github, GithubException
from github.Repository import Repository
from urllib3.util import Retry

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.ports import Status
from feastflow_registry.model.references import Commit

T = TypeVar("T")
_RELATIONS = {
    "identical": Relation.SAME,
    "ahead": Relation.AHEAD,
    "behind": Relation.BEHIND,
    "diverged": Relation.DIVERGED,
}
_RETRY = Retry(
    total=4,
    backoff_factor=0.5,
    backoff_jitter=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    retry_after_max=30,
    raise_on_status=False,
)
# A status is not worth a long wait; setting it twice does no harm.
_BRIEF = _RETRY.new(total=2, retry_after_max=5, allowed_methods=None)


class GitHubHistory:
    """The history of one repository. ``token`` may be empty for a public one."""

    def __init__(self, *, api_url: str, repository: str, token: str) -> None:
        self._repository = _reach(api_url, repository, token, _RETRY)
        self._is_visible = False
        self._asking = Lock()

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Compare two commits; unknown, if GitHub has forgotten one after a force-push."""

        def ask() -> Relation:
            compared = self._repository.compare(base.sha, head.sha, comparison_commits_per_page=1)
            return _RELATIONS.get(compared.status, Relation.UNKNOWN)

        return self._ask(ask) or Relation.UNKNOWN

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """List what a branch has beyond a commit, newest first, by first parents."""

        def ask() -> list[Commit]:
            compared = self._repository.compare(commit.sha, branch)
            if compared.status != "ahead":
                return []
            parents = {each.sha: [one.sha for one in each.parents] for each in compared.commits}
            return _first_parents(parents)

        return self._ask(ask) or []

    def ancestors(self, commit: Commit) -> Sequence[Commit]:
        """List the first parents before a commit, newest first, among the last hundred commits.

        https://docs.github.com/en/rest/commits/commits#list-commits
        """

        def ask() -> list[Commit]:
            listed = self._repository.get_commits(sha=commit.sha).get_page(0)
            parents = {each.sha: [one.sha for one in each.parents] for each in reversed(listed)}
            return _first_parents(parents)[1:]

        return self._ask(ask) or []

    def is_shallow(self) -> bool:
        """GitHub has the whole history."""
        return False

    def git_tag(self, name: str) -> Commit | None:
        """Ask for a git tag; an annotated one is peeled to its commit."""

        def ask() -> Commit | None:
            target = self._repository.get_git_ref(f"tags/{name}").object
            while target.type == "tag":
                target = self._repository.get_git_tag(target.sha).object
            return Commit.read(target.sha)

        return self._ask(ask)

    def resolve(self, abbreviation: str) -> Commit | None:
        """Complete an abbreviated commit."""
        return self._ask(
            lambda: Commit.read(self._repository.get_commit(abbreviation).complete().sha)
        )

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Ask GitHub, once more if the answer arrives damaged; nothing if it does not exist.

        The client keeps one connection, so one thread asks at a time.
        """
        with self._asking:
            return self._ask_alone(question)

    def _ask_alone(self, question: Callable[[], T]) -> T | None:
        try:
            answer = _ask_once(question)
        except (requests.exceptions.ChunkedEncodingError, ValueError):
            # urllib3 does not retry what breaks within an answer's body.
            try:
                answer = _ask_once(question)
            except (requests.exceptions.ChunkedEncodingError, ValueError):
                raise _unreachable("sends damaged answers") from None
        if answer is None and not self._is_visible:
            self._check_visible()
        return answer

    def _check_visible(self) -> None:
        """Make sure that a 404 does not come from a repository that the token may not read."""
        if _ask_once(lambda: self._repository.complete().full_name) is None:
            raise _refused("404")
        self._is_visible = True


class GitHubStatuses:
    """The statuses of one repository's commits. Several threads may set them at once."""

    def __init__(self, *, api_url: str, repository: str, token: str) -> None:
        self._api_url = api_url
        self._name = repository
        self._token = token

    def set(self, commit: Commit, status: Status) -> None:
        """Set a status to success, in one request. Raises a failure if that does not succeed."""
        if not self._token:
            raise _unset("the input github-token is empty")
        # Each call has its own client, because a client keeps one connection.
        repository = _reach(self._api_url, self._name, self._token, _BRIEF)
        try:
            repository.get_commit(commit.sha).create_status(
                "success", status.url, status.description, status.context
            )
        except GithubException as error:
            raise _unset(f"GitHub answered {error.status}") from None
        except (requests.exceptions.RequestException, ValueError):
            raise _unset("GitHub's API could not be reached") from None


def _reach(api_url: str, repository: str, token: str, retry: Retry) -> Repository:
    """A repository of PyGithub, without a request."""
    client = Github(
        base_url=api_url,
        auth=Auth.Token(token) if token else None,
        retry=retry,
        timeout=10,
        per_page=100,
        seconds_between_requests=None,
        lazy=True,
    )
    return client.get_repo(repository)


def _first_parents(parents: dict[str, list[str]]) -> list[Commit]:
    """Follow first parents from the newest commit, which GitHub lists last, as far as listed."""
    found: list[Commit] = []
    current = next(reversed(parents), "")
    while current in parents:
        found.append(Commit.parse(current))
        current = (parents[current] or [""])[0]
    return found


def _ask_once(question: Callable[[], T]) -> T | None:
    """Ask GitHub; nothing if it does not exist. Any other error is a failure."""
    try:
        return question()
    except GithubException as error:
        if error.status in (404, 422):
            return None
        if error.status in (401, 403):
            raise _refused(str(error.status)) from None
        raise _unreachable(f"answered {error.status}") from None
    except requests.exceptions.ChunkedEncodingError:
        raise
    except requests.exceptions.RequestException:
        raise _unreachable("could not be reached") from None


def _refused(status: str) -> Failure:
    return Failure(
        Kind.REFUSED,
        f"GitHub does not let this run read the repository's history ({status}).",
        "Give the job `permissions: contents: read` and keep the input github-token.",
    )


def _unset(cause: str) -> Failure:
    return Failure(
        Kind.REFUSED,
        f"{cause}.",
        "Give the job `permissions: statuses: write` (and `contents: read`), and keep the input "
        "github-token.",
    )


def _unreachable(cause: str) -> Failure:
    return Failure(
        Kind.UNREACHABLE,
        f"GitHub's API {cause}, and the order of commits is not guessed.",
        "Check GitHub's status, then run again.",
    )
