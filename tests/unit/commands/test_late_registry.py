"""A registry that shows what was written some seconds later: no command ends otherwise for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from support.failures import fails
from support.memory import Call, Hook
from support.platform_jobs import JOBS, Workflow
from support.runs import A, B, C, D, Run, World, commit, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.report import results

E = commit(0xE)
PRUNE = {"keep_days": "1", "keep_last": "1", "dry_run": "false"}
MARK = f"ada/shop:withdrawn-{C.short}"


def published(*, made_of: str = "") -> World:
    """Three commits; what they are made of, if it is the same for all."""
    inputs = {(each, "shop"): made_of for each in (A, B, C, D) if made_of}
    world = World(inputs=inputs)
    for each in (A, B, C):
        world.publish(each)
    return world


def whole_images_only(run: Run) -> Run:
    run.app.deletes.by_tag = False
    return run


def joining() -> Run:
    """Put the parts of two images together, and take their tags away."""
    workflow = Workflow()
    for each in JOBS:
        workflow.job(each).go()
    return workflow.last()


def unmarking(*, by_tag: bool) -> Run:
    world = published()
    world.start("rollback").go()
    run = world.start("rollback", to=C.sha, unmark="true")
    run.app.deletes.by_tag = by_tag
    return run


SCENES: Mapping[str, Callable[[], Run]] = {
    "publish": lambda: published().run(D, milestone="sprint3"),
    "publish by digest": lambda: published().run(D, milestone="sprint3", by_digest=True),
    "publish what is unchanged": lambda: published(made_of="1").run(D, reuse="unchanged"),
    "publish again": lambda: published().run(C),
    "publish a release": lambda: published().run(C, git_tag="v1.2.3", latest="release"),
    "publish a platform": lambda: Workflow().job(JOBS[0]),
    "publish what jobs have built": joining,
    "promote": lambda: published().start("promote", to=B.sha, tag="production, staging"),
    "promote elsewhere": lambda: published().start("promote", to=B.sha, tag="team/shop:production"),
    "publish to two registries": lambda: published().run(D, also="ghcr.io/team"),
    "rollback": lambda: published().start("rollback"),
    "unmark": lambda: unmarking(by_tag=False),
    "unmark and delete": lambda: unmarking(by_tag=True),
    "prune": lambda: published().start("prune", D, **PRUNE),
    "prune whole images": lambda: whole_images_only(published().start("prune", D, **PRUNE)),
}


def came_of(run: Run) -> tuple[object, ...]:
    """What the registry holds, what was written and deleted, and what was said to be done."""
    store, app = run.registry.store, run.app
    run.go()
    return store.tagged, sorted(map(str, store.writes)), app.deletes.asked, app.copies.copied


@pytest.mark.parametrize("seconds", [1, 10])
@pytest.mark.parametrize("scene", SCENES)
def test_the_end_and_the_writes_are_the_same(scene: str, seconds: float) -> None:
    at_once, late = SCENES[scene](), SCENES[scene]()
    late.registry.store.lag = seconds
    assert came_of(late) == came_of(at_once)
    assert [each.action for each in late.outcomes] == [each.action for each in at_once.outcomes]
    assert late.registry.store.now < 9 * seconds + 10


@pytest.mark.parametrize("scene", SCENES)
def test_where_nothing_shows_late_nothing_is_waited_for(scene: str) -> None:
    run = SCENES[scene]().go()
    assert run.registry.store.now == 0


def overwriting(world: World, tag: str) -> Hook:
    """Somebody else gives a tag another image, right after it was written."""

    def hook(call: Call) -> None:
        if (call.method, call.subject) == ("set_tag", f"ada/shop:{tag}"):
            world.put(image(A), tag)

    return hook


@pytest.mark.parametrize("seconds", [0, 1, 10])
def test_another_runs_write_is_still_found(seconds: float) -> None:
    world = published()
    world.store.lag = seconds
    run = world.start("promote", to=B.sha, tag="production")
    run.registry.after = overwriting(world, "production")
    with fails("production was moved, but holds", kind=Kind.UNVERIFIED):
        run.go()
    assert run.plan
    assert results.standing(run.plan, run.outcomes, run.app.state).lines[1] == (
        "In doubt, for it was not read back: ada/shop:production."
    )


@pytest.mark.parametrize("seconds", [0, 1, 10])
def test_what_was_moved_since_the_plan_is_still_left_alone(seconds: float) -> None:
    world = published()
    world.store.lag = seconds
    run = world.start("promote", to=B.sha, tag="production")

    def move(call: Call) -> None:
        if call.subject == "ada/shop:production" and not world.at("production"):
            world.put(image(A), "production")
            world.store.sleep(seconds)

    run.registry.after = move
    with fails("production was moved by another run since the plan", kind=Kind.CONFLICT):
        run.go()
    assert world.at("production") == image(A).digest


@pytest.mark.parametrize("seconds", [40, 600])
def test_a_mark_that_shows_late_keeps_no_tag(seconds: float) -> None:
    """It is looked for once more in the end, and the run is red where it is not there then."""
    world = published()
    world.store.lag, world.store.prompt = seconds, {"latest"}
    run = world.start("rollback")
    with fails(f"{MARK} was written, and is not visible yet", kind=Kind.UNVERIFIED):
        run.go()
    assert world.at("latest") == world.own(B)
    assert run.actions == [("reused", f"commit-{B.short}"), ("moved", "latest")]
    assert run.plan
    standing = results.standing(run.plan, run.outcomes, run.app.state)
    assert standing.lines == [
        "Written before the failure: ada/shop:latest.",
        f"Written, not yet visible: {MARK}.",
        "Run the same again: what is done stays done.",
    ]


def test_a_mark_that_shows_before_the_end_is_no_failure() -> None:
    world = published()
    world.store.lag = 40
    assert world.start("rollback").go().actions[-2:] == [
        ("moved", "latest"),
        ("marked", f"withdrawn-{C.short}"),
    ]
    assert world.at("latest") == world.own(B)


def test_what_others_wrote_is_given_the_time_that_our_own_writes_took() -> None:
    """As where a tag is shown by one copy of a registry at once, and another tag by one behind."""
    world = published()
    world.store.lag, world.store.prompt = 10, {"latest"}
    run, newer = world.run(D), image(E)

    def publish_newer(call: Call) -> None:
        if (call.method, call.subject) == ("set_tag", "ada/shop:latest"):
            world.put(newer, f"commit-{E.short}", "latest")

    world.history.parents[E], world.history.branches["main"] = (D,), E
    run.registry.before = publish_newer
    run.go()
    assert world.at("latest") == newer.digest
