"""GitHub's REST API: the history of a repository, and the statuses of its commits.

https://docs.github.com/en/rest/commits/commits#compare-two-commits
https://docs.github.com/en/rest/git/refs#get-a-reference
https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.ports import Status
from feastflow_registry.model.references import Commit
from feastflow_registry.transport.addresses import redact, same_origin
from feastflow_registry.transport.http import REDIRECTS, Client
from feastflow_registry.transport.response import Response, address, next_page, pages

T = TypeVar("T")
_RELATIONS = {
    "identical": Relation.SAME,
    "ahead": Relation.AHEAD,
    "behind": Relation.BEHIND,
    "diverged": Relation.DIVERGED,
}
_BY_HAND = "Or run it by hand in a full clone, which does not need GitHub."
_LARGEST = 32 * 1024 * 1024  # The first page of a comparison holds the changes of 300 files.
_MOST_PAGES = 100
_MOST_REDIRECTS = 5
_DEEPEST_TAG = 5
_STATUS_SECONDS = 10.0  # A status is not worth a long wait.
_DAMAGE = (
    *(LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError),
    Failure,
)
"""What reading an answer of any other shape raises: in JSON, 1e999 is a number, too."""


@dataclass(frozen=True, slots=True)
class GitHubApi:
    """Requests about one repository. ``url``: of the API; ``token``: empty for a public one."""

    http: Client
    url: str
    repository: str
    token: str = field(repr=False)

    def send(
        self, method: str, path: str, body: bytes | None = None, deadline: float | None = None
    ) -> Response:
        """Send one request. ``path`` may be a whole address, of a next page.

        A renamed repository answers with a redirect to its number.
        https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
        """
        base = f"{self.url.rstrip('/')}/repos/{self.repository}"
        url = path if "://" in path else f"{base}/{path}".rstrip("/")
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for _ in range(_MOST_REDIRECTS):
            try:
                response = self.http.send(
                    method, url, headers=headers, body=body, limit=_LARGEST, deadline=deadline
                )
            except Failure as failure:
                (problem,) = failure.problems
                cause = problem.cause.replace(redact(url), "GitHub's API")
                raise Failure(failure.kind, cause, problem.fix, problem.see) from None
            if response.status not in REDIRECTS:
                return response
            url = same_origin(url, address(response, "location"))
            if not url:
                raise _misbehaving("redirects to another host")
        raise _misbehaving("redirects without end")


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A page of what one commit has beyond another: the parents by commit, oldest first.

    ``total``: how many commits all pages have; ``following``: the next one's address.
    """

    relation: Relation
    parents: dict[str, Sequence[str]]
    total: int
    following: str

    @classmethod
    def read(cls, response: Response) -> _Comparison:
        """Read an answer. Raises one of ``_DAMAGE``."""
        relation = _read_relation(response)
        if relation is not Relation.AHEAD:
            return cls(relation, {}, 0, "")
        value = _value(response)
        parents = _read_parents(value["commits"])
        return cls(relation, parents, int(value["total_commits"]), next_page(response))


