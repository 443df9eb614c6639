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
    project = Project(machine.new_folder("mirrored"), megabytes, layers)
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
        name = "ours, install kept"
        yield [
            Alternative("docker push to it", each.pushed, prepare=each.clear),
            Alternative(name, each.copied, prepare=each.clear),
            Alternative(
                "ours, without the install step", like=name, lap="run", targets={"ratio": RATIO}
            ),
        ]
        machine.proxies.remove(proxy)
