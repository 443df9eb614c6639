"""What was done, as lines of text, outputs of the step and statuses of the commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.plan import (
    Action,
    CarryImage,
    Command,
    CopyImage,
    JoinParts,
    MirrorImage,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    Step,
    UnmarkImage,
    WithdrawImage,
)
from feastflow_registry.model.ports import Status
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service
from feastflow_registry.model.wording import size, some
from feastflow_registry.report import text

_ICONS = {
    Action.BUILT: "🔨",
    Action.REUSED: "♻️ ",
    Action.CARRIED: "⏩",
    Action.ADOPTED: "♻️ ",
    Action.PUSHED: "📤",
    Action.JOINED: "🧩",
    Action.CREATED: "🏷️ ",
    Action.MOVED: "🏷️ ",
    Action.KEPT: "⏸️ ",
    Action.COPIED: "📦",
    Action.MARKED: "⛔",
    Action.UNMARKED: "✔️ ",
    Action.DELETED: "🗑️ ",
    Action.EDITED: "📝",
}
_LONGEST_STATUS = 140
_WRITTEN, _NOT_VISIBLE, IN_DOUBT = "written", "not yet visible", "in doubt"
_NOT_DONE = "not done"
_MARKING = (Action.MARKED, Action.UNMARKED)
_NOTED = (Action.BUILT, Action.CARRIED, Action.JOINED)
_SET = (Action.CREATED, Action.MOVED)
_OF_TAGS = (*_SET, Action.KEPT, *_MARKING, Action.DELETED, Action.EDITED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one service. ``tags``: those that hold its image now. ``size``: bytes.

    ``note``: since when it is unchanged, if it was carried forward; or what became of the caches of
    its build.
    """

    service: Service
    action: Action | None
    digest: Digest | None
    tags: tuple[Reference, ...]
    size: int
    seconds: float
    note: str = ""

    @property
    def names(self) -> dict[Repository, list[str]]:
        """The same tags without their repositories, by these; its own comes first."""
        found: dict[Repository, list[str]] = {self.service.repository: []}
        for each in self.tags:
            found.setdefault(each.repository, []).append(each.identifier)
        return found

    @property
    def image(self) -> str:
        """The image by digest, which never changes its meaning."""
        return str(Reference(self.service.repository, self.digest)) if self.digest else ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a command hands over in the end: to whoever reads along, the runner, other programs.

    ``failure``: what it ends with, though it has done all that it was to do.
    """

    lines: Sequence[str] = ()
    markdown: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    json: str = ""
    failure: Failure | None = None


def results(plan: Plan, outcomes: Sequence[Outcome]) -> tuple[Result, ...]:
    """Sum up each service's outcomes; the last word on a tag is the one that counts.

    A service that is promoted to several repositories is one, by its name.
    """
    named: dict[str, list[Service]] = {}
    for service in plan.services:
        named.setdefault(service.name, []).append(service)
    return tuple(
        _result(same, [each for each in outcomes if each.service in same])
        for same in named.values()
    )


def _result(services: Sequence[Service], outcomes: list[Outcome]) -> Result:
    images = [each for each in outcomes if each.action not in _OF_TAGS]
    # Where registries differ, the first one counts.
    images.sort(key=lambda each: each.service == services[0])
    digest = next((each.digest for each in reversed(images) if each.digest), None)
    tagged = (each for each in outcomes if each.action is not Action.UNMARKED)
    last = {each.reference: each.digest for each in tagged}
    kinds = {each.action for each in images}
    action = Action.BUILT if images else None
    if kinds & {Action.REUSED, Action.ADOPTED}:
        action = Action.REUSED
    elif Action.CARRIED in kinds:
        action = Action.CARRIED
    ours = [each.repository for each in services]
    holding = [each for each, found in last.items() if digest and found == digest]
    tags = [each for each in holding if each.repository in ours and isinstance(each.target, Tag)]
    tags.sort(key=lambda each: ours.index(each.repository))
    return Result(
        service=services[ours.index(tags[0].repository)] if tags else services[0],
        action=action,
        digest=digest,
        tags=tuple(tags),
        size=next((each.size for each in reversed(images) if each.size), 0),
        seconds=sum(each.seconds for each in outcomes),
        note=next((each.note for each in images if each.action in _NOTED and each.note), ""),
    )


def changed_files(outcomes: Iterable[Outcome]) -> str:
    """The manifests that were written, one a line."""
    edited = (each.note for each in outcomes if each.action is Action.EDITED)
    return "\n".join(dict.fromkeys(edited))


def outcome_line(outcome: Outcome) -> str:
    """One thing that was done, as a line."""
    parts = [f"{_ICONS[outcome.action]} {outcome.action.value:7} {outcome.reference}"]
    is_told = outcome.action in (Action.KEPT, Action.UNMARKED)
    if outcome.digest and not is_told and outcome.reference.target != outcome.digest:
        parts.append(outcome.digest.short)
    if outcome.size:
        unit = " unpacked" if outcome.action is Action.BUILT else ""
        parts.append(size(outcome.size) + unit)
    if outcome.seconds >= 0.05:
        parts.append(f"{outcome.seconds:.1f} s")
    if outcome.note:
        parts.append(f"({outcome.note})")
    return "  ".join(parts)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a failed run leaves the registry: tags, by what is known of them; and what to do.

    ``is_done``: whether all that was to be done on the first registry is.
    """

    states: Mapping[str, Sequence[Reference]] = field(default_factory=dict)
    again: str = ""
    is_done: bool = False

    @property
    def is_changed(self) -> bool:
        """Whether something was written, or may have been."""
        return any(tags for state, tags in self.states.items() if state != _NOT_DONE)

    @property
    def lines(self) -> list[str]:
        """The same as lines of text; nothing, where nothing was to be written."""
        if not any(self.states.values()):
            return []
        heads = {
            _NOT_VISIBLE: "Written, not yet visible",
            IN_DOUBT: "In doubt, for it was not read back",
            _NOT_DONE: "Not done",
        }
        lines = [f"Written before the failure: {_listed(self.states[_WRITTEN]) or 'nothing'}."]
        told = ((head, self.states[state]) for state, head in heads.items())
        lines += [f"{head}: {_listed(references)}." for head, references in told if references]
        return [*lines, self.again]


