"""A service that fails keeps no other from being published, and every shared tag where it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.memory import Call, FakeChecker
from support.runs import A, B, C, Run, World, at_call, down, failing, service

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.services import SmokeTest

NAMES = ("frontend", "pricing", "menu")


def broken(world: World, *names: str, **options: object) -> Run:
    run = world.run(B, **options)  # type: ignore[arg-type]
    run.builder.broken = names
    return run


@pytest.fixture
def world() -> World:
    world = World(names=NAMES)
    world.publish(A)
    return world


@pytest.mark.parametrize("by_digest", [False, True])
def test_one_that_does_not_build(world: World, by_digest: bool) -> None:
    world.check = "true"
    run = broken(world, "pricing", by_digest=by_digest)
    failure = run.failure()
    assert failure
    assert failure.kind is Kind.BUILD
    assert str(failure) == "pricing does not build. Mend it."
    assert [world.own(B, name) is not None for name in NAMES] == [True, False, True]
    assert [world.commit_at("latest", name) for name in NAMES] == [A, A, A]
    assert run.actions == [
        ("built", f"commit-{B.short}"),
        ("built", f"commit-{B.short}"),
        ("pushed", f"commit-{B.short}"),
        ("pushed", f"commit-{B.short}"),
    ]
    assert {each.service.name for each in run.outcomes} == {"frontend", "menu"}


def test_the_next_run_builds_only_what_failed(world: World) -> None:
    broken(world, "pricing").failure()
    run = world.run(B).go()
    assert run.builder.sessions == [("pricing",)]
    assert [world.commit_at("latest", name) for name in NAMES] == [B, B, B]


def test_several_are_reported_together(world: World) -> None:
    failure = broken(world, "pricing", "menu").failure()
    assert isinstance(failure, Failure)
    assert [each.cause for each in failure.problems] == [
        "pricing does not build.",
        "menu does not build.",
    ]


def checked(world: World, *names: str, **inputs: str) -> Run:
    run = world.run(B, **{"check": "true", **inputs})  # type: ignore[arg-type]
    run.app.judge = FakeChecker(names)
    return run


def test_one_that_does_not_pass_its_check(world: World) -> None:
    world.check = "true"
    run = checked(world, "menu")
    failure = run.failure()
    assert failure
    assert str(failure) == "menu did not pass. Mend it."
    assert [name for name, _ in run.checker.checked] == list(NAMES)
    assert [world.own(B, name) is not None for name in NAMES] == [True, True, False]
    assert [world.commit_at("latest", name) for name in NAMES] == [A, A, A]


def test_a_check_comes_before_any_push(world: World) -> None:
    world.check = "true"
    run = checked(world)
    names: set[str] = set()

    def check(*given: Any, **_: object) -> None:
        names.add(given[2].identifier)
        run.outcomes.append(run.outcomes[-1])

    run.checker.check = check  # type: ignore[method-assign]
    run.go()
    assert names == {f"commit-{B.short}"}
    first_push = next(n for n, each in enumerate(run.outcomes) if each.action.value == "pushed")
    assert first_push == 2 * len(NAMES)


def test_what_asks_for_no_check_reaches_for_none(world: World) -> None:
    run = world.run(B)
    run.app.checker = pytest.fail  # type: ignore[method-assign]
    run.go()


def test_what_is_to_answer_is_asked() -> None:
    run = World().run(B)
    services = (replace(service("shop"), smoke_test=SmokeTest(80)),)
    run.app.inputs = replace(run.app.inputs, services=services)
    assert [name for name, _ in run.go().checker.checked] == ["shop"]


def test_one_whose_push_fails_hides_no_other(world: World) -> None:
    run = world.run(B)
    third = run_to_push(world, "pricing")
    run.registry.before = failing(third)
    failure = run.failure()
    assert failure
    assert failure.kind is Kind.UNREACHABLE
    assert [world.own(B, name) is not None for name in NAMES] == [True, False, True]
    assert [world.commit_at("latest", name) for name in NAMES] == [A, A, A]


def test_a_broken_build_and_a_broken_push_are_both_told(world: World) -> None:
    copy = World(names=NAMES)
    copy.publish(A)
    rehearsal = broken(copy, "menu")
    rehearsal.failure()
    run = broken(world, "menu")
    run.registry.before = failing(rehearsal.number_of("push", f"pricing:commit-{B.short}"))
    failure = run.failure()
    assert failure
    assert failure.kind is Kind.UNREACHABLE
    assert len(failure.problems) == 2


def run_to_push(world: World, name: str) -> int:
    """The position of the push of a service, in a world like this one."""
    copy = World(names=world.names)
    copy.publish(A)
    return copy.run(B).go().number_of("push", f"{name}:commit-{B.short}")


def test_one_whose_shared_tag_fails_lets_the_others_move(world: World) -> None:
    copy = World(names=NAMES)
    copy.publish(A)
    position = copy.run(B).go().number_of("set_tag", "frontend:latest")
    run = world.run(B)
    run.registry.before = failing(position)
    assert run.failure()
    assert [world.commit_at("latest", name) for name in NAMES] == [A, B, B]
    world.run(B).go()
    assert world.commit_at("latest", "frontend") == B


def test_one_that_cannot_be_moved_on_lets_the_others_follow_a_newer_commit(world: World) -> None:
    def overtaken(within: World) -> Run:
        """A run whose tags are all due to move on: C is published, and has moved none so far."""
        newer, run = within.run(C), within.run(B)
        newer.registry.before = down("ada", position)
        run.registry.before = at_call(position, newer.failure)
        return run

    copies = [World(names=NAMES) for _ in range(2)]
    for each in copies:
        each.publish(A)
    position = copies[0].run(B).go().number_of("set_tag", "frontend:latest")
    last = overtaken(copies[1]).go().number_of("set_tag", "frontend:latest", -1)
    run = overtaken(world)
    meet, break_off = run.registry.before, failing(last)

    def hook(call: Call) -> None:
        meet(call)
        break_off(call)

    run.registry.before = hook
    assert run.failure()
    assert [world.commit_at("latest", name) for name in NAMES] == [B, C, C]


def test_an_interrupt_ends_what_is_checked(world: World) -> None:
    world.check = "true"
    run = world.run(B)
    run.app.judge = FakeChecker(interrupting=("pricing",))
    with pytest.raises(KeyboardInterrupt):
        run.go()
    assert run.checker.ended
    assert world.own(B, "frontend") is None


def test_one_that_may_not_be_pushed_is_not_built(world: World) -> None:
    copy = World(names=NAMES)
    copy.publish(A)
    denied = copy.run(B).go()
    position = [c.number for c in denied.registry.calls if c.method == "check_push"][1]
    run = world.run(B)
    run.registry.before = failing(position)
    assert run.failure()
    assert run.builder.sessions == [("frontend", "menu")]
    assert [world.own(B, name) is not None for name in NAMES] == [True, False, True]
    assert [world.commit_at("latest", name) for name in NAMES] == [A, A, A]


def test_where_none_may_be_pushed_none_is_built() -> None:
    world = World(names=("shop",))
    run = world.run(B)
    world.store.readonly = True
    assert run.failure()
    assert run.builder.sessions == []


def test_output_of_a_lonely_check_is_shown_as_it_comes(world: World) -> None:
    world.check = "true"
    several, one = world.run(B), World(names=("shop",), check="true").run(B)
    assert [run.go().checker.alone for run in (several, one)] == [[False] * 3, [True]]
