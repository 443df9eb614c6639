"""A build as one Bake definition, so that BuildKit builds all services in one session.

A service that others are built from is a target of the same definition, whether or not it is
built for its own sake. No text of the user's is evaluated.
https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.services import SERVICE_PREFIX, Secret, Service

EPOCH = "SOURCE_DATE_EPOCH"
"""https://reproducible-builds.org/docs/source-date-epoch/"""
_SECRET_VARIABLE = "FEASTFLOW_SECRET_"  # noqa: S105  It is a prefix of names.
_NOWHERE = "type=cacheonly"


def escape(text: str) -> str:
    """Keep Bake from evaluating a text: it expands ``${…}`` and ``%{…}`` even in JSON."""
    return text.replace("${", "$${").replace("%{", "%%{")


def secret_variable(name: str) -> str:
    """Name the variable in which buildx finds a secret: ours, so that it replaces no other.

    Nor can a secret name the variable that holds the registry's credential.
    """
    return f"{_SECRET_VARIABLE}{name}"


def target_names(images: Sequence[BuildImage]) -> Mapping[str, str]:
    """Name a Bake target for each service and what it needs; a target's name may hold no dot."""
    names: dict[str, str] = {}
    for service in (*(each.service for each in images), *_needed(images)):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", service.name)
        while name in names.values():
            name += "_"
        names[service.name] = name
    return names


def definition(
    images: Sequence[BuildImage], outputs: Mapping[str, str], names: Mapping[str, str]
) -> str:
    """Write the definition as JSON.

    ``outputs``: a buildx output for each service's name; ``names``: its target's name.
    """
    targets = {
        names[each.service.name]: _target(each, outputs[each.service.name], names)
        for each in images
    }
    for service, image in _needed(images).items():
        needed = BuildImage(replace(service, outputs=()), (), (), epoch=image.epoch)
        target = _target(needed, _NOWHERE, names)
        target.pop("platforms", None)
        if platforms := _platforms(service, images):
            target["platforms"] = platforms
        targets[names[service.name]] = target
    return json.dumps({"target": targets})


def entitlements(definition: str) -> Sequence[str]:
    """What the targets of a definition are to be granted, which buildx has to be told once more.

    https://docs.docker.com/reference/cli/docker/buildx/bake/#allow
    """
    targets = json.loads(definition)["target"].values()
    return sorted({each for target in targets for each in target.get("entitlements", [])})


def _needed(images: Sequence[BuildImage]) -> Mapping[Service, BuildImage]:
    """The services that are built only because an image is built from them, with that image."""
    built = {each.service.name for each in images}
    needed: dict[Service, BuildImage] = {}
    for image in images:
        for service in image.needs:
            if service.name not in built:
                needed.setdefault(service, image)
    return needed


def _platforms(service: Service, images: Iterable[BuildImage]) -> list[str]:
    """The platforms of all images that are built from a service."""
    wanted = [each.service.platforms for each in images if service in each.needs]
    return list(dict.fromkeys(chain.from_iterable(wanted)))


def _target(image: BuildImage, output: str, names: Mapping[str, str]) -> dict[str, object]:
    service = image.service
    by_digest = "push-by-digest" in output
    epoch = {} if image.epoch is None else {EPOCH: str(image.epoch)}
    args = {**epoch, **dict(service.args)}
    target: dict[str, object] = {
        "context": escape(service.context),
        "dockerfile": escape(service.dockerfile),
        "target": service.target,
        "contexts": {escape(key): _context(value, names) for key, value in service.contexts},
        "args": {escape(key): escape(value) for key, value in args.items()},
        "labels": {escape(key): escape(value) for key, value in image.labels},
        "platforms": list(service.platforms),
        "secret": [escape(_secret(each)) for each in service.secrets],
        "ssh": [escape(each) for each in service.ssh],
        "pull": image.pull,
        "no-cache": service.no_cache,
        "no-cache-filter": list(service.options.no_cache_filter),
        "network": service.options.network,
        "shm-size": str(service.options.shm_size or ""),
        "ulimits": list(service.options.ulimits),
        "extra-hosts": dict(service.options.extra_hosts),
        "entitlements": list(service.options.entitlements),
        "annotations": [
            escape(f"{each.level}:{each.key}={each.value}") for each in image.annotations
        ],
        "cache-from": [escape(each) for each in image.cache_from],
        "cache-to": [escape(each) for each in image.cache_to],
        "attest": [escape(each) for each in image.attest],
        "tags": [] if by_digest else [str(each) for each in image.tags],
        # What the last one says of its image is what buildx reports.
        "output": [*map(escape, service.outputs), output],
    }
    return {key: value for key, value in target.items() if value}


def _context(value: str, names: Mapping[str, str]) -> str:
    if value.startswith(SERVICE_PREFIX):
        return f"target:{names[value.removeprefix(SERVICE_PREFIX)]}"
    return escape(value)


def _secret(secret: Secret) -> str:
    if secret.variable:
        return _fields("type=env", f"id={secret.id}", f"env={secret_variable(secret.variable)}")
    return _fields("type=file", f"id={secret.id}", f"src={secret.file}")


def _fields(*fields: str) -> str:
    """Fields as buildx reads them, which is as CSV. RFC 4180."""
    quoted = [field.replace('"', '""') for field in fields]
    return ",".join(f'"{each}"' if re.search(r'[,"]', each) else each for each in quoted)
