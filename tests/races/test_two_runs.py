"""Promises 3 and 4: two runs stopped at every pair of their requests, and any runs by turns."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import A, B, C, Run, Turns, World
from support.soak import chosen

from feastflow_registry.model.references import Commit

ENOUGH = 40
"""More requests than any of these runs sends."""
SHARED = ("latest", "sprint3")


def start(world: World, at: Commit, *, salt: str, by_digest: bool = False) -> Run:
    return world.run(at, milestone="sprint3", salt=salt, by_digest=by_digest)


def check(world: World, newest: Commit, *published: Commit) -> None:
    """Every shared tag at the newest commit's own digest, every commit tag at its commit."""
    for tag in SHARED:
        assert world.at(tag) == world.own(newest), tag
    for each in published:
        assert world.commit_at(f"commit-{each.short}") == each


@pytest.mark.parametrize("last", chosen([0, 1]))
@pytest.mark.parametrize(("one", "other"), chosen([(B, C), (C, B), (B, B)], 2))
def test_every_pair_of_positions_ends_alike(one: Commit, other: Commit, last: int) -> None:
    """One run stops before its i-th request, the other before its j-th; then both go on."""
    published = World()
    published.publish(A, milestone="sprint3")
    alone = [start(published.copy(), at, salt="").go() for at in (one, other)]
    lengths = [len(each.registry.calls) for each in alone]
    for first in range(lengths[0] + 1):
        # Where the other goes on by itself, it does not matter where it was stopped.
        for second in range(lengths[1] + 1) if last == 0 else [0]:
            world = published.copy()
            runs = [start(world, one, salt="0"), start(world, other, salt="1")]
            order = [0] * first + [1] * second + [last] * ENOUGH
            assert not Turns(order).go(runs)
            check(world, max(one, other), one, other, A)


@settings(max_examples=60)
@given(
    commits=st.lists(st.sampled_from([A, B, C]), min_size=2, max_size=4),
    order=st.lists(st.integers(0, 3), max_size=80),
    by_digest=st.booleans(),
)
def test_any_runs_by_any_turns(commits: list[Commit], order: list[int], by_digest: bool) -> None:
    world = World()
    runs = [start(world, at, salt=str(n), by_digest=by_digest) for n, at in enumerate(commits)]
    assert not Turns(order).go(runs)
    check(world, max(commits), *commits)
