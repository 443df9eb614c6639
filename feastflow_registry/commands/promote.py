"""The command ``promote``: a published image gets another tag, repository or registry.

It refuses a name that is a commit's or a git tag's own, a milestone that is final, a step back,
and an image that was withdrawn, unless ``latest: force`` says so for ``latest``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from feastflow_registry.commands import registries
from feastflow_registry.commands.app import App
from feastflow_registry.config.selectors import Destination, Selector
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Published
from feastflow_registry.model.parallel import together
from feastflow_registry.model.plan import (
    CopyImage,
    Facts,
    KeepTag,
    Latest,
    MirrorImage,
    MoveTag,
    Outcome,
    Plan,
    ReuseImage,
    Rule,
    SharedTag,
    Since,
    Step,
)
from feastflow_registry.model.references import Commit, Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, commit_digits
from feastflow_registry.tags import gate, rules
from feastflow_registry.tags.choose import Chooser, Chosen


def plan(app: App) -> Plan:
    """Look at the images and at the tags that they are to get, then plan."""
    _check_destinations(app)
    app.check_may_write()
    wanted = app.settings.to or Selector(commit=app.run.commit.sha)
    chooser = Chooser(app.surveyor)
    everywhere = registries.answering(app)

    def look(service: Service) -> list[Promotion]:
        chosen = chooser.choose(service.repository, wanted)
        withdrawn = chooser.is_withdrawn(chosen)

        def look_at(goal: tuple[Destination, Service]) -> Promotion:
            return _look_at(app, *goal, chosen, withdrawn=withdrawn)

        # What the first one holds is most likely what the others hold, and is read once.
        given = app.settings.tag
        goals = [(each, to) for each in given for to in _targets(service, each, everywhere)]
        return [look_at(goals[0]), *together(look_at, goals[1:])]

    sources = {each.name: each for each in reversed(everywhere)}
    promotions = tuple(chain(*together(look, [*sources.values()][::-1])))
    # Several tags of one repository have its image in common.
    plan = app.plan(tuple(dict.fromkeys(chain(*together(plan_promotion, promotions)))))
    held = (each.facts.current for each in promotions)
    names = {each.digest: each.revision.short for each in held if each and each.revision}
    return replace(plan, names=names)


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Copy the images that are not there yet, then set the tags."""
    return registries.carry_out(app, plan)


@dataclass(frozen=True, slots=True)
class Promotion:
    """One image, and one tag that it is to get.

    ``service``: with the repository that it goes to; ``commit``: whose the image is taken for;
    ``facts``: what the tag holds now; ``own``: the commit tag that the image has to get before, on
    another registry of this run; ``follows``: whether publishing moves the tag to the newest
    commit; ``newer``: a newer one than this that is published.
    """

    service: Service
    chosen: Chosen
    commit: Commit
    tag: Tag
    rule: Rule
    facts: Facts
    own: Tag | None = None
    follows: bool = False
    newer: Commit | None = None

    @property
    def reference(self) -> Reference:
        """The tag with its repository."""
        return Reference(self.service.repository, self.tag)


def _check_destinations(app: App) -> None:
    """Refuse what leads nowhere, and one repository for several services."""
    given, services = app.settings.tag, app.services
    if not given:
        raise Failure(
            Kind.INPUT,
            'input "tag": promote needs to know which tag the image is to get.',
            'Name it, as in input "tag: production", or with a repository: '
            "host/team/{service}:production.",
        )
    for destination in given:
        if destination.tag == LATEST and app.settings.latest is Latest.NEVER:
            raise Failure(
                Kind.INPUT,
                'input "tag": latest may not move: the input "latest" says never.',
                'Promote to another tag, or leave the input "latest" out.',
            )
        if len({destination.repository(service) for service in services}) < len(services):
            raise Failure(
                Kind.INPUT,
                f'input "tag": {destination} is one repository for {len(services)} services.',
                'Put {service} into it, or name one service in the input "services".',
            )


def _targets(
    service: Service, destination: Destination, everywhere: Sequence[Service]
) -> list[Service]:
    """The service in each repository that a destination means: a tag alone, on every registry."""
    if destination.path:
        return [replace(service, repository=destination.repository(service))]
    return [each for each in everywhere if each.name == service.name]


