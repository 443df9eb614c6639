"""The commands ``publish``, ``build`` and ``push``: survey, plan, carry out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from feastflow_registry.commands import registries
from feastflow_registry.commands.again import again
from feastflow_registry.commands.app import App
from feastflow_registry.commands.workspace import untracked
from feastflow_registry.config import parts
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.parallel import spread, together
from feastflow_registry.model.plan import (
    Command,
    Line,
    Outcome,
    Plan,
    PushImage,
    Reuse,
    Rule,
    SharedTag,
)
from feastflow_registry.model.ports import BuiltImage, Status
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import RefKind
from feastflow_registry.model.services import Service
from feastflow_registry.model.snapshot import Seen, Snapshot
from feastflow_registry.model.tag_names import CommitTags
from feastflow_registry.model.wording import some
from feastflow_registry.report import results
from feastflow_registry.tags import gate, rules
from feastflow_registry.tags.converge import Convergence
from feastflow_registry.tags.execute import Execution
from feastflow_registry.tags.mirror import Mirror
from feastflow_registry.tags.move import Tagger
from feastflow_registry.tags.planner import plan_publish


def plan(app: App) -> Plan:
    """Look at what is published already, and plan the rest."""
    settings, run = app.settings, app.run
    snapshot: Snapshot = {}
    gives_secrets = bool(app.inputs.variables) or any(each.ssh for each in app.services)
    if app.publishes or (gives_secrets and run.in_runner):
        app.worktree.ensure(run.checkout, by_content=gives_secrets)
    if app.publishes:
        if not run.in_runner and app.permission.shared:
            # The last look will ask it, after all is written.
            app.history.newer(run.commit, settings.main)
        snapshot = _survey(app, gate.shared_tags(settings, run, app.permission))
    found = _plan(app, tuple(snapshot) or app.services, snapshot)
    built = [] if run.in_runner else [each.service for each in found.builds]
    if others := untracked(app.worktree, built):
        app.log.warning(str(others))
    return replace(found, advice=tuple(_of_withdrawn(app, found)))


def _of_withdrawn(app: App, found: Plan) -> Iterator[str]:
    """What becomes of the tags that do not move, as the commit's image is marked as bad."""
    commit = app.run.commit.short
    kept = [each for each in found.moves if each.keep == rules.withdrawn(app.run.commit)]
    held = [found.names.get(each.expect, each.expect.short) for each in kept if each.expect]
    if held:
        tags = some(sorted({each.tag.value for each in kept}))
        at = some(sorted({*held}))
        how = again(app, {"to": commit, "unmark": "true"}, Command.ROLLBACK)
        yield f"{tags} stays at {at}: {commit} was withdrawn. Revert it, or, if it is good, {how}."


def _plan(app: App, services: tuple[Service, ...], snapshot: Snapshot) -> Plan:
    settings, run, permission = app.settings, app.run, app.permission
    return plan_publish(settings, run, permission, services, snapshot, app.inputs.all_services)


def _survey(app: App, deserved: Sequence[SharedTag]) -> Snapshot:
    """Look at every registry. What is not on the first that answers is copied there from it."""
    found: dict[Service, Seen] = {}

    def of_first(
        of: Callable[[Settings, Service], Sequence[str]], service: Service
    ) -> Sequence[str]:
        return of(app.settings, service) if service in app.inputs.services else ()

    def look(services: Sequence[Service]) -> None:
        surveyor, commit = app.surveyor, app.run.commit
        lines = _lines(app, deserved, services)
        shared = [replace(each, line=lines.get(each.tag)) for each in deserved]
        reuse = Reuse.COMMIT if found else app.settings.reuse
        platforms, pushed = (partial(of_first, each) for each in (parts.of_service, parts.pushed))
        seen = surveyor.survey(commit, services, shared, reuse, platforms, pushed)
        if not found:
            _check_parts(app, seen)
        _plan(app, tuple(services), seen)  # May raise: a conflict leaves out this registry alone.
        found.update(seen)
        _warn(app, seen)

    registries.of_each(app, look)
    return found


def _check_parts(app: App, seen: Snapshot) -> None:
    """Refuse to put together what has its parts on the first registry, where that is missing."""
    lacking = [each for each, here in seen.items() if not here.image]
    if parts.joins(app.settings) and lacking and not {*seen} & {*app.inputs.services}:
        raise Failure(
            Kind.UNREACHABLE,
            f"{some([str(each.repository) for each in lacking])} cannot be published: the parts "
            f"are on {app.settings.registry} alone.",
            "Run this job again when that answers.",
        )


