"""What has a job of its own where each platform of an image has one, and where that job runs.

One run says what has to be built (``matrix: platforms``, with ``dry-run``); each job builds one
platform (``part``); the last one puts the images together (``matrix: platforms``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from feastflow_registry.config.image_annotations import MANIFEST
from feastflow_registry.config.platforms import RUNNERS, Matrix
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.plan import Command
from feastflow_registry.model.services import Service, Where
from feastflow_registry.model.wording import some


def joins(settings: Settings) -> bool:
    """Whether this run puts images together from what other jobs have built."""
    is_apart = settings.matrix is Matrix.PLATFORMS and settings.command is Command.PUBLISH
    return is_apart and not settings.part


def builds_apart(settings: Settings) -> bool:
    """Whether each platform is built by a machine of its own."""
    return bool(settings.part) or joins(settings)


def of_service(settings: Settings, service: Service) -> Sequence[str]:
    """The platforms whose parts a run is about; none of an image that has one platform alone."""
    if len(service.platforms) < 2 or not builds_apart(settings):
        return ()
    return (settings.part,) if settings.part else service.platforms


def pushed(settings: Settings, service: Service) -> Sequence[str]:
    """The platforms of a service that other jobs have pushed; its image itself is an empty text."""
    listed = [platform for name, platform in settings.built if name == service.name]
    if due := of_service(settings, service):
        return [each for each in due if each in listed]
    return [""] if listed else []


def narrowed(service: Service, part: str) -> Service:
    """A service as the job of one of its platforms builds it, which makes no index."""
    levels = ("", MANIFEST, f"{MANIFEST}[{part}]")
    annotations = (each for each in service.annotations if each.level in levels)
    return replace(service, platforms=(part,), annotations=tuple(annotations))


def runners(settings: Settings, services: Iterable[Service]) -> Mapping[str, Sequence[str]]:
    """The labels of the runner of each platform of the services, as far as one is known."""
    known = {**RUNNERS, **dict(settings.runners)}
    wanted = dict.fromkeys(each for service in services for each in service.platforms)
    return {platform: known[platform] for platform in wanted if platform in known}


def chosen(services: Iterable[Service], settings: Settings) -> tuple[Service, ...]:
    """The services of which this job builds something: those that have its platform."""
    return tuple(each for each in services if not settings.part or settings.part in each.platforms)


def check(services: Sequence[Service], settings: Settings, where: Where) -> Iterator[Problem]:
    """Yield what keeps platforms from being built apart."""
    if settings.part and settings.command is not Command.PUBLISH:
        fix = "Leave it empty, or use the command publish."
        yield Problem(f'input "part": {settings.command} does not build images in parts.', fix)
    elif builds_apart(settings):
        named = settings.services
        services = [each for each in services if not named or each.name in named]
        for service in services:
            yield from _check_service(service, settings, where(service.name, "platforms"))
        yield from _check_part(services, settings)


def _check_service(service: Service, settings: Settings, place: str) -> Iterator[Problem]:
    if not service.platforms:
        fix = "Give it platforms, such as linux/amd64,linux/arm64."
        yield Problem(
            f"{place}: {service.name} has no platforms, so no job can be made for one.", fix
        )
    if len({*service.platforms}) < len(service.platforms):
        yield Problem(f"{place}: {service.name} names a platform twice.", "Remove one.")
    known = runners(settings, [service])
    for platform in service.platforms if joins(settings) else ():
        if platform not in known:
            fix = f'Name its label in the input "runners", as in {platform}=my-runner.'
            yield Problem(f"{place}: no runner is known for {platform}.", fix, see="no-runner")


def _check_part(services: Sequence[Service], settings: Settings) -> Iterator[Problem]:
    """Yield a problem if a service that was named has not this job's platform, or none has."""
    having = chosen(services, settings)
    lacking = [each.name for each in services if each not in having]
    if lacking and (settings.services or not having):
        known = dict.fromkeys(each for service in services for each in service.platforms)
        cause = f'input "part": {some(lacking)} is not built for {settings.part}.'
        yield Problem(cause, f"Name a platform that is: {some(list(known))}.")
