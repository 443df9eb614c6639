"""The command ``rollback``: a tag goes back to an image that it held before, without a build.

All services go back to one commit: the nearest first parent, published and not withdrawn, at which
one of those that hold the bad commit had another image. A service that did not change since stays
as it is; that makes a rollback that was broken off end where the whole one would have.

With ``manifests``, they are pointed at that image, too; the commands that do the same in a cluster
are printed in any case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from feastflow_registry.model.parallel import attempt, spread
from feastflow_registry.model.plan import (
    KeepTag,
    Latest,
    MoveTag,
    Outcome,
    Plan,
    ReuseImage,
    Rule,
    Since,
    Step,
    WithdrawImage,
)
from feastflow_registry.model.references import Commit, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST, CommitTags, frozen_marker, withdrawn_digits
from feastflow_registry.model.wording import some
from feastflow_registry.tags import gate, rules
from feastflow_registry.tags.choose import Chooser, Chosen, unmarked
from feastflow_registry.tags.converge import Transferred
from feastflow_registry.tags.move import Transfer
from feastflow_registry.tags.survey import Surveyor

_MOST_RELEASES = 30
"""Among how many of the highest ones the held release is looked for."""


@dataclass(frozen=True, slots=True)
class Return:
    """Where one service goes. ``held``: what the tag holds now; ``good``: what it is to hold.

    ``why``: why there is nothing that it could go to; ``is_back``: whether this is no step forward;
    ``since``: what is newer, and published already, if the tag follows a branch.
    """

    service: Service
    held: Chosen
    good: Chosen | None
    why: str = ""
    is_back: bool = True
    since: Since = field(default_factory=Since)


def plan(app: App) -> Plan:
    """Find out what the tag holds and where it can go back to, then plan."""
    tag = selectors.single(app.settings.command, app.settings.tag) or LATEST
    _check_may_move(app, tag)
    app.check_may_write()
    files = manifests.read(app) if app.settings.manifests else Manifests((), ())
    returns = _look(app, tag)
    steps = plan_rollback(returns, tag, app.surveyor.commit_tags)
    pins = {
        each.service: Pin(each.good.tag, each.good.digest)
        for each in returns
        if each.good and each.good.tag
    }
    edits = manifests.plan_edits(app, files, pins)
    moving = {step.service: pins[step.service] for step in steps if isinstance(step, MoveTag)}
    commands = kubectl.commands(moving, files.manifests)
    where = "In a cluster:" if files.manifests else "In a cluster, if it has these names:"
    advice = (*_advice(steps), *([where] if commands else []))
    return replace(app.plan((*steps, *edits)), advice=advice, kubectl=tuple(commands))


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Mark what is bad, then move the tags, then point the manifests at what they hold."""
    transfer = Transfer(plan, app.surveyor_of, app.clock, app.state, app.copier)
    yield from Transferred(transfer, app.settings.main).run()
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


def _check_may_move(app: App, tag: Tag) -> None:
    """Refuse a tag that is not to be moved, and a second try that might go one further back."""
    settings = app.settings
    if tag == LATEST and settings.latest is Latest.NEVER:
        raise Failure(
            Kind.INPUT,
            "latest is not to be moved, as the input latest says never.",
            "Roll another tag back, or leave the input latest out.",
        )
    is_told = settings.to or settings.dry_run or tag in gate.following(settings)
    if app.run.attempt > 1 and not is_told:
        raise Failure(
            Kind.INPUT,
            "this run is started again, and its first try may have moved the tags already.",
            "Name where to go in the input to, or look at `tags` and start a new run.",
        )


def _look(app: App, tag: Tag) -> list[Return]:
    """Look at what each service's tag holds, and at what it can go back to."""
    follows = tag in gate.following(app.settings)
    look = WayBack(app.surveyor, tag, app.settings.main, follows, _releases(app, tag))
    held = look.held(app.services)
    for service in app.services:
        if service not in held:
            app.log.notice(f"{service.name} has no tag {tag}: it is left out.")
    if not app.settings.to:
        return look.back(held)
    returns = look.to(held, app.settings.to)
    chooser = Chooser(app.surveyor)
    for place, each in enumerate(returns):
        if each.good and chooser.is_withdrawn(each.good):
            app.log.warning(f"{each.good} was withdrawn by a rollback, and stays marked.")
            returns[place] = replace(each, since=replace(each.since, withdrawn=True))
    return returns


