"""A session with Docker Hub's own API: who asks, how fast, and where.

It decides when a token is renewed and how long to wait. The credential goes to the one address
that it was given, and to no address that an answer names.
https://docs.docker.com/reference/api/hub/latest/
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from threading import Lock, RLock
from urllib.parse import urlsplit

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import is_loopback
from feastflow_registry.registry.docker_hub_json import misbehaving
from feastflow_registry.registry.http import Client, Response, redact, server_time

HUB = "https://hub.docker.com"
DEADLINE = 1800.0
"""Seconds that the ``Client`` of a session should have for one request: to wait for a minute is
usual, and whoever is locked out waits for ten (https://github.com/docker/hub-feedback/issues/2201).
"""

_LIMIT = 65536
_LONGEST_TOKEN = 16 * 1024


@dataclass(slots=True)
class HubSession:
    """One run's access, for all of its threads. Without a credential, to public facts alone.

    ``base``: the address of the API, ``https`` unless on this machine. ``interval``: seconds from
    one deletion to the next; about 600 in a row were too many
    (https://github.com/docker/hub-tool/issues/214).
    """

    http: Client
    credential: Credential | None
    base: str = HUB
    interval: float = 0.12
    _token: str | None = field(default=None, repr=False)
    _renewing: RLock = field(default_factory=RLock, repr=False)
    _pacing: Lock = field(default_factory=Lock, repr=False)
    _next_deletion: float = 0.0
    _resumes: float = 0.0

    def __post_init__(self) -> None:
        self.base = check_base(self.base)

    def ask(self, method: str, path: str, *, limit: int = _LIMIT) -> Response:
        """Send with the token; with a new one, once, where it has expired."""
        sent = self._authorize(None)
        response = self._send(method, path, sent, limit)
        if response.status == 401 and self.credential:
            response = self._send(method, path, self._authorize(sent), limit)
        if response.status == 401:
            raise self._refused()
        return response

    def pace(self) -> None:
        """Wait until the next deletion is due, whichever thread made the last one."""
        with self._pacing:
            now = self.http.clock()
            wait = max(0.0, self._next_deletion - now)
            self._next_deletion = now + wait + self.interval
        if wait:
            self.http.sleep(wait)

    def _send(self, method: str, path: str, token: str | None, limit: int) -> Response:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._exchange(method, path, headers, limit=limit)

    def _exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        body: bytes | None = None,
        limit: int = _LIMIT,
    ) -> Response:
        """Wait where the last answer said that no request is left, then send.

        https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting
        """
        if (wait := self._resumes - self.http.clock()) > 0:
            self.http.sleep(wait)
        url = f"{self.base}{path}"
        response = self.http.send(method, url, headers=headers, body=body, limit=limit)
        reset = response.headers.get("x-ratelimit-reset", "")
        exhausted = response.headers.get("x-ratelimit-remaining") == "0"
        if exhausted and reset.isascii() and reset.isdigit():
            wait = int(reset[:12]) - server_time(response.headers, self.http.wall())
            self._resumes = self.http.clock() + min(max(wait, 0.0), self.http.deadline)
        return response

    def _authorize(self, expired: str | None) -> str | None:
        """The token of this run, a new one if it is the one that has expired."""
        if self.credential is None:
            return None
        with self._renewing:
            if self._token is None or self._token == expired:
                self._token = self._login(self.credential)
            return self._token

    def _login(self, credential: Credential) -> str:
        """Exchange the credential for a token of about ten minutes.

        https://docs.docker.com/reference/api/hub/latest/#tag/authentication-api
        """
        body = {"identifier": credential.username, "secret": credential.token}
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        path = "/v2/auth/token"
        response = self._exchange("POST", path, headers, body=json.dumps(body).encode())
        if response.status in (400, 401, 403):
            raise self._refused()
        if response.status != 200:
            raise unexpected(response, "a login")
        token = response.json.get("access_token")
        if not isinstance(token, str) or not _may_be_sent(token):
            raise misbehaving("answers a login without a token")
        return token

    def _refused(self) -> Failure:
        if self.credential is None:
            return Failure(
                Kind.REFUSED,
                "Docker Hub's API does not tell this without credentials.",
                "Give username and token, or run `docker login`.",
            )
        return Failure(
            Kind.REFUSED,
            "Docker Hub's API does not accept the user name and token.",
            "Check that the token is neither expired nor revoked, and that username is its "
            "owner's: with an organization's token, the organization's name.",
        )


def check_base(url: str) -> str:
    """Check the address of the API, to which the credential goes. Raises an input failure."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        parts, name, port = urlsplit(""), "", None
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(name))
    odd = "@" in parts.netloc or parts.query or parts.fragment or port == 0
    plain = url.isascii() and url.isprintable() and " " not in url
    if not (name and safe and plain) or odd:
        raise Failure(
            Kind.INPUT,
            f"FEASTFLOW_HUB_URL {redact(url)[:100]!r} is not the address of an API."
            if name
            else "FEASTFLOW_HUB_URL is not the address of an API.",
            'Write it as "https://hub.example.com", without user, query and fragment; '
            "http:// is for this machine alone.",
        )
    return url.rstrip("/")


def unexpected(response: Response, what: str, fix: str = "") -> Failure:
    """Turn a final answer into a failure. ``fix``: what helps where it is a 403."""
    reason = response.explanation
    if response.status == 403:
        fix = fix or "Give the token read scope, and check that its user may see the repository."
        return Failure(Kind.REFUSED, f"Docker Hub denied {what}{reason}.", fix)
    return misbehaving(f"answered {response.status} to {what}{reason}")


def _may_be_sent(token: str) -> bool:
    """Whether a token can be part of a header."""
    plain = token.isascii() and token.isprintable() and " " not in token
    return plain and 0 < len(token) <= _LONGEST_TOKEN
