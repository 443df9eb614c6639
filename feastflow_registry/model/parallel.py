"""Doing the same for several services at once: a registry's answers take time, not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 8


def spread(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Work on several things at once, and answer in their order.

    Raises the first failure when everything that was begun has ended; an interrupt waits for
    nothing, so that where the run stands can be said.
    """
    waiting = list(items)
    if len(waiting) < 2:
        return [work(item) for item in waiting]
    pool = ThreadPoolExecutor(min(AT_ONCE, len(waiting)))
    try:
        found = list(pool.map(work, waiting))
    except Exception:
        pool.shutdown()
        raise
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return found
