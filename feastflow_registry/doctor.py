"""Looking for what would make a publish fail, each finding with its fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from feastflow_registry.errors import Failure, Kind, Problem


@dataclass(frozen=True, slots=True)
class Check:
    """One question. ``ask`` answers with what it found, or raises a failure."""

    name: str
    ask: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. ``kind`` is what a publish would fail with."""

    name: str
    detail: str = ""
    kind: Kind | None = None
    problems: tuple[Problem, ...] = ()


def examine(checks: Sequence[Check]) -> Iterator[Finding]:
    """Ask every question, whatever the others answer."""
    for check in checks:
        try:
            yield Finding(check.name, check.ask())
        except Failure as failure:
            yield Finding(check.name, kind=failure.kind, problems=failure.problems)
