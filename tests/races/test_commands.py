"""No update is lost: any two commands, each stopped at every pair of their requests.

Whatever way they interleave, `latest` ends where the rules put it: at the newest commit that is
published and not withdrawn. What no registry tells is told in `is_unknowable`. Three at once:
a run that moves on to another commit, while that is rolled back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from support.runs import A, B, C, D, Run, Turns, World
from support.soak import chosen, one_in

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import Command, MoveTag
from feastflow_registry.model.references import Commit

ENOUGH = 60
"""More requests than any of these runs sends."""

Start = Callable[[World], Run]
RUNS: dict[str, Start] = {
    "publish of a newer commit": lambda on: on.run(C, salt="newer"),
    "publish of the same commit": lambda on: on.run(B, salt="again"),
    "publish of an older commit": lambda on: on.run(A, salt="older"),
    "promotion to latest": lambda on: on.start("promote", to=B.sha, tag="latest"),
    "rollback": lambda on: on.start("rollback"),
    "rollback to a commit": lambda on: on.start("rollback", to=A.sha),
}
PAIRS = [(one, other) for one in RUNS for other in RUNS]
FORWARD = ("publish of the same commit", "publish of a newer commit", "promotion to latest")
"""What brings `latest` forward where it was left behind."""
OLDER = "publish of a commit that was passed over"
BESIDE_OLDER: dict[str, Start] = {
    OLDER: lambda on: on.run(B, salt="again"),
    "publish of a newer commit": lambda on: on.run(D, salt="newer"),
    "publish of the same commit": lambda on: on.run(C, salt="again"),
    "promotion to latest": lambda on: on.start("promote", to=C.sha, tag="latest"),
    "rollback": lambda on: on.start("rollback"),
    "rollback to a commit": lambda on: on.start("rollback", to=A.sha),
    "prune": lambda on: on.start("prune", keep_days="1", keep_last="2", dry_run="false"),
}


def world() -> World:
    """Two commits are published, the newer of which `latest` holds."""
    on = World()
    on.publish(A)
    on.publish(B)
    return on


def behind() -> World:
    """Two commits are published, and `latest` has not been moved to the newer one."""
    on = World()
    on.publish(A)
    on.publish(B, latest="never")
    return on


def passed_over() -> World:
    """The middle one of three commits is not published, and `latest` holds the newest."""
    on = World()
    on.publish(A)
    on.publish(C)
    return on


def is_withdrawn(on: World, commit: Commit) -> bool:
    return on.at(f"withdrawn-{commit.short}") is not None


def newest(on: World) -> Commit:
    """What the rules say of all that is published and withdrawn."""
    good = [each for each in (D, C, B, A) if on.own(each) and not is_withdrawn(on, each)]
    return good[0]


def is_unknowable(on: World, runs: list[Run]) -> bool:
    """A rollback that finds a newer commit published, which `latest` does not hold (yet).

    It may be kept back on purpose, or its run may be about to move `latest`, and then to end before
    the rollback writes. The workflows' concurrency group keeps the two apart.
    """
    plans = [run.plan for run in runs if run.plan]
    moves = [step for plan in plans for step in plan.steps if isinstance(step, MoveTag)]
    kept_back = (step for step in moves if step.expect != on.own(newest(on)))
    return any(newest(on) in step.since.known for step in kept_back)


def check(on: World, runs: list[Run], raised: list[Exception]) -> None:
    for each in raised:
        assert isinstance(each, Failure), each
        assert each.kind in (Kind.CONFLICT, Kind.INPUT), each
    held = on.commit_at("latest")
    assert held
    told = any(run.app.settings.to and run.app.settings.command is Command.ROLLBACK for run in runs)
    if told and newest(on) is B:
        # Whoever says where to go back to may pass over what nobody has withdrawn.
        assert held in (A, B)
    elif not is_unknowable(on, runs):
        assert held == newest(on)
    assert not is_withdrawn(on, held)
    for commit in (A, B, C, D):
        assert on.commit_at(f"commit-{commit.short}") in (commit, None)
    assert on.own(B)


@pytest.mark.parametrize(
    ("one", "other"), one_in(3, PAIRS), ids=[" + ".join(pair) for pair in PAIRS]
)
def test_every_pair_of_positions(one: str, other: str) -> None:
    check_pair(world(), RUNS[one], RUNS[other])


@pytest.mark.parametrize("one", one_in(6, RUNS))
@pytest.mark.parametrize("other", FORWARD)
def test_where_latest_was_left_behind(one: str, other: str) -> None:
    check_pair(behind(), RUNS[one], RUNS[other])
    check_pair(behind(), RUNS[other], RUNS[one])


@pytest.mark.parametrize("other", one_in(2, BESIDE_OLDER))
def test_a_commit_that_was_passed_over_is_published(other: str) -> None:
    check_pair(passed_over(), BESIDE_OLDER[OLDER], BESIDE_OLDER[other])
    check_pair(passed_over(), BESIDE_OLDER[other], BESIDE_OLDER[OLDER])


def check_pair(before: World, one: Start, other: Start) -> None:
    lengths = []
    for start in (one, other):
        alone = start(before.copy())
        alone.failure()
        lengths.append(len(alone.registry.calls))
    for last in (0, 1):
        for first in range(lengths[0] + 1):
            for second in range(lengths[1] + 1) if last == 0 else [0]:
                on = before.copy()
                runs = [one(on), other(on)]
                check_turns(on, runs, [0] * first + [1] * second + [last] * ENOUGH)


def check_turns(on: World, runs: list[Run], order: list[int]) -> None:
    raised = Turns(order.copy()).go(runs)
    try:
        check(on, runs, raised)
    except AssertionError as error:
        turns = [(number, len(list(same))) for number, same in itertools.groupby(order)]
        raise AssertionError(f"{turns}: {error} {raised}") from error


def first_published() -> World:
    """One commit is published."""
    on = World()
    on.publish(A)
    return on


FOLLOWERS: dict[str, tuple[Callable[[], World], Start]] = {
    "publish": (first_published, lambda on: on.run(B)),
    "promotion": (behind, RUNS["promotion to latest"]),
    "rollback": (world, RUNS["rollback"]),
}
"""Runs that move `latest` on to a commit that is published meanwhile."""


@pytest.mark.parametrize("last", chosen([1, 0]))
@pytest.mark.parametrize("stops", chosen(["before its write", "anywhere"]))
@pytest.mark.parametrize("follower", chosen(FOLLOWERS))
def test_what_a_run_moves_on_to_is_rolled_back(follower: str, stops: str, last: int) -> None:
    """One stops, a newer commit is published, one goes on and stops while that is rolled back."""
    before, start = FOLLOWERS[follower]
    alone = start(before()).go()
    positions = [alone.number_of("set_tag", "shop:latest")]
    if stops == "anywhere":
        positions = list(range(len(alone.registry.calls) + 1))
    for stop, more in itertools.product(positions, range(ENOUGH // 2)):
        for back in range(ENOUGH):
            on = before()
            runs = [start(on), on.run(C), on.start("rollback")]
            order = [0] * stop + [1] * ENOUGH + [0] * more + [2] * back + [2 * last] * ENOUGH
            check_turns(on, runs, order)
            if len(runs[2].registry.calls) < back:
                break
