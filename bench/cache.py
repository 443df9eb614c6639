"""One layer of six is new: a builder that knows the others, and an empty one with a cache to read.

On a hosted runner every run has a new builder. Here it is one BuildKit, emptied before each run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bench.machine import BuildCache, Machine
from bench.measure import Alternative, Run
from bench.ours import Ours, github
from bench.project import Project

RATIO = 1.3
_BUILDER = "feastflow-bench"


@dataclass
class Builds:
    """A repository that is built by a remote builder, whose cache is that."""

    ours: Ours
    kept: BuildCache

    def change(self) -> None:
        """Make one layer new."""
        self.ours.project.commit(fresh=1)

    def warm(self) -> None:
        """Have the builder know all but one layer."""
        self.change()
        self.ours.run()
        self.change()

    def clear(self) -> None:
        """Have the builder know nothing, and one layer be new."""
        self.kept.prune()
        self.change()

    def without(self) -> Run:
        """Publish, and read no cache."""
        return replace(self.ours, inputs={**self.ours.inputs, "CACHE": "none"}).run()


@contextmanager
def builds(machine: Machine, megabytes: int, layers: int) -> Iterator[list[Alternative]]:
    """Publish once; then what there is to compare."""
    machine.registry.clear()  # What is there is of another history.
    project = Project(machine.new_folder("cached"), megabytes, layers, machine.busybox())
    with github(project) as api:
        ours = Ours.on(machine, project, api)
        cached = {**ours.inputs, "BUILDER": _BUILDER, "CACHE": "registry"}
        each = Builds(replace(ours, inputs=cached), _builder(machine, ours))
        try:
            each.ours.run()
            yield [
                Alternative("a warm builder", each.ours.run, prepare=each.warm),
                Alternative(
                    "an empty one, cache: registry",
                    each.ours.run,
                    prepare=each.clear,
                    targets={"ratio": RATIO},
                ),
                Alternative("an empty one, cache: none", each.without, prepare=each.clear),
            ]
        finally:
            each.kept.prune()


def _builder(machine: Machine, ours: Ours) -> BuildCache:
    environ = machine.environ(home=ours.docker, docker=ours.docker)
    address = machine.stack["FEASTFLOW_DEV_BUILDKIT"]
    create = ["docker", "buildx", "create", "--driver", "remote", "--name", _BUILDER, address]
    machine.run(create, environ, machine.folder)
    return BuildCache(environ, _BUILDER)
