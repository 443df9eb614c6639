"""What a build's options mean for its services: what they forbid, where layers are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from feastflow_registry.config import grammar
from feastflow_registry.config.settings import Settings
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.services import EACH, Service


def check_options(services: Iterable[Service], settings: Settings) -> Iterator[Problem]:
    """Yield what the options of a build forbid its services."""
    known = tuple(services)
    if settings.cache not in ("", "registry") and len(known) > 1 and EACH not in settings.cache:
        yield Problem(
            'input "cache": the services would overwrite each other\'s layers.',
            f"Put {EACH} into it, which becomes the service's name.",
        )
    if any("mode=max" in each for each in settings.attest):
        for service in known:
            for key, _ in service.args:
                if grammar.looks_secret(key):
                    yield Problem(
                        f'input "attest": provenance with mode=max would publish the build '
                        f"argument {key} of {service.name}, which looks like a credential.",
                        "Hand it to the build as a secret, or leave mode=max out.",
                    )


def caches(settings: Settings, service: Service, *, write: bool) -> Mapping[str, str]:
    """Where layers are looked for and left: in the repository itself, or where buildx is told.

    https://docs.docker.com/build/cache/backends/
    """
    if not settings.cache:
        return {}
    spec = settings.cache.replace(EACH, service.name)
    if spec == "registry":
        name = f"{service.repository.host}/{service.repository.path}:{tag_names.CACHE_TAG}"
        spec = f"type=registry,ref={name}"
        return {"cache_from": spec, "cache_to": f"{spec},mode=max" if write else ""}
    found = spec.replace(",dest=", ",src=") if spec.startswith("type=local,") else spec
    return {"cache_from": found, "cache_to": spec if write else ""}
