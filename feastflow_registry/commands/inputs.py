"""Reading one run's inputs from the environment it is handed, and checking them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from feastflow_registry.config import file as config_file
from feastflow_registry.config import grammar, settings
from feastflow_registry.config.command_line import TOKENS, github_api
from feastflow_registry.config.file import Config
from feastflow_registry.config.filter_patterns import is_literal
from feastflow_registry.config.settings import Settings, check_options, option
from feastflow_registry.model import credentials, run
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind, Problem, Problems
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.plan import Permission
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.references import Commit, RegistryHost
from feastflow_registry.model.run import DEPENDABOT, RefKind, Run
from feastflow_registry.model.services import Secret, Service, Where, check_together, select
from feastflow_registry.model.wording import some
from feastflow_registry.tags import gate

_SECRET_LIMIT = 1024 * 1024
_LARGEST_FILE = 1024 * 1024
_PAYLOAD_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What the environment and the command line hold, before anything of it is checked.

    ``given``: inputs by name; ``folder``: the top of the working copy; ``hidden``: variables that
    no child may see, of which a build secret may name some.
    """

    environ: Mapping[str, str]
    given: Mapping[str, str]
    folder: Path
    token: str = field(default="", repr=False)
    github_token: str = field(default="", repr=False)
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def in_runner(self) -> bool:
        """Whether GitHub Actions, and not a person, runs this."""
        return self.environ.get("GITHUB_ACTIONS") == "true"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one run, checked.

    ``services``: those to work on; ``all_services``: also those that they may be built from;
    ``variables`` and ``file_secrets``: the values of the build secrets; ``github_api``: the address
    of GitHub's REST API; ``warnings``: what has to be said aloud.
    """

    settings: Settings
    run: Run
    permission: Permission
    credential: Credential | None
    services: tuple[Service, ...]
    all_services: tuple[Service, ...]
    variables: Mapping[str, str] = field(repr=False)
    github_api: str
    warnings: tuple[str, ...] = ()
    file_secrets: tuple[str, ...] = field(default=(), repr=False)


class Workspace(Protocol):
    """The working copy, and what else of this machine the inputs refer to."""

    def checkout(self, main: str) -> Checkout:
        """Read what HEAD is. Raises an input failure where there is no commit to publish."""

    def peel(self, commit: Commit) -> Commit:
        """Follow an annotated git tag's own object to its commit."""

    def tracks(self, path: str) -> bool:
        """Whether git tracks a file."""

    def is_committed(self, path: str) -> bool:
        """Whether a file is what HEAD holds, byte by byte."""

    def read(self, path: str, *, most: int) -> bytes | None:
        """Read the beginning of a file of the repository; nothing, if it is missing."""

    def check_files(self, services: Iterable[Service], where: Where) -> Iterator[Problem]:
        """Yield what a build names and cannot have."""

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        """Have buildx resolve a Compose or Bake file of a folder, with these variables alone."""

    def login(self, host: RegistryHost, username: str) -> Credential | None:
        """What ``docker login`` has kept for a registry."""


def read(request: Request, workspace: Workspace) -> Inputs:
    """Read and check everything. Raises one input failure with all that is wrong."""
    texts = {f'input "{option(name)}"': value for name, value in request.given.items()}
    # Alone, and before any other problem, which would show the value.
    _refuse_token(texts, [request.token])
    problems = Problems()
    file = problems.collect(partial(_read_file, request, workspace, texts))
    config = file.config if file else None
    policy = config.policy if config else {}
    options = problems.collect(partial(settings.parse, request.given, policy))
    # The files can be checked all the same, if their own names are sound.
    paths = options or _read_paths(request.given)
    readable = paths or settings.parse({})
    given_user = request.given.get("username", "")
    credential = problems.collect(partial(Credential.parse, given_user, request.token))
    current = problems.collect(partial(_read_run, request, workspace, readable.main))
    main = current.default_branch if current else ""
    if options and main and is_literal(main) and "branches" not in {*request.given, *policy}:
        options = options.model_copy(update={"branches": (main,)})
    unread: tuple[str, ...] = ()
    if current and not credential and not request.token:
        try:
            credential = workspace.login(readable.registry, readable.username)
        except Failure as failure:  # Not every run needs it, and who does is told then.
            unread = (str(failure),)
    forms = (request.token, *(credential.forms(readable.registry) if credential else ()))
    problems.collect(partial(_refuse_token, texts, forms))
    described = None
    if file and paths:
        reader = _ServiceReader(request, workspace, config, paths, current, credential, forms)
        described = problems.collect(reader.read)
    problems.check()
    assert options
    assert current
    assert described
    permission = gate.grant(options, current, has_credential=credential is not None)
    withheld = _withhold(request, workspace, config, options, current) if credential else None
    if withheld and permission.push and options.command.writes and not options.dry_run:
        raise withheld
    return Inputs(
        settings=options,
        run=current,
        permission=permission,
        credential=None if withheld else credential,
        services=described.services,
        all_services=described.all_services,
        variables=described.variables,
        github_api=github_api(request.environ),
        warnings=(*unread, *((str(withheld),) if withheld else ()), *described.warnings),
        file_secrets=described.file_secrets,
    )


