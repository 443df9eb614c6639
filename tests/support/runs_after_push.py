"""Promotions and rollbacks in memory, on the registry that published runs left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from feastflow_registry.commands import promote as promote_command
from feastflow_registry.commands import rollback as rollback_command
from feastflow_registry.config import selectors
from feastflow_registry.model.images import Along
from feastflow_registry.model.plan import Outcome, Plan, Step
from feastflow_registry.model.references import Reference
from feastflow_registry.tags.choose import Chooser, Chosen
from support.memory import FakeCopier, FakeRegistry, Hook
from support.runs import World, service

_NOTHING = Along()


def chooser(world: World) -> Chooser:
    """What finds published images of a world."""
    return Chooser(world.app({}).surveyor)


def choose(world: World, wanted: str, name: str = "shop") -> Chosen:
    """What somebody means."""
    return chooser(world).choose(service(name).repository, selectors.selector(wanted))


def promote(world: World, wanted: str, destination: str, **inputs: str) -> tuple[Step, ...]:
    """Plan a promotion."""
    app = world.app({"command": "promote", "to": wanted, "tag": destination, **inputs})
    return promote_command.plan(app).steps


def roll_back(
    world: World, names: Sequence[str] = (), tag: str = "latest", to: str = "", **inputs: str
) -> tuple[Step, ...]:
    """Plan a rollback."""
    services = ",".join(names)
    given = {"command": "rollback", "services": services, "tag": tag, "to": to, **inputs}
    app = replace(world, names=names or world.names).app(given)
    return rollback_command.plan(app).steps


@dataclass
class Carried:
    """What came of a plan."""

    attempted: set[Reference]
    copier: FakeCopier
    registry: FakeRegistry
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(each.action.value, each.reference.identifier) for each in self.outcomes]


def carry_out(
    world: World,
    steps: Sequence[Step],
    *,
    before: Hook | None = None,
    lost: bool = False,
    along: Along = _NOTHING,
    command: str = "promote",
) -> Carried:
    """Carry a plan out."""
    registry = FakeRegistry(world.store)
    registry.before = before or registry.before
    app = world.app({"command": command}, registry=registry)
    app.copies.lost, app.copies.along = lost, along
    carried = Carried(app.state.attempted, app.copies, registry)
    plan: Plan = app.plan(steps)
    module = rollback_command if command == "rollback" else promote_command
    for outcome in module.carry_out(app, plan):
        carried.outcomes.append(outcome)
    return carried


def shapes(steps: Sequence[Step]) -> list[str]:
    """Each step in two words."""
    found = []
    for each in steps:
        subject = each.reference.identifier if hasattr(each, "reference") else each.target.path  # type: ignore[union-attr]
        found.append(f"{type(each).__name__} {subject}")
    return found