def standing(plan: Plan, outcomes: Sequence[Outcome], state: RunState) -> Standing:
    """Where a failed run leaves the registry: proven, not yet visible, in doubt, not done."""
    writing = (Action.PUSHED, Action.JOINED, Action.CARRIED, *_SET, Action.COPIED, *_MARKING)
    proven = {each.reference for each in outcomes if each.action in writing}
    unproven = state.attempted - proven
    reached = {each.reference for each in outcomes if each.action is not Action.BUILT} | unproven
    planned = [reference for step in plan.steps if (reference := _written(step))]
    due = [each for each in planned if each not in reached]
    states = {
        _WRITTEN: sorted(proven),
        _NOT_VISIBLE: sorted(unproven & state.answered),
        IN_DOUBT: sorted(unproven - state.answered),
        _NOT_DONE: due,
    }
    left = {each.repository.host for each in (*unproven, *due)}
    is_done = not left & {*plan.hosts[:1]}
    return Standing(states, _again(plan) if any(states.values()) else "", is_done)


def _written(step: Step) -> Reference | None:
    """What a step writes; nothing, where it only looks."""
    match step:
        case MoveTag() if step.keep:
            return None
        case CarryImage() | PushImage() | JoinParts() | MirrorImage() | MoveTag():
            return step.reference
        case WithdrawImage() | UnmarkImage():
            return step.reference
        case CopyImage():
            return Reference(step.target, step.source.target)
        case _:
            return None


def _again(plan: Plan) -> str:
    """What finishes a run that was broken off."""
    if plan.command is Command.ROLLBACK:
        return "Run the same again: what is done stays done."
    return "What is published stays. Fix the cause, then run again: that does the rest."


def _listed(references: Sequence[Reference]) -> str:
    return ", ".join(map(str, references))


