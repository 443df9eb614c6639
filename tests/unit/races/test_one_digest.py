"""One digest for one commit: who pushed last repoints what other runs of it have moved."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failures import fails
from support.memory import Call
from support.runs import A, B, C, Run, Turns, World, at_call, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import Reference, Tag

OWN = f"shop:commit-{B.short}"
SHARED = ("latest", "sprint3")
WAYS = pytest.mark.parametrize("by_digest", [False, True])
ENOUGH = 40


def one_digest(world: World) -> bool:
    return {world.at(tag) for tag in SHARED} == {world.own(B)}


def start(world: World, **options: object) -> Run:
    return world.run(B, milestone="sprint3", **options)  # type: ignore[arg-type]


def push_of(by_digest: bool, **options: object) -> int:
    """The position of the request that writes the commit tag."""
    run = start(World(), by_digest=by_digest, **options).go()
    return run.number_of("set_tag" if by_digest else "push", OWN)


@WAYS
class TestAGitTagThatIsNoMilestone:
    """Its run overwrites the commit tag that main's run wrote, and moves neither tag itself."""

    def test_repoints_what_holds_its_own_commit(self, by_digest: bool) -> None:
        position = push_of(by_digest, git_tag="v1")
        world = World()
        main = start(world, salt="main", by_digest=by_digest)
        hook = at_call(position, main.go)
        run = start(world, git_tag="v1", before=hook, by_digest=by_digest).go()
        assert main.outcomes
        assert one_digest(world)
        assert world.at("v1") == world.own(B) == run.outcomes[-1].digest
        assert run.actions[-2:] == [("moved", "latest"), ("moved", "sprint3")]
        assert {each.note for each in run.outcomes[-2:]} == {"one digest for one commit"}
        assert {each.identifier for each in run.attempted} >= set(SHARED)

    def test_leaves_what_holds_another_commit_or_another_source(self, by_digest: bool) -> None:
        eve = image(B, salt="eve", source="https://github.com/eve/shop")
        for there in (image(C), image(A), eve):
            world = World()
            world.put(there, *SHARED)
            run = start(world, git_tag="v1", by_digest=by_digest).go()
            assert {world.at(tag) for tag in SHARED} == {there.digest}
            assert not set(SHARED) & {tag for _, tag in run.actions}

    def test_creates_none(self, by_digest: bool) -> None:
        world = World()
        start(world, git_tag="v1", by_digest=by_digest).go()
        assert world.at("latest") is world.at("sprint3") is None


class TestAReadBack:
    """Between a write and its read-back, another run of this commit may unite the digests."""

    @pytest.mark.parametrize("inputs", [{"latest": "force"}, {"git_tag": "v1"}])
    def test_of_this_very_commit_is_right(self, inputs: dict[str, str]) -> None:
        tag = inputs.get("git_tag", "latest")
        position = World().publish(B, **inputs).number_of("set_tag", f"shop:{tag}")
        world = World()

        def unite() -> None:
            world.put(image(B, salt="late"), f"commit-{B.short}", tag)

        run = world.run(B, after=at_call(position, unite), **inputs).go()  # type: ignore[arg-type]
        assert world.at(tag) == world.own(B) == image(B, salt="late").digest
        assert ("adopted", f"commit-{B.short}") in run.actions

    def test_of_a_newer_commit_is_right_for_a_dated_tag(self) -> None:
        inputs = {"extra_tags": "day-{date}", "latest": "never"}
        position = World().publish(B, **inputs).number_of("set_tag", "shop:day-20250304")
        world = World()
        newer = world.run(C, **inputs)  # type: ignore[arg-type]
        world.run(B, after=at_call(position, newer.go), **inputs).go()  # type: ignore[arg-type]
        assert world.commit_at("day-20250304") == C


class TestAReusedImage:
    """Its commit tag may be overwritten by a run that had looked before it was there."""

    @staticmethod
    def overwritten(by: object) -> tuple[World, Run]:
        """Reuse and move latest; just then, the commit tag gets another image."""
        probe = World()
        probe.publish(B, latest="never")
        position = probe.publish(B).number_of("set_tag", "shop:latest")
        world = World()
        world.publish(B, latest="never")

        def overwrite() -> None:
            world.put(by, f"commit-{B.short}")  # type: ignore[arg-type]

        return world, world.run(B, after=at_call(position, overwrite))

    def test_is_proven_again_after_its_tags_moved(self) -> None:
        world, run = self.overwritten(image(B, salt="late"))
        run.go()
        assert world.at("latest") == world.own(B) == image(B, salt="late").digest
        assert run.actions[-2:] == [("adopted", f"commit-{B.short}"), ("moved", "latest")]
        assert run.reached == 0

    def test_is_a_conflict_if_it_became_another_commits(self) -> None:
        _, run = self.overwritten(image(A, salt="late"))
        with fails(OWN, kind=Kind.CONFLICT):
            run.go()


