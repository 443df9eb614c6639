"""The command ``doctor``: what would make a publish fail, asked of the real parts, with its fix.

It writes nothing: it begins an upload and cancels it, and deletes a tag that is not there. What
keeps no image from its tags is advice: that a repository is private, or that prune could not
delete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from feastflow_registry.commands.app import App
from feastflow_registry.model import credentials
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Deleted, HubRepository, PullLimit, Verdict
from feastflow_registry.model.plan import Latest
from feastflow_registry.model.ports import DockerHub
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.report.results import RunReport

_NOWHERE = Digest(f"sha256:{'0' * 64}")
_MUTABLE = "Docker Hub → repository → Settings → Tag mutability: leave {} out of the rules."


@dataclass(frozen=True, slots=True)
class Check:
    """One question. ``ask`` answers with what it found, or with advice, or raises a failure.

    ``needed``: whether a publish needs it; else a failure is advice, too.
    """

    name: str
    ask: Callable[[], str | Problem]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. ``kind`` is what a publish would fail with; problems without it are advice."""

    name: str
    detail: str = ""
    kind: Kind | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The answer as people read it, the fix below each problem."""
        mark = "✗" if self.kind else "!"
        said = ((f"{mark} {self.name}: {each.cause}", f"    {each.fix}") for each in self.problems)
        return [line for pair in said for line in pair] or [f"✓ {self.name}: {self.detail}"]


def run(app: App) -> RunReport:
    """Print what is found; fail as the first thing that is wrong would fail a publish."""
    findings = []
    for finding in examine(Examination(app).checks()):
        findings.append(finding)
        for line in finding.lines:
            app.log.say(line)
    failure = verdict(findings)
    if failure:
        raise failure
    return RunReport()


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of one run. ``repositories``: what Docker Hub has said of each."""

    app: App
    repositories: dict[Repository, HubRepository | None] = field(default_factory=dict)

    def checks(self) -> Iterator[Check]:
        """Yield every question."""
        app = self.app
        names = ", ".join(str(service.repository) for service in app.services)
        yield Check("engine", app.builder.describe)
        yield Check("builder", app.builder.describe_builder)
        yield Check("names", lambda: names)
        yield Check("git", self._check_git)
        yield Check("credentials", self._check_credentials)
        if app.hub:
            yield Check("pulls", self._check_pulls, needed=False)
        for service in app.services:
            yield Check(f"push to {service.repository}", partial(self._check_scope, service))
            if app.hub:
                yield from self._hub_checks(app.hub, service.repository)
            else:
                ask = partial(self._check_deletion, service.repository)
                yield Check(f"prune of {service.repository}", ask, needed=False)

    def _hub_checks(self, hub: DockerHub, repository: Repository) -> Iterator[Check]:
        """What Docker Hub's own API tells of a repository. The first one asks it, once."""

        def look() -> str | Problem:
            self.repositories[repository] = hub.about(repository)
            return visibility(self.repositories[repository])

        def judge() -> str | Problem:
            return movable(self.repositories.get(repository), self._shared_tags())

        yield Check(f"visibility of {repository}", look, needed=False)
        if repository not in self.repositories:
            return  # It could not be asked.
        yield Check(f"tags of {repository}", judge)
        ask = partial(self._check_hub_deletion, hub, repository)
        yield Check(f"prune of {repository}", ask, needed=False)

    def _check_git(self) -> str:
        app = self.app
        app.worktree.ensure(app.run.checkout)
        depth = "cut off, so the remote is asked" if app.is_shallow() else "whole"
        permission = app.permission
        shared = "" if permission.shared else f"; no shared tag moves {permission.reason}"
        return f"commit {app.run.commit.short}, nothing modified, history {depth}{shared}"

    def _check_credentials(self) -> str:
        host, credential = self.app.settings.registry, self.app.credential
        if not credential:
            raise credentials.missing(host)
        repository = self.app.services[0].repository
        self.app.registry.resolve(Reference(repository, self._commit_tag()))
        return f"accepted by {host} as {credential.username}"

    def _check_scope(self, service: Service) -> str:
        if not self.app.credential:
            raise credentials.missing(self.app.settings.registry)
        if not self.app.permission.push:
            return self._untried
        self.app.registry.check_push(service.repository)
        return "granted"

    def _check_pulls(self) -> str | Problem:
        repository = self.app.services[0].repository
        return pulls(self.app.registry.pull_limit(Reference(repository, LATEST)))

    def _check_hub_deletion(self, hub: DockerHub, repository: Repository) -> str | Problem:
        facts = self.repositories.get(repository)
        if facts is None:
            return "nothing to delete"
        if not self.app.credential or not self.app.permission.push:
            return self._untried
        hub.check_delete(repository, self._absent_tag())
        return prunable(facts, self._commit_tag()) or "the token may delete"

    def _check_deletion(self, repository: Repository) -> str:
        if not self.app.credential or not self.app.permission.push:
            return self._untried
        deletion = self.app.try_deletion()
        deletion.delete_manifest(repository, _NOWHERE)
        by_tag = deletion.delete_tag(repository, self._absent_tag()) is not Deleted.UNSUPPORTED
        return f"the registry deletes by {'tag' if by_tag else 'digest'}"

    @property
    def _untried(self) -> str:
        return f"not tried, for this run may not push: {self.app.permission.reason}"

    def _absent_tag(self) -> Tag:
        return Tag.parse(f"doctor-{self.app.random_word()[:12]}")

    def _commit_tag(self) -> Tag:
        return self.app.surveyor.commit_tags.of(self.app.run.commit)

    def _shared_tags(self) -> list[Tag]:
        """What publishes move, whichever branch this run is on."""
        settings = self.app.settings
        latest = [] if settings.latest is Latest.NEVER else [LATEST]
        return [*latest, *([settings.milestone] if settings.milestone else [])]


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Ask every question, whatever the others answer."""
    for check in checks:
        try:
            found = check.ask()
        except Failure as failure:
            kind = failure.kind if check.needed else None
            yield Finding(check.name, kind=kind, problems=failure.problems)
        else:
            advice = (found,) if isinstance(found, Problem) else ()
            yield Finding(check.name, "" if isinstance(found, Problem) else found, None, advice)


def verdict(found: Sequence[Finding]) -> Failure | None:
    """The failure that a publish would end with, if anything is wrong."""
    kinds = [each.kind for each in found if each.kind]
    if not kinds:
        return None
    names = ", ".join(each.name for each in found if each.kind)
    return Failure(kinds[0], f"a publish would fail: {names}.", "Mend what is marked ✗ above.")


def visibility(known: HubRepository | None) -> str | Problem:
    """Who may see a repository on Docker Hub."""
    if known is None:
        return "not there yet: the first push makes it, as private as the account's setting says"
    if known.private:
        return Problem(
            "images pushed but not visible: the repository is private.",
            "Docker Hub → repository → Settings → Make public (if appropriate).",
        )
    return "public"


def movable(known: HubRepository | None, tags: Sequence[Tag]) -> str | Problem:
    """Whether Docker Hub lets the shared tags move. Raises a conflict if it does not."""
    judged = {tag: known.immutable.judge(tag.value) for tag in tags} if known else {}
    for tag, (each, rule) in judged.items():
        if each is Verdict.YES:
            raise Failure(
                Kind.CONFLICT,
                f"{tag} can never move: the rule {rule[:100]!r} makes it immutable.",
                _MUTABLE.format(tag),
            )
    for tag, (each, rule) in judged.items():
        if each is Verdict.MAYBE:
            why = f"the rule {rule[:100]!r}" if rule else "the setting"
            return Problem(f"{tag} may be immutable by {why}.", _MUTABLE.format(tag))
    return f"{', '.join(map(str, tags)) or 'no shared tag'} may move"


def prunable(known: HubRepository, tag: Tag) -> Problem | None:
    """What keeps prune from deleting commit tags, of which this is one, if anything does."""
    each, rule = known.immutable.judge(tag.value)
    if each is Verdict.NO:
        return None
    why = f"the rule {rule[:100]!r}" if rule else "the setting"
    return Problem(
        f"prune cannot delete {tag}, which {each.value}, by {why}.", _MUTABLE.format(tag)
    )


def pulls(limit: PullLimit | None) -> str | Problem:
    """How many pulls are left; a HEAD is not counted as one."""
    if limit is None:
        return "not limited, or the registry does not say"
    window = f" in {limit.window / 3600:g} hours" if limit.window else ""
    left = f"{limit.remaining} of {limit.limit} are left{window}"
    if limit.remaining:
        return left
    return Problem(f"{left}.", "Wait until the window has passed, or use a higher plan.")
