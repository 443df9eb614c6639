"""A build session's events as lines to read: each service's in a group of its own, each once.

The first group is written as its build goes on; the others wait until it has ended. Steps are
shown with CACHED, their seconds or their error, and what they print; BuildKit's internal steps are
not. The events are the output of ``--progress=rawjson``, a JSON object a line.
https://github.com/moby/buildkit/blob/master/client/graph.go
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from feastflow_registry.builder import cache_use, diagnosis
from feastflow_registry.builder.cache_use import CacheUse
from feastflow_registry.builder.diagnosis import Fault, clean
from feastflow_registry.model.ports import Log, Tell

_ERRORS = 2
_INTERNAL = re.compile(
    r"\[(?:\S+ )*(?:internal|auth)\] |resolve image config|\[?docker-image://|"
    r"load local bake definitions|sharing credentials"
)
_TAG = re.compile(r"\[[^\]]*\]|[^:]*")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_LONG = 1.0
_KEPT = 20
_LONGEST_LINE = 1 << 16
_LONGEST_NAME = 1000


@dataclass(frozen=True, slots=True)
class Vertex:
    """A step of BuildKit's graph as it is now. ``started``: an RFC 3339 time; empty before."""

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
class Warned:
    """A warning of BuildKit's about a Dockerfile."""

    digest: str
    text: str


Event = Vertex | Output | Warned


@dataclass(slots=True)
class Step:
    """What is known of a vertex, which belongs to the first target that names it.

    ``hidden``: not shown, because it is internal to BuildKit or was shown in an earlier session.
    """

    target: str
    name: str
    hidden: bool
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))
    partial: dict[bool, bytes] = field(default_factory=dict)
    started: str = ""
    ended: str = ""

    @property
    def tag(self) -> str:
        """The short form of the name, such as ``[2/3]``."""
        match = _TAG.match(self.name)
        return match[0] if match else self.name


@dataclass(slots=True)
class Group:
    """The lines of one target that wait to be written, each with the step that it is of."""

    title: str
    waiting: list[tuple[Step | None, str]] = field(default_factory=list)
    last: Step | None = None
    shown: bool = False
    ended: bool = False


