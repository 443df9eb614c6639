"""The credential that ``docker login`` has stored, in its file or in its credential helper.

The file may hold any tool's entries; one that is broken concerns its own registry alone.
https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost

_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_IDENTITY = "<token>"
"""What a helper answers as the user of an identity token."""


def from_login(host: RegistryHost, username: str, environ: Mapping[str, str]) -> Credential | None:
    """The stored credential for a registry, if it is the given user's, or any user's for "".

    Raises an input failure if the registry's credential helper cannot be run.
    """
    config = _read(environ)
    names = _HUB_KEYS if host.is_docker_hub else (host.name,)
    helper = next((each for name in names if (each := _helper(config, name))), "")
    found = _from_helper(helper, names[0], environ) if helper else _from_file(config, names)
    if found and username and not found.is_identity and found.username != username:
        return None
    return found


def _read(environ: Mapping[str, str]) -> Mapping[str, object]:
    home = environ.get("HOME") or str(Path.home())
    folder = Path(environ.get("DOCKER_CONFIG") or Path(home, ".docker"))
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _helper(config: Mapping[str, object], name: str) -> str:
    helpers = config.get("credHelpers")
    own = helpers.get(name) if isinstance(helpers, dict) else None
    helper = own or config.get("credsStore")
    return helper if isinstance(helper, str) else ""


def _from_helper(helper: str, name: str, environ: Mapping[str, str]) -> Credential | None:
    import warnings

    from docker.credentials import CredentialsNotFound, Store, StoreError

    with warnings.catch_warnings(action="ignore"):  # That it is missing is said below.
        store: Any = Store(helper, environment=dict(environ))
    if store.exe is None:
        raise Failure(
            Kind.INPUT,
            f"Docker's configuration keeps the credential for {name} with {store.program}, which "
            "is not installed.",
            'Install it, or set the input "username" and the input "token".',
        )
    try:
        entry = store.get(name)
        return _credential(entry["Username"], entry["Secret"])
    except CredentialsNotFound:
        return None
    except (StoreError, ValueError, KeyError, TypeError):
        raise Failure(
            Kind.INPUT,
            f"the credential helper {store.program} does not give the credential for {name}.",
            f'Run `docker login {name}` again, or set the input "username" and the input "token".',
        ) from None


def _from_file(config: Mapping[str, object], names: tuple[str, ...]) -> Credential | None:
    entries = config.get("auths")
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        if key not in names and _host(key) not in names:
            continue
        credential = _from_entry(entry) if isinstance(entry, dict) else None
        if credential:
            return credential
    return None


def _host(key: str) -> str:
    """The registry that an old entry names by an address."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_entry(entry: Mapping[str, object]) -> Credential | None:
    identity = entry.get("identitytoken")
    if identity and isinstance(identity, str):
        return Credential("", identity, is_identity=True)
    username, password = entry.get("username"), entry.get("password")
    try:
        pair = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode()
    except ValueError:
        return None
    if pair:
        username, _, password = pair.partition(":")
    if isinstance(username, str) and isinstance(password, str):
        return _credential(username, password.rstrip("\0"))
    return None


def _credential(username: str, secret: str) -> Credential | None:
    if not secret:
        return None
    is_identity = username == _IDENTITY
    return Credential("" if is_identity else username, secret, is_identity=is_identity)
