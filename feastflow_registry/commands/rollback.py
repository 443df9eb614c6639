"""The command ``rollback``: tags go back to an image that they held before, without a build.

What is bad is marked, once for all tags; then these go back. All is decided before anything is
written: where one may not go, none does. With ``manifests``, they are pointed at the good image,
too; the commands that do the same in a cluster are printed in any case, for whoever presses second
may be the one who copies them. What else still holds the bad image is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from feastflow_registry.commands import aftermath, manifests, registries
from feastflow_registry.commands.again import again
from feastflow_registry.commands.app import App
from feastflow_registry.commands.manifests import Manifests
from feastflow_registry.config import selectors
from feastflow_registry.config.selectors import Selector
from feastflow_registry.kubernetes import kubectl
from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.history import Relation
from feastflow_registry.model.parallel import attempt, results
from feastflow_registry.model.plan import (
    KeepTag,
    Latest,
    MoveTag,
    Outcome,
    Plan,
    Step,
    UnmarkImage,
)
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.tags import gate, way_back
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.trails import (
    Commits,
    Held,
    Releases,
    TagLists,
    Trail,
    check_known,
    order,
)
from feastflow_registry.tags.way_back import Return, WayBack, called


def plan(app: App) -> Plan:
    """Find out what the tags hold and where they can go back to, then plan."""
    tags = selectors.bare(app.settings.command, app.settings.tag) or (LATEST,)
    _check(app, tags)
    app.check_may_write()
    files = manifests.read(app) if app.settings.manifests else Manifests((), ())
    lists = TagLists(app.surveyor)
    services = registries.answering(app)
    returns = _look(app, services, tags, lists)
    unmarking = _unmark(app, services)
    returns = _know_marks(app, returns, unmarking)
    back = way_back.steps(returns, app.surveyor.commit_tags, services)
    for step in back if app.settings.dry_run else ():
        if isinstance(step, MoveTag) and step.conflict:
            app.log.warning(str(step.conflict))  # With which the real run ends.
    holders = aftermath.holders(app, tags, returns, lists)
    others = (each.step for each in holders if each.step.tag not in tags)
    steps: tuple[Step, ...] = (*unmarking, *back, *others)
    runs = _to_run(returns)
    pins = {service: Pin(e.tag, e.digest) for service, r in runs.items() if (e := r.good) and e.tag}
    edits = manifests.plan_edits(app, files, pins)
    told = {service for service, each in runs.items() if each.bad or not each.why}
    concerned = _used({service: pin for service, pin in pins.items() if service in told}, files)
    guessed = kubectl.guesses(concerned, files.manifests)
    commands = kubectl.commands(concerned, files.manifests)
    return replace(
        app.plan((*steps, *edits)),
        advice=tuple(aftermath.advice(app, returns, steps, holders)),
        is_left_bad=bool(holders),
        kubectl=(kubectl.find(concerned), *commands) if guessed else tuple(commands),
        guessed=guessed,
        names=aftermath.names(returns, holders),
        withdrawn=aftermath.withdrawn(returns, holders),
    )


def _used(pins: Mapping[Service, Pin], files: Manifests) -> Mapping[Service, Pin]:
    """Of several registries, the images that manifests use, or else those of the first one."""
    first: dict[str, Service] = {}
    for service in (*files.services, *pins):
        first.setdefault(service.name, service)
    used = {*files.services, *first.values()}
    return {service: pin for service, pin in pins.items() if service in used}


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Mark what is bad, then move the tags, then point the manifests at what they hold."""
    yield from registries.carry_out(app, plan, partial(_releases, app))
    try:
        yield from manifests.write(app, plan)
    except Failure as failure:
        tag = next(step.tag for step in plan.steps if isinstance(step, MoveTag | KeepTag))
        fix = f'Mend that, then run deploy with input "tag: {tag}" and the same manifests.'
        causes = (problem.cause for problem in failure.problems)
        raise Failure.of(
            Kind.CONFLICT,
            [Problem(f"the tags are moved, the manifests are not: {each}", fix) for each in causes],
        ) from None
    current = app.state.current
    stuck = [each for each in plan.moves if current.get(each.reference) == each.expect]
    yield from results([each.conflict for each in stuck if each.conflict])


