"""One run, wired: what was asked for, what it may do, and the ports that carry it out.

Every port is made when it is first needed. No command knows an adapter.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING

from feastflow_registry.builder.ledger import FileLedger
from feastflow_registry.commands.inputs import Inputs
from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import parts, stages
from feastflow_registry.config.settings import Settings
from feastflow_registry.git.former_names import FormerNames
from feastflow_registry.git.github import GitHubApi, GitHubHistory, GitHubStatuses
from feastflow_registry.git.layered import LayeredHistory
from feastflow_registry.model.credentials import Access, Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Revision, Tree
from feastflow_registry.model.plan import Command, Permission, Plan, Step
from feastflow_registry.model.ports import (
    Builder,
    Checker,
    Copier,
    Deletion,
    DockerHub,
    History,
    Ledger,
    Listing,
    Log,
    Registry,
    Statuses,
    Worktree,
)
from feastflow_registry.model.references import HUB, RegistryHost, Repository
from feastflow_registry.model.run import LAPTOP, Run
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service
from feastflow_registry.model.source import Source
from feastflow_registry.model.tag_names import CommitTags
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.by_host import RegistriesByHost
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.tags import gate
from feastflow_registry.tags.fingerprint import Fingerprint, fingerprint
from feastflow_registry.tags.survey import Surveyor
from feastflow_registry.transport.http import Client

if TYPE_CHECKING:
    from feastflow_registry.builder.buildx import Buildx
    from feastflow_registry.builder.engine import Engine
    from feastflow_registry.builder.own_builder import Recipe


_NO_ANSWER = (
    "The git remote origin does not answer: what was last fetched of it counts. Look again when it "
    "answers: a commit that was pushed since is not known here."
)
_MOST_SKEW_SECONDS = 3600.0
_LARGEST_DOCKERFILE = 1024 * 1024


def _hours(seconds: float) -> str:
    hours = round(seconds / 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours" if hours > 1 else "an hour"


@dataclass
class App:
    """One run.

    ``state``: what it has done so far; ``machine``: this machine's architecture; ``random_word``:
    a fresh one each time; ``hub_url``: where Docker Hub's API is, if not at its own address;
    ``width``: the columns of the terminal, if there is one; ``whole_digests``: whether a list shows
    them so.
    """

    inputs: Inputs
    workspace: LocalWorkspace
    http: Client
    log: Log
    machine: str
    hostname: str
    random_word: Callable[[], str]
    github_token: str = field(default="", repr=False)
    hub_url: str = ""
    width: int = 0
    whole_digests: bool = False
    state: RunState = field(default_factory=RunState)
    _clients: dict[RegistryHost, RegistryClient] = field(default_factory=dict)
    _making: Lock = field(default_factory=Lock)

    @property
    def settings(self) -> Settings:
        """What was asked for."""
        return self.inputs.settings

    @property
    def run(self) -> Run:
        """The facts of this run."""
        return self.inputs.run

    @property
    def permission(self) -> Permission:
        """What this run may do."""
        return self.inputs.permission

    @property
    def credential(self) -> Credential | None:
        """What our registry knows us by."""
        return self.inputs.credential

    @property
    def credentials(self) -> Mapping[RegistryHost, Credential]:
        """What the registries that are pushed to know us by."""
        return self.inputs.credentials

    @property
    def services(self) -> tuple[Service, ...]:
        """The services to work on, each on the first registry."""
        return self.inputs.services

    @property
    def everywhere(self) -> tuple[Service, ...]:
        """The services to work on, on every registry; the first one comes first.

        A part of an image goes to the first alone: the others get the whole one.
        """
        also = () if self.settings.part else self.inputs.also
        return (*self.inputs.services, *also)

    @property
    def by_registry(self) -> Mapping[RegistryHost, tuple[Service, ...]]:
        """The same, registry by registry."""
        found: dict[RegistryHost, tuple[Service, ...]] = {}
        for each in self.everywhere:
            host = each.repository.host
            found[host] = (*found.get(host, ()), each)
        return found

    @property
    def publishes(self) -> bool:
        """Whether this run writes to the registry."""
        return self.permission.push and self.settings.command.writes

    def check_may_write(self) -> None:
        """Refuse a command that would end without doing what it is there for."""
        if not self.permission.shared and not self.settings.dry_run:
            main = self.settings.main
            fix = f"Run {self.settings.command} from {main} or from an allowed git tag"
            if self.run.event == LAPTOP:
                fix = (
                    f"Push the commit to {main} first (`git push origin {main}`), or change to the "
                )
                fix += f"one that is there (`git switch --detach origin/{main}`)"
            raise Failure(
                Kind.INPUT,
                f"this run may not write to the registry: {self.permission.reason}.",
                f"{fix}; a dry run shows the plan.",
                see="may-not-write",
            )

    def plan(self, steps: Sequence[Step]) -> Plan:
        """A plan of this run's command."""
        command, run = self.settings.command, self.run
        return Plan(command, run.commit, self.permission, tuple(steps), run_url=run.run_url)

    def clock(self) -> float:
        """Seconds that never go back."""
        return self.http.clock()

    def now(self) -> float:
        """Unix time in seconds, to judge ages by.

        Raises an input failure where the servers that were asked so far say another hour.
        """
        skew = self.http.skew
        if abs(skew) > _MOST_SKEW_SECONDS:
            way = "ahead of" if skew > 0 else "behind"
            raise Failure(
                Kind.INPUT,
                f"this machine's clock is {_hours(abs(skew))} {way} the registry's, so the age of "
                "a tag is not known.",
                "Set the clock (`timedatectl` shows it), then run again.",
            )
        return self.http.wall()

    @property
    def skew(self) -> float:
        """Seconds that this machine's clock is ahead of the registry's, as far as it was asked."""
        return self.http.skew

    def challenge(self, host: RegistryHost) -> str:
        """With what a registry challenges whoever asks for it; raises soon where none answers."""
        from feastflow_registry.registry import probe

        return probe.challenge(self.http, host.as_in(self.settings.insecure_registries))

    @property
    def certificates(self) -> str:
        """The file or folder of certificates that are trusted; empty for requests' own list."""
        return self.http.certificates

    @cached_property
    def registry(self) -> Registry:
        """The registries of all repositories that a run is about."""
        return RegistriesByHost(self._client, lambda: list(self._clients.values()))

    def _client(self, host: RegistryHost) -> RegistryClient:
        with self._making:  # Several threads may ask, and a run has one token.
            if host not in self._clients:
                access = gate.access(self.settings, self.permission)
                self._clients[host] = self._connect(host, access)
            return self._clients[host]

    def _connect(self, host: RegistryHost, access: Access) -> RegistryClient:
        """A registry with a token for the repositories of this run that are on it."""
        given = self.settings.tag if self.settings.command is Command.PROMOTE else ()
        promoted = [to.repository(each) for to in given if to.path for each in self.services]
        own = [each.repository for each in self.everywhere]
        repositories = [each for each in (*own, *promoted) if each.host == host]
        credential = self.credential_of(host)
        auth = Authenticator(
            self.http,
            host.as_in(self.settings.insecure_registries),
            credential,
            repositories,
            access is not Access.READ,
            delete=access is Access.DELETE,
        )
        return RegistryClient(self.http, auth)

    def credential_of(self, host: RegistryHost) -> Credential | None:
        """What a registry knows us by. Where nothing was given, what ``docker login`` has kept."""
        if host in self.credentials or host == self.settings.registry:
            return self.credentials.get(host)
        return self.workspace.login(host, "")

    def copier(self, source: Repository, target: Repository) -> Copier:
        """What brings images from one repository to another."""
        from feastflow_registry.registry.copy import ImageCopier

        clients = self._client(source.host), self._client(target.host)
        return ImageCopier(*clients, self.log.working)

    def deletion(self, host: RegistryHost) -> Deletion:
        """What deletes tags and images on a registry."""
        return self._deletion(self._client(host))

    def try_deletion(self, host: RegistryHost) -> Deletion:
        """The same with a token of its own: to publish, nobody needs the right to delete."""
        return self._deletion(self._connect(host, Access.DELETE))

    def untagging(self, repository: Repository) -> Listing | Deletion:
        """What deletes a tag alone, where the registry and the credential allow it."""
        return self.hub(repository.host) or self.try_deletion(repository.host)

    def _deletion(self, client: RegistryClient) -> Deletion:
        from feastflow_registry.registry.delete import RegistryDeletion

        return RegistryDeletion(client)

    def hub(self, host: RegistryHost) -> DockerHub | None:
        """Docker Hub's own API, if that is the registry."""
        return self._hub if host == self._hub_host else None

    @property
    def _hub_host(self) -> RegistryHost:
        return self.settings.registry if self.hub_url else HUB

    @cached_property
    def _hub(self) -> DockerHub:
        from feastflow_registry.registry import docker_hub

        credential = self.credential_of(self._hub_host)
        return docker_hub.HubClient(self.http, credential, self.hub_url or docker_hub.HUB)

    @cached_property
    def _buildx(self) -> Buildx:
        from feastflow_registry.builder.buildx import Buildx

        return Buildx(
            workspace=self.workspace.folder,
            environ=self.workspace.environ,
            log=self.log,
            sleep=self.http.sleep,
            builder=self.settings.builder,
            credentials=self.credentials if self.publishes else {},
            other_config=lambda: self.workspace.git.folder() / "feastflow-buildx",
            variables=self.inputs.variables,
            cache_service=self.inputs.cache_service,
        )

    @cached_property
    def _engine(self) -> Engine:
        from feastflow_registry.builder.engine import Engine

        chosen = self.settings.builder or self.workspace.environ.get("BUILDX_BUILDER")
        return Engine(self._buildx, None if chosen else self._recipe, self._runs)

    @property
    def _recipe(self) -> Recipe:
        """What a builder of our own would be made from.

        Its build steps are in the network that it is in: a runner's own is nobody's pull request's.
        """
        from feastflow_registry.builder.own_builder import PINNED_IMAGE, Recipe

        settings = self.settings
        hosts = {settings.registry, *self.by_registry, *settings.insecure_registries}
        is_own = self.permission.push or not self.run.in_runner
        return Recipe(
            image=settings.buildkit_image or PINNED_IMAGE,
            host_network=is_own and any(each.is_loopback for each in hosts),
            plain_http=tuple(sorted(each.name for each in settings.insecure_registries)),
            clock=self.http.clock,
            wall=self.http.wall,
        )

    def _runs(self, service: Service, platforms: Sequence[str]) -> Sequence[str]:
        """The platforms whose programs the build of a service for some platforms runs."""
        path = posixpath.join(service.context, service.dockerfile)
        text = self.workspace.read(path, most=_LARGEST_DOCKERFILE) or b""
        return stages.platforms_run(
            text.decode("utf-8", "replace"), service.target, dict(service.args), platforms
        )

    @property
    def builder(self) -> Builder:
        """The engine and its builder; a run that reuses everything needs none."""
        with self._making:
            return self._engine

    def checker(self) -> Checker:
        """What judges images."""
        from feastflow_registry.builder.checks import Checks

        return Checks(
            client=lambda: self._engine.client,
            workspace=self.workspace.folder,
            environ=self.workspace.environ,
            log=self.log,
            clock=self.http.clock,
            sleep=self.http.sleep,
            random_word=self.random_word,
            credentials=self.credentials if self.publishes else {},
            hostname=self.hostname,
        )

    @property
    def worktree(self) -> Worktree:
        """The files that images are built from."""
        return self.workspace.git

    @property
    def ledger(self) -> Ledger:
        """What ``build`` remembers for ``push``."""
        return FileLedger(self.workspace.git.folder())

    def revisions(self) -> Iterable[Revision]:
        """The commits that the clone knows, newest first."""
        return self.workspace.git.revisions()

    def is_shallow(self) -> bool:
        """Whether the clone's history is cut off."""
        return self.workspace.git.is_shallow()

    @cached_property
    def history(self) -> History:
        """The clone's history where it can prove, else that of the remote.

        By hand, a rollback waits for no remote: it is what people do when all is down.
        """
        clone = self.workspace.git
        waits = self.run.in_runner or self.settings.command is not Command.ROLLBACK
        spare = None if waits else replace(clone, offline=True)
        warn = cache(partial(self.log.warning, _NO_ANSWER))
        return LayeredHistory(clone, self._remote_history, spare, warn)

    def _remote_history(self) -> History:
        """GitHub's own word in a runner; by hand, what the git remote says."""
        if not self.run.in_runner:
            return self.workspace.git
        return GitHubHistory(self._github)

    def statuses(self) -> Statuses:
        """Where GitHub keeps what it is told of commits."""
        return GitHubStatuses(self._github)

    @property
    def _github(self) -> GitHubApi:
        api, repository = self.inputs.github_api, self.run.repository
        return GitHubApi(self.http, api, repository, self.github_token)

    @cached_property
    def source(self) -> Source:
        """The repository of the run, by all its names."""
        source = self.run.source.also(self.settings.also_known_as)
        return replace(source, is_former=self._former_names())

    def _former_names(self) -> Callable[[str], bool] | None:
        """What tells former names, if that is the repository's own GitHub."""
        if self.run.in_runner or self.run.source.is_on_github:
            return FormerNames(self._github, self.run.repository_id).holds
        return None

    @cached_property
    def surveyor(self) -> Surveyor:
        """What looks at what the registries hold."""
        return Surveyor(
            self.registry,
            self.history,
            self.source,
            CommitTags(self.settings.sha_length),
            self._fingerprint,
        )

    @cached_property
    def _tree(self) -> Tree:
        return self.workspace.git.tree()

    def _fingerprint(self, service: Service) -> Fingerprint:
        """What a service is made from. Where it names no platform, this machine's is the one.

        The machines that build its platforms apart give their parts the same digest.
        """
        known = {each.name: each for each in self.inputs.all_services}
        with self._making:
            tree = self._tree
        options = {
            "attest": "\n".join(self.settings.attest),
            "reproducible": str(self.settings.reproducible),
            "machine": self.machine,
            "builder": self.settings.builder,
        }
        if parts.builds_apart(self.settings):
            options |= {"machine": "that of each platform", "builder": ""}
        return fingerprint(service, known, tree, options)
