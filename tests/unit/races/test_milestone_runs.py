"""Promise 3: a milestone follows main until its git tag exists, and is then never moved."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import A, B, C, World, at_call, commit, image
from support.soak import chosen

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import Commit, Tag

FIRST = commit(0x9)
PAIRS = [(B, B), (A, B), (B, A), (C, B)]
ENOUGH = 40


def world(*published: Commit) -> World:
    """A milestone that stands at the first commit, and commits that have no milestone."""
    found = World()
    found.history.parents |= {FIRST: (), A: (FIRST,)}
    found.publish(FIRST, milestone="sprint3")
    for each in published:
        found.publish(each, latest="never")
    return found


def lose(here: World, tag: str) -> None:
    del here.store.tagged[here.services[0].repository, Tag(tag)]


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
    del here.history.git_tags["sprint3"]
    run = here.publish(B, milestone="sprint3")
    assert here.commit_at("sprint3") == A
    reasons = {each.note for each in run.outcomes}
    assert "it was published from its git tag, so it is final" in reasons


def test_it_stays_final_when_its_tag_is_deleted_on_the_registry() -> None:
    """Its own commit may bring it back, be its image an ancestor's that was carried there."""
    here = world()
    here.inputs = {(each, "shop"): "the same" for each in (A, B)}
    here.publish(A, milestone="sprint3", reuse="unchanged")
    here.publish(B, git_tag="sprint3", milestone="sprint3", reuse="unchanged")
    held = here.at("sprint3")
    lose(here, "sprint3")
    here.history.git_tags["sprint3"] = C
    with fails("sprint3 belongs to commit", "never moved", kind=Kind.CONFLICT):
        here.publish(C, git_tag="sprint3", milestone="sprint3")
    assert here.at("sprint3") is None
    here.publish(B, git_tag="sprint3", milestone="sprint3", reuse="unchanged")
    assert here.at("sprint3") == held == here.own(A)


def test_it_is_its_commit_s_though_that_was_built_anew() -> None:
    """Of an image whose commit tag and name are both gone, the mark alone is left."""
    here = world()
    lose(here, "sprint3")
    here.put(image(A, salt="earlier"), "frozen-sprint3")
    here.publish(A, git_tag="sprint3", milestone="sprint3")
    assert here.at("sprint3") == here.own(A) != here.at("frozen-sprint3")


def test_a_git_tag_without_a_milestone_is_never_moved() -> None:
    here = world()
    here.publish(A, git_tag="v1")
    with fails(f"shop:v1 belongs to commit {A.short}", kind=Kind.CONFLICT):
        here.publish(B, git_tag="v1")
    assert here.commit_at("v1") == A


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("known", "tagged", "main"),
    chosen([(known, *pair) for known in ((), (A, B, C)) for pair in PAIRS], len(PAIRS)),
)
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


def test_a_git_tag_that_is_published_just_before_main_moves_the_milestone_takes_it() -> None:
    here = world(A)

    def tag() -> None:
        here.publish(A, git_tag="sprint3", milestone="sprint3")

    position = world(A).run(B, milestone="sprint3").go().number_of("set_tag", "shop:sprint3")
    run = here.run(B, milestone="sprint3", before=at_call(position, tag)).go()
    assert here.commit_at("sprint3") == A
    assert here.commit_at("latest") == B
    assert run.outcomes[-1].note == "its git tag exists now"


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
