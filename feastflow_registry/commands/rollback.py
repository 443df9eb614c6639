"""The command ``rollback``: tags go back to an image that they held before, without a build.

What is bad is marked, once for all tags; then these go back, or none does. With ``manifests``, they
are pointed at the good image, too; the commands that do the same in a cluster are printed in any
case. What else still holds the bad image is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from feastflow_registry.commands import manifests
from feastflow_registry.commands.app import App
from feastflow_registry.commands.manifests import Manifests
from feastflow_registry.config import selectors
from feastflow_registry.config.selectors import Selector
from feastflow_registry.kubernetes import kubectl
from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.history import Relation
from feastflow_registry.model.parallel import attempt, spread, together
from feastflow_registry.model.plan import (
    KeepTag,
    Latest,
    MoveTag,
    Outcome,
    Plan,
    Step,
    UnmarkImage,
    WithdrawImage,
)
from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, is_shared, withdrawn_digits
from feastflow_registry.model.wording import some
from feastflow_registry.tags import gate, way_back
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.converge import Transferred
from feastflow_registry.tags.move import Transfer
from feastflow_registry.tags.trails import Commits, Held, Releases, TagLists, Trail, order
from feastflow_registry.tags.way_back import Return, WayBack, called

_MOST_HOLDERS = 500
"""How many tags of a repository are asked whether they hold the bad image."""


def plan(app: App) -> Plan:
    """Find out what the tags hold and where they can go back to, then plan."""
    tags = selectors.bare(app.settings.command, app.settings.tag) or (LATEST,)
    _check(app, tags)
    app.check_may_write()
    files = manifests.read(app) if app.settings.manifests else Manifests((), ())
    lists = TagLists(app.surveyor)
    returns = _look(app, tags, lists)
    back = way_back.steps(returns, app.surveyor.commit_tags)
    unmarking = _unmark(app, returns) if app.settings.unmark else ()
    holders = _holders(app, tags, returns, lists)
    steps: tuple[Step, ...] = (*unmarking, *back, *holders)
    pins = {
        each.service: Pin(each.good.tag, each.good.digest)
        for each in sorted(returns, key=lambda each: each.moves)
        if each.good and each.good.tag
    }
    edits = manifests.plan_edits(app, files, pins)
    moved = {step.service for step in steps if isinstance(step, MoveTag) and not step.keep}
    moving = {service: pin for service, pin in pins.items() if service in moved}
    commands = kubectl.commands(moving, files.manifests)
    return replace(
        app.plan((*steps, *edits)),
        advice=tuple(_advice(steps, holders)),
        kubectl=tuple(commands),
        guessed=kubectl.guesses(moving, files.manifests),
        names=_names(returns),
    )


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Mark what is bad, then move the tags, then point the manifests at what they hold."""
    transfer = Transfer(plan, app.surveyor_of, app.clock, app.state, app.copier, app.untagging)
    yield from Transferred(transfer, app.settings.main, partial(_releases, app)).run()
    try:
        yield from manifests.write(app, plan)
    except Failure as failure:
        tag = next(step.tag for step in plan.steps if isinstance(step, MoveTag | KeepTag))
        fix = f"Mend that, then run deploy with tag: {tag} and the same manifests."
        causes = (problem.cause for problem in failure.problems)
        raise Failure.of(
            Kind.CONFLICT,
            [Problem(f"the tags are moved, the manifests are not: {each}", fix) for each in causes],
        ) from None


def _check(app: App, tags: Sequence[Tag]) -> None:
    """Refuse a tag that is not to be moved, and a second try that might go one further back."""
    settings = app.settings
    if LATEST in tags and settings.latest is Latest.NEVER:
        raise Failure(
            Kind.INPUT,
            "latest is not to be moved, as the input latest says never.",
            "Roll another tag back, or leave the input latest out.",
        )
    if settings.unmark and not settings.to:
        raise Failure(
            Kind.INPUT,
            'input "unmark": nothing tells which image is good after all.',
            "Name it in the input to.",
        )
    is_told = settings.to or settings.from_ or settings.dry_run
    if app.run.attempt > 1 and not is_told and not gate.following(settings).issuperset(tags):
        raise Failure(
            Kind.INPUT,
            "this run is started again, and its first try may have moved the tags already.",
            "Name the bad image in the input from or where to go in the input to, or look at "
            "`tags` and start a new run.",
        )


