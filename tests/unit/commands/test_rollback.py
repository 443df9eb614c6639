"""Where a rollback goes, what it marks, and where it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support import runs_after_push
from support.failures import fails
from support.memory import Call, FakeRegistry
from support.runs import (
    ELSEWHERE,
    SHOP,
    A,
    B,
    C,
    D,
    FakeApp,
    World,
    at_call,
    commit,
    context,
    failing,
    image,
    service,
)
from support.runs_after_push import roll_back, shapes

from feastflow_registry.commands import rollback
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import EditFile, KeepTag
from feastflow_registry.model.references import Commit, Digest, Tag
from feastflow_registry.model.run import LAPTOP
from unit.commands.test_deploy import DEPLOYMENT, write

carry_out = partial(runs_after_push.carry_out, command="rollback")


def published(*commits: object, names: Sequence[str] = ("shop",)) -> World:
    """A world in which commits were published, one after the other."""
    world = World(names)
    for each in commits:
        world.publish(each)  # type: ignore[arg-type]
    return world


def give(world: World, at: Commit, *tags: str) -> None:
    """Have tags hold a commit's image."""
    own = world.own(at)
    assert own
    world.put(world.store.images[SHOP.repository, own], *tags)


def carried(world: World, at: object, name: str) -> None:
    """Publish a commit whose image of one service is that of the commit before."""
    held = world.at("latest", name)
    assert held
    world.put(world.store.images[service(name).repository, held], f"commit-{at.short}", name=name)  # type: ignore[attr-defined]


def test_the_nearest_published_one_and_a_mark_on_the_bad_one() -> None:
    world = published(A, B, C)
    steps = roll_back(world)
    assert shapes(steps) == [
        f"ReuseImage commit-{B.short}",
        f"WithdrawImage withdrawn-{C.short}",
        "MoveTag latest",
    ]
    done = carry_out(world, steps)
    assert world.at("latest") == world.own(B)
    assert world.at(f"withdrawn-{C.short}") == world.own(C)
    assert [action for action, _ in done.actions] == ["reused", "marked", "moved"]
    # No layer and no manifest is read again: a mark, a tag, both read back, and what is newer now.
    assert done.registry.counts == {"resolve": 6, "set_tag": 2, "tags": 1}


def test_pressed_twice_it_goes_back_once() -> None:
    """Two people on call, or a second try of a run that was broken off."""
    world = published(A, B, C)
    carry_out(world, roll_back(world))
    (step,) = roll_back(world)
    assert isinstance(step, KeepTag)
    assert step.reason == f"{C.short} is marked already, and the tag is at {B.short}"
    assert world.at("latest") == world.own(B)


def test_further_back_is_where_it_is_told_and_then_nothing_is_known() -> None:
    world = published(A, B, C)
    carry_out(world, roll_back(world))
    carry_out(world, roll_back(world, to=A.sha))
    assert world.at("latest") == world.own(A)
    assert world.at(f"withdrawn-{B.short}") == world.own(B)
    (step,) = roll_back(world)
    assert isinstance(step, KeepTag)
    assert step.reason == f"{B.short} is marked already, and the tag is at {A.short}"


def test_what_was_published_since_can_be_taken_back() -> None:
    world = published(A, B)
    carry_out(world, roll_back(world))
    world.publish(C)
    carry_out(world, roll_back(world))
    assert world.at("latest") == world.own(A)
    assert world.at(f"withdrawn-{C.short}") == world.own(C)


def test_the_first_commit_has_nothing_before_it() -> None:
    with fails(f"no good image of shop from before {A.short}", "Publish a commit that mends it."):
        roll_back(published(A))


