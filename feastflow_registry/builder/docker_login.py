"""What ``docker login`` has kept: its file, or its credential helper."""

from __future__ import annotations

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.references import RegistryHost


def from_login(host: RegistryHost, username: str) -> Credential | None:
    """What ``docker login`` has kept, in its file or its credential helper."""
    # Slow to import, and needed on laptops only.
    from docker import auth
    from docker.errors import DockerException

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
