"""Answering a registry's challenge: Basic, or a Bearer token from its token server.

One token serves a whole run: it is requested with every scope that the run needs. Many repositories
have one in groups, as a header holds them. Where the token server grants less, there is one for
each repository. Its address comes from the registry and is checked before the credential is sent
there.
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from urllib.parse import urlencode

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.registries import RegistryKind, kind_of
from feastflow_registry.transport.addresses import is_inside, redact, split
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_LONGEST_CHALLENGE = 8192
_CHALLENGE = re.compile(
    rf'(?P<name>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s",]+))'
    rf"|(?P<scheme>{_WORD})"
)
_HUB_REALMS = frozenset({"auth.docker.io"})
_LONGEST_ACCESS = 1600
"""What a token may list: encoded and signed, its header is shorter than 4 KB.

Servers take 8 KB of headers at least: https://nginx.org/r/large_client_header_buffers
"""
_ENTRY = 50
"""How much longer a scope is in a token, in JSON."""
_ALL = -1
"""The group whose header serves every repository: the password itself."""
_REFUSED = (400, 403)
"""What a token server answers to scopes that it does not know, or does not give together."""


def challenges(text: str) -> Mapping[str, Mapping[str, str]]:
    """The parameters of each scheme that a ``WWW-Authenticate`` offers, the names in lower case.

    Several headers are one, joined by commas; of two challenges of one scheme the first counts.
    https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate
    """
    offered: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    for found in _CHALLENGE.finditer(text[:_LONGEST_CHALLENGE]):
        if found["scheme"]:
            parameters = {}
            offered.setdefault(found["scheme"].lower(), parameters)
        else:
            value = found["plain"] or re.sub(r"\\(.)", r"\1", found["quoted"] or "")
            parameters.setdefault(found["name"].lower(), value)
    return offered


@dataclass(slots=True)
class Authenticator:
    """Keeps the ``Authorization`` headers of one run, for all of its threads.

    ``write``: ask for push as well as pull; ``delete``: ask for deletion too; ``is_tried``: whether
    a first request has shown which kind of authorization the registry wants.
    """

    http: Client
    host: RegistryHost
    credential: Credential | None
    repositories: Sequence[Repository]
    write: bool
    is_tried: bool = False
    lock: RLock = field(default_factory=RLock)
    delete: bool = False
    _headers: dict[str | int, str] = field(default_factory=dict, repr=False)
    """By the path of a repository, or by the number of its group."""
    _groups: dict[str, int] = field(default_factory=dict)
    """Which repositories have a token in common, as many as its header holds."""
    _served: set[str] = field(default_factory=set)
    """The repositories for which what is kept was good."""
    _ways: dict[str, int] = field(default_factory=dict)
    """Which way of asking for a token was the last one, by repository."""
    _asked: str = ""
    """The challenge, which tells what kind of registry asks."""

    def __post_init__(self) -> None:
        group = length = 0
        for path in dict.fromkeys(each.path for each in self.repositories):
            length += len(self._scope(path)) + _ENTRY
            if length > _LONGEST_ACCESS:
                group, length = group + 1, len(self._scope(path)) + _ENTRY
            self._groups[path] = group

    def _scope(self, repository: str) -> str:
        """What the run has to do there."""
        actions = "pull" + ",push" * self.write + ",delete" * self.delete
        return f"repository:{repository}:{actions}"

    @property
    def kind(self) -> RegistryKind:
        """What kind of registry this is, as far as it has shown."""
        return kind_of(self.host, self._asked)

    @staticmethod
    def is_basic(header: str | None) -> bool:
        """Whether the password itself was sent, which no new token can replace."""
        return header is not None and header.startswith("Basic ")

    def header(self, repository: str) -> str | None:
        """What to send with a request about a repository; nothing before the first challenge."""
        common = self._groups.get(repository, _ALL)
        return self._headers.get(repository) or self._headers.get(common) or self._headers.get(_ALL)

    def accepted(self, repository: str) -> None:
        """Take note that the registry took what was sent."""
        self._served.add(repository)

    def is_known(self, repository: str) -> bool:
        """Whether the registry took what was sent before: then a 401 is for want of a right."""
        return self.credential is not None and repository in self._served

    def go_unasked(self) -> bool:
        """Send the password from now on, if nothing has asked for it; true, if that is new.

        A registry that anybody may read tells strangers that the rest is not there.
        https://github.com/project-zot/zot/issues/3869
        """
        if self._headers or not self.credential or self.credential.is_identity:
            return False
        self._headers[_ALL] = self.credential.basic
        return True

    def answer(self, challenge: Response, sent: str | None, repository: str) -> str:
        """Answer the challenge of a 401: the header to send instead of the one that was ``sent``.

        It is the same where there is no other. Raises a refused failure if there is no answer.
        """
        self._asked = challenge.headers.get("www-authenticate", "")
        with self.lock:
            current = self.header(repository)
            if current is not None and current != sent:
                return current
            offered = challenges(challenge.headers.get("www-authenticate", ""))
            if "bearer" in offered:
                return self._bear(offered["bearer"], sent, repository)
            if "basic" in offered and self.credential and not self.credential.is_identity:
                self._headers = {_ALL: self.credential.basic}
                return self.credential.basic
            raise self.refused()

    def _bear(self, challenge: Mapping[str, str], sent: str | None, repository: str) -> str:
        """Get a token: as before, if that was good for this repository; else in the next way."""
        ways = self._scopes(challenge.get("scope", "").split(), repository)
        start = self._ways.get(repository, 0)
        if sent is not None and repository not in self._served:
            start += 1
        for number, scopes in enumerate(ways[start:], start):
            token = self._token(challenge, scopes)
            if token:
                self._ways[repository] = number
                self._served.discard(repository)  # Until it has proved to be good.
                header = f"Bearer {token}"
                whose = repository if number else self._groups.get(repository, repository)
                self._headers[whose] = header
                return header
        # This request is refused; others may do with what serves all of them.
        self._ways.pop(repository, None)
        self._headers.pop(repository, None)
        if sent is None:
            raise self.refused()
        return sent

    def _scopes(self, own: Sequence[str], repository: str) -> list[list[str]]:
        """The ways to ask for a token, each a list of scopes: for a group, and for less and less.

        ``own``: what the challenge asks for. Quay knows no ``delete``, but ``*``.
        """
        group = self._groups.get(repository)
        near = (path for path, its in self._groups.items() if its == group and path != repository)
        mine = [self._scope(repository)] if repository else []
        others = [each for each in own if not each.startswith(f"repository:{repository}:")]
        ways = [
            [*mine, *map(self._scope, near)],
            [*mine, *others],
            [f"repository:{repository}:*"] if self.delete and repository else [],
            list(own),
        ]
        return [way for place, way in enumerate(ways) if way and way not in ways[:place]]

    def refused(self) -> Failure:
        """The registry does not accept who we are."""
        if self.credential is None:
            return Failure(
                Kind.REFUSED,
                f"this run is not logged in to {self.host}.",
                'Set the input "username" and the input "token", or run '
                f"`docker login {self.host}`.",
                see="credentials",
            )
        return Failure(
            Kind.REFUSED,
            f"{self.host} does not accept the user name and token.",
            "Check that the user name is spelled right and that the token is neither expired nor "
            "revoked; create a new one with read and write scope.",
            see="denied",
        )

    def _token(self, challenge: Mapping[str, str], scopes: Sequence[str]) -> str:
        """Ask the token server; nothing, if it does not give these scopes.

        https://distribution.github.io/distribution/spec/auth/oauth/
        """
        realm = challenge.get("realm", "")
        self._check_realm(realm)
        query = [("service", challenge["service"])] if challenge.get("service") else []
        if self.credential and self.credential.is_identity:
            self.http.secrets.learn([self.credential.token])
            query += [("client_id", "feastflow-registry"), ("grant_type", "refresh_token")]
            query += [("scope", " ".join(scopes)), ("refresh_token", self.credential.token)]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self.http.send(
                "POST", realm, headers=headers, body=urlencode(query).encode()
            )
        else:
            query += [("scope", each) for each in scopes]
            headers = {"Authorization": self.credential.basic} if self.credential else {}
            joint = "&" if split(realm).query else "?"
            response = self.http.send("GET", f"{realm}{joint}{urlencode(query)}", headers=headers)
        if response.status in _REFUSED:
            return ""
        if response.status == 401:
            raise self.refused()
        token = _read_token(response)
        if not token:
            raise Failure(
                Kind.UNREACHABLE,
                f"the token server {redact(realm)} answered {response.status} without a token.",
                f"Check the status of {self.host}, then run again.",
            )
        return token

    def _check_realm(self, realm: str) -> None:
        """Send the credential over https, or to where plain HTTP is spoken with the registry too.

        Docker Hub's goes to Docker Hub's own server alone. No registry of the world's sends anybody
        to an address inside of a private network.
        """
        parts = split(realm)
        plain = parts.scheme == "http" and self.host.allows_plain(parts.hostname or "")
        trusted = parts.hostname and "@" not in parts.netloc and not parts.fragment
        if is_inside(parts.hostname or "") and not is_inside(split(self.host.url).hostname or ""):
            trusted = False
        if self.host.is_docker_hub:
            trusted = trusted and parts.hostname in _HUB_REALMS
        if not trusted or not (parts.scheme == "https" or plain):
            raise Failure(
                Kind.REFUSED,
                f"{self.host} sends its users to the token server {redact(realm)!r}, "
                "which is not a trustworthy address.",
                'Check the input "registry": a token server must be reached over https. If both '
                "are in your own network, name both by their addresses, or both by their names.",
            )


def _read_token(response: Response) -> str:
    if response.status != 200:
        return ""
    token = response.json.get("token") or response.json.get("access_token")
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""
