"""A registry that deletes by tag, as distribution 3 does, made of a real one of version 2.8.

https://github.com/distribution/distribution/pull/3427: `DELETE manifests/<tag>` removes the tag
alone, and answers 202, or 404 `MANIFEST_UNKNOWN`. Everything else is the real registry's answer.
"""

from __future__ import annotations

import json
import re
import shutil

from support.servers.fault_proxy import FaultProxy
from support.servers.registry import Registry
from support.servers.serving import Call

_TAG = re.compile(r"/v2/(.+)/manifests/([\w][\w.-]{0,127})")


class Untagging(FaultProxy):
    """Stands before a running registry without a password; a fault comes first."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry.url)
        self.registry = registry

    def respond(self, call: Call) -> None:
        """Delete a tag, or let the registry answer."""
        found = _TAG.fullmatch(call.path) if call.command == "DELETE" else None
        if found is None:
            super().respond(call)
            return
        root = self.registry.storage / "docker/registry/v2/repositories"
        folder = root / found[1] / "_manifests/tags" / found[2]
        if folder.exists():
            shutil.rmtree(folder)
            call.answer(202)
        else:
            error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            headers = [("Content-Type", "application/json")]
            call.answer(404, json.dumps({"errors": [error]}).encode(), headers)
