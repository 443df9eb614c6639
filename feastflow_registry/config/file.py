"""``feastflow.yml``: the services and the policy of a repository, each value with its line.

All that is wrong with the file is reported at once, ordered by line, each with the key and the fix.
The policy is settings that an input beats. Services that are described in two places are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from feastflow_registry.config import grammar
from feastflow_registry.config.settings import FromFile, Settings, option
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.references import Repository
from feastflow_registry.model.services import BuildOptions, Service

if TYPE_CHECKING:
    from feastflow_registry.config.schema import ServiceModel
    from feastflow_registry.config.strict_yaml import Document

NAME = "feastflow.yml"
_EXTENSION = "x-"
"""How a key begins that holds what *aliases repeat, as in Compose."""
_SAME = ("image", "context", "dockerfile", "target", "platforms", "labels", "secrets")
OF_ONE_SERVICE = {
    **{name: name for name in (*_SAME, "network", "ulimits", "annotations", "outputs")},
    "build-args": "args",
    "shm-size": "shm_size",
    "allow": "entitlements",
    "add-hosts": "extra_hosts",
    "no-cache-filters": "no_cache_filter",
}
"""The inputs that describe one service, and the key of each in a file."""


T = TypeVar("T")
_CACHE_SOURCES = grammar.list_of(grammar.cache_source, tuple)
_CACHE_TARGETS = grammar.list_of(grammar.cache_target, tuple)
CachesOfFile = tuple[tuple[str, ...], tuple[str, ...]]
"""Where layers are looked for and left."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says: settings, and services as they are described.

    ``same``: the other names of a service, by its own; ``caches``: the caches of services, as they
    are written; ``notices``: what has to be said of the file.
    """

    document: Document
    policy: Mapping[str, FromFile]
    services: Mapping[str, ServiceModel]
    same: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caches: Mapping[str, CachesOfFile] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return self.document.name

    def where(self, service: str, key: str = "") -> str:
        """Say where a service, or a key of it, stands."""
        path = ("services", service, key) if key else ("services", service)
        return f"{self.document.place(path)}: {'.'.join(path)}"

    def keep_caches_of(self, other: Config) -> Config:
        """Leave out the caches that differ in another reading of the file, and say so."""
        kept = {
            each: found for each, found in self.caches.items() if other.caches.get(each) == found
        }
        notices = tuple(
            f"{self.where(each)}: its caches are left out, as they hold a variable that is not set."
            for each in self.caches
            if each not in kept
        )
        return replace(self, caches=kept, notices=notices)

    def build(self, settings: Settings, namespace: str) -> tuple[Service, ...]:
        """Give every service its repository and defaults. Raises all that is wrong at once."""
        services: list[Service] = []
        problems: list[Problem] = []

        def read(name: str, key: str, make: Callable[[], T]) -> T | None:
            try:
                return make()
            except Failure as failure:
                problems.extend(each.at(self.where(name, key)) for each in failure.problems)
                return None

        for name, model in self.services.items():
            sources, targets = self.caches.get(name, ((), ()))
            make = partial(_service, name, model, settings, settings.namespace or namespace)
            service = read(name, "image" if model.image else "", make)
            found = read(name, "cache_from", partial(_CACHE_SOURCES, sources))
            left = read(name, "cache_to", partial(_CACHE_TARGETS, targets))
            if service:
                service = replace(service, aliases=self.same.get(name, ()))
                service = replace(service, cache_sources=found or (), cache_targets=left or ())
                services.append(service)
        if problems:
            raise Failure.of(Kind.INPUT, problems)
        return tuple(services)


def _service(name: str, model: ServiceModel, settings: Settings, namespace: str) -> Service:
    return Service(
        name=name,
        repository=Repository.below(settings.registry, namespace, model.image or name),
        context=model.context,
        dockerfile=model.dockerfile,
        target=model.target,
        args=tuple(model.args.items()),
        platforms=model.platforms,
        labels=tuple(model.labels.items()),
        secrets=model.secrets,
        ssh=model.ssh,
        contexts=tuple(model.additional_contexts.items()),
        pull=model.pull,
        no_cache=model.no_cache,
        watch=model.watch,
        smoke_test=model.smoke_test or settings.smoke_test,
        check=model.check or settings.check,
        options=BuildOptions(
            network=model.network,
            shm_size=model.shm_size,
            ulimits=model.ulimits,
            entitlements=model.entitlements,
            extra_hosts=model.extra_hosts,
            no_cache_filter=model.no_cache_filter,
        ),
        annotations=model.annotations,
        outputs=model.outputs,
    )


def refuse_mixed(config: Config, given: Iterable[str]) -> None:
    """Refuse inputs, by name, that describe services where the configuration does so already."""
    names = dict.fromkeys(map(option, given))
    problems = [
        Problem(
            f'input "{name}" describes one service, and {config.name} describes them all.',
            f"Remove the input; in {config.name} the key is {OF_ONE_SERVICE[name]}.",
        )
        for name in names
        if name in OF_ONE_SERVICE
    ]
    if "services-from" in names and config.document.lines:
        problems.append(
            Problem(
                f'input "services-from" names a file of services, and {config.name} has them too.',
                f"Remove the input, or the key services of {config.name}.",
            )
        )
    if config.services and problems:
        raise Failure.of(Kind.INPUT, problems)


def read(name: str, content: bytes) -> Config:
    """Read the file's bytes. Raises one input failure with every problem, ordered by line."""
    from feastflow_registry.config import schema, strict_yaml

    document = strict_yaml.read(name, content)
    data = document.data
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if not key.startswith(_EXTENSION)}
    services, complaints = schema.check(document, data)
    reported = {each.line for each in document.findings}
    findings = [*document.findings, *(each for each in complaints if each.line not in reported)]
    if isinstance(data, dict) and {"services", "services-from"} <= data.keys():
        path = ("services-from",)
        cause = f"{document.place(path)}: the file has both services-from and services."
        fix = "Keep one of them: both describe the services."
        findings.append(strict_yaml.Finding(document.line(path), Problem(cause, fix)))
    if findings:
        findings.sort(key=lambda each: each.line)
        raise Failure.of(Kind.INPUT, [each.problem for each in findings])
    paths: dict[str, tuple[str, ...]] = {key: (option(key),) for key in schema.POLICY}
    paths |= {key: ("retention", option(key)) for key in schema.RETENTION}
    policy = {
        key: FromFile(value, f'{document.place(path)}: "{option(key)}"')
        for key, path in paths.items()
        if (value := document.value(path)) is not None
    }
    return Config(document, policy, services)
