"""What can go wrong, said once: a cause, a fix, and the kind that becomes the exit code."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

T = TypeVar("T")


class Kind(IntEnum):
    """Why a run failed; the value is the exit code. 0 is success, 1 a defect of this program."""

    INPUT = 2
    REFUSED = 3
    BUILD = 4
    UNREACHABLE = 5
    CONFLICT = 6
    UNVERIFIED = 7


HELP = "https://github.com/feastflow/registry-action/blob/main/docs/troubleshooting.md"
"""Where more is said of what often goes wrong."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence of cause and one of fix. ``see``: where ``HELP`` says more of it, if it does."""

    cause: str
    fix: str
    see: str = ""

    @property
    def help(self) -> str:
        """The address of the page, at the place; empty, if there is none."""
        return f"{HELP}#{self.see}" if self.see else ""

    def at(self, place: str) -> Problem:
        """The same problem, after the place where it is: a line of a file, an input."""
        return replace(self, cause=f"{place}: {self.cause}")

    def __str__(self) -> str:
        return f"{self.cause} {self.fix}"


class Failure(Exception):
    """The one exception of this program: a kind, and at least one problem."""

    def __init__(self, kind: Kind, cause: str, fix: str, see: str = "") -> None:
        self.kind = kind
        self.problems: tuple[Problem, ...] = (Problem(cause, fix, see),)
        super().__init__(str(self))

    @classmethod
    def of(cls, kind: Kind, problems: Iterable[Problem]) -> Failure:
        """Several problems, reported together."""
        found = tuple(problems)
        failure = cls(kind, found[0].cause, found[0].fix)
        failure.problems = found
        return failure

    @classmethod
    def join(cls, failures: Sequence[Failure]) -> Failure:
        """Several failures as one, of the worst one's kind: the higher, the later in a run."""
        if len(failures) == 1:
            return failures[0]
        problems = dict.fromkeys(problem for each in failures for problem in each.problems)
        return cls.of(max(each.kind for each in failures), problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


EXHAUSTED = {
    errno.EMFILE: Problem(
        "this program has as many files and connections open as it may.",
        "Raise the limit (`ulimit -n 1024`), then run again.",
    ),
    errno.ENFILE: Problem(
        "this machine has as many files and connections open as it can have.",
        "End what holds them (`lsof`), or raise fs.file-max, then run again.",
    ),
    errno.ENOMEM: Problem(
        "this machine has no memory left for this program.",
        "End what else runs on it, or use one with more memory, then run again.",
    ),
    errno.EAGAIN: Problem(
        "this user may start no more processes and threads.",
        "Raise the limit (`ulimit -u`, or the container's pids limit), then run again.",
    ),
}
"""What to say where the system has no more of something to give, by its error."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it comes from, the last one first."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def exhausted(error: BaseException) -> Failure | None:
    """What this machine has no more of, if that is what an error comes from."""
    for each in causes(error):
        number = each.errno if isinstance(each, OSError) else None
        if isinstance(each, BlockingIOError) and hasattr(each, "characters_written"):
            number = None  # Whoever reads the output is slow: nothing is used up.
        if isinstance(each, MemoryError):
            number = errno.ENOMEM
        if isinstance(each, RuntimeError) and "can't start new thread" in str(each):
            number = errno.EAGAIN
        if number in EXHAUSTED:
            return Failure.of(Kind.BUILD, [EXHAUSTED[number]])
    return None


class Problems:
    """Bad input, collected from several checks and raised as one failure."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def collect(self, check: Callable[[], T]) -> T | None:
        """Run a check; nothing, if it finds bad input. Any other failure is raised at once."""
        try:
            return check()
        except Failure as failure:
            if failure.kind is not Kind.INPUT:
                raise
            self.found.extend(failure.problems)
            return None

    def check(self) -> None:
        """Raise what was found, if anything."""
        if self.found:
            raise Failure.of(Kind.INPUT, self.found)


def gather(*checks: Callable[[], object]) -> None:
    """Run every check, then raise the bad input of all of them as one failure."""
    problems = Problems()
    for check in checks:
        problems.collect(check)
    problems.check()


def nearest(word: str, known: Iterable[str]) -> str:
    """Name the known word closest to a mistyped one, or list all of them."""
    import difflib

    choices = sorted(known)
    close = difflib.get_close_matches(word.lower(), choices, n=1)
    if close:
        return f'Perhaps you meant "{close[0]}".'
    return f"Use one of: {', '.join(choices)}."
