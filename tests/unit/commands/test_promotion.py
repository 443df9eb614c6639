"""What a promotion may do, and what it does."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.memory import Call
from support.runs import ELSEWHERE, HOST, SHOP, A, B, C, D, World, at_call, context, image
from support.runs_after_push import carry_out, promote, shapes

from feastflow_registry.commands import promote as promote_command
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import Along
from feastflow_registry.model.references import Digest, Reference, Repository, Tag

OTHER = Repository.parse(HOST, "team/shop")


@pytest.fixture
def world() -> World:
    """A and B are published."""
    world = World()
    for each in (A, B):
        world.publish(each)
    return world


def test_an_image_gets_a_new_tag(world: World) -> None:
    steps = promote(world, A.short, "production")
    assert shapes(steps) == [f"ReuseImage commit-{A.short}", "MoveTag production"]
    carried = carry_out(world, steps)
    assert world.at("production") == world.own(A)
    assert carried.actions == [("reused", f"commit-{A.short}"), ("created", "production")]
    assert carried.copier.copied == []
    # What the tag holds before and after, and whether the image was withdrawn meanwhile.
    assert carried.registry.counts == {"resolve": 3, "set_tag": 1}


def test_what_is_there_already_is_kept(world: World) -> None:
    carry_out(world, promote(world, B.short, "production"))
    steps = promote(world, B.short, "production")
    assert shapes(steps) == [f"ReuseImage commit-{B.short}", "KeepTag production"]
    writes = len(world.store.writes)
    assert carry_out(world, steps).actions[-1] == ("kept", "production")
    assert len(world.store.writes) == writes


def test_a_tag_goes_forward_and_never_back(world: World) -> None:
    carry_out(world, promote(world, A.short, "production"))
    carry_out(world, promote(world, B.short, "production"))
    assert world.at("production") == world.own(B)
    with fails(f"not moved to {A.short}", "is newer", "use rollback", kind=Kind.CONFLICT):
        promote(world, A.short, "production")


def test_a_tag_of_another_history_is_refused(world: World) -> None:
    world.put(image(ELSEWHERE), "edge")
    with fails("has diverged from it", "choose another name", kind=Kind.CONFLICT):
        promote(world, B.short, "edge")


def test_latest_goes_back_by_force_alone(world: World) -> None:
    with fails('use rollback or input "latest: force"', kind=Kind.CONFLICT):
        promote(world, A.short, "latest")
    carry_out(world, promote(world, A.short, "latest", latest="force"))
    assert world.at("latest") == world.own(A)
    with fails("use rollback.", kind=Kind.CONFLICT):
        carry_out(world, promote(world, B.short, "production"))
        promote(world, A.short, "production", latest="force")


def test_a_git_tags_name_is_its_own_commits(world: World) -> None:
    world.history.git_tags["v1"] = B
    with fails("its git tag exists, so it is final", kind=Kind.CONFLICT):
        promote(world, A.short, "v1")
    carry_out(world, promote(world, B.short, "v1"))
    assert world.at("v1") == world.own(B)


def test_a_milestone_that_is_final_is_never_moved(world: World) -> None:
    world.run(A, git_tag="sprint3", milestone="sprint3").go()
    assert world.at("frozen-sprint3")
    with fails("so it is final", kind=Kind.CONFLICT):
        promote(world, B.short, "sprint3")


def test_what_was_withdrawn_goes_nowhere(world: World) -> None:
    world.put(image(B), f"withdrawn-{B.short}")
    with fails(
        f"commit-{B.short} was withdrawn by a rollback", "take its mark off", kind=Kind.CONFLICT
    ):
        promote(world, B.short, "production")


def test_a_foreign_image_replaces_nothing(world: World) -> None:
    digest = world.put(image(None, salt="x", source="https://github.com/else/where"))
    carry_out(world, promote(world, str(digest), "imported"))
    assert world.at("imported") == digest
    with fails("the commit of", kind=Kind.CONFLICT):
        promote(world, str(digest), "latest")
    carry_out(world, promote(world, str(digest), "latest", latest="force"))
    assert world.at("latest") == digest


def at(world: World, tag: str) -> Digest | None:
    """What a tag of the other repository holds."""
    return world.store.at(OTHER, tag)


def test_an_image_lands_in_another_repository_under_its_commit_tag(world: World) -> None:
    steps = promote(world, B.short, "team/{service}")
    own = f"commit-{B.short}"
    assert shapes(steps) == [f"ReuseImage {own}", "CopyImage team/shop", f"MoveTag {own}"]
    carried = carry_out(world, steps)
    assert carried.copier.copied == ["ada/shop team/shop"]
    assert at(world, own) == world.own(B)
    assert (carried.outcomes[1].size, carried.outcomes[1].seconds) == (1000, 1)
    again = carry_out(world, promote(world, B.short, "team/{service}"))
    assert again.outcomes[1].note == "all of it was there"
    assert again.actions[-1] == ("kept", own)


@pytest.mark.parametrize(
    ("along", "note", "size"),
    [
        (Along(2, 30, ()), "with 2 that refer to it", 1030),
        (Along(0, 0, ("x.sig: gone",)), "left: x.sig: gone", 1000),
        (Along(1, 0, ("a", "b")), "with 1 that refer to it; left: a; left: b", 1000),
        (Along(0, 0, ("a",) * 10), "; ".join(["left: a"] * 10), 1000),
        (Along(0, 0, ("a",) * 12), "; ".join(["left: a"] * 10) + "; and 2 more", 1000),
    ],
)
def test_what_refers_to_an_image_goes_along(
    world: World, along: Along, note: str, size: int
) -> None:
    carried = carry_out(world, promote(world, B.short, "team/{service}"), along=along)
    assert (carried.outcomes[1].note, carried.outcomes[1].size) == (note, size)


def test_a_commit_tag_is_written_once_elsewhere_too(world: World) -> None:
    own = Tag(f"commit-{B.short}")
    world.store.add(OTHER, image(A, salt="x"), own)
    with fails("holds another image", "never overwritten", kind=Kind.CONFLICT):
        promote(world, B.short, "team/shop")
    world.store.tagged.pop((OTHER, own))
    steps = promote(world, B.short, "team/shop")
    world.store.add(OTHER, image(A, salt="x"), own)
    with fails("moved by another run", kind=Kind.CONFLICT):
        carry_out(world, steps)


def test_elsewhere_a_tag_goes_forward_too(world: World) -> None:
    carry_out(world, promote(world, B.short, "team/shop:production"))
    assert at(world, "production") == world.own(B)
    with fails("is newer", kind=Kind.CONFLICT):
        promote(world, A.short, "team/shop:production")


def test_an_image_without_a_name_needs_one_elsewhere(world: World) -> None:
    digest = world.put(image(None, salt="x", source="https://github.com/else/where"))
    with fails("no commit tag holds", "host/repository:tag"):
        promote(world, str(digest), "team/shop")


def test_what_does_not_arrive_gets_no_tag(world: World) -> None:
    steps = promote(world, B.short, "team/shop:production")
    with fails("not on the registry", kind=Kind.UNVERIFIED):
        carry_out(world, steps, lost=True)
    assert at(world, "production") is None


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "deleted"])
def test_a_tag_that_changed_since_the_plan_is_left_alone(world: World, moved: bool) -> None:
    carry_out(world, promote(world, A.short, "production"))
    steps = promote(world, B.short, "production")
    if moved:
        world.publish(C)
        held = world.own(C)
        world.put(world.store.images[SHOP.repository, held], "production") if held else None
    else:
        world.store.tagged.pop((SHOP.repository, Tag("production")))
    before = world.at("production")
    there = before.short if before else "nothing"
    with fails(
        f"was moved by another run since the plan was made: it holds {there} now",
        "tags",
        kind=Kind.CONFLICT,
    ):
        carry_out(world, steps)
    assert world.at("production") == before


def test_a_tag_that_does_not_read_back_is_no_success(world: World) -> None:
    steps = promote(world, A.short, "fresh")
    reference = Reference(SHOP.repository, Tag("fresh"))

    def undo(call: Call) -> None:
        if call.method == "resolve":
            world.store.tagged.pop((SHOP.repository, Tag("fresh")), None)

    with fails(
        f"{reference} was written, and is not visible yet: the registry shows nothing still",
        kind=Kind.UNVERIFIED,
    ):
        carry_out(world, steps, before=undo)
    assert len([each for each, _ in world.store.writes if each == reference]) == 2


def test_what_reads_back_as_an_older_commit_is_no_success(world: World) -> None:
    steps = promote(world, B.short, "production")
    older = world.store.images[SHOP.repository, world.own(A)]  # type: ignore[index]

    def overtake() -> None:
        world.put(older, "production")

    with fails("production was moved, but holds", kind=Kind.UNVERIFIED):
        carry_out(world, steps, before=at_call(2, overtake))


def test_what_reads_back_as_a_newer_commit_is_one() -> None:
    world = World()
    for each in (A, B, C):
        world.publish(each)
    steps = promote(world, B.short, "production")
    newer = world.store.images[SHOP.repository, world.own(C)]  # type: ignore[index]
    carry_out(world, steps, before=at_call(2, lambda: world.put(newer, "production")))
    assert world.at("production") == world.own(C)


def test_an_image_without_a_commit_tag_lands_nowhere_by_itself(world: World) -> None:
    world.store.tagged.pop((SHOP.repository, Tag(f"commit-{B.short}")))
    with fails("no commit tag holds", "host/repository:tag"):
        promote(world, "latest", "team/shop")


@pytest.mark.parametrize(
    ("tag", "inputs", "said"),
    [
        ("", {}, "promote needs to know which tag the image is to get"),
        ("latest", {"latest": "never"}, 'latest may not move: the input "latest" says'),
        ("team/all:x", {}, "team/all:x is one repository for 2 services"),
    ],
)
def test_what_leads_nowhere_is_refused_before_a_request(
    tag: str, inputs: dict[str, str], said: str
) -> None:
    app = World(("shop", "cart")).app({"command": "promote", "tag": tag, **inputs})
    with fails('input "tag": ', said):
        promote_command.plan(app)
    assert not app.client.calls


def test_several_tags_have_their_image_in_common(world: World) -> None:
    steps = promote(world, B.short, "production,staging,team/shop")
    own = f"commit-{B.short}"
    assert shapes(steps) == [
        f"ReuseImage {own}",
        "MoveTag production",
        "MoveTag staging",
        f"ReuseImage {own}",
        "CopyImage team/shop",
        f"MoveTag {own}",
    ]


def test_all_that_may_not_move_is_said_at_once() -> None:
    world = World(("shop", "cart"))
    for each in (A, B):
        world.publish(each)
    with fails("ada/shop:latest is not moved", "ada/cart:latest is not", kind=Kind.CONFLICT):
        promote(world, A.short, "latest")


def test_where_nothing_may_be_written_nothing_is_looked_at(world: World) -> None:
    app = world.app({"command": "promote", "tag": "production"}, run=context(B, "feature"))
    with fails("this run may not write to the registry"):
        promote_command.plan(app)
    assert not app.client.calls


class TestATagThatFollowsMain:
    """Publishing moves it to the newest commit: so does a promotion, or it refuses."""

    def test_a_newer_commit_that_is_published_is_what_it_gets(self) -> None:
        world = World()
        for each in (A, B):
            world.publish(each, latest="never")
        with fails(
            f"commit {B.short} is published, which is newer",
            f"Promote {B.short}",
            kind=Kind.CONFLICT,
        ):
            promote(world, A.short, "latest")
        assert shapes(promote(world, A.short, "latest", latest="force"))[1:] == ["MoveTag latest"]
        assert shapes(promote(world, A.short, "edge"))[1:] == ["MoveTag edge"]
        with fails("which is newer", kind=Kind.CONFLICT):
            promote(world, A.short, "edge", extra_tags="edge")
        with fails("which is newer", kind=Kind.CONFLICT):
            promote(world, A.short, "sprint3", milestone="sprint3")

    @pytest.mark.parametrize("inputs", [{"tag": "latest"}, {"tag": "edge", "extra_tags": "edge"}])
    def test_what_is_in_place_is_looked_at_all_the_same(self, inputs: dict[str, str]) -> None:
        """The first try may have ended before its last look."""
        world = World()
        for each in (A, B):
            world.publish(each, latest="never")
        world.put(world.store.images[SHOP.repository, world.own(A)], inputs["tag"])  # type: ignore[index]
        with fails(f"Promote {B.short}", kind=Kind.CONFLICT):
            world.start("promote", D, to=A.sha, **inputs).go()

    def test_and_refused_where_it_was_withdrawn_since(self, world: World) -> None:
        world.put(world.store.images[SHOP.repository, world.own(B)], f"withdrawn-{B.short}")  # type: ignore[index]
        with fails("was withdrawn by a rollback", kind=Kind.CONFLICT):
            promote(world, B.short, "latest")
        assert shapes(promote(world, B.short, "latest", latest="force"))[1:] == ["KeepTag latest"]

    @pytest.mark.parametrize(("good", "wanted"), [("published", A), ("pruned", A), ("none", None)])
    def test_what_is_withdrawn_meanwhile_goes_back_to_the_good_one_before(
        self, good: str, wanted: object
    ) -> None:
        world = World()
        for each in (A, B):
            world.publish(each, latest="never")
        if good != "none":
            world.put(world.store.images[SHOP.repository, world.own(A)], "latest")  # type: ignore[index]
        if good != "published":
            del world.store.tagged[SHOP.repository, Tag(f"commit-{A.short}")]
        run = world.start("promote", to=B.sha, tag="latest")

        def withdraw(call: Call) -> None:
            if call.method == "set_tag":
                world.put(image(B), f"withdrawn-{B.short}")

        run.registry.before = withdraw
        if wanted is None:
            with fails(f"{B.short} was withdrawn by a rollback while", kind=Kind.CONFLICT):
                run.go()
        else:
            run.go()
            assert world.commit_at("latest") == wanted

    def test_what_is_published_meanwhile_takes_it_over(self, world: World) -> None:
        world.publish(A, latest="force")
        steps = promote(world, B.short, "latest")
        done = carry_out(world, steps, before=at_call(1, world.run(C).go))
        assert world.at("latest") == world.own(C)
        assert done.outcomes[-1].note == f"commit {C.short} is newer"

    def test_what_somebody_else_moves_meanwhile_is_left(self, world: World) -> None:
        """Between the look and the write: who has moved it looks again as well."""
        world.publish(A, latest="force")
        steps = promote(world, B.short, "latest")

        def meanwhile(call: Call) -> None:
            if call.number == 1:
                world.run(C).go()
                world.put(world.store.images[SHOP.repository, world.own(B)], "latest")  # type: ignore[index]
            if (call.method, call.subject) == ("resolve", f"ada/shop:commit-{C.short}"):
                world.put(image(D), f"commit-{D.short}", "latest")

        carry_out(world, steps, before=meanwhile)
        assert world.commit_at("latest") == D


def test_what_is_withdrawn_meanwhile_is_given_back(world: World) -> None:
    carry_out(world, promote(world, A.short, "production"))
    steps = promote(world, B.short, "production")
    mark = f"withdrawn-{B.short}"
    done = carry_out(world, steps, before=at_call(1, lambda: world.put(image(B), mark)))
    assert world.at("production") == world.own(A)
    assert done.outcomes[-1].note == f"{B.short} was withdrawn by a rollback"


def test_what_is_withdrawn_and_moved_by_somebody_else_meanwhile_is_left(world: World) -> None:
    carry_out(world, promote(world, A.short, "production"))
    steps = promote(world, B.short, "production")

    def meanwhile() -> None:
        world.put(image(B), f"withdrawn-{B.short}")
        world.put(image(C), "production")

    carry_out(world, steps, before=at_call(3, meanwhile))
    assert world.commit_at("production") == C


def test_what_somebody_else_brings_back_on_purpose_right_after_the_write_is_left() -> None:
    world = World()
    for each in (A, B):
        world.publish(each, latest="never")
    run = world.start("promote", to=B.sha, tag="latest")

    def bring_back(call: Call) -> None:
        if call.method == "set_tag":
            world.put(image(C), "latest", f"commit-{C.short}", f"withdrawn-{C.short}")

    run.registry.after = bring_back
    run.go()
    assert world.commit_at("latest") == C


def test_what_is_withdrawn_meanwhile_and_held_nothing_before_is_a_conflict(world: World) -> None:
    steps = promote(world, B.short, "production")
    mark = f"withdrawn-{B.short}"
    with fails(f"{B.short} was withdrawn by a rollback while", "delete it", kind=Kind.CONFLICT):
        carry_out(world, steps, before=at_call(1, lambda: world.put(image(B), mark)))


@pytest.mark.parametrize("published", [True, False])
def test_a_milestone_that_becomes_final_meanwhile_stays(world: World, published: bool) -> None:
    """Its git tag is published, and then a newer commit of main."""
    world.put(world.store.images[SHOP.repository, world.own(A)], "sprint3")  # type: ignore[index]
    steps = promote(world, B.short, "sprint3", milestone="sprint3")
    assert shapes(steps)[1:] == ["MoveTag sprint3"]

    def meanwhile() -> None:
        world.history.git_tags["sprint3"] = B
        if published:
            world.run(B, git_tag="sprint3", milestone="sprint3").go()
        world.run(C, milestone="sprint3").go()

    carry_out(world, steps, before=at_call(1, meanwhile))
    assert world.at("sprint3") == world.own(B)


@pytest.mark.parametrize("by_marker", [False, True])
def test_one_that_is_withdrawn_when_it_is_final_stays_too(world: World, by_marker: bool) -> None:
    world.put(world.store.images[SHOP.repository, world.own(A)], "sprint3")  # type: ignore[index]
    steps = promote(world, B.short, "sprint3", milestone="sprint3")
    assert shapes(steps)[1:] == ["MoveTag sprint3"]

    def meanwhile() -> None:
        if by_marker:
            world.put(image(B), "frozen-sprint3")
        else:
            world.history.git_tags["sprint3"] = B
        world.put(image(B), f"withdrawn-{B.short}")

    carry_out(world, steps, before=at_call(1, meanwhile))
    assert world.at("sprint3") == world.own(B)


def test_an_image_of_no_known_commit_is_left_where_it_was_put(world: World) -> None:
    stray = image(None, source="")
    world.put(stray, "stray")
    steps = promote(world, "stray", "production")
    mark = f"withdrawn-{D.short}"  # Of the commit at which the promotion runs.
    carry_out(world, steps, before=at_call(1, lambda: world.put(image(D), mark)))
    assert world.at("production") == stray.digest
