"""Images that were published under another name of the repository, and each command after that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.runs import SHOP, SOURCE, A, B, C, World, context, image

from feastflow_registry.commands import deploy
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import Action

OLD = "https://github.com/old/shop"
POD = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: ada/shop:old}]}\n"


@pytest.fixture
def world() -> World:
    """A and B were published under the former name."""
    world = World(former_names={"old/shop"})
    for at in (A, B):
        world.put(image(at, source=OLD), f"commit-{at.short}")
    world.put(image(B, source=OLD), "latest")
    return world


def renamed(world: World, *, known: bool) -> dict[str, str]:
    """How a run hears of the former name: from the host, or from whoever wrote the workflow."""
    if known:
        return {}
    world.former_names.clear()
    return {"also_known_as": "old/shop"}


@pytest.mark.parametrize("known", [True, False], ids=["the host says so", "also-known-as"])
class TestAfterARename:
    def test_a_re_run_builds_nothing(self, world: World, known: bool) -> None:
        ran = world.publish(B, **renamed(world, known=known))
        assert {each.action for each in ran.outcomes} == {Action.REUSED, Action.KEPT}
        assert not ran.reached

    def test_the_next_publish_moves_latest_on(self, world: World, known: bool) -> None:
        world.publish(C, **renamed(world, known=known))
        assert world.commit_at("latest") == C
        digest = world.own(C)
        assert digest
        assert world.store.images[SHOP.repository, digest].source == SOURCE

    def test_a_rollback_to_before_it(self, world: World, known: bool) -> None:
        options = renamed(world, known=known)
        world.publish(C, **options)
        world.start("rollback", C, **options).go()
        assert world.commit_at("latest") == B
        world.start("rollback", C, to=A.sha, **options).go()
        assert world.commit_at("latest") == A

    def test_a_promotion(self, world: World, known: bool) -> None:
        options = renamed(world, known=known)
        world.start("promote", C, to=A.sha, tag="production", **options).go()
        assert world.commit_at("production") == A

    def test_what_did_not_change_is_carried_forward(self, world: World, known: bool) -> None:
        options = renamed(world, known=known)
        world.inputs = {(C, "shop"): "same"}
        world.put(replace(image(B, source=OLD), inputs="same"))
        run = world.publish(C, reuse="unchanged", **options)
        assert run.actions[0] == ("carried", f"commit-{C.short}")
        assert world.own(C) == world.own(B)

    def test_a_deployment(self, world: World, known: bool, tmp_path: Path) -> None:
        manifest = tmp_path / "shop.yaml"
        manifest.write_text(POD)
        given = {"command": "deploy", "manifests": ".", "to": A.sha, **renamed(world, known=known)}
        app = world.app(given, run=context(C), folder=tmp_path)
        list(deploy.carry_out(app, deploy.plan(app)))
        assert f"ada/shop:commit-{A.short}@{world.own(A)}" in manifest.read_text()


@pytest.mark.parametrize("command", ["publish", "rollback", "promote"])
def test_a_name_that_is_not_this_repositorys_is_refused(world: World, command: str) -> None:
    world.former_names.clear()
    options = {"to": A.sha, "tag": "latest"} if command != "publish" else {}
    run = world.start(command, B, **options) if command != "publish" else world.run(B)
    failure = run.failure()
    assert isinstance(failure, Failure)
    assert failure.kind is Kind.CONFLICT
    assert f'of "{OLD}"' in str(failure)
    assert "also-known-as" in str(failure)
    assert not world.store.writes
