"""What fits a terminal: lines that are broken between words, and tables that lose what they can.

Widths are counted in characters. 0 means that there is no terminal, and that everything fits.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

INDENT = "    "
_NARROWEST = 40
_GAP = "  "
_TOGETHER = re.compile(r"`[^`]+`|[\d.]+ (?:[kMGT]?B|s)\b")
"""A command to copy, and a number with its unit."""
_NO_BREAK = "\0"
"""Stands for a space where no line ends; no line of ours holds one."""


def wrap(line: str, width: int, *, indent: str = INDENT, anyway: bool = False) -> list[str]:
    """Break a line before the edge of a terminal, and indent what follows.

    No word is broken, and no command between backticks, so that each can be copied whole; and a
    number stays with its unit. A line that is indented is a command or somebody else's text, and
    stays whole unless ``anyway``.
    """
    if len(line) < width or not width or (line.startswith(" ") and not anyway):
        return [line]
    parts = textwrap.wrap(
        _TOGETHER.sub(lambda match: match[0].replace(" ", _NO_BREAK), line),
        max(width - 1, _NARROWEST),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace(_NO_BREAK, " ") for part in parts]


def fit(
    rows: Sequence[Mapping[str, str]],
    width: int,
    *,
    worth: Sequence[str],
    whole: int,
    least: Mapping[str, int],
) -> dict[str, int]:
    """The columns that fit, by name, each with its width.

    ``rows``: cells by column, the head too; ``worth``: the columns, the dearest first, of which the
    first ``whole`` stay whatever the width is; ``least``: how narrow those may get that may be cut.
    """
    fitting: dict[str, int] = {}
    room = width - 1 if width else 1 << 30
    for number, name in enumerate(worth):
        wide = max(len(row[name]) for row in rows)
        if number >= whole and wide > room:
            wide = room if room >= least.get(name, room + 1) else 0
        if wide:
            fitting[name] = wide
            room -= wide + len(_GAP)
    return fitting


def aligned(row: Mapping[str, str], widths: Mapping[str, int], right: str) -> str:
    """One row, its cells below each other; those of the column ``right`` end below each other."""
    cells = []
    for name, wide in widths.items():
        text = row[name]
        text = text if len(text) <= wide else f"{text[: wide - 1]}…"
        cells.append(text.rjust(wide) if name == right else text.ljust(wide))
    return _GAP.join(cells).rstrip()
