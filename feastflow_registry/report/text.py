"""Saying what will be done: lines of text, and JSON that holds no user's name. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter

from feastflow_registry.model.plan import (
    BuildImage,
    CarryImage,
    CopyImage,
    DeleteTag,
    EditFile,
    Imaging,
    JoinParts,
    KeepTag,
    MirrorImage,
    MoveTag,
    Plan,
    PushImage,
    ReuseImage,
    Step,
    UnmarkImage,
    WithdrawImage,
)
from feastflow_registry.model.references import Digest, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import commit_digits

STEPS: Mapping[type[Step], str] = {
    BuildImage: "build",
    CarryImage: "carry",
    CopyImage: "copy",
    DeleteTag: "delete",
    EditFile: "edit",
    JoinParts: "join",
    WithdrawImage: "mark",
    KeepTag: "keep",
    MirrorImage: "copy",
    MoveTag: "tag",
    PushImage: "push",
    ReuseImage: "reuse",
    UnmarkImage: "unmark",
}


def names(plan: Plan) -> dict[Digest, str]:
    """What people call the images of a plan: by the digits of their commits, if known."""
    found = dict(plan.names)
    for step in plan.every(ReuseImage):
        tag = step.reference.target
        digits = commit_digits(tag) if isinstance(tag, Tag) else ""
        found.setdefault(step.image.digest, digits or step.image.digest.short)
    return found


def called(services: Iterable[Service]) -> dict[Service, str]:
    """What services are called: by their names, and by their registries if there are several."""
    hosts = {each: each.repository.host for each in services}
    several = len({*hosts.values()}) > 1
    return {
        each: f"{each.name} on {host}" if several else each.name for each, host in hosts.items()
    }


def describe(step: Imaging | BuildImage) -> str:
    """What becomes of one service's image, as a line."""
    match step:
        case ReuseImage():
            return f"reuse  {step.reference} ({step.image.digest.short}), published already"
        case CarryImage():
            since = f" since {step.image.revision.short}" if step.image.revision else ""
            return f"carry  {step.reference} ({step.image.digest.short}), unchanged{since}"
        case BuildImage():
            why = f" ({step.why})" if step.why else ""
            return f"build  {step.tags[0]} from {step.service.context}{why}"
        case JoinParts():
            return f"join   {step.reference} from {', '.join(platforms(step))}"
        case MirrorImage():
            return f"copy   {step.source} to {step.reference}"
        case PushImage():  # pragma: no branch  There is no other, as mypy proves.
            return f"push   {step.reference}"


def platforms(step: JoinParts) -> list[str]:
    """The platforms of an image, and which of them are to be built."""
    return [each if part else f"{each} (to be built)" for each, part in step.parts]


def plan_lines(plan: Plan) -> list[str]:
    """The whole plan, as lines."""
    verdict, may = "pushes", plan.permission.push
    if not plan.command.builds:
        verdict, may = "writes", plan.permission.shared
    verdict += "" if may else " nothing"
    subject = f"commit {plan.commit.short}" if plan.command.builds else plan.command.value
    head = f"{subject} {verdict}: {plan.permission.reason}"
    making = {step.service for step in plan.builds}
    steps = [s for s in plan.steps if not (isinstance(s, PushImage) and s.service in making)]
    lines = [head]
    parts = (_going(step, plan) or _tagging(step) for step in steps)
    for (what, why), found in groupby(parts, key=itemgetter(0, 2)):
        lines.append(f"{what}{', '.join(each for _, each, _ in found)}{why}")
    return lines


def _going(step: Step, plan: Plan) -> tuple[str, str, str] | None:
    """A tag that moves between images that have names; nothing, if it is another step."""
    if not isinstance(step, MoveTag) or step.keep or not step.expect or not plan.names:
        return None
    called = names(plan)
    goals = (each.image.digest for each in plan.every(ReuseImage) if each.service == step.service)
    goal = next((called[each] for each in goals), plan.commit.short)
    was = called.get(step.expect, step.expect.short)
    return f"tag    {step.service.repository}:", step.tag.value, f": {was} → {goal}"


