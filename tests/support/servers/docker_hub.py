"""The part of Docker Hub's own API that this project uses, over the storage of a real registry.

Follows https://docs.docker.com/reference/api/hub/latest.yaml: logins, rate limits, repositories and
tags. What is not in it: `DELETE /v2/repositories/{ns}/{repo}/tags/{tag}/`, as hub-tool sends it
(https://github.com/docker/hub-tool, pkg/hub/tags.go); that a token without the scope gets 403
"access denied: insufficient scope" (observed: fletchto99/nicotine-plus-docker#80); the order of
checks, and the status and words for an immutable tag, which nobody has written down.

The tags are those of the registry: what is deleted here is gone there, and the manifest stays.
"""

from __future__ import annotations

import dataclasses
import email.utils
import json
import re
import secrets
import shutil
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from support.servers.hub_shapes import Shapes
from support.servers.serving import Call, Server

Json = dict[str, Any]
Scope = Literal["repo:public_read", "repo:read", "repo:write", "repo:admin"]

SCOPES: tuple[Scope, ...] = ("repo:public_read", "repo:read", "repo:write", "repo:admin")
"""Each includes those before it; Docker Hub's pages call `repo:admin` "Read, Write, Delete"."""
MOST_PER_PAGE = 100
TAGS_PER_PAGE = 10
_REST = r"([a-z0-9]+(?:[._-][a-z0-9]+)*)(/tags(?:/([^/]+))?)?/?"
_PATHS = (
    re.compile(rf"/v2/namespaces/([a-z0-9]+)/repositories/{_REST}"),
    re.compile(rf"/v2/repositories/([a-z0-9]+)/{_REST}"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """Who may log in with `secret`, and what that may do; `owns`: namespaces beside its own."""

    secret: str
    scope: Scope = "repo:admin"
    owns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """What a bearer token stands for."""

    identifier: str
    account: Account
    expires: float


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DockerHub(Server):
    """Docker Hub in front of the registry whose files are at `storage`.

    `accounts` is identifier → account. All that is public here may be changed while it runs:
    `private` (repositories as `ns/name`), `immutable` (repository → rules, where any match makes a
    tag immutable), `immutable_status`, `lifetime` of a token in seconds, `limit` of requests a
    minute as it is announced, `delete_limit` a minute, which is not, and the wall `clock`.
    """

    def __init__(
        self,
        storage: Path,
        accounts: Mapping[str, Account],
        *,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.accounts = dict(accounts)
        self.shapes = Shapes(storage)
        self.clock = clock
        self.private: set[str] = set()
        self.immutable: dict[str, Sequence[str]] = {}
        self.immutable_status = 403
        self.lifetime = 600.0
        self.limit = 600
        self.delete_limit: int | None = None
        self.late: dict[str, Json] | None = None
        """Lists that stay as they were when they were first asked for, if lists are late."""
        self.deleted: list[tuple[str, str]] = []
        """Each deletion that was done: the repository and the tag."""
        self.logins: list[str] = []
        """The identifier of each login that succeeded."""
        self._sessions: dict[str, Session] = {}
        self._window = (0, 0, 0)

    def expire(self) -> None:
        """Let every token that was handed out expire now."""
        self._sessions.clear()

    def respond(self, call: Call) -> None:
        """Answer one request in JSON, with Docker Hub's headers."""
        now = self.clock()
        headers = {"Date": email.utils.formatdate(now, usegmt=True)}
        body = b"".join(call.body)
        try:
            left, reset = self._count(now, call.command)
            headers |= self._limits(left, reset)
            status, answer = self._route(call, body)
        except RefusedError as refusal:
            status, answer = refusal.status, {"message": str(refusal), "errinfo": {}}
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                headers["X-Retry-After"] = str(self._window[0] + 60)
                answer = {"detail": "Rate limit exceeded", "error": False}
        data = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(answer).encode()
        headers["Content-Type"] = "application/json"
        call.answer(status, data, headers.items())

    def _limits(self, left: int, reset: int) -> dict[str, str]:
        known = {"Limit": self.limit, "Remaining": left, "Reset": reset}
        return {f"X-RateLimit-{name}": str(value) for name, value in known.items()}

    def _count(self, now: float, method: str) -> tuple[int, int]:
        """Count a request in the minute that began with the first one; what is left, till when."""
        with self._lock:
            start, used, deletions = self._window
            if now >= start + 60:
                start, used, deletions = int(now), 0, 0
            if used >= self.limit or (method == "DELETE" and deletions == self.delete_limit):
                raise RefusedError(429, "Rate limit exceeded")
            used, deletions = used + 1, deletions + (method == "DELETE")
            self._window = (start, used, deletions)
        return self.limit - used, start + 60

    def _route(self, call: Call, body: bytes) -> tuple[int, Any]:
        path, _, query = call.path.partition("?")
        method = "GET" if call.command == "HEAD" else call.command
        if (method, path) == ("POST", "/v2/auth/token"):
            return 200, {"access_token": self._login(body)}
        session = self._admit(call.headers.get("Authorization", ""))
        plain = urllib.parse.unquote(path)
        current, legacy = (pattern.fullmatch(plain) for pattern in _PATHS)
        found = current or legacy
        if not found:
            raise RefusedError(404, "object not found")
        name, tags, tag = f"{found[1]}/{found[2]}", found[3], found[4]
        if method == "DELETE" and legacy:
            if not tag:
                raise AssertionError(f"a client was about to delete the repository {name}")
            return self._delete(session, name, tag)
        if method != "GET":
            raise RefusedError(405, "Method not allowed")
        self._check_visible(session, name)
        if not tags:
            rules = self.immutable.get(name)
            admin = bool(session and self._owns(session, name))
            return 200, self.shapes.repository(
                name, private=name in self.private, rules=rules, admin=admin
            )
        if tag:
            return 200, self._tag(name, tag)
        address = f"http://{call.headers.get('Host', f'127.0.0.1:{self.port}')}{path}"
        return 200, self._list(name, address, dict(urllib.parse.parse_qsl(query)))

    def _login(self, body: bytes) -> str:
        try:
            wanted = json.loads(body)
            identifier, secret = str(wanted["identifier"]), str(wanted["secret"])
        except (ValueError, LookupError, TypeError):
            raise RefusedError(400, "identifier and secret are required") from None
        account = self.accounts.get(identifier)
        if account is None or not secrets.compare_digest(account.secret, secret):
            raise RefusedError(401, "incorrect authentication credentials")
        token = f"eyJ.{secrets.token_urlsafe(32)}.sig"
        self._sessions[token] = Session(identifier, account, self.clock() + self.lifetime)
        self.logins.append(identifier)
        return token

    def _admit(self, header: str) -> Session | None:
        """Who asks; a token that is unknown or has expired is refused everywhere."""
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        session = self._sessions.get(token)
        if scheme != "Bearer" or session is None or session.expires <= self.clock():
            raise RefusedError(401, "token is expired or invalid")
        return session

    def _owns(self, session: Session, name: str) -> bool:
        return name.partition("/")[0] in (session.identifier, *session.account.owns)

    def _check_visible(self, session: Session | None, name: str) -> None:
        """A private repository is not there for those who may not read it."""
        hidden = name in self.private and (session is None or not self._owns(session, name))
        if hidden or not self.shapes.exists(name):
            raise RefusedError(404, "object not found")
        if name in self.private and session and not may(session, "repo:read"):
            raise RefusedError(403, "access denied: insufficient scope")

    def _tag(self, name: str, tag: str) -> Json:
        answer = self.shapes.tag(name, tag)
        if answer is None:
            raise RefusedError(404, f"tag '{tag}' not found")
        return answer

    def _list(self, name: str, address: str, query: Mapping[str, str]) -> Json:
        late = {} if self.late is None else self.late
        known = f"{address}?{urllib.parse.urlencode(query)}"
        return late.setdefault(known, self._page(name, address, query))

    def _page(self, name: str, address: str, query: Mapping[str, str]) -> Json:
        """`page` from 1, `page_size` 10 unless asked for, at most 100."""
        names = self.shapes.names(name)
        size = min(_number(query, "page_size", TAGS_PER_PAGE), MOST_PER_PAGE)
        page = _number(query, "page", 1)
        chosen = names[(page - 1) * size : page * size]
        if page > 1 and not chosen:
            raise RefusedError(404, "object not found")

        def link(number: int) -> str:
            return f"{address}?{urllib.parse.urlencode({'page': number, 'page_size': size})}"

        return {
            "count": len(names),
            "next": link(page + 1) if page * size < len(names) else None,
            "previous": link(page - 1) if page > 1 else None,
            "results": [each for tag in chosen if (each := self.shapes.tag(name, tag))],
        }

    def _delete(self, session: Session | None, name: str, tag: str) -> tuple[int, Any]:
        if session is None:
            raise RefusedError(401, "authentication required")
        if not may(session, "repo:admin"):
            raise RefusedError(403, "access denied: insufficient scope")
        self._check_visible(session, name)
        if not self._owns(session, name):
            raise RefusedError(403, "forbidden")
        folder = self.shapes.folder(name, tag)
        if not folder.exists():
            raise RefusedError(404, f"tag '{tag}' not found")
        if any(re.search(rule, tag) for rule in self.immutable.get(name, ())):
            words = f"tag '{tag}' cannot be deleted due to immutability settings"
            raise RefusedError(self.immutable_status, words)
        shutil.rmtree(folder)
        self.deleted.append((name, tag))
        return HTTPStatus.NO_CONTENT, None


def may(session: Session, scope: Scope) -> bool:
    """Whether the secret of a session has a scope, or one that includes it."""
    return SCOPES.index(session.account.scope) >= SCOPES.index(scope)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    return int(value) if value.isdigit() and int(value) else default
