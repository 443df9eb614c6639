"""Promises 1, 3, 5 and 6: what a run does to the registry, in which order, and what it proves."""

from __future__ import annotations

import itertools

import pytest
from support.failures import fails
from support.memory import Call, Hook, digest_of
from support.runs import SHOP, SOURCE, A, B, C, World, context, image

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import Action
from feastflow_registry.model.references import Commit, Digest, Reference, Tag
from feastflow_registry.model.run import RefKind
from feastflow_registry.model.tag_names import LATEST

OWN = f"ada/shop:commit-{B.short}"
WAYS = pytest.mark.parametrize("by_digest", [False, True])


@WAYS
def test_a_first_publish(by_digest: bool) -> None:
    world = World()
    world.publish(A)
    run = world.run(B, milestone="sprint3", by_digest=by_digest).go()
    assert run.actions == [
        ("built", f"commit-{B.short}"),
        ("pushed", f"commit-{B.short}"),
        ("created", "sprint3"),
        ("moved", "latest"),
    ]
    assert {world.at(tag) for tag in (f"commit-{B.short}", "sprint3", "latest")} == {world.own(B)}
    assert {each.digest for each in run.outcomes[1:]} == {world.own(B)}
    assert [each.size for each in run.outcomes[:2]] == [1000, 1000]
    assert [each.seconds for each in run.outcomes] == [1, 1, 1, 1]
    assert run.worktree.by_content == [False, True]
    assert world.commit_at(f"commit-{A.short}") == A
    assert run.builder.pushed == ([] if by_digest else [OWN])


@pytest.mark.parametrize("cache", ["", "written"])
def test_what_became_of_the_cache_is_noted(cache: str) -> None:
    run = World().run(B)
    run.builder.cache = cache
    assert run.go().outcomes[0].note == (f"cache: {cache}" if cache else "")


def test_the_right_to_push_and_the_engine_are_proven_before_the_build() -> None:
    world = World()
    world.store.readonly = True
    run = world.run(B)
    with fails(kind=Kind.REFUSED):
        run.go()
    assert (run.builder.checked, run.builder.sessions) == (1, [])
    world.store.readonly = False
    run = world.run(B)
    run.builder.failing = "check_ready"
    with fails("Docker daemon", kind=Kind.BUILD):
        run.go()
    assert run.builder.sessions == []
    assert world.store.writes == []


def test_a_build_that_fails_writes_nothing() -> None:
    world = World()
    run = world.run(B)
    run.builder.failing = "build"
    with fails(kind=Kind.BUILD):
        run.go()
    assert world.store.writes == []


class TestRunsThatPushNothing:
    @pytest.mark.parametrize(("event", "command"), [("pull_request", "publish"), ("push", "build")])
    def test_build_and_leave_the_registry_alone(self, event: str, command: str) -> None:
        world = World()
        run = world.run(B, command=command)
        run.context = context(B, event=event)
        if command == "build":
            run.context = context(B, "1/merge", RefKind.PULL)
        assert run.go().actions == [("built", f"commit-{B.short}")]
        assert run.registry.calls == []
        assert run.builder.pushed == []


