"""Running alternatives in turn, and what a set of runs comes to.

The rounds go A B C, A B C, …: what the machine does besides hits all alternatives alike, and each
run is compared with the one of the same round. No time is ever asserted.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.servers.serving import Request

OURS = "feastflow-registry"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``laps``: seconds of each of its parts; ``requests``: what the registry saw."""

    laps: Mapping[str, float]
    requests: Sequence[Request] = ()

    def seconds(self, lap: str = "") -> float:
        """All of its time, or one part's."""
        return self.laps[lap] if lap else sum(self.laps.values())

    @property
    def counts(self) -> tuple[int, int]:
        """The requests of our program, and those of all others."""
        ours = sum(each.agent.startswith(OURS) for each in self.requests)
        return ours, len(self.requests) - ours

    @property
    def uploaded(self) -> int:
        """Bytes of request bodies."""
        return sum(each.bytes_in for each in self.requests)


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some figures, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        """Sum figures up; there must be one."""
        found = sorted(figures)
        return cls(statistics.median(found), found[0], found[-1])


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``ratio``: to the first alternative, round by round."""

    name: str
    seconds: Spread
    ratio: Spread
    overhead: float
    """Seconds more than the first alternative: the median of the rounds."""
    ours: int
    others: int
    """The most requests of any round."""
    uploaded: int
    memory: int | None = None
    """Bytes, of our process alone."""
    targets: Mapping[str, float] = field(default_factory=dict)
    share: int = 1

    @property
    def verdicts(self) -> dict[str, bool]:
        """Which targets were met."""
        found: dict[str, float | None] = {
            "seconds": self.seconds.median,
            "ratio": self.ratio.median,
            "requests": self.ours + self.others,
            "uploaded": self.uploaded,
            "memory": self.memory,
        }
        known = {name: value for name in self.targets if (value := found[name]) is not None}
        return {name: value <= self.targets[name] for name, value in known.items()}


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to do the thing. ``lap``: the part of it that counts, all if empty.

    ``prepare`` is not timed. ``like``: shows another part of that alternative's own runs.
    """

    name: str
    run: Callable[[], Run] | None = None
    prepare: Callable[[], object] = lambda: None
    like: str = ""
    lap: str = ""
    memory: Callable[[], int] | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    fewer: bool = False
    """Whether it is meant to make fewer requests than the first alternative."""
    share: int = 1
    """How many services it is about, that share the requests."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a scenario came to."""

    scenario: str
    about: str
    rows: Sequence[Row]
    runs: Mapping[str, Sequence[Run]]

    def as_json(self) -> dict[str, Any]:
        """Every figure, each run's own among them."""
        return {
            "scenario": self.scenario,
            "about": self.about,
            "rows": [_plain(row) for row in self.rows],
            "runs": {name: [_shown(run) for run in runs] for name, runs in self.runs.items()},
        }


def alternate(
    scenario: str,
    about: str,
    alternatives: Sequence[Alternative],
    *,
    rounds: int,
    say: Callable[[str], None],
    warm: bool = False,
) -> Result:
    """Run every alternative once untimed, unless it is `warm`, then all in turn, round by round."""
    runs: dict[str, list[Run]] = {each.name: [] for each in alternatives if each.run}
    for number in range(warm, rounds + 1):
        for each in alternatives:
            if each.run is None:
                continue
            each.prepare()
            run = each.run()
            if number:
                runs[each.name].append(run)
            what = f"round {number} of {rounds}" if number else "warming up"
            say(f"{scenario}, {what}: {each.name} {run.seconds():.2f} s")
    memory = {each.name: each.memory() for each in alternatives if each.memory}
    base = runs[alternatives[0].name]
    rows = [_row(each, runs[each.like or each.name], base, memory) for each in alternatives]
    return Result(scenario, about, rows, runs)


def _row(
    each: Alternative, runs: Sequence[Run], base: Sequence[Run], memory: Mapping[str, int]
) -> Row:
    seconds = [run.seconds(each.lap) for run in runs]
    pairs = list(zip(seconds, (run.seconds() for run in base), strict=True))
    fewer = {"requests": min(len(run.requests) for run in base) - 1} if each.fewer else {}
    return Row(
        name=each.name,
        seconds=Spread.of(seconds),
        ratio=Spread.of(own / other for own, other in pairs),
        overhead=statistics.median(own - other for own, other in pairs),
        ours=max(run.counts[0] for run in runs),
        others=max(run.counts[1] for run in runs),
        uploaded=max(run.uploaded for run in runs),
        memory=memory.get(each.name),
        targets={**each.targets, **fewer},
        share=each.share,
    )


def _plain(row: Row) -> dict[str, Any]:
    spreads = {
        name: {"median": each.median, "low": each.low, "high": each.high}
        for name, each in (("seconds", row.seconds), ("ratio", row.ratio))
    }
    return {
        "name": row.name,
        **spreads,
        "overhead": row.overhead,
        "requests": {"ours": row.ours, "others": row.others},
        "uploaded": row.uploaded,
        "services": row.share,
        "memory": row.memory,
        "targets": dict(row.targets),
        "met": row.verdicts,
    }


def _shown(run: Run) -> dict[str, Any]:
    began = run.requests[0].at if run.requests else 0.0
    return {
        "laps": dict(run.laps),
        "requests": [
            {
                "after": round(each.at - began, 4),
                "client": each.agent.partition("/")[0],
                "method": each.method,
                "path": each.path,
                "status": each.status,
                "sent": each.bytes_in,
            }
            for each in run.requests
        ],
    }
