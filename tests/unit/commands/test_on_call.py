"""People on call: `from`, several tags at once, marks that are taken off, what is left bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.failures import fails
from support.memory import Call, FakeDeletion
from support.runs import ELSEWHERE, SHOP, A, B, C, D, FakeApp, Run, World, at_call, image, service
from support.runs_after_push import promote

from feastflow_registry import commands
from feastflow_registry.commands import aftermath, publish, rollback
from feastflow_registry.model import marks
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.marks import NOTHING
from feastflow_registry.model.plan import Action, KeepTag, WithdrawImage
from feastflow_registry.model.references import Commit, Digest, Repository, Tag
from feastflow_registry.model.run import LAPTOP
from feastflow_registry.report import text
from feastflow_registry.report.journal import Journal

NAMES = ("shop", "cart")


def published(*commits: Commit, names: Sequence[str] = ("shop",)) -> World:
    """A world in which commits were published, one after the other."""
    world = World(names)
    for each in commits:
        world.publish(each)
    return world


def give(world: World, at: Commit, *tags: str) -> None:
    """Have tags hold a commit's image."""
    for name in world.names:
        own = world.own(at, name)
        assert own
        for tag in tags:
            world.store.tagged[service(name).repository, Tag(tag)] = own


def start(world: World, **inputs: str) -> Run:
    """Prepare a rollback; `bad` is the input `from`."""
    given = {"from" if name == "bad" else name: value for name, value in inputs.items()}
    return world.start("rollback", D, **given)


def press(world: World, **inputs: str) -> Run:
    """Press the button."""
    return start(world, **inputs).go()


def by_hand(run: Run) -> Run:
    """The same run, started on a laptop."""
    run.context = replace(run.context, event=LAPTOP)
    return run


def marked(world: World, name: str = "shop") -> set[Commit]:
    """The commits with a mark in force."""
    held = {each: world.at(f"withdrawn-{each.short}", name) for each in (A, B, C, D)}
    return {each for each, digest in held.items() if marks.is_in_force(digest)}


def notes(run: Run) -> dict[str, str]:
    """Why which tag stays."""
    return {
        each.reference.identifier: each.note for each in run.outcomes if each.action.value == "kept"
    }