@pytest.mark.parametrize("named", [{}, {"from": B.sha}])
@pytest.mark.parametrize("dry_run", ["true", "false"])
class TestHistoryIsMissing:
    """What a clone does not know is nothing that there is not: nothing is marked."""

    def test_of_a_shallow_clone(self, named: dict[str, str], dry_run: str) -> None:
        world = published(A, B)
        world.history.parents, world.history.cut = {B: ()}, True
        with fails(f"this clone has no commit before {B.short}", "`git fetch --unshallow`"):
            world.start("rollback", B, dry_run=dry_run, **named).go()
        assert not world.at(f"withdrawn-{B.short}")

    def test_that_goes_on_before_it_but_not_far_enough(
        self, named: dict[str, str], dry_run: str
    ) -> None:
        world = published(B)
        world.history.parents, world.history.cut = {B: (A,), A: ()}, True
        with fails(f"this clone has no commit before {A.short}", "`git fetch --unshallow`"):
            world.start("rollback", B, dry_run=dry_run, **named).go()

    def test_of_a_stale_clone(self, named: dict[str, str], dry_run: str) -> None:
        world = published(A, B)
        del world.history.parents[B]
        with fails(f"this clone has no commit {B.short}", "Run `git fetch`,"):
            world.start("rollback", A, dry_run=dry_run, **named).go()
        assert not world.at(f"withdrawn-{B.short}")


def test_several_tags_of_which_the_clone_does_not_know_one_are_not_compared() -> None:
    world = published(A, B)
    give(world, A, "production")
    world.history.parents.pop(B)
    with fails(f"this clone has no commit {B.short}", "Run `git fetch`,"):
        roll_back(world, tag="latest,production")


def test_a_tag_at_a_commit_that_the_clone_does_not_have_is_not_judged() -> None:
    world = published(A, B)
    world.history.parents.pop(B)
    with fails(f"this clone has no commit {B.short}", "Run `git fetch`,"):
        roll_back(world, **{"from": A.sha})


def test_nothing_good_before_lists_what_there_is() -> None:
    world = published(B)
    with fails(f"no good image of shop from before {B.short}", "Publish a commit that mends it."):
        roll_back(world)
    world.put(image(ELSEWHERE), f"commit-{ELSEWHERE.short}", f"withdrawn-{A.short}")
    with fails(f'name one in the input "to": {ELSEWHERE.short}.'):
        roll_back(world)


def test_what_was_withdrawn_before_is_passed_over() -> None:
    world = published(A, B)
    carry_out(world, roll_back(world))
    world.publish(C)
    assert world.at("latest") == world.own(C)
    carry_out(world, roll_back(world))
    assert world.at("latest") == world.own(A)


def test_publish_never_advances_to_what_was_withdrawn() -> None:
    world = published(A, B)
    carry_out(world, roll_back(world))
    world.publish(B)
    assert world.at("latest") == world.own(A)
    world.publish(C)
    assert world.at("latest") == world.own(C)


def test_commits_without_an_image_and_side_branches_are_passed_over() -> None:
    world = published(A, C)
    world.put(image(ELSEWHERE), f"commit-{ELSEWHERE.short}")
    carry_out(world, roll_back(world))
    assert world.at("latest") == world.own(A)


def test_a_carried_image_is_no_way_back() -> None:
    world = published(A, B)
    world.inputs[C, "shop"] = world.inputs[B, "shop"] = "same"
    image_of_b = replace(image(B, salt="b"), inputs="sha256:1")
    world.put(image_of_b, f"commit-{B.short}", f"commit-{C.short}", "latest")
    carry_out(world, roll_back(world))
    assert world.at("latest") == world.own(A)


def test_to_is_where_it_goes() -> None:
    world = published(A, B, C)
    carry_out(world, roll_back(world, to=A.short))
    assert world.at("latest") == world.own(A)
    assert world.at(f"withdrawn-{C.short}")
    assert world.at(f"withdrawn-{B.short}") is None


def test_forward_again_marks_nothing() -> None:
    world = published(A, B)
    carry_out(world, roll_back(world))
    steps = roll_back(world, to=B.short)
    assert shapes(steps) == [f"ReuseImage commit-{B.short}", "MoveTag latest"]
    carry_out(world, steps)
    assert world.at("latest") == world.own(B)