class TestReRun:
    """Promise 6, and the count of promise 7."""

    @pytest.mark.parametrize("milestone", ["", "sprint3"])
    def test_costs_one_request_a_tag_and_one_for_the_image(self, milestone: str) -> None:
        world = World()
        world.history.branches["main"] = B
        world.publish(B, milestone=milestone)
        written = len(world.store.writes)
        world.history.asked.clear()
        run = world.publish(B, milestone=milestone)
        tags = [f"commit-{B.short}", *([milestone] if milestone else []), "latest"]
        asked = [f"ada/shop:{tag}" for tag in tags]
        assert run.registry.subjects("resolve") == asked
        assert run.registry.counts == {"resolve": len(asked), "inspect": 1}
        assert len(world.store.writes) == written
        assert run.reached == 0
        assert set(world.history.asked) - {("git_tag", milestone)} == {("newer", B.sha, "main")}
        assert {each.action for each in run.outcomes} == {Action.REUSED, Action.KEPT}

    def test_of_a_git_tag(self) -> None:
        world = World()
        world.publish(B, git_tag="sprint3", milestone="sprint3")
        run = world.publish(B, git_tag="sprint3", milestone="sprint3")
        assert run.registry.counts == {"resolve": 3, "inspect": 1}
        assert run.reached == 0

    def test_of_an_older_commit_leaves_latest(self) -> None:
        world = World()
        for each in (A, B):
            world.publish(each)
        written = len(world.store.writes)
        run = world.publish(A)
        assert len(world.store.writes) == written
        assert run.outcomes[-1].note.endswith(f"which is newer than {A.short}")
        assert run.registry.counts == {"resolve": 3, "inspect": 2}

    def test_a_second_attempt_moves_on_what_the_first_left_behind(self) -> None:
        world = World()
        for each in (A, B):
            world.publish(each)
        old = world.own(A)
        assert old
        world.store.tagged[SHOP.repository, LATEST] = old
        run = world.run(A, attempt=2).go()
        assert world.commit_at("latest") == B
        assert run.reached == 0

    def test_reuse_never_builds_and_yet_keeps_what_is_published(self) -> None:
        world = World()
        world.publish(B)
        before = world.own(B)
        run = world.run(B, salt="again", reuse="never").go()
        assert run.builder.sessions == [("shop",)]
        assert world.own(B) == before
        assert run.actions[1] == ("adopted", f"commit-{B.short}")

    def test_a_reused_image_is_tagged_without_an_engine(self) -> None:
        world = World()
        world.publish(B, latest="never")
        run = world.publish(B, milestone="sprint3")
        assert world.commit_at("latest") == world.commit_at("sprint3") == B
        assert run.reached == 0
        assert (run.registry.counts["set_tag"], run.registry.counts["inspect"]) == (2, 1)
        # Promise 7: one look before the write, and one after it.
        for tag in ("latest", "sprint3"):
            assert run.registry.subjects("resolve").count(f"ada/shop:{tag}") == 2


class TestTwoServices:
    def test_are_built_in_one_session_and_tagged_last(self) -> None:
        world = World(names=("one", "two"))
        run = world.run(B, milestone="sprint3").go()
        assert run.builder.sessions == [("one", "two")]
        assert [tag for _, tag in run.actions] == [
            *[f"commit-{B.short}"] * 4,
            *["sprint3", "latest"] * 2,
        ]
        for name in world.names:
            assert world.at("latest", name) == world.own(B, name)
        assert world.at("latest", "one") != world.at("latest", "two")

    @WAYS
    def test_no_shared_tag_moves_before_every_commit_tag_is_proven(self, by_digest: bool) -> None:
        world = World(names=("one", "two"))
        proven: set[str] = set()
        resolved: set[str] = set()

        def watch(call: Call) -> None:
            name = call.subject.partition(":")[0].partition("@")[0]
            is_own = f":commit-{B.short}" in call.subject
            if call.method == "resolve" and is_own and world.own(B, name.removeprefix("ada/")):
                resolved.add(name)
            if call.method == "inspect" and name in resolved:
                proven.add(name)
            if call.method == "set_tag" and not is_own:
                assert proven == {"ada/one", "ada/two"}

        world.run(B, after=watch, by_digest=by_digest).go()
        assert proven == {"ada/one", "ada/two"}