def _withhold(
    request: Request,
    workspace: Workspace,
    config: Config | None,
    options: Settings,
    current: Run,
) -> Failure | None:
    """Why the credential is not sent to the registry, if only a file of the checkout names it.

    What is checked out is data: it decides where a credential goes only in a run that may push, and
    only as it was committed.
    """
    is_from_file = config and "registry" in config.policy and "registry" not in request.given
    if not config or not is_from_file or options.registry.is_docker_hub or not current.in_runner:
        return None
    if not _may_push(request, current):
        why = "no input lets this run push"
    elif current.foreign:
        why = "what is checked out is not this run's commit"
    elif not workspace.is_committed(config.name):
        why = "the file is not as it was committed"
    else:
        return None
    return Failure(
        Kind.INPUT,
        f"{config.name} names the registry {options.registry}, and {why}: the credential is not "
        "sent there.",
        "Name the registry in the input registry.",
    )


def _may_push(request: Request, current: Run) -> bool:
    """Whether the workflow, or GitHub, lets this run push; a file of the checkout is not asked."""
    branches = request.given.get("branches") or current.default_branch
    stated = {"branches": branches, "git_tags": request.given.get("git_tags", "")}
    return gate.permit(settings.parse(stated), current).push


def _refuse_token(texts: Mapping[str, str], forms: Iterable[str]) -> None:
    """Refuse a text that holds the credential in one of its forms. ``texts``: by their places."""
    for where, text in texts.items():
        if any(credentials.holds(text, form) for form in forms):
            raise Failure(
                Kind.INPUT,
                f"{where} holds the registry token.",
                "Remove it there and revoke the token: it may be in an image or a log.",
            )


@dataclass(frozen=True, slots=True)
class _File:
    """What was looked for as ``feastflow.yml``, and what it says, if it is there."""

    config: Config | None


def _read_file(request: Request, workspace: Workspace, texts: dict[str, str]) -> _File | None:
    """Read the file of services and policy; nothing, if its name is no path."""
    given = request.given.get("config", "").strip()
    try:
        name = grammar.relative_path(given or config_file.NAME)
    except Failure:
        return None  # The settings say so.
    content = workspace.read(name, most=_LARGEST_FILE)
    if content is None and given:
        raise Failure(
            Kind.INPUT,
            f'input "config": there is no file {name!r}.',
            "Give its path relative to the top folder, or run `feastflow-registry init`.",
        )
    if content is None:
        return _File(None)
    text = content.decode("utf-8", "replace")
    _refuse_token({name: text}, [request.token])
    config = config_file.read(name, content)
    texts[config.name] = text
    return _File(config)


def _read_paths(given: Mapping[str, str]) -> Settings | None:
    """The settings that name files alone, if these are sound."""
    with suppress(Failure):
        return settings.parse({name: given.get(name, "") for name in ("context", "dockerfile")})
    return None


