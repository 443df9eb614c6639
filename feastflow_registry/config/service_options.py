"""What the options of a build forbid its services, and each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from feastflow_registry.config import build_options, grammar, image_annotations
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.services import Service, Where


def check(services: Sequence[Service], settings: Settings, where: Where) -> Iterator[Problem]:
    """Yield all that is forbidden."""
    yield from build_options.check(services, settings.command, where)
    yield from image_annotations.check(services, settings.attest, where)
    if any("mode=max" in each for each in settings.attest):
        for service in services:
            for key, _ in service.args:
                if grammar.looks_secret(key):
                    yield Problem(
                        f'input "attest": provenance with mode=max would publish the build '
                        f"argument {key} of {service.name}, which looks like a credential.",
                        "Give it to the build as a secret, or leave mode=max out.",
                    )