def _look(app: App, tags: Sequence[Tag], lists: TagLists) -> list[Return]:
    """Look at what each tag holds of each service, and at what it can go back to."""
    ways = _ways(app, tags, lists)
    every = together(lambda way: way.held(app.services), ways)
    for way, held in zip(ways, every, strict=True):
        for service in app.services:
            if service not in held:
                app.log.notice(f"{service.name} has no tag {way.tag}: it is left out.")
    pairs = list(zip(ways, every, strict=True))
    if app.settings.from_:
        returns = _away_from(app, pairs, app.settings.from_)
    elif app.settings.to:
        to = app.settings.to
        returns = [each for way, held in pairs for each in way.to(held, to)]
    else:
        returns = _back(app, pairs)
    return returns if app.settings.unmark else _warn_of_marks(app, returns)


def _ways(app: App, tags: Sequence[Tag], lists: TagLists) -> list[WayBack]:
    """Along what each tag goes: a tag that follows nothing goes along with the others."""
    following = gate.following(app.settings)
    lines = {tag: _line(app, tag) for tag in tags}
    others = next((names for names in lines.values() if names is not None), None)

    def trail(tag: Tag) -> Trail:
        names = lines[tag]
        if names is None and tag not in following:
            names = others
        if names is not None:
            return Releases(app.surveyor, lists, tag, names)
        return Commits(app.surveyor, lists, tag, app.settings.main, tag in following)

    return [WayBack(app.surveyor, tag, trail(tag)) for tag in tags]


def _line(app: App, tag: Tag) -> Sequence[str] | None:
    """The git tags that a tag goes along, the highest first; nothing, if it follows no releases."""
    of_latest = app.settings.latest is Latest.RELEASE
    if not (of_latest if tag == LATEST else gate.makes_lines(app.settings)):
        return None
    found = _releases(app, tag)
    return found if found or tag == LATEST else None


def _releases(app: App, tag: Tag) -> Sequence[str]:
    """The git tags of the releases that a tag is for, as they are now."""
    return gate.line(app.settings, app.run, tag, app.history.git_tag_names()).names


def _back(app: App, pairs: Sequence[tuple[WayBack, Held]]) -> list[Return]:
    """Take the tags back that are at the newest image that any of them holds."""
    places = [way.holds(held) for way, held in pairs]
    newest = places[0]
    for each in places[1:]:
        relation = order(app.surveyor, newest, each)
        if relation in (Relation.DIVERGED, Relation.UNKNOWN):
            raise Failure(
                Kind.CONFLICT,
                f"the tags hold {called(each)}, which {relation.value} {called(newest)}.",
                "Roll them back one by one, or name the bad image in the input from.",
            )
        newest = each if relation is Relation.AHEAD else newest
    found: list[Return] = []
    for (way, held), each in zip(pairs, places, strict=True):
        if each.commit == newest.commit:
            found += way.back(held)
        else:
            why = f"it is at {called(each)}, and not at {called(newest)}"
            found += [Return(service, way.tag, own, own, why) for service, own in held.items()]
    return found


def _away_from(app: App, pairs: Sequence[tuple[WayBack, Held]], wanted: Selector) -> list[Return]:
    """Take back the tags that hold a bad image. Refuses what none of them ever held."""
    choose = partial(_choose, app, wanted)
    chosen = list(zip(app.services, attempt(choose, app.services), strict=True))
    bad = {service: each for service, each in chosen if isinstance(each, Chosen)}
    failures = [each for _, each in chosen if isinstance(each, Failure)]
    if not bad or any(each.kind is not Kind.INPUT for each in failures):
        raise Failure.join(failures)
    to = app.settings.to
    returns = [each for way, held in pairs for each in way.away_from(held, bad, to)]
    known = [each for each in returns if each.service in bad]
    if known and all(each.is_foreign for each in known):
        first = known[0]
        raise Failure(
            Kind.INPUT,
            f"{Reference(first.service.repository, first.tag)} is not taken back: {first.why}.",
            "Name what it holds in the input from, or where to go in the input to.",
            see="never-there",
        )
    for each in returns:
        if each.bad and each.marks and not each.moves:
            name, at = called(each.bad), called(each.held)
            app.log.warning(
                f"{Reference(each.service.repository, each.tag)} stays: {each.why}. {name} is "
                f"marked; if {at} is bad too, run again with from: {at}."
            )
    return returns


