"""One run, wired: what every command works with, each part made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from feastflow_registry.builder import docker_login
from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.config.settings import Settings
from feastflow_registry.git.clone import Git
from feastflow_registry.git.layered import LayeredHistory
from feastflow_registry.model import credentials
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Tree
from feastflow_registry.model.plan import Command, Permission
from feastflow_registry.model.ports import History, Log, Statuses
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.run import DEPENDABOT, LAPTOP, Context
from feastflow_registry.model.services import Service
from feastflow_registry.registry import docker_hub
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.copy import ImageCopier
from feastflow_registry.registry.http import Client
from feastflow_registry.report.journal import Journal
from feastflow_registry.tags import gate
from feastflow_registry.tags.fingerprint import Fingerprint, fingerprint
from feastflow_registry.tags.survey import Surveyor

if TYPE_CHECKING:
    from feastflow_registry.builder.checks import Checks
    from feastflow_registry.builder.engine import Engine


@dataclass
class App:
    """One run, wired. ``environ``: what children may see; ``reach``: the remote's history.

    ``statuses``: where GitHub keeps what it is told of commits;
    ``all_services``: also those that this run does not work on, but may build from;
    ``machine``: this machine's architecture; ``variables``: build secrets by variable;
    ``hub_url``: where Docker Hub's API is, if not where it always is; ``width``: the columns of
    the terminal, if there is one.
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
    statuses: Callable[[], Statuses]
    log: Log
    machine: str
    hostname: str
    word: Callable[[], str]
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    hub_url: str = ""
    width: int = 0
    _elsewhere: dict[RegistryHost, RegistryClient] = field(default_factory=dict)
    _listing: Lock = field(default_factory=Lock)

    @cached_property
    def permission(self) -> Permission:
        """What this run may do. A push that is due without credentials is refused here."""
        found = gate.permit(self.settings, self.context)
        wants = found.push and self.settings.command.writes
        if not wants or self.credential or self.settings.dry_run:
            return found
        if self.context.actor == DEPENDABOT:
            reason = "Dependabot's runs are given no secrets"
            self.log.warning(f"Nothing is pushed: {reason}. The next run on main publishes.")
            return Permission(False, False, reason)
        raise credentials.missing(self.settings.registry)

    @property
    def publishes(self) -> bool:
        """Whether this run writes to the registry."""
        return self.permission.push and self.settings.command.writes

    @cached_property
    def journal(self) -> Journal:
        """What this run set out to do and has done."""
        return Journal(self.log)

    @cached_property
    def registry(self) -> RegistryClient:
        """The registry, with a token for every repository of the run."""
        return self.connect([*(each.repository for each in self.services), *self.others])

    def connect(self, repositories: Sequence[Repository]) -> RegistryClient:
        """A registry by its repositories; another one than ours by what `docker login` kept."""
        host, command = repositories[0].host, self.settings.command
        credential = self.credential
        if host != self.settings.registry:
            credential = docker_login.from_login(host, "")
        writes = command.writes or command is Command.DOCTOR
        dry = self.settings.dry_run and command.writes
        write = self.permission.push and writes and not dry
        delete = write and command is Command.PRUNE
        auth = Authenticator(self.http, host, credential, repositories, write, delete=delete)
        return RegistryClient(self.http, auth)

    def client(self, repository: Repository) -> RegistryClient:
        """The registry of a repository: ours, or another one that images are promoted to."""
        host = repository.host
        if host == self.settings.registry:
            return self.registry
        if host not in self._elsewhere:
            given = (to.repository(each) for to in self.settings.tag for each in self.services)
            self._elsewhere[host] = self.connect([each for each in given if each.host == host])
        return self._elsewhere[host]

    def copier(self, target: Repository) -> ImageCopier:
        """What brings images from our registry to a repository."""
        return ImageCopier(self.registry, self.client(target))

    @property
    def others(self) -> tuple[Repository, ...]:
        """Repositories of our registry that images are promoted to."""
        given = self.settings.tag if self.settings.command is Command.PROMOTE else ()
        found = (to.repository(each) for to in given if to.path for each in self.services)
        return tuple(each for each in found if each.host == self.settings.registry)

    def check_may_write(self) -> None:
        """Refuse a command that would end without doing what it is there for."""
        if not self.permission.shared and not self.settings.dry_run:
            where = f"from {self.settings.main} or an allowed git tag"
            if self.context.event == LAPTOP:
                where = f"where `git switch --detach origin/{self.settings.main}` leads"
            raise Failure(
                Kind.INPUT,
                f"{self.settings.command} may not write here: {self.permission.reason}.",
                f"Run it {where}; a dry run shows the plan.",
            )

    @cached_property
    def hub(self) -> docker_hub.HubClient | None:
        """Docker Hub's own API, if that is the registry in use."""
        if not self.settings.registry.is_docker_hub and not self.hub_url:
            return None
        # Who lists or deletes thousands of tags waits where it is told to; doctor answers soon.
        patient = self.settings.command in (Command.TAGS, Command.PRUNE)
        http = replace(self.http, deadline=docker_hub.DEADLINE) if patient else self.http
        return docker_hub.HubClient(http, self.credential, self.hub_url or docker_hub.HUB)

    @cached_property
    def engine(self) -> Engine:
        """The engine; imported late, because a run that reuses everything needs none."""
        from feastflow_registry.builder.engine import Engine  # noqa: PLC0415  Slow to import.

        return Engine(
            Buildx(
                workspace=self.workspace,
                environ=self.environ,
                log=self.log,
                sleep=self.http.sleep,
                builder=self.settings.builder,
                host=self.settings.registry,
                credential=self.credential if self.publishes else None,
                variables=self.variables,
            )
        )

    def checker(self) -> Checks:
        """What judges images; imported late, as the engine is."""
        from feastflow_registry.builder.checks import Checks  # noqa: PLC0415  Slow to import.

        return Checks(
            client=lambda: self.engine.client,
            workspace=self.workspace,
            environ=self.environ,
            log=self.log,
            clock=self.http.clock,
            sleep=self.http.sleep,
            word=self.word,
            credential=self.credential if self.publishes else None,
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
        )

    @cached_property
    def _tree(self) -> Tree:
        return self.git.tree()

    def _fingerprint(self, service: Service) -> Fingerprint:
        """What a service is made from. Where it names no platform, this machine's is the one."""
        known = {each.name: each for each in self.all_services}
        with self._listing:
            tree = self._tree
        options = {
            "attest": "\n".join(self.settings.attest),
            "reproducible": str(self.settings.reproducible),
            "machine": self.machine,
            "builder": self.settings.builder,
        }
        return fingerprint(service, known, tree, options)