def _warn(app: App, found: Snapshot) -> None:
    for service, seen in found.items():
        if seen.bad:
            app.log.warning(
                f"{service.name} is made from the same files as the image of {seen.bad.short}, "
                "which was withdrawn as bad: if that is not mended elsewhere, revert it."
            )


def _lines(
    app: App, shared: Sequence[SharedTag], services: Iterable[Service]
) -> Mapping[Tag, Line]:
    """The releases that tags are for, by the git tags that the remote has now.

    Its list may be late, so that the run's own counts, and those that images are named after:
    whether one is there is asked again where it counts.
    """
    due = [each.tag for each in shared if each.rule is Rule.RELEASE]
    if not due:
        return {}
    names = {app.run.ref.name, *app.history.git_tag_names()}
    lists = spread(app.registry.tags, [each.repository for each in services])
    published = set(chain.from_iterable(lists))
    return {tag: gate.line(app.settings, app.run, tag, names, published) for tag in due}


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Build, push and move the tags; remember a build, and leave a record at the commit."""
    command = app.settings.command
    built = app.ledger.read(plan.commit) if command is Command.PUSH else {}
    _check_built(plan, built)
    branch = _followed_branch(app)
    tagger = Tagger(app.surveyor, plan.commit, app.clock, app.state, branch)
    others = gate.repointable(app.settings, app.permission)
    shared = gate.shared_tags(app.settings, app.run, app.permission)
    mirror = Mirror(tagger, app.copier)

    def converge(part: Plan) -> Convergence:
        lines = partial(_lines, app, shared, part.services)
        return Convergence(part, tagger, mirror, app.settings.main, others, lines)

    execution = Execution(
        plan=plan,
        builder=lambda: app.builder,
        checker=app.checker,
        worktree=app.worktree,
        mirror=mirror,
        convergence=converge,
        built=built,
        untagging=app.untagging,
    )
    outcomes: list[Outcome] = []
    try:
        for outcome in execution.run():
            outcomes.append(outcome)
            yield outcome
    except Failure:
        _set_statuses(app, plan, outcomes)
        raise
    if command is Command.BUILD:
        _remember(app, plan, execution.built)
    _set_statuses(app, plan, outcomes)


def _followed_branch(app: App) -> str:
    """The branch whose newer commits take the moved tags over; none for a git tag."""
    if app.run.ref.kind is RefKind.TAG:
        return ""
    if app.run.in_runner:
        return app.run.ref.name
    return app.settings.main if app.permission.shared else ""


def _check_built(plan: Plan, built: Mapping[str, BuiltImage]) -> None:
    """Refuse to push what ``build`` has not made."""
    making = {step.service for step in plan.builds}
    for step in plan.every(PushImage):
        if step.service not in making and step.service.name not in built:
            raise Failure(
                Kind.INPUT,
                f"no build of {step.service.name} at commit {plan.commit.short} is known.",
                "Run `feastflow-registry build` first; publish does both.",
            )


def _remember(app: App, plan: Plan, built: Mapping[str, BuiltImage]) -> None:
    """Say what the images of a build are called, and keep them for ``push`` if it takes them."""
    kept = {name: image for name, image in built.items() if image.image_id}
    for step in plan.builds:
        if step.service.name in kept:
            names = ", ".join(map(str, step.tags))
            app.log.say(f"{step.service.name} is in the engine as {names}.")
    for name in sorted(built.keys() - kept.keys()):
        app.log.notice(f"{name} has several platforms and stays in the cache: use publish.")
    try:
        gate.check_source(app.run)
        app.worktree.ensure(app.run.checkout, by_content=True)
    except Failure as failure:
        app.log.warning(f"push will not take this build: {failure.problems[0].cause}")
        return
    app.ledger.write(app.run.commit, kept)


def _set_statuses(app: App, plan: Plan, outcomes: list[Outcome]) -> None:
    """Leave a record at the commit: a request a published service, which fails nothing."""
    if not app.publishes or not app.run.in_runner:
        return
    tag = CommitTags(app.settings.sha_length).of(plan.commit)
    lacking = [each for each in app.everywhere if each not in app.state.proven]
    wanted = results.statuses(results.results(plan, outcomes), tag, app.run.run_url, lacking)
    github = app.statuses()

    def set_status(status: Status) -> None:
        github.set(plan.commit, status)

    try:
        together(set_status, wanted)
    except Failure as failure:
        app.log.notice(results.no_status(failure))
