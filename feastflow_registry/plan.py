"""What a run will do, as a value: what was seen on the registry, and the steps that follow.

The planners compute and never ask; what is only known later (a digest not built yet) is left
open in the plan and filled in by ``execute``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from feastflow_registry import policy, rules
from feastflow_registry.context import Context, RefKind
from feastflow_registry.grammar import INPUTS_LABEL
from feastflow_registry.policy import Permission, SharedTag
from feastflow_registry.references import Commit, Digest, Reference, Tag
from feastflow_registry.rules import Facts, Published, Rule
from feastflow_registry.services import Service, linked
from feastflow_registry.settings import Command, Reuse, Settings, caches


@dataclass(frozen=True, slots=True)
class Seen:
    """What one service's repository holds: the commit's image, and what decides each move.

    ``unchanged``: an ancestor's image that was made from the same ``inputs`` (their digest);
    ``why``: why there is none.
    """

    image: Published | None = None
    facts: Mapping[Tag, Facts] = field(default_factory=dict)
    unchanged: Published | None = None
    inputs: str = ""
    why: str = ""


Snapshot = Mapping[str, Seen]
"""By the service's name."""


@dataclass(frozen=True, slots=True)
class ReuseImage:
    """The commit's image is published: nothing is built."""

    service: Service
    reference: Reference
    image: Published


@dataclass(frozen=True, slots=True)
class CarryImage:
    """An ancestor's image would come out the same: it gets this commit's tag too."""

    service: Service
    reference: Reference
    image: Published


@dataclass(frozen=True, slots=True)
class BuildImage:
    """Build a service. ``tags`` are the names that the local engine gives the image.

    ``needs``: the services that it is built from; ``cache_from``, ``cache_to``, ``attest``: as
    buildx takes them; ``epoch``: the seconds since 1970 that every file and layer is to carry;
    ``pull``: look base images up again; ``why``: why it is not carried forward.
    """

    service: Service
    tags: tuple[Reference, ...]
    labels: tuple[tuple[str, str], ...]
    needs: tuple[Service, ...] = ()
    cache_from: str = ""
    cache_to: str = ""
    attest: tuple[str, ...] = ()
    epoch: int | None = None
    pull: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class PushImage:
    """Push what was built under its commit tag, and read it back."""

    service: Service
    reference: Reference


@dataclass(frozen=True, slots=True)
class MoveTag:
    """Point a tag at the service's image, replacing ``expect`` and nothing else.

    ``held``: the image is there already, so that only what became newer is looked for.
    """

    service: Service
    reference: Reference
    rule: Rule
    expect: Digest | None
    held: bool = False


@dataclass(frozen=True, slots=True)
class KeepTag:
    """Leave a tag where it is, and say why."""

    service: Service
    reference: Reference
    there: Digest | None
    reason: str


Step = ReuseImage | CarryImage | BuildImage | PushImage | MoveTag | KeepTag


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one run, in their order, and what they are about."""

    command: Command
    commit: Commit
    source: str
    permission: Permission
    steps: tuple[Step, ...]

    def of(self, service: Service) -> tuple[Step, ...]:
        """The steps of one service."""
        return tuple(step for step in self.steps if step.service == service)

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of the plan, once, in order."""
        return tuple(dict.fromkeys(step.service for step in self.steps))

    @property
    def builds(self) -> tuple[BuildImage, ...]:
        """The images that have to be built."""
        return tuple(step for step in self.steps if isinstance(step, BuildImage))

    @property
    def pushes(self) -> tuple[PushImage, ...]:
        """The images that have to be pushed."""
        return tuple(step for step in self.steps if isinstance(step, PushImage))

    @property
    def carries(self) -> tuple[CarryImage, ...]:
        """The images that get this commit's tag too."""
        return tuple(step for step in self.steps if isinstance(step, CarryImage))

    @property
    def images(self) -> tuple[PushImage | CarryImage | ReuseImage, ...]:
        """What each service's commit tag is or will be."""
        kinds = (PushImage, CarryImage, ReuseImage)
        return tuple(step for step in self.steps if isinstance(step, kinds))

    @property
    def moves(self) -> tuple[MoveTag, ...]:
        """The tags that have to be moved."""
        return tuple(step for step in self.steps if isinstance(step, MoveTag))


