"""Where the registry's credential comes from, what forms it takes, and where it ends.

It lives in memory only. Nothing here prints it, and its ``repr`` does not hold it.
"""

from __future__ import annotations

import base64
import ctypes
import json
import re
from dataclasses import dataclass, field

from feastflow_registry.errors import Failure, Kind
from feastflow_registry.references import RegistryHost

_GUESSABLE = 8
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a token (or, from ``docker login``, a password)."""

    username: str
    token: str = field(repr=False)

    @classmethod
    def parse(cls, username: str, token: str) -> Credential | None:
        """Check an input pair: both, or neither. Raises an input failure without the value."""
        if not token:
            return None
        if not username:
            raise _wrong("is given without a user name", "Set the input username too")
        if "::" in token:
            raise _wrong(
                'holds "::", which the runner would read as a command',
                "Create an access token, which has no such characters",
            )
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
        return f"{self.username}:{self.token}".encode()

    def docker_config(self, host: RegistryHost) -> str:
        """The content of a Docker configuration that holds this credential and no other.

        https://docs.docker.com/reference/cli/docker/login/
        """
        auth = base64.b64encode(self._pair).decode()
        return json.dumps({"auths": {host.credential_key: {"auth": auth}}})

    def engine_auth(self, host: RegistryHost) -> dict[str, str]:
        """What Docker Engine's API takes as ``X-Registry-Auth``, before its encoding."""
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


def holds(text: str, token: str) -> bool:
    """Whether a text gives the token away; a short password may be part of any word."""
    return len(token) >= _GUESSABLE and token in text


def from_login(host: RegistryHost, username: str) -> Credential | None:
    """What ``docker login`` has kept, in its file or its credential helper."""
    # Slow to import, and needed on laptops only.
    from docker import auth  # noqa: PLC0415  Slow to import.
    from docker.errors import DockerException  # noqa: PLC0415  As above.

    try:
        found = auth.load_config().resolve_authconfig(None if host.is_docker_hub else host.name)
    except DockerException:
        return None
    if not found or not found.get("Password", found.get("password")):
        return None
    name = found.get("Username") or found.get("username") or ""
    if username and name != username:
        return None
    return Credential(name, found.get("Password") or found.get("password"))


def missing(host: RegistryHost) -> Failure:
    """A push is due, and there is nothing to push with."""
    return Failure(
        Kind.INPUT,
        f"there are no credentials to push to {host} with.",
        "Give username and token (for Docker Hub an access token with read and write scope); "
        "by hand, set DOCKERHUB_USERNAME and DOCKERHUB_TOKEN or run `docker login`.",
    )


def shield() -> None:
    """Close this process's memory to other programs of the same user; no core dump holds it.

    Whoever is root, or may become it, reads it all the same.
    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)


def erase(name: str) -> None:
    """Blank a variable where the kernel shows it: ``/proc/<pid>/environ`` keeps first values.

    Only the value is overwritten, so that every pointer into the block stays valid.
    """
    wanted = f"{name}=".encode()
    block = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    index = 0
    while block and block[index]:
        address = int(block[index] or 0)
        entry = ctypes.string_at(address)
        if entry.startswith(wanted):
            ctypes.memset(address + len(wanted), 0, len(entry) - len(wanted))
        index += 1


def _wrong(cause: str, fix: str) -> Failure:
    return Failure(Kind.INPUT, f'input "token" {cause}.', f"{fix}.")