class TestFrom:
    """`from` says that an image is bad: no tag is to hold it, whoever says it how often."""

    @pytest.mark.parametrize("how", ["commit", "digits", "tag", "digest"])
    def test_what_holds_it_goes_back(self, how: str) -> None:
        world = published(A, B, C)
        named = {"commit": C.sha, "digits": C.short, "tag": f"commit-{C.short}"}
        run = press(world, bad=named.get(how, str(world.own(C))))
        assert world.commit_at("latest") == B
        assert marked(world) == {C}
        assert [each for each, _ in run.actions] == ["reused", "marked", "moved"]

    def test_a_second_time_it_says_that_it_was_done(self) -> None:
        world = published(A, B, C)
        press(world, bad=C.sha)
        before = dict(world.store.tagged)
        again = press(world, bad=C.sha)
        said = f"{C.short} is marked already, and the tag is at {B.short}"
        assert notes(again) == {"latest": said}
        assert again.plan
        assert again.plan.advice == (
            "Nothing to do for latest: see the reason above.",
            f'If {B.short} is bad too: run it again with input "from: {B.short}".',
        )
        assert world.store.tagged == before

    def test_the_next_bad_one_takes_it_further(self) -> None:
        """linkedin/venice#2173: "if there are two consecutive bad versions, automatic roll back
        will roll back to the first bad version when the second bad version comes in".

        https://github.com/linkedin/venice/pull/2173
        """
        world = published(A, B, C)
        press(world, bad=C.sha)
        press(world, bad=B.sha)
        assert world.commit_at("latest") == A
        assert marked(world) == {B, C}

    def test_in_the_other_order_it_ends_at_the_same(self) -> None:
        world = published(A, B, C)
        first = press(world, bad=B.sha)
        assert notes(first) == {"latest": f"the tag is at {C.short}, which is newer than {B.short}"}
        [(kind, said)] = first.app.log.lines
        assert kind == "warning"
        assert said == (
            f"ada/shop:latest stays: the tag is at {C.short}, which is newer than {B.short}. "
            f"{B.short} "
            f'is marked. If {C.short} is bad too: run it again with input "from: {C.short}".'
        )
        assert world.commit_at("latest") == C
        press(world, bad=C.sha)
        assert world.commit_at("latest") == A
        assert marked(world) == {B, C}

    def test_what_is_published_between_two_presses_is_nobodys_loss(self) -> None:
        """The mend is there already: it stays, and no rollback ends at the bad one."""
        world = published(A, B)
        world.publish(C)
        press(world, bad=B.sha)
        assert world.commit_at("latest") == C
        press(world)
        assert world.commit_at("latest") == A

    def test_a_newer_one_that_is_kept_back_is_marked_before_it_comes(self) -> None:
        world = published(A, B)
        world.publish(C, latest="never")
        run = press(world, bad=C.sha)
        assert notes(run) == {"latest": f"the tag is at {B.short}, which is older than {C.short}"}
        world.publish(C)
        assert world.commit_at("latest") == B

    def test_one_that_is_kept_back_does_not_come_where_another_is_bad(self) -> None:
        world = published(A, B)
        world.publish(C, latest="never")
        press(world, bad=A.sha)
        assert world.commit_at("latest") == B

    def test_with_to_it_goes_there_and_only_what_holds_the_bad_one(self) -> None:
        world = published(A, B, C)
        press(world, bad=C.sha, to=A.sha)
        assert world.commit_at("latest") == A
        run = press(world, bad=C.sha, to=B.sha)
        assert world.commit_at("latest") == A
        assert run.plan
        assert (
            run.plan.advice[-1]
            == f'To send it to {B.sha} all the same: run it again with input "to: {B.sha}".'
        )

    def test_an_older_one_is_marked_where_to_goes_forward(self) -> None:
        world = published(A, B, C)
        give(world, A, "production")
        press(world, bad=A.sha, to=C.sha, tag="production")
        assert world.commit_at("production") == C
        assert marked(world) == {A}

    @pytest.mark.parametrize("names", [("shop",), NAMES])
    def test_with_nothing_good_before_is_marked_and_stays(self, names: Sequence[str]) -> None:
        world = published(A, names=names)
        for _ in range(2):
            run = start(world, bad=A.sha)
            said = "ada/shop:latest still holds a bad image", 'or name one in the input "to"'
            with fails(*said, kind=Kind.CONFLICT):
                run.go()
            assert marked(world) == {A}
            assert run.plan
            assert not run.plan.kubectl

    def test_with_nothing_good_before_a_dry_run_warns(self) -> None:
        run = start(published(A), bad=A.sha, dry_run="true").go()
        [(kind, said)] = run.app.log.lines
        assert kind == "warning"
        assert said.startswith("ada/shop:latest still holds a bad image: nothing good came before")

    def test_with_nothing_good_before_a_mend_takes_over(self) -> None:
        """It is published while the bad one is marked: then there is nothing to fail for."""
        world = published(A)
        run = start(world, bad=A.sha)
        done = run.steps()
        next(done)
        world.publish(B)
        list(done)
        assert world.commit_at("latest") == B

    def test_that_is_not_published_is_refused_and_no_good_one_is_offered(self) -> None:
        world = published(A, B)
        with fails(
            f"has no image of commit {C.sha[:12]}",
            "Look at `feastflow-registry tags`: name the commit that the tag holds.",
        ):
            press(world, bad=C.sha)

    @pytest.mark.parametrize("moving", ["latest", "production", "sprint3"])
    def test_that_moves_is_refused(self, moving: str) -> None:
        """Pressed twice, it would name another image each time."""
        world = published(A, B, C)
        give(world, C, "production", "sprint3")
        with fails(f"the tag {moving} moves", "Name the commit that is bad"):
            press(world, bad=moving)
        world.history.git_tags["sprint3"] = C
        press(world, bad="sprint3")
        assert world.commit_at("latest") == B

    def test_that_the_tag_never_held_is_refused(self) -> None:
        world = published(A, B)
        world.put(image(ELSEWHERE), f"commit-{ELSEWHERE.short}")
        said = (
            f"the tag is at {B.short}, and there is no sign that it was ever at {ELSEWHERE.short}"
        )
        with fails(f"ada/shop:latest is not taken back: {said}", "Name what it holds"):
            press(world, bad=ELSEWHERE.sha)
        assert not marked(world)

    def test_that_a_tag_without_a_way_never_held_is_refused(self) -> None:
        world = published(A, B, C)
        give(world, B, "production")
        with fails("there is no sign that it was ever"):
            press(world, bad=C.sha, tag="production")
        press(world)
        run = press(world, bad=C.sha, tag="production")
        assert notes(run) == {
            "production": f"{C.short} is marked already, and the tag is at {B.short}"
        }

    def test_an_image_without_a_commit_is_left_by_its_digest(self) -> None:
        world = published(A)
        digest = world.put(image(None, salt="x", source="https://github.com/else/where"), "latest")
        with fails(f"the tag is at latest, and there is no sign that it was ever at {A.short}"):
            press(world, bad=A.sha)
        press(world, bad=str(digest), to=A.sha)
        assert world.commit_at("latest") == A
        with fails(f"there is no sign that it was ever at {digest.short}"):
            press(world, bad=str(digest))

    def test_of_a_service_that_never_had_it_the_tag_stays(self) -> None:
        world = published(A, names=NAMES)
        replace(world, names=("shop",)).publish(B)
        press(world, bad=B.sha)
        assert world.commit_at("latest") == A
        assert world.commit_at("latest", "cart") == A

    def test_a_registry_that_fails_is_no_service_that_never_had_it(self) -> None:
        world = published(A, B, names=NAMES)
        world.store.corrupt.add(world.own(B, "cart") or Digest(""))
        world.store.tagged[service("cart").repository, Tag("latest")] = world.own(A, "cart")  # type: ignore[assignment]
        with fails("is not its bytes' digest", kind=Kind.UNVERIFIED):
            press(world, bad=B.sha)

    def test_a_second_try_needs_no_more(self) -> None:
        world = published(A, B, C)
        give(world, C, "production")
        run = start(world, bad=C.sha, tag="production")
        run.context = replace(run.context, attempt=2)
        run.go()
        assert world.commit_at("production") == B


