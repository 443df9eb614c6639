"""A build session's events, as buildx prints them, fed to a build's log."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from feastflow_registry.builder.build_log import BuildLog
from feastflow_registry.builder.diagnosis import Fault
from support.memory import FakeLog

START = "2026-11-23T16:00:00Z"


class Session:
    """A build's log, fed with events; `groups` is what was written, group by group."""

    def __init__(
        self,
        *targets: str,
        caching: Collection[str] = (),
        needs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.targets = targets
        self.log = FakeLog()
        titles = {target: f"Building {target}" for target in targets}
        self.build = BuildLog(self.log, titles, caching, needs or {})
        self.build.begin(targets, alone=len(targets) == 1)

    def again(self, *targets: str, alone: bool = False) -> Session:
        self.build.begin(targets, alone=alone)
        return self

    def vertex(self, name: str, at: str = START, key: str = "", **more: Any) -> Session:
        event = {"digest": key or name, "name": name, **({"started": at} if at else {}), **more}
        self.build.read(json.dumps({"vertexes": [event]}))
        return self

    def start(self, *names: str) -> Session:
        for name in names:
            self.vertex(name)
        return self

    def done(self, *names: str, seconds: int = 0, **more: Any) -> Session:
        for name in names:
            self.vertex(name, completed=f"2026-11-23T16:00:{seconds:02}.26Z", **more)
        return self

    def say(self, name: str, text: str | bytes, stream: int = 1) -> Session:
        data = base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()
        event = {"vertex": name, "stream": stream, "data": data}
        self.build.read(json.dumps({"logs": [event]}))
        return self

    def messages(self, *lines: str) -> Session:
        for line in lines:
            self.build.read(line)
        return self

    def fault(self) -> Fault:
        self.build.end()
        return self.build.fault

    @property
    def groups(self) -> list[tuple[str, list[str]]]:
        """What is written so far."""
        found: list[tuple[str, list[str]]] = []
        for kind, text in self.log.lines:
            if kind == "group":
                found.append((text.removeprefix("Building "), []))
            else:
                assert kind == "quote", "all of it is somebody else's"
                found[-1][1].append(text)
        return found

    def closed(self) -> Sequence[tuple[str, list[str]]]:
        self.build.close()
        assert self.log.depth == 0
        return self.groups
