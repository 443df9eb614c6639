"""Doing the same for several things at once: a registry's answers take time, not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from feastflow_registry.model.errors import Failure

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 8
"""How many threads work at once; with 1, one thing is done after the other."""


def spread(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Work on several things at once, and answer in their order.

    Raises the first failure when everything that was begun has ended; an interrupt waits for
    nothing, so that where the run stands can be said.
    """
    waiting = list(items)
    if min(AT_ONCE, len(waiting)) < 2:
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


def attempt(work: Callable[[T], R], items: Iterable[T]) -> list[R | Failure]:
    """Do all of the work, whatever fails: the result of each item, or its failure."""

    def attempt_one(item: T) -> R | Failure:
        try:
            return work(item)
        except Failure as failure:
            return failure

    return spread(attempt_one, items)


def asked(work: Callable[[T], R], items: Iterable[T]) -> Callable[[T], R]:
    """Do all of the work, once for each item; what tells an item's result, or raises its failure.

    Items are hashable.
    """
    waiting = tuple(dict.fromkeys(items))
    found = dict(zip(waiting, attempt(work, waiting), strict=True))

    def tell(item: T) -> R:
        [result] = results([found[item]])
        return result

    return tell


def results(attempted: Iterable[R | Failure]) -> Iterator[R]:
    """Yield what succeeded, then raise all failures as one."""
    failures: list[Failure] = []
    for each in attempted:
        if isinstance(each, Failure):
            failures.append(each)
        else:
            yield each
    if failures:
        raise Failure.join(failures)


def one_after_another(*parts: Iterable[R]) -> Iterator[R]:
    """Yield what each part yields, whatever failed before it, then raise all failures as one."""
    failures: list[Failure] = []
    for part in parts:
        try:
            yield from part
        except Failure as failure:
            failures.append(failure)
    yield from results(failures)


def together(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do all of the work; raises the failures of all of it as one."""
    return list(results(attempt(work, items)))