class TestCarried:
    """An image is its own commit's, not that of a later one that it was carried to."""

    @staticmethod
    def world(*, on_top: bool = False) -> World:
        """A and B change both services, C one alone, and D, if it is there, none."""
        world = World(NAMES)
        for at, cart, shop in ((A, "1", "1"), (B, "2", "2"), (C, "2", "3"), (D, "2", "3")):
            world.inputs |= {(at, "cart"): cart, (at, "shop"): shop}
            if at != D or on_top:
                world.publish(at, reuse="unchanged")
        return world

    def test_it_is_neither_marked_nor_moved_however_often_somebody_presses(self) -> None:
        world = self.world()
        give(world, C, "production")
        first = press(world, bad=C.sha)
        after = dict(world.store.tagged)
        assert world.commit_at("latest") == B
        assert first.plan
        again = press(world, bad=C.sha)
        assert world.store.tagged == after
        assert again.plan
        assert again.plan.kubectl == first.plan.kubectl
        assert [each.note for each in again.outcomes if each.service.name == "cart"] == [
            f"{C.short} did not change it: its image came with {B.short}"
        ]
        assert "kubectl set image deployment/shop" in again.plan.kubectl[1]
        assert len(again.plan.kubectl) == 3, "the other service has nothing to be told"
        press(world, bad=C.sha, tag="latest,production")
        assert world.commit_at("production") == B
        for name, bad in (("shop", {C}), ("cart", set[Commit]())):
            assert marked(world, name) == bad
            assert world.own(B, name) == world.at("latest", name) == world.at("production", name)

    def test_what_is_published_on_top_changes_nothing(self) -> None:
        world = self.world(on_top=True)
        give(world, C, "production")
        press(world, bad=C.sha, tag="production")
        assert not marked(world, "cart")
        assert marked(world) == {C}

    def test_nobody_is_told_that_it_is_bad(self) -> None:
        world = self.world()
        give(world, C, "production")
        press(world)
        for again in (press(world), press(world, bad=C.sha)):
            kept = [each for each in again.outcomes if "still holds" in each.note]
            assert [each.service.name for each in kept] == ["shop"]

    def test_the_one_that_came_last_goes_once_though_the_other_came_before_its_good_one(
        self,
    ) -> None:
        """The services are at A and B then, and B is no bad one."""
        world = World(NAMES)
        for at, cart, shop in ((A, "1", "1"), (B, "2", "1"), (C, "2", "2")):
            world.inputs |= {(at, "cart"): cart, (at, "shop"): shop}
            world.publish(at, reuse="unchanged")
        for _ in range(2):
            press(world)
            assert (world.commit_at("latest"), world.commit_at("latest", "cart")) == (A, B)

    def test_of_a_commit_that_changed_nothing_the_last_change_is_bad(self) -> None:
        world = self.world(on_top=True)
        assert world.own(D) == world.own(C)
        run = press(world, bad=D.sha)
        assert marked(world) == {C}
        assert not marked(world, "cart")
        [(kind, said)] = run.app.log.lines
        assert kind == "notice"
        assert said.startswith(f"{D.short} did not change shop: its image is the one of {C.short}")

    def test_whose_own_tag_is_pruned_is_no_newer_for_it(self) -> None:
        world = self.world()
        cart = service("cart").repository
        del world.store.tagged[cart, Tag(f"commit-{B.short}")]
        held = world.at("latest", "cart")
        for _ in range(2):
            press(world, bad=C.sha)
            assert world.at("latest", "cart") == held
            assert world.commit_at("latest") == B
        assert not marked(world, "cart")

    def test_of_releases_too(self) -> None:
        world = self.world()
        for name, at in (("v1.0.0", A), ("v2.0.0", B), ("v3.0.0", C)):
            world.history.git_tags[name] = at
            give(world, at, name)
        for bad in ({}, {"bad": "v3.0.0"}, {"bad": C.sha}, {}):
            press(world, latest="release", **bad)
            assert world.at("latest", "cart") == world.own(B, "cart")
            assert world.commit_at("latest") == B
        assert not marked(world, "cart")

    def test_a_release_of_the_very_image_is_no_way_back(self) -> None:
        """An old commit was released again: v1.0.0 and v3.0.0 are one image."""
        world = published(A, B)
        for name, at in (("v1.0.0", A), ("v2.0.0", B), ("v3.0.0", A)):
            world.history.git_tags[name] = at
            give(world, at, name, "latest")
        press(world, latest="release", bad="v2.0.0")
        with fails("nothing good came before", kind=Kind.CONFLICT):
            press(world, latest="release", bad="v3.0.0")
        assert marked(world) == {A, B}

    def test_of_what_is_no_release_the_last_commit_counts(self) -> None:
        world = self.world()
        world.history.git_tags["v1.0.0"] = A
        give(world, A, "v1.0.0")
        press(world, latest="release", bad=C.sha, to=A.sha)
        assert marked(world) == {C}
        assert not marked(world, "cart")

    def test_what_stays_says_with_which_commit_it_came(self) -> None:
        """That one may be bad, too: nobody would look there."""
        world = self.world()
        for run in (start(world, bad=C.sha, dry_run="true"), press(world)):
            plan = run.plan or rollback.plan(run.app)
            [kept] = [each for each in plan.every(KeepTag) if each.service.name == "cart"]
            assert kept.reason == f"{C.short} did not change it: its image came with {B.short}"
            assert plan.advice[-1] == (
                f"The image of cart came with {B.short}. If it is bad too: run it again with "
                f'input "from: {B.short}".'
            )
        press(world, bad=B.sha)
        assert world.commit_at("latest") == world.commit_at("latest", "cart") == A
        again = press(world, bad=C.sha)
        assert again.plan
        assert not any("came with" in each for each in again.plan.advice if A.short not in each)


class TestMeanwhile:
    """A tag that is left where it is comes to the bad image while that is marked."""

    @pytest.mark.parametrize("latest", ["forward", "release"])
    def test_it_is_taken_back(self, latest: str) -> None:
        def prepare() -> tuple[World, Run]:
            """The releases are of A, C and D; or else what is published is."""
            world = published(A, B, C, D) if latest == "release" else published(A, C, D)
            for name, at in (("v1.0.0", A), ("v2.0.0", C), ("v3.0.0", D)):
                world.history.git_tags[name] = at
                give(world, at, name)
            return world, start(world, bad=C.sha, latest=latest)

        length = len(prepare()[1].go().registry.calls)
        for number in range(length + 1):
            world, run = prepare()
            other = world.start("rollback", latest=latest)
            run.registry.before = at_call(number, other.failure)
            run.go()
            assert world.commit_at("latest") == A or number == length, number
            assert marked(world) == {C, D} or number == length

    def test_who_else_moves_it_is_told(self) -> None:
        world = published(A, B, C)
        run = start(world, bad=B.sha)
        app = run.app
        plan = rollback.plan(app)
        world.publish(D)
        done = list(rollback.carry_out(app, plan))
        assert done[-1].note == "another run has moved it meanwhile"
        world.store.tagged.pop((SHOP.repository, Tag("latest")))
        assert list(rollback.carry_out(app, plan))[-1].digest is None