def test_to_where_it_is_does_nothing() -> None:
    (step,) = roll_back(published(A, B), to=B.short)
    assert isinstance(step, KeepTag)
    assert step.reason == "it is there already"


def test_another_tag_goes_back_by_itself() -> None:
    world = published(A, B)
    world.put(world.store.images[service().repository, world.own(B)], "production")  # type: ignore[index]
    carry_out(world, roll_back(world, tag="production"))
    assert world.at("production") == world.own(A)
    assert world.at("latest") == world.own(B)


@pytest.mark.parametrize("how", ["frozen", "git tag"])
def test_what_is_final_stays(how: str) -> None:
    world = published(A)
    world.publish(B, milestone="sprint3")
    if how == "frozen":
        world.put(image(B), "frozen-sprint3")
    else:
        world.history.git_tags["sprint3"] = B
    with fails("sprint3 is", "never moved", kind=Kind.CONFLICT):
        roll_back(world, tag="sprint3")


def test_a_git_tag_named_latest_stops_nothing() -> None:
    world = published(A, B)
    world.history.git_tags["latest"] = A
    assert shapes(roll_back(world))[-1] == "MoveTag latest"


def test_a_tag_that_no_service_has() -> None:
    with fails("there is no ada/shop:production"):
        roll_back(published(A, B), tag="production")
    with fails("no tag production in ada/shop, ada/cart.", 'correct the input "namespace"'):
        roll_back(published(A, B, names=("shop", "cart")), ("shop", "cart"), "production")


def test_an_image_of_no_known_commit_needs_to() -> None:
    world = published(A)
    world.put(image(None, salt="x", source="https://github.com/else/where"), "latest")
    with fails("no known commit", 'input "to"', kind=Kind.CONFLICT):
        roll_back(world)
    steps = roll_back(world, to=A.short)
    assert shapes(steps) == [f"ReuseImage commit-{A.short}", "MoveTag latest"]


