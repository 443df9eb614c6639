"""The job summaries of the commands that move images and tags: data for the form. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from feastflow_registry.model import wording
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.plan import (
    Action,
    BuildImage,
    CarryImage,
    Command,
    CopyImage,
    DeleteTag,
    EditFile,
    JoinParts,
    KeepTag,
    MirrorImage,
    MoveTag,
    Outcome,
    Plan,
    PushImage,
    ReuseImage,
    Step,
    UnmarkImage,
    WithdrawImage,
)
from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import withdrawn_digits
from feastflow_registry.report import deploy, text
from feastflow_registry.report.results import IN_DOUBT, Result, Standing
from feastflow_registry.report.summary import (
    DRY_RUN,
    NOT_DRY,
    Block,
    Markup,
    Summary,
    Table,
    bold,
    code,
    commit_link,
    counted,
    join,
    label,
    link,
    sentence,
)
from feastflow_registry.tags.rules import THERE

_DONE = {Command.PROMOTE: "Promoted", Command.ROLLBACK: "Rolled back"}
_MOST_WAYS = 3
_MOST_DRAWN = 12
CLUSTER = (
    "Tell the cluster",
    (
        "Tell the cluster. The first command lists what runs: if its names differ from those "
        "below, change them, and add -n"
    ),
)
"""What is said above the commands for a cluster: where a manifest tells its names, and if not."""

_OBJECTS = dict.fromkeys(("create", "move", "keep", "delete"), "tag")
"""What the steps of a plan are about that are not about an image, by their verbs."""

Names = Mapping[Digest, str]
"""What people call images: by the digits of their commits."""


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of a tag: what it held, what it holds now, and why, if that is worth a word."""

    service: Service
    reference: Reference
    was: str
    now: str
    why: str


def success(plan: Plan, found: Sequence[Result], outcomes: Sequence[Outcome]) -> str:
    """The summary of a run that did what it was to do."""
    form = _moved if plan.command in _DONE else _published
    return form(plan, found, outcomes).markdown()


def planned(plan: Plan) -> str:
    """The summary of a dry run: what a run would do, step by step."""
    rows = list(_steps(plan))
    counts = Counter(verb for _, verb, *_ in rows)
    does = (
        f"{verb} {counted(count, _OBJECTS.get(verb, 'image'))}" for verb, count in counts.items()
    )
    doing = ", ".join(does) or "nothing to do"
    may = plan.permission.push if plan.command.builds else plan.permission.shared
    todo = NOT_DRY if may else plan.permission.fix
    return Summary(
        f"{DRY_RUN}: {doing}",
        facts=_facts(plan),
        table=Table(("service", "step", "what", "how"), rows),
        todo=[*filter(None, [todo]), *plan.left_out, *plan.advice],
    ).markdown()


def failed(
    plan: Plan | None, why: Sequence[Problem], standing: Standing, *, cancelled: bool = False
) -> str:
    """The summary of a run that failed: where that leaves the registry, what is wrong, the fix."""
    rows = [
        [
            _linked(each, str(each)),
            f"{state}: sent, but not read back" if state == IN_DOUBT else state,
        ]
        for state, references in standing.states.items()
        for each in references
    ]
    counts = [f"{counted(len(each), 'tag')} {s}" for s, each in standing.states.items() if each]
    where = ", ".join(counts) if standing.is_changed else "nothing was written"
    name = plan.command.value.capitalize() if plan else "This run"
    return Summary(
        f"{name} {'was cancelled' if cancelled else 'failed'}: {where}",
        table=Table(("tag", "state"), rows),
        todo=[
            *map(_problem, why),
            *([standing.again] if standing.again else []),
            *(_left(plan) if plan and standing.is_done else []),
        ],
        commands=plan.kubectl if plan and standing.is_done else (),
        facts=_facts(plan) if plan else (),
        failed=True,
    ).markdown()


def _problem(problem: Problem) -> Markup:
    """What is wrong, what to do, and where more is said of it."""
    more = [link("More", problem.help)] if problem.help else []
    return join(bold(sentence(problem.cause)), problem.fix, *more, by=" ")


def _published(plan: Plan, found: Sequence[Result], outcomes: Sequence[Outcome]) -> Summary:
    """What publish, push and build have made of each service."""
    names = _names(plan, found)
    pushed = plan.permission.push and plan.command is not Command.BUILD
    commit = code(plan.commit.short)
    head = join("Published commit " if pushed else "Built and not pushed: commit ", commit)
    ways = _ways(_fates(plan, outcomes, names))
    ours = {tag for each in found for tag in each.tags}
    kept = [each for each in outcomes if each.action is Action.KEPT and each.reference not in ours]
    return Summary(
        join(head, ways, by="; ") if ways else head,
        facts=_facts(plan),
        table=Table(
            ("service", "image", "tags", "digest", "size", "time"),
            [_row(plan, each) for each in found],
            frozenset({"size", "time"}),
        ),
        notes=[join(code(str(each.reference)), f" stays: {each.note}") for each in kept],
        todo=[*filter(None, [plan.permission.fix]), *plan.left_out, *plan.advice],
        details=_to_copy(found) | _life(outcomes, names | _makers(plan)),
    )