class TestSeveralTags:
    def test_go_back_at_once_and_marks_are_set_once(self) -> None:
        world = published(A, B)
        give(world, B, "production", "staging")
        run = press(world, tag="latest,production,staging")
        assert [world.commit_at(each) for each in ("latest", "production", "staging")] == [A] * 3
        assert [each for each, _ in run.actions] == ["reused", "marked"] + ["moved"] * 3

    def test_pressed_twice_they_go_back_once(self) -> None:
        world = published(A, B, C)
        give(world, C, "production")
        for _ in range(2):
            press(world, tag="production,latest")
            assert world.commit_at("production") == world.commit_at("latest") == B
        assert marked(world) == {C}

    def test_one_that_is_older_stays(self) -> None:
        world = published(A, B, C)
        give(world, B, "production")
        run = press(world, tag="production,latest")
        assert world.commit_at("production") == world.commit_at("latest") == B
        assert notes(run) == {"production": f"the tag is at {B.short}, and not at {C.short}"}
        assert marked(world) == {C}

    def test_one_that_is_newer_goes_alone(self) -> None:
        """`latest` was taken back already, and whoever promotes was not told."""
        world = published(A, B, C)
        give(world, C, "production")
        press(world)
        press(world, tag="latest,production")
        assert world.commit_at("production") == world.commit_at("latest") == B

    def test_from_takes_back_those_that_hold_it(self) -> None:
        world = published(A, B, C)
        give(world, C, "production")
        give(world, A, "staging")
        run = press(world, bad=C.sha, tag="latest,production,staging")
        assert world.commit_at("production") == world.commit_at("latest") == B
        assert world.commit_at("staging") == A
        assert "no sign" in notes(run)["staging"]

    @pytest.mark.parametrize(
        ("wrong", "words", "kind"),
        [
            ("sprint3", "is final, and is never moved", Kind.CONFLICT),
            ("v1.0", "is the name of a git tag, and is never moved", Kind.CONFLICT),
            ("strange", "which has diverged from", Kind.CONFLICT),
        ],
    )
    def test_of_which_one_cannot_none_goes(self, wrong: str, words: str, kind: Kind) -> None:
        world = published(A, B)
        give(world, B, "production", "sprint3", "frozen-sprint3", "v1.0")
        world.put(image(ELSEWHERE), f"commit-{ELSEWHERE.short}", "strange")
        world.history.git_tags["v1.0"] = B
        before = dict(world.store.tagged)
        with fails(words, kind=kind):
            press(world, tag=f"latest,{wrong}")
        assert world.store.tagged == before

    def test_one_that_is_not_there_is_left_out(self) -> None:
        """The choice of the workflow to copy: not everybody has all of its tags."""
        world = published(A, B)
        run = press(world, tag="latest,prodution")
        assert world.commit_at("latest") == A
        [(kind, said)] = run.app.log.lines
        assert kind == "warning"
        assert "there is no ada/shop:prodution" in said
        with fails("there is no ada/shop:staging"):
            press(world, tag="staging")

    def test_a_commits_own_tag_is_no_tag_to_take_back(self) -> None:
        with fails("reserved"):
            press(published(A, B), tag=f"latest,commit-{B.short}")

    def test_that_would_go_to_different_images_go_one_by_one(self) -> None:
        world = published(A, B, C)
        for name, at in (("v1.0.0", A), ("v2.0.0", C)):
            world.history.git_tags[name] = at
            give(world, at, name)
        give(world, C, "edge", "latest", "production")
        options = {"latest": "release", "extra_tags": "edge"}
        with fails("would go to different images", "one by one", kind=Kind.CONFLICT):
            press(world, tag="latest,edge", **options)
        press(world, tag="production,latest", **options)
        assert world.commit_at("latest") == world.commit_at("production") == A, "along releases"
        press(world, bad=C.sha, to=B.sha, tag="edge", **options)
        assert world.commit_at("edge") == B


