"""The services that inputs and files describe, and what this run may give their builds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from feastflow_registry.commands.request import Request, Workspace
from feastflow_registry.config import caches, grammar, parts, service_options, settings
from feastflow_registry.config import file as config_file
from feastflow_registry.config.command_line import TOKENS
from feastflow_registry.config.file import Config
from feastflow_registry.config.settings import Settings
from feastflow_registry.model import credentials
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.run import DEPENDABOT, Run
from feastflow_registry.model.services import Secret, Service, Where, check_together, select
from feastflow_registry.model.wording import some
from feastflow_registry.tags import gate

LARGEST_FILE = 1024 * 1024
_NO_GITHUB_CACHE = "GitHub's cache is neither read nor written: "
_SECRET_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Described:
    """The services to work on, those that they may be built from, and the secrets of them all.

    ``cache_service``: how builds reach GitHub's cache, empty if they do not; ``builder``: the one
    that builds, empty if it is to be found; ``warnings``: what has to be said aloud.
    """

    services: tuple[Service, ...]
    all_services: tuple[Service, ...]
    variables: Mapping[str, str]
    file_secrets: tuple[str, ...]
    cache_service: Mapping[str, str]
    builder: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceReader:
    """Reads the services, by whatever describes them. ``forms``: texts that no secret may hold."""

    request: Request
    workspace: Workspace
    config: Config | None
    settings: Settings
    run: Run | None
    credential: Credential | None
    forms: Iterable[str]
    cache_service: Mapping[str, str]

    def read(self) -> Described:
        """Read and check them. Raises all that is wrong with them at once."""
        source = self._describe()
        services = source.build(self.settings, self._namespace) if source else (self._single(),)
        where = source.where if source else _input
        problems = list(check_together(services, where))
        problems += parts.check(services, self.settings, where)
        variables: dict[str, str] = {}
        contents: list[str] = []
        if self.settings.command.builds:
            problems += self.workspace.check_files(services, where)
            problems += service_options.check(services, self.settings, where)
            problems += caches.check(
                services, self.settings, where, self._caches_of_files, self.workspace.holds
            )
            problems += self._read_secrets(services, where, variables, contents)
        chosen: tuple[Service, ...] = ()
        try:
            chosen = parts.chosen(select(services, self.settings.services), self.settings)
        except Failure as failure:
            problems += failure.problems
        if problems:
            raise Failure.of(Kind.INPUT, problems)
        bounded = {each.name: self._bounded(each, variables, source) for each in services}
        chosen = tuple(bounded[each.name] for each in chosen)
        return Described(
            chosen,
            tuple(bounded.values()),
            variables,
            tuple(contents),
            self._given_cache,
            self._builder,
            (
                *(source.notices if source else ()),
                *self._nowhere(services),
                *self._no_builder(),
                *_left_out(services, bounded),
            )
            if self.settings.command.builds
            else (),
        )

    def _bounded(
        self, service: Service, variables: Mapping[str, str], source: Config | None
    ) -> Service:
        """The service with what this run may give it; a build may do without some secrets."""
        secrets = [each for each in service.secrets if each.file or each.variable in variables]
        ssh = service.ssh if self._is_trusted else ()
        check = service.check if self._runs_own_code else self.request.given.get("check", "")
        if source and not self._runs_own_code:
            service = service.without_powers()
        if not self._given_cache:
            service = caches.without_github_of(service)
        return replace(service, secrets=tuple(secrets), ssh=ssh, check=check)

    @property
    def _namespace(self) -> str:
        """Whose the repositories are, if no setting says so; a user keeps capitals, they do not."""
        owner = self.run.repository.rpartition("/")[0] if self.run else ""
        given = self.request.given.get("username")
        login = self.credential.username if self.credential and not given else ""
        user = self.settings.username or login
        if user and not self.settings.namespace and not credentials.is_name(user):
            raise credentials.no_namespace(self.settings.registry, user)
        return self.settings.namespace or (user or owner or "local").lower()

    def _single(self) -> Service:
        """The one service that the inputs describe."""
        name = self.run.repository.rpartition("/")[2] if self.run else ""
        image = name or self.request.folder.resolve().name
        return self.settings.service(namespace=self._namespace, image=image)

    def _describe(self) -> Config | None:
        """What describes the services, if more than the inputs do."""
        given = self.request.given
        if self.config and self.config.services:
            config_file.refuse_mixed(self.config, given)
            return self.config
        name = self.settings.services_from
        if not name:
            return None
        from feastflow_registry.config import compose

        found = compose.read(name, self.workspace)
        config_file.refuse_mixed(found, given)
        return found

    def _nowhere(self, services: Iterable[Service]) -> Iterator[str]:
        """Say why GitHub's cache is not used though it is named."""
        found = (caches.of_service(self.settings, service).all for service in services)
        if self._given_cache or not any(map(caches.is_github, chain.from_iterable(found))):
            return
        if not self._in_runner:
            yield f"{_NO_GITHUB_CACHE}only a job of GitHub Actions has it."
        elif not self._runs_own_code:
            yield f"{_NO_GITHUB_CACHE}a Dockerfile of somebody else's code could take its token."
        else:
            yield (
                f'{_NO_GITHUB_CACHE}the input "cache-token" is empty. Give it the output token of '
                "a step that uses feastflow/registry-action/cache."
            )

    @property
    def _builder(self) -> str:
        """The builder that may build: one may be in the host's network, or on another machine."""
        is_from_file = "builder" not in self.request.given
        return "" if is_from_file and not self._runs_own_code else self.settings.builder

    def _no_builder(self) -> Iterator[str]:
        if self.settings.builder != self._builder:
            yield (
                f"The builder {self.settings.builder} is not used here: code of others chooses no "
                "machine that builds. Name it in the input builder."
            )

    @property
    def _given_cache(self) -> Mapping[str, str]:
        """How builds may reach GitHub's cache. BuildKit tells the frontend that a Dockerfile names.

        https://github.com/moby/buildkit/blob/v0.26.0/client/solve.go (``cache-imports``)
        """
        return self.cache_service if self._runs_own_code else {}

    @property
    def _caches_of_files(self) -> Mapping[str, str]:
        """The settings of caches that the file gives, each with its place."""
        policy = self.config.policy if self.config else {}
        stated = {each: policy[each].place for each in caches.SETTINGS if each in policy}
        return {each: place for each, place in stated.items() if each not in self.request.given}

    def _read_secrets(
        self,
        services: Iterable[Service],
        where: Where,
        variables: dict[str, str],
        contents: list[str],
    ) -> Iterator[Problem]:
        """Take the values of the build secrets that this run may give away."""
        values = {**self.request.environ, **self.request.hidden}
        for service in services:
            for secret in service.secrets:
                value = values.get(secret.variable, "")
                if secret.file:
                    with suppress(Failure):
                        content = self.workspace.read(secret.file, most=_SECRET_LIMIT)
                        value = (content or b"").decode("utf-8", "replace")
                    # Whoever wrote an untrusted one knows it, and could blot out our words.
                    if self._is_trusted:
                        contents.append(value)
                problem = self._forbid(secret, value)
                if problem:
                    place = f"{where(service.name, 'secrets')}: the secret {secret.id}"
                    yield Problem(f"{place} {problem.cause}", problem.fix, problem.see)
                elif secret.variable and self._is_trusted:
                    variables[secret.variable] = value

    def _forbid(self, secret: Secret, value: str) -> Problem | None:
        """Why a build may not have a secret, or cannot; a run that may not push gives none."""
        variable = secret.variable
        if variable in TOKENS or any(credentials.holds(value, form) for form in self.forms):
            return Problem(
                "is the token of this program, which no build may have.",
                "Give the build a credential of its own.",
            )
        if not variable or not self._is_trusted:
            return None
        if self._in_runner and grammar.is_runners(variable):
            return Problem(
                f"is {variable}, the runner's own, which no build may have.",
                "Set another variable in the step's env, and name that.",
            )
        named = {each.variable for each in self.settings.secrets}
        if self._in_runner and variable not in {*named, *self.settings.secret_variables}:
            return Problem(
                f"names the variable {variable}, which this workflow does not give to builds.",
                f'Set the input "secret-variables" to {variable}.',
                see="secret-variables",
            )
        if not value:
            return Problem(
                f"names the variable {variable}, which is not set.",
                "Set it in the step's env, from a secret of the repository.",
            )
        return None

    @property
    def _is_trusted(self) -> bool:
        """Whether this run may push, and its own code is what is checked out."""
        if not self.run or not self._in_runner:
            return True
        is_own = self.run.actor != DEPENDABOT and not self.run.foreign
        return is_own and may_push(self.request, self.run)

    @property
    def _runs_own_code(self) -> bool:
        """Whether a file may rule over this machine, as by a check: not beside a job's secrets."""
        if self._is_trusted or not self.run or self.run.event in gate.UNPRIVILEGED:
            return True
        return self.run.event in gate.ALLOWED_EVENTS and not self.run.foreign

    @property
    def _in_runner(self) -> bool:
        return bool(self.run and self.run.in_runner)


def _left_out(services: Iterable[Service], bounded: Mapping[str, Service]) -> Iterator[str]:
    """Say what services do without in a run that holds secrets beside somebody else's code."""
    lost = [each.name for each in services if each.check and not bounded[each.name].check]
    if lost:
        yield f'The check of {some(lost)} is not run here: name it in the input "check".'
    for each in services:
        if each.powers != bounded[each.name].powers:
            yield (
                f"{each.name} is built without {some(each.powers)} of its own: code of others gets "
                "no power over a machine that holds secrets."
            )


def _input(service: str, key: str) -> str:
    """Where the one service that the inputs describe has a key."""
    del service
    words = {ours: name for name, ours in config_file.OF_ONE_SERVICE.items()}
    return f'input "{words.get(key, key)}"'


def may_push(request: Request, current: Run) -> bool:
    """Whether the workflow, or GitHub, lets this run push; a file of the checkout is not asked."""
    branches = request.given.get("branches") or current.default_branch
    stated = {"branches": branches, "git_tags": request.given.get("git_tags", "")}
    return gate.permit(settings.parse(stated), current).push
