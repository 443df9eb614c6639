"""Annotations of images: what the user may say, and what an image gets.

Those of the OCI labels come by themselves, on the manifest and on the index, if there is one: some
registries show an index by its own annotations alone.
https://github.com/opencontainers/image-spec/blob/main/annotations.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from feastflow_registry.config import grammar
from feastflow_registry.config.grammar import given_twice, refusal, split_lines
from feastflow_registry.config.platforms import parse_platform
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.services import Annotation, Service, Where
from feastflow_registry.model.tag_names import OWNED_LABELS

INDEX, MANIFEST = "index", "manifest"
_OCI = "org.opencontainers.image."
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")
_LEVEL = re.compile(rf"|{INDEX}|{MANIFEST}(?:\[([^\]]+)\])?")
_OF_TOOLS = ("vnd.docker.", "containerd.io/", "io.containerd.", "buildkit/", f"{_OCI}ref.name")
"""How keys begin that builders and engines give a meaning of their own."""


def parse(given: object) -> tuple[Annotation, ...]:
    """Read ``key=value``, with ``manifest:``, ``index:`` or both before it, or neither.

    https://docs.docker.com/build/metadata/annotations/
    """
    found: dict[tuple[str, str], Annotation] = {}
    for name, value in grammar.entries(given, "=", split_lines):
        levels, _, key = name.rpartition(":")
        if not _KEY.fullmatch(key):
            fix = "Write key=value, manifest:key=value or index:key=value."
            raise refusal(name, "is not a valid annotation key.", fix)
        if key in OWNED_LABELS or key.startswith(_OF_TOOLS):
            cause = "is an annotation that this program or the builder sets."
            raise refusal(key, cause, "Remove it.")
        if not isinstance(value, str) or value.splitlines() not in ([], [value]):
            cause = "has a value that is no text, or holds a line break."
            raise refusal(key, cause, "Give it one line of text, in quotes.")
        if grammar.CONTROL.search(value):
            raise refusal(key, "has a value with a control character.", "Remove it.")
        for level in map(_level, levels.split(",")):
            if (level, key) in found:
                raise given_twice(name)
            found[level, key] = Annotation(level, key, value)
    return tuple(found.values())


def _level(text: str) -> str:
    level = _LEVEL.fullmatch(text)
    if not level:
        fix = "Write manifest:, index:, manifest,index: or manifest[linux/amd64]:."
        raise refusal(text, "is not a level of annotations.", fix)
    return f"{MANIFEST}[{parse_platform(level[1])}]" if level[1] else text


def has_index(service: Service, attest: Iterable[str]) -> bool:
    """Whether an image is an index, which holds its manifests and their attestations."""
    return len(service.platforms) > 1 or any("disabled=true" not in each for each in attest)


def check(services: Iterable[Service], attest: Sequence[str], where: Where) -> Iterator[Problem]:
    """Yield what annotations are for that an image does not have."""
    for service in services:
        place = where(service.name, "annotations")
        for each in service.annotations:
            platform = each.level.removeprefix(f"{MANIFEST}[").removesuffix("]")
            if each.level == INDEX and not has_index(service, attest):
                cause = f"{place}: {service.name} has no index, as it is of one platform."
                yield Problem(cause, "Write manifest: before the key, or nothing.")
            elif "/" in platform and platform not in service.platforms:
                cause = f"{place}: {service.name} is not built for {platform}."
                yield Problem(cause, "Name a platform that is among its platforms.")


def of_image(
    labels: Iterable[tuple[str, str]], service: Service, attest: Iterable[str]
) -> tuple[Annotation, ...]:
    """The annotations of an image, each with its level: the OCI labels', then the user's."""
    levels = (MANIFEST, INDEX) if has_index(service, attest) else (MANIFEST,)
    own = [Annotation("", key, value) for key, value in labels if key.startswith(_OCI)]
    spread = [
        Annotation(level, each.key, each.value)
        for each in (*own, *service.annotations)
        for level in ([each.level] if each.level else levels)
    ]
    return tuple({(each.level, each.key): each for each in spread}.values())