class TestWhatIsLeftBad:
    def test_is_said_of_every_tag_that_still_holds_it(self) -> None:
        world = published(A, B)
        give(world, B, "production", "v2", "buildcache", "frozen-sprint2")
        give(world, A, "staging")
        world.put(image(B), f"sha256-{'0' * 64}.sig")
        run = press(world)
        said = f"it still holds the bad image of {B.short}"
        assert notes(run) == {"production": said, "v2": said}
        assert run.plan
        assert run.plan.advice[1] == (
            "Still bad: ada/shop:production, ada/shop:v2. To take them back too: run it again with "
            f'input "from: {B.short}", input "tag: production,v2".'
        )
        again = start(world, tag="production")
        rollback.plan(again.app)
        assert again.registry.counts["tags"] == 1, "from the list that is read anyway"

    def test_is_said_again_by_whoever_comes_second(self) -> None:
        world = published(A, B)
        give(world, B, "production")
        press(world)
        for again in (press(world), press(world, bad=B.sha)):
            assert notes(again)["production"] == f"it still holds the bad image of {B.short}"

    def test_what_is_final_is_not_to_be_named(self) -> None:
        world = published(A, B)
        give(world, B, "v1.3.0", "sprint3", "frozen-sprint3", "production")
        world.history.git_tags["v1.3.0"] = B
        run = press(world)
        assert run.plan
        how = f'run it again with input "from: {B.short}", input "tag: production"'
        assert run.plan.advice[1:] == (
            f"Still bad: ada/shop:production. To take it back too: {how}.",
            "Still bad, and never moved, as they are final: ada/shop:sprint3, ada/shop:v1.3.0.",
        )

    @pytest.mark.parametrize(
        ("given", "options"),
        [
            ({"services": "shop"}, "--services shop"),
            ({"tag": "latest\nstaging", "namespace": "ada"}, "--namespace ada"),
            (
                {"registry": "docker.io", "working_directory": "my app"},
                "--registry docker.io --working-directory 'my app'",
            ),
            (
                {"also": "ghcr.io/ada/{service}", "registries": "docker.io\nghcr.io"},
                "--also 'ghcr.io/ada/{service}' --registries docker.io,ghcr.io",
            ),
        ],
    )
    def test_by_hand_the_whole_command_is_told(self, given: dict[str, str], options: str) -> None:
        """Pasted, it acts on what this run acted on."""
        world = published(A, B)
        give(world, B, "production")
        run = by_hand(start(world, dry_run="true", **given))
        plan = rollback.plan(run.app)
        command = f"`feastflow-registry rollback --from {B.short} --tag production {options}`"
        assert f"To take it back too: {command}." in plan.advice[1]

    def test_a_tag_that_stays_at_another_bad_image_says_what_takes_it_back(self) -> None:
        world = published(A, B, C)
        give(world, C, "sprint3")
        for bad in (B, C):
            press(world, bad=bad.sha, tag="latest")
        run = press(world, bad=B.sha, tag="latest,sprint3")
        assert notes(run)["sprint3"] == (
            f"{B.short} is marked already, and the tag is at {C.short}, which is newer, "
            "and marked too"
        )
        assert run.plan
        assert run.plan.is_left_bad
        further, still = run.plan.advice[1:]
        assert further.startswith(f"If {A.short} is bad too: ")
        assert still.startswith("Still bad: ada/shop:sprint3. To take it back too: ")
        assert still.endswith(f'input "from: {C.short}", input "tag: sprint3".')
        said = "\n".join(run.plan.kubectl)
        assert f"commit-{A.short}" in said
        assert f"commit-{C.short}" not in said, "of the tag that is at the good one"

    def test_where_every_tag_stays_at_a_bad_image_no_cluster_is_told_of_it(self) -> None:
        world = published(A, B, C)
        for bad in (C, B):
            press(world, bad=bad.sha)
        give(world, C, "latest")
        run = press(world, bad=B.sha)
        assert run.plan
        assert not run.plan.kubectl
        assert not any(f"If {C.short} is bad too" in each for each in run.plan.advice)
        assert f'"from: {C.short}"' in run.plan.advice[-1]

    def test_the_tag_that_moves_says_what_a_cluster_is_to_run(self) -> None:
        """Whatever the order of the tags, and whatever another one has gone to."""
        for tags in ("latest,sprint3", "sprint3,latest"):
            world = published(A, B, C, D)
            give(world, B, "sprint3")
            run = press(world, bad=D.sha, tag=tags)
            assert run.plan
            assert f"commit-{C.short}" in run.plan.kubectl[1]
            assert f"commit-{B.short}" not in "\n".join(run.plan.kubectl)

    def test_other_tags_at_any_bad_image_are_named(self) -> None:
        world = published(A, B, C)
        give(world, B, "staging")
        press(world, bad=B.sha)
        give(world, C, "production")
        run = press(world, bad=C.sha)
        assert notes(run)["staging"] == f"it still holds the bad image of {B.short}"
        assert run.plan
        assert f'"from: {B.short}", input "tag: staging"' in run.plan.advice[-1]

    def test_a_newer_one_that_went_out_since_is_not_to_be_taken_back(self) -> None:
        """The mend is out, and somebody presses once more."""
        world = published(A, B)
        press(world, bad=B.sha)
        world.publish(C)
        run = press(world, bad=B.sha)
        said = f"{B.short} is marked already, and the tag is at {C.short}, which is newer"
        assert notes(run) == {"latest": said}
        assert run.plan
        assert run.plan.advice == ("Nothing to do for latest: see the reason above.",)

    def test_where_it_cannot_be_known_the_tag_goes_back_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = published(A, B)
        give(world, B, "production")
        run = world.start("rollback")

        def fail(call: object) -> None:
            if getattr(call, "subject", "") == "ada/shop:production":
                raise Failure(Kind.UNREACHABLE, "the connection broke.", "Run again.")

        run.registry.before = fail
        run.go()
        assert world.commit_at("latest") == A
        [(kind, said)] = run.app.log.lines
        assert kind == "warning"
        assert said.startswith("Which other tags hold the bad image is not known: the connection")

    def test_is_asked_of_so_many_tags_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aftermath, "_MOST_HOLDERS", 2)
        world = published(A, B)
        give(world, A, "a", "b", "c")
        run = press(world)
        assert ("warning", "ada/shop: 1 more tags may hold the bad image.") in run.app.log.lines


