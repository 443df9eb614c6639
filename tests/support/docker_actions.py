"""The inputs and outputs of Docker's own actions, as their action.yml had them at a version.

https://github.com/docker/build-push-action/blob/v7.3.0/action.yml, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Interface(NamedTuple):
    """What an action takes and gives, in its own order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ACTIONS: Mapping[str, Interface] = {
    "docker/login-action v4.1.0": Interface(
        _names("registry username password ecr scope logout registry-auth")
    ),
    "docker/setup-qemu-action v4.2.0": Interface(
        _names("image platforms reset cache-image"), _names("platforms")
    ),
    "docker/setup-buildx-action v4.3.0": Interface(
        _names(
            "version driver driver-opts buildkitd-flags buildkitd-config buildkitd-config-inline "
            "use name endpoint platforms append keep-state cache-binary cleanup"
        ),
        _names("name driver platforms nodes endpoint status flags"),
    ),
    "docker/metadata-action v6.2.0": Interface(
        _names(
            "context images tags flavor labels annotations sep-tags sep-labels sep-annotations "
            "bake-target github-token"
        ),
        _names(
            "version tags tag-names labels annotations json bake-file-tags bake-file-labels "
            "bake-file-annotations bake-file"
        ),
    ),
    "docker/build-push-action v7.3.0": Interface(
        _names(
            "add-hosts allow annotations attests build-args build-contexts builder cache-from "
            "cache-to call cgroup-parent context file labels load network no-cache "
            "no-cache-filters outputs platforms provenance pull push sbom secrets secret-envs "
            "secret-files shm-size ssh tags target ulimit github-token"
        ),
        _names("imageid digest metadata"),
    ),
    "docker/bake-action v7.1.0": Interface(
        _names(
            "builder allow call files no-cache pull load provenance push sbom set source targets "
            "github-token"
        ),
        _names("metadata"),
    ),
}
