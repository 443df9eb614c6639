"""The composition root: the only reader of the environment and of the clock.

It reads the inputs, gathers everything that is wrong with them, wires the real adapters into an
``App``, and turns what comes back into outputs, a summary and an exit code.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TextIO

from feastflow_registry import context as contexts
from feastflow_registry import credentials, report, settings, workflow
from feastflow_registry.app import App
from feastflow_registry.context import Context
from feastflow_registry.credentials import Credential
from feastflow_registry.errors import Failure, Kind, gather
from feastflow_registry.git import Git
from feastflow_registry.http import Client
from feastflow_registry.ports import History
from feastflow_registry.references import is_loopback
from feastflow_registry.settings import Command, Service, Settings, option
from feastflow_registry.terminal import TerminalLog
from feastflow_registry.workflow import RunnerLog
from feastflow_registry.workspace import check_files

_PREFIX = "FEASTFLOW_"
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
    token: str = field(repr=False)
    settings: Settings = field(default_factory=lambda: settings.parse({}))
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
        gather(
            self._read_settings, self._read_credential, self._read_context, self._read_services
        )
        if self.context is None:  # Unreachable: gather raises what kept it from being read.
            raise AssertionError
        return self.context

    def _read_settings(self) -> None:
        self.settings = settings.parse(self.inputs)

    def _read_credential(self) -> None:
        self.credential = Credential.parse(self.inputs.get("username", ""), self.token)
        for name, value in self.inputs.items():
            if self.credential and self.credential.is_in(value):
                raise Failure(
                    Kind.INPUT,
                    f'input "{option(name)}" holds the registry token.',
                    "Remove it there and revoke the token: it may be in an image or a log.",
                )

    def _read_context(self) -> None:
        checkout = self.git.checkout(self.settings.main)
        if self.in_runner:
            payload = _read_payload(self.environ.get("GITHUB_EVENT_PATH", ""))
            self.context = contexts.from_runner(self.environ, payload, checkout)
        else:
            self.context = contexts.from_checkout(checkout)
            if not self.credential:
                self.credential = credentials.from_login(
                    self.settings.registry, self.settings.username
                )

    def _read_services(self) -> None:
        known = self.context.repository if self.context else ""
        owner, _, name = known.rpartition("/")
        username = self.settings.username or (self.credential.username if self.credential else "")
        service = self.settings.service(
            namespace=username or owner.lower() or "local",
            image=name or self.folder.resolve().name,
        )
        check_files(self.folder, [service])
        self.services = (service,)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is the failure's kind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _parser().parse_args(argv)
    environ = dict(os.environ)
    token = environ.get(f"{_PREFIX}TOKEN") or environ.get("DOCKERHUB_TOKEN", "")
    hidden = [name for name, value in environ.items() if token and token in value]
    hidden += [name for name in environ if name.endswith("_TOKEN")]
    credentials.erase(hidden)
    for name in hidden:
        os.environ.pop(name, None)
    intake = Intake(environ, _inputs(arguments, environ), _folder(environ), token)
    stream = sys.stderr if arguments.json else sys.stdout
    try:
        return _run(intake, stream, as_json=arguments.json)
    except KeyboardInterrupt:
        return 130


def _run(intake: Intake, stream: TextIO, *, as_json: bool) -> int:
    log = _log(intake, stream)
    if isinstance(log, RunnerLog) and intake.token:
        log.mask([intake.token])
    app: App | None = None
    try:
        context = intake.check()
        app = _wire(intake, context, log)
        if isinstance(log, RunnerLog) and app.credential:
            log.mask(app.credential.forms(intake.settings.registry))
        pushed = app.run()
    except Failure as failure:
        for problem in failure.problems:
            log.error(problem.cause, problem.fix)
        if app and app.plan:
            for line in report.standing(app.plan, app.outcomes):
                log.say(line)
            _publish_report(app, intake.environ, pushed=False, failure=failure)
        return failure.kind
    except Exception:  # noqa: BLE001  A defect of ours: say so, in one place.
        log.error("this program has a defect.", "Report it with the traceback below.")
        for line in traceback.format_exc().splitlines():
            log.quote(line)
        return 1
    if app.plan:
        _publish_report(app, intake.environ, pushed=pushed, failure=None)
        if as_json:
            print(report.plan_json(app.plan))
        for line in report.closing(app.plan, report.results(app.plan, app.outcomes)):
            log.say(line)
    return 0


def _publish_report(
    app: App, environ: Mapping[str, str], *, pushed: bool, failure: Failure | None
) -> None:
    """Write the step's outputs and the job summary, where a runner wants them."""
    if app.plan is None:
        return
    found = report.results(app.plan, app.outcomes)
    output, summary = environ.get("GITHUB_OUTPUT"), environ.get("GITHUB_STEP_SUMMARY")
    if output and app.context.in_runner:
        outputs = report.outputs(app.plan, found, pushed=pushed)
        workflow.write_outputs(Path(output), outputs, secrets.token_hex)
    if summary and app.context.in_runner:
        text = report.summary(app.plan, found, app.outcomes, failure)
        workflow.write_summary(Path(summary), text)