class TestUnmark:
    def app(self, world: World, *, by_tag: bool, to: str) -> FakeApp:
        run = world.start("rollback", to=to, unmark="true")
        run.app.deletes.by_tag = by_tag
        return run.app

    def go(self, world: World, *, by_tag: bool = False, to: str = C.sha) -> list[str]:
        app = self.app(world, by_tag=by_tag, to=to)
        done = rollback.carry_out(app, rollback.plan(app))
        return [each.note for each in done if each.action is Action.UNMARKED]

    def test_the_plan_says_so(self) -> None:
        world = published(A, B, C)
        press(world)
        plan = rollback.plan(self.app(world, by_tag=False, to=C.sha))
        mark = f"ada/shop:withdrawn-{C.short}"
        assert f"unmark {mark} ({(world.own(C) or NOTHING).short})" in text.plan_lines(plan)
        assert '"step": "unmark"' in text.plan_json(plan)

    @pytest.mark.parametrize("by_tag", [True, False])
    def test_it_is_good_again_for_everybody(self, by_tag: bool) -> None:
        world = published(A, B, C)
        press(world)
        [note] = self.go(world, by_tag=by_tag)
        assert note == ("the mark is deleted" if by_tag else "the mark holds nothing now")
        assert world.at(f"withdrawn-{C.short}") == (None if by_tag else NOTHING)
        assert world.commit_at("latest") == C
        # A publish moves to it, a promotion takes it, and a rollback goes back to it.
        world.store.tagged[SHOP.repository, Tag("latest")] = world.own(B) or NOTHING
        world.publish(C)
        assert world.commit_at("latest") == C
        assert promote(world, C.sha, "production")
        world.publish(D)
        press(world)
        assert world.commit_at("latest") == C
        assert world.app({}).surveyor.offered(SHOP.repository) == [each.short for each in (A, B, C)]

    @pytest.mark.parametrize("names", [("shop",), NAMES])
    def test_what_is_newer_stays_and_is_not_marked(self, names: Sequence[str]) -> None:
        """The mend is out: the one that was bad may be good, and is not to be put before it."""
        world = published(A, B, names=names)
        give(world, B, "production")
        press(world, bad=B.sha)
        world.publish(C)
        run = press(world, to=B.sha, unmark="true", tag="latest,production")
        assert notes(run)["latest"] == f"the tag is at {C.short}, which is newer than {B.short}"
        for name in names:
            assert world.commit_at("latest", name) == C
            assert not marked(world, name)
        assert run.plan
        assert not run.plan.kubectl, "the newer one runs"

    def test_what_is_newer_and_bad_goes_back(self) -> None:
        world = published(A, B, C)
        press(world, bad=B.sha)
        world.put(image(C), f"withdrawn-{C.short}")
        press(world, to=B.sha, unmark="true")
        assert world.commit_at("latest") == B
        assert marked(world) == {C}

    def test_what_is_of_another_history_stays(self) -> None:
        world = published(A, B)
        world.put(image(ELSEWHERE), f"commit-{ELSEWHERE.short}", "strange")
        press(world, bad=B.sha)
        run = press(world, to=B.sha, unmark="true", tag="strange")
        said = f"the tag is at {ELSEWHERE.short}, which has diverged from {B.short}"
        assert notes(run) == {"strange": said}
        assert not marked(world)

    @pytest.mark.parametrize("how", ["commit", "digest"])
    def test_the_mark_alone_is_taken_off(self, how: str) -> None:
        world = published(A, B, C)
        press(world)
        run = press(world, bad=C.sha if how == "commit" else str(world.own(C)), unmark="true")
        assert [each for each, _ in run.actions] == ["unmarked", "kept"]
        assert world.commit_at("latest") == B
        assert not marked(world)
        assert run.plan
        assert not run.plan.kubectl

    def test_of_one_that_another_is_left_for_too(self) -> None:
        world = published(A, B, C)
        give(world, B, "staging")
        press(world, bad=B.sha)
        press(world, bad=C.sha, to=B.sha, unmark="true")
        assert world.commit_at("latest") == B
        assert marked(world) == {C}

    def test_none_is_taken_off_once_the_run_was_interrupted(self) -> None:
        world = published(A, B, C)
        press(world)
        app = self.app(world, by_tag=False, to=C.sha)
        plan = rollback.plan(app)
        app.state.stopped = True
        with pytest.raises(SystemExit):
            list(rollback.carry_out(app, plan))
        assert marked(world) == {C}

    def test_it_can_be_marked_again(self) -> None:
        world = published(A, B, C)
        press(world)
        self.go(world)
        press(world)
        assert world.commit_at("latest") == B
        assert marked(world) == {C}

    def test_where_a_tag_is_already_it_alone_is_taken_off(self) -> None:
        world = published(A, B, C)
        press(world)
        press(world, to=C.sha)
        app = self.app(world, by_tag=False, to=C.short)
        plan = rollback.plan(app)
        assert not plan.advice
        list(rollback.carry_out(app, plan))
        assert not marked(world)

    def test_an_image_that_was_carried_forward_has_the_other_commits_mark(self) -> None:
        world = published(A)
        carried = replace(image(B, salt="b"), inputs="sha256:1")
        world.put(carried, f"commit-{B.short}", f"commit-{C.short}", "latest")
        press(world)
        assert marked(world) == {B}
        self.go(world, to=C.sha)
        assert not marked(world)
        assert world.at("latest") == carried.digest

    def test_of_what_is_not_marked_says_so(self) -> None:
        world = published(A, B, C)
        for _ in range(2):
            run = press(world, to=C.sha, unmark="true")
            assert ("notice", f"No rollback has marked {C.sha} as bad, or not any more.") in (
                run.app.log.lines
            )

    def test_of_what_nobody_names_is_refused(self) -> None:
        with fails("it needs the image that is good after all", 'Name it in the input "to"'):
            press(published(A, B), unmark="true")

    def test_somebody_who_marks_it_meanwhile_has_the_last_word(self) -> None:
        world = published(A, B, C)
        press(world)
        app = self.app(world, by_tag=False, to=C.sha)
        plan = rollback.plan(app)
        done = rollback.carry_out(app, plan)
        while next(done).action.value != "unmarked":
            pass
        world.put(image(C), f"withdrawn-{C.short}")
        world.store.tagged[SHOP.repository, Tag(f"withdrawn-{C.short}")] = world.own(C) or NOTHING
        list(done)
        assert world.commit_at("latest") == B

    def test_a_mark_that_stays_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = published(A, B, C)
        press(world)
        app = self.app(world, by_tag=False, to=C.sha)
        monkeypatch.setattr(app.copies, "clear", lambda _: None)
        plan = rollback.plan(app)
        with fails("is not visible yet", kind=Kind.UNVERIFIED):
            list(rollback.carry_out(app, plan))

    @pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.UNREACHABLE])
    def test_a_credential_that_may_not_delete_is_enough(
        self, kind: Kind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: FakeDeletion, repository: Repository, tag: Tag) -> None:
            raise Failure(kind, "it may not delete.", "Give it the right.")

        monkeypatch.setattr(FakeDeletion, "delete_tag", refuse)
        world = published(A, B, C)
        press(world)
        assert self.go(world) == ["the mark holds nothing now"]
        assert world.commit_at("latest") == C


