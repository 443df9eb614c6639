"""The composition root: the only reader of the environment and of the clock.

It reads the inputs, gathers everything that is wrong with them, wires the real adapters into an
``App``, and turns what comes back into outputs, a summary and an exit code.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

from feastflow_registry.commands import init
from feastflow_registry.commands.app import App
from feastflow_registry.commands.deploy import Deploying
from feastflow_registry.commands.examining import Examination
from feastflow_registry.commands.inputs import Intake
from feastflow_registry.commands.promote import Promotion
from feastflow_registry.commands.prune import Pruning
from feastflow_registry.commands.publish import Publishing
from feastflow_registry.commands.restoring import Rollback
from feastflow_registry.commands.tags import Browsing
from feastflow_registry.config import command_line
from feastflow_registry.config.command_line import PREFIX, child_environ, find_folder, merge
from feastflow_registry.model import credentials
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import Command
from feastflow_registry.model.ports import History, Statuses
from feastflow_registry.model.references import is_loopback
from feastflow_registry.model.run import Context
from feastflow_registry.registry.http import Client
from feastflow_registry.report import markdown, runner
from feastflow_registry.report.results import Answer
from feastflow_registry.report.runner import RunnerLog
from feastflow_registry.report.terminal import TerminalLog

_PR_SET_DUMPABLE = 4
_COMMANDS: Mapping[Command, Callable[[App], Task]] = {
    Command.PUBLISH: Publishing,
    Command.BUILD: Publishing,
    Command.PUSH: Publishing,
    Command.PROMOTE: Promotion,
    Command.ROLLBACK: Rollback,
    Command.DEPLOY: Deploying,
    Command.TAGS: Browsing,
    Command.PRUNE: Pruning,
    Command.DOCTOR: Examination,
}


class Task(Protocol):
    """A command, ready to run."""

    def run(self) -> Answer:
        """Carry it out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is the failure's kind."""
    shield()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    words = command_line.read(sys.argv[1:] if argv is None else argv, _version)
    environ = dict(os.environ)
    token = environ.get(f"{PREFIX}TOKEN") or environ.get("DOCKERHUB_TOKEN", "")
    github_token = environ.get(f"{PREFIX}GITHUB_TOKEN", "")
    inputs = merge(words.given, environ)
    hidden: dict[str, str] = {}
    for name, value in tuple(environ.items()):
        if name.endswith("_TOKEN") or credentials.holds(value, token):
            erase(name)
            hidden[name] = environ.pop(name)
            del os.environ[name]
    folder = find_folder(environ, Path.cwd())
    intake = Intake(environ, inputs, folder, token, github_token, hidden)
    stream = sys.stderr if words.json else sys.stdout
    http = Client(clock=time.monotonic, wall=time.time, sleep=time.sleep, jitter=random.random)
    if words.problem:
        _log(intake, sys.stderr).fail(words.problem.cause, words.problem.fix)
        return Kind.INPUT
    return run(intake, http, stream, as_json=words.json)


def run(intake: Intake, http: Client, stream: TextIO, *, as_json: bool = False) -> int:
    """Run with inputs that are read already; the exit code is the failure's kind."""
    log = _log(intake, stream)
    app: App | None = None
    try:
        _mask(log, [intake.token])
        if intake.inputs.get("command") == Command.INIT:
            init.run(intake.git, log)
            return 0
        context = intake.check()
        _mask(log, [line for value in intake.variables.values() for line in value.splitlines()])
        app = _wire(intake, context, http, log)
        if app.credential:
            forms = app.credential.forms(intake.settings.registry)
            _mask(log, [each for each in forms if each != intake.token])
        answer = _COMMANDS[app.settings.command](app).run()
        _hand_over(answer, intake, log)
        if as_json and answer.json:
            print(answer.json)
    except Failure as failure:
        return _close_failed(failure, app, intake, log)
    except (KeyboardInterrupt, SystemExit) as stop:
        log.warning("The run was cancelled.")
        for line in app.journal.remains().lines if app else ():
            log.say(line)
        return stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 130
    except BrokenPipeError:
        # Whoever read along has gone; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:  # noqa: BLE001  A defect of ours: say so, in one place.
        _report_defect(log)
        return 1
    return 0


def _report_defect(log: RunnerLog | TerminalLog) -> None:
    log.fail("this program has a defect.", "Report it with the traceback below.")
    with log.group("Traceback"):
        for line in traceback.format_exc().splitlines():
            log.quote(line)


