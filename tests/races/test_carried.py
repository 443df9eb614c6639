"""Two runs at once of which one carries forward, stopped at every pair of their requests."""

from __future__ import annotations

import itertools

import pytest
from support.runs import A, B, C, Turns, World
from support.soak import chosen, soak

from feastflow_registry.model.references import Commit

Spec = tuple[Commit, str]
ENOUGH = 80


def world(inputs: str) -> World:
    """A world whose first commit is published; the inputs of A, B and C are one digit each."""
    on = World(inputs={(at, "shop"): each for at, each in zip((A, B, C), inputs, strict=True)})
    on.run(A, reuse="unchanged", milestone="sprint3").go()
    return on


@pytest.mark.parametrize("by_digest", chosen([False, True]))
@pytest.mark.parametrize("inputs", chosen(["121", "111", "112"]))
@pytest.mark.parametrize(
    "specs",
    [
        ((B, "unchanged"), (C, "unchanged")),
        ((B, "never"), (C, "unchanged")),
        ((B, "unchanged"), (B, "never")),
        pytest.param(((B, "unchanged"), (B, "unchanged")), marks=soak),
    ],
)
def test_shared_tags_end_at_the_newest_commit_with_its_one_digest(
    specs: tuple[Spec, Spec], inputs: str, by_digest: bool
) -> None:
    published = world(inputs)
    lengths = []
    for at, reuse in specs:
        alone = published.copy().run(at, reuse=reuse, by_digest=by_digest, milestone="sprint3").go()
        lengths.append(len(alone.registry.calls))
    newest = max(at for at, _ in specs)
    for last, first in itertools.product((0, 1), repeat=2):
        # Who goes on by itself has no second stop.
        stops = [range(0, each + 1, 2) for each in lengths]
        if last != first:
            stops[last] = range(1)
        for i, j in itertools.product(*stops):
            on = published.copy()
            runs = [
                on.run(at, reuse=reuse, salt=str(n), by_digest=by_digest, milestone="sprint3")
                for n, (at, reuse) in enumerate(specs)
            ]
            order = [0] * i + [1] * j if first == 0 else [1] * j + [0] * i
            assert Turns([*order, *[last] * ENOUGH]).go(runs) == []
            found = {on.at("latest"), on.at("sprint3"), on.own(newest)}
            assert len(found) == 1, (i, j, last, first)