def _wire(intake: Intake, context: Context, log: RunnerLog | TerminalLog) -> App:
    http = Client(
        clock=time.monotonic, wall=time.time, sleep=time.sleep, jitter=random.random
    )
    github_token = intake.environ.get(f"{_PREFIX}GITHUB_TOKEN", "")

    def reach() -> History:
        """GitHub's own word in a runner; by hand, what the git remote says."""
        if not context.in_runner:
            return intake.git
        from feastflow_registry.github_api import GitHubHistory  # noqa: PLC0415  Slow to import.

        return GitHubHistory(
            api_url=_api_url(intake.environ), repository=context.repository, token=github_token
        )

    return App(
        settings=intake.settings,
        context=context,
        services=intake.services,
        credential=intake.credential,
        workspace=intake.folder,
        environ=child_environ(intake.environ),
        git=intake.git,
        http=http,
        reach=reach,
        log=log,
    )


def _log(intake: Intake, stream: TextIO) -> RunnerLog | TerminalLog:
    if intake.in_runner:
        return RunnerLog(stream, secrets.token_hex)
    return TerminalLog(stream, colour=stream.isatty() and not intake.environ.get("NO_COLOR"))


def _api_url(environ: Mapping[str, str]) -> str:
    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    host = re.match(r"http://([^/:]+|\[[^\]]+\])", url)
    if url.startswith("https://") or (host and is_loopback(host[1])):
        return url
    raise Failure(
        Kind.INPUT,
        f"the variable GITHUB_API_URL is {url[:80]!r}, which is not an https address.",
        "Leave it as the runner sets it.",
    )


def _read_payload(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_PAYLOAD_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def _folder(environ: Mapping[str, str]) -> Path:
    """The top of the working copy: the runner's workspace, or the one around this folder."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE"):
        return Path(environ["GITHUB_WORKSPACE"])
    here = Path.cwd()
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), here)


def _inputs(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Merge the inputs: an option beats a variable. ``DOCKERHUB_USERNAME`` is the user's name."""
    found = {"username": environ.get("DOCKERHUB_USERNAME", "").strip()}
    for name in Settings.model_fields:
        value = environ.get(f"{_PREFIX}{name.upper()}", "")
        given = getattr(arguments, name, None)
        if given is not None:
            value = given
        if value.strip():
            found[name] = value
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feastflow-registry",
        description="Publish container images from a commit, and prove what is on the registry.",
        epilog="The token comes from DOCKERHUB_TOKEN or `docker login`, never from an option.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    known = [each.value for each in Command]
    parser.add_argument("command", nargs="?", help=f"{', '.join(known)} (default: publish)")
    parser.add_argument("username", nargs="?", help="the registry's user")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    for name, each in Settings.model_fields.items():
        if name not in ("command", "username"):
            flag, text = f"--{option(name)}", each.description
            if each.annotation is bool:
                parser.add_argument(flag, metavar="BOOL", help=text, nargs="?", const="true")
            else:
                parser.add_argument(flag, metavar="VALUE", help=text)
    return parser


def _version() -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("feastflow-registry")
    return "(run from source)"


