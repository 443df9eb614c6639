"""Two people on call press at once: stopped at every pair of their requests, one step back.

What they say is bad is marked, nothing else is, and no tag ends at it, in whatever order they come.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from support.runs import A, B, C, D, Run, Turns, World, service
from support.soak import one_in

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.marks import is_in_force
from feastflow_registry.model.references import Commit, Tag

ENOUGH = 80
"""More requests than any of these runs sends."""

Start = Callable[[World], Run]


def pressing(**inputs: str) -> Start:
    """A rollback; `bad` is the input `from`."""
    given = {"from" if name == "bad" else name: value for name, value in inputs.items()}
    return lambda on: on.start("rollback", D, **given)


PLAIN, BAD_C, BAD_B = pressing(), pressing(bad=C.sha), pressing(bad=B.sha)
BOTH = {"tag": "latest,production"}
RELEASE = {"latest": "release"}
PRESSED: dict[str, tuple[Start, Start, Commit, set[Commit]]] = {
    "twice": (PLAIN, PLAIN, B, {C}),
    "twice with the same from": (BAD_C, BAD_C, B, {C}),
    "with and without from": (PLAIN, BAD_C, B, {C}),
    "with two from": (BAD_C, BAD_B, A, {B, C}),
    "with a from that the other goes to": (PLAIN, BAD_B, A, {B, C}),
    "two tags twice": (pressing(**BOTH), pressing(**BOTH), B, {C}),
    "two tags and one": (pressing(**BOTH), PLAIN, B, {C}),
    "two tags with two from": (
        pressing(bad=C.sha, **BOTH),
        pressing(bad=B.sha, **BOTH),
        A,
        {B, C},
    ),
    "releases twice": (pressing(**RELEASE), pressing(**RELEASE), B, {C}),
    "releases with two from": (
        pressing(bad="v3.0.0", **RELEASE),
        pressing(bad="v2.0.0", **RELEASE),
        A,
        {B, C},
    ),
}


def world() -> World:
    """Three releases are published; `latest` and `production` are at the last one."""
    on = World()
    for number, each in enumerate((A, B, C), 1):
        on.publish(each)
        own = on.own(each)
        assert own
        on.history.git_tags[f"v{number}.0.0"] = each
        for name in (f"v{number}.0.0", "production"):
            on.store.tagged[service().repository, Tag(name)] = own
    return on


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("pressed", one_in(3, PRESSED))
def test_ends_one_step_back(pressed: str, last: int) -> None:
    one, other, wanted, bad = PRESSED[pressed]
    alone = one(world()).go()
    for first, second in itertools.product(range(len(alone.registry.calls) + 1), range(ENOUGH)):
        on = world()
        runs = [one(on), other(on)]
        order = [0] * first + [1] * second + [last] * ENOUGH
        raised = Turns(order).go(runs)
        where = f"{first} {second} {last} {raised}"
        assert all(isinstance(e, Failure) and e.kind is Kind.CONFLICT for e in raised), where
        assert on.commit_at("latest") == wanted, where
        if "two tags" in pressed and pressed != "two tags and one":
            assert on.commit_at("production") == wanted, where
        marked = {each for each in (A, B, C, D) if is_in_force(on.at(f"withdrawn-{each.short}"))}
        assert marked == bad, where
        if len(runs[1].registry.calls) < second or (last == 1 and second):
            break
