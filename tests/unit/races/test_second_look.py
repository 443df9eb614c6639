"""What a run does when the world has changed since its plan, before a tag moves."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import A, B, C, D, Run, World, at_call, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.tag_names import LATEST


def second_look(tag: str, **options: str) -> int:
    """The position of the request that asks for a tag again, just before it moves."""
    world = World()
    world.publish(A)
    run = world.run(B, **options).go()  # type: ignore[arg-type]
    return run.number_of("resolve", f"shop:{tag}", 1)


def test_latest_is_not_moved_back_even_for_a_moment() -> None:
    position = second_look("latest")
    world = World()
    world.publish(A)
    newer = world.run(C)
    older = world.run(B, before=at_call(position, newer.go)).go()
    moved = [digest for written, digest in world.store.writes if written.identifier == "latest"]
    assert moved == [world.own(A), world.own(C)]
    assert ("moved", "latest") not in older.actions
    assert f"commit {C.short} is there, which is newer than {B.short}" in {
        each.note for each in older.outcomes
    }


SHARED = ("sprint3", "edge", "latest")
FOLLOWING = {"milestone": "sprint3", "extra_tags": "edge"}


def left_to_newer() -> tuple[World, Run]:
    """A commit that was passed over is published: its tags are a newer one's."""
    world = World()
    for each in (A, C):
        world.publish(each, **FOLLOWING)
    return world, world.run(B, **FOLLOWING)  # type: ignore[arg-type]


@pytest.mark.parametrize("tag", SHARED)
def test_what_was_left_to_a_newer_commit_is_taken_over_when_that_is_rolled_back(tag: str) -> None:
    world, run = left_to_newer()
    build = run.steps()
    assert next(build).action == "built"
    assert run.plan
    assert all(step.keep for step in run.plan.moves)
    world.start("rollback", D, tag=tag, **FOLLOWING).go()
    assert world.commit_at(tag) == A
    list(build)
    assert {each for each in SHARED if world.commit_at(each) == B} == {tag}
    assert {each for each in SHARED if world.commit_at(each) == C} == {*SHARED} - {tag}


def test_what_was_left_to_a_newer_commit_is_not_moved_back_even_for_a_moment() -> None:
    world, run = left_to_newer()
    build = run.steps()
    next(build)
    world.publish(D, **FOLLOWING)
    list(build)
    assert world.own(B) not in [each for to, each in world.store.writes if to.target == LATEST]
    why = f"commit {D.short} is there, which is newer than {B.short}"
    assert why in {each.note for each in run.outcomes}


def test_what_was_left_to_a_newer_commit_costs_a_look_where_something_was_built() -> None:
    _, run = left_to_newer()
    asked = run.go().registry.subjects("resolve")
    assert {tag: asked.count(f"ada/shop:{tag}") for tag in SHARED} == {
        "sprint3": 3,  # The last look is for another digest of this very commit.
        "edge": 2,
        "latest": 3,
    }
    world, run = left_to_newer()
    run.go()
    again = world.run(B, **FOLLOWING).go()  # type: ignore[arg-type]
    asked = again.registry.subjects("resolve")
    assert {asked.count(f"ada/shop:{tag}") for tag in SHARED} == {1}


def test_a_git_tags_name_that_another_commit_took_is_a_conflict() -> None:
    position = second_look("v1", git_tag="v1")
    world = World()
    world.publish(A)
    run = world.run(B, git_tag="v1", before=at_call(position, lambda: world.put(image(C), "v1")))
    with fails(f"shop:v1 belongs to commit {C.short}", "never moved", kind=Kind.CONFLICT):
        run.go()
    assert world.commit_at("v1") == C


def test_latest_of_a_history_that_diverged_meanwhile_is_a_conflict() -> None:
    position = second_look("latest")
    world = World()
    world.publish(A)
    stray = image(None, source="")
    run = world.run(B, before=at_call(position, lambda: world.put(stray, "latest")))
    with fails("whose labels name no commit", kind=Kind.CONFLICT):
        run.go()
    assert world.at("latest") == stray.digest


def test_a_rollback_meanwhile_is_obeyed() -> None:
    position = second_look("latest")
    world = World()
    world.publish(A)
    back = image(A, salt="rolled back")

    def roll_back() -> None:
        world.put(back, "latest")
        world.put(image(B), f"withdrawn-{B.short}")

    run = world.run(B, before=at_call(position, roll_back)).go()
    assert world.at("latest") == back.digest
    assert run.outcomes[-1].note == f"{B.short} was withdrawn by a rollback"


def test_a_tag_that_is_where_it_should_be_is_not_written_again() -> None:
    position = second_look("latest")
    world = World()
    world.publish(A)

    def overtake() -> None:
        digest = world.own(B)
        assert digest
        world.store.tagged[world.services[0].repository, LATEST] = digest

    run = world.run(B, before=at_call(position, overtake)).go()
    assert run.actions[-1] == ("kept", "latest")
    assert run.registry.subjects("set_tag") == []


@pytest.mark.parametrize("by_digest", [False, True])
def test_a_working_copy_that_changed_during_the_build_is_not_pushed(by_digest: bool) -> None:
    world = World()
    run = world.run(B, by_digest=by_digest)
    steps = run.steps()
    assert next(steps).action == "built"
    run.worktree.head = C
    with fails("HEAD is", kind=Kind.INPUT):
        next(steps)
    assert world.store.writes == []


def kept_tags() -> World:
    """Two commits are published; `production` and `staging` hold the older one, `latest` not."""
    world = World()
    for each in (A, B):
        world.publish(each)
    for tag in ("production", "staging"):
        world.start("promote", to=A.sha, tag=tag).go()
    return world


@pytest.mark.parametrize("tags", ["production,latest", "latest,staging,production"])
@pytest.mark.parametrize("bad", ["", B.sha])
def test_a_tag_that_a_rollback_leaves_does_not_come_to_what_it_marks(tags: str, bad: str) -> None:
    """A promotion that ends before the mark is there finds none: who marks looks again."""

    def start(world: World) -> Run:
        inputs = {"tag": tags, **({"from": bad} if bad else {})}
        return world.start("rollback", **inputs)  # type: ignore[arg-type]

    for position in range(len(start(kept_tags()).go().registry.calls)):
        world = kept_tags()
        promotion = world.start("promote", to=B.sha, tag="production")
        rollback = start(world)
        rollback.registry.before = at_call(position, promotion.failure)
        rollback.failure()
        held = {tag: world.commit_at(tag) for tag in tags.split(",")}
        assert set(held.values()) == {A}, position


def test_a_rollback_that_marks_nothing_leaves_tags_to_others() -> None:
    world = kept_tags()
    rollback = world.start("rollback", tag="production", to=A.sha)
    promotion = world.start("promote", to=B.sha, tag="production")
    rollback.registry.before = at_call(3, promotion.go)
    rollback.go()
    assert world.commit_at("production") == B
