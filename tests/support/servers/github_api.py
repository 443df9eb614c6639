"""The part of GitHub's REST API that this project uses, over a real git repository.

Follows https://docs.github.com/en/rest: repositories, commits, branches
(https://docs.github.com/en/rest/commits/commits, …/rest/branches/branches), git references and tags
(…/rest/git/refs, …/rest/git/tags), statuses (…/rest/commits/statuses), and the headers of
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api and
https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api. A former
name of the repository redirects to its number, with 301 for GET and 307 for what writes ("Follow
redirects" in https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api;
an answer as it was: https://github.com/github/gh-gei/issues/1074).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
import urllib.parse
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from support.servers.git_repository import GitRepository, Json
from support.servers.github_shapes import Shapes
from support.servers.serving import Call, Server

NUMBER = 1296269
READ, WRITE_STATUS = "contents:read", "statuses:write"
DOCS = "https://docs.github.com/rest"
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)
MOVED = {"GET": 301, "POST": 307}
MOST_PER_PAGE = 100
COMMITS_PER_PAGE = 30
COMPARE_PER_PAGE = 250
NO_ACCESS = "Resource not accessible by integration"
STATES = ("error", "failure", "pending", "success")


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """One commit status that was set."""

    sha: str
    state: str
    context: str
    description: str
    target_url: str


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


@dataclasses.dataclass(slots=True)
class Query:
    """A request whose path is taken apart; `token` is empty for an anonymous client."""

    method: str
    url: str
    parameters: dict[str, str]
    token: str
    body: bytes
    shapes: Shapes
    link: str = ""
    """The Link header of the answer."""

    def page(self, items: Sequence[str], default: int = COMMITS_PER_PAGE) -> list[str]:
        """The page of the items that is asked for; says in `link` where the others are."""
        size = min(self._number("per_page", 0), MOST_PER_PAGE) or default
        page = self._number("page", 1)
        last = max(1, math.ceil(len(items) / size))
        links = {"prev": page - 1, "first": 1} if page > 1 else {}
        links |= {"next": page + 1, "last": last} if page < last else {}
        self.link = ", ".join(
            f'<{self.url}?{urllib.parse.urlencode({**self.parameters, "page": n})}>; rel="{rel}"'
            for rel, n in links.items()
        )
        return list(items[(page - 1) * size : page * size])

    def _number(self, name: str, default: int) -> int:
        value = self.parameters.get(name, "")
        return int(value) if value.isdigit() and int(value) else default


class GitHubApi(Server):
    """One repository, `name` as `owner/repo`, in the git repository at `path`.

    `tokens` maps a token to its permissions (`contents:read`, `statuses:write`); any other token is
    401. Without a token a public repository can be read, a private one is 404. `former` names
    redirect to its `number`; `strangers` are other public repositories, by their names. All may
    be changed while it runs, `repository.forgotten` too: commits unknown as after a force-push and
    a gc.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "feastflow/app",
        tokens: Mapping[str, Collection[str]] | None = None,
        private: bool = False,
        rate_limit: int = 5000,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.repository = GitRepository(path)
        self.name = name
        self.tokens = dict(tokens or {})
        self.number = NUMBER
        self.former: set[str] = set()
        self.strangers: dict[str, int] = {}
        self.private = private
        self.rate_limit = rate_limit
        """Requests allowed an hour; when they are used up every answer is 403."""
        self.rate_used = 0
        self.rate_reset = math.ceil(time.time()) + 3600
        self.statuses: list[Status] = []
        self._refusals: list[RefusedError] = []

    def limit(self, status: int = 403, *, retry_after: int | None = None, times: int = 1) -> None:
        """Answer the next `times` requests as a secondary rate limit does (403 or 429)."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._refusals += [RefusedError(status, SECONDARY, headers)] * times

    def rename(self, name: str) -> None:
        """Call the repository otherwise, or transfer it: its former name redirects from now on."""
        self.former.add(self.name.lower())
        self.former.discard(name.lower())
        self.name = name

    def respond(self, call: Call) -> None:
        """Answer one request in JSON, with GitHub's headers."""
        headers: dict[str, str] = {}
        try:
            query = self._admit(call)
            status, answer = self._route(query)
            headers = {"Link": query.link} if query.link else {}
            headers |= {"Location": answer["url"]} if status in MOVED.values() else {}
        except RefusedError as refusal:
            status, headers = refusal.status, refusal.headers
            answer = {"message": str(refusal), "documentation_url": DOCS, "status": str(status)}
        headers |= {
            "Content-Type": "application/json; charset=utf-8",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Request-Id": str(uuid.uuid4()).upper().replace("-", ":"),
            **{f"X-RateLimit-{name}": str(value) for name, value in self._rate().items()},
        }
        call.answer(status, json.dumps(answer).encode(), headers.items())

    def _rate(self) -> dict[str, int | str]:
        return {
            "Limit": self.rate_limit,
            "Remaining": max(0, self.rate_limit - self.rate_used),
            "Reset": self.rate_reset,
            "Used": min(self.rate_used, self.rate_limit),
            "Resource": "core",
        }

    def _admit(self, call: Call) -> Query:
        """Check the token and the limits."""
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        if scheme and (scheme.lower() not in ("bearer", "token") or token not in self.tokens):
            raise RefusedError(401, "Bad credentials")
        path, _, parameters = call.path.partition("?")
        if path != "/rate_limit":
            self.rate_used += 1
            if self._refusals:
                raise self._refusals.pop(0)
            if self.rate_used > self.rate_limit:
                raise RefusedError(403, "API rate limit exceeded for user ID 1.")
        address = f"http://{call.headers.get('Host', f'127.0.0.1:{self.port}')}"
        return Query(
            method="GET" if call.command == "HEAD" else call.command,
            url=address + path,
            parameters=dict(urllib.parse.parse_qsl(parameters)),
            token=token,
            body=b"".join(call.body),
            shapes=Shapes(self.repository, self.name, f"{address}/repos/{self.name}"),
        )

    def _route(self, query: Query) -> tuple[int, Any]:
        path = urllib.parse.unquote(urllib.parse.urlsplit(query.url).path)
        if path == "/rate_limit":
            core = {name.lower(): value for name, value in self._rate().items()}
            return 200, {"resources": {"core": core}, "rate": core}
        whole = re.fullmatch(r"(?:/repos/([^/]+/[^/]+)|/repositories/(\d+))(?:/(.*))?", path)
        if not whole:
            raise RefusedError(404, "Not Found")
        name = (whole[1] or "").lower()
        if name in self.strangers and not whole[3]:
            shapes = dataclasses.replace(query.shapes, name=name)
            return 200, shapes.about(self.strangers[name], private=False)
        if whole[2] != str(self.number) and name not in (self.name.lower(), *self.former):
            raise RefusedError(404, "Not Found")
        if self.private and not query.token:
            raise RefusedError(404, "Not Found")
        if self.private and READ not in self.tokens[query.token]:
            raise RefusedError(403, NO_ACCESS)
        rest = whole[3] or ""
        if name in self.former:
            return self._move(query, rest)
        if query.method == "POST" and rest.startswith("statuses/"):
            return 201, self._set_status(query, rest.removeprefix("statuses/"))
        if query.method != "GET":
            raise RefusedError(404, "Not Found")
        return 200, self._read(query, rest)

    def _move(self, query: Query, rest: str) -> tuple[int, Json]:
        """Redirect from a former name, with all that was asked for."""
        address = urllib.parse.urlsplit(query.url)
        url = f"{address.scheme}://{address.netloc}/repositories/{self.number}/{rest}".rstrip("/")
        asked = urllib.parse.urlencode(query.parameters)
        url += f"?{asked}" if asked else ""
        return MOVED[query.method], {"message": "Moved Permanently", "url": url}

    def _read(self, query: Query, rest: str) -> Any:
        if not rest:
            return query.shapes.about(self.number, private=self.private)
        if rest == "commits":
            return self._list(query)
        for prefix, answer in (
            ("commits/", self._one),
            ("compare/", self._compare),
            ("branches/", self._branch),
            ("git/ref/", self._ref),
            ("git/matching-refs/", self._matching_refs),
            ("git/tags/", self._tag),
        ):
            if rest.startswith(prefix) and rest != prefix:
                return answer(query, rest.removeprefix(prefix))
        raise RefusedError(404, "Not Found")

    def _list(self, query: Query) -> list[Json]:
        """`GET /commits`: `sha` (default: the default branch), `path`, `since`, `until`."""
        wanted = {name: query.parameters.get(name, "") for name in ("path", "since", "until")}
        sha = self.repository.resolve(query.parameters.get("sha") or "HEAD")
        if sha is None and not self.repository.refs():
            raise RefusedError(409, "Git Repository is empty.")
        if sha is None:
            raise RefusedError(404, "Not Found")
        return query.shapes.commits(query.page(self.repository.history(sha, **wanted)))

    def _one(self, query: Query, ref: str) -> Json:
        sha = self.repository.resolve(ref)
        if sha is None:
            raise RefusedError(422, f"No commit found for SHA: {ref}")
        return query.shapes.full_commit(sha)

    def _compare(self, query: Query, basehead: str) -> Json:
        names = [name.rpartition(":")[2] for name in basehead.split("...")]
        shas = [self.repository.resolve(name) for name in names]
        if len(shas) != 2 or shas[0] is None or shas[1] is None:
            raise RefusedError(404, "Not Found")
        base, head = shas[0], shas[1]
        found = self.repository.compare(base, head)
        if found is None:
            raise RefusedError(404, f"No common ancestor between {names[0]} and {names[1]}.")
        page = query.page(found.commits, COMPARE_PER_PAGE)
        answer = query.shapes.comparison(basehead, base, found, page)
        first = query.parameters.get("page", "1") == "1"
        return answer | ({"files": self.repository.files(found.merge_base, head)} if first else {})

    def _branch(self, query: Query, name: str) -> Json:
        sha, _ = self.repository.refs().get(f"refs/heads/{name}", ("", ""))
        if not sha:
            raise RefusedError(404, "Branch not found")
        return query.shapes.branch(name, sha)

    def _ref(self, query: Query, name: str) -> Json:
        found = self.repository.refs().get(f"refs/{name}")
        if found is None:
            raise RefusedError(404, "Not Found")
        return query.shapes.ref(f"refs/{name}", *found)

    def _matching_refs(self, query: Query, prefix: str) -> list[Json]:
        refs = self.repository.refs()
        names = query.page([each for each in sorted(refs) if each.startswith(f"refs/{prefix}")])
        return [query.shapes.ref(each, *refs[each]) for each in names]

    def _tag(self, query: Query, sha: str) -> Json:
        found = self.repository.tag(sha)
        if found is None:
            raise RefusedError(404, "Not Found")
        return query.shapes.tag(sha, *found)

    def _set_status(self, query: Query, name: str) -> Json:
        if not query.token:
            raise RefusedError(401, "Requires authentication")
        if WRITE_STATUS not in self.tokens[query.token]:
            raise RefusedError(403, NO_ACCESS)
        try:
            wanted = json.loads(query.body)
        except ValueError:
            raise RefusedError(400, "Problems parsing JSON") from None
        sha = self.repository.resolve(name)
        if sha is None or sha != name:
            raise RefusedError(422, f"No commit found for SHA: {name}")
        names = ("state", "context", "description", "target_url")
        fields = {key: str(wanted.get(key) or "") for key in names}
        if fields["state"] not in STATES or len(fields["description"]) > 140:
            raise RefusedError(422, "Validation Failed")
        status = Status(sha=sha, **{**fields, "context": fields["context"] or "default"})
        self.statuses.append(status)
        url = f"{query.shapes.base}/statuses/{sha}"
        return {"id": len(self.statuses), "url": url, **dataclasses.asdict(status)}
