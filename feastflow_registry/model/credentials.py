"""Where the registry's credential comes from, what forms it takes, and where it ends.

It lives in memory only. Nothing here prints it, and its ``repr`` does not hold it.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from enum import Enum

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost
from feastflow_registry.model.registries import kind_of
from feastflow_registry.model.secrets import SHORTEST

_NAME = re.compile(r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_NAMES = frozenset(
    {
        "AWS",  # https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
        "oauth2accesstoken",  # https://cloud.google.com/artifact-registry/docs/docker/authentication
        "x-access-token",
    }
)


class Access(Enum):
    """What a run asks a registry for."""

    READ = "read"
    WRITE = "read and write"
    DELETE = "read, write and delete"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a token (or, from ``docker login``, a password).

    ``is_identity``: the token only buys tokens from the registry's token server, as the one that
    ``az acr login`` keeps. https://distribution.github.io/distribution/spec/auth/oauth/
    """

    username: str
    token: str = field(repr=False)
    is_identity: bool = False

    @classmethod
    def parse(cls, username: str, token: str) -> Credential | None:
        """Check an input pair: both, or neither. Raises an input failure without the value."""
        if not token:
            return None
        if not username:
            raise _wrong("is given without a user name", "Set the input username too")
        if len(token) < SHORTEST:
            raise _wrong(
                f"has less than {SHORTEST} characters: hiding it would blot out other words",
                "Create an access token, which is longer",
            )
        if "::" in token:
            raise _wrong(
                'holds "::", which the runner would read as a command',
                "Create an access token, which has no such characters",
            )
        if _is_key(token):
            return cls(username, token.strip())
        if not token.isascii() or not token.isprintable() or re.search(r"\s", token):
            raise _wrong(
                "holds a space, a line break or a character that no token has",
                "Save the secret again without the line break that was pasted with it",
            )
        return cls(username, token)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header. RFC 7617."""
        return f"Basic {base64.b64encode(self._pair).decode()}"

    @property
    def _pair(self) -> bytes:
        return f"{self.username}:{self.token}".encode("utf-8", "surrogateescape")

    def docker_config(self, host: RegistryHost) -> str:
        """The content of a Docker configuration that holds this credential and no other.

        https://docs.docker.com/reference/cli/docker/login/
        """
        pair = f"{self.username}:".encode() if self.is_identity else self._pair
        entry = {"auth": base64.b64encode(pair).decode()}
        if self.is_identity:
            entry["identitytoken"] = self.token
        return json.dumps({"auths": {host.credential_key: entry}})

    def engine_auth(self, host: RegistryHost) -> dict[str, str]:
        """What Docker Engine's API takes as ``X-Registry-Auth``, before its encoding."""
        if self.is_identity:
            return {"identitytoken": self.token, "serveraddress": host.credential_key}
        return {
            "username": self.username,
            "password": self.token,
            "serveraddress": host.credential_key,
        }

    def forms(self, host: RegistryHost) -> tuple[str, ...]:
        """Every text that gives the token away, for the runner to mask."""
        wholes = [
            self.token.encode(),
            self._pair,
            self.docker_config(host).encode(),
            json.dumps(self.engine_auth(host)).encode(),
        ]
        found = {self.token}
        for whole in wholes:
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                found.add(encode(whole).decode())
                found.add(encode(whole).decode().rstrip("="))
        return tuple(sorted(found, key=len, reverse=True))


def _is_key(token: str) -> bool:
    """Whether a password is a key in JSON, as Google gives them, with spaces and line breaks."""
    try:
        return token.lstrip().startswith("{") and isinstance(json.loads(token), dict)
    except (ValueError, RecursionError):
        return False


def holds(text: str, token: str) -> bool:
    """Whether a text gives the token away; a short password may be part of any word."""
    return len(token) >= SHORTEST and token in text


def is_name(username: str) -> bool:
    """Whether a user is called so: registries have users that stand for a token, or a machine."""
    is_one = username not in _NO_NAMES and _GUID.fullmatch(username) is None
    return is_one and _NAME.fullmatch(username) is not None


def no_namespace(host: RegistryHost, username: str) -> Failure:
    """Repositories would be named after a user who is none."""
    return Failure(
        Kind.INPUT,
        f"the user name {username[:60]!r} is no namespace, and none is given.",
        f"Set the input namespace to {kind_of(host).namespace}, "
        "or to / where repositories have a name alone.",
    )


def missing(host: RegistryHost, *, in_runner: bool) -> Failure:
    """A push is due, and there is nothing to push with.

    https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets
    https://docs.github.com/en/packages/managing-github-packages-using-github-actions-workflows
    """
    cause = f"there are no credentials to push to {host} with"
    kind = "an access token with read and write scope" if host.is_docker_hub else "a token"
    if not in_runner:
        login = "`docker login`" if host.is_docker_hub else f"`docker login {host}`"
        fix = f"Set DOCKERHUB_USERNAME and DOCKERHUB_TOKEN, or run {login}, with {kind}."
        return Failure(Kind.INPUT, f"{cause}.", fix, see="credentials")
    where = "Settings → Secrets and variables → Actions"
    secret = "the secret DOCKERHUB_TOKEN" if host.is_docker_hub else "a secret"
    fix = f"Save {kind} as {secret} ({where}), and give it in the input token."
    if kind_of(host).name == "GitHub":
        fix = "Give it ${{ github.token }}, and the job permissions: packages: write."
    return Failure(Kind.INPUT, f"{cause}: the input token is empty.", fix, see="credentials")


def _wrong(cause: str, fix: str) -> Failure:
    return Failure(Kind.INPUT, f'input "token" {cause}.', f"{fix}.")
