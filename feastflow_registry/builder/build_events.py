"""What ``--progress=rawjson`` tells, line by line, as values; what it does not know is left out.

https://github.com/moby/buildkit/blob/master/client/graph.go
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Vertex:
    """A step as it is now. ``started``: when, in BuildKit's own words; empty before."""

    digest: str
    name: str
    started: str
    completed: str
    cached: bool
    error: str

    @property
    def seconds(self) -> float:
        """How long it took, as far as both times can be read."""
        try:
            began, ended = map(datetime.fromisoformat, (self.started, self.completed))
            return (ended - began).total_seconds()
        except (ValueError, TypeError):
            return 0.0


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that a step printed, on its standard output or its standard error."""

    digest: str
    on_error: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Advice:
    """What BuildKit thinks of a Dockerfile."""

    digest: str
    text: str


_ERRORS = 2
Event = Vertex | Output | Advice


def read(line: str) -> tuple[Event, ...] | None:
    """Read a line; nothing at all, if it is no events but a word of buildx's own."""
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return (
        *(_vertex(each) for each in _dicts(told, "vertexes")),
        *(
            Output(_text(each, "vertex"), each.get("stream") == _ERRORS, _bytes(each, "data"))
            for each in _dicts(told, "logs")
        ),
        *(
            Advice(_text(each, "vertex"), _bytes(each, "short").decode("utf-8", "replace"))
            for each in _dicts(told, "warnings")
        ),
    )


def _vertex(told: Mapping[str, Any]) -> Vertex:
    names = ("digest", "name", "started", "completed")
    digest, name, started, completed = (_text(told, each) for each in names)
    cached = bool(told.get("cached"))
    return Vertex(digest, name, started, completed, cached, _text(told, "error"))


def _dicts(told: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    found = told.get(key)
    return (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))


def _text(told: Mapping[str, Any], key: str) -> str:
    return str(told.get(key) or "")


def _bytes(told: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(_text(told, key))
    except binascii.Error:
        return b""
