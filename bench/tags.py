"""Listing many tags: `tags` on a registry and on Docker Hub, from a hundred to ten thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench.machine import BenchError, Machine
from bench.measure import MIB, Alternative, Run
from bench.ours import Ours
from bench.stock import Stock, docker_hub

COUNTS = (100, 1_000, 10_000)
MEMORY = 150 * MIB
PAGE = 100
SIZES = 100
AROUND = 10
"""Requests that do not depend on the number of tags, at most."""


@contextmanager
def listings(machine: Machine) -> Iterator[Mapping[str, list[Alternative]]]:
    """Fill the repositories; what there is to compare, by the kind of registry."""
    with ExitStack() as opening:
        address = opening.enter_context(docker_hub(machine))
        plain: list[Alternative] = []
        hub: list[Alternative] = []
        for count in COUNTS:
            stock = Stock(machine, count - 1, f"tags-{count}")
            ours = opening.enter_context(stock.ours(COMMAND="tags"))
            on_hub = opening.enter_context(stock.ours(COMMAND="tags", HUB_URL=address))
            requests = count + SIZES + AROUND
            plain.append(_ours(count, ours, least=count, most=requests))
            hub.append(_ours(count, on_hub, least=count // PAGE, most=count // PAGE + AROUND))
            plain.append(Alternative(f"crane ls, {count:,} tags", _crane(stock)))
            if count == COUNTS[0]:
                each = f"crane ls, crane digest a tag, {count:,} tags"
                plain.append(Alternative(each, _crane(stock, digests=True)))
        yield {"a plain registry": plain, "Docker Hub's API": hub}


def _ours(count: int, ours: Ours, *, least: int, most: int) -> Alternative:
    """`least`: requests without which not every tag was seen."""

    def run() -> Run:
        found = ours.do()
        if len(found.requests) < least:
            raise BenchError(f"{count} tags were not listed by {len(found.requests)} requests")
        return found

    growth = {"ratio": count / COUNTS[0]} if count > COUNTS[0] else {}
    return Alternative(
        f"ours, {count:,} tags",
        run,
        memory=lambda: ours.memory(engine=False),
        targets={**growth, "requests": most, "memory": MEMORY},
    )


def _crane(stock: Stock, *, digests: bool = False) -> Callable[[], Run]:
    """The names alone; or each one's digest too, which is a command a tag."""
    machine = stock.machine
    crane = machine.find("crane")
    environ = machine.environ(home=machine.new_folder("crane"), login=True)
    repository = f"{machine.host}/{stock.repository}"

    def work() -> dict[str, float]:
        seconds, said = machine.run([crane, "ls", repository], environ, machine.folder)
        names = said.split()
        if len(names) != len(stock.names):
            raise BenchError(f"crane lists {len(names)} tags instead of {len(stock.names)}")
        laps = {"ls": seconds}
        if digests:
            asked = ([crane, "digest", f"{repository}:{name}"] for name in names)
            laps["digest"] = sum(machine.run(each, environ, machine.folder)[0] for each in asked)
        return laps

    return lambda: machine.watch(work)
