"""What a run does when the world has changed since its plan, before a tag moves."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import A, B, C, World, at_call, image

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


def test_a_git_tags_name_that_another_commit_took_is_a_conflict() -> None:
    position = second_look("v1", git_tag="v1")
    world = World()
    world.publish(A)
    run = world.run(B, git_tag="v1", before=at_call(position, lambda: world.put(image(C), "v1")))
    with fails(f"shop:v1 holds commit {C.short}", "never moved", kind=Kind.CONFLICT):
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