def _check(app: App, tags: Sequence[Tag]) -> None:
    """Refuse a tag that is not to be moved, and what would not say what is meant."""
    settings = app.settings
    if LATEST in tags and settings.latest is Latest.NEVER:
        raise Failure(
            Kind.INPUT,
            'latest may not move: the input "latest" says never.',
            'Roll another tag back, or leave the input "latest" out.',
        )
    if settings.unmark and not settings.to and not settings.from_:
        raise Failure(
            Kind.INPUT,
            'input "unmark": it needs the image that is good after all.',
            'Name it in the input "to"; or in the input "from", if no tag is to move.',
        )
    named = settings.from_.tag if settings.from_ else None
    if named and named not in map(Tag.near, app.history.git_tag_names()):
        raise Failure(
            Kind.INPUT,
            f'input "from": the tag {named} moves, so it may hold another image in the next run.',
            "Name the commit that is bad: `feastflow-registry tags` shows what the tag holds.",
        )


def _look(
    app: App, services: Sequence[Service], tags: Sequence[Tag], lists: TagLists
) -> list[Return]:
    """Look at what each tag holds of each service, and at what it can go back to."""
    pairs: list[tuple[WayBack, Held]] = []
    missing: list[Failure] = []
    ways = _ways(app, tags, lists)
    every = attempt(lambda way: way.held(services), ways)
    for way, held in zip(ways, every, strict=True):
        if isinstance(held, Failure):
            missing.append(held)
            continue
        pairs.append((way, held))
        for service in services:
            if service not in held:
                where = f" on {service.repository.host}" if service not in app.services else ""
                app.log.notice(f"{service.name} has no tag {way.tag}{where}: it is left out.")
    if not pairs or any(each.kind is not Kind.INPUT for each in missing):
        raise Failure.join(missing)
    for each in missing:
        app.log.warning(str(each))
    to, from_, unmark = app.settings.to, app.settings.from_, app.settings.unmark
    if from_ and (to or not unmark):
        return _away_from(app, services, pairs, from_)
    if from_:
        why = "its mark alone is taken off"
        return [Return(e, way.tag, own, own, why) for way, held in pairs for e, own in held.items()]
    if to:
        find = WayBack.bring_back if unmark else WayBack.to
        return [each for way, held in pairs for each in find(way, held, to)]
    return _back(app, pairs)


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
            check_known(app.surveyor, newest.commit, each.commit)
            raise Failure(
                Kind.CONFLICT,
                f"the tags hold {called(each)}, which {relation.value} {called(newest)}.",
                'Roll them back one by one, or name the bad image in the input "from".',
            )
        newest = each if relation is Relation.AHEAD else newest
    found: list[Return] = []
    follows = False
    for (way, held), each in zip(pairs, places, strict=True):
        if each.commit == newest.commit:
            found += way.back(held)
            follows = follows or way.trail.follows
        else:
            why = f"the tag is at {called(each)}, and not at {called(newest)}"
            found += [Return(service, way.tag, own, own, why) for service, own in held.items()]
    done = next((each for each in found if each.bad and not each.moves), None)
    if done and not follows:
        raise Failure(
            Kind.CONFLICT,
            f"{Reference(done.service.repository, done.tag)} stays: {done.why}; it may have been "
            "taken back already.",
            f"If {called(newest)} is bad: {again(app, {'from': called(newest)})}. If it is good, "
            "nothing is left to do.",
        )
    return found