def _choose(app: App, wanted: Selector, service: Service) -> Chosen:
    return Chooser(app.surveyor).choose(service.repository, wanted)


def _warn_of_marks(app: App, returns: Sequence[Return]) -> list[Return]:
    """Say that what somebody wants back is marked, which does not keep the tags from it."""
    if not app.settings.to:
        return list(returns)
    chooser = Chooser(app.surveyor)
    good = {each.good for each in returns if each.good and not each.why}
    marked = {each for each in good if chooser.is_withdrawn(each)}
    for each in sorted(map(str, marked)):
        app.log.warning(f"{each} was withdrawn by a rollback, and stays marked without unmark.")
    return [
        replace(each, since=replace(each.since, withdrawn=True)) if each.good in marked else each
        for each in returns
    ]


def _unmark(app: App, returns: Sequence[Return]) -> tuple[UnmarkImage, ...]:
    """Take off every mark of what somebody wants back. Refuses what has none."""
    good = {each.service: each.good for each in returns if each.good and not each.why}
    found = tuple(
        UnmarkImage(service, mark.target, chosen.digest)
        for service, chosen in good.items()
        for mark in app.surveyor.marks(chosen.repository, chosen.commit, chosen.image)
        if isinstance(mark.target, Tag)
    )
    if not found:
        raise Failure(
            Kind.INPUT,
            f'input "unmark": no rollback has marked {app.settings.to} as bad.',
            "Leave unmark out.",
        )
    return found


def _holders(
    app: App, tags: Sequence[Tag], returns: Sequence[Return], lists: TagLists
) -> tuple[KeepTag, ...]:
    """Which other tags still hold what is bad. That they are not known keeps nothing from going."""
    bad = {(each.service, each.bad) for each in returns if each.bad}
    found: list[KeepTag] = []
    try:
        for service, image in sorted(bad, key=lambda each: each[0].name):
            repository = service.repository
            others = sorted(tag for tag in lists.of(repository) - {*tags} if is_shared(tag))
            asked = [Reference(repository, tag) for tag in others[:_MOST_HOLDERS]]
            held = zip(others, spread(app.registry.resolve, asked), strict=False)
            why = f"it still holds the bad image of {called(image)}"
            found += [
                KeepTag(service, tag, image.digest, why)
                for tag, digest in held
                if digest == image.digest
            ]
            if len(others) > len(asked):
                more = len(others) - len(asked)
                app.log.warning(f"{repository}: {more} more tags may hold the bad image.")
    except Failure as failure:
        app.log.warning(f"Which other tags hold the bad image is not known: {failure}")
    return tuple(found)


def _names(returns: Sequence[Return]) -> dict[Digest, str]:
    """What people call the images that the tags hold, may go back to, or are not to hold."""
    images = (image for each in returns for image in (each.held, each.good, each.bad) if image)
    return {image.digest: called(image) for image in images}


def _advice(steps: Sequence[Step], holders: Sequence[KeepTag]) -> Iterator[str]:
    """What a person on call may not think of."""
    does = [
        step
        for step in steps
        if isinstance(step, UnmarkImage | WithdrawImage | MoveTag)
        and not (isinstance(step, MoveTag) and step.keep)
    ]
    if not does:
        yield "Nothing to do: each tag is where it is to be, or has nothing to go back to."
        yield "To go further back, name the bad image in the input from, or where to go in to."
    marked = {withdrawn_digits(step.tag) for step in does if isinstance(step, WithdrawImage)}
    if marked:
        names = ", ".join(sorted(marked))
        yield f"Revert {names} on the branch, or what is published next has it again."
    if holders:
        names = some(sorted({str(each.reference) for each in holders}))
        yield f"Still bad: {names}. To take them back too, name them in the input tag."