class TestSeveralServices:
    NAMES = ("shop", "cart")

    def roll(self, world: World) -> None:
        carry_out(world, roll_back(world, self.NAMES))

    def test_all_go_back_to_one_commit(self) -> None:
        world = published(A, B, names=self.NAMES)
        self.roll(world)
        for name in self.NAMES:
            assert world.at("latest", name) == world.own(A, name)
            assert world.at(f"withdrawn-{B.short}", name) == world.own(B, name)

    def test_one_that_did_not_change_stays_and_is_not_marked(self) -> None:
        world = published(A, B, names=self.NAMES)
        shop = World(("shop",), store=world.store, history=world.history)
        shop.publish(C)
        carried(world, C, "cart")
        self.roll(world)
        assert world.at("latest") == world.own(B)
        assert world.at("latest", "cart") == world.own(B, "cart")
        assert world.at(f"withdrawn-{C.short}", "cart") is None
        again = [step.reason for step in roll_back(world, self.NAMES) if isinstance(step, KeepTag)]
        assert again == [
            f"{C.short} is marked already, and the tag is at {B.short}",
            f"the tag is at {B.short}, and not marked",
        ]

    def test_one_that_is_new_stays(self) -> None:
        world = published(A, names=("shop",))
        both = World(self.NAMES, store=world.store, history=world.history)
        both.publish(B)
        steps = roll_back(both, self.NAMES)
        assert shapes(steps)[-1] == "KeepTag latest"
        carry_out(both, steps)
        assert both.at("latest", "shop") == both.own(A)
        assert both.at("latest", "cart") == both.own(B, "cart")

    def test_where_only_the_new_one_is_bad_the_others_are_named(self) -> None:
        world = published(A, B, names=("shop",))
        both = World(self.NAMES, store=world.store, history=world.history)
        cart = World(("cart",), store=world.store, history=world.history)
        cart.publish(C)
        carried(both, C, "shop")
        with fails(
            f"no good image of cart from before {C.short}",
            'name them in the input "services": shop.',
        ):
            roll_back(both, self.NAMES)
        with fails("ada/cart has no image of commit", 'name them in the input "services": shop.'):
            roll_back(both, self.NAMES, to=A.short)

    def test_one_without_the_tag_is_left_out(self) -> None:
        world = published(A, B, names=("shop",))
        assert len(roll_back(world, self.NAMES)) == 3

    @pytest.mark.no_cover
    def test_broken_off_anywhere_it_ends_where_the_whole_one_would(self) -> None:
        for number in range(30):
            world = published(A, B, C, names=self.NAMES)
            try:
                carry_out(world, roll_back(world, self.NAMES), before=failing(number))
            except Failure:
                if all(world.at("latest", name) == world.own(B, name) for name in self.NAMES):
                    continue  # Only the last look failed.
                carry_out(world, roll_back(world, self.NAMES))
            for name in self.NAMES:
                assert world.at("latest", name) == world.own(B, name), number
                assert world.at(f"withdrawn-{C.short}", name) == world.own(C, name), number

    def test_to_names_all_that_have_it_not(self) -> None:
        world = published(A, B, names=self.NAMES)
        with fails("ada/shop has no image", "ada/cart has no image", "Publish it, or choose"):
            roll_back(world, self.NAMES, to=D.short)

    def test_to_what_one_cannot_be_read_of_is_no_lack(self) -> None:
        world = published(A, B, names=self.NAMES)
        world.store.corrupt.add(world.own(A, "cart") or Digest(""))
        with fails("is not its bytes' digest", kind=Kind.UNVERIFIED):
            roll_back(world, self.NAMES, to=A.short)

    def test_services_of_two_histories_go_one_by_one(self) -> None:
        world = published(A, B, names=self.NAMES)
        world.put(image(ELSEWHERE), "latest", f"commit-{ELSEWHERE.short}", name="cart")
        said = f"the services hold {ELSEWHERE.short}, which has diverged from {B.short}."
        with fails(said, "one by one", kind=Kind.CONFLICT):
            roll_back(world, self.NAMES)

    def test_one_that_holds_no_bad_commit_does_not_say_where_to_go(self) -> None:
        """The cart is at B and had another image at A: it was not what went wrong at C."""
        world = published(A, B, names=self.NAMES)
        carried(world, C, "shop")
        world.put(image(C, salt="new"), f"commit-{C.short}", "latest")
        self.roll(world)
        assert world.at("latest", "shop") == world.own(B)
        assert world.at("latest", "cart") == world.own(B, "cart")

    def test_services_whose_histories_cannot_be_compared(self) -> None:
        world = published(A, B, names=self.NAMES)
        unknown = replace(image(B, salt="x"), revision=Commit("7" * 40))
        world.put(unknown, "latest", "commit-7777777", name="cart")
        with fails("this clone has no commit 7777777.", "Run `git fetch`,"):
            roll_back(world, self.NAMES)

    def test_an_older_one_stays_where_it_is(self) -> None:
        world = published(A, B, names=self.NAMES)
        shop = World(("shop",), store=world.store, history=world.history)
        shop.publish(C)
        self.roll(world)
        assert world.at("latest", "cart") == world.own(B, "cart")
        assert world.at("latest", "shop") == world.own(B, "shop")


def test_a_mark_comes_before_its_tag_and_is_read_back() -> None:
    """If the registry has taken it and does not show it, the tag goes back all the same."""
    world = published(A, B)
    marker = Tag(f"withdrawn-{B.short}")

    def lose() -> None:
        world.store.tagged.pop((service().repository, marker))

    with fails(f"{marker} was written, and is not visible yet", kind=Kind.UNVERIFIED):
        carry_out(world, roll_back(world), before=at_call(2, lose))
    assert [each.target for each, _ in world.store.writes[-2:]] == [marker, Tag("latest")]
    assert world.at("latest") == world.own(A)


