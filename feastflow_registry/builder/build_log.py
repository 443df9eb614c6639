"""A build session's events as lines to read: each service's in a fold of its own, each once.

The first fold is written as its build goes on; the others wait until it has ended. Steps are shown
with CACHED, their seconds or their error, and what they print; BuildKit's own errands are not.
The events are what ``--progress=rawjson`` tells, a JSON object a line.
https://github.com/moby/buildkit/blob/master/client/graph.go
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from feastflow_registry.builder import diagnosis
from feastflow_registry.builder.diagnosis import Fault, clean
from feastflow_registry.model.ports import Log

_ERRORS = 2
_ERRAND = re.compile(
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


Event = Vertex | Output | Advice


@dataclass(slots=True)
class Step:
    """One vertex of BuildKit's graph, which belongs to the first target that names it.

    ``hidden``: an errand of BuildKit's own, or told in an earlier session.
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
        """What tells it from the others in few letters, such as ``[2/3]``."""
        found = _TAG.match(self.name)
        return found[0] if found else self.name


@dataclass(slots=True)
class Fold:
    """The lines of one target that wait to be written, and whose they are."""

    title: str
    waiting: list[tuple[Step | None, str]] = field(default_factory=list)
    last: Step | None = None
    shown: bool = False
    ended: bool = False