class Action(StrEnum):
    """What came of one step."""

    BUILT = "built"
    REUSED = "reused"
    CARRIED = "carried"
    ADOPTED = "adopted"
    PUSHED = "pushed"
    MOVED = "moved"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that was done and proven. ``seconds``: how long it took. ``size``: bytes."""

    service: Service
    action: Action
    reference: Reference
    digest: Digest | None = None
    size: int = 0
    seconds: float = 0.0
    note: str = ""


def labels(
    settings: Settings, context: Context, service: Service, inputs: str = ""
) -> tuple[tuple[str, str], ...]:
    """The OCI labels of an image: the user's, then those that this program answers for.

    https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys
    """
    version = str(rules.commit_tag(context.commit, settings.sha_length))
    if settings.milestone:
        version = str(settings.milestone)
    if context.ref.kind is RefKind.TAG:
        version = context.ref.name
    prefix = "org.opencontainers.image."
    facts = {
        f"{prefix}title": service.name,
        f"{prefix}version": version,
        f"{prefix}created": policy.created_label(context.committed),
        f"{prefix}url": context.source,
        **dict(service.labels),
        f"{prefix}revision": context.commit.sha,
        f"{prefix}source": context.source,
        INPUTS_LABEL: inputs,
    }
    return tuple((key, value) for key, value in facts.items() if value)


def plan_run(
    settings: Settings,
    context: Context,
    permission: Permission,
    services: tuple[Service, ...],
    snapshot: Snapshot,
    others: tuple[Service, ...] = (),
) -> Plan:
    """Plan ``publish``, ``build`` or ``push`` of services, which may be built from others.

    Raises a conflict that the snapshot shows.
    """
    own = rules.commit_tag(context.commit, settings.sha_length)
    known = {each.name: each for each in (*services, *others)}
    shared = policy.shared_tags(settings, context, permission)
    publishes = permission.push and settings.command is not Command.BUILD
    images: list[Step] = []
    tags: list[Step] = []
    for service in services:
        reference = Reference(service.repository, own)
        names = (reference, *(Reference(service.repository, each.tag) for each in shared))
        seen = snapshot.get(service.name, Seen())
        build = BuildImage(
            service,
            names,
            labels(settings, context, service, seen.inputs),
            needs=tuple(linked(service, known)),
            attest=settings.attest,
            epoch=int(context.committed.timestamp()) if settings.reproducible else None,
            pull=service.pull or settings.reuse is Reuse.NEVER,
            why=seen.why,
            **caches(settings, service, write=publishes),
        )
        if not publishes:
            images += [] if settings.command is Command.PUSH else [build]
            continue
        if seen.image and settings.reuse is not Reuse.NEVER:
            images.append(ReuseImage(service, reference, seen.image))
        elif seen.unchanged and settings.command is Command.PUBLISH:
            images.append(CarryImage(service, reference, seen.unchanged))
        else:
            images += [build] if settings.command is Command.PUBLISH else []
            images.append(PushImage(service, reference))
        tags += _plan_tags(service, shared, seen, context)
    if settings.command is Command.BUILD:
        permission = Permission(False, False, "the command build pushes nothing")
    return Plan(settings.command, context.commit, context.source, permission, (*images, *tags))


def _plan_tags(
    service: Service, shared: tuple[SharedTag, ...], seen: Seen, context: Context
) -> list[Step]:
    steps: list[Step] = []
    image = seen.image or seen.unchanged
    digest = image.digest if image else None
    for each in shared:
        facts = seen.facts[each.tag]
        reference = Reference(service.repository, each.tag)
        decision = rules.decide(
            each.rule, facts, digest=digest, reference=reference, commit=context.commit
        )
        there = facts.current.digest if facts.current else None
        # A first attempt may have moved the tag and failed before it looked for newer commits,
        # and what is carried forward may have been replaced since by what comes before it.
        unsure = context.attempt > 1 or seen.image is None
        held = there is not None and there == digest and unsure
        if decision.move or held:
            steps.append(MoveTag(service, reference, each.rule, there, held))
        else:
            steps.append(KeepTag(service, reference, there, decision.reason))
        if each.rule is Rule.FINAL and not facts.frozen and not facts.withdrawn:
            marker = Reference(service.repository, rules.frozen_marker(each.tag))
            steps.append(MoveTag(service, marker, Rule.FORCE, None))
    return steps
