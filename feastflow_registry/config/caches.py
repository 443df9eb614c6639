"""Where the layers of a build are looked for and left between runs, as buildx takes it.

A cache fails no build that works without it. What an input names is the workflow's own; a file of
the checkout may name no more of a cache than where its layers are: no address, no credential, no
plain HTTP. None takes the name of an image.
https://docs.docker.com/build/cache/backends/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from posixpath import isabs
from typing import Any, NamedTuple

from feastflow_registry.config.settings import Settings, option
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import Latest
from feastflow_registry.model.references import RegistryHost, Tag, split_host
from feastflow_registry.model.services import SERVICE_PLACEHOLDER, Service, Where, output_parts

_INSECURE = "registry.insecure"
SETTINGS = ("cache", "cache_from", "cache_to")
_TOKEN, *_REST = (
    *("ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL"),
    *("ACTIONS_CACHE_URL", "ACTIONS_CACHE_SERVICE_V2"),
)
_PATIENCE = "timeout=1m"
"""How long BuildKit tries again where GitHub answers 429; by itself, 10 minutes a request."""
_HOW = frozenset(
    {
        *("type", "mode", "ignore-error", "compression", "compression-level"),
        *("force-compression", "oci-mediatypes", "image-manifest"),
    }
)
_OF_FILES: Mapping[str, frozenset[str]] = {
    "registry": _HOW | {"ref"},
    "local": _HOW | {"src", "dest", "tag", "digest"},
    "inline": _HOW,
    "gha": _HOW | {"scope", "timeout"},
}
"""What a file may say of each type."""


class Caches(NamedTuple):
    """Where a build looks for layers, and where it leaves them if it may."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Both."""
        return (*self.sources, *self.targets)


def of_service(settings: Settings, service: Service) -> Caches:
    """The caches of a service: those of its Compose or Bake file, if no setting says otherwise."""
    sources, targets = service.cache_sources, service.cache_targets
    if settings.model_fields_set.intersection(SETTINGS):
        sources, targets = _of_settings(settings, service)

    def written(spec: str) -> str:
        named = spec.replace(SERVICE_PLACEHOLDER, service.name)
        return _own_scope(_plain(named, settings), service)

    return Caches(
        tuple(written(each) for each in sources),
        tuple(_harmless(written(each)) for each in targets),
    )


def _of_settings(settings: Settings, service: Service) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if settings.cache == "registry":
        # One build leaves one cache. That of one platform is the better one for it, if both exist.
        tags = (tag_names.cache_tag(service.platforms), tag_names.cache_tag(()))
        sources = tuple(dict.fromkeys(_at(service, each) for each in tags))
        return sources, (f"{sources[0]},mode=max",)
    if settings.cache == "gha":
        tags = (tag_names.cache_tag(service.platforms), tag_names.cache_tag(()))
        scopes = [f"{service.name}{each.value.removeprefix(str(tags[1]))}" for each in tags]
        sources = tuple(dict.fromkeys(f"type=gha,scope={each}" for each in scopes))
        return sources, (f"{sources[0]},mode=max",)
    if settings.cache == "inline":
        latest = None if settings.latest is Latest.NEVER else tag_names.LATEST
        moving = filter(None, (latest, settings.milestone))
        return tuple(_at(service, each) for each in moving), ("type=inline",)
    if not settings.cache:
        return settings.cache_from, settings.cache_to
    spec = settings.cache
    if output_parts(spec)["type"] == "local":
        return (spec.replace(",dest=", ",src="),), (spec.replace(",src=", ",dest="),)
    return (spec,), (spec,)


def read_service(text: str) -> Mapping[str, str]:
    """How GitHub's cache is reached: variables for buildx, out of the input ``cache-token``.

    Empty, if that is. Raises an input failure where it is not what ``cache/index.js`` gives.
    https://github.com/docker/buildx/blob/v0.29.1/build/opt.go
    """
    if not text:
        return {}
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get(_TOKEN), str):
        raise Failure(
            Kind.INPUT,
            'input "cache-token": this is not a token of GitHub\'s cache.',
            "Take the output token of a step that uses feastflow/registry-action/cache.",
        )
    return {name: str(found[name]) for name in (_TOKEN, *_REST) if found.get(name)}


def is_github(spec: str) -> bool:
    """Whether a cache is GitHub's, and has no token of its own."""
    return spec == "gha" or ("type=gha" in spec.split(",") and "token" not in output_parts(spec))


def without_github(settings: Settings) -> Settings:
    """The settings of a run that does not reach GitHub's cache."""
    left: dict[str, Any] = {}
    if is_github(settings.cache):
        left["cache"] = ""
    for name in SETTINGS[1:]:  # What is not set stays so: then those of Compose files count.
        if any(map(is_github, getattr(settings, name))):
            left[name] = _others(getattr(settings, name))
    return settings.model_copy(update=left)


def without_github_of(service: Service) -> Service:
    """The same service, of whose file's caches none is GitHub's."""
    sources, targets = _others(service.cache_sources), _others(service.cache_targets)
    return replace(service, cache_sources=sources, cache_targets=targets)


def _others(specs: Iterable[str]) -> tuple[str, ...]:
    return tuple(each for each in specs if not is_github(each))


def _at(service: Service, tag: Tag) -> str:
    """A cache on the registry; Docker Hub's host is written, as for every other."""
    return f"type=registry,ref={service.repository.host}/{service.repository.path}:{tag}"


