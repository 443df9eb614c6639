"""Registries that show a write only after some seconds: every command ends as where none does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.scenes import COMMANDS, Scene
from support.servers.habits import Late
from support.servers.serving import Call
from support.soak import chosen, one_in

WRITES = ("PUT", "DELETE", "POST", "PATCH")
Scenes = Callable[[str], Scene]


def late(scene: Scene, seconds: float) -> None:
    """Have the registry be late from now on, by the time that runs wait."""
    clock = scene.machine
    scene.place.proxy.habits = [Late(seconds, scene.place.tags, lambda: clock.waited)]


def writes(scene: Scene) -> list[tuple[str, str]]:
    """What was written since the scene was set."""
    return sorted(
        (each.method, each.path)
        for each in scene.place.requests()
        if each.method in WRITES and "uploads" not in each.path
    )


def begin(scene: Scene) -> None:
    scene.reset()
    scene.place.proxy.forget()


@pytest.mark.parametrize("command", one_in(3, COMMANDS))
@pytest.mark.parametrize("seconds", chosen([10, 1, 29]))
def test_a_late_registry_changes_neither_the_end_nor_the_writes(
    scenes: Scenes, command: str, seconds: float
) -> None:
    scene = scenes(command)
    begin(scene)
    whole, wrote = scene.state(scene.run().ended()), writes(scene)
    begin(scene)
    late(scene, seconds)
    ran = scene.run().ended()
    assert scene.state(ran) == whole
    assert writes(scene) == wrote
    assert ran.slept < 4 * seconds + 10


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_write_that_stays_invisible_is_red(scenes: Scenes, command: str) -> None:
    """It is made all the same: a rollback's tag goes back, though its mark is not seen."""
    scene = scenes(command)
    begin(scene)
    whole = scene.state(scene.run().ended())
    begin(scene)
    late(scene, 600)
    ran = scene.run()
    assert scene.state(ran.ended(7)) == whole
    assert "was written, and is not visible yet" in ran.errors[0]
    assert re.search(r"^Written, not yet visible: .*:(production|latest)\b", ran.log, re.MULTILINE)


@dataclass
class Overwritten:
    """Somebody else gives a tag another image, right after we have written it."""

    scene: Scene
    tag: str
    digest: str
    written: bool = False

    def meets(self, call: Call) -> bool:
        if call.path.endswith(f"manifests/{self.tag}"):
            if self.written and call.command == "HEAD":
                self.scene.place.retag({self.tag: self.digest})
            self.written |= call.command == "PUT"
        return False


@pytest.mark.parametrize("seconds", [0, 10])
def test_another_runs_write_is_still_found(scenes: Scenes, seconds: float) -> None:
    scene = scenes("promote")
    begin(scene)
    late(scene, seconds)
    [other] = {*scene.start.values()} - {scene.start["latest"]}
    scene.place.proxy.habits.insert(0, Overwritten(scene, "production", other))
    ran = scene.run()
    ran.ended(7)
    assert "production was moved, but holds" in ran.errors[0]
    assert scene.place.tags()["production"] == other
