"""No update is lost: any two commands, each stopped at every pair of their requests.

Whatever way they interleave, `latest` ends where the rules put it: at the newest commit that is
published and not withdrawn. What no registry tells is told in `is_unknowable`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.runs import A, B, C, Run, Turns, World
from support.soak import one_in

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


def is_withdrawn(on: World, commit: Commit) -> bool:
    return on.at(f"withdrawn-{commit.short}") is not None


def newest(on: World) -> Commit:
    """What the rules say of all that is published and withdrawn."""
    good = [each for each in (C, B, A) if on.own(each) and not is_withdrawn(on, each)]
    return good[0]


def is_unknowable(on: World, runs: list[Run]) -> bool:
    """A rollback that finds a newer commit published, which `latest` does not hold (yet).

    It may be kept back on purpose, or its run may be about to move `latest`, and then to end before
    the rollback writes. The workflows' concurrency group keeps the two apart.
    """
    plans = [run.plan for run in runs if run.plan]
    moves = [step for plan in plans for step in plan.steps if isinstance(step, MoveTag)]
    return any(newest(on) in step.since.known for step in moves)


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
    for commit in (A, B):
        assert on.commit_at(f"commit-{commit.short}") == commit


@pytest.mark.parametrize(
    ("one", "other"), one_in(3, PAIRS), ids=[" + ".join(pair) for pair in PAIRS]
)
def test_every_pair_of_positions(one: str, other: str) -> None:
    check_pair(world(), one, other)


@pytest.mark.parametrize("one", one_in(6, RUNS))
@pytest.mark.parametrize("other", FORWARD)
def test_where_latest_was_left_behind(one: str, other: str) -> None:
    check_pair(behind(), one, other)
    check_pair(behind(), other, one)


def check_pair(before: World, one: str, other: str) -> None:
    lengths = []
    for name in (one, other):
        alone = RUNS[name](before.copy())
        alone.failure()
        lengths.append(len(alone.registry.calls))
    for last in (0, 1):
        for first in range(lengths[0] + 1):
            for second in range(lengths[1] + 1) if last == 0 else [0]:
                on = before.copy()
                runs = [RUNS[one](on), RUNS[other](on)]
                order = [0] * first + [1] * second + [last] * ENOUGH
                raised = Turns(order).go(runs)
                try:
                    check(on, runs, raised)
                except AssertionError as error:
                    raise AssertionError(f"{first} {second} {last}: {error} {raised}") from error
