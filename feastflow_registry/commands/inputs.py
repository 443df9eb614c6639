"""Reading one run's inputs from the environment it is handed, and checking them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from feastflow_registry.builder import docker_login
from feastflow_registry.builder.bake_print import BakeFile
from feastflow_registry.config import compose, grammar, settings, strict_yaml
from feastflow_registry.config import file as config_file
from feastflow_registry.config.command_line import TOKENS, child_environ
from feastflow_registry.config.file import Config
from feastflow_registry.config.settings import Settings, check_options, option
from feastflow_registry.git.clone import Git
from feastflow_registry.git.worktree import check_files, read_file
from feastflow_registry.model import credentials
from feastflow_registry.model import run as contexts
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind, Problem, gather
from feastflow_registry.model.run import DEPENDABOT, Context, RefKind
from feastflow_registry.model.services import Service, Where, check_together, select
from feastflow_registry.tags import gate

_SECRET_LIMIT = 1024 * 1024
_PAYLOAD_LIMIT = 32 * 1024 * 1024


@dataclass
class Intake:
    """The inputs of one run: read, checked together, and the secrets kept apart.

    ``hidden``: variables that no child may see, of which a build secret may name some;
    ``described``, ``readable``: whether the file and the settings are sound enough to go on;
    ``all_services``: every service that is described, ``services``: those to work on;
    ``variables``: the values of the build secrets that are variables.
    """

    environ: Mapping[str, str]
    inputs: dict[str, str]
    folder: Path
    token: str = field(default="", repr=False)
    github_token: str = field(default="", repr=False)
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    config: Config | None = None
    config_text: str = field(default="", repr=False)
    described: bool = False
    settings: Settings = field(default_factory=lambda: settings.parse({}))
    readable: bool = False
    context: Context | None = None
    credential: Credential | None = None
    all_services: tuple[Service, ...] = ()
    services: tuple[Service, ...] = ()
    variables: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def in_runner(self) -> bool:
        """Whether GitHub Actions, and not a person, runs this."""
        return self.environ.get("GITHUB_ACTIONS") == "true"

    @property
    def git(self) -> Git:
        """The working copy."""
        return Git(self.folder, child_environ(self.environ))

    def check(self) -> Context:
        """Read everything; raises one failure with all that is wrong."""
        self._refuse_token()
        gather(
            self._read_config,
            self._read_settings,
            self._read_credential,
            self._read_context,
            self._refuse_password,
            self._read_services,
        )
        if self.context is None:  # Unreachable: gather raises what kept it from being read.
            raise AssertionError
        return self.context

    def _refuse_token(self) -> None:
        """Refuse it in any other input, alone: every other problem would show the value."""
        for name, value in self.inputs.items():
            if self._gives_away(value):
                raise _found_token(f'input "{option(name)}"')

    def _refuse_password(self) -> None:
        """Refuse what `docker login` has kept, too, once it is known."""
        self._refuse_token()
        if self.config and self._gives_away(self.config_text):
            raise _found_token(self.config.name)

    def _gives_away(self, text: str) -> bool:
        """Whether a text holds the credential in one of its forms."""
        known = self.credential.forms(self.settings.registry) if self.credential else ()
        return any(credentials.holds(text, form) for form in (self.token, *known))

    def _read_config(self) -> None:
        """Read the file of services and policy, if there is one."""
        given = self.inputs.get("config", "").strip()
        try:
            name = grammar.relative_path(given or config_file.NAME)
        except Failure:
            return  # The settings say so.
        content = read_file(self.folder, name, most=strict_yaml.LARGEST + 1)
        if content is None and given:
            raise Failure(
                Kind.INPUT,
                f'input "config": there is no file {name!r}.',
                "Give its path relative to the top folder, or run `feastflow-registry init`.",
            )
        if content is not None:
            self.config_text = content.decode("utf-8", "replace")
            if self._gives_away(self.config_text):
                raise _found_token(name)
            self.config = config_file.read(name, content)
        self.described = True

    def _read_settings(self) -> None:
        policy = self.config.policy if self.config else {}
        try:
            self.settings = settings.parse(self.inputs, policy)
        except Failure:
            # The files can be checked all the same, if these are sound.
            paths = {name: self.inputs.get(name, "") for name in ("context", "dockerfile")}
            with suppress(Failure):
                self.settings = settings.parse(paths)
                self.readable = True
            raise
        self.readable = True

    def _read_credential(self) -> None:
        self.credential = Credential.parse(self.inputs.get("username", ""), self.token)

    def _read_context(self) -> None:
        checkout = self.git.checkout(self.settings.main)
        if self.in_runner:
            payload = _read_payload(self.environ.get("GITHUB_EVENT_PATH", ""))
            context = contexts.from_runner(self.environ, payload, checkout)
            if context.ref.kind is RefKind.TAG:
                commit = self.git.peel(context.checkout)
                context = replace(context, commit=commit, checkout=commit)
            self.context = context
        else:
            self.context = contexts.from_checkout(checkout)
            if not self.credential:
                self.credential = docker_login.from_login(
                    self.settings.registry, self.settings.username
                )

    def _read_services(self) -> None:
        if not (self.described and self.readable):
            return
        known = self.context.repository if self.context else ""
        owner, _, name = known.rpartition("/")
        login = (
            "" if self.inputs.get("username") or not self.credential else self.credential.username
        )
        namespace = self.settings.username or login or owner.lower() or "local"
        source = self._describe()
        if source:
            self.all_services = source.build(self.settings, namespace)
        else:
            image = name or self.folder.resolve().name
            self.all_services = (self.settings.service(namespace=namespace, image=image),)
        where = source.where if source else _input
        problems = list(check_together(self.all_services, where))
        if self.settings.command.builds:
            problems += check_files(self.folder, self.all_services, where)
            problems += check_options(self.all_services, self.settings)
            problems += self._read_secrets(where)
        try:
            self.services = select(self.all_services, self.settings.services)
        except Failure as failure:
            problems += failure.problems
        if problems:
            raise Failure.of(Kind.INPUT, problems)
        self.all_services = tuple(map(self._without_missing, self.all_services))
        self.services = tuple(map(self._without_missing, self.services))

    def _describe(self) -> Config | None:
        """Who describes the services, if more than the inputs do."""
        if self.config and self.config.services:
            config_file.refuse_mixed(self.config, self.inputs)
            return self.config
        if self.settings.services_from:
            name = self.settings.services_from
            content = read_file(self.folder, name, most=strict_yaml.LARGEST + 1)
            compose.refuse_alike(name, content or b"")
            self._refuse_variables(name, content or b"")
            file = BakeFile(self.folder, child_environ(self.environ))
            found = compose.read(name, str(self.folder.resolve()), file.print)
            config_file.refuse_mixed(found, self.inputs)
            return found
        return None

    def _refuse_variables(self, name: str, content: bytes) -> None:
        """Refuse what Compose would read beside its file, and no commit would tell of."""
        path = str(PurePosixPath(name).parent / ".env")
        if b"$" in content and (self.folder / path).exists() and not self.git.tracks(path):
            raise Failure(
                Kind.INPUT,
                f"{name} takes variables from {path}, which is not tracked.",
                "Commit it or move it away: nobody could tell from the commit what was built.",
            )

    def _read_secrets(self, where: Where) -> Iterator[Problem]:
        """Take the values of the build secrets; none may be the registry's own token."""
        values = {**self.environ, **self.hidden}
        for service in self.all_services:
            for secret in service.secrets:
                value = values.get(secret.variable, "")
                if secret.file:
                    with suppress(Failure):
                        content = read_file(self.folder, secret.file, most=_SECRET_LIMIT) or b""
                        value = content.decode("utf-8", "replace")
                place = f"{where(service.name, 'secrets')}: the secret {secret.id}"
                if secret.variable in TOKENS or self._gives_away(value):
                    yield Problem(
                        f"{place} is this program's own token, which no build may have.",
                        "Give the build a credential of its own.",
                    )
                elif secret.variable and value:
                    self.variables[secret.variable] = value
                elif secret.variable and self._may_push:
                    yield Problem(
                        f"{place} names the variable {secret.variable}, which is not set.",
                        "Set it in the step's env, from a secret of the repository.",
                    )

    @property
    def _may_push(self) -> bool:
        """Whether this run is trusted; a fork's and Dependabot's are given no secrets."""
        if not self.context:
            return True
        trusted = not self.context.in_runner or self.context.actor != DEPENDABOT
        return gate.permit(self.settings, self.context).push and trusted

    def _without_missing(self, service: Service) -> Service:
        """Leave a secret out that this run was not given: the build may do without."""
        known = [each for each in service.secrets if each.file or each.variable in self.variables]
        return replace(service, secrets=tuple(known))


def _input(service: str, key: str) -> str:
    """Where the one service that the inputs describe has a key."""
    del service
    return f'input "{option(key)}"'


def _found_token(where: str) -> Failure:
    return Failure(
        Kind.INPUT,
        f"{where} holds the registry token.",
        "Remove it there and revoke the token: it may be in an image or a log.",
    )


def _read_payload(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_PAYLOAD_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
