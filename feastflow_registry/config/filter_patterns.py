"""GitHub's filter patterns for branches and tags, as in ``on.push.branches``.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#filter-pattern-cheat-sheet
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from feastflow_registry.model.errors import Failure, Kind

_SPECIAL = frozenset("*?+[]!\\")
_PIECE = re.compile(r"\*\*|\[[\w-]+\]|\\.|.", re.DOTALL)


def is_literal(pattern: str) -> bool:
    """Tell whether a pattern matches itself and nothing else."""
    return not _SPECIAL & set(pattern)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name passes the patterns in their order; ``!`` takes names out again."""
    allowed = False
    for pattern in patterns:
        negative = pattern.startswith("!")
        if compile_pattern(pattern[negative:]).fullmatch(name):
            allowed = not negative
    return allowed


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Translate one pattern. Raises an input failure on a pattern that GitHub would refuse."""
    out = ""
    for piece in _PIECE.findall(pattern):
        if piece == "**":
            out += ".*"
        elif piece == "*":
            out += "[^/]*"
        elif len(piece) > 1:
            out += piece if piece.startswith("[") else re.escape(piece[1])
        elif piece in "?+" and out and out[-1] not in "*?+":
            out += piece
        elif piece in _SPECIAL:
            raise _refused(pattern)
        else:
            out += re.escape(piece)
    try:
        return re.compile(out, re.DOTALL)
    except re.error:
        raise _refused(pattern) from None


def _refused(pattern: str) -> Failure:
    return Failure(
        Kind.INPUT,
        f"the pattern {pattern[:80]!r} is not one that GitHub knows.",
        "Use *, **, ?, +, [a-z] and a leading ! as in on.push.branches; escape others with \\.",
    )
