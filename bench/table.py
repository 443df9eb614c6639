"""The figures as tables in Markdown, aligned so that they read well as they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.measure import MIB, Result, Row, Run, Spread

HEAD = ("", "seconds", "(range)", "ratio", "(range)", "more", "requests", "uploaded", "memory")


def lines(result: Result) -> list[str]:
    """One scenario: its table, the targets, and where the time of each job went."""
    cells = [HEAD, *(_cells(row) for row in result.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    table = [_line(each, widths) for each in (cells[0], rule, *cells[1:])]
    targets = [f"- {text}" for row in result.rows for text in _verdicts(row)]
    shares = [f"- {text}" for row in result.rows for text in _shares(row)]
    parts = [f"- {name}: {_parts(runs)}" for name, runs in result.runs.items() if _parts(runs)]
    return [f"### {result.scenario}: {result.about}", "", *table, "", *targets, *shares, *parts]


def chart(results: Sequence[Result]) -> list[str]:
    """All rows but the first of each scenario as bars: the part of its time that each took.

    https://mermaid.js.org/syntax/xyChart.html
    """
    rows = [(each.scenario, row) for each in results for row in each.rows[1:]]
    if not rows:
        return []
    names = ", ".join(f'"{name}: {row.name.removeprefix("ours, install ")}"' for name, row in rows)
    bars = ", ".join(f"{row.ratio.median:.2f}" for _, row in rows)
    return [
        "```mermaid",
        "xychart-beta horizontal",
        f'  title "Time, as a part of: {results[0].rows[0].name}"',
        f"  x-axis [{names}]",
        '  y-axis "" 0 --> 1',
        f"  bar [{bars}]",
        "```",
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (text.rjust(width) for text, width in zip(cells[1:], widths[1:], strict=True))
    return f"| {' | '.join([first, *rest])} |"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.seconds.median:.2f}",
        _range(row.seconds),
        f"{row.ratio.median:.2f}",
        _range(row.ratio),
        f"{row.overhead:+.2f} s",
        f"{row.ours} + {row.others}",
        f"{row.uploaded / 1e6:.1f} MB",
        f"{row.memory / MIB:.0f} MiB" if row.memory else "",
    )


def _range(spread: Spread) -> str:
    return f"{spread.low:.2f} to {spread.high:.2f}"


def _verdicts(row: Row) -> list[str]:
    return [
        f"{row.name}: {name} ≤ {_limit(name, row.targets[name])} {'met' if met else 'MISSED'}"
        for name, met in row.verdicts.items()
    ]


def _shares(row: Row) -> list[str]:
    if row.share == 1:
        return []
    ours, others = row.ours / row.share, row.others / row.share
    return [f"{row.name}: {ours:.1f} + {others:.1f} requests a service"]


def _limit(name: str, value: float) -> str:
    return f"{value / MIB:.0f} MiB" if name == "memory" else f"{value:g}"


def _parts(runs: Sequence[Run]) -> str:
    """The median seconds of each part that takes any time worth naming."""
    medians = {name: statistics.median(run.laps[name] for run in runs) for name in runs[0].laps}
    named = [f"{name} {seconds:.2f}" for name, seconds in medians.items() if seconds >= 0.05]
    return ", ".join(named) if len(medians) > 1 else ""