def _row(plan: Plan, found: Result) -> Sequence[str]:
    service = found.service
    built = (step for step in plan.builds if step.service == service)
    tags = found.tags or tuple(tag for step in built for tag in step.tags[:1])
    shown = [
        _linked(each, "" if each.repository == service.repository else str(each))
        if found.tags
        else code(each.identifier)
        for each in tags
    ]
    action = found.action.value if found.action else ""
    return (
        link(service.name, service.repository.page if found.tags else None),
        f"{action}, {found.note}" if found.note else action,
        join(*shown, by=" "),
        code(found.digest.short) if found.digest else "",
        wording.size(found.size) if found.size else "",
        f"{found.seconds:.1f} s" if found.seconds >= 0.05 else "",
    )


def _moved(plan: Plan, found: Sequence[Result], outcomes: Sequence[Outcome]) -> Summary:
    """Where promote and rollback have moved which tags."""
    names = _names(plan, found)
    fates = _fates(plan, outcomes, names)
    moved = [each for each in fates if each.was != each.now]
    ways = _ways(moved) or join(f"{counted(len(moved), 'tag')} of {counted(len(found), 'service')}")
    done = _DONE[plan.command]
    head = join(f"{done}: ", ways) if moved else f"Nothing {done.lower()}: each tag stays"
    marks = {
        Action.MARKED: "withdrawn: no publish moves a tag to it",
        Action.UNMARKED: "not withdrawn any more",
    }
    marked = {(each.action, each.reference.target) for each in outcomes if each.action in marks}
    said = [
        join(code(withdrawn_digits(tag)), f" is {marks[action]}.")
        for action, tag in sorted(marked)
        if isinstance(tag, Tag)
    ]
    rows = [
        (
            each.service.name,
            _linked(each.reference, str(each.reference)),
            code(each.was) or "new",
            code(each.now),
            each.why or (_became(each, done) if any(other.why for other in fates) else ""),
        )
        for each in sorted(fates, key=lambda each: each.was == each.now)
    ]
    edits = deploy.table(plan)
    return Summary(
        head,
        facts=[*_facts(plan), join(*said, by=" ")],
        table=Table(("service", "tag", "was", "is", "result"), rows),
        todo=_left(plan),
        commands=plan.kubectl,
        details={
            f"{counted(len(edits.rows), 'image')} in manifests": edits,
            **_to_copy(found),
            **_life(outcomes, names),
        },
        warns=plan.is_left_bad,
    )


def _left(plan: Plan) -> list[str]:
    """What is left for a person to do."""
    return [*plan.advice, *([f"{CLUSTER[plan.guessed]}:"] if plan.kubectl else [])]


def _became(fate: _Fate, done: str) -> str:
    return done.lower() if fate.was != fate.now else THERE


def _facts(plan: Plan) -> list[str]:
    """Whose run it is, with links, and why it may do what it does.

    The commit of a rollback's own run has nothing to do with what is rolled back.
    """
    of = join("Commit ", commit_link(plan.commit, plan.run_url)) if plan.command.builds else ""
    run = link("This run", plan.run_url) if plan.run_url else ""
    return [join(*filter(None, [of, run, sentence(plan.permission.reason)]), by=" · ")]


def _names(plan: Plan, found: Sequence[Result]) -> dict[Digest, str]:
    """What people call the images of a run, as far as that is known."""
    own = {each.digest: plan.commit.short for each in found if each.digest}
    return text.names(replace(plan, names={**plan.names, **(own if plan.command.builds else {})}))


def _makers(plan: Plan) -> dict[Digest, str]:
    """Whose the images are that were carried forward."""
    images = (step.image for step in plan.every(CarryImage))
    return {each.digest: each.revision.short for each in images if each.revision}


def _called(names: Names, digest: Digest | None) -> str:
    return names.get(digest, digest.short) if digest else ""


def _fates(plan: Plan, outcomes: Sequence[Outcome], names: Names) -> list[_Fate]:
    """What became of each tag that was to be moved; the last word on it counts."""
    before = {
        step.reference: step.expect if isinstance(step, MoveTag) else step.current
        for step in plan.steps
        if isinstance(step, MoveTag | KeepTag)
    }
    last = {each.reference: each for each in outcomes if each.reference in before}
    return [
        _Fate(
            each.service,
            reference,
            _called(names, before[reference]),
            _called(names, each.digest),
            each.note.removeprefix(THERE),
        )
        for reference, each in last.items()
    ]


