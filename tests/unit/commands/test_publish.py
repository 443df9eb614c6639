"""What publish, build and push leave behind beside images, and what push needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.failures import fails
from support.memory import FakeBuilder, FakeLedger, FakeRegistry, FakeStatuses
from support.runs import SHOP, A, B, C, FakeApp, World, context

from feastflow_registry.commands import publish
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.ports import Built, BuiltImage
from feastflow_registry.model.references import Commit, Tag
from feastflow_registry.model.run import LAPTOP
from feastflow_registry.model.source import Source


def go(app: FakeApp) -> list[str]:
    return [each.action.value for each in publish.carry_out(app, publish.plan(app))]


def test_what_was_built_is_pushed() -> None:
    world = World()
    build = world.app({"command": "build"}, run=context(A))
    assert go(build) == ["built"]
    assert not build.client.calls
    push = world.app({"command": "push"}, run=context(A), builder=build.engine)
    push.remembered = build.remembered
    build.engine.registry = push.client
    assert go(push) == ["pushed", "created"]
    assert world.own(A) == world.at("latest")


@pytest.mark.parametrize("remembered", [None, B], ids=["nothing", "another commit"])
def test_push_takes_no_other_build(remembered: Commit | None) -> None:
    app = World().app({"command": "push"}, run=context(A))
    app.remembered = FakeLedger(remembered, {"shop": BuiltImage("sha256:1", None, 1)})
    with fails(f"no build of shop at commit {A.short} is known", "publish does both"):
        go(app)
    assert not app.world.store.writes


def test_a_build_of_an_unknown_repository_names_none_and_is_not_pushed() -> None:
    source = Source.behind(["/srv/git/shop"])
    app = World().app({"command": "build"}, run=replace(context(A), source=source))
    assert go(app) == ["built"]
    (build,) = publish.plan(app).builds
    assert not [value for _, value in build.labels if "shop" in value and "/" in value]
    assert app.remembered.commit is None
    [warning] = [text for kind, text in app.log.lines if kind == "warning"]
    assert "push will not take this build: the git remote origin is '/srv/git/shop'" in warning


@pytest.mark.parametrize(
    ("event", "names"),
    [(LAPTOP, ["latest", "sprint3"]), ("pull_request", []), ("push", []), ("workflow_run", [])],
)
def test_only_by_hand_has_a_build_every_name_wherever_it_is(event: str, names: list[str]) -> None:
    """A runner may be anybody's next."""
    given = {"command": "build", "milestone": "sprint3"}
    app = World().app(given, run=context(A, "feature", event=event))
    (build,) = publish.plan(app).builds
    found = [each.identifier for each in build.tags]
    assert sorted(found) == sorted([f"commit-{A.short}", *names])


class CacheBuilder(FakeBuilder):
    """What it builds stays in its cache."""

    def build(self, images: Sequence[BuildImage], *, push: bool) -> Built:
        return Built({each.service.name: BuiltImage("", None, 1000) for each in images}, {})


def test_an_image_of_several_platforms_is_not_remembered() -> None:
    world = World()
    builder = CacheBuilder(FakeRegistry(world.store))
    app = world.app({"command": "build"}, run=context(A), builder=builder)
    go(app)
    assert app.remembered.images == {}
    assert app.log.lines == [
        ("notice", "shop has several platforms and stays in the cache: use publish.")
    ]


def test_a_build_of_modified_files_is_not_remembered() -> None:
    app = World().app({"command": "build"}, run=context(A))
    app.checkout.head = B
    assert go(app) == ["built"]
    assert app.remembered.commit is None
    assert app.log.lines == [
        ("say", f"shop is in the engine as ada/shop:commit-{A.short}, ada/shop:latest."),
        ("warning", f"push will not take this build: HEAD is {B.short}."),
    ]


def test_publish_refuses_another_checkout_before_a_request() -> None:
    app = World().app({}, run=context(A))
    app.checkout.head = B
    with fails("HEAD is"):
        publish.plan(app)
    assert not app.client.calls


