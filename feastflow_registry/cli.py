"""From argv to an exit code: the only reader of the environment and of the clock.

It reads the inputs, wires the ``App``, runs the command, and turns what comes back into outputs, a
summary and an exit code.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import secrets
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from threading import Event, Thread, get_ident
from typing import TextIO

from feastflow_registry import commands
from feastflow_registry.commands import inputs
from feastflow_registry.commands.app import App
from feastflow_registry.commands.ending import Ending, unusable, write, write_no_more
from feastflow_registry.commands.inputs import Inputs
from feastflow_registry.commands.request import Request
from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import command_line, manual, settings
from feastflow_registry.config.command_line import (
    ALSO_CREDENTIALS,
    PREFIX,
    TOKENS,
    child_environ,
    find_folder,
    merge,
)
from feastflow_registry.config.input_names import InputNames
from feastflow_registry.git import checkouts
from feastflow_registry.model import credentials
from feastflow_registry.model.errors import Failure, Kind, Problem, exhausted
from feastflow_registry.model.plan import Command
from feastflow_registry.model.references import Commit
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.secrets import SHORTEST, Secrets
from feastflow_registry.report import data
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.results import RunReport, Standing
from feastflow_registry.report.runner import RunnerLog
from feastflow_registry.report.terminal import TerminalLog
from feastflow_registry.transport import certificates
from feastflow_registry.transport.http import Client

_PR_SET_DUMPABLE = 4
_ENDS = (signal.SIGINT, signal.SIGTERM)
_WAKE = signal.SIGURG
"""A signal that nobody else sends, and that would end nothing."""
_WAKE_EVERY = 0.05
_OF_THIS_MACHINE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR),
    }
)
"""What is a disk's or a folder's fault. Any other error of the system is a defect of ours."""
_AnyLog = RunnerLog | TerminalLog
_GONE = Problem("the current folder is gone.", "Change to another one, then run again.")
_CANCELLED = Problem("the run was cancelled.", "Run it again: what is done stays done.")
_DEFECT = Problem(
    "this program has a defect.",
    "Report it at https://github.com/feastflow/registry-action/issues, with the traceback in the "
    "log.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is the failure's kind.

    It is 141 where whoever read along has gone, as a shell has it of what SIGPIPE ends. The signal
    itself would end a run in the middle of what it writes to a registry, or when a server hangs up.
    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    shield()
    _open_streams()
    try:
        return _main(argv)
    except BrokenPipeError:
        write_no_more(sys.stdout, sys.stderr)
        return 141


def _main(argv: Sequence[str] | None) -> int:
    http = Client(clock=time.monotonic, wall=time.time, sleep=time.sleep, jitter=random.random)
    _obey_signals(http.stop)
    words = command_line.read(sys.argv[1:] if argv is None else argv, _version)
    environ = dict(os.environ)
    token = environ.get(f"{PREFIX}TOKEN") or environ.get("DOCKERHUB_TOKEN", "")
    github_token = environ.get(f"{PREFIX}GITHUB_TOKEN", "")
    cache_token = environ.get(f"{PREFIX}CACHE_TOKEN", "")
    others = environ.get(ALSO_CREDENTIALS, "")
    tokens = [token, *credentials.secrets_of(others)]
    given = merge(words.given, environ)
    hidden: dict[str, str] = {}
    for name, value in tuple(environ.items()):
        is_secret = any(credentials.holds(value, each) for each in tokens)
        if name in TOKENS or name.endswith("_TOKEN") or is_secret:
            erase(name)
            hidden[name] = environ.pop(name)
            del os.environ[name]
    problem = words.problem
    try:
        folder = find_folder(environ, Path.cwd())
    except OSError:
        folder, problem = Path("/"), problem or _GONE
    request = Request(
        environ,
        given,
        folder,
        token=token,
        github_token=github_token,
        hidden=hidden,
        cache_token=cache_token,
        whole_digests=words.digest,
        also_credentials=others,
    )
    stream = sys.stderr if words.json else sys.stdout
    if words.shell and not problem:
        print(_completion(words.shell), flush=True)
        return 0
    if problem:
        names = InputNames(request.in_runner)
        _log(request, sys.stderr, http.secrets, names).fail(problem.cause, problem.fix)
        if words.json:
            command = given.get("command", Command.PUBLISH)
            write(data.failed(command, Kind.INPUT, [problem], Standing()))
        return Kind.INPUT
    code = run(request, http, stream, as_json=words.json)
    if http.stop.is_set():
        # Requests that are under way would be waited for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _open_streams() -> None:
    """Have something to write to where the caller closed it, or where it takes ASCII alone."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  It stays open.
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115  It stays open.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _obey_signals(stop: Event) -> None:
    """Have SIGINT and SIGTERM stop every thread from beginning anything, then end the run.

    SIGINT stays ignored where whoever started this ignores it, as a shell does for ``&``. A signal
    that comes just before the main thread waits, or to another thread, ends no wait: a thread hears
    of it at once, and wakes the main thread, which alone runs handlers.
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    heard, main = Event(), get_ident()
    ears, mouth = socket.socketpair()
    mouth.setblocking(False)

    def interrupt(number: int, _: object) -> None:
        signal.set_wakeup_fd(-1)
        heard.set()
        stop.set()
        for each in _ENDS:  # What is left to say is said whole.
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(143)

    def listen() -> None:
        with ears, mouth:
            while ears.recv(1)[0] not in _ENDS:
                pass
            stop.set()
            while not heard.wait(_WAKE_EVERY):
                signal.pthread_kill(main, _WAKE)

    signal.set_wakeup_fd(mouth.fileno())
    signal.signal(_WAKE, lambda *_: None)
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    Thread(target=listen, daemon=True).start()


def run(request: Request, http: Client, stream: TextIO, *, as_json: bool = False) -> int:
    """Run what is asked for; the exit code is the failure's kind."""
    names = InputNames(request.in_runner)
    log = _log(request, stream, http.secrets, names)
    journal = Journal(log, RunState(), request.given.get("command", Command.PUBLISH))
    ending = Ending(
        request, log, lambda text: http.secrets.hide(names.spell(text)), as_json=as_json
    )
    try:
        return _run_and_tell(request, http, journal, names, ending)
    except (KeyboardInterrupt, SystemExit) as stop:  # Whatever it was about to tell, too.
        http.stop.set()
        code = stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 130
        try:
            log.seize()
            log.warning("The run was cancelled.")
            if not ending.is_printed:
                ending.end(journal.broken_off([_CANCELLED], code))
        except OSError:  # Whoever read along was interrupted, too.
            write_no_more(sys.stdout, sys.stderr)
        return code


