"""Talking to GitHub's runner: log commands, masks, outputs and the job summary.

Untrusted text can forge no command: ours is stripped of control characters and of the runner's
old ``##[`` prefix, and everybody else's runs while commands are stopped by a random word.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import RLock
from typing import TextIO

from feastflow_registry.model.ports import Tell, unseen

_SUMMARY_LIMIT = 1024 * 1024 - 4096
_MOST_ANNOTATIONS = 9
"""Of each kind: GitHub shows ten a step, and one error is the runner's own, of the exit code.

https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md#limitations
"""


def one_line(text: str) -> str:
    """Make a text safe to print as one line of a runner's log or of a terminal."""
    flat = "".join(each if each.isprintable() else " " for each in text)
    return flat.replace("##[", "## [")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


@dataclass(slots=True)
class RunnerLog:
    """The log of a step, for all threads.

    ``word`` gives a fresh random word each time; ``hide`` takes the secrets out of a text;
    ``spell`` calls the inputs that our own lines name as their reader does.
    """

    stream: TextIO
    word: Callable[[], str]
    hide: Callable[[str], str]
    spell: Callable[[str], str] = str
    _annotated: Counter[str] = field(default_factory=Counter)
    _stopped: str = ""
    _writing: RLock = field(default_factory=RLock)

    def say(self, text: str) -> None:
        """Write one line of our own, never one that begins as a command does."""
        line = one_line(self.hide(self.spell(text)))
        with self._writing:
            self._resume()
            # The runner trims a line before it looks for a command.
            line = line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line
            self._write(self.hide(line))

    def quote(self, line: str) -> None:
        """Write one line of somebody else's, while the runner obeys nothing."""
        line = self.hide(line)
        with self._writing:
            if not self._stopped:
                self._stopped = self.word()
                self._write(f"::stop-commands::{self._stopped}")
            flat = "".join(c if c.isprintable() or c == "\t" else " " for c in line)
            self._write(self.hide(flat))

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Fold the lines written inside; other threads wait until the fold is closed."""
        with self._writing:
            self._command("group", self.spell(title))
            try:
                yield
            finally:
                self._command("endgroup", "")

    def working(self, text: str) -> AbstractContextManager[Tell]:
        """Say nothing: whoever reads a log reads it afterwards."""
        return unseen(text)

    def notice(self, text: str) -> None:
        """Annotate the run with something that may surprise."""
        self._annotate("notice", text)

    def warning(self, text: str) -> None:
        """Annotate the run with something that is probably not wanted."""
        self._annotate("warning", text)

    def fail(self, cause: str, fix: str, more: str = "") -> None:
        """Annotate the run with what failed, what to do, and where more is said of it."""
        self._annotate("error", "\n".join(filter(None, (cause, fix, more))))

    def seize(self) -> None:
        """Write on, whatever other threads are in the middle of: the run was interrupted."""
        self._writing = RLock()

    def mask(self, secrets: Iterable[str]) -> None:
        """Tell the runner what never to show."""
        with self._writing:
            self._resume()
            for secret in secrets:
                print(f"::add-mask::{_data(secret)}", file=self.stream, flush=True)

    def _annotate(self, kind: str, text: str) -> None:
        """Annotate while GitHub still shows it; it keeps ten of a kind, so the rest are lines."""
        with self._writing:
            self._annotated[kind] += 1
            if self._annotated[kind] > _MOST_ANNOTATIONS:
                for line in text.splitlines():
                    self.say(f"{kind}: {line}")
                return
            lines = self.hide(self.spell(text)).splitlines()
            self._command(kind, "\n".join(one_line(line) for line in lines))

    def _command(self, name: str, value: str) -> None:
        with self._writing:
            self._resume()
            self._write(f"::{name}::{self.hide(_data(self.hide(value)))}")

    def _resume(self) -> None:
        if self._stopped:
            self._write(f"::{self._stopped}::")
            self._stopped = ""

    def _write(self, line: str) -> None:
        """Write as it is: a secret that reads like a command hides none of ours."""
        print(line, file=self.stream, flush=True)


def outputs(values: Mapping[str, str], word: Callable[[], str]) -> bytes:
    """The step's outputs, each between random delimiters that its value cannot hold."""
    text = ""
    for name, value in values.items():
        delimiter = f"end-{word()}"
        text += f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
    return text.encode("utf-8", "replace")


def summary(markdown: str) -> bytes:
    """The job summary, which may hold 1 MiB a step."""
    data = markdown.encode("utf-8", "replace")
    if len(data) <= _SUMMARY_LIMIT:
        return data
    return data[:_SUMMARY_LIMIT].rpartition(b"\n")[0] + b"\n\nThe rest is in the log.\n"