def _read_run(request: Request, workspace: Workspace, main: str) -> Run:
    checkout = workspace.checkout(main)
    if not request.in_runner:
        return run.from_checkout(checkout)
    payload = _read_payload(request.environ.get("GITHUB_EVENT_PATH", ""))
    described = run.from_runner(request.environ, payload, checkout)
    if described.ref.kind is RefKind.TAG:
        commit = workspace.peel(described.checkout)
        described = replace(described, commit=commit, checkout=commit)
    return replace(described, foreign=checkout.head != described.checkout)


def _read_payload(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_PAYLOAD_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class _Described:
    services: tuple[Service, ...]
    all_services: tuple[Service, ...]
    variables: Mapping[str, str]
    file_secrets: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _ServiceReader:
    """Reads the services, by whatever describes them. ``forms``: texts that no secret may hold."""

    request: Request
    workspace: Workspace
    config: Config | None
    settings: Settings
    run: Run | None
    credential: Credential | None
    forms: Iterable[str]

    def read(self) -> _Described:
        """Read and check them. Raises all that is wrong with them at once."""
        source = self._describe()
        services = source.build(self.settings, self._namespace) if source else (self._single(),)
        where = source.where if source else _input
        problems = list(check_together(services, where))
        variables: dict[str, str] = {}
        contents: list[str] = []
        if self.settings.command.builds:
            problems += self.workspace.check_files(services, where)
            problems += check_options(services, self.settings)
            problems += self._read_secrets(services, where, variables, contents)
        chosen: tuple[Service, ...] = ()
        try:
            chosen = select(services, self.settings.services)
        except Failure as failure:
            problems += failure.problems
        if problems:
            raise Failure.of(Kind.INPUT, problems)
        bounded = {each.name: self._bounded(each, variables) for each in services}
        chosen = tuple(bounded[each.name] for each in chosen)
        lost = [each.name for each in services if each.check and not bounded[each.name].check]
        warnings = (f"The check of {some(lost)} is not run here: name it in the input check.",)
        return _Described(
            chosen,
            tuple(bounded.values()),
            variables,
            tuple(contents),
            warnings if lost and self.settings.command.builds else (),
        )

    def _bounded(self, service: Service, variables: Mapping[str, str]) -> Service:
        """The service with what this run may give it; a build may do without some secrets."""
        secrets = [each for each in service.secrets if each.file or each.variable in variables]
        ssh = service.ssh if self._is_trusted else ()
        check = service.check if self._runs_own_code else self.request.given.get("check", "")
        return replace(service, secrets=tuple(secrets), ssh=ssh, check=check)

    @property
    def _namespace(self) -> str:
        owner = self.run.repository.rpartition("/")[0].lower() if self.run else ""
        given = self.request.given.get("username")
        login = self.credential.username if self.credential and not given else ""
        user = self.settings.username or login
        if user and not self.settings.namespace and not credentials.is_name(user):
            raise credentials.no_namespace(self.settings.registry, user)
        return self.settings.namespace or user or owner or "local"

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
                    contents += [value][: self._is_trusted]
                problem = self._forbid(secret, value)
                if problem:
                    place = f"{where(service.name, 'secrets')}: the secret {secret.id}"
                    yield Problem(f"{place} {problem.cause}", problem.fix)
                elif secret.variable and self._is_trusted:
                    variables[secret.variable] = value

    def _forbid(self, secret: Secret, value: str) -> Problem | None:
        """Why a build may not have a secret, or cannot; a run that may not push gives none."""
        variable = secret.variable
        if variable in TOKENS or any(credentials.holds(value, form) for form in self.forms):
            return Problem(
                "is this program's own token, which no build may have.",
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
                f"names the variable {variable}, which the workflow does not offer.",
                f"Set the input secret-variables to {variable}.",
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
        return is_own and _may_push(self.request, self.run)

    @property
    def _runs_own_code(self) -> bool:
        """Whether a command of a file may run on this machine: not beside a job's secrets."""
        if self._is_trusted or not self.run or self.run.event in gate.UNPRIVILEGED:
            return True
        return self.run.event in gate.ALLOWED_EVENTS and not self.run.foreign

    @property
    def _in_runner(self) -> bool:
        return bool(self.run and self.run.in_runner)


def _input(service: str, key: str) -> str:
    """Where the one service that the inputs describe has a key."""
    del service
    return f'input "{option(key)}"'
