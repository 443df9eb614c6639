"""The command ``rollback``: tags go back to an image that they held before, without a build.

What is bad is marked, once for all tags; then these go back. All is decided before anything is
written: where one may not go, none does. With ``manifests``, they are pointed at the good image,
too; the commands that do the same in a cluster are printed in any case, for whoever presses second
may be the one who copies them. What else still holds the bad image is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from feastflow_registry.commands import manifests, registries
from feastflow_registry.commands.app import App
from feastflow_registry.commands.manifests import Manifests
from feastflow_registry.config import selectors
from feastflow_registry.config.selectors import Selector
from feastflow_registry.kubernetes import kubectl
from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.history import Relation
from feastflow_registry.model.parallel import attempt, results, spread
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
from feastflow_registry.model.tag_names import LATEST, frozen_marker, is_shared, withdrawn_digits
from feastflow_registry.model.wording import some
from feastflow_registry.tags import gate, way_back
from feastflow_registry.tags.choose import Chooser, Chosen
from feastflow_registry.tags.trails import Commits, Held, Releases, TagLists, Trail, order
from feastflow_registry.tags.way_back import Return, WayBack, called

_MOST_HOLDERS = 500
"""How many tags of a repository are asked whether they hold the bad image."""


@dataclass(frozen=True, slots=True)
class _Holder:
    """A tag that nobody has asked to take back, and that holds a ``bad`` image.

    ``is_final``: it is never moved.
    """

    step: KeepTag
    bad: str
    is_final: bool


def plan(app: App) -> Plan:
    """Find out what the tags hold and where they can go back to, then plan."""
    tags = selectors.bare(app.settings.command, app.settings.tag) or (LATEST,)
    _check(app, tags)
    app.check_may_write()
    files = manifests.read(app) if app.settings.manifests else Manifests((), ())
    lists = TagLists(app.surveyor)
    services = registries.answering(app)
    returns = _look(app, services, tags, lists)
    back = way_back.steps(returns, app.surveyor.commit_tags, services)
    unmarking = _unmark(app, returns) if app.settings.unmark else ()
    holders = _holders(app, tags, returns, lists)
    steps: tuple[Step, ...] = (*unmarking, *back, *(each.step for each in holders))
    targets = [each for each in sorted(returns, key=lambda each: each.moves) if each.good]
    pins = {each.service: Pin(e.tag, e.digest) for each in targets if (e := each.good) and e.tag}
    edits = manifests.plan_edits(app, files, pins)
    told = {each.service for each in targets if each.bad or not each.why}
    concerned = _used({service: pin for service, pin in pins.items() if service in told}, files)
    guessed = kubectl.guesses(concerned, files.manifests)
    commands = kubectl.commands(concerned, files.manifests)
    return replace(
        app.plan((*steps, *edits)),
        advice=(*_advice(app, tags, returns, steps), *_still_bad(app, holders)),
        is_left_bad=bool(holders),
        kubectl=(kubectl.find(concerned), *commands) if guessed else tuple(commands),
        guessed=guessed,
        names=_names(returns),
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
    if settings.unmark and not settings.to:
        raise Failure(
            Kind.INPUT,
            'input "unmark": it needs the image that is good after all.',
            'Name it in the input "to".',
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
    if app.settings.from_:
        returns = _away_from(app, services, pairs, app.settings.from_)
    elif app.settings.to:
        to = app.settings.to
        returns = [each for way, held in pairs for each in way.to(held, to)]
    else:
        returns = _back(app, pairs)
    return returns if app.settings.unmark else _know_marks(app, returns)


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
            why = f"it is at {called(each)}, and not at {called(newest)}"
            found += [Return(service, way.tag, own, own, why) for service, own in held.items()]
    done = next((each for each in found if each.bad and not each.moves), None)
    if done and not follows:
        raise Failure(
            Kind.CONFLICT,
            f"{Reference(done.service.repository, done.tag)} stays: {done.why}; it may have been "
            "taken back already.",
            f"If {called(newest)} is bad: {_again(app, {'from': called(newest)})}. If it is good, "
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
    chooser = Chooser(app.surveyor, offers=False)

    def choose(service: Service) -> Chosen:
        return chooser.choose(service.repository, wanted)

    chosen = list(zip(services, attempt(choose, services), strict=True))
    named = {service: each for service, each in chosen if isinstance(each, Chosen)}
    failures = [each for _, each in chosen if isinstance(each, Failure)]
    if not named or any(each.kind is not Kind.INPUT for each in failures):
        raise Failure.join(failures)
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
                f"marked. If {at} is bad too: {_again(app, {'from': at})}."
            )
    return returns


def _know_marks(app: App, returns: Sequence[Return]) -> list[Return]:
    """Take note that what somebody wants back is marked, which does not keep the tags from it."""
    if not app.settings.to:
        return list(returns)
    chooser = Chooser(app.surveyor)
    good = {each.good for each in returns if each.good and not each.why}
    marked = {each for each in good if chooser.is_withdrawn(each)}
    return [
        replace(each, since=replace(each.since, withdrawn=True)) if each.good in marked else each
        for each in returns
    ]


def _unmark(app: App, returns: Sequence[Return]) -> tuple[UnmarkImage, ...]:
    """Take off every mark of what somebody wants back."""
    good = {each.service: each.good for each in returns if each.good and not each.why}
    found = tuple(
        UnmarkImage(service, mark.target, chosen.digest)
        for service, chosen in good.items()
        for mark in app.surveyor.marks(chosen.repository, chosen.commit, chosen.image)
        if isinstance(mark.target, Tag)
    )
    if not found:
        app.log.notice(f"No rollback has marked {app.settings.to} as bad, or not any more.")
    return found


def _holders(
    app: App, tags: Sequence[Tag], returns: Sequence[Return], lists: TagLists
) -> list[_Holder]:
    """Which other tags still hold what is bad. That they are not known keeps nothing from going."""
    bad = {(each.service, each.bad) for each in returns if each.bad}
    found: list[_Holder] = []
    try:
        final = set(map(Tag.near, app.history.git_tag_names())) - {LATEST} if bad else set()
        for service, image in sorted(bad, key=lambda each: each[0].name):
            repository = service.repository
            listed = lists.of(repository)
            others = sorted(tag for tag in listed - {*tags} if is_shared(tag))
            asked = [Reference(repository, tag) for tag in others[:_MOST_HOLDERS]]
            held = zip(others, spread(app.registry.resolve, asked), strict=False)
            why = f"it still holds the bad image of {called(image)}"
            found += [
                _Holder(
                    KeepTag(service, tag, image.digest, why),
                    called(image),
                    tag in final or frozen_marker(tag) in listed,
                )
                for tag, digest in held
                if digest == image.digest
            ]
            if len(others) > len(asked):
                more = len(others) - len(asked)
                app.log.warning(f"{repository}: {more} more tags may hold the bad image.")
    except Failure as failure:
        app.log.warning(f"Which other tags hold the bad image is not known: {failure}")
    return found


def _names(returns: Sequence[Return]) -> dict[Digest, str]:
    """What people call the images that the tags hold, may go back to, or are not to hold."""
    images = (image for each in returns for image in (each.held, each.good, each.bad) if image)
    return {image.digest: called(image) for image in images}


def _again(app: App, wanted: Mapping[str, str]) -> str:
    """How to run it once more: by hand as a whole command, in a workflow by its inputs."""
    tags = map(str, selectors.bare("rollback", app.settings.tag))
    kept = {"tag": ",".join(tags), "services": ",".join(app.settings.services)}
    words = {name: value for name, value in {**wanted, **kept, **wanted}.items() if value}
    if app.run.in_runner:
        return "run it again with " + ", ".join(
            f'input "{name}: {value}"' for name, value in words.items()
        )
    options = (f"--{name} {value}".removesuffix(" true") for name, value in words.items())
    return f"`feastflow-registry rollback {' '.join(options)}`"


def _advice(
    app: App, tags: Sequence[Tag], returns: Sequence[Return], steps: Sequence[Step]
) -> Iterator[str]:
    """What a person on call may not think of."""
    to, from_ = str(app.settings.to or ""), app.settings.from_
    moves = any(each.moves for each in returns)
    marked = {withdrawn_digits(step.tag) for step in steps if isinstance(step, WithdrawImage)}
    if not moves and not marked and not any(isinstance(step, UnmarkImage) for step in steps):
        yield f"Nothing to do for {', '.join(map(str, tags))}: the reason stands above."
        held = sorted({called(each.held) for each in returns if each.bad or not from_})
        if not to and len(held) == 1:
            yield f"If {held[0]} is bad too: {_again(app, {'from': held[0]})}."
    if from_ and to and not moves:
        yield f"To send it to {to} all the same: {_again(app, {'to': to})}."
    if marked:
        names = ", ".join(sorted(marked))
        yield f"Revert {names} on the branch, or what is published next has it again."
    kept = {called(each.good) for each in returns if each.good and each.since.withdrawn}
    for each in sorted(kept):
        wanted = {"to": each, "unmark": "true"}
        yield f"{each} stays marked as bad. If it is good: {_again(app, wanted)}."


def _still_bad(app: App, holders: Sequence[_Holder]) -> Iterator[str]:
    """Which other tags hold what is bad, and what takes them back."""
    for bad in dict.fromkeys(each.bad for each in holders):
        found = [each.step for each in holders if each.bad == bad and not each.is_final]
        if found:
            tags = ",".join(sorted({str(each.tag) for each in found}))
            names = some(sorted({str(each.reference) for each in found}))
            how = _again(app, {"from": bad, "tag": tags})
            them = "it" if len(found) == 1 else "them"
            yield f"Still bad: {names}. To take {them} back too: {how}."
    final = sorted({str(each.step.reference) for each in holders if each.is_final})
    if final:
        yield f"Still bad, and never moved, as they are final: {some(final)}."