def closing(plan: Plan, found: Sequence[Result]) -> list[str]:
    """The last lines of a run by hand: what exists now, and where to look at it."""
    lines = []
    for each in found:
        if each.tags:
            is_bad = each.digest in plan.withdrawn
            mark, end = ("⚠️ ", ", which is marked as bad") if is_bad else ("✅", "")
            lines.append(f"{mark} {each.service.name}: {each.image}{end}")
            lines += [f"   {line}" for line in _tag_lines(each, alone=len(found) == 1)]
            if each.service.repository.page:
                lines.append(f"🌐 {each.service.repository.page}")
        elif each.action is Action.BUILT:
            why = "" if plan.command is Command.BUILD else f", {plan.permission.reason}"
            lines.append(f"✅ {each.service.name}: built{why}")
    return lines


def _tag_lines(found: Result, *, alone: bool) -> list[str]:
    """The tags of a service: as they are pulled, or on a line for each registry."""
    if alone:
        return [str(tag) for tag in found.tags]
    named = {repository: ", ".join(tags) for repository, tags in found.names.items() if tags}
    own = found.service.repository
    return [tags if each == own else f"{each}: {tags}" for each, tags in named.items()]


def images(found: Sequence[Result]) -> Mapping[str, Mapping[str, object]]:
    """What became of each service, by its name, for other programs."""
    return {
        each.service.name: {
            "repository": str(each.service.repository),
            "digest": str(each.digest or ""),
            "tags": each.names[each.service.repository],
            "action": each.action.value if each.action else "",
            "size": each.size,
            "note": each.note,
            "also": {str(other): tags for other, tags in [*each.names.items()][1:]},
        }
        for each in found
    }


def outputs(plan: Plan, found: Sequence[Result], *, pushed: bool) -> dict[str, str]:
    """The outputs of the step. Those meant for other jobs hold no user name."""
    digests = {each.service.name: str(each.digest) for each in found if each.digest}
    single = found[0] if len(found) == 1 else None
    return {
        "pushed": "true" if pushed else "false",
        "reason": plan.permission.reason,
        "digest": str(single.digest or "") if single else "",
        "digests": json.dumps(digests),
        "plan": text.plan_json(plan),
        "matrix": json.dumps(_matrix(plan)),
        "image": single.image if single else "",
        "tags": "\n".join(str(tag) for each in found for tag in each.tags),
        "images": json.dumps(images(found)),
        "changed-files": "",
    }


def _matrix(plan: Plan) -> Mapping[str, object]:
    """What has to be built, for a later job each: a service, or one of its platforms.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrixinclude
    """
    if not plan.runners:
        return {"service": [each.service.name for each in plan.builds]}
    missing = [(each.service, each.missing) for each in plan.every(JoinParts)]
    missing += [(each.service, each.service.platforms) for each in plan.builds]
    return {
        "include": [
            {"service": service.name, "platform": each, "runner": _runs_on(plan.runners[each])}
            for service, platforms in missing
            for each in platforms
        ]
    }


def _runs_on(labels: Sequence[str]) -> str | Sequence[str]:
    """The labels of a runner as ``runs-on`` takes them."""
    return labels if len(labels) > 1 else labels[0]


def statuses(
    found: Sequence[Result], tag: Tag, run_url: str, lacking: Sequence[Service] = ()
) -> tuple[Status, ...]:
    """A commit status for each image that is published under the commit's tag.

    ``lacking``: services, on the registries where nobody has seen that tag: these turn it red.

    https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
    """
    hosts: dict[str, list[str]] = {}
    for service in lacking:
        hosts.setdefault(service.name, []).append(str(service.repository.host))
    return tuple(
        Status(
            f"registry/{each.service.name}",
            _described(each, tag, hosts.get(each.service.name, [])),
            each.service.repository.tag_page(tag) or run_url,
            is_whole=each.service.name not in hosts,
        )
        for each in found
        if each.digest and tag in [reference.target for reference in each.tags]
    )


def no_status(failure: Failure) -> str:
    """That nobody will find a status, and what to do."""
    problem = failure.problems[0]
    return f"No commit status says what is published: {problem}"


def _described(result: Result, tag: Tag, lacking: Sequence[str]) -> str:
    """The image, cut where GitHub would refuse it: the digest says what the name was to say."""
    end = f":{tag} {result.digest.algorithm}:{result.digest.short}" if result.digest else ""
    end += f", not proven on {some(lacking)}" if lacking else ""
    room = max(0, _LONGEST_STATUS - len(end))
    return (result.service.repository.name[:room] + end)[:_LONGEST_STATUS]
