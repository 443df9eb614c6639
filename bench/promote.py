"""A published image under more tags: `promote` against `crane tag`, and against pulling it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.machine import Machine
from bench.measure import MIB, Alternative, Run
from bench.ours import REPOSITORY, Ours, github
from bench.project import Project

COUNTS = (1, 5, 20)
MEMORY = 120 * MIB


@dataclass
class Promotion:
    """Two commits that are published. Each run finds the tags on the first one's image."""

    machine: Machine
    ours: Ours
    before: str
    tags: list[str]
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environ = self.machine.environ(home=self.machine.new_folder("promote"), login=True)

    @property
    def image(self) -> str:
        """The image that is promoted, by its commit tag."""
        return f"{self.machine.host}/{REPOSITORY}:{self.commit}"

    @property
    def commit(self) -> str:
        """The tag of its commit."""
        return f"commit-{self.ours.project.head[:7]}"

    def promote(self) -> Run:
        """All tags in one run."""
        return self._checked(self.ours.do())

    def crane(self) -> Run:
        """A command a tag, as crane has it."""
        crane = self.machine.find("crane")

        def work() -> dict[str, float]:
            return {"run": sum(self._time(crane, "tag", self.image, tag) for tag in self.tags)}

        return self._checked(self.machine.watch(work))

    def docker(self) -> Run:
        """One pull; then another name and a push for each tag."""
        docker = self.machine.find("docker")

        def work() -> dict[str, float]:
            laps = {"pull": self._time(docker, "pull", "--quiet", self.image), "tag, push": 0.0}
            for tag in self.tags:
                name = f"{self.machine.host}/{REPOSITORY}:{tag}"
                laps["tag, push"] += self._time(docker, "tag", self.image, name)
                laps["tag, push"] += self._time(docker, "push", "--quiet", name)
            return laps

        return self._checked(self.machine.watch(work))

    def reset(self) -> None:
        """Put the tags back, and leave the engine without the image."""
        tags = self.machine.registry.storage / f"docker/registry/v2/repositories/{REPOSITORY}"
        held = _link(tags, f"commit-{self.before[:7]}").read_text()
        for tag in self.tags:
            _link(tags, tag).parent.mkdir(parents=True, exist_ok=True)
            _link(tags, tag).write_text(held)
        self.machine.clear_images()

    def _checked(self, run: Run) -> Run:
        self.machine.check_published(REPOSITORY, [self.commit, *self.tags])
        return run

    def _time(self, *argv: str) -> float:
        return self.machine.run(argv, self.environ, self.machine.folder)[0]


@contextmanager
def promotions(
    machine: Machine, megabytes: int, layers: int
) -> Iterator[Callable[[int], list[Alternative]]]:
    """Publish; then what there is to compare, by the number of tags."""
    machine.registry.clear()  # What is there is of another history.
    project = Project(machine.new_folder("promoted"), megabytes, layers)
    with github(project) as api:
        publish = Ours.on(machine, project, api)
        before = project.head
        publish.run()
        project.commit(fresh=1)
        publish.run()
        # What the engine has built it would not pull.
        machine.clear_engine()

        def alternatives(count: int) -> list[Alternative]:
            tags = [f"region-{number}" for number in range(count)]
            inputs = {"COMMAND": "promote", "TO": project.head, "TAG": ",".join(tags)}
            ours = replace(publish, inputs={**publish.inputs, **inputs})
            each = Promotion(machine, ours, before, tags)

            def memory() -> int:
                each.reset()
                return ours.memory(engine=False)

            name = "ours, install kept"
            targets = {"memory": MEMORY, "uploaded": count * 10_000}
            return [
                Alternative("crane tag, one by one", each.crane, prepare=each.reset),
                Alternative("docker pull, tag, push", each.docker, prepare=each.reset),
                Alternative(name, each.promote, prepare=each.reset, memory=memory, targets=targets),
                Alternative("ours, without the install step", like=name, lap="run"),
            ]

        yield alternatives


def _link(repository: Path, tag: str) -> Path:
    return repository / "_manifests/tags" / tag / "current/link"