class TestProof:
    def test_an_image_that_is_not_its_digest(self) -> None:
        world = World()
        world.store.corrupt.add(digest_of(f"shop {B} "))
        with fails("digest", kind=Kind.UNVERIFIED):
            world.publish(B)
        assert world.at("latest") is None

    @pytest.mark.parametrize(
        ("wrong", "kind"),
        [
            (image(A, salt="x"), Kind.CONFLICT),
            (image(None, salt="x"), Kind.CONFLICT),
            (image(B, salt="x", source="https://github.com/eve/shop"), Kind.CONFLICT),
        ],
    )
    def test_an_image_that_is_not_of_this_commit(self, wrong: Published, kind: Kind) -> None:
        world = World()
        run = world.run(B)

        def replace(call: Call) -> None:
            if call.method == "push":
                world.put(wrong, f"commit-{B.short}")

        run.registry.after = replace
        with fails(OWN, kind=kind):
            run.go()
        assert world.at("latest") is None

    def test_a_commit_tag_that_is_gone(self) -> None:
        world = World()
        run = world.run(B)

        def remove(call: Call) -> None:
            if call.method == "push":
                world.store.tagged.clear()

        run.registry.after = remove
        with fails(f"{OWN} was pushed, but is not on the registry", kind=Kind.UNVERIFIED):
            run.go()

    @pytest.mark.parametrize(
        ("inputs", "tag"),
        [({}, "latest"), ({"latest": "force"}, "latest"), ({"git_tag": "v1"}, "v1")],
    )
    def test_a_shared_tag_that_is_gone(self, inputs: dict[str, str], tag: str) -> None:
        world = World()
        run = world.run(B, **inputs)  # type: ignore[arg-type]

        def remove(call: Call) -> None:
            if call.method == "set_tag":
                del world.store.tagged[SHOP.repository, Tag(tag)]

        run.registry.after = remove
        with fails(
            f"ada/shop:{tag} was written, and is not visible yet: the registry shows nothing still",
            kind=Kind.UNVERIFIED,
        ):
            run.go()

    @pytest.mark.parametrize("inputs", [{"latest": "force"}, {"git_tag": "v1"}])
    @pytest.mark.parametrize("theirs", [image(C), image(B, salt="theirs")])
    def test_a_tag_that_is_its_commits_alone(
        self, inputs: dict[str, str], theirs: Published
    ) -> None:
        world = World()
        run = world.run(B, **inputs)  # type: ignore[arg-type]

        def steal(call: Call) -> None:
            if call.method == "set_tag":
                world.put(theirs, inputs.get("git_tag", "latest"))
                run.registry.after = lambda _: None

        run.registry.after = steal
        if theirs.revision == B:
            run.go()
        else:
            with fails("was moved, but holds sha256:", kind=Kind.UNVERIFIED):
                run.go()

    @pytest.mark.parametrize(("lies", "kind"), [(1, None), (2, Kind.UNVERIFIED)])
    def test_another_image_is_believed_by_its_bytes_alone(
        self, monkeypatch: pytest.MonkeyPatch, lies: int, kind: Kind | None
    ) -> None:
        world = World()
        run = world.run(B)
        left, resolve = itertools.count(lies, -1), run.registry.resolve

        def lie(reference: Reference) -> Digest | None:
            found = resolve(reference)
            written = reference.identifier == "latest" and found
            return digest_of("stale") if written and next(left) > 0 else found

        monkeypatch.setattr(run.registry, "resolve", lie)
        if kind:
            with fails("ada/shop:latest holds another image", kind=kind):
                run.go()
        else:
            run.go()
        assert world.commit_at("latest") == B
        assert run.registry.subjects("confirm") == ["ada/shop:latest"] * lies

    @pytest.mark.parametrize("undone", [1, 2])
    def test_a_write_that_shows_nothing_new_is_tried_twice(self, undone: int) -> None:
        world = World()
        held = world.put(image(A), "latest")
        run = world.run(B, latest="force")

        def undo(call: Call) -> None:
            written = run.registry.subjects("set_tag").count("ada/shop:latest")
            if call.method == "set_tag" and 0 < written <= undone:
                world.put(image(A), "latest")

        run.registry.after = undo
        if undone == 1:
            run.go()
            assert world.at("latest") == world.own(B)
        else:
            with fails(f"the registry shows {held.short} still", kind=Kind.UNVERIFIED):
                run.go()
        assert run.registry.subjects("set_tag").count("ada/shop:latest") == 2

    def test_what_a_release_moves_has_no_reason(self) -> None:
        run = World().run(B, git_tag="v1.2.3", extra_tags="{major}").go()
        moved = [each for each in run.outcomes if each.action in (Action.CREATED, Action.MOVED)]
        told = {each.reference.identifier: each.note for each in moved}
        assert told == {"v1.2.3": "", "1": ""}

    def test_a_tag_that_is_written_between_a_look_and_another(self) -> None:
        world = World()
        run = world.run(B)
        moments = iter([A, C])

        def move(call: Call) -> None:
            """Another run writes before each look at what `latest` holds."""
            written = "set_tag" in [each.method for each in run.registry.calls[-3:]]
            if written and call.method in ("resolve", "confirm") and (at := next(moments, None)):
                world.put(image(at, source=SOURCE), "latest", f"commit-{at.short}")

        run.registry.before = move
        run.go()
        assert run.registry.subjects("confirm") == ["ada/shop:latest"] * 2
        assert world.commit_at("latest") == C

    def test_a_registry_that_fails_while_it_is_read_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World()
        run = world.run(B)

        def steal(call: Call) -> None:
            if call.method == "set_tag":
                world.put(image(C), "latest")

        def fail(*_: object) -> None:
            raise Failure(Kind.UNREACHABLE, "no answer.", "Run again.")

        run.registry.after = steal
        monkeypatch.setattr(run.registry, "confirm", fail)
        with fails("no answer.", kind=Kind.UNREACHABLE):
            run.go()

    def test_tags_that_are_moved_without_end(self) -> None:
        world = World()
        run = world.run(B)

        def fight(call: Call) -> None:
            if call.method == "set_tag" and call.subject.endswith("latest"):
                world.put(image(A, source=SOURCE), "latest")

        run.registry.after = fight
        with fails("other runs moved the tags again and again", kind=Kind.UNVERIFIED):
            run.go()


