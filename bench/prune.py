"""Deleting a thousand tags: by digest on a plain registry, by tag on Docker Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bench.machine import BenchError, Machine
from bench.measure import MIB, Alternative, Run
from bench.ours import Ours
from bench.stock import Stock, docker_hub

COUNT = 1_000
LAST = 10
PAUSE = 0.12
"""Seconds between two deletions on Docker Hub, on purpose: more at a time, and it refuses."""
MEMORY = 150 * MIB


@contextmanager
def prunings(machine: Machine) -> Iterator[list[Alternative]]:
    """Both kinds of deletion, each with a repository that is filled anew for each run."""
    with ExitStack() as opening:
        address = opening.enter_context(docker_hub(machine))
        inputs = {"COMMAND": "prune", "DRY_RUN": "false", "KEEP_LAST": str(LAST)}
        plain, hub = (Stock(machine, COUNT + LAST, name) for name in ("pruned", "pruned-hub"))
        ours = opening.enter_context(plain.ours(**inputs))
        on_hub = opening.enter_context(hub.ours(**inputs, HUB_URL=address))

        for each in (ours, on_hub):  # Which installs, and is quick.
            replace(each, inputs={**each.inputs, "DRY_RUN": "true"}).do()

        def memory() -> int:
            plain.fill()
            return ours.memory(engine=False)

        yield [
            Alternative(
                "a plain registry, by digest",
                _run(plain, ours),
                prepare=plain.fill,
                memory=memory,
                targets={"memory": MEMORY},
            ),
            Alternative(
                f"Docker Hub's API, by tag, {COUNT * PAUSE:.0f} s of it pauses",
                _run(hub, on_hub),
                prepare=hub.fill,
            ),
        ]


def _run(stock: Stock, ours: Ours) -> Callable[[], Run]:
    def run() -> Run:
        found = ours.do()
        if stock.left() != LAST + 1:
            raise BenchError(f"{stock.left()} tags of {stock.repository} are left")
        return found

    return run
