"""Reading one run's inputs from the environment it is handed, and checking them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from feastflow_registry.commands.request import Request, Workspace
from feastflow_registry.commands.service_inputs import LARGEST_FILE, ServiceReader, may_push
from feastflow_registry.config import caches, grammar, places, settings
from feastflow_registry.config import file as config_file
from feastflow_registry.config.command_line import github_api
from feastflow_registry.config.file import Config
from feastflow_registry.config.filter_patterns import is_literal
from feastflow_registry.config.input_names import InputNames
from feastflow_registry.config.selectors import lower_repository
from feastflow_registry.config.settings import Settings, option
from feastflow_registry.model import credentials, run
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind, Problems
from feastflow_registry.model.plan import Permission
from feastflow_registry.model.references import RegistryHost
from feastflow_registry.model.run import RefKind, Run
from feastflow_registry.model.services import Service
from feastflow_registry.model.wording import lower_ascii
from feastflow_registry.tags import gate

_PAYLOAD_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one run, checked.

    ``services``: those to work on, each on the first registry; ``also``: the same on the others;
    ``also_credentials``: what these know us by; ``all_services``: also those that services may be
    built from; ``variables`` and ``file_secrets``: the values of the build secrets;
    ``cache_service``: how builds reach GitHub's cache; ``github_api``: the address of GitHub's REST
    API; ``notices`` and ``warnings``: what has to be said aloud; ``doubts``: that, too, and why
    the run would be refused where it may push and is no dry run.
    """

    settings: Settings
    run: Run
    permission: Permission
    credential: Credential | None
    services: tuple[Service, ...]
    all_services: tuple[Service, ...]
    variables: Mapping[str, str] = field(repr=False)
    github_api: str
    notices: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    file_secrets: tuple[str, ...] = field(default=(), repr=False)
    cache_service: Mapping[str, str] = field(default_factory=dict, repr=False)
    also: tuple[Service, ...] = ()
    also_credentials: Mapping[RegistryHost, Credential] = field(default_factory=dict)

    @property
    def credentials(self) -> Mapping[RegistryHost, Credential]:
        """What the registries that are pushed to know us by."""
        own = {self.settings.registry: self.credential} if self.credential else {}
        return {**own, **self.also_credentials}


_REPOSITORIES: Mapping[str, Callable[[str], str]] = {
    "namespace": lower_ascii,
    "image": lower_ascii,
    "tag": lower_repository,
    "keep": lower_repository,
    "also": lower_repository,
}
"""The inputs that name repositories, and how each item is written in lower case."""


def read(request: Request, workspace: Workspace, names: InputNames) -> Inputs:
    """Read and check everything. Raises one input failure with all that is wrong.

    ``names`` learns which inputs a file has given.
    """
    texts = {f'input "{option(name)}"': value for name, value in request.given.items()}
    problems = Problems()
    others = problems.collect(partial(credentials.read_several, request.also_credentials)) or {}
    # Alone, and before any other problem that would show the value.
    _refuse_token(texts, [request.token, *(each.token for each in others.values())])
    lowered, notices = _lower(request.given)
    request = replace(request, given=lowered)
    file = problems.collect(partial(_read_file, request, workspace, texts))
    config = file.config if file else None
    policy = config.policy if config else {}
    if config:
        names.learn(config.name, policy.keys() - request.given.keys())
    options = problems.collect(partial(settings.parse, request.given, policy))
    # The files can be checked all the same, if their own names are sound.
    paths = options or _read_paths(request.given)
    readable = paths or settings.parse({})
    credential = problems.collect(
        partial(Credential.parse, request.given.get("username", ""), request.token)
    )
    is_named = "branches" in {*request.given, *policy}
    named = readable.main if is_named else ""
    current = problems.collect(partial(_read_run, request, workspace, named))
    main = current.default_branch if current else ""
    if options and main and is_literal(main) and not is_named:
        options = options.model_copy(update={"branches": (main,)})
    unread: tuple[str, ...] = ()
    if current and not credential and not request.token:
        credential, unread = _kept(workspace, readable)
    if options:
        problems.found += credentials.unnamed(others, places.hosts(options))
    forms = (
        request.token,
        *(credential.forms(readable.registry) if credential else ()),
        *chain.from_iterable(each.forms(host) for host, each in others.items()),
    )
    problems.collect(partial(_refuse_token, texts, forms))
    service = problems.collect(partial(caches.read_service, request.cache_token)) or {}
    described = None
    if file and paths:
        described = problems.collect(
            ServiceReader(
                request, workspace, config, paths, current, credential, forms, service
            ).read
        )
    if described and options:
        problems.found += places.check(described.all_services, options)
    problems.check()
    assert options
    assert current
    assert described
    if not described.cache_service:
        options = caches.without_github(options)
    options = options.model_copy(update={"builder": described.builder})
    permission = gate.grant(options, current, has_credential=credential is not None)
    writes = permission.push and options.command.writes and not options.dry_run
    if writes:
        others = _log_in(others, options, workspace, current)
    withheld = _withhold(request, workspace, config, options, current) if credential else None
    if withheld and writes:
        raise withheld
    first, also = places.of(described.services, options)
    return Inputs(
        settings=options,
        run=current,
        permission=permission,
        credential=None if withheld else credential,
        services=first,
        all_services=described.all_services,
        variables=described.variables,
        github_api=github_api(request.environ),
        notices=notices,
        doubts=(*_doubts(options, current), *([str(withheld)] if withheld else [])),
        warnings=(*unread, *described.warnings),
        file_secrets=described.file_secrets,
        cache_service=described.cache_service,
        also=also,
        also_credentials=others,
    )


