"""Our program against `docker buildx build --push` of one tag, by the same engine and registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from bench.machine import Install, Machine
from bench.measure import MIB, Alternative, Run
from bench.ours import Ours, github
from bench.project import Project

MEMORY = 120 * MIB
REQUESTS = 10
COLD_INSTALLS = {f"ours, install cold, {how.value}": how for how in Install}


@dataclass
class Buildx:
    """One command, the tag in it made new for each commit."""

    machine: Machine
    project: Project
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environ = self.machine.environ(home=self.machine.new_folder("buildx"), login=True)

    def run(self) -> Run:
        """Build and push."""
        tag = f"commit-{self.project.head[:7]}"
        image = f"{self.machine.host}/feastflow/buildx:{tag}"
        docker = self.environ["PATH"].partition(":")[0] + "/docker"
        argv = [docker, "buildx", "build", "--push", "--tag", image, "."]

        def work() -> dict[str, float]:
            return {"run": self.machine.run(argv, self.environ, self.project.folder)[0]}

        run = self.machine.watch(work)
        self.machine.check_published("feastflow/buildx", [tag])
        return run


@contextmanager
def sides(machine: Machine, megabytes: int, layers: int) -> Iterator[tuple[Buildx, Ours]]:
    """Both sides, each with a project of its own, of the same size."""
    theirs = Buildx(machine, Project(machine.new_folder("theirs"), megabytes, layers))
    project = Project(machine.new_folder("ours"), megabytes, layers)
    with github(project) as api:
        yield theirs, Ours.on(machine, project, api)


def first(buildx: Buildx, ours: Ours, fresh: int) -> list[Alternative]:
    """A commit that was never published, `fresh` of its layers new."""

    def commit() -> None:
        ours.project.commit(fresh=fresh)

    def memory() -> int:
        commit()
        return ours.memory()

    kept = "ours, install kept"
    found = [
        Alternative(
            "buildx build --push, one tag",
            buildx.run,
            prepare=lambda: buildx.project.commit(fresh=fresh),
        ),
        Alternative(kept, ours.run, prepare=commit, memory=memory, targets={"memory": MEMORY}),
        Alternative("ours, without the install step", like=kept, lap="run"),
    ]
    return found + [
        Alternative(name, partial(ours.run, cold=how), prepare=commit)
        for name, how in COLD_INSTALLS.items()
    ]


def again(buildx: Buildx, ours: Ours) -> list[Alternative]:
    """A commit that is published: nothing may be uploaded, and no engine is there for us."""
    kept = "ours, install kept"
    targets = {"requests": REQUESTS, "uploaded": 0}
    found = [
        Alternative("buildx build --push, one tag", buildx.run),
        Alternative(
            kept,
            partial(ours.run, engine=False),
            memory=partial(ours.memory, engine=False),
            targets={**targets, "memory": MEMORY},
        ),
        Alternative("ours, without the install step", like=kept, lap="run"),
    ]
    return found + [
        Alternative(name, partial(ours.run, cold=how, engine=False), targets=targets)
        for name, how in COLD_INSTALLS.items()
    ]