class TestTagsThatFail:
    """Promise 13: a tag that cannot move keeps no other from moving, nor the last look."""

    TAGS = ("1", "1.2", "1.2.3", "latest")

    @staticmethod
    def refusing(*names: str, kind: Kind = Kind.CONFLICT) -> Hook:
        """Refuse to write some tags, whoever asks."""

        def refuse(call: Call) -> None:
            if call.method == "set_tag" and call.subject.rpartition(":")[2] in names:
                raise Failure(kind, f"{call.subject} is immutable.", "Change the rule.")

        return refuse

    @pytest.mark.parametrize("names", [["1"], ["1.2"], ["1", "1.2"], ["latest"], ["1", "latest"]])
    def test_every_other_one_is_tried(self, names: list[str]) -> None:
        world = World(names=("one", "two"))
        run = world.run(B, extra_tags="1,1.2,1.2.3", before=self.refusing(*names))
        failure = run.failure()
        assert failure
        assert failure.kind is Kind.CONFLICT
        told = {f"ada/{each}:{name} is immutable." for each in world.names for name in names}
        assert {each.cause for each in failure.problems} == told
        for each in world.names:
            moved = [tag for tag in self.TAGS if world.at(tag, each)]
            assert moved == [tag for tag in self.TAGS if tag not in names]

    def test_the_last_look_moves_the_others_on(self) -> None:
        world = World()
        world.publish(A)
        run = world.run(B, extra_tags="1", before=self.refusing("1"))

        def publish(call: Call) -> None:
            if call.method == "set_tag" and call.subject.endswith("latest"):
                world.put(image(C), f"commit-{C.short}")

        run.registry.after = publish
        with fails("ada/shop:1 is immutable.", kind=Kind.CONFLICT):
            run.go()
        assert world.commit_at("latest") == C

    def test_nor_does_it_once_another_run_has_published_the_same_commit(self) -> None:
        world = World()
        run = world.run(B, extra_tags="1", before=self.refusing("1"))

        def publish(call: Call) -> None:
            if call.method == "set_tag" and call.subject.endswith("latest"):
                world.put(image(B, salt="theirs"), f"commit-{B.short}")

        run.registry.after = publish
        with fails("ada/shop:1 is immutable.", kind=Kind.CONFLICT):
            run.go()
        assert world.at("latest") == world.own(B) == image(B, salt="theirs").digest

    def test_what_another_runs_image_gets_in_the_end_is_told_no_more(self) -> None:
        world = World()
        once = itertools.count()

        def refuse(call: Call) -> None:
            if call.method == "set_tag" and call.subject.endswith(":1") and not next(once):
                world.put(image(B, salt="theirs"), f"commit-{B.short}")
                raise Failure(Kind.CONFLICT, "it is immutable.", "Change the rule.")

        world.run(B, extra_tags="1", before=refuse).go()
        assert world.at("1") == world.own(B) == image(B, salt="theirs").digest

    def test_running_again_moves_what_failed(self) -> None:
        world = World()
        run = world.run(B, latest="never", extra_tags="1")
        tries = itertools.count()

        def refuse(call: Call) -> None:
            if call.method == "set_tag" and call.subject.endswith(":1") and not next(tries):
                raise Failure(Kind.UNREACHABLE, "no answer.", "Run again.")

        run.registry.before = refuse
        with fails("no answer.", kind=Kind.UNREACHABLE):
            run.go()
        world.run(B, latest="never", extra_tags="1").go()
        assert world.commit_at("1") == B

    def test_the_worst_counts_and_all_are_told(self) -> None:
        world = World()
        run = world.run(B, extra_tags="1,1.2")

        def refuse(call: Call) -> None:
            self.refusing("1")(call)
            self.refusing("1.2", kind=Kind.UNVERIFIED)(call)

        run.registry.before = refuse
        failure = run.failure()
        assert failure
        assert (failure.kind, len(failure.problems)) == (Kind.UNVERIFIED, 2)
        assert world.commit_at("latest") == B

    def test_a_last_look_that_fails_is_told_with_them(self) -> None:
        world = World()
        world.publish(A)
        run = world.run(B, extra_tags="1", before=self.refusing("1"))
        moved = iter([A, C])

        def fail(call: Call) -> None:
            self.refusing("1")(call)
            latest = run.registry.subjects("set_tag")[-1:] == ["ada/shop:latest"]
            if latest and call.method == "resolve" and call.subject == OWN and next(moved, None):
                raise Failure(Kind.UNREACHABLE, "no answer.", "Run again.")

        run.registry.before = fail
        failure = run.failure()
        assert failure
        assert {each.cause for each in failure.problems} == {
            "no answer.",
            "ada/shop:1 is immutable.",
        }

    @pytest.mark.parametrize("method", ["set_tag", "resolve"])
    def test_a_git_tag_that_did_not_move_is_not_marked_as_final(self, method: str) -> None:
        world = World()
        world.publish(A, milestone="sprint3")
        run = world.run(B, git_tag="sprint3", milestone="sprint3", extra_tags="1")

        def refuse(call: Call) -> None:
            if call.method == method and call.subject == "ada/shop:sprint3" and world.own(B):
                raise Failure(Kind.CONFLICT, "it is immutable.", "Change the rule.")

        run.registry.before = refuse
        with fails("it is immutable.", kind=Kind.CONFLICT):
            run.go()
        assert world.commit_at("sprint3") == A
        assert world.at("frozen-sprint3") is None
        assert world.commit_at("1") == B

    def test_a_release_that_was_refused_is_not_tried_twice(self) -> None:
        world = World()
        run = world.run(B, git_tag="v1.2.3", extra_tags="{major}", before=self.refusing("1"))
        failure = run.failure()
        assert failure
        assert len(failure.problems) == 1
        assert run.registry.subjects("set_tag").count("ada/shop:1") == 1
        assert world.commit_at("v1.2.3") == B


