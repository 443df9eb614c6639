"""Working on several registries: one that does not answer keeps no other from what is to be done.

Why it was left out is told in the end (``commands.carry_out``), and the run fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from feastflow_registry.commands.app import App
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.parallel import one_after_another, together
from feastflow_registry.model.plan import Outcome, Plan
from feastflow_registry.model.references import Reference, RegistryHost, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.tags.converge import TransferConvergence
from feastflow_registry.tags.transfer import Transfer

T = TypeVar("T")


def of_each(app: App, work: Callable[[Sequence[Service]], T]) -> list[T]:
    """Do something on one registry after the other, whatever happens on those before.

    Raises what is wrong where all of them fail.
    """
    done: list[T] = []
    failed: dict[RegistryHost, Failure] = {}
    for host, services in app.by_registry.items():
        try:
            done.append(work(services))
        except Failure as failure:
            failed[host] = failure
    if not done:
        raise Failure.join(list(failed.values()))
    app.state.missed |= failed
    return done


def answering(app: App) -> tuple[Service, ...]:
    """The services on those registries that answer. One registry alone is not asked beforehand."""
    if len(app.by_registry) == 1:
        return app.everywhere

    def ask(services: Sequence[Service]) -> Sequence[Service]:
        together(app.registry.resolve, [Reference(each.repository, LATEST) for each in services])
        return services

    return tuple(chain.from_iterable(of_each(app, ask)))


def carry_out(
    app: App, plan: Plan, releases: Callable[[Tag], Sequence[str]] = lambda _: ()
) -> Iterator[Outcome]:
    """Copy and mark on every registry, then move on each, whatever fails, and look again there.

    A tag that is back already tells a second run no more that what it held was bad: so what was bad
    on one registry is marked on all of them before. ``releases``: the git tags of the releases that
    a tag is for, the highest first.
    """
    ready: list[Transfer] = []

    def prepare(part: Plan) -> Iterator[Outcome]:
        transfer = Transfer(part, app.surveyor, app.clock, app.state, app.copier, app.untagging)
        yield from transfer.prepare()
        ready.append(transfer)

    def move(transfer: Transfer) -> Iterator[Outcome]:
        convergence = TransferConvergence(transfer, app.settings.main, releases)
        return one_after_another(transfer.move(), convergence.run(), transfer.look_again())

    def move_all() -> Iterator[Outcome]:
        yield from one_after_another(*map(move, ready))

    yield from one_after_another(*(prepare(plan.on(host)) for host in plan.hosts), move_all())