def test_a_newer_publish_in_between_is_not_undone() -> None:
    world = published(A, B)
    steps = roll_back(world)
    world.publish(C)
    with fails("latest was moved by another run", kind=Kind.CONFLICT):
        carry_out(world, steps)
    assert world.at("latest") == world.own(C)
    assert world.at(f"withdrawn-{B.short}") == world.own(B)


@pytest.mark.parametrize("names", [("shop",), ("shop", "cart")])
def test_pressed_twice_over_an_image_that_was_carried_forward(names: Sequence[str]) -> None:
    """A commit that changed nothing holds the very image that the tag was taken back to."""
    texts = {A: "1", B: "2", C: "2", D: "3"}
    given = {(at, name): text for at, text in texts.items() for name in names}
    world = World(names, inputs=given)
    for at in texts:
        world.publish(at, reuse="unchanged")
    assert world.at(f"commit-{C.short}") == world.own(B)
    carry_out(world, roll_back(world, names))
    assert {world.at("latest", name) for name in names} == {world.own(B, name) for name in names}
    steps = roll_back(world, names)
    assert [step.reason for step in steps if isinstance(step, KeepTag)] == [
        f"{D.short} is marked already, and the tag is at {B.short}"
    ] * len(names)
    assert len(steps) == len(names)


class TestManifests:
    NAMES = ("shop", "cart")

    def prepare(self, world: World, folder: Path, **inputs: str) -> FakeApp:
        write(folder, *self.NAMES)
        given = {"command": "rollback", "manifests": "*.yaml", **inputs}
        return world.app(given, folder=folder)

    def test_are_pointed_at_what_the_tags_hold_then(self, tmp_path: Path) -> None:
        world = published(A, B, names=self.NAMES)
        app = self.prepare(world, tmp_path)
        plan = rollback.plan(app)
        assert len(plan.every(EditFile)) == 2
        assert any("deployment/shop web=" in command for command in plan.kubectl)
        assert plan.advice == (
            f"Revert {B.short} on the branch. Otherwise the next publish contains the fault again.",
        )
        assert not plan.guessed
        done = list(rollback.carry_out(app, plan))
        assert [each.action.value for each in done[-4:]] == ["moved", "moved", "edited", "edited"]
        for name in self.NAMES:
            own = f"ada/{name}:commit-{A.short}@{world.own(A, name)}"
            assert own in (tmp_path / f"{name}.yaml").read_text()

    def test_of_a_service_that_stays_are_pointed_too(self, tmp_path: Path) -> None:
        """A rollback whose tags were moved, and whose manifests were not, is run again."""
        world = published(A, B, names=self.NAMES)
        carry_out(world, roll_back(world, self.NAMES))
        app = self.prepare(world, tmp_path, to=A.short)
        plan = rollback.plan(app)
        assert "Nothing to do" in plan.advice[0]
        done = list(rollback.carry_out(app, plan))
        assert [each.action.value for each in done] == ["kept", "kept", "edited", "edited"]
        assert str(world.own(A, "cart")) in (tmp_path / "cart.yaml").read_text()

    def test_of_a_rollback_that_was_broken_off_are_pointed_by_pressing_again(
        self, tmp_path: Path
    ) -> None:
        world = published(A, B, names=self.NAMES)
        carry_out(world, roll_back(world, self.NAMES))
        app = self.prepare(world, tmp_path)
        done = list(rollback.carry_out(app, rollback.plan(app)))
        assert [each.action.value for each in done] == ["kept", "kept", "edited", "edited"]
        for name in self.NAMES:
            assert str(world.own(A, name)) in (tmp_path / f"{name}.yaml").read_text()

    def test_that_cannot_be_written_say_that_the_tags_are_moved(self, tmp_path: Path) -> None:
        world = published(A, B, names=self.NAMES)
        app = self.prepare(world, tmp_path)
        plan = rollback.plan(app)
        write(tmp_path, "shop", text=DEPLOYMENT.replace(":old", ":other"))
        said = "the tags are moved, the manifests are not: the manifests were changed"
        with fails(said, 'then run deploy with input "tag: latest"', kind=Kind.CONFLICT):
            list(rollback.carry_out(app, plan))
        assert world.at("latest") == world.own(A)

    def test_without_them_the_names_in_a_cluster_are_a_guess(self) -> None:
        plan = rollback.plan(published(A, B).app({"command": "rollback"}))
        assert plan.kubectl
        assert plan.guessed

    def test_what_people_call_the_images_is_known(self) -> None:
        world = published(A, B)
        plan = rollback.plan(world.app({"command": "rollback"}))
        assert plan.names == {world.own(A): A.short, world.own(B): B.short}


