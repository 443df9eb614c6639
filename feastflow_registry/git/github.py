"""GitHub's REST API: the history of a repository, and the statuses of its commits.

https://docs.github.com/en/rest/commits/commits#compare-two-commits
https://docs.github.com/en/rest/git/refs#get-a-reference
https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, NoReturn, Self, TypeVar

import requests
from github import Auth, Github, GithubException
from github.Repository import Repository
from urllib3.exceptions import MaxRetryError, ResponseError
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
_LONGEST_WAIT = 30
_DEEPEST_TAG = 5


class _Patience(Retry):
    """Tries again, but not where the server asks for a longer wait than a run may take."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        """Count a try. Raises MaxRetryError, as after the last one, if the wait is too long."""
        response = kwargs.get("response")
        wait = response.headers.get("Retry-After", "") if response is not None else ""
        if wait.isdecimal() and int(wait) > _LONGEST_WAIT:
            raise MaxRetryError(kwargs["_pool"], kwargs.get("url"), ResponseError(wait))
        return super().increment(*args, **kwargs)


_RETRY = _Patience(
    total=4,
    backoff_factor=0.5,
    backoff_jitter=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    retry_after_max=_LONGEST_WAIT,
    raise_on_status=False,
)
# A status is not worth a long wait; setting it twice does no harm.
_BRIEF = _RETRY.new(total=2, retry_after_max=5, allowed_methods=None)


class GitHubHistory:
    """The history of one repository. ``token`` may be empty for a public one.

    ``certificates``: a file or folder of those that are trusted, if it is not requests' own list.
    """

    def __init__(
        self, *, api_url: str, repository: str, token: str, certificates: str = ""
    ) -> None:
        self._repository = _reach(api_url, repository, token, certificates, _RETRY)
        self._is_visible = False
        self._asking = Lock()

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Compare two commits; unknown, if GitHub has forgotten one after a force-push."""

        def ask() -> Relation:
            compared = self._repository.compare(base.sha, head.sha, comparison_commits_per_page=1)
            return _RELATIONS[compared.status]

        return self._ask(ask) or Relation.UNKNOWN

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """List what a branch has beyond a commit, newest first, by first parents.

        Nothing, if GitHub has forgotten one of them; that it cannot compare them is no proof of it.
        """

        def ask() -> list[Commit]:
            compared = self._repository.compare(commit.sha, branch)
            try:
                relation = _RELATIONS[compared.status]
            except GithubException as error:
                if error.status == 404 and "common ancestor" in str(error.data):
                    return []
                raise
            if relation is not Relation.AHEAD:
                return []
            parents = {each.sha: [one.sha for one in each.parents] for each in compared.commits}
            return _first_parents(parents) or _no_answer()

        found = self._ask(ask)
        if found is None and self._has(commit, branch):
            found = self._ask(ask)
            if found is None:
                raise _unreachable("does not compare commits that it has")
        return found or []

    def _has(self, commit: Commit, branch: str) -> bool:
        """Whether GitHub has a commit and a branch."""
        is_there = self._ask(lambda: bool(self._repository.get_branch(branch).name))
        return bool(is_there) and self.resolve(commit.sha) is not None

    def ancestors(self, commit: Commit) -> Sequence[Commit]:
        """List the first parents before a commit, newest first, among the last hundred commits.

        https://docs.github.com/en/rest/commits/commits#list-commits
        """

        def ask() -> list[Commit]:
            listed = self._repository.get_commits(sha=commit.sha).get_page(0)
            parents = {each.sha: [one.sha for one in each.parents] for each in reversed(listed)}
            first, *before = _first_parents(parents)
            return before if first == commit else _no_answer()

        return self._ask(ask) or []

    def is_shallow(self) -> bool:
        """GitHub has the whole history."""
        return False

    def git_tag(self, name: str) -> Commit | None:
        """Ask for a git tag; an annotated one is peeled to its commit."""

        def ask() -> Commit | None:
            target = self._repository.get_git_ref(f"tags/{name}").object
            for _ in range(_DEEPEST_TAG):
                if target.type != "tag":
                    return Commit.read(target.sha) or _no_answer()
                target = self._repository.get_git_tag(target.sha).object
            return _no_answer()

        return self._ask(ask)

    def resolve(self, abbreviation: str) -> Commit | None:
        """Complete an abbreviated commit."""

        def ask() -> Commit:
            commit = Commit.parse(self._repository.get_commit(abbreviation).complete().sha)
            return commit if commit.sha.startswith(abbreviation) else _no_answer()

        return self._ask(ask)

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Ask GitHub, once more if the answer arrives damaged; nothing if it does not exist.

        The client keeps one connection, so one thread asks at a time.
        """
        with self._asking:
            return self._ask_alone(question)

    def _ask_alone(self, question: Callable[[], T]) -> T | None:
        try:
            answer = _ask_once(question)
        except _DamagedError:
            # urllib3 does not retry what breaks within an answer's body.
            try:
                answer = _ask_once(question)
            except _DamagedError:
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

    def __init__(
        self, *, api_url: str, repository: str, token: str, certificates: str = ""
    ) -> None:
        self._api_url = api_url
        self._certificates = certificates
        self._name = repository
        self._token = token

    def set(self, commit: Commit, status: Status) -> None:
        """Set a status to success, in one request. Raises a failure if that does not succeed."""
        if not self._token:
            raise _unset("the input github-token is empty")
        # Each call has its own client, because a client keeps one connection.
        repository = _reach(self._api_url, self._name, self._token, self._certificates, _BRIEF)
        try:
            repository.get_commit(commit.sha).create_status(
                "success", status.url, status.description, status.context
            )
        except GithubException as error:
            raise _unset(f"GitHub answered {error.status}") from None
        except requests.exceptions.RequestException:
            raise _unset("GitHub's API could not be reached") from None
        except Exception:  # noqa: BLE001  An answer of any shape may come, and fail to be read.
            raise _unset("GitHub's API sends damaged answers") from None


def _reach(
    api_url: str, repository: str, token: str, certificates: str, retry: Retry
) -> Repository:
    """A repository of PyGithub, without a request."""
    client = Github(
        base_url=api_url,
        auth=Auth.Token(token) if token else None,
        retry=retry,
        verify=certificates or True,
        timeout=10,
        per_page=100,
        seconds_between_requests=None,
        lazy=True,
    )
    return client.get_repo(repository)


def _first_parents(parents: dict[str, list[str]]) -> list[Commit]:
    """Follow first parents from the newest commit, which GitHub lists last, as far as listed."""
    found: dict[str, Commit] = {}
    current = next(reversed(parents), "")
    while current in parents:
        if current in found:  # No commit is its own ancestor.
            _no_answer()
        found[current] = Commit.parse(current)
        current = (parents[current] or [""])[0]
    return list(found.values())


class _DamagedError(Exception):
    """An answer that cannot be read, or says what cannot be."""


def _no_answer() -> NoReturn:
    raise _DamagedError


def _ask_once(question: Callable[[], T]) -> T | None:
    """Ask GitHub; nothing if it does not exist. Any other error is a failure."""
    try:
        return question()
    except GithubException as error:
        if error.status in (404, 422):
            return None
        if _is_limited(error):
            raise _limited() from None
        if error.status in (401, 403):
            raise _refused(str(error.status)) from None
        raise _unreachable(f"answered {error.status}") from None
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.JSONDecodeError):
        raise _DamagedError from None
    except requests.exceptions.RequestException:
        raise _unreachable("could not be reached") from None
    except Exception:  # noqa: BLE001  An answer of any shape may come, and fail to be read.
        raise _DamagedError from None


def _is_limited(error: GithubException) -> bool:
    """Whether a refusal is for the number of requests.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    spent = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    return error.status == 429 or (error.status == 403 and spent)


def _limited() -> Failure:
    return Failure(
        Kind.UNREACHABLE,
        "GitHub's limit of requests is used up, and the order of commits is not guessed.",
        "Run again in an hour at most; a github-token of one's own has a limit of its own.",
    )


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
