"""What ``publish``, ``build`` and ``push`` will do: computed from a snapshot, never asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from feastflow_registry.config import caches, image_annotations, parts
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.plan import (
    BuildImage,
    CarryImage,
    Command,
    DeleteTag,
    JoinParts,
    MirrorImage,
    MoveTag,
    Permission,
    Plan,
    PushImage,
    Reuse,
    ReuseImage,
    Rule,
    SharedTag,
    Step,
)
from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.model.run import LAPTOP, RefKind, Run
from feastflow_registry.model.services import Service, linked
from feastflow_registry.model.snapshot import Seen, Snapshot
from feastflow_registry.model.tag_names import INPUTS_LABEL, CommitTags, frozen_marker
from feastflow_registry.tags import gate, rules

_UNSEEN = Seen()
_PUT_TOGETHER = "its image is put together"
_ONLY_READ = "Caches are only read: what pushes no image leaves no layers either."


def labels(
    settings: Settings, run: Run, service: Service, inputs: str = ""
) -> tuple[tuple[str, str], ...]:
    """The OCI labels of an image: the user's, then those that this program answers for.

    https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys
    """
    version = str(CommitTags(settings.sha_length).of(run.commit))
    if settings.milestone:
        version = str(settings.milestone)
    if run.ref.kind is RefKind.TAG:
        version = run.ref.name
    prefix = "org.opencontainers.image."
    page = run.source.url if run.source.is_known else ""
    facts = {
        f"{prefix}title": service.name,
        f"{prefix}version": version,
        f"{prefix}created": gate.created_label(run.committed),
        f"{prefix}url": page,
        **dict(service.labels),
        f"{prefix}revision": run.commit.sha,
        f"{prefix}source": page,
        INPUTS_LABEL: inputs,
    }
    return tuple((key, value) for key, value in facts.items() if value)


def plan_build(
    settings: Settings,
    run: Run,
    service: Service,
    known: Mapping[str, Service],
    shared: Sequence[SharedTag] = (),
    seen: Seen = _UNSEEN,
    *,
    write: bool,
) -> BuildImage:
    """Plan the build of a service. ``known``: every service; ``write``: whether layers are kept."""
    is_part = bool(settings.part and parts.of_service(settings, service))
    service = parts.narrowed(service, settings.part) if settings.part else service
    tags = (_own_tag(settings, run, is_part), *(each.tag for each in shared))
    image_labels = labels(settings, run, service, seen.inputs)
    found = caches.of_service(settings, service)
    return BuildImage(
        service,
        tuple(Reference(service.repository, tag) for tag in tags),
        image_labels,
        needs=tuple(linked(service, known)),
        attest=settings.attest,
        annotations=image_annotations.of_image(image_labels, service, settings.attest),
        epoch=int(run.committed.timestamp()) if settings.reproducible else None,
        pull=service.pull or settings.reuse is Reuse.NEVER,
        why=seen.why,
        cache_from=found.sources,
        cache_to=found.targets if write else (),
        is_part=is_part and write,
    )


def _own_tag(settings: Settings, run: Run, is_part: bool) -> Tag:
    """The tag that this run gives what it builds of an image, or all of it."""
    tags = CommitTags(settings.sha_length)
    return tags.part(run.commit, settings.part) if is_part else tags.of(run.commit)


def plan_publish(
    settings: Settings,
    run: Run,
    permission: Permission,
    services: tuple[Service, ...],
    snapshot: Snapshot,
    others: tuple[Service, ...] = (),
) -> Plan:
    """Plan ``publish``, ``build`` or ``push`` of services, which may be built from others.

    A service that goes to several registries is one of the ``services`` for each of them. It is
    built at most once. A tag that may not be moved keeps no other, and no image, from being
    published.
    """
    tags = CommitTags(settings.sha_length)
    own = tags.of(run.commit)
    known = {each.name: each for each in (*reversed(services), *others)}
    shared = gate.shared_tags(settings, run, _naming(settings, run, permission))
    publishes = permission.push and settings.command is not Command.BUILD
    images: list[Step] = []
    moves: list[Step] = []
    deletions: list[Step] = []
    for service in services:
        seen = snapshot.get(service, Seen())
        build = plan_build(settings, run, service, known, shared, seen, write=publishes)
        if not publishes:
            images += [] if settings.command is Command.PUSH else [build]
            continue
        origin = _origin(service, services, snapshot)
        if origin == service:
            images += _plan_image(settings, build, seen, own)
        elif seen.image:
            images.append(ReuseImage(service, Reference(service.repository, own), seen.image))
        else:
            images.append(MirrorImage(service, own, Reference(origin.repository, own)))
        is_bad = _is_withdrawn(snapshot.get(origin, Seen()))
        moves += _plan_tags(service, shared, _withdrawn(seen) if is_bad else seen, run)
        if parts.joins(settings):
            deletions += [
                DeleteTag(service, tags.part(run.commit, platform), digest, _PUT_TOGETHER, own)
                for platform, digest in seen.held.items()
            ]
    if settings.command is Command.BUILD:
        fix = "The command publish does."
        permission = Permission(False, False, "the command build pushes nothing", fix=fix)
    left_out = tuple(gate.left_out(settings, run, permission))
    steps = (*images, *moves, *deletions)
    if not publishes and any(caches.of_service(settings, each.service).targets for each in steps):
        left_out = (_ONLY_READ,)
    return Plan(
        settings.command,
        run.commit,
        permission,
        steps,
        left_out=left_out,
        names=_names(snapshot),
        run_url=run.run_url,
        runners=parts.runners(settings, services) if parts.joins(settings) else {},
    )


def _plan_image(settings: Settings, build: BuildImage, seen: Seen, own: Tag) -> list[Step]:
    """What becomes of a service's image, or of this job's part of it. ``own``: the commit tag."""
    service, target = build.service, build.tags[0]
    there = seen.parts.get(settings.part)
    if settings.reuse is not Reuse.NEVER:
        if seen.image:
            return [ReuseImage(service, Reference(service.repository, own), seen.image)]
        if there:
            return [ReuseImage(service, target, there.image)]
    if seen.unchanged and settings.command is Command.PUBLISH:
        return [CarryImage(service, own, seen.unchanged)]
    if parts.joins(settings):
        found = tuple((each, seen.parts.get(each)) for each in service.platforms)
        told = [each for each in build.annotations if each.level == image_annotations.INDEX]
        return [JoinParts(service, own, found, tuple((each.key, each.value) for each in told))]
    push = PushImage(service, Tag(target.identifier))
    return [build, push] if settings.command is Command.PUBLISH else [push]


def _origin(service: Service, services: Sequence[Service], snapshot: Snapshot) -> Service:
    """A service on the registry that has its image already, else on the first one."""
    same = [each for each in services if each.name == service.name]
    there = (each for each in same if snapshot.get(each, _UNSEEN).image)
    return next(there, same[0])


def _is_withdrawn(seen: Seen) -> bool:
    return any(each.withdrawn for each in seen.facts.values())


def _withdrawn(seen: Seen) -> Seen:
    """What was withdrawn on the registry that an image comes from is withdrawn everywhere."""
    facts = {tag: replace(each, withdrawn=True) for tag, each in seen.facts.items()}
    return replace(seen, facts=facts)


def _names(snapshot: Snapshot) -> dict[Digest, str]:
    """What people call the images that the shared tags hold: their commits."""
    held = (facts.current for seen in snapshot.values() for facts in seen.facts.values())
    return {each.digest: each.revision.short for each in held if each and each.revision}


def _naming(settings: Settings, run: Run, permission: Permission) -> Permission:
    """What decides which names an image gets: by hand, ``build`` gives them all, on this machine.

    A runner may be anybody's: there, what a pull request built is never called latest.
    """
    is_kept_here = settings.command is Command.BUILD and run.event == LAPTOP
    return replace(permission, shared=settings.shared_tags) if is_kept_here else permission


def _plan_tags(service: Service, shared: tuple[SharedTag, ...], seen: Seen, run: Run) -> list[Step]:
    steps: list[Step] = []
    image = seen.image or seen.unchanged
    digest = image.digest if image else None
    for each in shared:
        facts = seen.facts[each.tag]
        decision = rules.decide(
            each.rule,
            facts,
            digest=digest,
            reference=Reference(service.repository, each.tag),
            commit=run.commit,
        )
        current = facts.current.digest if facts.current else None
        why, conflict = decision.reason, decision.conflict
        steps.append(MoveTag(service, each.tag, each.rule, current, why, conflict, line=facts.line))
        stays = facts.frozen or facts.withdrawn or decision.conflict
        if each.rule is Rule.FINAL and not stays:
            steps.append(MoveTag(service, frozen_marker(each.tag), Rule.FORCE, None))
    return steps