@WAYS
class TestThreeRunsOfOneCommit:
    """Two push, one finds the first one's image and reuses it."""

    @pytest.mark.no_cover
    def test_from_every_pair_of_positions(self, by_digest: bool) -> None:
        position = push_of(by_digest)
        reused = 0
        lengths = [0, 0, 0]
        for first in itertools.count(position + 1):
            for second in itertools.count(1):
                world = World()
                runs = [start(world, salt=str(each), by_digest=by_digest) for each in (0, 1)]
                runs.append(start(world, salt="2", by_digest=by_digest, attempt=2))
                # The second stops before its push; it overwrites what the third has reused.
                order = [1] * position + [0] * first + [2] * second + [1] * ENOUGH
                assert not Turns(order).go(runs)
                assert one_digest(world)
                reused += runs[2].actions[0][0] == "reused"
                lengths = [len(each.registry.calls) for each in runs]
                if second >= lengths[2]:
                    break
            if first >= lengths[0]:
                break
        assert reused > 50

    @settings(max_examples=60)
    @given(turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 25)), max_size=8))
    def test_by_any_turns(self, by_digest: bool, turns: list[tuple[int, int]]) -> None:
        world = World()
        runs = [start(world, salt=each, by_digest=by_digest) for each in "012"]
        assert not Turns([number for number, count in turns for _ in range(count)]).go(runs)
        assert one_digest(world)


def test_a_tag_that_stays_is_said_to_stay_once() -> None:
    probe = World()
    probe.publish(A)
    position = probe.publish(B).number_of("resolve", "shop:latest", 1)
    world = World()
    world.publish(A)
    older = world.run(B, before=at_call(position, world.run(C).go)).go()
    kept = [each for each in older.outcomes if each.action == "kept"]
    assert len({(each.reference, each.note) for each in kept}) == len(kept)
    assert len(kept) == 2


def test_a_dated_tag_moves_forward_but_is_not_followed_to_a_newer_commit() -> None:
    """The newer commit may be of another day."""
    world = World()
    world.publish(C)
    dated = {"extra_tags": "edge,day-{date}"}
    assert ("moved", "edge") in world.publish(B, **dated).actions
    assert (world.commit_at("edge"), world.commit_at("day-20250304")) == (C, B)
    world.publish(A, **dated)
    assert world.commit_at("day-20250304") == B
    world.publish(C, **dated)
    assert world.commit_at("day-20250304") == C


@pytest.mark.parametrize("git_tag", ["sprint3", "v1"])
def test_latest_is_not_left_behind_by_what_repoints_it(git_tag: str) -> None:
    """A newer commit takes latest between the look and the write of a git tag's run."""
    position = push_of(False, git_tag=git_tag)
    world = World()
    world.history.git_tags[git_tag] = B
    main, newer = start(world, salt="main"), world.run(C, milestone="sprint3")

    def meanwhile(call: Call) -> None:
        if call.number == position:
            main.go()
        if (call.method, call.subject) == ("set_tag", "ada/shop:latest"):
            newer.go()

    run = start(world, git_tag=git_tag, before=meanwhile)
    run.go()
    assert newer.outcomes
    assert world.at("latest") == world.own(C)
    assert world.commit_at("sprint3") == (B if git_tag == "sprint3" else C)


def test_two_runs_of_one_git_tag() -> None:
    """A release and the push of its tag start two; the second looks while the first ends."""
    for position in range(ENOUGH // 2):
        world = World()
        world.publish(A, milestone="sprint3")
        first = start(world, git_tag="sprint3", salt="first")
        start(world, git_tag="sprint3", before=at_call(position, first.go)).go()
        assert world.at("sprint3") == world.own(B)


def test_a_final_milestone_gives_its_digest_to_the_commit_tag() -> None:
    """The commit tag was deleted; what its git tag has made final is not moved for that."""
    world = World()
    world.history.git_tags["sprint3"] = B
    world.publish(B, git_tag="sprint3", milestone="sprint3", salt="first")
    final = world.at("sprint3")
    world.store.tagged = {
        place: digest for place, digest in world.store.tagged.items() if "commit-" not in str(place)
    }
    world.publish(B, milestone="sprint3", salt="second")
    assert world.at("sprint3") == world.own(B) == final


def test_a_dated_tag_that_an_older_run_wrote_last_moves_forward_again() -> None:
    world = World()
    world.publish(A, extra_tags="day-{date}")

    def go_back(call: Call) -> None:
        if (call.method, call.subject) == ("set_tag", "ada/shop:day-20250304"):
            digest = world.own(A)
            assert digest
            reference = Reference(world.services[0].repository, Tag("day-20250304"))
            run.registry.after = lambda _: None
            world.store.write(reference, digest)

    run = world.run(B, after=go_back, extra_tags="day-{date}")
    run.go()
    assert world.commit_at("day-20250304") == B