def _hand_over(answer: Answer, intake: Intake, log: RunnerLog | TerminalLog) -> None:
    """Hand over what was done: to the runner, and to whoever reads along."""
    if answer.outputs:
        _write_outputs(intake, answer.outputs)
    if answer.markdown:
        _write_summary(intake, answer.markdown)
    for line in answer.lines:
        log.say(line)


def _close_failed(
    failure: Failure, app: App | None, intake: Intake, log: RunnerLog | TerminalLog
) -> int:
    """Say what failed, what to do, and where that leaves the registry."""
    for problem in failure.problems:
        log.fail(problem.cause, problem.fix)
    remains = app.journal.remains() if app else Answer()
    lines = () if failure.kind is Kind.INPUT else remains.lines
    outputs = {**remains.outputs, "pushed": "false", "reason": failure.problems[0].cause}
    said = markdown.failure(failure) + remains.markdown
    _hand_over(Answer(lines, said, outputs), intake, log)
    return failure.kind


def _write_outputs(intake: Intake, outputs: Mapping[str, str]) -> None:
    path = intake.environ.get("GITHUB_OUTPUT")
    if path and intake.in_runner:
        runner.write_outputs(Path(path), outputs, secrets.token_hex)


def _write_summary(intake: Intake, markdown: str) -> None:
    path = intake.environ.get("GITHUB_STEP_SUMMARY")
    if path and intake.in_runner:
        runner.write_summary(Path(path), markdown)


def _mask(log: RunnerLog | TerminalLog, secret_forms: Sequence[str]) -> None:
    if isinstance(log, RunnerLog):
        log.mask(each for each in secret_forms if each)


def _wire(intake: Intake, context: Context, http: Client, log: RunnerLog | TerminalLog) -> App:
    api_url = _api_url(intake.environ)

    def reach() -> History:
        """GitHub's own word in a runner; by hand, what the git remote says."""
        if not context.in_runner:
            return intake.git
        from feastflow_registry.git.github import GitHubHistory  # noqa: PLC0415  Slow to import.

        return GitHubHistory(
            api_url=api_url,
            repository=context.repository,
            token=intake.github_token,
        )

    def statuses() -> Statuses:
        from feastflow_registry.git.github import GitHubStatuses  # noqa: PLC0415  Slow to import.

        return GitHubStatuses(
            api_url=api_url,
            repository=context.repository,
            token=intake.github_token,
        )

    return App(
        settings=intake.settings,
        context=context,
        services=intake.services,
        all_services=intake.all_services,
        credential=intake.credential,
        workspace=intake.folder,
        environ=child_environ(intake.environ),
        git=intake.git,
        http=http,
        reach=reach,
        statuses=statuses,
        log=log,
        machine=os.uname().machine,
        hostname=socket.gethostname(),
        variables=intake.variables,
        word=secrets.token_hex,
        width=_width(log),
        hub_url=intake.environ.get("FEASTFLOW_HUB_URL", ""),
    )


def _log(intake: Intake, stream: TextIO) -> RunnerLog | TerminalLog:
    if intake.in_runner:
        return RunnerLog(stream, secrets.token_hex)
    return TerminalLog(stream, colour=stream.isatty() and not intake.environ.get("NO_COLOR"))


def _width(log: RunnerLog | TerminalLog) -> int:
    """How wide a person's terminal is; 0 where nobody looks at one."""
    on_screen = isinstance(log, TerminalLog) and log.stream.isatty()
    return shutil.get_terminal_size().columns if on_screen else 0


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


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  Slow to import.

    with suppress(metadata.PackageNotFoundError):
        return metadata.version("feastflow-registry")
    return "(run from source)"


def shield() -> None:
    """Close this process's memory to other programs of the same user; no core dump holds it.

    Whoever is root, or may become it, reads it all the same.
    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)


def erase(name: str) -> None:
    """Blank a variable where the kernel shows it: ``/proc/<pid>/environ`` keeps first values.

    Only the value is overwritten, so that every pointer into the block stays valid.
    """
    wanted = f"{name}=".encode()
    block = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    index = 0
    while block and block[index]:
        address = int(block[index] or 0)
        entry = ctypes.string_at(address)
        if entry.startswith(wanted):
            ctypes.memset(address + len(wanted), 0, len(entry) - len(wanted))
        index += 1
