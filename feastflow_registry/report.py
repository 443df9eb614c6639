"""Saying what will be done and what was done: text, Markdown, JSON and outputs. Pure.

Names of branches, commits and repositories come from anywhere; each format escapes them here.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feastflow_registry.errors import Failure
from feastflow_registry.plan import (
    Action,
    BuildImage,
    KeepTag,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    ReuseImage,
    Step,
)
from feastflow_registry.references import Digest, Reference, Repository, Tag
from feastflow_registry.settings import Command, Service

_ICONS = {
    Action.BUILT: "🔨",
    Action.REUSED: "♻️ ",
    Action.ADOPTED: "♻️ ",
    Action.PUSHED: "📤",
    Action.MOVED: "🏷️ ",
    Action.KEPT: "⏸️ ",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one service. ``tags``: those that hold its image now. ``size``: bytes."""

    service: Service
    action: Action
    digest: Digest | None
    tags: tuple[Reference, ...]
    size: int
    seconds: float

    @property
    def image(self) -> str:
        """The image by digest, which never changes its meaning."""
        return str(Reference(self.service.repository, self.digest)) if self.digest else ""


def results(plan: Plan, outcomes: Sequence[Outcome]) -> tuple[Result, ...]:
    """Sum up each service's outcomes; the last word on a tag is the one that counts."""
    return tuple(
        _result(service, [each for each in outcomes if each.service == service])
        for service in plan.services
    )


def _result(service: Service, outcomes: list[Outcome]) -> Result:
    images = [each for each in outcomes if each.action not in (Action.MOVED, Action.KEPT)]
    digest = next((each.digest for each in reversed(images) if each.digest), None)
    last = {each.reference: each.digest for each in outcomes}
    reused = any(each.action in (Action.REUSED, Action.ADOPTED) for each in images)
    return Result(
        service=service,
        action=Action.REUSED if reused else Action.BUILT,
        digest=digest,
        tags=tuple(each for each, found in last.items() if digest and found == digest),
        size=next((each.size for each in reversed(images) if each.size), 0),
        seconds=sum(each.seconds for each in outcomes),
    )