def _run_and_tell(
    request: Request, http: Client, journal: Journal, names: InputNames, ending: Ending
) -> int:
    """Run, and tell how it ended, unless it is interrupted."""
    log = ending.log
    try:
        _mask(log, [request.token])
        report = _run(request, http, log, journal, names)
        handed_over = ending.end(report)
        _end(report)
    except BrokenPipeError:  # Whoever read along has gone: this is no defect.
        raise
    except Exception as error:  # noqa: BLE001  What is no failure is a defect of ours: say so.
        failure = _failure(error)
        try:
            if not failure:
                return _end_defect(journal, log, ending)
            for problem in failure.problems:
                log.fail(problem.cause, problem.fix, problem.help)
            ending.end(journal.failed(failure))
        except OSError:  # It is what we write to that has no room.
            with suppress(OSError):
                told = ending.finish(str(failure or _DEFECT.cause))
                print(f"feastflow-registry: {told}", file=sys.stderr, flush=True)
            write_no_more(sys.stdout, sys.stderr)
        return failure.kind if failure else 1
    return 0 if handed_over else Kind.BUILD


def _end_defect(journal: Journal, log: _AnyLog, ending: Ending) -> int:
    """Say that a defect has ended the run, and where that leaves the registry."""
    log.fail(_DEFECT.cause, _DEFECT.fix)
    with log.group("Traceback"):
        for line in traceback.format_exc().splitlines():
            log.quote(line)
    with suppress(Exception):  # The defect may be in what sums up.
        ending.end(journal.broken_off([_DEFECT], 1))
    return 1


def _end(report: RunReport) -> None:
    """Raise what a command ends with that has done all that it was to do."""
    if report.failure:
        raise report.failure


def _run(
    request: Request, http: Client, log: _AnyLog, journal: Journal, names: InputNames
) -> RunReport:
    """Read the inputs, wire the run, and carry its command out."""
    environ = child_environ(request.environ)
    request = replace(request, folder=_find_checkout(request, environ))
    workspace = LocalWorkspace(request.folder, environ)
    if request.given.get("command") == Command.INIT:
        from feastflow_registry.commands import init

        return init.run(workspace, log)
    http.trust(certificates.find(request.environ))
    http.tell = log.say
    checked = inputs.read(request, workspace, names)
    secret_lines = (line for value in checked.variables.values() for line in value.splitlines())
    _mask(log, [line for line in secret_lines if len(line) >= SHORTEST])
    given = (*checked.variables.values(), *checked.file_secrets, *checked.cache_service.values())
    http.secrets.learn(given)
    for notice in checked.notices:
        log.notice(notice)
    for warning in (*checked.doubts, *checked.warnings):
        log.warning(warning)
    for host, credential in checked.credentials.items():
        http.secrets.learn_header(credential.basic)
        _mask(log, [form for form in credential.forms(host) if form != request.token])
    app = _wire(checked, request, workspace, http, log, journal.state)
    return _carry_out(app, journal)