@dataclass
class BuildLog:
    """The log of one build, of as many sessions as it takes.

    ``titles``: each target's fold, in the order in which they are written; ``caching``: the
    targets that export a cache after their image; ``needs``: what each target is built from.
    """

    log: Log
    titles: Mapping[str, str]
    caching: Collection[str] = ()
    needs: Mapping[str, Collection[str]] = field(default_factory=dict)
    closing: tuple[str, str] = ("", "")
    _folds: dict[str, Fold] = field(init=False)
    _current: str = ""
    _open: ExitStack = field(default_factory=ExitStack)
    _steps: dict[str, Step] = field(default_factory=dict)
    _errors: dict[str, tuple[str, Step]] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _earlier: frozenset[tuple[str, str]] = frozenset()
    _rest: list[str] = field(default_factory=list)
    _only: str = ""

    def __post_init__(self) -> None:
        self._folds = {target: Fold(title) for target, title in self.titles.items()}

    def begin(self, targets: Collection[str]) -> None:
        """Start a session that builds some targets; its cached steps are not told again."""
        self._only = next(iter(targets)) if len(targets) == 1 else ""
        self._steps, self._errors, self._rest = {}, {}, []
        self._earlier = frozenset(self._told)
        self.closing = ("", "")
        self._advance()

    def read(self, line: str) -> None:
        """Take one line of the session's output: an event, or a word of buildx's own."""
        events = read_events(line)
        if events is None and line.startswith("ERROR:"):
            self.closing = diagnosis.closing(line)
        elif events is None and line.strip():
            self._rest.append(line)
        for event in events or ():
            match event:
                case Vertex():
                    self._vertex(event)
                case Output():
                    self._output(event)
                case _:
                    self._advice(event)

    def end(self) -> Mapping[str, Fault]:
        """End a session, and give each target's own fault.

        What was canceled is told when it is done.
        """
        for step in self._steps.values():
            self._flush(step)
            if step.started and not step.ended:
                self._cancel(step)
        named, error = self.closing
        target = named if named in self._folds else self._only if error else ""
        found = self._errors.get(target)
        place = (found[1].target if found else target) or self._current
        for line in self._rest:
            if line.strip("- "):
                self._write(place, None, line)
        faults = {
            each: Fault(error, step.name, tuple(step.said))
            for each, (error, step) in self._errors.items()
        }
        if target and target not in faults and diagnosis.is_own(error):
            faults[target] = Fault(error)
        return faults

    def finish(self, targets: Collection[str]) -> None:
        """Take no more lines of these targets, and write those of the first."""
        for target in targets:
            self._folds[target].ended = True
        self._advance()

    def close(self) -> None:
        """Write all that is left, each target in its fold."""
        self.finish(self._folds)
        for target, fold in self._folds.items():
            if fold.waiting:
                self._show(target)
        self._open.close()

    def _vertex(self, vertex: Vertex) -> None:
        target, name = self._place(vertex.name)
        step = self._steps.get(vertex.digest)
        if step is None:
            step = self._steps[vertex.digest] = Step(target, "", hidden=True)
            self._own(step, target, name)
        elif target in self.needs.get(step.target, ()) and step.target != self._current:
            self._hand_over(step, target, name)
        if target and vertex.error and diagnosis.is_own(vertex.error):
            # One step of several targets fails all of them.
            self._errors.setdefault(target, (vertex.error, step))
        # BuildKit may take a step up again, and tells it to each target that shares it.
        if target != step.target or not vertex.started or vertex.started == step.ended:
            return
        if vertex.completed:
            self._complete(step, vertex)
        elif not step.started:
            self._tell(step, step.name)
        step.started = vertex.started

    def _own(self, step: Step, target: str, name: str) -> None:
        step.target = target
        step.name = clean(_DIGEST.sub("", name), _LONGEST_NAME)
        told = (target, step.name) in self._earlier
        step.hidden = told or not target or bool(_ERRAND.match(name))

    def _hand_over(self, step: Step, target: str, name: str) -> None:
        """Give a step, and what waits of it, to the target that is really built by it."""
        before = self._folds[step.target]
        lines = [line for owner, line in before.waiting if owner is step]
        before.waiting = [each for each in before.waiting if each[0] is not step]
        self._own(step, target, name)
        for line in lines:
            self._tell(step, line)

    def _complete(self, step: Step, vertex: Vertex) -> None:
        self._flush(step)
        again, step.ended = bool(step.ended), vertex.started
        if diagnosis.is_canceled(vertex.error):
            self._cancel(step)
            return
        if vertex.error:
            self._write(step.target, step, f"{step.tag} failed: {diagnosis.brief(vertex.error)}")
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
        last = "exporting cache" if step.target in self.caching else "exporting to "
        return bool(step.target) and step.name.startswith(last)

    def _cancel(self, step: Step) -> None:
        """Forget what a step has printed, or say that it ended, where that was seen."""
        if step.hidden:
            return
        fold = self._folds[step.target]
        fold.waiting = [each for each in fold.waiting if each[0] is not step]
        if step.started and step.target == self._current:
            self._tell(step, f"{step.tag} canceled")

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

    def _advice(self, advice: Advice) -> None:
        step = self._steps.get(advice.digest)
        if step:
            self._write(step.target, None, f"warning: {clean(advice.text)}")

    def _flush(self, step: Step) -> None:
        for line in step.partial.values():
            self._say(step, line)
        step.partial.clear()

    def _say(self, step: Step, data: bytes) -> None:
        """Tell a line that a step printed, as a terminal would show it in the end."""
        line = data.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        if not line.strip():
            return
        step.said.append(line)
        if step.hidden:
            return
        if self._folds[step.target].last is not step:
            self._tell(step, step.tag)
        self._tell(step, f"  {line}")

    def _place(self, name: str) -> tuple[str, str]:
        """Split ``[target 2/3] COPY …``, as buildx writes where it builds several targets."""
        if self._only:
            return self._only, name
        found = re.match(r"\[([\w-]+)(?:\] |( ))", name)
        if not found or found[1] not in self._folds:
            return "", name
        rest = name[found.end() :]
        return found[1], f"[{rest}" if found[2] else rest

    def _tell(self, step: Step, line: str) -> None:
        if not step.hidden:
            self._write(step.target, step, line)

    def _write(self, target: str, step: Step | None, line: str) -> None:
        if not target:
            return
        fold = self._folds[target]
        fold.last = step
        if target == self._current:
            self.log.quote(line)
        else:
            fold.waiting.append((step, line))

    def _advance(self) -> None:
        """Close the fold of a target that has ended, and open those that come next."""
        while not self._current or self._folds[self._current].ended:
            following = self._following()
            if not following:
                return
            self._show(following)

    def _following(self) -> str:
        order = list(self._folds)
        rest = order[order.index(self._current) + 1 :] if self._current else order
        for each in rest:
            if self._folds[each].waiting or not self._folds[each].ended:
                return each
        return ""

    def _show(self, target: str) -> None:
        fold = self._folds[target]
        self._open.close()
        more = ", continued" if fold.shown else ""
        self._open.enter_context(self.log.group(fold.title + more))
        self._current, fold.shown = target, True
        waiting, fold.waiting = fold.waiting, []
        for _, line in waiting:
            self.log.quote(line)


def read_events(line: str) -> tuple[Event, ...] | None:
    """Read a line of events; ``None``, if it is not JSON but buildx's own text."""
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
