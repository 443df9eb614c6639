"""The command ``doctor``: what would make a publish fail, asked of the real parts, with its fix.

It writes nothing: it begins an upload and cancels it, and deletes a tag that is not there. What
keeps no image from its tags is advice: that a repository is private, or that prune could not
delete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from feastflow_registry.commands.app import App
from feastflow_registry.commands.workspace import untracked
from feastflow_registry.model import credentials
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Deleted, HubRepository, PullLimit, Verdict
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import Latest
from feastflow_registry.model.ports import DockerHub
from feastflow_registry.model.references import Digest, Reference, RegistryHost, Repository, Tag
from feastflow_registry.model.registries import GENERIC, kind_of
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.model.wording import some
from feastflow_registry.report import data
from feastflow_registry.report.columns import INDENT, wrap
from feastflow_registry.report.results import RunReport
from feastflow_registry.tags import gate
from feastflow_registry.tags.planner import plan_build

_MOST = 3
"""How many repositories a line names."""
_UNTRIED = "not tried, as this run pushes nothing"
_NOWHERE = Digest(f"sha256:{'0' * 64}")
_MUTABLE = "Docker Hub → repository → Settings → Tag mutability: leave {} out of the rules."


@dataclass(frozen=True, slots=True)
class Check:
    """One question. ``ask`` answers with what it found, or with advice, or raises a failure.

    ``about``: what it is about, if it is asked about several things; ``needed``: whether a publish
    needs it; else a failure is advice, too.
    """

    name: str
    ask: Callable[[], str | Problem]
    about: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer, and what it is about.

    ``kind`` is what a publish would fail with; problems without it are advice. Beside problems,
    ``detail`` says where they were told before.
    """

    name: str
    detail: str = ""
    kind: Kind | None = None
    problems: tuple[Problem, ...] = ()
    about: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What was asked."""
        return f"{self.name} {some(self.about, _MOST)}".rstrip()

    def lines(self, width: int = 0) -> list[str]:
        """The answer as people read it, the fix below each problem; ``width``: 0 for any."""
        mark = "✗" if self.kind else "!" if self.problems else "✓"
        told = f"{mark} {self.label}: "
        said = [(told + each.cause, INDENT + each.fix) for each in self.problems]
        lines = [told + self.detail] if self.detail else [line for pair in said for line in pair]
        return [part for line in lines for part in wrap(line, width, anyway=True)]


def run(app: App) -> RunReport:
    """Print what is found; end as the first thing that is wrong would end a publish."""
    findings = []
    with app.log.working("looking for what would make a publish fail"):
        for finding in examine(Examination(app).checks()):
            findings.append(finding)
            for line in finding.lines(app.width):
                app.log.say(line)
    return RunReport(json=document(findings), failure=verdict(findings))


def document(findings: Sequence[Finding]) -> str:
    """All that was found, for other programs."""
    found = [
        {
            "name": each.name,
            "about": list(each.about),
            "verdict": "wrong" if each.kind else "advice" if each.problems else "good",
            "detail": each.detail,
            "problems": data.problems(each.problems),
        }
        for each in findings
    ]
    return json.dumps({"command": "doctor", "findings": found})


@dataclass(slots=True)
class Examination:
    """The checks of one run. ``repositories``: what Docker Hub has said of each.

    ``reached``: the registries that have answered; of the others nothing more is asked. If none
    has, there may be no network: no remote is asked either, and nothing is said of its branches.
    """

    app: App
    repositories: dict[Repository, HubRepository | None] = field(default_factory=dict)
    reached: set[RegistryHost] = field(default_factory=set)

    def checks(self) -> Iterator[Sequence[Check]]:
        """Yield every question; those that are asked side by side come together."""
        app = self.app
        yield [Check("engine", app.builder.describe)]
        yield [Check("builder", self._describe_builder)]
        yield [Check("names", self._name_repositories)]
        yield [Check("git", self._check_git)]
        several = len(app.by_registry) > 1
        yield [
            Check("registry", partial(self._check_registry, each), str(each) if several else "")
            for each in app.by_registry
        ]
        yield [Check("repository", self._check_source)]
        yield [Check("main branch", self._check_branch, needed=False)]
        reached = [host for host in app.by_registry if host in self.reached]
        if not reached:
            return
        yield [Check("this run", self._describe_run)]
        yield [Check("clock", self._check_clock, needed=False)]
        yield [Check("credentials", partial(self._check_credentials, each)) for each in reached]
        hubs = {host: hub for host in reached if (hub := app.hub(host))}
        yield [Check("pulls", partial(self._check_pulls, host), needed=False) for host in hubs]
        yield self._of_each("push to", self._check_scope, reached)
        for host, hub in hubs.items():
            yield from self._hub_checks(host, hub)
        others = [host for host in reached if host not in hubs]
        yield self._of_each("prune of", self._check_deletion, others, needed=False)
        promoted = {each.host for each in app.settings.tag if each.host} - {*app.by_registry}
        yield [
            Check("promotion to", partial(self._describe, each), str(each), needed=False)
            for each in sorted(promoted)
        ]

    def _of_each(
        self,
        name: str,
        ask: Callable[[Repository], str | Problem],
        hosts: Iterable[RegistryHost],
        *,
        needed: bool = True,
    ) -> list[Check]:
        """The same question of each repository on some registries."""
        services = [each for host in hosts for each in self.app.by_registry[host]]
        repositories = [each.repository for each in services]
        return [Check(name, partial(ask, each), str(each), needed) for each in repositories]

    def _hub_checks(self, host: RegistryHost, hub: DockerHub) -> Iterator[list[Check]]:
        """What Docker Hub's own API tells of each repository. The first question asks it, once."""

        def look(repository: Repository) -> str | Problem:
            self.repositories[repository] = hub.about(repository)
            return visibility(self.repositories[repository])

        def judge(repository: Repository) -> str | Problem:
            return movable(self.repositories.get(repository), self._shared_tags())

        yield self._of_each("visibility of", look, [host], needed=False)
        # The others could not be asked.
        asked = {str(each) for each in self.repositories}
        tags = self._of_each("tags of", judge, [host])
        yield [each for each in tags if each.about in asked]
        deletes = partial(self._check_hub_deletion, hub)
        prune = self._of_each("prune of", deletes, [host], needed=False)
        yield [each for each in prune if each.about in asked]

    def _name_repositories(self) -> str:
        settings, credential = self.app.settings, self.app.credential
        names = some([str(each.repository) for each in self.app.services], _MOST)
        user = settings.username or (credential.username if credential else "")
        whose = f"the user {user}" if user else "the owner of the repository"
        said = f"{names}, below " + ("the given namespace" if settings.namespace else whose)
        also = some([str(each.repository) for each in self.app.inputs.also], _MOST)
        return f"{said}; also {also}" if also else said

    def _check_git(self) -> str | Problem:
        app = self.app
        app.worktree.ensure(app.run.checkout)
        if others := untracked(app.worktree, app.services):
            return others
        depth = "cut off, so the remote is asked" if app.is_shallow() else "whole"
        return f"commit {app.run.commit.short}, nothing modified, history {depth}"

    def _check_source(self) -> str:
        run = self.app.run
        gate.check_source(run)
        if self.reached:
            self.app.history.newer(run.commit, self.app.settings.main)
        others = some(self.app.settings.also_known_as, _MOST)
        return run.source.url + (f", also known as {others}" if others else "")

    def _check_branch(self) -> str | Problem:
        main, default = self.app.settings.main, self.app.run.default_branch
        if default and default != main:
            return Problem(
                f"shared tags follow {main}, and the default branch is {default}.",
                f'If that is wrong, name {default} first in the input "branches".',
            )
        return (
            f"{main}, the default branch"
            if default
            else f"{main}, not compared: the default branch is unknown"
        )

    def _describe_run(self) -> str | Problem:
        permission = self.app.permission
        behind = gate.left_behind(self.app.settings, self.app.run, permission)
        if behind:
            return behind
        what = "pushes" if permission.push else "pushes nothing"
        if permission.push and not permission.shared:
            what = "pushes commit tags alone"
        return f"{what}: {permission.reason}"

    def _check_registry(self, host: RegistryHost) -> str:
        found = self._describe(host)
        self.reached.add(host)
        return found

    def _describe(self, host: RegistryHost) -> str:
        """Ask a registry whether it is there; what is known of its kind."""
        kind = kind_of(host, self.app.challenge(host))
        way = f"over TLS, checked against {self.app.certificates or 'the certificates of certifi'}"
        reached = host.as_in(self.app.settings.insecure_registries)
        if reached.url.startswith("http:"):
            way = "over plain HTTP"
        if reached.insecure:
            way += ", which an engine that pushes has to allow in its daemon.json too"
        facts = [f"{host} is {kind.name}, {way}", kind.habit]
        facts += [f"needs {kind.before_push} before the first push"] if kind.before_push else []
        facts += [kind.prune] if kind is not GENERIC else []
        return "; ".join(filter(None, facts))

    def _check_clock(self) -> str:
        self.app.now()  # It raises what would keep prune from judging ages.
        return f"within {math.ceil(abs(self.app.skew) or 1)} s of the registry's"

    def _check_credentials(self, host: RegistryHost) -> str:
        credential = self.app.credential_of(host)
        if not credential:
            raise self._missing(host)
        repository = self.app.by_registry[host][0].repository
        self.app.registry.resolve(Reference(repository, self._commit_tag()))
        return f"accepted by {host} as {credential.username}"

    def _check_scope(self, repository: Repository) -> str:
        if not self.app.credential_of(repository.host):
            raise self._missing(repository.host)
        if not self.app.permission.push:
            return _UNTRIED
        self.app.registry.check_push(repository)
        return "granted"

    def _missing(self, host: RegistryHost) -> Failure:
        is_first = host == self.app.settings.registry
        return credentials.missing(host, in_runner=self.app.run.in_runner, is_first=is_first)

    def _describe_builder(self) -> str:
        app = self.app
        known = {each.name: each for each in app.inputs.all_services}
        images = [
            plan_build(app.settings, app.run, each, known, write=True) for each in app.services
        ]
        return app.builder.describe_builder(images)

    def _check_pulls(self, host: RegistryHost) -> str | Problem:
        repository = self.app.by_registry[host][0].repository
        return pulls(self.app.registry.pull_limit(Reference(repository, LATEST)))

    def _check_hub_deletion(self, hub: DockerHub, repository: Repository) -> str | Problem:
        facts = self.repositories.get(repository)
        if facts is None:
            return "nothing to delete"
        if not self._may_try(repository):
            return _UNTRIED
        hub.check_delete(repository, self._absent_tag())
        return prunable(facts, self._commit_tag()) or "the token may delete"

    def _check_deletion(self, repository: Repository) -> str:
        if not self._may_try(repository):
            return _UNTRIED
        deletion = self.app.try_deletion(repository.host)
        deletion.delete_manifest(repository, _NOWHERE)
        by_tag = deletion.delete_tag(repository, self._absent_tag()) is not Deleted.UNSUPPORTED
        return f"the registry deletes by {'tag' if by_tag else 'digest'}"

    def _may_try(self, repository: Repository) -> bool:
        has_credential = self.app.credential_of(repository.host) is not None
        return has_credential and self.app.permission.push

    def _absent_tag(self) -> Tag:
        return Tag.parse(f"doctor-{self.app.random_word()[:12]}")

    def _commit_tag(self) -> Tag:
        return self.app.surveyor.commit_tags.of(self.app.run.commit)

    def _shared_tags(self) -> list[Tag]:
        """What publishes move, whichever branch this run is on."""
        settings = self.app.settings
        latest = [] if settings.latest is Latest.NEVER else [LATEST]
        return [*latest, *([settings.milestone] if settings.milestone else [])]


