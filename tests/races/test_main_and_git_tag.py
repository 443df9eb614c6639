"""Promise 3: main and its git tag at the same time, two runs of one commit, end at one digest."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import A, B, Run, Turns, World, commit
from support.soak import chosen

FIRST = commit(0x9)
ENOUGH = 40
POSITIONS = 28


def world() -> World:
    """A milestone that stands at the first commit."""
    found = World()
    found.history.parents |= {FIRST: (), A: (FIRST,)}
    found.publish(FIRST, milestone="sprint3")
    return found


def start(here: World, order: str, by_digest: bool) -> list[Run]:
    here.history.git_tags["sprint3"] = B
    git_tags = {"main": "", "tag": "sprint3"}
    return [
        here.run(B, git_tag=git_tags[each], milestone="sprint3", salt=each, by_digest=by_digest)
        for each in order.split()
    ]


@pytest.mark.parametrize("by_digest", chosen([False, True]))
@pytest.mark.parametrize("order", ["main tag", "tag main"])
def test_from_every_pair_of_positions(order: str, by_digest: bool) -> None:
    published = world()
    lengths = [0, 0]
    for first in itertools.count(1):
        for second in itertools.count(1):
            here = published.copy()
            runs = start(here, order, by_digest)
            turns = [0] * first + [1] * second + [0] * ENOUGH
            assert not Turns(turns).go(runs)
            assert {here.at("latest"), here.at("sprint3")} == {here.own(B)}, (first, second)
            lengths = [len(each.registry.calls) for each in runs]
            if second >= lengths[1]:
                break
        if first >= lengths[0]:
            break
    assert max(lengths) < POSITIONS


@settings(max_examples=100)
@given(
    order=st.sampled_from(["main tag", "main tag main"]),
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, POSITIONS)), max_size=6),
    by_digest=st.booleans(),
)
def test_by_any_turns(order: str, turns: list[tuple[int, int]], by_digest: bool) -> None:
    here = world()
    runs = start(here, order, by_digest)
    flat = [number for number, count in turns for _ in range(count)]
    assert not Turns(flat).go(runs)
    assert {here.at("latest"), here.at("sprint3")} == {here.own(B)}
