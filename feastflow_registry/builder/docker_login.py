"""The credential that ``docker login`` has stored, in its file or in its credential helper."""

from __future__ import annotations

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.references import RegistryHost


def from_login(host: RegistryHost, username: str) -> Credential | None:
    """The stored credential for a registry, if it is the given user's, or any user's for ""."""
    # It is needed on laptops only.
    from docker import auth
    from docker.errors import DockerException

    try:
        entry = auth.load_config().resolve_authconfig(None if host.is_docker_hub else host.name)
    except DockerException:
        return None
    if not entry or not entry.get("Password", entry.get("password")):
        return None
    name = entry.get("Username") or entry.get("username") or ""
    if username and name != username:
        return None
    return Credential(name, entry.get("Password") or entry.get("password"))
