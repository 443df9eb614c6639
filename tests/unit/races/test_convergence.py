"""Promises 3 and 4: whatever way runs interleave, every tag ends where it should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import A, B, C, Run, World, at_call, image

from feastflow_registry.model.plan import Action
from feastflow_registry.model.references import Commit

SHARED = ("latest", "sprint3")
KINDS = [
    pytest.param({}, id="pushed by tag"),
    pytest.param({"by_digest": True}, id="pushed by digest"),
]


def check(world: World, newest: Commit, *published: Commit) -> None:
    """Every shared tag at the newest commit's own digest, every commit tag at its commit."""
    for tag in SHARED:
        assert world.at(tag) == world.own(newest), tag
    for each in (newest, *published):
        assert world.commit_at(f"commit-{each.short}") == each


def start(world: World, at: Commit, **options: object) -> Run:
    return world.run(at, milestone="sprint3", **options)  # type: ignore[arg-type]


def count(options: dict[str, object], at: Commit = B) -> int:
    """How many requests a run sends when nobody disturbs it."""
    world = World()
    start(world, A).go()
    return len(start(world, at, **options).go().registry.calls)


@pytest.mark.parametrize("options", KINDS)
class TestOneRunWithinAnother:
    def test_newer_runs_whole_within_older(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            start(world, A).go()
            newer = start(world, C, **options)
            start(world, B, before=at_call(position, newer.go), **options).go()
            assert newer.outcomes
            check(world, C, B, A)

    def test_older_runs_whole_within_newer(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            start(world, A).go()
            older = start(world, B, **options)
            start(world, C, before=at_call(position, older.go), **options).go()
            assert older.outcomes
            check(world, C, B, A)

    def test_same_commit_within_itself(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            start(world, A).go()
            inner = start(world, B, salt="inner", **options)
            outer = start(world, B, before=at_call(position, inner.go), **options).go()
            check(world, B, A)
            last = [each for each in outer.outcomes if each.action is not Action.BUILT]
            assert last[-1].digest == world.own(B)

    def test_same_commit_just_after_a_request_of_itself(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            inner = start(world, B, salt="inner", **options)
            start(world, B, after=at_call(position, inner.go), **options).go()
            check(world, B)


@settings(max_examples=60)
@given(order=st.lists(st.booleans(), max_size=20))
def test_outcome_by_outcome(order: list[bool]) -> None:
    world = World()
    start(world, A).go()
    steps = {False: start(world, B).steps(), True: start(world, C).steps()}
    for each in order:
        next(steps[each], None)
    for run in steps.values():
        list(run)
    check(world, C, A, B)


def test_a_commit_becomes_newest_only_when_its_image_is_proven() -> None:
    world = World()
    world.put(image(B), f"commit-{C.short}")  # A commit tag that lies.
    start(world, A).go()
    check(world, A)


def test_a_withdrawn_commit_never_becomes_newest() -> None:
    world = World()
    world.put(image(C), f"commit-{C.short}", f"withdrawn-{C.short}")
    world.put(image(B), f"commit-{B.short}")
    start(world, A).go()
    check(world, B, A)


def test_a_side_branch_merged_later_does_not_take_over() -> None:
    """A fast-forward to a merge whose first parent is not what was main until then."""
    world = World()
    side, merge = Commit("e" * 40), Commit("d" * 40)
    world.history.parents |= {side: (A,), merge: (side, B)}
    world.history.branches["main"] = merge
    world.put(image(side), f"commit-{side.short}")
    start(world, B).go()
    check(world, B)


def test_a_run_that_is_followed_says_why_its_tags_moved_on() -> None:
    world = World()
    position = start(world, B).go().number_of("set_tag", "shop:latest")
    world = World()
    older = start(world, B, before=at_call(position, start(world, C).go)).go()
    assert older.actions[-1] == ("moved", "latest")
    assert older.outcomes[-1].note == f"commit {C.short} is newer"
