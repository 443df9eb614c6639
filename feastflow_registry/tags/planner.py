"""What ``publish``, ``build`` and ``push`` will do: computed from a snapshot, never asked for."""

from __future__ import annotations

from feastflow_registry.config.settings import Settings, caches
from feastflow_registry.model import tag_names
from feastflow_registry.model.plan import (
    BuildImage,
    CarryImage,
    Command,
    KeepTag,
    MoveTag,
    Permission,
    Plan,
    PushImage,
    Reuse,
    ReuseImage,
    Rule,
    Seen,
    SharedTag,
    Snapshot,
    Step,
)
from feastflow_registry.model.references import Reference
from feastflow_registry.model.run import Context, RefKind
from feastflow_registry.model.services import Service, linked
from feastflow_registry.model.tag_names import INPUTS_LABEL
from feastflow_registry.tags import gate, rules


def labels(
    settings: Settings, context: Context, service: Service, inputs: str = ""
) -> tuple[tuple[str, str], ...]:
    """The OCI labels of an image: the user's, then those that this program answers for.

    https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys
    """
    version = str(tag_names.commit_tag(context.commit, settings.sha_length))
    if settings.milestone:
        version = str(settings.milestone)
    if context.ref.kind is RefKind.TAG:
        version = context.ref.name
    prefix = "org.opencontainers.image."
    facts = {
        f"{prefix}title": service.name,
        f"{prefix}version": version,
        f"{prefix}created": gate.created_label(context.committed),
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
    own = tag_names.commit_tag(context.commit, settings.sha_length)
    known = {each.name: each for each in (*services, *others)}
    shared = gate.shared_tags(settings, context, permission)
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
            marker = Reference(service.repository, tag_names.frozen_marker(each.tag))
            steps.append(MoveTag(service, marker, Rule.FORCE, None))
    return steps