def _releases(app: App, tag: Tag) -> Sequence[str] | None:
    """The git tags that a tag goes along, the highest first; nothing, if it follows no releases."""
    of_latest = app.settings.latest is Latest.RELEASE
    if not (of_latest if tag == LATEST else gate.makes_lines(app.settings)):
        return None
    found = gate.line(app.settings, app.run, tag, app.history.git_tag_names()).names
    return found if found or tag == LATEST else None


@dataclass(frozen=True, slots=True)
class WayBack:
    """Looks for where a tag can go back to, in all services side by side.

    ``branch``: the main one; ``follows``: whether publishing moves the tag to its newest commit;
    ``releases``: the git tags that it goes along instead, the highest first.
    """

    surveyor: Surveyor
    tag: Tag
    branch: str
    follows: bool
    releases: Sequence[str] | None = None
    _listed: dict[Repository, frozenset[Tag]] = field(default_factory=dict)

    @property
    def _chooser(self) -> Chooser:
        return Chooser(self.surveyor)

    def held(self, services: Sequence[Service]) -> Mapping[Service, Chosen]:
        """What the tag holds of each service that has it. Raises where none has."""
        git_tag = self.tag != LATEST and self.surveyor.history.git_tag(self.tag.value)

        def look(service: Service) -> Chosen | None:
            reference = Reference(service.repository, self.tag)
            marker = Reference(service.repository, frozen_marker(self.tag))
            is_final = self.surveyor.registry.resolve(marker) is not None
            if is_final or git_tag:
                why = "is final" if is_final else "is the name of a git tag"
                raise Failure(
                    Kind.CONFLICT,
                    f"{reference} {why}, and is never moved.",
                    "Roll another tag back, or promote what should run to a tag of its own.",
                )
            if len(services) > 1 and not self.surveyor.registry.resolve(reference):
                return None
            return self._chooser.choose(service.repository, Selector(tag=self.tag))

        looked = zip(services, spread(look, services), strict=True)
        held = {service: chosen for service, chosen in looked if chosen}
        if not held:
            raise Failure(
                Kind.INPUT,
                f"no service has the tag {self.tag}.",
                "Name the tag that is to go back in the input tag.",
            )
        return held

    def to(self, held: Mapping[Service, Chosen], wanted: Selector) -> list[Return]:
        """Send every service to the image that is named."""
        choose = partial(self._choose, wanted)
        chosen = list(zip(held, attempt(choose, held), strict=True))
        failures = [each for _, each in chosen if isinstance(each, Failure)]
        good = {service: each for service, each in chosen if isinstance(each, Chosen)}
        if failures and good and failures[0].kind is Kind.INPUT:
            names = ", ".join(service.name for service in good)
            fix = f"To move those that have it, name them in the input services: {names}."
            causes = (problem.cause for each in failures for problem in each.problems)
            raise Failure.of(Kind.INPUT, [Problem(cause, fix) for cause in causes])
        if failures:
            raise Failure.join(failures)
        # What is in between was passed over by whoever named the commit, published or not.
        return [
            self._return(service, held[service], each, base=held[service])
            for service, each in good.items()
        ]

    def _choose(self, wanted: Selector, service: Service) -> Chosen:
        return self._chooser.choose(service.repository, wanted)

    def back(self, held: Mapping[Service, Chosen]) -> list[Return]:
        """Send every service back to before the newest commit that any of them holds."""
        if self.releases is not None:
            return self._back_by_release(held, self.releases)
        bad = self._newest(held)
        # Only of a tag that follows main is it known that it held what was published next.
        done = self._taken_back(held, bad) if self.follows else []
        if done:
            return done
        affected = [service for service, chosen in held.items() if chosen.commit == bad]
        before = list(self.surveyor.history.ancestors(bad))
        for place, commit in enumerate(before):
            good = dict(zip(affected, spread(partial(self._good, commit), affected), strict=True))
            if any(each and each.digest != held[service].digest for service, each in good.items()):
                nearest = spread(partial(self._nearest, before[place:], good), held)
                return [
                    self._return(service, held[service], chosen, base=chosen)
                    for service, chosen in zip(held, nearest, strict=True)
                ]
        others = held.keys() - set(affected)
        raise self._nowhere(affected, bad, others=others, has_history=bool(before))

    def _back_by_release(
        self, held: Mapping[Service, Chosen], releases: Sequence[str]
    ) -> list[Return]:
        """Send every service back to the release before the one that the tag holds."""
        names = [name for name in releases if any(self._holds(each, name) for each in held)]
        images: dict[str, Mapping[Service, Chosen]] = {}
        for at in names[:_MOST_RELEASES]:
            images[at] = self._images(held, at)
            if self._is_at(held, images[at]):
                break
        else:
            raise Failure(
                Kind.INPUT,
                f"{self.tag} holds the image of no release.",
                "Say in the input to which commit it is to go.",
            )
        higher, lower = names[: names.index(at)], names[names.index(at) + 1 :]
        if higher and any(map(self._chooser.is_withdrawn, images[higher[-1]].values())):
            why = f"it was taken back from {higher[-1]} already"
            return [Return(service, chosen, chosen, why) for service, chosen in held.items()]
        for name in lower:
            good = self._images(held, name)
            if not any(map(self._chooser.is_withdrawn, good.values())):
                return [Return(each, held[each], good.get(each, held[each])) for each in held]
        raise self._nowhere(list(held), self._newest(held), others=(), has_history=True)

    def _holds(self, service: Service, name: str) -> bool:
        """Whether a release of a service is published."""
        return Tag.near(name) in self._list(service.repository)

    def _images(self, held: Mapping[Service, Chosen], name: str) -> dict[Service, Chosen]:
        """The images of a release, of the services that have one."""
        wanted = Selector(tag=Tag.near(name))
        due = [each for each in held if self._holds(each, name)]
        return dict(zip(due, spread(partial(self._choose, wanted), due), strict=True))

    @staticmethod
    def _is_at(held: Mapping[Service, Chosen], images: Mapping[Service, Chosen]) -> bool:
        return any(held[each].digest == image.digest for each, image in images.items())

    def _taken_back(self, held: Mapping[Service, Chosen], at: Commit) -> list[Return]:
        """Tell a rollback that is pressed twice: what was published next is withdrawn already.

        Two people on call, or a second try of a run that was broken off, are not to end two images
        back.
        """
        oldest_first = list(self.surveyor.history.newer(at, self.branch))[::-1]
        holders = [service for service, chosen in held.items() if chosen.commit == at]

        def look(service: Service) -> Chosen | None:
            tags = set(self.surveyor.registry.tags(service.repository)) if oldest_first else set()
            listed = (each for each in oldest_first if self.surveyor.commit_tags.of(each) in tags)
            after = (self._chooser.published(service.repository, each) for each in listed)
            # A commit that changed nothing was given the image that the tag holds.
            others = (each for each in after if each and each.digest != held[service].digest)
            return next(others, None)

        after = [each for each in spread(look, holders) if each]
        if not after or not all(map(self._chooser.is_withdrawn, after)):
            return []
        names = some(sorted({each.commit.short for each in after if each.commit}))
        why = f"it was taken back from {names} already"
        # Manifests may be left to point at what the tag holds.
        return [Return(service, chosen, chosen, why) for service, chosen in held.items()]

    def _newest(self, held: Mapping[Service, Chosen]) -> Commit:
        """The newest commit that any service holds."""
        newest: Commit | None = None
        for chosen in held.values():
            if chosen.commit is None:
                raise Failure(
                    Kind.CONFLICT,
                    f"{Reference(chosen.repository, self.tag)} holds an image of no known commit.",
                    "Say in the input to which commit it is to go.",
                )
            relation = self.surveyor.history.relation(newest or chosen.commit, chosen.commit)
            if relation in (Relation.DIVERGED, Relation.UNKNOWN):
                raise Failure(
                    Kind.CONFLICT,
                    f"the services hold {chosen.commit.short}, which {relation.value} "
                    f"{newest.short if newest else 'another'}.",
                    "Roll them back one by one (services), or say where to (to).",
                )
            newest = chosen.commit if relation is not Relation.BEHIND else newest
        assert newest is not None
        return newest

    def _good(self, commit: Commit, service: Service) -> Chosen | None:
        """A commit's image of a service, if it is published and not withdrawn.

        Raises an unreachable failure if its tag is listed but is not there: without it, the tag
        would go one image too far back.
        """
        chosen = self._chooser.published(service.repository, commit)
        tag = self.surveyor.commit_tags.of(commit)
        if chosen is None and tag in self._list(service.repository):
            chosen = self._chooser.published(service.repository, commit)
            if chosen is None:
                raise Failure(
                    Kind.UNREACHABLE,
                    f"{Reference(service.repository, tag)} is listed, and is not there.",
                    "Another run may have deleted it: run again, or name where to go in the input "
                    "to.",
                )
        return None if chosen and self._chooser.is_withdrawn(chosen) else chosen

    def _list(self, repository: Repository) -> frozenset[Tag]:
        """The tags of a repository, asked for once."""
        if repository not in self._listed:
            self._listed[repository] = frozenset(self.surveyor.registry.tags(repository))
        return self._listed[repository]

    def _nearest(
        self,
        commits: Sequence[Commit],
        looked_at: Mapping[Service, Chosen | None],
        service: Service,
    ) -> Chosen | None:
        """The image of the first commit that has a good one; the first was ``looked_at``."""
        first, *others = commits
        good = looked_at[service] if service in looked_at else self._good(first, service)
        later = (self._good(commit, service) for commit in others)
        return good or next(filter(None, later), None)

    def _return(
        self, service: Service, held: Chosen, good: Chosen | None, *, base: Chosen | None
    ) -> Return:
        if good is None:
            return Return(service, held, None, "nothing older is published")
        is_back = (
            good.digest == held.digest
            or held.commit is None
            or good.commit is None
            or self.surveyor.history.relation(held.commit, good.commit) is not Relation.AHEAD
        )
        since = self._since(held, base.commit if base else None)
        return Return(service, held, good, is_back=is_back, since=since)

    def _since(self, held: Chosen, base: Commit | None) -> Since:
        """What is published already of the commits that come after one."""
        if not self.follows or base is None:
            return Since()
        newer = list(self.surveyor.history.newer(base, self.branch))
        others = [each for each in newer if each != held.commit]
        tags = self._list(held.repository) if others else frozenset()
        known = (c for c in newer if c == held.commit or self.surveyor.commit_tags.of(c) in tags)
        return Since(base, frozenset(known))

    def _nowhere(
        self,
        services: Sequence[Service],
        bad: Commit,
        *,
        others: Collection[Service],
        has_history: bool,
    ) -> Failure:
        """Say whose image has nothing before it, and what to do instead."""
        names = ", ".join(each.name for each in services)
        if not has_history:
            return Failure(
                Kind.INPUT,
                f"nothing is known from before {bad.short}, of which {names} is.",
                "Where that is not the first commit, fetch the history (`git fetch`, in a shallow "
                "clone with --unshallow); or name a commit in the input to.",
            )
        rest = ", ".join(sorted(each.name for each in others))
        published = unmarked(self.surveyor.registry.tags(services[0].repository))
        published = [digits for digits in published if not bad.sha.startswith(digits)]
        fix = "Publish a commit that mends it"
        fix += f", or name one in the input to: {some(published)}." if published else "."
        if rest:
            fix = f"To take the others back, name them in the input services: {rest}."
        return Failure(
            Kind.INPUT,
            f"nothing that is published and not withdrawn came before {bad.short} of {names} with "
            "another image.",
            fix,
        )


