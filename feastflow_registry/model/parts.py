"""An image of several platforms whose parts are pushed one by one, and put together afterwards.

The index is byte for byte what BuildKit makes of the same manifests when it builds them at once:
first the platforms, as they were asked for, then what tells about each of them.
https://github.com/opencontainers/image-spec/blob/main/image-index.md
https://docs.docker.com/build/metadata/attestations/attestation-storage/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from feastflow_registry.model.images import (
    INDEXES,
    Manifest,
    Published,
    json_object,
    read_origin,
)
from feastflow_registry.model.references import Digest

Descriptor = Mapping[str, object]
_ESCAPED = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})
"""As BuildKit's encoder writes them: https://pkg.go.dev/encoding/json#HTMLEscape"""
_LISTED = ("mediaType", "digest", "size", "annotations", "platform")


class Index(NamedTuple):
    """An image of several platforms: what is written, and what is there afterwards."""

    manifest: Manifest
    image: Published


@dataclass(frozen=True, slots=True)
class Part:
    """One platform of an image, as it was pushed.

    ``image``: what its tag holds; ``system``: the platform that its configuration names;
    ``manifest`` and ``attestations``: as an index lists the image, and what tells about it.
    """

    image: Published
    system: Mapping[str, str]
    manifest: Descriptor
    attestations: tuple[Descriptor, ...] = ()

    @property
    def platform(self) -> str:
        """The operating system and the architecture."""
        return f"{self.system.get('os')}/{self.system.get('architecture')}"


def read_part(digest: Digest, held: Manifest, image: Manifest, config: bytes) -> Part:
    """Read a part. ``held``: what its tag holds: the image, or an index of it and attestations."""
    origin, facts = read_origin(config), json_object(config)
    own = Digest.of(image.data)
    entries = held.content["manifests"] if held.is_index else []
    assert isinstance(entries, list)
    listed = zip(held.children, entries, strict=True)
    return Part(
        Published(digest, origin.revision, origin.source, image.size, origin.inputs),
        {key: str(facts[key]) for key in ("architecture", "os", "os.version") if key in facts},
        {"mediaType": image.media_type, "digest": own.value, "size": len(image.data)},
        tuple(
            {key: entry[key] for key in _LISTED if key in entry}
            for child, entry in listed
            if child.is_attestation
        ),
    )


def put_together(
    parts: Iterable[tuple[str, Part]], annotations: Iterable[tuple[str, str]]
) -> Index:
    """Make the index of all parts, each with the platform that it was built for.

    It depends on what they hold alone, not on when they came.
    """
    parts = list(parts)
    content = {
        "schemaVersion": 2,
        "mediaType": INDEXES[0],
        "manifests": [
            *({**part.manifest, "platform": _platform(name, part)} for name, part in parts),
            *(each for _, part in parts for each in part.attestations),
        ],
        "annotations": dict(sorted(annotations)),
    }
    data = json.dumps(content, indent=2, ensure_ascii=False).translate(_ESCAPED).encode()
    largest = max(part.image.size for _, part in parts)
    image = replace(parts[0][1].image, digest=Digest.of(data), size=largest)
    return Index(Manifest(data, INDEXES[0], content), image)


def _platform(name: str, part: Part) -> dict[str, str]:
    """A platform as an index has it; Windows' has a version besides."""
    os, architecture, *variant = name.split("/")
    version = part.system.get("os.version")
    return {
        "architecture": architecture,
        "os": os,
        **({"os.version": version} if version else {}),
        **({"variant": variant[0]} if variant else {}),
    }
