"""A build as one Bake definition, so that BuildKit builds all services in one session.

https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from feastflow_registry.plan import BuildImage


def escape(text: str) -> str:
    """Keep Bake from evaluating a text: it expands ``${…}`` and ``%{…}`` even in JSON."""
    return text.replace("${", "$${").replace("%{", "%%{")


def target_names(images: Sequence[BuildImage]) -> Mapping[str, str]:
    """Name a Bake target for each service; a target's name may hold no dot."""
    names: dict[str, str] = {}
    for image in images:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", image.service.name)
        while name in names.values():
            name += "_"
        names[image.service.name] = name
    return names


def definition(images: Sequence[BuildImage], outputs: Mapping[str, str]) -> str:
    """Write the definition as JSON. ``outputs``: a buildx output for each service's name."""
    names = target_names(images)
    targets = {
        names[each.service.name]: _target(each, outputs[each.service.name]) for each in images
    }
    return json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets})


def _target(image: BuildImage, output: str) -> dict[str, object]:
    service = image.service
    by_digest = "push-by-digest" in output
    target: dict[str, object] = {
        "context": escape(service.context),
        "dockerfile": escape(service.dockerfile),
        "target": service.target,
        "args": {key: escape(value) for key, value in service.args},
        "labels": {key: escape(value) for key, value in image.labels},
        "platforms": list(service.platforms),
        "tags": [] if by_digest else [str(each) for each in image.tags],
        "output": [output],
    }
    return {key: value for key, value in target.items() if value}