@dataclass
class BuildLog:
    """The log of one build, of as many sessions as it takes.

    ``titles``: each target's group, in the order in which they are written; ``caching``: the
    targets that export a cache after their image; ``needs``: what each target is built from;
    ``caches``: what became of the caches of each; ``tell``: is told which step begins.
    """

    log: Log
    titles: Mapping[str, str]
    caching: Collection[str] = ()
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tell: Tell = lambda _: None
    caches: dict[str, CacheUse] = field(init=False)
    _groups: dict[str, Group] = field(init=False)
    _current: str = ""
    _open: ExitStack = field(default_factory=ExitStack)
    _steps: dict[str, Step] = field(default_factory=dict)
    _errors: list[tuple[str, Step, str]] = field(default_factory=list)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _earlier: frozenset[tuple[str, str]] = frozenset()
    _closing: str = ""
    _rest: list[str] = field(default_factory=list)
    _alone: str = ""
    _only: str = ""

    def __post_init__(self) -> None:
        self._groups = {target: Group(title) for target, title in self.titles.items()}
        self.caches = {target: CacheUse() for target in self.titles}

    def begin(self, targets: Sequence[str], *, alone: bool) -> None:
        """Start a session; what was shown in an earlier one is not shown again.

        ``alone``: whether a failure is the only target's own, and so to be shown.
        """
        several = len(targets) > 1 or any(self.needs.get(target) for target in targets)
        self._only = "" if several else targets[0]
        self._alone = targets[0] if alone else ""
        self._steps, self._errors, self._rest, self._closing = {}, [], [], ""
        self._earlier = frozenset(self._told)
        for target in targets:
            self.caches[target].begin()
        self._advance()

    def read(self, line: str) -> None:
        """Take one line of the session's output: events, or a message of buildx's own."""
        events = read_events(line)
        if events is None and line.startswith("ERROR:"):
            self._closing = line
        elif events is None and line.strip("- "):
            self._rest.append(line)
        for event in events or ():
            match event:
                case Vertex():
                    self._vertex(event)
                case Output():
                    self._output(event)
                case _:
                    self._warn(event)

    def end(self) -> None:
        """End a session. What was canceled is shown when it is done."""
        for step in self._steps.values():
            self._flush(step)
            if step.started and not step.ended:
                self._forget(step, "canceled")
        for line in self._rest:
            self._write(self._alone, None, line)

    @property
    def fault(self) -> Fault:
        """Why the session failed: the error that it ended with, and the step that caused it."""
        _, error = diagnosis.closing(self._closing)
        for _, step, own in self._errors:
            if own in self._closing:
                return Fault(error, step.name, tuple(step.said))
        return Fault(error)

    @property
    def suspects(self) -> Collection[str]:
        """The targets in whose steps something failed, and the one that the last line names."""
        named, _ = diagnosis.closing(self._closing)
        return {named, *(target for target, _, _ in self._errors)}

    def finish(self, targets: Collection[str]) -> None:
        """Expect no more lines of these targets, and write the groups that can be written."""
        for target in targets:
            self._groups[target].ended = True
        self._advance()

    def close(self) -> None:
        """Write all that is left, each target's in its group."""
        self.finish(self._groups)
        for target, group in self._groups.items():
            if group.waiting:
                self._show(target)
        self._open.close()

    def _vertex(self, vertex: Vertex) -> None:
        target, name = self._place(vertex.name)
        if vertex.completed and target:
            error = vertex.error
            self.caches[target].read(vertex.digest, name, error, cached=vertex.cached)
        step = self._steps.get(vertex.digest)
        if step is None:
            step = self._steps[vertex.digest] = Step(target, "", hidden=True)
            self._own(step, target, name)
        elif target in self.needs.get(step.target, ()) and step.target != self._current:
            self._hand_over(step, target, name)
        about_cache = cache_use.is_about(name)
        if vertex.error and not about_cache and not diagnosis.is_canceled(vertex.error):
            self._errors.append((target, step, vertex.error))
        # BuildKit may run a step again, and reports it to each target that shares it.
        if target != step.target or not vertex.started or vertex.started == step.ended:
            return
        if vertex.completed:
            self._complete(step, vertex)
        elif not step.started:
            self._tell(step, step.name)
            if step.target:
                self.tell(f"{self._groups[step.target].title}: {step.name}")
        step.started = vertex.started

    def _own(self, step: Step, target: str, name: str) -> None:
        step.target = target
        step.name = clean(_DIGEST.sub("", name), _LONGEST_NAME)
        shown = (target, step.name) in self._earlier
        step.hidden = shown or not target or bool(_INTERNAL.match(name))

    def _hand_over(self, step: Step, target: str, name: str) -> None:
        """Give a step, and its lines that wait, to the target that the other is built from."""
        before = self._groups[step.target]
        lines = [line for owner, line in before.waiting if owner is step]
        before.waiting = [each for each in before.waiting if each[0] is not step]
        self._own(step, target, name)
        for line in lines:
            self._tell(step, line)

    def _complete(self, step: Step, vertex: Vertex) -> None:
        self._flush(step)
        again, step.ended = bool(step.ended), vertex.started
        if vertex.error:
            canceled = diagnosis.is_canceled(vertex.error)
            how = "canceled" if canceled else f"failed: {diagnosis.brief(vertex.error)}"
            if cache_use.is_about(step.name) and not canceled:
                self._tell(step, f"{step.name} {how}")
            elif canceled or not self._alone:
                self._forget(step, how)
            else:
                self._write(step.target, step, f"{step.tag} {how}")
            return
        shown = step.tag if step.started else step.name
        worth = vertex.cached or step.said or not step.started
        if vertex.seconds >= _LONG or (worth and not again):
            took = "CACHED" if vertex.cached else f"{vertex.seconds:.1f}s"
            self._tell(step, f"{shown} {took}")
        self._told.add((step.target, step.name))
        if self._is_last(step):
            self.finish([step.target])

    def _is_last(self, step: Step) -> bool:
        last = cache_use.EXPORTS if step.target in self.caching else "exporting to "
        return bool(step.target) and step.name.startswith(last)

    def _forget(self, step: Step, how: str) -> None:
        """Drop the lines of a step that a later session runs again; say so where it was seen."""
        if step.hidden:
            return
        group = self._groups[step.target]
        group.waiting = [each for each in group.waiting if each[0] is not step]
        if step.started and step.target == self._current:
            self._tell(step, f"{step.tag} {how}")

    def _output(self, output: Output) -> None:
        step = self._steps.get(output.digest)
        if step is None:
            return
        data = step.partial.pop(output.on_error, b"") + output.data
        *lines, step.partial[output.on_error] = data.split(b"\n")
        for line in lines:
            self._say(step, line)
        if len(step.partial[output.on_error]) > _LONGEST_LINE:
            self._flush(step)

    def _warn(self, warned: Warned) -> None:
        step = self._steps.get(warned.digest)
        if step and (step.target, warned.text) not in self._told:
            self._told.add((step.target, warned.text))
            self._write(step.target, None, f"warning: {clean(warned.text)}")

    def _flush(self, step: Step) -> None:
        for line in step.partial.values():
            self._say(step, line)
        step.partial.clear()

    def _say(self, step: Step, data: bytes) -> None:
        """Show a line that a step printed, as a terminal would show it in the end."""
        line = data.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        if not line.strip():
            return
        step.said.append(line)
        if step.hidden:
            return
        if self._groups[step.target].last is not step:
            self._tell(step, step.tag)
        self._tell(step, f"  {line}")

    def _place(self, name: str) -> tuple[str, str]:
        """Split ``[target 2/3] COPY …``, as buildx writes where it builds several targets."""
        if self._only:
            return self._only, name
        match = re.match(r"\[([\w-]+)(?:\] |( ))", name)
        if not match or match[1] not in self._groups:
            return "", name
        rest = name[match.end() :]
        return match[1], f"[{rest}" if match[2] else rest

    def _tell(self, step: Step, line: str) -> None:
        if not step.hidden:
            self._write(step.target, step, line)

    def _write(self, target: str, step: Step | None, line: str) -> None:
        if not target:
            return
        group = self._groups[target]
        group.last = step
        if target == self._current:
            self.log.quote(line)
        else:
            group.waiting.append((step, line))

    def _advance(self) -> None:
        """Close the group of a target that has ended, and open those that come next."""
        targets = list(self._groups)
        after = targets.index(self._current) + 1 if self._current else 0
        for target in targets[after:]:
            if self._current and not self._groups[self._current].ended:
                return
            if self._groups[target].waiting or not self._groups[target].ended:
                self._show(target)

    def _show(self, target: str) -> None:
        group = self._groups[target]
        self._open.close()
        more = ", continued" if group.shown else ""
        self._open.enter_context(self.log.group(group.title + more))
        self._current, group.shown = target, True
        waiting, group.waiting = group.waiting, []
        for _, line in waiting:
            self.log.quote(line)


def read_events(line: str) -> tuple[Event, ...] | None:
    """Read a line of events; None, if it is a message of buildx's own."""
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
            Warned(_text(each, "vertex"), _bytes(each, "short").decode("utf-8", "replace"))
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
