"""Six services in one run, against one command after the other and against building all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from bench.machine import Machine
from bench.measure import Alternative, Run
from bench.monorepo import Monorepo
from bench.ours import Ours, github
from bench.publish import REQUESTS

SERVICES = 6
RATIO = 0.35
_NAMESPACE = "feastflow"


@dataclass
class OneByOne:
    """`docker buildx build --push` of each service, one after the other."""

    machine: Machine
    project: Monorepo
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environ = self.machine.environ(home=self.machine.new_folder("buildx"), login=True)

    def run(self) -> Run:
        """Build and push."""
        tag = f"commit-{self.project.head[:7]}"
        docker = self.environ["PATH"].partition(":")[0] + "/docker"
        options = [] if self.project.cached else ["--no-cache"]

        def work() -> dict[str, float]:
            laps = {}
            for name in self.project.names:
                image = f"{self.machine.host}/{_NAMESPACE}/one-by-one-{name}:{tag}"
                argv = [docker, "buildx", "build", "--push", *options, "--tag", image, name]
                laps[name] = self.machine.run(argv, self.environ, self.project.folder)[0]
            return laps

        run = self.machine.watch(work)
        for name in self.project.names:
            self.machine.check_published(f"{_NAMESPACE}/one-by-one-{name}", [tag])
        return run


@dataclass(frozen=True, slots=True)
class Sides:
    """Who publishes, each with a project of its own."""

    one_by_one: OneByOne
    ours: Ours
    rebuilding: Ours


@contextmanager
def sides(machine: Machine, megabytes: int, *, cached: bool) -> Iterator[Sides]:
    """Set them up, each with everything published once."""
    busybox = machine.busybox()

    def project(name: str) -> Monorepo:
        return Monorepo(machine.new_folder(name), SERVICES, megabytes, busybox, cached=cached)

    theirs, own, never = (project(each) for each in ("one-by-one", "unchanged", "never"))
    with github(own) as own_api, github(never) as api:
        ours = Ours.on(machine, own, own_api, *_published("unchanged", own, "unchanged"))
        rebuilding = Ours.on(machine, never, api, *_published("never", never, "never"))
        found = Sides(OneByOne(machine, theirs), ours, rebuilding)
        for each in (found.one_by_one, ours, rebuilding):
            each.run()
        yield found


def _published(
    namespace: str, project: Monorepo, reuse: str
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The inputs of a run, and the repositories that it publishes."""
    inputs = {"NAMESPACE": namespace, "REUSE": reuse}
    return inputs, tuple(f"{namespace}/{name}" for name in project.names)


def first(found: Sides) -> list[Alternative]:
    """A commit in which every layer of every service is new."""
    theirs = found.one_by_one
    return [
        Alternative(
            "buildx build --push, one by one",
            theirs.run,
            prepare=lambda: theirs.project.commit(fresh=SERVICES),
            share=SERVICES,
        ),
        *_ours(found.ours, prepare=lambda: found.ours.project.commit(fresh=SERVICES)),
    ]


def one(found: Sides) -> list[Alternative]:
    """A commit in which one service changed."""
    never = found.rebuilding
    return [
        Alternative(
            "ours, reuse: never",
            never.run,
            prepare=lambda: never.project.commit(fresh=1),
            share=SERVICES,
        ),
        *_ours(
            found.ours,
            prepare=lambda: found.ours.project.commit(fresh=1),
            targets={"ratio": RATIO},
        ),
    ]


def none(found: Sides) -> list[Alternative]:
    """A commit in which no service changed."""
    theirs = found.one_by_one
    return [
        Alternative(
            "buildx build --push, one by one",
            theirs.run,
            prepare=lambda: theirs.project.commit(fresh=0),
            share=SERVICES,
        ),
        *_ours(
            found.ours,
            prepare=lambda: found.ours.project.commit(fresh=0),
            targets={"requests": SERVICES * 2 * REQUESTS},
            engine=False,
        ),
    ]


def again(found: Sides) -> list[Alternative]:
    """A commit that is published."""
    return [
        Alternative("buildx build --push, one by one", found.one_by_one.run, share=SERVICES),
        *_ours(
            found.ours,
            targets={"requests": SERVICES * REQUESTS, "uploaded": 0},
            engine=False,
        ),
    ]


def _ours(
    ours: Ours,
    *,
    prepare: Callable[[], object] = lambda: None,
    targets: Mapping[str, float] | None = None,
    engine: bool = True,
) -> list[Alternative]:
    kept = "ours, install kept"
    run = partial(ours.run, engine=engine)
    return [
        Alternative(kept, run, prepare=prepare, targets=targets or {}, share=SERVICES),
        Alternative("ours, without the install step", like=kept, lap="run"),
    ]
