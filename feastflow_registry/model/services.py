"""The images of a repository: what each is made of, where it goes, and how they belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from feastflow_registry.model.errors import Failure, Kind, Problem, nearest
from feastflow_registry.model.references import Repository

_ELSEWHERE = re.compile(r"[a-z-]+://|git@[\w.-]+:|service:")
SERVICE_PREFIX = "service:"
"""How a named context says that it is another service's image; the word is Compose's."""

Where = Callable[[str, str], str]
"""Says where a key of a service, by their names, was given."""

SERVICE_PLACEHOLDER = "{service}"
"""What stands for the name of each service in turn."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What a build step may mount: a file of the workspace, or a variable's value."""

    id: str
    file: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """A port of the container, and a path that begins with a slash."""

    port: int
    path: str = "/"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a build is run.

    ``network``: ``none`` or ``host``, if not the builder's own; ``shm_size``: bytes; ``ulimits``:
    each as ``name=soft:hard``; ``entitlements``: what BuildKit grants a build beyond the usual;
    ``extra_hosts``: names with their addresses, separated by commas; ``no_cache_filter``: stages
    that are always built anew.
    """

    network: str = ""
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()
    extra_hosts: tuple[tuple[str, str], ...] = ()
    no_cache_filter: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation of an image. ``level``: ``manifest``, that of one platform, or ``index``.

    Without a level, it is meant for all that an image has.
    https://github.com/opencontainers/image-spec/blob/main/annotations.md
    """

    level: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Service:
    """One image to build. Paths are relative to the workspace, ``dockerfile`` to the context.

    ``contexts``: named contexts, each a path, an address or ``service:<name>``.
    ``watch``: paths whose change makes another image, beyond those that the build names.
    ``check``: a command that judges the image before it is pushed.
    ``outputs``: where a build that is not pushed goes besides the engine, as buildx takes it.
    ``cache_sources``, ``cache_targets``: the caches that a Compose or Bake file names.
    ``aliases``: the names of other services that run the same image.
    """

    name: str
    repository: Repository
    context: str = "."
    dockerfile: str = "Dockerfile"
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()
    platforms: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    ssh: tuple[str, ...] = ()
    contexts: tuple[tuple[str, str], ...] = ()
    pull: bool = False
    no_cache: bool = False
    watch: tuple[str, ...] = ()
    smoke_test: SmokeTest | None = None
    check: str = ""
    options: BuildOptions = BuildOptions()
    annotations: tuple[Annotation, ...] = ()
    outputs: tuple[str, ...] = ()
    cache_sources: tuple[str, ...] = ()
    cache_targets: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """The named contexts that are paths of the repository."""
        named = [value for _, value in self.contexts]
        return tuple(each for each in named if not _ELSEWHERE.match(each))

    @property
    def links(self) -> tuple[str, ...]:
        """The services whose images this one is built from."""
        named = [value for _, value in self.contexts]
        return tuple(
            each.removeprefix(SERVICE_PREFIX) for each in named if each.startswith(SERVICE_PREFIX)
        )

    @property
    def powers(self) -> tuple[str, ...]:
        """What gives the code of a build power over the machine, by Compose's words."""
        granted = {
            "network": self.options.network == "host",
            "entitlements": self.options.entitlements,
            "outputs": self.outputs,
        }
        return tuple(name for name, given in granted.items() if given)

    def without_powers(self) -> Service:
        """The same service, whose build has no power over the machine."""
        network = "" if self.options.network == "host" else self.options.network
        options = replace(self.options, network=network, entitlements=())
        return replace(self, options=options, outputs=())


def output_parts(text: str) -> Mapping[str, str]:
    """The parts of an output or a cache, ``type=local,dest=out``."""
    return dict(part.partition("=")[::2] for part in text.split(","))


def linked(service: Service, known: Mapping[str, Service]) -> Iterator[Service]:
    """Yield the services that one is built from, directly or not, each once."""
    found: dict[str, None] = {}
    waiting = list(service.links)
    while waiting:
        name = waiting.pop(0)
        if name not in found and name != service.name:
            found[name] = None
            yield known[name]
            waiting += known[name].links


def check_together(services: Sequence[Service], where: Where) -> Iterator[Problem]:
    """Yield what is wrong between services: one repository for two, an unknown link, a cycle."""
    owners: dict[Repository, str] = {}
    known = {each.name: each for each in services}
    for service in services:
        other = owners.setdefault(service.repository, service.name)
        if other != service.name:
            place = where(service.name, "image")
            cause = f"{place}: {service.repository} is the image of the service {other}, too."
            yield Problem(cause, "Give one of them another image.")
        for link in service.links:
            if link not in known:
                place = where(service.name, "additional_contexts")
                cause = f"{place}: {link[:80]!r} is no service."
                yield Problem(cause, nearest(link, known))
    if all(link in known for each in services for link in each.links):
        yield from _cycles(services, known, where)


def _cycles(
    services: Iterable[Service], known: Mapping[str, Service], where: Where
) -> Iterator[Problem]:
    reported: set[str] = set()
    for service in services:
        ring = [each.name for each in linked(service, known) if service in linked(each, known)]
        if (ring or service.name in service.links) and service.name not in reported:
            reported |= {service.name, *ring}
            via = f" by way of {', '.join(ring)}" if ring else ""
            place = where(service.name, "additional_contexts")
            cause = f"{place}: service {service.name} is built from itself{via}."
            yield Problem(cause, "Take one of them out of the other's additional_contexts.")


def select(services: Sequence[Service], names: Sequence[str]) -> tuple[Service, ...]:
    """Pick services by a name of theirs, in their own order; all, if none is named."""
    known = {name for each in services for name in (each.name, *each.aliases)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failure.of(
            Kind.INPUT,
            [
                Problem(
                    f'input "services": there is no service {name[:80]!r}.', nearest(name, known)
                )
                for name in dict.fromkeys(unknown)
            ],
        )
    wanted = set(names or known)
    return tuple(each for each in services if wanted & {each.name, *each.aliases})