def _plain(spec: str, settings: Settings) -> str:
    """The spec, with plain HTTP where the registry's is allowed."""
    parts = output_parts(spec)
    if parts["type"] != "registry" or _INSECURE in parts or not _is_plain(spec, settings):
        return spec
    return f"{spec},{_INSECURE}=true"


def _own_scope(spec: str, service: Service) -> str:
    """The spec, with the service's own part of GitHub's cache where it names none."""
    if not is_github(spec):
        return spec
    parts = output_parts(spec)
    scope = () if "scope" in parts else (f"scope={service.name}",)
    return ",".join((spec, *scope, *(() if "timeout" in parts else (_PATIENCE,))))


def _is_plain(spec: str, settings: Settings) -> bool:
    """Whether the workflow says that the registry of a cache is spoken with over plain HTTP."""
    return any(_repository(spec)[0] == each.name for each in settings.insecure_registries)


def _harmless(spec: str) -> str:
    """A target whose failure is none of the build.

    https://docs.docker.com/build/cache/backends/#command-syntax
    """
    parts = output_parts(spec)
    is_own = parts["type"] == "inline" or "ignore-error" in parts
    return spec if is_own else f"{spec},ignore-error=true"


def _repository(spec: str) -> tuple[str, str, str]:
    """The registry, the repository and the tag of a cache on a registry."""
    host, path = split_host(output_parts(spec)["ref"].partition("@")[0])
    path, _, tag = path.partition(":")
    name = RegistryHost.parse(host or "docker.io").name
    return name, path, tag or tag_names.LATEST.value


def check(
    services: Iterable[Service],
    settings: Settings,
    where: Where,
    of_files: Mapping[str, str],
    holds: Callable[[str], bool],
) -> Iterator[Problem]:
    """Yield what is wrong with the caches of services.

    ``of_files``: the settings that a file gives, each with its place; ``holds``: whether a path is
    inside the repository.
    """
    services = tuple(services)
    for name in SETTINGS[1:] if settings.cache else ():
        if getattr(settings, name):
            yield Problem(
                f"{_place('cache', of_files)}: it says where the cache is, and so does "
                f'the input "{option(name)}".',
                'Remove one of them, or set input "cache: none" beside it.',
            )
            return
    is_set = settings.model_fields_set.intersection(SETTINGS)
    repositories = {(each.repository.host.name, each.repository.path) for each in services}
    owners: dict[str, str] = {}
    told: set[tuple[str, str]] = set()
    for service in services:
        caches = of_service(settings, service)
        for key, specs in (("cache_from", caches.sources), ("cache_to", caches.targets)):
            setting = "cache" if settings.cache else key
            place = _place(setting, of_files) if is_set else where(service.name, key)
            is_input = bool(is_set) and setting not in of_files
            for spec in specs:
                found = [
                    *_outside(spec, holds, is_input=is_input),
                    *(() if is_input else _of_file(spec, key, settings)),
                    *(_over_image(spec, repositories) if key == "cache_to" else ()),
                ]
                if key == "cache_to" and "type=inline" not in spec.split(","):
                    found += _shared(owners.setdefault(spec, service.name), service)
                for problem in found:
                    if (place, problem.cause) not in told:
                        told.add((place, problem.cause))
                        yield problem.at(place)


def _place(setting: str, of_files: Mapping[str, str]) -> str:
    return of_files.get(setting) or f'input "{option(setting)}"'


def _outside(spec: str, holds: Callable[[str], bool], *, is_input: bool) -> Iterator[Problem]:
    """A folder that a file, or a link of the checkout, would have layers kept in."""
    parts = output_parts(spec)
    if parts["type"] != "local":
        return
    for path in dict.fromkeys(parts[each] for each in ("src", "dest") if each in parts):
        if not (is_input and isabs(path)) and not holds(path):
            yield Problem(
                f"{path[:80]!r} lies outside the repository.",
                "Give a folder inside it, without a link that leads out of it.",
            )


def _of_file(spec: str, key: str, settings: Settings) -> Iterator[Problem]:
    """What a file would choose that only a workflow may."""
    parts = output_parts(spec)
    kind = parts["type"]
    known = _OF_FILES.get(kind, frozenset())
    if kind == "registry" and _is_plain(spec, settings):
        known |= {_INSECURE}
    if foreign := [f"type={kind}"] if not known else sorted(parts.keys() - known):
        yield Problem(
            f"a file may not choose {foreign[0][:80]} for a cache.",
            f'Name this cache in the input "{option(key)}".',
        )


def _over_image(spec: str, repositories: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """A target that would replace an image of a service."""
    if output_parts(spec)["type"] != "registry":
        return
    host, path, tag = _repository(spec)
    ours = {(host, path), (host, f"library/{path}")}
    if ours.intersection(repositories) and not tag_names.is_cache(tag):
        yield Problem(
            f"the cache would replace the image {path}:{tag}.",
            f"Call them {tag_names.CACHE_TAG}, or {tag_names.CACHE_TAG}-NAME.",
        )


def _shared(owner: str, service: Service) -> Iterator[Problem]:
    if owner != service.name:
        yield Problem(
            "the services would overwrite each other's cache.",
            f"Put {SERVICE_PLACEHOLDER} into its name: it stands for the name of the service.",
        )
