"""The view of a registry."""

from __future__ import annotations

import json

import pytest
from support.failures import fails
from support.runs import A, B, C, World

from feastflow_registry.commands import tags


def test_every_service_is_listed_and_an_empty_one_is_said() -> None:
    world = World(("shop", "cart"))
    World(("shop",), store=world.store).publish(A)
    app = world.app({"command": "tags"})
    found = tags.run(app)
    assert any(f"commit-{A.short}" in line for line in found.lines)
    assert f"commit-{A.short}" in found.markdown
    assert "latest" in json.dumps(json.loads(found.json))
    [(how, warning)] = app.log.lines
    assert how == "warning"
    assert "ada/cart" in warning
    assert not app.client.counts["set_tag"]


@pytest.fixture
def world() -> World:
    world = World(("shop", "cart"))
    for each in (A, B):
        world.publish(each)
    return world


def listed(world: World, wanted: str) -> list[tuple[str, str]]:
    """The tags that are listed of an image, each with its service."""
    found = json.loads(tags.run(world.app({"command": "tags", "to": wanted})).json)
    return [(each["service"], tag["tag"]) for each in found["services"] for tag in each["tags"]]


@pytest.mark.parametrize("wanted", [B.sha, B.short, B.short[:4], f"commit-{B.short}", "latest"])
def test_the_tags_of_an_image_are_asked_for(world: World, wanted: str) -> None:
    names = ("latest", f"commit-{B.short}") if wanted == "latest" else ()
    found = listed(world, wanted)
    assert ("shop", f"commit-{B.short}") in found
    assert ("cart", f"commit-{B.short}") in found
    if len(wanted) > 4:
        assert ("shop", f"commit-{A.short}") not in found
    assert {("shop", each) for each in names} <= {*found}


def test_whose_an_image_is_a_digest_tells(world: World) -> None:
    digest = world.own(A)
    assert digest
    [repository] = {each for each, held in world.store.images if held == digest}
    for wanted in (str(digest), digest.short, f"sha256:{digest.short}"):
        assert listed(world, wanted) == [(repository.name, f"commit-{A.short}")]


@pytest.mark.parametrize(
    ("wanted", "fix"),
    [("lates", 'meant "latest"'), (C.short, "lists what is there"), ("sha256:abcdef1", "lists")],
)
def test_what_nothing_holds_is_refused(world: World, wanted: str, fix: str) -> None:
    with fails("no tag of ada/shop, ada/cart holds", fix):
        listed(world, wanted)
    with fails("no tag of ada/shop holds", "Nothing is published there"):
        listed(World(), wanted)


def test_a_list_has_whole_digests_where_they_are_asked_for(world: World) -> None:
    app = world.app({"command": "tags"})
    app.whole_digests = True
    assert any(str(world.own(A)) in line for line in tags.run(app).lines)
