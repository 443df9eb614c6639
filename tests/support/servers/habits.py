"""What registries do otherwise than distribution, each switched on by itself before a real one.

A habit sees every request first. It answers it, changes it, or lets it go on to the registry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from support.servers.serving import Call

Tags = Mapping[str, str]
_MANIFEST = re.compile(r"(/v2/.+/manifests/)([\w.-]+)")
_LIST = re.compile(r"/v2/(.+)/tags/list")


class Habit(Protocol):
    """One habit of a registry."""

    def meets(self, call: Call) -> bool:
        """Take a request; true, if it was answered."""


@dataclass
class Late:
    """Reads by tag, and lists, show what was true some seconds ago; reads by digest are right.

    GHCR, at times Docker Hub and geo-replicated ACR: metadist/synaplan#1613,
    NVIDIA-AI-Blueprints/video-search-and-summarization#1990.
    `tags`: what the registry holds; `clock`: in seconds.
    """

    seconds: float
    tags: Callable[[], Tags]
    clock: Callable[[], float]
    states: list[tuple[float, Tags]] = field(default_factory=list)

    def meets(self, call: Call) -> bool:
        """Answer from a copy that is behind."""
        now, held = self.clock(), dict(self.tags())
        if not self.states:
            self.states.append((float("-inf"), held))
        elif self.states[-1][1] != held:
            self.states.append((now, held))
        shown = [tags for at, tags in self.states if at <= now - self.seconds][-1]
        by_tag, listing = _MANIFEST.fullmatch(call.path), _LIST.match(call.path)
        if call.command not in ("GET", "HEAD"):
            return False
        if listing:
            body = json.dumps({"name": listing[1], "tags": sorted(shown)}).encode()
            call.answer(200, body, [("Content-Type", "application/json")])
            return True
        if by_tag and by_tag[2] not in shown:
            call.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            return True
        if by_tag:
            call.path = by_tag[1] + shown[by_tag[2]]
        return False