def test_the_image_of_nothing_stays_what_it_is() -> None:
    """Registries hold it for years: with another digest, every mark would be in force again."""
    assert (
        Digest("sha256:02e1e8ca8eec64cb9534a2d8600c2bb858b65608eb9fd096fcd000c5986f2030") == NOTHING
    )
    assert marks.nothing().config == marks.CONFIG_DIGEST
    assert len(marks.nothing().blobs) == 1


def test_rolled_back_and_published_again_and_rolled_back_it_is_not_at_the_first_bad_one() -> None:
    """andres-montanez/Magallanes#93: "Some time later you run a new release. This one fails, and
    you rollback, -1. Now your site is still broken. […] this was the broken release from earlier."

    https://github.com/andres-montanez/Magallanes/issues/93
    """
    world = published(A, B)
    give(world, B, "production")
    press(world, tag="production,latest")
    world.publish(C)
    give(world, C, "production")
    press(world, tag="production,latest")
    assert world.commit_at("production") == world.commit_at("latest") == A


def test_keeps_of_several_services_name_each() -> None:
    world = published(A, B, names=NAMES)
    give(world, B, "production")
    run = press(world)
    assert run.plan
    kept = [step.service.name for step in run.plan.steps if isinstance(step, KeepTag)]
    assert kept == ["cart", "shop"]


class TestReleasesMeanwhile:
    """A release that is published while a rollback writes takes the tag over."""

    @staticmethod
    def world() -> World:
        world = published(A, B, C, D)
        for name, at in (("v1.0.0", A), ("v2.0.0", B), ("v3.0.0", C)):
            world.history.git_tags[name] = at
            give(world, at, name)
        give(world, C, "latest")
        return world

    def race(self, name: str, at: Commit) -> Commit | None:
        """Publish a release at each request of the rollback in turn."""
        length = len(start(self.world(), latest="release").go().registry.calls)
        ends = set()
        for number in range(length):
            world = self.world()
            release = world.run(at, git_tag=name, latest="release")
            world.history.git_tags.pop(name)

            def publish(on: World = world, run: Run = release) -> None:
                on.history.git_tags[name] = at
                run.failure()

            run = start(world, latest="release")
            run.registry.before = at_call(number, publish)
            run.failure()
            ends.add(world.commit_at("latest"))
        [end] = ends
        return end

    @pytest.mark.no_cover
    def test_a_higher_one(self) -> None:
        assert self.race("v4.0.0", D) == D

    @pytest.mark.no_cover
    def test_one_between_the_good_and_the_bad_one(self) -> None:
        assert self.race("v2.5.0", D) == D

    @pytest.mark.no_cover
    def test_a_lower_one_stays_lower(self) -> None:
        assert self.race("v1.5.0", D) == B

    @pytest.mark.parametrize("is_known", [False, True])
    @pytest.mark.parametrize(("name", "wanted"), [("v4.0.0", D), ("v2.5.0", A)])
    def test_only_what_is_higher_than_the_bad_one_goes_before_to(
        self, name: str, wanted: Commit, is_known: bool
    ) -> None:
        """Its git tag may be there before its image is."""
        world = self.world()
        if is_known:
            world.history.git_tags[name] = D
        run = start(world, latest="release", to=A.sha)
        plan = rollback.plan(run.app)
        world.history.git_tags[name] = D
        give(world, D, name)
        list(rollback.carry_out(run.app, plan))
        assert world.commit_at("latest") == wanted

    def test_from_names_a_release(self) -> None:
        world = self.world()
        first = press(world, latest="release", bad="v2.0.0")
        assert notes(first)["latest"] == f"the tag is at {C.short}, which is newer than {B.short}"
        press(world, latest="release", bad="v3.0.0")
        again = press(world, latest="release", bad="v3.0.0")
        said = f"{C.short} is marked already, and the tag is at {A.short}"
        assert notes(again)["latest"] == said
        assert marked(world) == {B, C}

    def test_the_nearest_that_was_taken_back_is_named(self) -> None:
        world = self.world()
        press(world, latest="release")
        press(world, latest="release", bad="v2.0.0")
        again = press(world, latest="release")
        assert notes(again)["latest"] == f"{B.short} is marked already, and the tag is at {A.short}"

    def test_what_came_with_a_release_is_bad_whatever_its_commit(self) -> None:
        """The cart's image is of the newest commit, and was in the release before, too."""
        world = published(A, B, C, names=NAMES)
        for name, tag, at in (
            *(("shop", "v1.0.0", B), ("shop", "v2.0.0", A), ("shop", "latest", A)),
            *(("cart", "v1.0.0", C), ("cart", "v2.0.0", C), ("cart", "latest", C)),
        ):
            give(replace(world, names=(name,)), at, tag)
        world.history.git_tags |= {"v1.0.0": C, "v2.0.0": A}
        plan = rollback.plan(start(world, latest="release", bad="v2.0.0").app)
        bad = [(each.service.name, each.digest) for each in plan.every(WithdrawImage)]
        assert bad == [("shop", world.own(A))]

    def test_one_that_was_kept_back_before_stays_so(self) -> None:
        world = self.world()
        world.history.git_tags["v4.0.0"] = D
        give(world, D, "v4.0.0")
        press(world, latest="release")
        assert world.commit_at("latest") == B

    @pytest.mark.parametrize("kept_back", [False, True])
    def test_the_good_one_is_withdrawn_too(self, kept_back: bool) -> None:
        world = self.world()
        if kept_back:
            world.history.git_tags["v4.0.0"] = D
            give(world, D, "v4.0.0")
        run = start(world, latest="release")
        plan = rollback.plan(run.app)
        world.publish(D, latest="never")
        world.put(image(B), f"withdrawn-{B.short}")
        list(rollback.carry_out(run.app, plan))
        assert world.commit_at("latest") == A, "the release before, and no commit in between"

    @pytest.mark.parametrize("lower", [("v1.0.0",), ()])
    def test_the_good_one_is_withdrawn_and_no_commit_before_it_is_a_release(
        self, lower: tuple[str, ...]
    ) -> None:
        world = published(A, B, C, D)
        for name, at in {**dict.fromkeys(lower, A), "v2.0.0": C, "v3.0.0": D}.items():
            world.history.git_tags[name] = at
            give(world, at, name)
        give(world, D, "latest")
        run = start(world, latest="release")
        plan = rollback.plan(run.app)
        world.put(image(C), f"withdrawn-{C.short}")
        list(rollback.carry_out(run.app, plan))
        assert world.commit_at("latest") == (A if lower else C)

    def test_a_good_one_that_is_retracted_and_withdrawn_leaves_the_highest(self) -> None:
        world = self.world()
        run = start(world, latest="release")
        plan = rollback.plan(run.app)
        world.put(image(B), f"withdrawn-{B.short}")
        del world.history.git_tags["v2.0.0"]
        list(rollback.carry_out(run.app, plan))
        assert world.commit_at("latest") == A

    def test_to_from_what_is_no_release_follows_none(self) -> None:
        world = self.world()
        give(world, D, "latest")
        press(world, latest="release", to=B.sha)
        assert world.commit_at("latest") == B
        assert marked(world) == {D}


