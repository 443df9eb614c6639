"""Every command that talks to a registry, started from the same state time and again.

Two commits are published, and nothing has to be built: a run costs milliseconds.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.fault_scenes import Cached, is_ours, remember_git
from support.machine import Machine, Ran
from support.many_tags import ImageMaker, commit_days
from support.published_pair import MILESTONE, PublishedPair
from support.registries import REPOSITORY, LocalRegistry
from support.servers.faults import Fault

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "publish": {},
    "promote": {"tag": "production"},
    "rollback": {"tag": "latest"},
    "deploy": {"manifests": "k8s", "to": "latest"},
    "prune": {"dry_run": "false", "keep_days": "1", "keep_last": "1"},
    "tags": {},
}
ELSEWHERE = "promote to another registry"
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "publish": COMMANDS["publish"],
    "re-run": {"command": "publish"},
    "promote": COMMANDS["promote"],
    ELSEWHERE: {"command": "promote"},
    **COMMANDS,
}
"""The commands; two of them twice, as they end otherwise where all is done, or to be copied."""
MIRROR = "mirror/app"
"""Where images go on another registry."""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: %s}]}\n"
LISTED = re.compile(r"^(\S+) +([0-9a-f]{12}) .*?( [0-9a-f]{7} )", re.MULTILINE)
"""A tag, its image and its commit; a size that could not be read is shown as unknown."""


@dataclass
class Scene:
    """One command, started from the same state time and again.

    `other`: the registry that images are promoted to, if it is another one. `inputs` and
    `variables` are given to a run beside those of its command.
    """

    machine: Machine
    command: str
    start: Mapping[str, str]
    images: Mapping[str, bytes]
    storage: Path
    other: LocalRegistry | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        command: str,
        machine: Machine,
        pair: PublishedPair,
        monkeypatch: pytest.MonkeyPatch,
        other: LocalRegistry | None = None,
    ) -> Scene:
        """Start from the pair; a publish has still to move `latest`, a prune finds old commits."""
        place = machine.place
        pair.lay_out(place)
        remember_git(monkeypatch)
        monkeypatch.setattr(Cached, "digests", place.tags())
        monkeypatch.setattr("feastflow_registry.builder.engine.Engine", Cached)
        place.untag(MILESTONE)
        if command != "publish":
            place.retag({"latest": place.tags()[f"commit-{pair.second[:7]}"]})
        if command == "prune":
            stock = ImageMaker(place)
            for name in commit_days(machine.project, 400, 300, 200):
                stock.tag({f"commit-{name}": stock.image(name)})
        storage = place.registry.storage / "docker/registry/v2/repositories" / REPOSITORY
        scene = cls(machine, command, {}, {}, storage, other)
        scene.remember()
        return scene

    def remember(self) -> None:
        """Start from what is there now."""
        self.start = self.place.tags()
        links = self.storage.glob("_manifests/revisions/**/link")
        self.images = {str(each.relative_to(self.storage)): each.read_bytes() for each in links}

    @property
    def place(self) -> LocalRegistry:
        """The registry."""
        return self.machine.place

    def reset(self) -> None:
        """Take back what the last run did, deletions too."""
        self.place.proxy.clear()
        if self.other:
            self.other.registry.clear()
        self.place.untag(*self.place.tags())
        for name, content in self.images.items():
            path = self.storage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.place.retag(self.start)
        manifest = self.machine.project.folder / "k8s" / "web.yaml"
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(POD % f"{self.place.repository}:latest")

    def environ(self) -> dict[str, str]:
        """What a run is started with."""
        inputs = dict[str, Any]({"command": self.command, **COLUMNS[self.command], **self.inputs})
        event = "push" if inputs["command"] == "publish" else "workflow_dispatch"
        if self.other:
            inputs["tag"] = f"{self.other.host}/{MIRROR}:production"
            self.log_in({self.other.host: self.other.login})
        return {**self.machine.runner(event=event, **inputs), **self.variables}

    def log_in(self, auths: Mapping[str, Mapping[str, str]]) -> None:
        """Keep credentials by the hosts of registries, as `docker login` does."""
        folder = self.machine.folder / "docker-login"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "config.json"
        known = json.loads(file.read_text())["auths"] if file.exists() else {}
        file.write_text(json.dumps({"auths": {**known, **auths}}))
        self.variables["DOCKER_CONFIG"] = str(folder)

    def run(self, *, timeout: float = 300.0) -> Ran:
        """Run once, in this process."""
        return self.machine.call(self.environ(), timeout=timeout)

    def state(self, ran: Ran) -> tuple[object, ...]:
        """Where a run leaves the world, and what it says of it."""
        manifest = (self.machine.project.folder / "k8s" / "web.yaml").read_text()
        listed = LISTED.findall(ran.shown) if self.command == "tags" else []
        copied = self.other.tags(MIRROR) if self.other else {}
        return self.place.tags(), copied, manifest, listed

    def failing(
        self,
        facts: Mapping[str, Any],
        times: int | None,
        others: Sequence[Mapping[str, Any]] = (),
    ) -> Iterator[tuple[int, Ran]]:
        """Fail each request in turn, once or from then on; ends when a run makes no more.

        `others`: what befalls the request after it, each by turns.
        """
        for nth in itertools.count(1):
            self.reset()
            rule = self.place.proxy.add(Fault(match=is_ours, nth=nth, times=times, **facts))
            stalls = rule.kind == "stall"
            if others:
                other = Fault(match=is_ours, nth=nth + 1, **others[nth % len(others)])
                stalls |= self.place.proxy.add(other).kind == "stall"
            ran = self.run(timeout=0.5 if stalls else 300.0)
            self.place.proxy.clear()
            if not rule.fired:
                assert nth > 2, "the run asked nothing"
                return
            yield nth, ran