def _away_from(
    app: App,
    services: Sequence[Service],
    pairs: Sequence[tuple[WayBack, Held]],
    wanted: Selector,
) -> list[Return]:
    """Take back the tags that hold a bad image. Refuses what none of them ever held."""
    named = _named(app, services, wanted)
    came_last = {service for way, _ in pairs for service in way.trail.came_last(named)}
    bad = {s: replace(own, commit=own.origin) for s, own in named.items() if s in came_last}
    to = app.settings.to
    for service, image in bad.items():
        if image.commit != named[service].commit:
            app.log.notice(
                f"{called(named[service])} did not change {service.name}: its image is the one of "
                f"{called(image)}, and bad by that name."
            )
    returns = [each for way, held in pairs for each in way.away_from(held, named, bad, to)]
    known = [each for each in returns if each.service in bad]
    if known and all(each.is_foreign for each in known):
        first = known[0]
        raise Failure(
            Kind.INPUT,
            f"{Reference(first.service.repository, first.tag)} is not taken back: {first.why}.",
            'Name what it holds in the input "from", or where to go in the input "to".',
            see="never-there",
        )
    for each in returns:
        if each.bad and each.marks and not each.moves and not each.is_stuck:
            name, at = called(each.bad), called(each.held)
            app.log.warning(
                f"{Reference(each.service.repository, each.tag)} stays: {each.why}. {name} is "
                f"marked. If {at} is bad too: {again(app, {'from': at})}."
            )
    return returns


def _know_marks(
    app: App, returns: Sequence[Return], unmarking: Sequence[UnmarkImage]
) -> list[Return]:
    """Take note of marked images that tags keep, or get because somebody wants it so."""
    chooser = Chooser(app.surveyor)
    pardoned = {step.digest for step in unmarking}
    asked = {e.good for e in returns if e.good and (e.why or app.settings.to)}
    marked = {e for e in asked if e.digest not in pardoned and chooser.is_withdrawn(e)}
    for name in sorted({called(e.good) for e in returns if e.good in marked and not e.why}):
        how = again(app, {"to": name, "unmark": "true"})
        cause = f"{name} is marked as bad, and the tags go to it all the same."
        app.log.warning(f"{cause} If it is good after all: {how}.")

    def note(each: Return) -> Return:
        if not each.why:
            return replace(each, since=replace(each.since, withdrawn=True), is_marked=True)
        too = f", {'and' if each.is_newer else 'which is'} marked too" if each.bad else ""
        return replace(each, why=each.why + too, is_marked=True)

    return [note(each) if each.good in marked else each for each in returns]


def _unmark(app: App, services: Sequence[Service]) -> tuple[UnmarkImage, ...]:
    """Take off every mark of what is good after all."""
    wanted = app.settings.to or app.settings.from_
    if not app.settings.unmark or not wanted:
        return ()
    found = tuple(
        UnmarkImage(service, mark.target, chosen.digest)
        for service, chosen in _named(app, services, wanted).items()
        for mark in app.surveyor.marks(chosen.repository, chosen.commit, chosen.image)
        if isinstance(mark.target, Tag)
    )
    if not found:
        app.log.notice(f"No rollback has marked {wanted} as bad, or not any more.")
    return found


def _named(app: App, services: Sequence[Service], wanted: Selector) -> dict[Service, Chosen]:
    """The image that somebody names, of the services that have one. Raises where none has."""
    chooser = Chooser(app.surveyor, offers=False)
    chosen = attempt(lambda each: chooser.choose(each.repository, wanted), services)
    pairs = zip(services, chosen, strict=True)
    named = {service: each for service, each in pairs if isinstance(each, Chosen)}
    failures = [each for each in chosen if isinstance(each, Failure)]
    if not named or any(each.kind is not Kind.INPUT for each in failures):
        raise Failure.join(failures)
    return named


def _to_run(returns: Sequence[Return]) -> dict[Service, Return]:
    """Whose image each service is to run: that of a tag that moves, of ``latest`` before others.

    Nobody is to run an image that is marked as bad, unless that is what is asked for.
    """
    found: dict[Service, Return] = {}
    for each in sorted(returns, key=lambda each: (not each.moves, each.tag != LATEST)):
        if each.good and each.good.tag and not (each.is_marked and each.why):
            found.setdefault(each.service, each)
    return found
