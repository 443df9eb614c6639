"""GitHub's filter patterns for branches and tags, as in ``on.push.branches``.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#filter-pattern-cheat-sheet
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from feastflow_registry.model.errors import Failure, Kind

_SPECIAL = frozenset("*?+[]!\\")
_PIECE = re.compile(r"\*\*|\[[\w-]+\]|\\.|.", re.DOTALL)
_WILDCARDS = {"**": re.compile(r".", re.DOTALL), "*": re.compile(r"[^/]")}
_QUANTIFIERS = {"?": (0, False), "+": (1, True)}
"""How often what stands before may be there: at least how often, and whether more often."""


def is_literal(pattern: str) -> bool:
    """Tell whether a pattern matches itself and nothing else."""
    return not _SPECIAL & set(pattern)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a pattern: which character, at least how often (0 or 1), and whether more often."""

    allowed: re.Pattern[str]
    least: int = 1
    repeats: bool = False

    @property
    def is_once(self) -> bool:
        """Whether nothing says yet how often it may be there."""
        return self.least == 1 and not self.repeats


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name passes the patterns in their order; ``!`` takes names out again."""
    allowed = False
    for pattern in patterns:
        negative = pattern.startswith("!")
        if _fits(name, parse_pattern(pattern[negative:])):
            allowed = not negative
    return allowed


def _fits(name: str, pieces: Iterable[_Piece]) -> bool:
    """Match piece by piece, all ways at once: a step for each character and piece, no more."""
    ends = {0}  # How much of the name the pieces so far may have taken.
    for piece in pieces:
        before, ends = ends, set() if piece.least else set(ends)
        for place, character in enumerate(name):
            begins = place in before or (piece.repeats and place in ends)
            if begins and piece.allowed.fullmatch(character):
                ends.add(place + 1)
    return len(name) in ends


def parse_pattern(pattern: str) -> tuple[_Piece, ...]:
    """Read one pattern. Raises an input failure on a pattern that GitHub would refuse."""
    pieces: list[_Piece] = []
    for text in _PIECE.findall(pattern):
        if text in _QUANTIFIERS and pieces and pieces[-1].is_once:
            pieces[-1] = _Piece(pieces[-1].allowed, *_QUANTIFIERS[text])
        elif text in _WILDCARDS:
            pieces.append(_Piece(_WILDCARDS[text], 0, repeats=True))
        elif text in _SPECIAL:
            raise _refused(pattern)
        else:
            one = text if text.startswith("[") else re.escape(text[-1])
            try:
                pieces.append(_Piece(re.compile(one)))
            except re.error:
                raise _refused(pattern) from None
    return tuple(pieces)


def _refused(pattern: str) -> Failure:
    return Failure(
        Kind.INPUT,
        f"the pattern {pattern[:80]!r} is not one that GitHub knows.",
        "Use *, **, ?, +, [a-z] and a leading ! as in on.push.branches; escape others with \\.",
    )
