"""What a rollback leaves to a person: the tags that still hold a bad image, and what to run next.

Nothing here keeps a tag from going back: what cannot be known is said, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from feastflow_registry.commands.again import again
from feastflow_registry.commands.app import App
from feastflow_registry.config import selectors
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.marks import is_in_force
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import KeepTag, Step, UnmarkImage, WithdrawImage
from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import (
    LATEST,
    frozen_marker,
    is_shared,
    withdrawn_digits,
)
from feastflow_registry.model.wording import some
from feastflow_registry.tags.trails import TagLists
from feastflow_registry.tags.way_back import Return, called

_MOST_HOLDERS = 500
"""How many tags of a repository are asked whether they hold a bad image."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A tag that stays at a ``bad`` image. ``is_final``: it is never moved."""

    step: KeepTag
    bad: str
    is_final: bool = False


def holders(
    app: App, tags: Sequence[Tag], returns: Sequence[Return], lists: TagLists
) -> list[Holder]:
    """Which tags hold what is bad: those that are to go back and cannot, and all others."""
    found = [
        Holder(KeepTag(each.service, each.tag, each.held.digest, each.why), called(each.held))
        for each in returns
        if each.is_marked and each.why
    ]
    bad: dict[Service, dict[Digest, str]] = {}
    for each in returns:
        if each.bad:
            bad.setdefault(each.service, {})[each.bad.digest] = called(each.bad)
    try:
        final = set(map(Tag.near, app.history.git_tag_names())) - {LATEST} if bad else set()
        for service, named in sorted(bad.items(), key=lambda each: each[0].name):
            listed = lists.of(service.repository)
            marks = sorted(tag for tag in listed if withdrawn_digits(tag))[:_MOST_HOLDERS]
            shared = sorted(tag for tag in listed - {*tags} if is_shared(tag))
            others = shared[:_MOST_HOLDERS]
            asked = [Reference(service.repository, tag) for tag in (*marks, *others)]
            held = dict(zip((*marks, *others), spread(app.registry.resolve, asked), strict=True))
            known = {
                digest: withdrawn_digits(mark)
                for mark in marks
                if (digest := held[mark]) and is_in_force(digest)
            }
            known |= named
            found += [
                Holder(
                    KeepTag(service, tag, digest, f"it still holds the bad image of {name}"),
                    name,
                    tag in final or frozen_marker(tag) in listed,
                )
                for tag in others
                if (digest := held[tag]) and (name := known.get(digest))
            ]
            if len(shared) > len(others):
                more = len(shared) - len(others)
                app.log.warning(f"{service.repository}: {more} more tags may hold the bad image.")
    except Failure as failure:
        app.log.warning(f"Which other tags hold the bad image is not known: {failure}")
    return found


def names(returns: Sequence[Return], holders: Sequence[Holder]) -> dict[Digest, str]:
    """What people call the images that the tags hold, may go back to, or are not to hold."""
    bad = {each.step.current: each.bad for each in holders}
    images = (image for each in returns for image in (each.held, each.good, each.bad) if image)
    found = {image.digest: called(image) for image in images}
    return {**{digest: name for digest, name in bad.items() if digest}, **found}


def withdrawn(returns: Sequence[Return], holders: Sequence[Holder]) -> frozenset[Digest]:
    """The images that are marked as bad, or will be."""
    bad = {each.bad.digest for each in returns if each.bad}
    bad |= {each.good.digest for each in returns if each.good and each.is_marked}
    return frozenset(bad | {each.step.current for each in holders if each.step.current})


def advice(
    app: App, returns: Sequence[Return], steps: Sequence[Step], holders: Sequence[Holder]
) -> Iterator[str]:
    """What a person on call may not think of."""
    to, from_ = str(app.settings.to or ""), app.settings.from_
    moves = any(each.moves for each in returns)
    marked = {withdrawn_digits(step.tag) for step in steps if isinstance(step, WithdrawImage)}
    if not moves and not marked and not any(isinstance(step, UnmarkImage) for step in steps):
        tags = selectors.bare(app.settings.command, app.settings.tag) or (LATEST,)
        yield f"Nothing to do for {', '.join(map(str, tags))}: see the reason above."
        kept = [e for e in returns if (e.bad or not from_) and not e.is_newer and not e.is_marked]
        held = sorted({called(each.held) for each in kept})
        if not to and len(held) == 1:
            yield f"If {held[0]} is bad too: {again(app, {'from': held[0]})}."
    if from_ and to and not moves:
        yield f"To send it to {to} all the same: {again(app, {'to': to})}."
    wanted = sorted({called(each.good) for each in returns if each.good and each.since.withdrawn})
    if marked and not wanted:
        named = ", ".join(sorted(marked))
        yield f"Revert {named} on the branch. Otherwise the next publish contains the fault again."
    for each in wanted:
        how = again(app, {"to": each, "unmark": "true"})
        yield f"{each} stays marked as bad. If it is good: {how}."
    yield from _unchanged(app, returns)
    yield from _still_bad(app, holders)
    if missed := app.state.missed:
        unmark = "true" if app.settings.unmark else ""
        own = {"from": str(from_ or ""), "to": to, "unmark": unmark}
        others = ",".join(str(host) for host in app.by_registry if host not in missed)
        how = again(app, {**own, "registries": others})
        yield (
            f"{some(list(map(str, missed)))} was left out: run the same again when it answers. "
            f"To do without it until then: {how}."
        )


def _unchanged(app: App, returns: Sequence[Return]) -> Iterator[str]:
    """Of which commits the images are that stay, as nobody has said that these are bad."""
    stays: dict[str, dict[str, None]] = {}
    for each in returns:
        if each.came_with and not each.is_marked:
            stays.setdefault(each.came_with, {})[each.service.name] = None
    for commit, services in sorted(stays.items()):
        how = again(app, {"from": commit})
        yield f"The image of {some(list(services))} came with {commit}. If it is bad too: {how}."


def _still_bad(app: App, holders: Sequence[Holder]) -> Iterator[str]:
    """Which tags hold what is bad, and what takes them back."""
    for bad in dict.fromkeys(each.bad for each in holders):
        found = [each.step for each in holders if each.bad == bad and not each.is_final]
        if found:
            tags = ",".join(sorted({str(each.tag) for each in found}))
            listed = some(sorted({str(each.reference) for each in found}))
            how = again(app, {"from": bad, "tag": tags})
            them = "it" if len(found) == 1 else "them"
            yield f"Still bad: {listed}. To take {them} back too: {how}."
    final = sorted({str(each.step.reference) for each in holders if each.is_final})
    if final:
        yield f"Still bad, and never moved, as they are final: {some(final)}."