def test_latest_that_is_never_moved_does_not_go_back() -> None:
    with fails('the input "latest" says never'):
        roll_back(published(A, B), latest="never")


def test_where_nothing_may_be_written_nothing_is_looked_at() -> None:
    world = published(A, B)
    app = world.app({"command": "rollback"}, run=context(B, "feature"))
    with fails(
        "this run may not write to the registry",
        "Run rollback from main or from an allowed git tag",
    ):
        rollback.plan(app)
    assert not app.client.calls
    by_hand = world.app({"command": "rollback"}, run=context(B, event=LAPTOP))
    with fails("`git push origin main`", "`git switch --detach origin/main`"):
        rollback.plan(by_hand)


def test_to_what_was_withdrawn_goes_and_says_so() -> None:
    world = published(A, B)
    world.put(image(A), f"withdrawn-{A.short}")
    app = world.app({"command": "rollback", "to": A.short, "dry_run": "true"})
    plan = rollback.plan(app)
    [(kind, said)] = app.log.lines
    assert kind == "warning"
    assert said.startswith(f"{A.short} is marked as bad, and the tags go to it all the same.")
    assert plan.moves
    assert not any("Revert" in each for each in plan.advice), "what comes after may be the mend"
    assert plan.advice[0] == (
        f"{A.short} stays marked as bad. If it is good: run it again with "
        f'input "to: {A.short}", input "unmark: true".'
    )