def plan_rollback(returns: Sequence[Return], tag: Tag, tags: CommitTags) -> tuple[Step, ...]:
    """Plan the way back: marks first, so that no run moves the tag to a bad image again."""
    return tuple(step for each in returns for step in _steps(each, tag, tags))


def _steps(target: Return, tag: Tag, tags: CommitTags) -> Iterator[Step]:
    service, held, good = target.service, target.held, target.good
    if good is None or good.digest == held.digest:
        yield KeepTag(service, tag, held.digest, target.why or rules.THERE)
        return
    yield ReuseImage(service, Reference(good.repository, good.tag or good.digest), good.image)
    if held.commit and target.is_back:
        yield WithdrawImage(service, tags.withdrawn(held.commit), held.digest)
    yield MoveTag(service, tag, Rule.FORCE, held.digest, since=target.since)


def _advice(steps: Sequence[Step]) -> list[str]:
    """What a person on call may not think of."""
    if not any(isinstance(step, MoveTag) for step in steps):
        return [
            "Nothing to do: each tag is where it is to be, or has nothing to go back to.",
            "To go further back, name where in the input to.",
        ]
    marked = {withdrawn_digits(step.tag) for step in steps if isinstance(step, WithdrawImage)}
    names = ", ".join(sorted(marked))
    advice = f"Revert {names} on the branch, or what is published next has it again."
    return [advice] if names else []