class TestStatuses:
    def test_each_image_gets_one_at_the_commit(self) -> None:
        app = World(("shop", "cart")).app({}, run=context(A))
        go(app)
        assert [at for at, _ in app.told.told] == [A, A]
        assert {status.context for _, status in app.told.told} == {"registry/shop", "registry/cart"}

    def test_one_that_cannot_be_left_fails_nothing(self) -> None:
        app = World().app({}, run=context(A))
        app.told = FakeStatuses(failing=True)
        assert go(app)[-1] == "created"
        [(how, notice)] = app.log.lines
        assert how == "notice"
        assert "No commit status says what is published: GitHub answered 403." in notice

    @pytest.mark.parametrize("event", [LAPTOP, "pull_request"])
    def test_none_is_left_by_hand_or_without_a_push(self, event: str) -> None:
        app = World().app({}, run=context(A, event=event))
        go(app)
        assert app.told.told == []


def test_by_hand_the_newest_of_main_takes_latest_over() -> None:
    world = World()
    world.publish(B)
    late = world.app({}, run=context(A, event=LAPTOP, on_remote_main=True))
    go(late)
    assert world.at("latest") == world.own(B)
    elsewhere = world.app({}, run=context(A, event=LAPTOP))
    assert [each.reference.identifier for each in publish.plan(elsewhere).images] == [
        f"commit-{A.short}"
    ]
    assert not publish.plan(elsewhere).moves
    assert go(elsewhere) == ["reused"]
    assert world.own(A) == world.at(f"commit-{A.short}", SHOP.name)


@pytest.mark.parametrize(
    ("event", "folder", "told"),
    [(LAPTOP, ".", True), (LAPTOP, "web", True), (LAPTOP, "api", False), ("push", ".", False)],
)
def test_by_hand_what_is_in_no_commit_is_told(event: str, folder: str, told: bool) -> None:
    world = World()
    app = world.app({}, run=context(A, event=event))
    [service] = app.services
    app.inputs = replace(app.inputs, services=(replace(service, context=folder),))
    app.checkout.others = ["web/notes.txt"]
    publish.plan(app)
    said = [text for how, text in app.log.lines if how == "warning"]
    assert (
        any("in no commit may get into the images: web/notes.txt." in each for each in said) == told
    )
    go(app)
    app.log.lines.clear()
    publish.plan(app)
    assert not app.log.lines, "nothing is built"


def test_by_hand_a_remote_that_does_not_answer_is_told_before_anything_is_published() -> None:
    world = World()

    def fail(*_: object) -> None:
        raise Failure(Kind.UNREACHABLE, "no answer.", "Run again.")

    world.history.newer = fail  # type: ignore[assignment,method-assign]
    app = world.app({}, run=context(A, event=LAPTOP, on_remote_main=True))
    with fails("no answer.", kind=Kind.UNREACHABLE):
        publish.plan(app)
    publish.plan(world.app({}, run=context(A, event=LAPTOP)))  # It has no shared tags.


def test_a_git_tag_follows_no_branch_of_its_name() -> None:
    world = World()
    world.history.branches["v1"] = C
    world.publish(C)
    world.run(B, git_tag="v1", extra_tags="stable").go()
    assert world.at("stable") == world.own(B)


def test_a_branch_in_a_runner_follows_itself() -> None:
    world = World()
    world.history.branches = {"main": A, "feature": C}
    options = {"branch": "feature", "branches": "main,feature", "extra_tags": "{branch}"}
    world.publish(C, **options)
    world.store.tagged.pop((SHOP.repository, Tag("feature")))
    world.publish(B, **options)
    assert world.at("feature") == world.own(C)


def test_a_service_is_built_from_one_that_is_not_asked_for() -> None:
    app = World(("shop", "cart")).app({"command": "build", "services": "shop"}, run=context(A))
    shop, cart = app.inputs.all_services
    shop = replace(shop, contexts=(("base", "service:cart"),))
    app.inputs = replace(app.inputs, services=(shop,), all_services=(shop, cart))
    [build] = publish.plan(app).builds
    assert build.needs == (cart,)