@dataclass(slots=True)
class GitHubHistory:
    """The history of one repository. Several threads may ask."""

    api: GitHubApi
    _is_visible: bool = False

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Compare two commits; unknown, if GitHub has forgotten one after a force-push."""
        path = f"compare/{base.sha}...{head.sha}?per_page=1"
        return self._ask(path, _read_relation) or Relation.UNKNOWN

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """List what a branch has beyond a commit, newest first, by first parents.

        Nothing, if GitHub has forgotten one of them; that it cannot compare them is no proof of it.
        """
        path = f"compare/{commit.sha}...{quote(branch, safe='')}?per_page=100"
        page = self._ask(path, _Comparison.read)
        if page is None and self._has(commit, branch):
            page = self._ask(path, _Comparison.read)
            if page is None:
                raise _unreachable("does not compare commits that it has")
        if page is None or page.relation is not Relation.AHEAD:
            return []
        parents, total = page.parents, page.total
        for _ in self._pages("newer commits"):
            if not page.following:
                break
            page = self._ask(page.following, _Comparison.read)
            if page is None or page.relation is not Relation.AHEAD:
                raise _unreachable("does not end the comparison that it began")
            parents = parents | page.parents
        if not parents or len(parents) != total:  # The newest may be among the others.
            raise _unreachable("lists other commits than it counts")
        return _first_parents(parents)

    def _has(self, commit: Commit, branch: str) -> bool:
        """Whether GitHub has a commit and a branch."""
        path = f"branches/{quote(branch, safe='')}"
        is_there = self._ask(path, lambda response: bool(_value(response)["name"]))
        return bool(is_there) and self.resolve(commit.sha) is not None

    def ancestors(self, commit: Commit) -> Sequence[Commit]:
        """List the first parents before a commit, newest first, among the last hundred commits.

        https://docs.github.com/en/rest/commits/commits#list-commits
        """

        def read(response: Response) -> list[Commit]:
            parents = _read_parents(reversed(_value(response)))
            first, *before = _first_parents(parents)
            if first != commit:
                raise ValueError
            return before

        return self._ask(f"commits?sha={commit.sha}&per_page=100", read) or []

    def is_shallow(self) -> bool:
        """GitHub has the whole history."""
        return False

    def git_tag(self, name: str) -> Commit | None:
        """Ask for a git tag; an annotated one is peeled to its commit."""
        found = self._ask(f"git/ref/tags/{quote(name)}", _read_target)
        if found is None:
            return None
        for _ in range(_DEEPEST_TAG):
            if found[0] != "tag":
                return found[1]
            found = self._ask(f"git/tags/{found[1].sha}", _read_target)
            if found is None:
                raise _unreachable("does not have the git tag that it names")
        raise _unreachable("sends damaged answers")

    def git_tag_names(self) -> Collection[str]:
        """Ask for the names of all git tags.

        https://docs.github.com/en/rest/git/refs#list-matching-references
        """

        def read(response: Response) -> tuple[list[str], str]:
            refs = _value(response)
            names = [each["ref"] for each in refs]
            if not isinstance(refs, list) or not all(n.startswith("refs/tags/") for n in names):
                raise ValueError
            return [each.removeprefix("refs/tags/") for each in names], next_page(response)

        found: list[str] = []
        path = "git/matching-refs/tags/?per_page=100"
        for _ in self._pages("git tags"):
            answer = self._ask(path, read)
            if answer is None:  # Where there is none, GitHub answers with an empty list.
                raise _unreachable("does not list the git tags that it has")
            names, path = answer
            found += names
            if not path:
                break
        return found

    def resolve(self, abbreviation: str) -> Commit | None:
        """Complete an abbreviated commit."""

        def read(response: Response) -> Commit:
            commit = Commit.parse(_value(response)["sha"])
            if not commit.sha.startswith(abbreviation):
                raise ValueError
            return commit

        return self._ask(f"commits/{abbreviation}", read)

    def _pages(self, what: str) -> Iterator[int]:
        """Number the pages of a list."""
        return pages(self.api.http.clock, _MOST_PAGES, _unreachable(f"lists {what} without end"))

    def _ask(self, path: str, read: Callable[[Response], T]) -> T | None:
        """Ask GitHub, once more if the answer is damaged; nothing if it does not exist."""
        for _ in range(2):
            response = self._get(path)
            if response.status in (404, 422) and not _is_unrelated(response):
                if not self._is_visible:
                    self._check_visible()
                return None
            if response.status in (401, 403):
                raise _refused(response.status)
            if response.status not in (200, 404):
                raise _unreachable(f"answered {response.status}")
            try:
                return read(response)
            except _DAMAGE:
                continue
        raise _unreachable("sends damaged answers")

    def _get(self, path: str) -> Response:
        try:
            return self.api.send("GET", path)
        except Failure as failure:
            (problem,) = failure.problems
            cause = f"{problem.cause.removesuffix('.')}, so the order of commits is not known."
            fix = f"{problem.fix} {_BY_HAND}"
            raise Failure(failure.kind, cause, fix, problem.see) from None

    def _check_visible(self) -> None:
        """Make sure that a 404 does not come from a repository that the token may not read."""
        response = self._get("")
        if response.status != 200:
            raise _refused(response.status)
        self._is_visible = True


@dataclass(frozen=True, slots=True)
class GitHubStatuses:
    """The statuses of one repository's commits. Several threads may set them at once."""

    api: GitHubApi

    def set(self, commit: Commit, status: Status) -> None:
        """Set a status; twice does no harm. Raises a failure if it is not set."""
        if not self.api.token:
            raise _unset('the input "github-token" is empty.')
        wanted = {
            "state": "success" if status.is_whole else "failure",
            "target_url": status.url,
            "description": status.description,
            "context": status.context,
        }
        body = json.dumps(wanted).encode()
        try:
            response = self.api.send("POST", f"statuses/{commit.sha}", body, _STATUS_SECONDS)
        except Failure as failure:
            raise _unset(failure.problems[0].cause) from None
        if response.status != 201:
            raise _unset(f"GitHub answered {response.status}.")


def _is_unrelated(response: Response) -> bool:
    """Whether two commits cannot be compared because their histories never meet."""
    return "No common ancestor" in response.explanation


def _value(response: Response) -> Any:
    """What an answer says, to be read by who expects a shape. Raises one of ``_DAMAGE``."""
    return json.loads(response.body)


def _read_relation(response: Response) -> Relation:
    if _is_unrelated(response):
        return Relation.DIVERGED
    return _RELATIONS[_value(response)["status"]]


def _read_parents(commits: Iterable[Any]) -> dict[str, Sequence[str]]:
    """The parents of each commit, in the order of a listing."""
    return {
        Commit.parse(each["sha"]).sha: [Commit.parse(one["sha"]).sha for one in each["parents"]]
        for each in commits
    }


def _read_target(response: Response) -> tuple[str, Commit]:
    """What a git reference or an annotated git tag points at: its type, and its name."""
    target = _value(response)["object"]
    return target["type"], Commit.parse(target["sha"])


def _first_parents(parents: dict[str, Sequence[str]]) -> list[Commit]:
    """Follow first parents from the newest commit, which is listed last, as far as listed."""
    found: dict[str, Commit] = {}
    current = next(reversed(parents), "")
    while current in parents:
        if current in found:  # No commit is its own ancestor.
            raise ValueError
        found[current] = Commit.parse(current)
        current = next(iter(parents[current]), "")
    return list(found.values())


def _refused(status: int) -> Failure:
    return Failure(
        Kind.REFUSED,
        f"GitHub does not let this run read the repository's history ({status}).",
        'Give the job `permissions: contents: read` and keep the input "github-token".',
    )


def _unset(cause: str) -> Failure:
    return Failure(
        Kind.REFUSED,
        cause,
        "Give the job `permissions: statuses: write` (and `contents: read`), and keep "
        'the input "github-token".',
    )


def _unreachable(cause: str) -> Failure:
    return _misbehaving(f"{cause}, so the order of commits is not known", _BY_HAND)


def _misbehaving(cause: str, *more: str) -> Failure:
    fix = " ".join(["Check GitHub's status, then run again.", *more])
    return Failure(Kind.UNREACHABLE, f"GitHub's API {cause}.", fix)