class TestMeanwhile:
    """What other runs do between the plan and its end."""

    def test_the_image_that_it_goes_back_to_is_withdrawn_too(self) -> None:
        world = published(A, B, C)
        steps = roll_back(world)
        mark = f"withdrawn-{B.short}"
        done = carry_out(world, steps, before=at_call(2, lambda: world.put(image(B), mark)))
        assert world.at("latest") == world.own(A)
        assert done.outcomes[-1].note == f"{B.short} was withdrawn by a rollback"

    def test_what_is_not_published_is_passed_over_on_the_way(self) -> None:
        world = published(A, C, D)
        steps = roll_back(world)
        mark = f"withdrawn-{C.short}"
        carry_out(world, steps, before=at_call(2, lambda: world.put(image(C), mark)))
        assert world.at("latest") == world.own(A)

    def test_and_where_nothing_comes_before_it_stays(self) -> None:
        world = published(A, B)
        steps = roll_back(world)
        mark = f"withdrawn-{A.short}"
        carry_out(world, steps, before=at_call(2, lambda: world.put(image(A), mark)))
        assert world.at("latest") == world.own(A)

    def test_a_newer_commit_takes_over_a_tag_that_follows_main_alone(self) -> None:
        for tag, wanted in (("latest", C), ("production", A)):
            world = published(A, B)
            world.put(world.store.images[SHOP.repository, world.own(B)], "production")  # type: ignore[index]
            steps = roll_back(world, tag=tag)

            def publish(call: Call, on: World = world, tag: str = tag) -> None:
                if (call.method, call.subject) == ("set_tag", f"ada/shop:{tag}"):
                    on.run(C).go()

            carry_out(world, steps, before=publish)
            assert world.commit_at(tag) == wanted

    @pytest.mark.parametrize("named", [{}, {"from": D.sha}])
    @pytest.mark.parametrize("others", [(B,), (C,), (B, C)])
    def test_what_is_published_in_between_is_gone_back_to(
        self, others: tuple[Commit, ...], named: dict[str, str]
    ) -> None:
        """An older commit, whose own run has left the tag to the one that goes."""
        world = World()
        for each in (A, D):
            world.publish(each)
        run = world.start("rollback", D, **named)

        def publish(call: Call) -> None:
            if (call.method, call.subject) == ("set_tag", "ada/shop:latest"):
                for each in others:
                    if not world.own(each):
                        world.publish(each)

        run.registry.before = publish
        run.go()
        assert world.commit_at("latest") == max(others)

    def test_what_was_published_before_the_plan_is_kept_back_on_purpose(self) -> None:
        world = published(A, B)
        world.publish(C, latest="never")
        carry_out(world, roll_back(world))
        assert world.commit_at("latest") == A

    def test_tags_that_are_moved_without_end(self) -> None:
        world = published(A, B)
        steps = roll_back(world)
        numbers = iter(range(0x30, 0x60))

        def push(call: Call) -> None:
            """Another commit is published at each write and at each look at what is newer."""
            if call.method in ("tags", "set_tag"):
                each = commit(next(numbers))
                world.history.parents[each] = (world.history.branches["main"],)
                world.history.branches["main"] = each
                world.put(image(each), f"commit-{each.short}")

        with fails("other runs moved the tags again and again", kind=Kind.UNVERIFIED):
            carry_out(world, steps, before=push)

    def test_a_service_that_fails_hides_no_other_that_has_to_move_on(self) -> None:
        world = published(A, B, names=("one", "two"))
        steps = roll_back(world)
        rehearsal = carry_out(world.copy(), steps)
        position = next(
            each.number
            for each in rehearsal.registry.calls
            if (each.method, each.subject) == ("set_tag", "ada/two:latest")
        )

        def meanwhile(call: Call) -> None:
            if call.number == position - 1:
                world.run(C).go()
            if call.number == position:
                raise Failure(Kind.UNREACHABLE, "the connection broke.", "Run again.")

        with pytest.raises(Failure):
            carry_out(world, steps, before=meanwhile)
        assert [world.commit_at("latest", name) for name in ("one", "two")] == [C, C]


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_tag_that_is_listed_and_not_there_is_asked_for_again(comes_back: bool) -> None:
    world = published(A, B, C)
    tag = Tag(f"commit-{B.short}")
    digest = world.store.tagged.pop((SHOP.repository, tag))
    world.store.ghosts.add(tag)
    registry = FakeRegistry(world.store)

    def come_back(call: Call) -> None:
        if comes_back and call.subject == f"ada/shop:{tag}":
            world.store.tagged[SHOP.repository, tag] = digest

    registry.after = come_back
    app = world.app({"command": "rollback"}, registry=registry)
    if comes_back:
        assert shapes(rollback.plan(app).steps)[0] == f"ReuseImage {tag}"
        return
    with fails(
        f"{tag} is in the list of tags, but is not there", "say where to go", kind=Kind.UNREACHABLE
    ):
        rollback.plan(app)


def test_what_was_brought_back_on_purpose_is_not_taken_away_by_a_re_run() -> None:
    world = published(A, B)
    carry_out(world, roll_back(world))
    carry_out(world, roll_back(world, to=B.sha))
    assert world.at("latest") == world.own(B)
    world.publish(B)
    assert world.at("latest") == world.own(B)


def test_a_tag_that_follows_nothing_goes_back_once_too() -> None:
    """Nothing tells whether it was at what is withdrawn: who says what is bad goes further."""
    world = published(A, B, C)
    give(world, C, "production")
    carry_out(world, roll_back(world, tag="production"))
    assert world.at("production") == world.own(B)
    with fails(
        f"ada/shop:production stays: {C.short} is marked already, and the tag is at {B.short}",
        f'is bad: run it again with input "from: {B.short}", input "tag: production".',
        kind=Kind.CONFLICT,
    ):
        roll_back(world, tag="production")
    assert world.at("production") == world.own(B)
    carry_out(world, roll_back(world, tag="production", **{"from": B.short}))
    assert world.at("production") == world.own(A)


