"""What a mark `withdrawn-<sha>` says, by what it holds: an image is bad, or it is so no longer.

Where a registry deletes whole images alone, deleting a mark would delete the image that it holds.
So a mark is taken off by moving it to an image of nothing, which no other tag ever holds.
https://github.com/opencontainers/image-spec/blob/main/manifest.md
"""

from __future__ import annotations

import json

from feastflow_registry.model.images import Manifest
from feastflow_registry.model.references import Digest

_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG = json.dumps(
    {"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": []}}
).encode()
CONFIG_DIGEST = Digest.of(CONFIG)
_DATA = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": _TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": CONFIG_DIGEST.value,
            "size": len(CONFIG),
        },
        "layers": [],
    }
).encode()
NOTHING = Digest.of(_DATA)
"""The digest of the image of nothing. A test holds it, for registries hold it for years."""


def nothing() -> Manifest:
    """The image of nothing, as it is written."""
    return Manifest.parse(_DATA, _TYPE)


def is_in_force(held: Digest | None) -> bool:
    """Whether a mark that holds this says that its image is bad."""
    return held not in (None, NOTHING)