def _log_in(
    given: Mapping[RegistryHost, Credential], options: Settings, workspace: Workspace, current: Run
) -> Mapping[RegistryHost, Credential]:
    """What the other registries know us by: given, or kept by ``docker login``."""
    found: dict[RegistryHost, Credential] = {}
    for host in places.hosts(options):
        credential = given.get(host) or workspace.login(host, "")
        if credential is None:
            raise credentials.missing(host, in_runner=current.in_runner, is_first=False)
        found[host] = credential
    return found


def _kept(workspace: Workspace, options: Settings) -> tuple[Credential | None, tuple[str, ...]]:
    """What ``docker login`` has kept; why it could not be read is told to who needs it."""
    try:
        return workspace.login(options.registry, options.username), ()
    except Failure as failure:
        return None, (str(failure),)


def _doubts(options: Settings, current: Run) -> tuple[str, ...]:
    """Why what a dry run promises would be refused."""
    try:
        if options.dry_run and options.command.builds:
            gate.check_source(current)
    except Failure as failure:
        return (str(failure),)
    return ()


def _lower(given: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Write the repositories that inputs name in lower case, and say which were not.

    Expressions such as ``github.repository_owner`` have capitals, and cannot be lowered in a
    workflow. No registry has a repository that is meant by them.
    """
    lowered, notices = dict(given), []
    for name, lower in _REPOSITORIES.items():
        items = grammar.split_items(given.get(name, ""))
        changed = [each for each in items if each != lower(each)]
        if changed:
            lowered[name] = "\n".join(map(lower, items))
            said = ", ".join(f"{each} is taken as {lower(each)}" for each in changed)
            notices.append(f'input "{name}": {said}, for repositories are lowercase.')
    return lowered, tuple(notices)


def _withhold(
    request: Request,
    workspace: Workspace,
    config: Config | None,
    options: Settings,
    current: Run,
) -> Failure | None:
    """Why the credential is not sent to the registry, if only a file of the checkout names it.

    What is checked out is data: it decides where a credential goes only in a run that may push, and
    only as it was committed. By hand, it may be anybody's: what ``docker login`` has kept for that
    very registry goes there, and no variable.
    """
    is_from_file = config and "registry" in config.policy and "registry" not in request.given
    if not config or not is_from_file or options.registry.is_docker_hub:
        return None
    if not current.in_runner:
        return _of_variable(config.name, options.registry) if request.token else None
    if not may_push(request, current):
        why = "the inputs of the workflow do not let this run push"
    elif current.foreign:
        why = "what is checked out is not this run's commit"
    elif not workspace.is_committed(config.name):
        why = "the file is not as it was committed"
    else:
        return None
    return Failure(
        Kind.INPUT,
        f"{config.name} names the registry {options.registry}, and {why}, so the credential is not "
        "sent there.",
        'Name the registry in the input "registry".',
        see="registry-of-a-file",
    )


def _of_variable(name: str, host: RegistryHost) -> Failure:
    return Failure(
        Kind.INPUT,
        f"{name} names the registry {host}, and a token from a variable is sent only to a registry "
        "that you name yourself.",
        f"Give --registry {host}, or unset the variable and run `docker login {host}`.",
        see="registry-of-a-file",
    )


def _refuse_token(texts: Mapping[str, str], forms: Iterable[str]) -> None:
    """Refuse a text that holds the credential in one of its forms. ``texts``: by their places."""
    for where, text in texts.items():
        if any(credentials.holds(text, form) for form in forms):
            raise Failure(
                Kind.INPUT,
                f"{where} holds the registry token.",
                "Remove it there, and revoke the token: it may be in an image or in a log.",
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
    content = workspace.read(name, most=LARGEST_FILE)
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
