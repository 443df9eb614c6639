"""The view of a registry."""

from __future__ import annotations

import json

from support.runs import A, World

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
