"""The commands: each reads like its flow and hands the work to the rooms that know how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from feastflow_registry import credentials, doctor, policy, report
from feastflow_registry.authentication import Authenticator
from feastflow_registry.buildx import Buildx
from feastflow_registry.context import Context, RefKind
from feastflow_registry.credentials import Credential
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.execute import Execution
from feastflow_registry.git import Git
from feastflow_registry.history import LayeredHistory
from feastflow_registry.http import Client
from feastflow_registry.inputs import Fingerprint, Tree, fingerprint
from feastflow_registry.parallel import spread
from feastflow_registry.plan import Outcome, Plan, Snapshot, plan_run
from feastflow_registry.policy import Permission
from feastflow_registry.ports import BuiltImage, History, Log
from feastflow_registry.references import Reference
from feastflow_registry.registry import RegistryClient
from feastflow_registry.services import Service
from feastflow_registry.settings import Command, Settings
from feastflow_registry.settling import Settlement
from feastflow_registry.survey import Surveyor
from feastflow_registry.tagging import Tagger
from feastflow_registry.workspace import FileLedger

if TYPE_CHECKING:
    from feastflow_registry.checks import Checks
    from feastflow_registry.engine import Engine

DEPENDABOT = "dependabot[bot]"


@dataclass
class App:
    """One run, wired. ``environ``: what children may see; ``reach``: the remote's history.

    ``all_services``: also those that this run does not work on, but may build from;
    ``machine``: this machine's architecture; ``variables``: build secrets by variable;
    ``pushed``: whether the registry holds the commit's images now, proven.
    """

    settings: Settings
    context: Context
    services: tuple[Service, ...]
    all_services: tuple[Service, ...]
    credential: Credential | None
    workspace: Path
    environ: Mapping[str, str]
    git: Git
    http: Client
    reach: Callable[[], History]
    log: Log
    machine: str
    hostname: str
    word: Callable[[], str]
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    plan: Plan | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    attempted: set[Reference] = field(default_factory=set)
    pushed: bool = False

    def run(self) -> None:
        """Carry the command out."""
        if self.settings.command is Command.DOCTOR:
            self._examine()
            return
        if self._publishes:
            self.git.ensure(self.context.checkout)
        built = self._recall() if self.settings.command is Command.PUSH else {}
        snapshot = self._survey() if self._publishes else {}
        self.plan = plan_run(
            self.settings,
            self.context,
            self.permission,
            self.services,
            snapshot,
            self.all_services,
        )
        head, *steps = report.plan_lines(self.plan)
        with self.log.group(head):
            for line in steps:
                self.log.say(line)
        if self.settings.dry_run:
            return
        self._check_built(self.plan, built)
        execution = self._execution(self.plan, built)
        for outcome in execution.run():
            self.outcomes.append(outcome)
            if outcome.note != policy.THERE:
                self.log.say(report.outcome_line(outcome))
        if self.settings.command is Command.BUILD:
            self._remember(execution.built)
        self.pushed = self._publishes

    @cached_property
    def permission(self) -> Permission:
        """What this run may do. A push that is due without credentials is refused here."""
        found = policy.permit(self.settings, self.context)
        wants = found.push and self.settings.command in (Command.PUBLISH, Command.PUSH)
        if not wants or self.credential or self.settings.dry_run:
            return found
        if self.context.actor == DEPENDABOT:
            reason = "Dependabot's runs are given no secrets"
            self.log.warning(f"Nothing is pushed: {reason}. The next run on main publishes.")
            return Permission(False, False, reason)
        raise credentials.missing(self.settings.registry)

    @property
    def _publishes(self) -> bool:
        return self.permission.push and self.settings.command in (Command.PUBLISH, Command.PUSH)

    @cached_property
    def registry(self) -> RegistryClient:
        """The registry, with a token for every repository of the run."""
        reads = self.settings.command is Command.BUILD or self.settings.dry_run
        write = self.permission.push and not reads
        repositories = [each.repository for each in self.services]
        auth = Authenticator(
            self.http, self.settings.registry, self.credential, repositories, write
        )
        return RegistryClient(self.http, auth)

    @cached_property
    def engine(self) -> Engine:
        """The engine; imported late, because a run that reuses everything needs none."""
        from feastflow_registry.engine import Engine  # noqa: PLC0415

        return Engine(
            Buildx(
                workspace=self.workspace,
                environ=self.environ,
                log=self.log,
                sleep=self.http.sleep,
                builder=self.settings.builder,
                host=self.settings.registry,
                credential=self.credential if self._publishes else None,
                variables=self.variables,
            )
        )

    def _checker(self) -> Checks:
        from feastflow_registry.checks import Checks  # noqa: PLC0415  As the engine is.

        return Checks(
            client=lambda: self.engine.client,
            workspace=self.workspace,
            environ=self.environ,
            log=self.log,
            clock=self.http.clock,
            sleep=self.http.sleep,
            word=self.word,
            credential=self.credential if self._publishes else None,
            hostname=self.hostname,
        )

    @cached_property
    def surveyor(self) -> Surveyor:
        """The eyes of the run."""
        return Surveyor(
            self.registry,
            LayeredHistory(self.git, self.reach),
            self.context.commit,
            self.context.source,
            self.settings.sha_length,
            self._fingerprint,
            spread,
        )

    @cached_property
    def _tree(self) -> Tree:
        return self.git.tree()

    def _fingerprint(self, service: Service) -> Fingerprint:
        """What a service is made from. Where it names no platform, this machine's is the one."""
        known = {each.name: each for each in self.all_services}
        options = {
            "attest": "\n".join(self.settings.attest),
            "reproducible": str(self.settings.reproducible),
            "machine": self.machine,
        }
        return fingerprint(service, known, self._tree, options)

    def _survey(self) -> Snapshot:
        shared = policy.shared_tags(self.settings, self.context, self.permission)
        return self.surveyor.survey(self.services, shared, self.settings.reuse)

    def _execution(self, plan: Plan, built: Mapping[str, BuiltImage]) -> Execution:
        tagger = Tagger(self.surveyor, self.http.clock, self.attempted)
        settlement = Settlement(
            plan=plan,
            tagger=tagger,
            branch=self._followed_branch(),
            main=self.settings.main,
            others=policy.repointable(self.settings, self.permission),
            spread=spread,
        )
        return Execution(
            plan=plan,
            builder=lambda: self.engine,
            checker=self._checker,
            worktree=self.git,
            tagger=tagger,
            settlement=settlement,
            spread=spread,
            built=built,
        )

    def _followed_branch(self) -> str:
        """The branch whose newer commits take the moved tags over; none for a git tag."""
        if self.context.ref.kind is RefKind.TAG:
            return ""
        if self.context.in_runner:
            return self.context.ref.name
        return self.settings.main if self.permission.shared else ""

    def _recall(self) -> Mapping[str, BuiltImage]:
        return FileLedger(self.git.folder()).read(self.context.commit)

    def _check_built(self, plan: Plan, built: Mapping[str, BuiltImage]) -> None:
        making = {each.service for each in plan.builds}
        for push in plan.pushes:
            if push.service not in making and push.service.name not in built:
                raise Failure(
                    Kind.INPUT,
                    f"no build of {push.service.name} at commit {plan.commit.short} is known.",
                    "Run `feastflow-registry build` first; publish does both.",
                )

    def _remember(self, built: Mapping[str, BuiltImage]) -> None:
        kept = {name: image for name, image in built.items() if image.image_id}
        for name in built.keys() - kept.keys():
            self.log.notice(f"{name} has several platforms and stays in the cache: use publish.")
        try:
            self.git.ensure(self.context.checkout)
        except Failure as failure:
            self.log.warning(f"push will not take this build: {failure.problems[0].cause}")
            return
        FileLedger(self.git.folder()).write(self.context.commit, kept)

    def _examine(self) -> None:
        """Print what doctor finds; fail as the first thing that is wrong would fail a publish."""
        found = list(doctor.examine(self._checks()))
        for each in found:
            self.log.say(f"{'✗' if each.problems else '✓'} {each.name}: {each.detail or 'failed'}")
        first = next((each.kind for each in found if each.kind), None)
        if first:
            raise Failure.of(
                first, dict.fromkeys(problem for each in found for problem in each.problems)
            )

    def _checks(self) -> tuple[doctor.Check, ...]:
        return (
            doctor.Check("engine", self.engine.describe),
            doctor.Check("builder", self.engine.describe_builder),
            doctor.Check(
                "names", lambda: ", ".join(str(each.repository) for each in self.services)
            ),
            doctor.Check("git", self._check_git),
            doctor.Check("credentials", self._check_credentials),
            *(
                doctor.Check(f"push to {each.repository}", partial(self._check_scope, each))
                for each in self.services
            ),
        )

    def _check_git(self) -> str:
        self.git.ensure(self.context.checkout)
        depth = "cut off, so the remote is asked" if self.git.is_shallow() else "whole"
        return f"commit {self.context.commit.short}, nothing modified, history {depth}"

    def _check_credentials(self) -> str:
        if not self.credential:
            raise credentials.missing(self.settings.registry)
        tag = policy.commit_tag(self.context.commit, self.settings.sha_length)
        self.registry.resolve(Reference(self.services[0].repository, tag))
        return f"accepted by {self.settings.registry} as {self.credential.username}"

    def _check_scope(self, service: Service) -> str:
        if not self.credential:
            raise credentials.missing(self.settings.registry)
        if not self.permission.push:
            return f"not tried, for this run may not push: {self.permission.reason}"
        self.registry.check_push(service.repository)
        return "granted"