def size(count: int) -> str:
    """Bytes as people read them, in the decimal units that Docker shows."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def describe(step: Step) -> str:
    """One step of a plan, as a line."""
    match step:
        case ReuseImage():
            return f"reuse  {step.reference} ({step.image.digest.short}), published already"
        case BuildImage():
            return f"build  {step.tags[0]} from {step.service.context}"
        case PushImage():
            return f"push   {step.reference}"
        case MoveTag():
            was = f"from {step.expect.short}" if step.expect else "new"
            return f"tag    {step.reference} ({was})"
        case KeepTag():
            return f"keep   {step.reference}: {step.reason}"


def plan_lines(plan: Plan) -> list[str]:
    """The whole plan, as lines."""
    verdict = "pushes" if plan.permission.push else "pushes nothing"
    head = f"commit {plan.commit.short} {verdict}: {plan.permission.reason}"
    return [head, *(describe(step) for step in plan.steps)]


def plan_json(plan: Plan) -> str:
    """The whole plan as JSON: ``{command, commit, push, reason, steps: [{step, …}]}``."""
    steps = [_step(step) for step in plan.steps]
    return json.dumps(
        {
            "command": plan.command.value,
            "commit": plan.commit.sha,
            "push": plan.permission.push,
            "reason": plan.permission.reason,
            "steps": steps,
        }
    )


def _step(step: Step) -> Mapping[str, object]:
    service = step.service.name
    match step:
        case ReuseImage():
            return {
                "step": "reuse",
                "service": service,
                "reference": str(step.reference),
                "digest": str(step.image.digest),
            }
        case BuildImage():
            return {"step": "build", "service": service, "tags": [str(each) for each in step.tags]}
        case PushImage():
            return {"step": "push", "service": service, "reference": str(step.reference)}
        case MoveTag():
            return {
                "step": "tag",
                "service": service,
                "reference": str(step.reference),
                "replaces": str(step.expect) if step.expect else None,
                "rule": step.rule.value,
            }
        case KeepTag():
            return {
                "step": "keep",
                "service": service,
                "reference": str(step.reference),
                "reason": step.reason,
            }


def outcome_line(outcome: Outcome) -> str:
    """One thing that was done, as a line."""
    parts = [f"{_ICONS[outcome.action]} {outcome.action.value:7} {outcome.reference}"]
    if outcome.digest and outcome.action is not Action.KEPT:
        parts.append(outcome.digest.short)
    if outcome.size:
        parts.append(size(outcome.size))
    if outcome.seconds >= 0.05:
        parts.append(f"{outcome.seconds:.1f} s")
    if outcome.note:
        parts.append(f"({outcome.note})")
    return "  ".join(parts)


def standing(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    """Where a failed run leaves the registry: what it wrote, and what it did not get to."""
    wrote = {each.reference for each in outcomes if each.action in (Action.PUSHED, Action.MOVED)}
    reached = {each.reference for each in outcomes if each.action is not Action.BUILT}
    planned = [each.reference for each in plan.pushes] + [each.reference for each in plan.moves]
    due = [each for each in planned if each not in reached]
    if not wrote and not due:
        return []
    done = ", ".join(str(each) for each in sorted(wrote)) or "nothing"
    left = ", ".join(str(each) for each in due) or "nothing"
    return [f"Written before the failure: {done}.", f"Not done: {left}.", "Run again to finish."]


def closing(plan: Plan, found: Sequence[Result]) -> list[str]:
    """The last lines of a run by hand: what exists now, and where to look at it."""
    lines = []
    for each in found:
        if each.tags:
            lines.append(f"✅ {each.service.name}: {each.image}")
            lines += [f"   {tag}" for tag in each.tags]
            if each.service.repository.page:
                lines.append(f"🌐 {each.service.repository.page}")
        elif any(step.service == each.service for step in plan.builds):
            lines.append(f"✅ {each.service.name}: built, {plan.permission.reason}")
    return lines


def outputs(plan: Plan, found: Sequence[Result], *, pushed: bool) -> dict[str, str]:
    """The outputs of the step. Those meant for other jobs hold no user name."""
    digests = {each.service.name: str(each.digest) for each in found if each.digest}
    images = {
        each.service.name: {
            "repository": str(each.service.repository),
            "digest": str(each.digest or ""),
            "tags": [reference.identifier for reference in each.tags],
            "action": each.action.value,
            "size": each.size,
        }
        for each in found
    }
    single = found[0] if len(found) == 1 else None
    return {
        "pushed": "true" if pushed else "false",
        "reason": plan.permission.reason,
        "digest": str(single.digest or "") if single else "",
        "digests": json.dumps(digests),
        "plan": plan_json(plan),
        "matrix": json.dumps({"service": [each.name for each in plan.services]}),
        "image": single.image if single else "",
        "tags": "\n".join(str(tag) for each in found for tag in each.tags),
        "images": json.dumps(images),
    }


def cell(text: str) -> str:
    """Make a text safe inside a Markdown table: no cell, link, tag or line can be forged."""
    flat = "".join(each if each.isprintable() else " " for each in text)
    escaped = html.escape(flat)
    for mark in "|`*_[]\\~@":
        escaped = escaped.replace(mark, f"&#{ord(mark)};")
    return escaped


def summary(
    plan: Plan, found: Sequence[Result], outcomes: Sequence[Outcome], failure: Failure | None
) -> str:
    """The job summary, in Markdown."""
    lines = [f"### {_title(plan, failure)}", ""]
    if failure:
        for problem in failure.problems:
            lines += [f"**{cell(_sentence(problem.cause))}** {cell(problem.fix)}", ""]
        lines += [f"- {cell(line)}" for line in standing(plan, outcomes)] + [""]
    else:
        lines += [cell(_sentence(plan.permission.reason)) + ".", ""]
    lines += ["| service | tags | digest | size | image | seconds |", "|---|---|---|--:|---|--:|"]
    lines += [_row(plan, each) for each in found]
    ours = {tag for each in found for tag in each.tags}
    kept = [each for each in outcomes if each.action is Action.KEPT and each.reference not in ours]
    lines += ["", *(f"- {cell(str(each.reference))}: {cell(each.note)}" for each in kept)]
    published = [each for each in found if each.image]
    if published and not failure:
        lines += ["", "```bash"]
        for each in published:
            lines += [f"docker pull {each.tags[0]}" if each.tags else f"docker pull {each.image}"]
            lines += [f"docker run --rm -P {each.image}"]
        lines += ["```"]
    return "\n".join(lines) + "\n\n"


def _title(plan: Plan, failure: Failure | None) -> str:
    if failure:
        return f"Failed: commit {plan.commit.short}"
    words = {Command.BUILD: "Built", Command.PUSH: "Pushed", Command.PUBLISH: "Published"}
    done = words.get(plan.command, "Done") if plan.permission.push else "Built, not pushed"
    return f"{done}: commit {plan.commit.short}"


def _row(plan: Plan, found: Result) -> str:
    built = (step for step in plan.builds if step.service == found.service)
    names = found.tags or tuple(tag for step in built for tag in step.tags[:1])
    tags = "<br>".join(_linked(found.service.repository, each, found.tags) for each in names)
    digest = f"<code>{found.digest.short}</code>" if found.digest else ""
    columns = (cell(found.service.name), tags, digest, size(found.size) if found.size else "")
    return f"| {' | '.join(columns)} | {found.action.value} | {found.seconds:.1f} |"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _linked(repository: Repository, reference: Reference, there: Sequence[Reference]) -> str:
    name = f"<code>{cell(reference.identifier)}</code>"
    tag = reference.target if reference in there else None
    page = repository.tag_page(tag) if isinstance(tag, Tag) else None
    return f"[{name}]({page})" if page else name
