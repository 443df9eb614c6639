"""What `make soak` runs beside `make test`: the same proofs at every other place.

A promise is proved by `make test`, on one builder or at one moment of each kind. That it holds on
all builders, in all orders and at any size is proved each night, and by whoever releases.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

soak = pytest.mark.soak


def one_in(step: int, values: Iterable[Any]) -> list[Any]:
    """Parameters of which every so many are part of `make test`, and the rest of `make soak`."""
    return [
        each if number % step == 0 else pytest.param(*_as_arguments(each), marks=soak)
        for number, each in enumerate(values)
    ]


def chosen(values: Iterable[Any], count: int = 1) -> list[Any]:
    """Parameters of which the first few are part of `make test`, and the rest of `make soak`."""
    return [
        each if number < count else pytest.param(*_as_arguments(each), marks=soak)
        for number, each in enumerate(values)
    ]


def _as_arguments(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
