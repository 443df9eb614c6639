"""Reading one run's inputs from the environment it is handed, and checking them together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from feastflow_registry import context as contexts
from feastflow_registry import credentials, settings
from feastflow_registry.context import Context, RefKind
from feastflow_registry.credentials import Credential
from feastflow_registry.errors import Failure, Kind, gather
from feastflow_registry.git import Git
from feastflow_registry.services import Service
from feastflow_registry.settings import Settings, option
from feastflow_registry.workspace import check_files

PREFIX = "FEASTFLOW_"
_PAYLOAD_LIMIT = 32 * 1024 * 1024
_CHILD_SEES = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TERM|XDG_\w+|SSH_AUTH_SOCK|"
    r"SSL_CERT_(?:FILE|DIR)|GIT_SSL_CAINFO|CURL_CA_BUNDLE|(?:https?|no|all)_proxy|"
    r"DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|TLS_VERIFY)|BUILDX_(?:CONFIG|BUILDER)",
    re.IGNORECASE,
)


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What the programs that this one starts may see: what they need, and no secret."""
    seen = {name: value for name, value in environ.items() if _CHILD_SEES.fullmatch(name)}
    return {**seen, "GIT_TERMINAL_PROMPT": "0", "DOCKER_CLI_HINTS": "false"}


@dataclass
class Intake:
    """The inputs of one run: read, checked together, and the secrets kept apart."""

    environ: Mapping[str, str]
    inputs: dict[str, str]
    folder: Path
    token: str = field(default="", repr=False)
    github_token: str = field(default="", repr=False)
    settings: Settings = field(default_factory=lambda: settings.parse({}))
    readable: bool = False
    context: Context | None = None
    credential: Credential | None = None
    services: tuple[Service, ...] = ()

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
        gather(self._read_settings, self._read_credential, self._read_context, self._read_services)
        if self.context is None:  # Unreachable: gather raises what kept it from being read.
            raise AssertionError
        return self.context

    def _refuse_token(self) -> None:
        """Refuse it in any other input, alone: every other problem would show the value."""
        for name, value in self.inputs.items():
            if credentials.holds(value, self.token):
                raise Failure(
                    Kind.INPUT,
                    f'input "{option(name)}" holds the registry token.',
                    "Remove it there and revoke the token: it may be in an image or a log.",
                )

    def _read_settings(self) -> None:
        try:
            self.settings = settings.parse(self.inputs)
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
                self.credential = credentials.from_login(
                    self.settings.registry, self.settings.username
                )

    def _read_services(self) -> None:
        if not self.readable:
            return
        known = self.context.repository if self.context else ""
        owner, _, name = known.rpartition("/")
        login = (
            "" if self.inputs.get("username") or not self.credential else self.credential.username
        )
        username = self.settings.username or login
        service = self.settings.service(
            namespace=username or owner.lower() or "local",
            image=name or self.folder.resolve().name,
        )
        check_files(self.folder, [service])
        self.services = (service,)


def _read_payload(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_PAYLOAD_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def find_folder(environ: Mapping[str, str], here: Path) -> Path:
    """The top of the working copy: the runner's workspace, or the one around this folder."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE"):
        return Path(environ["GITHUB_WORKSPACE"])
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), here)


def merge(given: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    """Merge the inputs: an option (``given``) beats a variable."""
    found = {"username": environ.get("DOCKERHUB_USERNAME", "").strip()}
    for name in Settings.model_fields:
        value = environ.get(f"{PREFIX}{name.upper()}", "")
        value = given.get(name) or value
        if value.strip():
            found[name] = value
    return found