def examine(batches: Iterable[Sequence[Check]]) -> Iterator[Finding]:
    """Ask every question, whatever the others answer. Equal answers in a batch are one finding.

    What is wrong in the same way as something before is told once.
    """
    told: dict[tuple[Problem, ...], str] = {}
    for batch in batches:
        found: dict[Finding, list[str]] = {}
        for check, finding in zip(batch, spread(_answer, batch), strict=True):
            found.setdefault(finding, []).append(check.about)
        for answer, about in found.items():
            finding = replace(answer, about=tuple(filter(None, about)))
            first = told.setdefault(finding.problems, finding.label) if finding.problems else ""
            repeats = first not in ("", finding.label)
            yield replace(finding, detail=f"the same as {first}") if repeats else finding


def _answer(check: Check) -> Finding:
    try:
        found = check.ask()
    except Failure as failure:
        kind = failure.kind if check.needed else None
        return Finding(check.name, kind=kind, problems=failure.problems)
    if isinstance(found, Problem):
        return Finding(check.name, problems=(found,))
    return Finding(check.name, found)


def verdict(found: Sequence[Finding]) -> Failure | None:
    """The failure that a publish would end with, if anything is wrong."""
    kinds = [each.kind for each in found if each.kind]
    if not kinds:
        return None
    names = ", ".join(each.label for each in found if each.kind)
    return Failure(kinds[0], f"a publish would fail: {names}.", "Mend what is marked ✗ above.")


def visibility(known: HubRepository | None) -> str | Problem:
    """Who may see a repository on Docker Hub."""
    if known is None:
        return "not there yet: the first push makes it, as private as the account's setting says"
    if known.private:
        return Problem(
            "images pushed but not visible: the repository is private.",
            "Docker Hub → repository → Settings → Make public (if appropriate).",
            see="not-visible",
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
                see="immutable",
            )
    for tag, (each, rule) in judged.items():
        if each is Verdict.MAYBE:
            why = f"the rule {rule[:100]!r}" if rule else "the setting"
            return Problem(
                f"{tag} may be immutable by {why}.", _MUTABLE.format(tag), see="immutable"
            )
    return f"{', '.join(map(str, tags)) or 'no shared tag'} may move"


def prunable(known: HubRepository, tag: Tag) -> Problem | None:
    """What keeps prune from deleting commit tags, of which this is one, if anything does."""
    each, rule = known.immutable.judge(tag.value)
    if each is Verdict.NO:
        return None
    why = f"the rule {rule[:100]!r}" if rule else "the setting"
    return Problem(
        f"prune cannot delete {tag}, which {each.value}, by {why}.",
        _MUTABLE.format(tag),
        see="immutable",
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
