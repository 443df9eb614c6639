"""The jobs of a commit whose images have a job for each platform, in memory.

One that plans, one for each platform of each service, and one that puts together.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from feastflow_registry.commands import publish
from feastflow_registry.model.references import Digest
from feastflow_registry.report import results
from support.memory import Hook, Store
from support.runs import A, B, Run, World

NAMES = ("shop", "menu")
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
RUNNERS = "linux/arm/v7=self-hosted,arm"
JOBS = tuple(itertools.product(NAMES, PLATFORMS))

Job = tuple[str, str]
LAST: Job = ("", "")


@dataclass
class Workflow:
    """The jobs of a commit, on a registry where `latest` holds the commit before."""

    store: Store | None = None
    by_tag: bool = True
    options: dict[str, str] = field(default_factory=dict)
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(NAMES, self.store or Store(), platforms=PLATFORMS)
        if not self.store:
            World(NAMES, self.world.store).publish(A)

    def last(self, before: Hook | None = None, **more: str) -> Run:
        inputs = {"matrix": "platforms", "runners": RUNNERS, **self.options, **more}
        run = self.world.run(B, before=before, **inputs)  # type: ignore[arg-type]
        run.app.deletion.by_tag = self.by_tag
        run.app.deletion.before = run.registry.delete
        return run

    def job(self, job: Job, before: Hook | None = None, **more: object) -> Run:
        if job == LAST:
            return self.last(before)
        name, platform = job
        inputs = {"services": name, "part": platform, **self.options}
        return self.world.run(B, before=before, by_digest=True, **inputs, **more)  # type: ignore[arg-type]

    def due(self) -> list[Job]:
        """What the plan finds to be built."""
        run = self.last(dry_run="true")
        matrix = results.outputs(publish.plan(run.app), (), pushed=False)["matrix"]
        return [(each["service"], each["platform"]) for each in json.loads(matrix)["include"]]

    def go(self, jobs: Iterable[Job]) -> Workflow:
        for each in jobs:
            self.job(each).go()
        self.last().go()
        return self

    @property
    def images(self) -> list[Digest | None]:
        return [self.world.own(B, name) for name in NAMES]

    @property
    def latest(self) -> list[Digest | None]:
        return [self.world.at("latest", name) for name in NAMES]

    @property
    def left(self) -> list[str]:
        """The tags of parts that are there."""
        return sorted(str(tag) for _, tag in self.world.store.tagged if "." in str(tag))
