"""Talking to a person at a terminal, in the look of FeastFlow's own scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from threading import RLock
from typing import TextIO

from feastflow_registry.model.ports import Tell
from feastflow_registry.report.columns import wrap
from feastflow_registry.report.progress import Progress
from feastflow_registry.report.runner import one_line

_WIDTH = 64
_COLOURS = {"dim": "2", "red": "31", "green": "32", "yellow": "33", "bold": "1"}


@dataclass(slots=True)
class TerminalLog:
    """Lines with a little colour, where the stream is a terminal and NO_COLOR is not set.

    ``hide`` takes the secrets out of a text; ``spell`` calls the inputs that our own lines name as
    their reader does. ``width``: the terminal's, 0 where there is none; ``live``: whether a line
    can be drawn over.
    """

    stream: TextIO
    hide: Callable[[str], str]
    colour: bool = False
    width: int = 0
    live: InitVar[bool] = False
    spell: Callable[[str], str] = str
    _writing: RLock = field(default_factory=RLock)
    _progress: Progress = field(init=False)

    def __post_init__(self, live: bool) -> None:
        self._progress = Progress(self.stream, self.width if live else 0)

    def say(self, text: str) -> None:
        """Write one line of our own."""
        with self._writing:
            for line in wrap(self._line(text), self.width):
                self._write(line)

    def quote(self, line: str) -> None:
        """Write one line of somebody else's, dimmed and without its control characters."""
        self._write(self._paint("dim", f"  {one_line(self.hide(line))}"))

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Head the lines written inside; other threads wait until they are all there."""
        with self._writing:
            self._write("═" * _WIDTH)
            self._write(self._paint("bold", self._line(title)))
            try:
                yield
            finally:
                self._write("─" * _WIDTH)

    @contextmanager
    def working(self, text: str) -> Iterator[Tell]:
        """Show what is waited for meanwhile; what is yielded says it anew."""
        with self._progress.working(self._line(text)) as tell:
            yield lambda text: tell(self._line(text))

    def notice(self, text: str) -> None:
        """Point out something that may surprise."""
        self._say("yellow", f"ℹ  {self._line(text)}")  # noqa: RUF001  It is meant.

    def warning(self, text: str) -> None:
        """Point out something that is probably not wanted."""
        self._say("yellow", f"⚠  {self._line(text)}")

    def fail(self, cause: str, fix: str, more: str = "") -> None:
        """Say what failed, what to do, and at which address more is said of it."""
        with self._writing:
            self._say("red", f"✗  {self._line(cause)}")
            self._say("", f"   {self._line(fix)}")
            if more:
                self._write(self._paint("dim", f"   {self._line(more)}"))

    def seize(self) -> None:
        """Write on, whatever other threads are in the middle of: the run was interrupted."""
        self._writing = RLock()
        self._progress.cease()

    def _say(self, colour: str, text: str) -> None:
        """Write what has a mark, each line below its first word."""
        with self._writing:
            for line in wrap(text, self.width, indent="   ", anyway=True):
                self._write(self._paint(colour, line) if colour else line)

    def _line(self, text: str) -> str:
        return one_line(self.hide(self.spell(text)))

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour else text

    def _write(self, line: str) -> None:
        with self._writing:
            self._progress.write(self.hide(line))