def _look_at(
    app: App, destination: Destination, target: Service, chosen: Chosen, *, withdrawn: bool
) -> Promotion:
    """Gather what decides whether an image may have a tag."""
    tag = destination.tag or chosen.tag
    if tag is None or (destination.tag is None and not commit_digits(tag)):
        raise Failure(
            Kind.INPUT,
            f"no commit tag holds {chosen}, so there is no tag to promote it to.",
            'Name one in the input "tag", as in host/repository:tag.',
        )
    rule = Rule.COMMIT if tag == chosen.tag else Rule.MILESTONE
    if tag == LATEST:
        rule = Rule.FORCE if app.settings.latest is Latest.FORCE else Rule.FORWARD
    surveyor, commit = app.surveyor, chosen.commit or app.run.commit
    if rule is Rule.COMMIT:
        held = surveyor.registry.resolve(Reference(target.repository, tag))
        facts = Facts(Published(held, None, "") if held else None)
    else:
        facts = surveyor.look(target.repository, commit, SharedTag(tag, rule), chosen.digest)
        facts = replace(facts, withdrawn=withdrawn)
    follows = rule in rules.ADVANCING and tag in gate.following(app.settings)
    is_foreign = bool(destination.path) and target.repository != chosen.repository
    own = None
    if not is_foreign and target.repository != chosen.repository and chosen.tag:
        held = surveyor.registry.resolve(Reference(target.repository, chosen.tag))
        own = chosen.tag if held is None and commit_digits(chosen.tag) else None
    if not follows or chosen.commit is None or is_foreign:
        return Promotion(target, chosen, commit, tag, rule, facts, own)
    newer = list(app.history.newer(commit, app.settings.main))
    found = surveyor.newest(target.repository, commit, newer)
    newest = found[0] if found else None
    return Promotion(target, chosen, commit, tag, rule, facts, own, follows=True, newer=newest)


def plan_promotion(promotion: Promotion) -> tuple[Step, ...]:
    """Plan one image and one tag. Raises a conflict where the rule of the tag forbids it."""
    service, chosen = promotion.service, promotion.chosen
    source = Reference(chosen.repository, chosen.tag or chosen.digest)
    steps: list[Step] = [ReuseImage(service, source, chosen.image)]
    if service.repository != chosen.repository:
        digest = Reference(chosen.repository, chosen.digest)
        copy = CopyImage(service, digest, service.repository)
        own = promotion.own
        steps.append(MirrorImage(service, own, source) if own else copy)
    return (*steps, _decide(promotion))


def _decide(promotion: Promotion) -> Step:
    """Say what becomes of the tag, by the rules of publish."""
    service, chosen, facts = promotion.service, promotion.chosen, promotion.facts
    tag, rule, commit = promotion.tag, promotion.rule, promotion.commit
    held = facts.current.digest if facts.current else None
    if rule is Rule.COMMIT:
        if held == chosen.digest:
            return KeepTag(service, tag, held, rules.THERE)
        if held:
            why = f"holds another image, {held.short}, and a commit tag is never overwritten"
            raise _refused(promotion.reference, why)
        return MoveTag(service, tag, rule, None)
    if chosen.commit is None and rule is not Rule.FORCE and held not in (None, chosen.digest):
        why = f"exists already, and the commit of {chosen} is not known"
        raise _refused(promotion.reference, why)
    decision = rules.decide(
        rule, facts, digest=chosen.digest, reference=promotion.reference, commit=commit
    )
    if decision.conflict:
        raise decision.conflict
    is_there = decision.reason == rules.THERE
    if (decision.move or is_there) and promotion.newer:
        newer = promotion.newer.short
        force = ', or set input "latest: force"' if tag == LATEST else ""
        raise Failure(
            Kind.CONFLICT,
            f"{promotion.reference} is not moved to {commit.short}: commit {newer} is published, "
            "which is newer, and this tag follows its branch.",
            f"Promote {newer}, or choose another tag{force}.",
            see="newer",
        )
    if decision.move:
        since = Since(commit if promotion.follows else None, withdrawn=facts.withdrawn)
        return MoveTag(service, tag, rule, held, since=since)
    if is_there:
        return KeepTag(service, tag, held, decision.reason)
    if facts.withdrawn:
        raise Failure(
            Kind.CONFLICT,
            f"{chosen} was withdrawn by a rollback.",
            "Promote another commit; if it is good after all, take its mark off by rollback, with "
            'the input "to" and the input "unmark".',
            see="withdrawn",
        )
    final = facts.frozen or facts.git_tag not in (None, commit)
    why = f"is not moved to {commit.short}: {decision.reason}"
    raise _refused(promotion.reference, why, final=final)


def _refused(reference: Reference, cause: str, *, final: bool = False) -> Failure:
    fix = "Promote a newer commit or choose another tag; to go back, use rollback."
    if reference.target == LATEST:
        fix = 'Promote a newer commit; to go back, use rollback or input "latest: force".'
    if final:
        fix = "It stays what it is: choose another tag."
    return Failure(Kind.CONFLICT, f"{reference} {cause}.", fix)
