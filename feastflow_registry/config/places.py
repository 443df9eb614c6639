"""Where each image goes besides its own repository: the input ``also``, service by service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from feastflow_registry.config.settings import Settings
from feastflow_registry.model.errors import Problem, nearest
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import SERVICE_PLACEHOLDER, Service


def hosts(settings: Settings) -> tuple[RegistryHost, ...]:
    """The registries besides the first one, each once."""
    named = dict.fromkeys(each.host for each in settings.also if each.host)
    return tuple(each for each in named if each != settings.registry)


def of(
    services: Sequence[Service], settings: Settings
) -> tuple[tuple[Service, ...], tuple[Service, ...]]:
    """The services on the first registry to work on, and on all others."""
    everywhere = [tuple(services)]
    everywhere += [
        tuple(replace(each, repository=place.repository(each)) for each in services)
        for place in settings.also
    ]
    wanted = settings.registries
    first, *also = [each for each in everywhere if not wanted or each[0].repository.host in wanted]
    return first, tuple(chain.from_iterable(also))


def check(services: Sequence[Service], settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with ``also`` and ``registries``: one repository for two, for example."""
    owners: dict[Repository, str] = {each.repository: each.name for each in services}
    for place in settings.also:
        if len(services) > 1 and SERVICE_PLACEHOLDER not in place.path:
            cause = f'input "also": {place} is one repository for {len(services)} services.'
            yield Problem(cause, "Put {service} into it.")
            continue
        for service in services:
            repository = place.repository(service)
            if repository in owners:
                cause = (
                    f'input "also": {repository} is the repository of {owners[repository]} already.'
                )
                yield Problem(cause, "Name another registry or repository, or leave it out.")
            owners[repository] = service.name
    yield from _check_chosen({each.host for each in owners}, settings)


def _check_chosen(known: set[RegistryHost], settings: Settings) -> Iterator[Problem]:
    if settings.registries and settings.command.builds:
        cause = f'input "registries": {settings.command} is about all of them.'
        yield Problem(cause, 'Leave it out, or take registries out of the input "also".')
    for host in settings.registries:
        if host not in known:
            cause = f'input "registries": {host} is neither the registry nor in the input "also".'
            yield Problem(cause, nearest(host.name, map(str, known)))