class TestReleases:
    """With `latest: release`, `latest` goes along the git tags, and not along main."""

    @staticmethod
    def world(*unpublished: str, **git_tags: Commit) -> World:
        """Four commits of main; each git tag is published under its name, with dots."""
        world = published(A, B, C, D)
        for name, at in git_tags.items():
            dotted = name.replace("_", ".")
            world.history.git_tags[dotted] = at
            if name not in unpublished:
                world.put(image(at), dotted)
        return world

    @staticmethod
    def roll_back(world: World, held: Commit | None = None, tag: str = "latest") -> Commit | None:
        if held:
            world.put(image(held), tag)
        templates = "{version},{major},{major}.{minor}"
        world.start("rollback", latest="release", tag=tag, extra_tags=templates).go()
        return world.commit_at(tag)

    def test_the_release_before_is_the_good_one(self) -> None:
        world = self.world("v1_5_0", v1_0_0=A, v2_0_0=D, v1_5_0=C, sprint3=B)
        assert self.roll_back(world, D) == A, "v1.5.0 is not published, though its commit is"
        assert world.commit_at(f"withdrawn-{D.short}") == D

    def test_pressed_twice_it_goes_back_once(self) -> None:
        world = self.world(v1_0_0=A, v2_0_0=B, v3_0_0=C)
        assert self.roll_back(world, C) == B
        assert self.roll_back(world) == B

    def test_one_that_was_withdrawn_is_passed_over(self) -> None:
        world = self.world(v1_0_0=A, v2_0_0=B, v3_0_0=D)
        world.put(image(B), f"withdrawn-{B.short}")
        assert self.roll_back(world, D) == A

    def test_a_lower_release_of_a_later_commit_is_back(self) -> None:
        world = self.world(v2_0_0=A, v1_9_9=C)
        assert self.roll_back(world, A) == C
        assert world.commit_at(f"withdrawn-{A.short}") == A, "it is marked as bad"

    def test_a_tag_of_a_line_goes_along_it(self) -> None:
        world = self.world(v1_0_0=A, v2_0_0=B, v1_1_0=D)
        assert self.roll_back(world, D, "1") == A

    @pytest.mark.parametrize(("held", "tag"), [(C, "1.0.0"), (B, "1.0")])
    def test_below_the_first_release_there_is_nothing(self, held: Commit, tag: str) -> None:
        world = self.world(v1_0_0=held)
        with fails("no good image of shop from before v1.0.0"):
            self.roll_back(world, held, tag)
        assert world.commit_at(tag) == held

    def test_what_is_no_release_says_so(self) -> None:
        world = self.world(v1_0_0=A)
        with fails("latest holds an image that is of no release", 'in the input "to"'):
            self.roll_back(world, D)

    def test_no_more_releases_are_looked_at_than_it_takes(self) -> None:
        world = self.world(**{f"v1_{number}_0": B for number in range(20)}, v2_0_0=D)
        world.put(image(D), "latest")
        run = world.start("rollback", latest="release").go()
        asked = Counter(call.subject for call in run.registry.calls if ":v1." in call.subject)
        assert asked.pop("ada/shop:v1.19.0") > 1
        assert set(asked.values()) == {1}, "whether they hold the bad image, too"

    def test_another_tag_goes_along_main(self) -> None:
        world = self.world(v1_0_0=A)
        assert self.roll_back(world, D, "edge") == C

    def test_a_service_that_a_release_lacks_stays(self) -> None:
        world = published(A, B, names=("shop", "api"))
        for name, at, services in (("v1.0.0", A, ("shop",)), ("v2.0.0", B, ("shop", "api"))):
            world.history.git_tags[name] = at
            for each in services:
                own = world.own(at, each)
                assert own
                world.store.tagged[service(each).repository, Tag(name)] = own
        world.start("rollback", latest="release").go()
        assert (world.commit_at("latest"), world.at("latest", "api")) == (A, world.own(B, "api"))
