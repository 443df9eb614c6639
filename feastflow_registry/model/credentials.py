"""Where the registry's credential comes from, what forms it takes, and where it ends.

It lives in memory only. Nothing here prints it, and its ``repr`` does not hold it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.references import RegistryHost
from feastflow_registry.model.registries import GENERIC, kind_of
from feastflow_registry.model.secrets import SHORTEST

_NAME = re.compile(r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*")
_GUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENTRY = re.compile(r"(\S+)[ \t]+(\S+)[ \t]+(?=\S)")
_FIRST = 'input "token"'
_OF_IBM = "a namespace that `ibmcloud cr namespace-list` shows"
_NO_NAMES = {
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
    "AWS": "",
    # https://docs.gitlab.com/user/packages/container_registry/authenticate_with_container_registry/
    "gitlab-ci-token": "the project's path",
    # https://cloud.ibm.com/docs/Registry?topic=Registry-registry_access
    "iamapikey": _OF_IBM,
    "iambearer": _OF_IBM,
    "token": "",
    # https://www.scaleway.com/en/docs/container-registry/quickstart/
    "nologin": "the namespace of Scaleway's registry",
    # https://cloud.google.com/artifact-registry/docs/docker/authentication
    "oauth2accesstoken": "",
    # https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
    "x-access-token": "",
}
"""Users that stand for a token alone: by their names, what comes before a repository's name there.

Empty where the host tells, or where nobody knows.
"""


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
    def parse(cls, username: str, token: str, where: str = _FIRST) -> Credential | None:
        """Check a pair: both, or neither. Raises an input failure without the value.

        ``where``: what gives the token.
        """
        if not token:
            return None
        if not username:
            raise _wrong(where, "is given without a user name", 'Set the input "username" too')
        if len(token) < SHORTEST:
            raise _wrong(
                where,
                f"is too short to be a token, which has at least {SHORTEST} characters",
                "Create an access token, and give the whole of it",
            )
        if "::" in token:
            raise _wrong(
                where,
                'holds "::", which the runner would read as a command',
                "Create an access token, which has no such characters",
            )
        if _is_key(token):
            return cls(username, token.strip())
        if not token.isascii() or not token.isprintable() or re.search(r"\s", token):
            raise _wrong(
                where,
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

    @property
    def docker_entry(self) -> Mapping[str, str]:
        """What Docker's configuration keeps of it."""
        pair = f"{self.username}:".encode() if self.is_identity else self._pair
        entry = {"auth": base64.b64encode(pair).decode()}
        return {**entry, "identitytoken": self.token} if self.is_identity else entry

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
            docker_config({host: self}).encode(),
            json.dumps(self.engine_auth(host)).encode(),
        ]
        found = {self.token}
        for whole in wholes:
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                found.add(encode(whole).decode())
                found.add(encode(whole).decode().rstrip("="))
        return tuple(sorted(found, key=len, reverse=True))


def docker_config(credentials: Mapping[RegistryHost, Credential]) -> str:
    """The content of a Docker configuration that holds these credentials and no other.

    https://docs.docker.com/reference/cli/docker/login/
    """
    auths = {host.credential_key: each.docker_entry for host, each in credentials.items()}
    return json.dumps({"auths": auths})


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
    kind = kind_of(host)
    wanted = kind.namespace
    if kind is GENERIC:
        wanted = _NO_NAMES.get(username) or wanted
    or_none = ", or to / where repositories have a name alone" if kind.names_alone else ""
    return Failure(
        Kind.INPUT,
        f"the user name {username[:60]!r} cannot be the namespace of the images.",
        f'Set the input "namespace" to {wanted}{or_none}.',
    )


def missing(host: RegistryHost, *, in_runner: bool, is_first: bool = True) -> Failure:
    """A push is due, and there is nothing to push with. ``is_first``: to the input registry's.

    https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets
    https://docs.github.com/en/packages/managing-github-packages-using-github-actions-workflows
    """
    cause = f"there are no credentials to push to {host} with"
    kind = "an access token with read and write scope" if host.is_docker_hub else "a token"
    if not is_first:
        fix = f'Run `docker login {host}`, or give it an entry in the input "also-credentials".'
        return Failure(Kind.INPUT, f"{cause}.", fix)
    if not in_runner:
        login = "`docker login`" if host.is_docker_hub else f"`docker login {host}`"
        fix = f"Set DOCKERHUB_USERNAME and DOCKERHUB_TOKEN, or run {login}, with {kind}."
        return Failure(Kind.INPUT, f"{cause}.", fix, see="credentials")
    where = "Settings → Secrets and variables → Actions"
    secret = "the secret DOCKERHUB_TOKEN" if host.is_docker_hub else "a secret"
    fix = f'Save {kind} as {secret} ({where}), and give it in the input "token".'
    if kind_of(host).name == "GitHub":
        fix = "Give it ${{ github.token }}, and the job permissions: packages: write."
    return Failure(Kind.INPUT, f'{cause}: the input "token" is empty.', fix, see="credentials")


def read_several(text: str) -> Mapping[RegistryHost, Credential]:
    """Read entries of ``host username token``, each on a line of its own.

    A token that is a key in JSON, as Google's are, may go over several lines. Raises an input
    failure that shows nothing of the text: whatever stands in the wrong place may be a token.
    """
    found: dict[RegistryHost, Credential] = {}
    rest = text.strip()
    while rest:
        where = _entry(len(found) + 1)
        match = _ENTRY.match(rest)
        host = _host(match[1]) if match else None
        if match is None or host is None:
            fix = "Write each on a line, as in: ghcr.io octocat ${{ secrets.TOKEN }}"
            raise _wrong(where, "is no registry with a user name and a token", fix)
        end = _end_of_token(rest, match.end())
        credential = Credential.parse(match[2], rest[match.end() : end].rstrip(), where)
        if credential is None or host in found:
            raise _wrong(where, "is the second one of its registry", "Leave one of them out")
        found[host] = credential
        rest = rest[end:].lstrip()
    return found


def secrets_of(text: str) -> list[str]:
    """What nobody may see of such entries: their tokens, or every word if they cannot be read."""
    try:
        return [each.token for each in read_several(text).values()]
    except Failure:
        return text.split()


def unnamed(given: Iterable[RegistryHost], hosts: Container[RegistryHost]) -> Iterator[Problem]:
    """Yield that a credential is for a registry that nobody pushes to with it."""
    for number, host in enumerate(given, 1):
        if host not in hosts:
            cause = f'{_entry(number)} is for a registry that the input "also" does not name.'
            fix = (
                "Name the registry there, or leave the entry out; "
                'the input "token" is for the input "registry".'
            )
            yield Problem(cause, fix)


def _entry(number: int) -> str:
    return f'input "also-credentials": entry {number}'


def _host(text: str) -> RegistryHost | None:
    with suppress(Failure):
        return RegistryHost.parse(text)
    return None


def _end_of_token(text: str, start: int) -> int:
    """Where a token ends: with its line, or where a key in JSON does."""
    if text.startswith("{", start):
        with suppress(ValueError, RecursionError):
            return json.JSONDecoder().raw_decode(text, start)[1]
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _wrong(where: str, cause: str, fix: str) -> Failure:
    return Failure(Kind.INPUT, f"{where} {cause}.", f"{fix}.")
