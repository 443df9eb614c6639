"""How often a tag is asked for after it was written, and what is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from support.memory import digest_of
from support.runs import SHOP

from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.registry.visible import LONGEST, Visibility
from feastflow_registry.transport.http import Client

LATEST = Reference(SHOP.repository, Tag("latest"))
OLD, NEW, OTHER, THIRD = (digest_of(name) for name in ("old", "new", "other", "third"))
Answers = Sequence[Digest | None]


@dataclass
class Clock:
    """Time that passes while somebody sleeps."""

    now: float = 100.0
    pauses: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def asking(answers: Answers) -> Callable[[], Digest | None]:
    """One answer after the other; the last one stays."""
    left = list(answers)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def written(wanted: Digest | None, before: Answers) -> tuple[Visibility, Clock]:
    """A tag that was looked at, if there is an answer to that, and then written."""
    clock = Clock()
    visible = Visibility(cast("Client", clock))
    if before:
        visible.read(LATEST, asking(before))
    visible.expect(LATEST, wanted)
    return visible, clock


@pytest.mark.parametrize(
    ("wanted", "before", "answers", "believed", "pauses"),
    [
        (NEW, [OLD], [NEW], NEW, 0),
        (NEW, [OLD], [OLD, OLD, NEW], NEW, 2),
        (NEW, [OLD], [None, OLD, NEW], NEW, 2),
        (NEW, [None], [None, NEW], NEW, 1),
        (NEW, [], [None, NEW], NEW, 1),
        # Another image is believed once it stays, and an answer of an older one is not.
        (NEW, [OLD], [OTHER], OTHER, 4),
        (NEW, [OLD], [OTHER, OTHER, OTHER, NEW], NEW, 3),
        (NEW, [OLD], [OTHER, THIRD, OTHER], OTHER, 6),
        (NEW, [], [OLD], OLD, 4),
        # A tag that was deleted.
        (None, [OLD], [None], None, 0),
        (None, [OLD], [OLD, OLD, None], None, 2),
        (None, [OLD], [OTHER], OTHER, 4),
    ],
)
def test_what_is_believed(
    wanted: Digest | None, before: Answers, answers: Answers, believed: Digest | None, pauses: int
) -> None:
    visible, clock = written(wanted, before)
    assert visible.read(LATEST, asking(answers)) == believed
    assert len(clock.pauses) == pauses
    assert clock.pauses == sorted(clock.pauses)


@pytest.mark.parametrize("stale", [OLD, None])
def test_what_stays_as_it_was_is_given_up_after_a_while(stale: Digest | None) -> None:
    visible, clock = written(NEW, [OLD])
    assert visible.read(LATEST, asking([stale])) == stale
    assert LONGEST <= sum(clock.pauses) < LONGEST + 5
    assert len(clock.pauses) < 15
    assert visible.lag == 0
    asked = len(clock.pauses)
    assert visible.read(LATEST, asking([stale])) == stale
    assert len(clock.pauses) == asked, "it is not waited for again"


@pytest.mark.parametrize(
    ("before", "answers", "believed", "pauses"),
    [([], [NEW], NEW, 0), ([None], [None, None, NEW], NEW, 2), ([OLD], [OTHER], OTHER, 0)],
)
def test_what_another_run_wrote_is_asked_for_until_it_is_there(
    before: Answers, answers: Answers, believed: Digest, pauses: int
) -> None:
    visible, clock = written(NEW, before)
    visible.announce(LATEST)
    assert visible.read(LATEST, asking(answers)) == believed
    assert len(clock.pauses) == pauses
    assert visible.lag == sum(clock.pauses)


def test_what_another_run_wrote_is_given_up_too() -> None:
    visible, clock = written(NEW, [])
    visible.announce(LATEST)
    assert visible.read(LATEST, asking([None])) is None
    assert LONGEST <= sum(clock.pauses) < LONGEST + 5


def test_what_nobody_wrote_is_asked_for_once() -> None:
    visible, clock = written(NEW, [OLD])
    sprint = Reference(SHOP.repository, Tag("sprint3"))
    assert visible.read(sprint, asking([OLD])) == OLD
    assert list(visible.pauses(sprint)) == []
    assert clock.pauses == []


def test_a_copy_that_is_behind_may_answer_after_one_that_is_not() -> None:
    visible, _ = written(NEW, [OLD])
    assert visible.read(LATEST, asking([NEW])) == NEW
    assert visible.read(LATEST, asking([OLD, NEW])) == NEW


def test_others_are_given_the_time_that_our_own_writes_took() -> None:
    visible, clock = written(NEW, [OLD])
    visible.catch_up()
    assert clock.pauses == []
    visible.read(LATEST, asking([OLD, OLD, OLD, NEW]))
    waited = sum(clock.pauses)
    visible.catch_up()
    assert clock.pauses[-1] == visible.lag == waited > 1
    visible.expect(LATEST, OLD)
    visible.read(LATEST, asking([NEW, OLD]))
    assert visible.lag == waited, "the longest counts"
