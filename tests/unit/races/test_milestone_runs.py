"""Promise 3: a milestone follows main until its git tag exists, and is then never moved."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failures import fails
from support.runs import A, B, C, Run, Turns, World, at_call, commit

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import Commit

FIRST = commit(0x9)
ENOUGH = 40
POSITIONS = 28


def world(*published: Commit) -> World:
    """A milestone that stands at the first commit, and commits that have no milestone."""
    found = World()
    found.history.parents |= {FIRST: (), A: (FIRST,)}
    found.publish(FIRST, milestone="sprint3")
    for each in published:
        found.publish(each, latest="never")
    return found


def test_a_git_tag_ends_it() -> None:
    here = world()
    here.publish(A, milestone="sprint3")
    assert here.commit_at("sprint3") == A
    here.history.git_tags["sprint3"] = A
    here.publish(A, git_tag="sprint3", milestone="sprint3")
    assert here.at("frozen-sprint3") == here.own(A)
    run = here.publish(B, milestone="sprint3")
    assert here.commit_at("sprint3") == A
    assert here.commit_at("latest") == B
    assert "its git tag exists, so it is final" in {each.note for each in run.outcomes}


@pytest.mark.parametrize("tagged", [A, C])
def test_its_git_tag_may_move_it_once_forward_or_back(tagged: Commit) -> None:
    here = world()
    here.publish(B, milestone="sprint3")
    here.publish(tagged, git_tag="sprint3", milestone="sprint3")
    assert here.commit_at("sprint3") == tagged
    with fails("never moved", kind=Kind.CONFLICT):
        here.publish(B, git_tag="sprint3", milestone="sprint3")
    assert here.commit_at("sprint3") == tagged


def test_it_stays_final_when_the_git_tag_is_deleted() -> None:
    here = world()
    here.publish(A, git_tag="sprint3", milestone="sprint3")
    run = here.publish(B, milestone="sprint3")
    assert here.commit_at("sprint3") == A
    reasons = {each.note for each in run.outcomes}
    assert "it was published from its git tag, so it is final" in reasons


def test_a_git_tag_without_a_milestone_is_never_moved() -> None:
    here = world()
    here.publish(A, git_tag="v1")
    with fails(f"shop:v1 holds commit {A.short}", kind=Kind.CONFLICT):
        here.publish(B, git_tag="v1")
    assert here.commit_at("v1") == A


@pytest.mark.parametrize("known", [(), (A, B, C)])
@pytest.mark.parametrize(("tagged", "main"), [(B, B), (A, B), (B, A), (C, B)])
def test_a_git_tag_that_is_published_within_a_run_of_main_wins(
    tagged: Commit, main: Commit, known: tuple[Commit, ...]
) -> None:
    for position in range(ENOUGH):
        here = world(*known)
        late = here.run(tagged, git_tag="sprint3", milestone="sprint3", salt="git tag")

        def tag() -> None:
            here.history.git_tags["sprint3"] = tagged  # noqa: B023  Called within this round.
            late.go()  # noqa: B023

        here.run(main, milestone="sprint3", before=at_call(position, tag)).go()
        if late.outcomes:
            assert here.commit_at("sprint3") == tagged
            assert here.at("sprint3") == here.own(tagged)


class TestMainAndItsGitTagAtTheSameTime:
    """Two runs of one commit: latest, the milestone and the commit tag end at one digest."""

    @staticmethod
    def start(here: World, order: str, by_digest: bool) -> list[Run]:
        here.history.git_tags["sprint3"] = B
        git_tags = {"main": "", "tag": "sprint3"}
        return [
            here.run(B, git_tag=git_tags[each], milestone="sprint3", salt=each, by_digest=by_digest)
            for each in order.split()
        ]

    @pytest.mark.parametrize("by_digest", [False, True])
    @pytest.mark.parametrize("order", ["main tag", "tag main"])
    def test_from_every_pair_of_positions(self, order: str, by_digest: bool) -> None:
        lengths = [0, 0]
        for first in itertools.count(1):
            for second in itertools.count(1):
                here = world()
                runs = self.start(here, order, by_digest)
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
    def test_by_any_turns(self, order: str, turns: list[tuple[int, int]], by_digest: bool) -> None:
        here = world()
        runs = self.start(here, order, by_digest)
        flat = [number for number, count in turns for _ in range(count)]
        assert not Turns(flat).go(runs)
        assert {here.at("latest"), here.at("sprint3")} == {here.own(B)}


def test_a_git_tag_that_is_not_published_yet_leaves_the_milestone() -> None:
    here = world()
    position = next(
        each.number
        for each in world().run(B, milestone="sprint3").go().registry.calls
        if (each.method, each.subject) == ("set_tag", "ada/shop:sprint3")
    )

    def tag() -> None:
        here.history.git_tags["sprint3"] = C

    here.run(B, milestone="sprint3", before=at_call(position, tag)).go()
    assert here.commit_at("sprint3") == B