class TestDamagedLatest:
    """What `latest` holds cannot be read any more; its commit tag tells whose it is."""

    @staticmethod
    def damage(world: World, at: Commit) -> Digest:
        digest = world.own(at)
        assert digest
        world.store.corrupt.add(digest)
        return digest

    @pytest.mark.parametrize("reuse", ["commit", "unchanged"])
    def test_a_newer_commit_moves_it(self, reuse: str) -> None:
        world = World()
        world.history.branches["main"] = B
        world.publish(A, reuse=reuse)
        self.damage(world, A)
        run = world.run(B, reuse="commit").go()
        assert world.commit_at("latest") == B
        assert ("moved", "latest") in run.actions

    def test_an_older_commit_leaves_it(self) -> None:
        world = World()
        world.publish(B)
        bad = self.damage(world, B)
        world.run(A).go()
        assert world.at("latest") == bad

    def test_one_that_was_carried_to_a_newer_commit_stays(self) -> None:
        world = World(inputs={(A, "shop"): "same", (C, "shop"): "same"})
        for each in (A, C):
            world.run(each, reuse="unchanged").go()
        bad = self.damage(world, C)
        assert bad == world.own(A)
        run = world.run(B).go()
        assert world.at("latest") == bad
        assert run.outcomes[-1].note == f"it is newer commit {C.short}'s too"

    def test_a_milestone_moves_on_as_well(self) -> None:
        world = World()
        world.publish(A, milestone="sprint3")
        self.damage(world, A)
        world.run(B, milestone="sprint3").go()
        assert world.commit_at("sprint3") == B

    def test_one_that_no_commit_tag_knows_is_a_conflict(self) -> None:
        world = World()
        world.publish(A)
        bad = self.damage(world, A)
        del world.store.tagged[SHOP.repository, Tag(f"commit-{A.short}")]
        with fails('run once with input "latest: force"', kind=Kind.CONFLICT):
            world.run(B).go()
        assert world.at("latest") == bad
        assert world.own(B)
        world.run(B, latest="force").go()
        assert world.commit_at("latest") == B

    def test_it_is_not_carried_forward(self) -> None:
        world = World(inputs={(A, "shop"): "same", (B, "shop"): "same"})
        world.run(A, reuse="unchanged").go()
        self.damage(world, A)
        run = world.run(B, reuse="unchanged").go()
        assert run.plan
        assert run.plan.builds[0].why == f"the image of {A.short} is damaged or gone"
        assert world.commit_at("latest") == B

    def test_a_newer_commit_takes_nothing_over_by_a_damaged_image(self) -> None:
        world = World()
        world.publish(A)
        run = world.run(B)

        def publish(call: Call) -> None:
            if call.method == "set_tag" and call.subject.endswith("latest"):
                world.put(image(C), f"commit-{C.short}")
                self.damage(world, C)

        run.registry.after = publish
        run.go()
        assert world.commit_at("latest") == B