def _find_checkout(request: Request, environ: Mapping[str, str]) -> Path:
    """The working copy, without which nothing else can be read."""
    name = "working_directory"
    named = settings.parse({name: request.given.get(name, "")}).working_directory
    commit = Commit.read(request.environ.get("GITHUB_SHA")) if request.in_runner else None
    return checkouts.find(request.folder, named, commit, environ)


def _carry_out(app: App, journal: Journal) -> RunReport:
    """Run the command; only the module that it needs is imported."""
    match app.settings.command:
        case Command.TAGS:
            from feastflow_registry.commands import tags

            return tags.run(app)
        case Command.DOCTOR:
            from feastflow_registry.commands import doctor

            return doctor.run(app)
        case Command.PROMOTE:
            from feastflow_registry.commands import promote

            return commands.run(promote, app, journal)
        case Command.ROLLBACK:
            from feastflow_registry.commands import rollback

            return commands.run(rollback, app, journal)
        case Command.DEPLOY:
            from feastflow_registry.commands import deploy

            return commands.run(deploy, app, journal)
        case Command.PRUNE:
            from feastflow_registry.commands import prune

            return commands.run(prune, app, journal)
        case Command.PUBLISH | Command.BUILD | Command.PUSH:
            from feastflow_registry.commands import publish

            return commands.run(publish, app, journal)
        case Command.INIT:  # pragma: no cover  It needs no inputs, and ran before they were read.
            raise AssertionError


def _wire(
    checked: Inputs,
    request: Request,
    workspace: LocalWorkspace,
    http: Client,
    log: _AnyLog,
    state: RunState,
) -> App:
    return App(
        inputs=checked,
        workspace=workspace,
        http=http,
        log=log,
        machine=os.uname().machine,
        hostname=socket.gethostname(),
        random_word=secrets.token_hex,
        github_token=request.github_token,
        hub_url=request.environ.get("FEASTFLOW_HUB_URL", ""),
        width=log.width if isinstance(log, TerminalLog) else 0,
        whole_digests=request.whole_digests,
        state=state,
    )


def _log(request: Request, stream: TextIO, known: Secrets, names: InputNames) -> _AnyLog:
    """Where a person reads along, without what nobody may see."""
    known.learn(request.secrets)
    if request.in_runner:
        return RunnerLog(stream, secrets.token_hex, known.hide, names.spell)
    on_screen = stream.isatty()
    live = on_screen and request.environ.get("TERM") != "dumb"
    colour = live and not request.environ.get("NO_COLOR")
    width = shutil.get_terminal_size().columns if on_screen else 0
    return TerminalLog(stream, known.hide, colour, width, live, names.spell)


def _mask(log: _AnyLog, secret_forms: Sequence[str]) -> None:
    """Have the runner hide texts; of one in several lines, those that are no part of others."""
    if isinstance(log, RunnerLog):
        for lines in map(str.splitlines, secret_forms):
            log.mask(each for each in lines if len(lines) == 1 or len(each) >= SHORTEST)


def _failure(error: Exception) -> Failure | None:
    """What an error means to whoever runs this; nothing, if it is a defect of ours."""
    found = exhausted(error)
    if isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE:
        found = unusable(error)
    return found or (error if isinstance(error, Failure) else None)


def _version() -> str:
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return metadata.version("feastflow-registry")
    return "(run from source)"


def _completion(shell: str) -> str:
    """What completes words in a shell: ``dev/completions`` has written it."""
    from importlib.resources import files

    file = files("feastflow_registry.config") / "completions" / f"{manual.PROGRAM}.{shell}"
    return file.read_text(encoding="utf-8")


def shield() -> None:
    """Close this process's memory to other programs of the same user; no core dump holds it.

    Whoever is root, or may become it, reads it all the same. Only Linux knows this.
    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)


def erase(name: str) -> None:
    """Blank a variable where the kernel shows it: ``/proc/<pid>/environ`` keeps first values.

    Only the value is overwritten, so that every pointer into the block stays valid.
    """
    wanted = f"{name}=".encode()
    try:
        block = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    except ValueError:  # macOS shows it to programs alone, not to their libraries.
        return
    index = 0
    while block and block[index]:
        address = int(block[index] or 0)
        entry = ctypes.string_at(address)
        if entry.startswith(wanted):
            ctypes.memset(address + len(wanted), 0, len(entry) - len(wanted))
        index += 1
