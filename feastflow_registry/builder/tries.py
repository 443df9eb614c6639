"""Trying again after a while, as all of this folder does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

TRIES = 4


def tries(sleep: Callable[[float], None]) -> Iterator[int]:
    """Count 0, 1, 2, 3, and sleep 1, 2 and 4 seconds in between."""
    for number in range(TRIES):
        if number:
            sleep(2.0 ** (number - 1))
        yield number
