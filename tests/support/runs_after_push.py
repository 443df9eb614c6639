"""Promotions and rollbacks in memory, on the registry that published runs left behind."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from feastflow_registry.commands.promotion import plan_promotion
from feastflow_registry.commands.rollback import Retreat, plan_rollback
from feastflow_registry.config import selectors
from feastflow_registry.model.plan import Command, Latest, Outcome, Permission, Plan, Step
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.fingerprint import Fingerprint
from feastflow_registry.tags.moving import Moves
from feastflow_registry.tags.survey import Surveyor
from support.memory import FakeRegistry, Hook, Store
from support.runs import SHOP, SOURCE, D, World, service

PERMISSION = Permission(True, True, "push on main")


@dataclass
class FakeCopier:
    """Copies between the repositories of one store. `lost`: whether nothing arrives."""

    store: Store
    lost: bool = False
    copied: list[str] = field(default_factory=list)

    def copy(self, source: Repository, digest: Digest, target: Repository) -> int:
        self.copied.append(f"{source} {target}")
        if self.lost:
            return 0
        known = (target, digest) in self.store.images
        self.store.images[target, digest] = self.store.images[source, digest]
        return 0 if known else 1000


def eyes(world: World, at: Commit = D, registry: FakeRegistry | None = None) -> Surveyor:
    """One run's eyes on the registry of a world."""
    client = registry or FakeRegistry(world.store)
    return Surveyor(client, world.history, at, SOURCE, 7, lambda _: Fingerprint(""))


def choose(world: World, wanted: str, name: str = "shop") -> Chosen:
    """What somebody means."""
    found = selectors.selector(wanted)
    return Chooser(eyes(world)).choose(service(name).repository, found)


def promote(
    world: World,
    wanted: str,
    destination: str,
    *,
    latest: Latest = Latest.FORWARD,
    withdrawn: bool = False,
) -> tuple[Step, ...]:
    """Plan a promotion of the one service."""
    return plan_promotion(
        SHOP,
        choose(world, wanted),
        selectors.destination(destination),
        eyes(world),
        latest=latest,
        withdrawn=withdrawn,
    )


def roll_back(
    world: World, names: Sequence[str] = ("shop",), tag: str = "latest", to: str = ""
) -> tuple[Step, ...]:
    """Plan a rollback."""
    surveyor = eyes(world)
    retreat = Retreat(surveyor, Tag(tag))
    held = retreat.held([service(name) for name in names])
    targets = retreat.to(held, selectors.selector(to)) if to else retreat.back(held)
    return plan_rollback(targets, surveyor, Tag(tag))


@dataclass
class Carried:
    """What came of a plan."""

    outcomes: list[Outcome]
    attempted: set[Reference]
    copier: FakeCopier
    registry: FakeRegistry

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(each.action.value, each.reference.identifier) for each in self.outcomes]


def carry_out(
    world: World, steps: Sequence[Step], *, before: Hook | None = None, lost: bool = False
) -> Carried:
    """Carry a plan out."""
    registry = FakeRegistry(world.store)
    registry.before = before or registry.before
    carried = Carried([], set(), FakeCopier(world.store, lost), registry)
    moves = Moves(
        plan=Plan(Command.ROLLBACK, D, SOURCE, PERMISSION, tuple(steps)),
        there=lambda _: eyes(world, registry=registry),
        clock=partial(next, map(float, itertools.count())),
        attempted=carried.attempted,
        copier=lambda _: carried.copier,
    )
    for outcome in moves.run():
        carried.outcomes.append(outcome)
    return carried


def shapes(steps: Sequence[Step]) -> list[str]:
    """Each step in two words."""
    found = []
    for each in steps:
        subject = each.reference.identifier if hasattr(each, "reference") else each.target.path  # type: ignore[union-attr]
        found.append(f"{type(each).__name__} {subject}")
    return found
