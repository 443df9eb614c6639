"""Every command, each of its requests, every kind of bad answer: survived, or red and finished.

Never green and wrong: a run that ends well has done and said what it does where nothing fails;
one that does not is finished by running it again.
"""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.fault_scenes import Cached, is_ours, remember_git
from support.machine import Machine, Ran
from support.published_pair import MILESTONE, PublishedPair
from support.registries import LocalRegistry
from support.repositories import Project
from support.servers.faults import Fault
from support.soak import one_in, soak

from integration.conftest import Builder

MEGABYTE = 1024 * 1024
STALE = "sha256:" + "5" * 64
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "500": {"status": 500},
    "404": {"status": 404},
    "a list": {"status": 200, "body": b"[]"},
    "a page": {"status": 200, "body": b"<html>", "headers": {"Content-Type": "text/html"}},
    "another digest": {"status": 200, "headers": {"Docker-Content-Digest": STALE}, "body": b""},
    "too much": {"status": 200, "body": bytes(9 * MEGABYTE)},
    "a bomb": {
        "status": 200,
        "body": gzip.compress(bytes(100 * MEGABYTE), 1),
        "headers": {"Content-Encoding": "gzip"},
    },
}
KINDS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"kind": "status", **facts} for name, facts in ANSWERS.items()},
    **{kind: {"kind": kind} for kind in ("reset_before", "reset_after", "stall", "truncate")},
}
RED = (2, 3, 5, 6, 7)
BELIEVED = {"404", "another digest"}
"""What `tags` shows if a registry says it time and again: it writes nothing."""
COMMANDS: Mapping[str, Mapping[str, str]] = {
    "publish": {},
    "promote": {"tag": "production"},
    "rollback": {"tag": "latest"},
    "deploy": {"manifests": "k8s", "to": "latest"},
    "prune": {"dry_run": "false", "keep_days": "1", "keep_last": "1"},
    "tags": {},
}
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: %s}]}\n"
LISTED = re.compile(r"^(\S+) +([0-9a-f]{12}) .*?( [0-9a-f]{7} )", re.MULTILINE)
"""A tag, its image and its commit; a size that could not be read is shown as unknown."""


@dataclass
class Scene:
    """One command, started from the same state time and again."""

    machine: Machine
    command: str
    start: Mapping[str, str]
    images: Mapping[str, bytes]
    storage: Path

    @property
    def place(self) -> LocalRegistry:
        return self.machine.place

    def reset(self) -> None:
        """Take back what the last run did, deletions too."""
        self.place.proxy.clear()
        self.place.untag(*self.place.tags())
        for name, content in self.images.items():
            (self.storage / name).write_bytes(content)
        self.place.retag(self.start)
        manifest = self.machine.project.folder / "k8s" / "web.yaml"
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(POD % f"{self.place.repository}:latest")

    def run(self, *, timeout: float = 300.0) -> Ran:
        event = "push" if self.command == "publish" else "workflow_dispatch"
        inputs = dict[str, Any](COMMANDS[self.command])
        environ = self.machine.runner(event=event, command=self.command, **inputs)
        return self.machine.call(environ, timeout=timeout)

    def state(self, ran: Ran) -> tuple[object, ...]:
        """Where a run leaves the world, and what it says of it."""
        manifest = (self.machine.project.folder / "k8s" / "web.yaml").read_text()
        listed = LISTED.findall(ran.shown) if self.command == "tags" else []
        return self.place.tags(), manifest, listed

    def failing(self, facts: Mapping[str, Any], times: int | None) -> Iterator[tuple[int, Ran]]:
        """Fail each request in turn, once or from then on; ends when a run makes no more."""
        for nth in itertools.count(1):
            self.reset()
            rule = self.place.proxy.add(Fault(match=is_ours, nth=nth, times=times, **facts))
            ran = self.run(timeout=0.5 if rule.kind == "stall" else 300.0)
            self.place.proxy.clear()
            if not rule.fired:
                assert nth > 2, "the run asked nothing"
                return
            yield nth, ran


@pytest.fixture
def project(pair: PublishedPair, tmp_path: Path) -> Project:
    """The pair's repository, at its second commit."""
    return pair.project.copy(tmp_path)


@pytest.fixture
def scenes(
    place: LocalRegistry,
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Scene]:
    def give(command: str) -> Scene:
        pair.lay_out(place)
        remember_git(monkeypatch)
        monkeypatch.setattr(Cached, "digests", place.tags())
        monkeypatch.setattr("feastflow_registry.builder.engine.Engine", Cached)
        place.untag(MILESTONE)
        own = f"commit-{pair.second[:7]}"
        if command != "publish":
            place.retag({"latest": place.tags()[own]})
        storage = place.registry.storage / "docker/registry/v2/repositories/feastflow/app"
        links = storage.glob("_manifests/revisions/**/link")
        images = {str(each.relative_to(storage)): each.read_bytes() for each in links}
        return Scene(machines(place, remote), command, place.tags(), images, storage)

    return give


def check(scene: Scene, kind: str, times: int | None) -> None:
    facts = KINDS[kind]
    if scene.command == "tags" and kind in BELIEVED and (times != 1 or kind != "404"):
        pytest.skip("nothing else tells, and nothing is written")
    scene.reset()
    whole = scene.state(scene.run().ended())
    for nth, ran in scene.failing(facts, times):
        assert "Traceback" not in ran.log, (nth, ran.shown)
        if ran.code == 0:
            assert scene.state(ran) == whole, (nth, ran.shown)
            continue
        assert ran.code in RED, (nth, ran.shown)
        assert ran.errors, (nth, ran.shown)
        again = scene.run()
        assert scene.state(again.ended()) == whole, (nth, ran.shown, again.shown)


@pytest.mark.parametrize("kind", one_in(4, KINDS))
@pytest.mark.parametrize("command", COMMANDS)
def test_one_bad_answer(scenes: Callable[[str], Scene], command: str, kind: str) -> None:
    check(scenes(command), kind, 1)


@soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_two_in_a_row(scenes: Callable[[str], Scene], command: str, kind: str) -> None:
    check(scenes(command), kind, 2)


@soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_from_then_on(scenes: Callable[[str], Scene], command: str, kind: str) -> None:
    check(scenes(command), kind, None)
