"""Promises 3 and 4: whatever way runs interleave, every tag ends where it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failures import fails
from support.memory import Call
from support.runs import SHOP, A, B, C, D, Run, World, at_call, commit, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.plan import Action
from feastflow_registry.model.references import Commit, Tag
from feastflow_registry.model.tag_names import LATEST

SHARED = ("latest", "sprint3")
WRITE = ("set_tag", "ada/shop:latest")
KINDS = [
    pytest.param({}, id="pushed by tag"),
    pytest.param({"by_digest": True}, id="pushed by digest"),
]


def check(world: World, newest: Commit, *published: Commit) -> None:
    """Every shared tag at the newest commit's own digest, every commit tag at its commit."""
    for tag in SHARED:
        assert world.at(tag) == world.own(newest), tag
    for each in (newest, *published):
        assert world.commit_at(f"commit-{each.short}") == each


def start(world: World, at: Commit, **options: object) -> Run:
    return world.run(at, milestone="sprint3", **options)  # type: ignore[arg-type]


def count(options: dict[str, object], at: Commit = B) -> int:
    """How many requests a run sends when nobody disturbs it."""
    world = World()
    start(world, A).go()
    return len(start(world, at, **options).go().registry.calls)


@pytest.mark.parametrize("options", KINDS)
class TestOneRunWithinAnother:
    @pytest.mark.no_cover
    def test_newer_runs_whole_within_older(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            start(world, A).go()
            newer = start(world, C, **options)
            start(world, B, before=at_call(position, newer.go), **options).go()
            assert newer.outcomes
            check(world, C, B, A)

    @pytest.mark.no_cover
    def test_older_runs_whole_within_newer(self, options: dict[str, object]) -> None:
        for position in range(count(options, C)):
            world = World()
            start(world, A).go()
            older = start(world, B, **options)
            start(world, C, before=at_call(position, older.go), **options).go()
            assert older.outcomes
            check(world, C, B, A)

    @pytest.mark.no_cover
    def test_same_commit_within_itself(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            start(world, A).go()
            inner = start(world, B, salt="inner", **options)
            outer = start(world, B, before=at_call(position, inner.go), **options).go()
            check(world, B, A)
            last = [each for each in outer.outcomes if each.action is not Action.BUILT]
            assert last[-1].digest == world.own(B)

    def test_same_commit_just_after_a_request_of_itself(self, options: dict[str, object]) -> None:
        for position in range(count(options)):
            world = World()
            inner = start(world, B, salt="inner", **options)
            start(world, B, after=at_call(position, inner.go), **options).go()
            check(world, B)


@settings(max_examples=60)
@given(order=st.lists(st.booleans(), max_size=20))
def test_outcome_by_outcome(order: list[bool]) -> None:
    world = World()
    start(world, A).go()
    steps = {False: start(world, B).steps(), True: start(world, C).steps()}
    for each in order:
        next(steps[each], None)
    for run in steps.values():
        list(run)
    check(world, C, A, B)


def test_a_commit_becomes_newest_only_when_its_image_is_proven() -> None:
    world = World()
    world.put(image(B), f"commit-{C.short}")  # A commit tag that lies.
    start(world, A).go()
    check(world, A)


def test_a_withdrawn_commit_never_becomes_newest() -> None:
    world = World()
    world.put(image(C), f"commit-{C.short}", f"withdrawn-{C.short}")
    world.put(image(B), f"commit-{B.short}")
    start(world, A).go()
    check(world, B, A)


def test_a_side_branch_merged_later_does_not_take_over() -> None:
    """A fast-forward to a merge whose first parent is not what was main until then."""
    world = World()
    side, merge = Commit("e" * 40), Commit("d" * 40)
    world.history.parents |= {side: (A,), merge: (side, B)}
    world.history.branches["main"] = merge
    world.put(image(side), f"commit-{side.short}")
    start(world, B).go()
    check(world, B)


def test_a_run_that_is_followed_says_why_its_tags_moved_on() -> None:
    world = World()
    position = start(world, B).go().number_of("set_tag", "shop:latest")
    world = World()
    older = start(world, B, before=at_call(position, start(world, C).go)).go()
    assert older.actions[-1] == ("moved", "latest")
    assert older.outcomes[-1].note == f"commit {C.short} is newer"


def test_another_run_of_its_commit_ends_what_was_killed_before_its_last_look() -> None:
    """Its tag is there already, but nobody has looked for what is newer."""
    position = start_alone().number_of("set_tag", "shop:latest")
    world = World()
    start(world, A).go()
    newer = start(world, C)

    def meanwhile(call: Call) -> None:
        if call.number == position:
            newer.go()
        if call.number == position + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(world, B, before=meanwhile).go()
    assert world.commit_at("latest") == B, "it was written last"
    start(world, B).go()
    check(world, C, B, A)


def start_alone() -> Run:
    world = World()
    start(world, A).go()
    return start(world, B).go()


@pytest.mark.parametrize("by_digest", [False, True])
def test_a_commit_tag_that_no_list_shows_yet_counts(by_digest: bool) -> None:
    world = World()
    start(world, A).go()
    start(world, C).go()
    world.store.unlisted.add(f"commit-{C.short}")
    world.store.tagged.pop((SHOP.repository, LATEST))
    start(world, B, by_digest=by_digest).go()
    assert world.commit_at("latest") == C


@pytest.mark.parametrize("git_tags", [(), ("latest",)])
def test_a_publish_of_what_is_withdrawn_meanwhile_goes_back(git_tags: tuple[str, ...]) -> None:
    """A rollback goes through while the run is about to write; no git tag makes `latest` final."""
    world = World()
    world.history.git_tags |= dict.fromkeys(git_tags, A)
    for each in (A, B):
        start(world, each).go()
    position = start_alone().number_of("set_tag", "shop:latest")
    world.put(image(A), "latest")  # Somebody has moved it, and runs B again.

    def roll_back() -> None:
        world.put(image(B), f"withdrawn-{B.short}")

    run = start(world, B, before=at_call(position, roll_back), reuse="never").go()
    assert world.commit_at("latest") == A
    assert f"{B.short} was withdrawn by a rollback" in {each.note for each in run.outcomes}


@pytest.mark.parametrize("command", ["publish", "promote", "rollback"])
def test_a_newer_commit_that_is_withdrawn_before_it_is_written_is_given_back(command: str) -> None:
    """The run has looked for its mark, and moves on to it all the same."""
    world = World()
    world.publish(A)
    if command != "publish":
        world.publish(B, latest="never" if command == "promote" else "forward")
    given = {"to": B.sha, "tag": "latest"} if command == "promote" else {}
    run = world.run(B) if command == "publish" else world.start(command, D, **given)
    writes = itertools.count(1)

    def meanwhile(call: Call) -> None:
        number = next(writes) if (call.method, call.subject) == WRITE else 0
        if number == 1:
            world.publish(C, latest="never")
        if number == 2:
            world.put(image(C), f"withdrawn-{C.short}")

    run.registry.before = meanwhile
    run.go()
    assert world.commit_at("latest") == (A if command == "rollback" else B)
    noted = [each.note for each in run.outcomes if each.action is Action.MOVED]
    assert noted == ["", f"commit {C.short} is newer", f"{C.short} was withdrawn by a rollback"]


def test_a_tag_that_needs_nothing_keeps_no_other_from_moving_on() -> None:
    names = ("api", "shop")
    position = World(names).publish(B).number_of("set_tag", "shop:latest")
    world = World(names)

    def meanwhile() -> None:
        world.publish(C, services="shop", latest="never")

    world.run(B, before=at_call(position, meanwhile)).go()
    assert [world.commit_at("latest", name) for name in names] == [B, C]


def test_what_was_carried_to_a_commit_goes_back_from_there() -> None:
    """Not from the commit that its label names."""

    def carry(meanwhile: Callable[[World], None], position: int = -1) -> tuple[World, Run]:
        world = World(inputs={(A, "shop"): "equal", (C, "shop"): "equal"})
        world.publish(A, latest="never", reuse="unchanged")
        before = at_call(position, lambda: meanwhile(world))
        return world, world.run(C, reuse="unchanged", before=before).go()

    def roll_back(world: World) -> None:
        world.publish(B, latest="never")
        digest = world.own(A)
        assert digest
        world.store.tagged[SHOP.repository, Tag(f"withdrawn-{C.short}")] = digest

    _, run = carry(roll_back)
    world, run = carry(roll_back, run.number_of("set_tag", "shop:latest"))
    assert world.commit_at("latest") == B
    assert run.outcomes[-1].note == f"{C.short} was withdrawn by a rollback"


@pytest.mark.parametrize("command", ["publish", "promote"])
def test_what_is_withdrawn_while_a_newer_one_is_declined_goes_back(command: str) -> None:
    """C is withdrawn just before it is written, and B, which is there, with it."""
    world = World()
    world.publish(A)
    if command == "promote":
        world.publish(B, latest="never")
        run = world.start(command, D, to=B.sha, tag="latest")
    else:
        run = world.run(B)

    def meanwhile(call: Call) -> None:
        asked = run.registry.subjects("resolve").count(f"ada/shop:withdrawn-{C.short}")
        if (call.method, call.subject) == WRITE:
            world.publish(C, latest="never")
        if call.subject.endswith(f"withdrawn-{C.short}") and asked == 2:
            for each in (B, C):
                world.put(image(each), f"withdrawn-{each.short}")

    run.registry.before = meanwhile
    run.go()
    assert world.commit_at("latest") == A


def test_what_another_run_has_moved_on_may_be_withdrawn() -> None:
    """A promotion gave a tag A, C has it by now, and then A is found to be bad."""
    world = World()
    world.publish(A, latest="never")
    run = world.start("promote", D, to=A.sha, tag="latest")

    def meanwhile(call: Call) -> None:
        looks = (call.method, call.subject) == ("resolve", WRITE[1])
        if looks and run.registry.subjects("set_tag") and not world.own(C):
            world.publish(C)

    run.registry.after = meanwhile
    for outcome in run.steps():
        if outcome.action is Action.KEPT:
            world.put(image(A), f"withdrawn-{A.short}")
    assert ("kept", "latest") in run.actions
    assert world.commit_at("latest") == C


def test_what_is_published_just_after_a_rollbacks_write_stays() -> None:
    world = World()
    for each in (A, B):
        world.publish(each)
    run = world.start("rollback", B)
    run.registry.after = lambda call: _publish_after(call, world)
    run.go()
    assert world.commit_at("latest") == C


def _publish_after(call: Call, world: World) -> None:
    if (call.method, call.subject) == WRITE and not world.own(C):
        world.publish(C)


def test_a_rollback_whose_write_is_not_seen_has_failed() -> None:
    world = World()
    for each in (A, B):
        world.publish(each)
    run = world.start("rollback", B)

    def undo(call: Call) -> None:
        if (call.method, call.subject) == WRITE:
            world.put(image(B), "latest")

    run.registry.after = undo
    with fails("latest was written, and is not visible yet", kind=Kind.UNVERIFIED):
        run.go()


def test_what_is_withdrawn_and_has_nothing_before_it_stays() -> None:
    world = World()
    position = start(World(), A).go().number_of("set_tag", "shop:latest")
    mark = f"withdrawn-{A.short}"
    start(world, A, before=at_call(position, lambda: world.put(image(A), mark))).go()
    assert world.commit_at("latest") == A


def test_a_commit_far_behind_asks_for_what_is_listed_and_the_newest_few() -> None:
    world = World()
    chain = [commit(0x20 + number) for number in range(9)]
    world.history.parents |= {chain[0]: (D,)}
    world.history.parents |= {each: (before,) for before, each in itertools.pairwise(chain)}
    world.history.branches["main"] = chain[-1]
    start(world, chain[1]).go()
    for tag in SHARED:
        del world.store.tagged[SHOP.repository, Tag(tag)]
    run = start(world, B).go()
    asked = [each for each in run.registry.subjects("resolve") if "commit-" in each]
    assert world.commit_at("latest") == chain[1]
    assert len(set(asked)) == 1 + 4 + 1, "its own, the four newest, and the one that is listed"
