"""Answering a registry's challenge: Basic, or a Bearer token from its token server.

One token serves a whole run: it is requested with every scope that the run needs. The token
server's address comes from the registry and is checked before the credential is sent there.
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import RLock
from urllib.parse import urlencode

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost, Repository, is_loopback
from feastflow_registry.registry.http import Client, Response, redact, split

_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')
_HUB_REALMS = frozenset({"auth.docker.io"})


@dataclass(slots=True)
class Authenticator:
    """Keeps the ``Authorization`` header of one run, for all of its threads.

    ``write``: ask for push as well as pull; ``delete``: ask for deletion too; ``is_tried``: whether
    a first request has shown which kind of authorization the registry wants.
    """

    http: Client
    host: RegistryHost
    credential: Credential | None
    repositories: Sequence[Repository]
    write: bool
    header: str | None = field(default=None, repr=False)
    is_tried: bool = False
    lock: RLock = field(default_factory=RLock)
    delete: bool = False

    @staticmethod
    def is_basic(header: str | None) -> bool:
        """Whether the password itself was sent, which no new token can replace."""
        return header is not None and header.startswith("Basic ")

    def answer(self, challenge: Response, sent: str | None) -> str:
        """Answer the challenge of a 401: the header to send instead of the one that was ``sent``.

        Raises a refused failure if there is no answer.
        """
        with self.lock:
            if self.header is None or self.header == sent:
                self.header = self._answer(challenge)
            return self.header

    def _answer(self, challenge: Response) -> str:
        text = challenge.headers.get("www-authenticate", "")
        scheme, _, rest = text.partition(" ")
        if scheme.lower() == "bearer":
            return f"Bearer {self._token(dict(_PARAMETER.findall(rest)))}"
        if scheme.lower() == "basic" and self.credential:
            return self.credential.basic
        raise self.refused()

    def refused(self) -> Failure:
        """The registry does not accept who we are."""
        if self.credential is None:
            return Failure(
                Kind.REFUSED,
                f"{self.host} does not let anyone in without credentials.",
                f"Give username and token, or run `docker login {self.host}`.",
            )
        return Failure(
            Kind.REFUSED,
            f"{self.host} does not accept the user name and token.",
            "Check that username is spelled right and that the token is neither expired nor "
            "revoked; create a new one with read and write scope.",
        )

    def _token(self, challenge: dict[str, str]) -> str:
        realm = challenge.get("realm", "")
        self._check_realm(realm)
        actions = "pull" + ",push" * self.write + ",delete" * self.delete
        query = [("service", challenge["service"])] if challenge.get("service") else []
        query += [("scope", f"repository:{each.path}:{actions}") for each in self.repositories]
        headers = {"Authorization": self.credential.basic} if self.credential else {}
        joint = "&" if split(realm).query else "?"
        response = self.http.send("GET", f"{realm}{joint}{urlencode(query)}", headers=headers)
        if response.status in (400, 401, 403):
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
        """Send the credential over https only, and Docker Hub's to Docker Hub's own server."""
        parts = split(realm)
        local = self.host.is_loopback and is_loopback(parts.hostname or "")
        trusted = parts.hostname and "@" not in parts.netloc and not parts.fragment
        if self.host.is_docker_hub:
            trusted = trusted and parts.hostname in _HUB_REALMS
        if not trusted or (parts.scheme != "https" and not (local and parts.scheme == "http")):
            raise Failure(
                Kind.REFUSED,
                f"{self.host} sends its users to the token server {redact(realm)!r}, "
                "which is not a trustworthy address.",
                "Check the input registry: a token server must be reached over https.",
            )


def _read_token(response: Response) -> str:
    if response.status != 200:
        return ""
    token = response.json.get("token") or response.json.get("access_token")
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""