def _ways(fates: Sequence[_Fate]) -> str:
    """From where to where tags were moved, if that is told in a few words."""
    ways: dict[tuple[str, str], dict[str, None]] = {}
    for each in fates:
        if each.was and each.was != each.now:
            ways.setdefault((each.was, each.now), {})[each.reference.identifier] = None
    if len(ways) > _MOST_WAYS:
        return ""
    said = (
        join(join(*map(code, tags), by=", "), ": ", code(was), " → ", code(now))
        for (was, now), tags in ways.items()
    )
    return join(*said, by="; ")


def _linked(reference: Reference, text: str = "") -> Markup:
    """A tag with its page, called as it is or by a text."""
    tag = reference.target if isinstance(reference.target, Tag) else None
    page = reference.repository.tag_page(tag) if tag else None
    return link(code(text or reference.identifier), page)


def _to_copy(found: Sequence[Result]) -> dict[str, Block]:
    """Whole digests, and what pulls the images."""
    there = [each for each in found if each.tags]
    pulls = [f"docker pull {each.tags[0]}" for each in there]
    runs = [f"docker run --rm -P {each.tags[0]}" for each in there] if len(there) == 1 else []
    return {
        "Digests to copy": Block("text", [each.image for each in there]),
        "Commands to pull": Block("bash", [*pulls, *runs]),
    }


def _life(outcomes: Sequence[Outcome], names: Names) -> dict[str, Block]:
    """Commit, image and tags as a picture, where a table does not show how they hang together.

    https://mermaid.js.org/syntax/flowchart.html
    """
    held: dict[tuple[str, Digest], dict[str, None]] = {}
    for reference, each in {each.reference: each for each in outcomes}.items():
        if each.digest and isinstance(reference.target, Tag):
            held.setdefault((each.service.name, each.digest), {})[reference.identifier] = None
    commits = dict.fromkeys(_called(names, digest) for _, digest in held)
    if len(commits) < 2 or len(held) > _MOST_DRAWN:
        return {}
    place = {name: number for number, name in enumerate(commits)}
    lines = ["flowchart LR"]
    lines += [f"  c{number}([{label(f'commit {name}')}])" for name, number in place.items()]
    for number, ((service, digest), tags) in enumerate(held.items()):
        name = label(f"{service} {digest.short}")
        lines.append(f"  c{place[_called(names, digest)]} --> i{number}[{name}]")
        lines.append(f"  i{number} --> t{number}>{label(', '.join(tags))}]")
    return {"Which commit, which image, which tags": Block("mermaid", lines)}


def _steps(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Each step of a plan as a row: whose, a verb, what, and how or why."""
    names = _names(plan, ())
    goals = {step.service: names[step.image.digest] for step in plan.every(ReuseImage)}
    pushed = {step.service for step in plan.every(PushImage)}
    built = {step.service for step in plan.builds}
    called = text.called(plan.services)
    for step in plan.steps:
        if not (isinstance(step, PushImage) and step.service in built):
            goal = goals.get(step.service, plan.commit.short)
            verb, what, how = _step(step, names, goal, pushed=step.service in pushed)
            yield called[step.service], verb, what, how


def _step(step: Step, names: Names, goal: str, *, pushed: bool) -> tuple[str, str, str]:
    match step:
        case BuildImage():
            verb = "build and push" if pushed else "build"
            why = f"; {step.why}" if step.why else ""
            return verb, code(step.tags[0].identifier), f"from {step.service.context}{why}"
        case PushImage():
            return "push", code(step.tag.value), "as it was built"
        case JoinParts():
            return "join", code(step.tag.value), f"from {', '.join(text.platforms(step))}"
        case ReuseImage():
            return "reuse", code(step.reference.identifier), "published already"
        case CarryImage():
            since = f" since {step.image.revision.short}" if step.image.revision else ""
            return "carry", code(step.tag.value), f"unchanged{since}"
        case CopyImage():
            return "copy", code(str(step.source)), f"to {step.target}"
        case MirrorImage():
            return "copy", _linked(step.reference, str(step.reference)), f"from {step.source}"
        case EditFile():
            where = f"{step.container} in {step.resource}"
            return "edit", code(f"{step.file}:{step.line}"), where
        case _:
            return _step_of_tag(step, names, goal)


def _step_of_tag(
    step: MoveTag | KeepTag | DeleteTag | WithdrawImage | UnmarkImage, names: Names, goal: str
) -> tuple[str, str, str]:
    match step:
        case MoveTag() if step.keep:
            return "keep", _linked(step.reference), step.keep
        case MoveTag() if step.expect:
            way = join(code(_called(names, step.expect)), " → ", code(goal))
            return "move", _linked(step.reference), way
        case MoveTag():
            return "create", _linked(step.reference), code(goal)
        case KeepTag():
            return "keep", _linked(step.reference), step.reason
        case DeleteTag():
            return "delete", _linked(step.reference), step.reason
        case WithdrawImage() | UnmarkImage():  # pragma: no branch  As mypy proves.
            verb = "withdraw" if isinstance(step, WithdrawImage) else "unmark"
            return verb, code(_called(names, step.digest)), f"by the tag {step.tag}"
