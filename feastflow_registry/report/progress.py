"""What is waited for, and since when: one line below all others, on a terminal alone.

It is drawn once a second, so that what is quick is never shown, and is wiped before another line
is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TextIO

from feastflow_registry.model.ports import Tell

_WIPE = "\r\x1b[K"
_EVERY = 1.0


@dataclass(slots=True)
class _Task:
    """One thing that is waited for. ``seconds``: since when, as far as they were counted."""

    text: str
    seconds: int = 0


@dataclass(slots=True)
class Progress:
    """The line. ``width``: of the terminal; 0 where there is none, and no line.

    What began first is what the run is at; what it waits for within that is shown in its place.
    """

    stream: TextIO
    width: int
    is_drawn: bool = False
    _writing: Lock = field(default_factory=Lock)
    _tasks: list[_Task] = field(default_factory=list)
    _ended: Event | None = None

    @contextmanager
    def working(self, text: str) -> Iterator[Tell]:
        """Show what is waited for meanwhile; what is yielded says it anew."""
        task = _Task(text)
        with self._writing:
            if self.width:
                self._tasks.append(task)
                self._start()

        def tell_anew(text: str) -> None:
            task.text = text

        try:
            yield tell_anew
        finally:
            with self._writing:
                self._tasks = [each for each in self._tasks if each is not task]
                if not self._tasks:
                    self._stop()

    def write(self, line: str) -> None:
        """Write a line above it; the next second draws it anew."""
        with self._writing:
            self._wipe()
            print(line, file=self.stream, flush=True)

    def cease(self) -> None:
        """Show nothing any more: the run is over, whatever its threads still wait for."""
        with self._writing:
            self.width = 0
            self._tasks.clear()
            self._stop()

    def tick(self) -> None:
        """Count a second of everything that is waited for, and draw the line."""
        with self._writing:
            for each in self._tasks:
                each.seconds += 1
            self._wipe()
            if self._tasks:
                self.stream.write(self._line())
                self.stream.flush()
                self.is_drawn = True

    def _line(self) -> str:
        """What is waited for, the longest first; cut before the edge, where a line would break."""
        inner = self._tasks[1:] or self._tasks
        first, more = inner[0], len(inner) - 1
        line = f"… {first.text} ({first.seconds} s)" + (f", and {more} more" if more else "")
        return line if len(line) < self.width else f"{line[: self.width - 2]}…"

    def _wipe(self) -> None:
        if self.is_drawn:
            self.stream.write(_WIPE)
            self.is_drawn = False

    def _start(self) -> None:
        if self._ended is None:
            self._ended = Event()
            Thread(target=self._run, args=(self._ended,), daemon=True).start()

    def _run(self, ended: Event) -> None:
        with suppress(OSError):  # The terminal is gone: the run itself will be told.
            while not ended.wait(_EVERY):
                self.tick()

    def _stop(self) -> None:
        if self._ended:
            self._ended.set()
            self._ended = None
            self._wipe()
            self.stream.flush()
