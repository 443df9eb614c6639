"""A published image on a second registry: `also` beside `docker push` of the same image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from support.servers.fault_proxy import FaultProxy
from support.servers.registry import Registry

from bench.machine import USER, BenchError, Machine
from bench.measure import Alternative, Run
from bench.ours import REPOSITORY, Ours, github
from bench.project import Project

RATIO = 0.6


@dataclass
class Second:
    """A registry that lacks what the first one has. `ours`: a run that publishes to both."""

    machine: Machine
    registry: Registry
    host: str
    ours: Ours

    def copied(self) -> Run:
        """The run of a commit that only the first registry has: it is copied from there."""
        return self._checked(self.ours.do())

    def added(self) -> Run:
        """By how much the copy makes a run longer than one that finds all of it there."""
        first, again = self.copied(), self.ours.do()
        return Run({"copy": max(0.0, first.laps["run"] - again.laps["run"])}, first.requests)

    def pushed(self) -> Run:
        """What the engine has, under the name that it has there."""
        docker = self.machine.find("docker")
        environ = self.machine.environ(home=self.machine.new_folder("second"), login=True)
        tag = f"commit-{self.ours.project.head[:7]}"
        here, there = (f"{host}/{REPOSITORY}:{tag}" for host in (self.machine.host, self.host))

        def time(*argv: str) -> float:
            return self.machine.run([docker, *argv], environ, self.machine.folder)[0]

        time("tag", here, there)
        time("login", "--username", USER, "--password", self.machine.token, self.host)
        return self._checked(self.machine.watch(lambda: {"run": time("push", "--quiet", there)}))

    def clear(self) -> None:
        """Have the second registry hold nothing."""
        self.registry.clear()

    def _checked(self, run: Run) -> Run:
        folder = self.registry.storage / f"docker/registry/v2/repositories/{REPOSITORY}"
        if not any(folder.glob("_manifests/tags/commit-*")):
            raise BenchError("the second registry does not hold the commit")
        return run


@contextmanager
def registries(machine: Machine, megabytes: int, layers: int) -> Iterator[list[Alternative]]:
    """Publish to one registry; then what there is to compare, for the second."""
    machine.registry.clear()  # What is there is of another history.
    project = Project(machine.new_folder("mirrored"), megabytes, layers, halved=True)
    with (
        github(project) as api,
        Registry(users={USER: machine.token}) as registry,
        FaultProxy(registry.url) as proxy,
    ):
        machine.proxies.append(proxy)
        host = f"localhost:{proxy.port}"
        publish = Ours.on(machine, project, api)
        publish.run()
        also = {
            "ALSO": f"{host}/{REPOSITORY}",
            "ALSO_CREDENTIALS": f"{host} {USER} {machine.token}",
        }
        ours = replace(publish, inputs={**publish.inputs, **also})
        each = Second(machine, registry, host, ours)
        yield [
            Alternative("docker push to it", each.pushed, prepare=each.clear),
            Alternative(
                "ours, what it adds to a run",
                each.added,
                prepare=each.clear,
                targets={"ratio": RATIO},
            ),
            Alternative("ours, a run for it alone", each.copied, prepare=each.clear),
        ]
        machine.proxies.remove(proxy)