def ending(run: Run) -> list[str]:
    """What is said of a run in the end."""
    journal = Journal(run.app.log, run.app.state)
    return list(commands.run(run.command, run.app, journal).lines)


class TestEnding:
    """What is true now is said in the end, whatever was planned."""

    def test_what_each_tag_holds(self) -> None:
        world = published(A, B, names=NAMES)
        give(world, B, "production")
        give(world, A, "staging")
        said = ending(start(world, tag="latest,staging"))
        assert f"`latest` of shop, cart: {A.short} now." in said
        assert f"`staging` of shop, cart: {A.short}, as before." in said
        bad = f"`production` of cart, shop: {B.short}, as before, and that is marked as bad."
        assert bad in said

    def test_by_whoever_moves_it_meanwhile(self) -> None:
        world = published(A, B)
        run = start(world)

        def publish(call: Call) -> None:
            if (call.method, call.subject) == ("set_tag", "ada/shop:latest"):
                world.run(C).go()

        run.registry.before = publish
        said = ending(run)
        own = world.own(C)
        assert own
        assert f"`latest` of shop: {own.short} now." in said

    def test_of_what_is_left_bad_it_says_no_less(self) -> None:
        world = published(A)
        give(world, A, "production")
        run = start(world, bad=A.sha)
        journal = Journal(run.app.log, run.app.state)
        with pytest.raises(Failure) as failed:
            commands.run(run.command, run.app, journal)
        said = journal.failed(failed.value).lines
        bad = f"`latest` of shop: {A.short}, as before, and that is marked as bad."
        assert bad in said
        assert any(each.startswith("Still bad: ada/shop:production.") for each in said)

    def test_where_the_tags_are_not_moved_no_cluster_is_told(self) -> None:
        world = published(A, B)
        run = start(world)

        def fail(call: Call) -> None:
            if (call.method, call.subject) == ("set_tag", "ada/shop:latest"):
                raise Failure(Kind.UNREACHABLE, "the connection broke.", "Run again.")

        run.registry.before = fail
        journal = Journal(run.app.log, run.app.state)
        with pytest.raises(Failure) as failed:
            commands.run(run.command, run.app, journal)
        assert "kubectl" not in "".join(journal.failed(failed.value).lines)

    def test_a_mark_that_is_there_is_said_to_be(self) -> None:
        world = published(A)
        for note in ("", "marked already"):
            run = start(world, bad=A.sha)
            run.failure()
            [marks] = [each.note for each in run.outcomes if each.action is Action.MARKED]
            assert marks == note

    @pytest.mark.parametrize("event", ["push", LAPTOP])
    def test_of_a_publish_of_what_is_bad(self, event: str) -> None:
        """It is written once, and so it is there; but nothing else moves to it."""
        world = published(A, B)
        press(world, bad=B.sha)
        run = world.run(B, namespace="ada", smoke_test="3000/")
        run.context = replace(run.context, event=event, on_remote_main=True)
        said = ending(run)
        how = {
            "push": f'run rollback with input "to: {B.short}", input "unmark: true"',
            LAPTOP: f"`feastflow-registry rollback --to {B.short} --unmark --namespace ada`",
        }
        assert said[-1] == (
            f"latest stays at {A.short}: {B.short} was withdrawn. Revert it, or, if it is good, "
            f"{how[event]}."
        )
        assert f"⚠️  shop: ada/shop@{world.own(B)}, which is marked as bad" in said

    def test_a_plan_calls_both_ends_of_a_way_alike(self) -> None:
        world = published(A)
        world.publish(B, latest="never")
        [tag] = [each for each in text.plan_lines(publish.plan(world.run(B).app)) if "tag " in each]
        assert tag.endswith(f": {A.short} → {B.short}")