def _tagging(step: Step) -> tuple[str, str, str]:
    """A step in three parts: steps that differ in the second alone make one line."""
    repository = step.service.repository
    match step:
        case MoveTag() if step.keep:
            return f"keep   {repository}:", step.reference.identifier, f": {step.keep}"
        case MoveTag():
            was = f" (from {step.expect.short})" if step.expect else " (new)"
            return f"tag    {repository}:", step.reference.identifier, was
        case KeepTag():
            return f"keep   {repository}:", step.reference.identifier, f": {step.reason}"
        case DeleteTag():
            return f"delete {repository}:", step.reference.identifier, f": {step.reason}"
        case CopyImage():
            return f"copy   {step.source} to {step.target}", "", ""
        case WithdrawImage():
            return f"mark   {step.reference} ({step.digest.short})", "", ""
        case UnmarkImage():
            return f"unmark {step.reference} ({step.digest.short})", "", ""
        case EditFile():
            return f"edit   {step.file}:", str(step.line), f": {step.container} in {step.resource}"
        case _:
            return describe(step), "", ""


def plan_json(plan: Plan) -> str:
    """The whole plan as JSON."""
    return json.dumps(plan_data(plan))


def plan_data(plan: Plan) -> Mapping[str, object]:
    """The whole plan for other programs: ``{command, commit, push, reason, steps: […]}``.

    Where there are several registries, each step names its own.
    """
    are_several = len(plan.hosts) > 1

    def where(step: Step) -> Mapping[str, str]:
        return {"registry": str(step.service.repository.host)} if are_several else {}

    return {
        "command": plan.command.value,
        "commit": plan.commit.sha,
        "push": plan.permission.push,
        "reason": plan.permission.reason,
        "steps": [{**_step(step), **where(step)} for step in plan.steps],
    }


def _parts(step: PushImage | JoinParts | MirrorImage) -> Mapping[str, object]:
    """The digests that an image is put together from, by platform; null for what is missing."""
    if not isinstance(step, JoinParts):
        return {}
    found = ((each, str(part.image.digest) if part else None) for each, part in step.parts)
    return {"parts": dict(found)}


def why(step: DeleteTag | KeepTag) -> str:
    """Why a tag goes or stays, and what it hangs on that only a deletion shows."""
    needed = step.needed if isinstance(step, DeleteTag) else None
    more = (
        f", unless the registry also deletes the image: {needed} needs that image" if needed else ""
    )
    return step.reason + more


def _step(step: Step) -> Mapping[str, object]:
    """One step as JSON, without the user's name: GitHub drops job outputs that hold a secret."""
    said = {"step": STEPS[type(step)], "service": step.service.name}
    match step:
        case BuildImage():
            tags = [each.identifier for each in step.tags]
            return {**said, "tags": tags, **({"why": step.why} if step.why else {})}
        case PushImage() | JoinParts() | MirrorImage():
            return {**said, "tag": step.reference.identifier, **_parts(step)}
        case ReuseImage() | CarryImage():
            tag, digest = step.reference.identifier, str(step.image.digest)
            since = (
                {"since": str(step.image.revision or "")} if isinstance(step, CarryImage) else {}
            )
            return {**said, "tag": tag, "digest": digest, **since}
        case MoveTag() if step.keep:
            return {**said, "step": "keep", "tag": step.reference.identifier, "reason": step.keep}
        case MoveTag():
            replaces = str(step.expect) if step.expect else None
            tag = step.reference.identifier
            return {**said, "tag": tag, "replaces": replaces, "rule": step.rule.value}
        case KeepTag() | DeleteTag():
            return {**said, "tag": step.reference.identifier, "reason": why(step)}
        case WithdrawImage() | UnmarkImage():
            return {**said, "tag": step.reference.identifier, "digest": str(step.digest)}
        case CopyImage():
            return {**said, "digest": step.source.identifier}
        case EditFile():  # pragma: no branch  There is no other, as mypy proves.
            return {**said, "file": step.file, "line": step.line}
