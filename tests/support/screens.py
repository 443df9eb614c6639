"""What each command shows on a terminal, and prints with ``--json``, from runs in memory."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

from feastflow_registry import commands
from feastflow_registry.commands import deploy, doctor, rollback, tags
from feastflow_registry.config import manual
from feastflow_registry.config.input_names import InputNames
from feastflow_registry.model import parallel
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.plan import Command
from feastflow_registry.model.run import LAPTOP
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.results import RunReport
from feastflow_registry.report.terminal import TerminalLog
from support.memory import FakeHub
from support.runs import A, B, C, D, FakeApp, Run, World, context, failing
from support.summaries import SIX, bad, beside_manifest, published

WIDTHS = (80, 120)
_BY_HAND = InputNames(in_runner=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person saw, and what another program got."""

    text: str
    json: str

    @property
    def document(self) -> Mapping[str, object]:
        """What another program got, read."""
        found: Mapping[str, object] = json.loads(self.json)
        return found


class _Screen:
    """A terminal of a width."""

    def __init__(self, app: FakeApp, width: int) -> None:
        self.stream = io.StringIO()
        self.log = TerminalLog(self.stream, str, width=width, spell=_BY_HAND.spell)
        app.log, app.width = self.log, width  # type: ignore[assignment]

    def end(self, report: RunReport) -> Shown:
        """Say what is left to say, as the program does."""
        for line in report.lines:
            self.log.say(line)
        return Shown(self.stream.getvalue(), _BY_HAND.spell(report.json))

    def fail(self, failure: Failure) -> None:
        """Say why a run failed."""
        for problem in failure.problems:
            self.log.fail(problem.cause, problem.fix, problem.help)


def show(run: Run, width: int) -> Shown:
    """Run a command by hand as the program does, whether it ends well or not."""
    run.context = replace(run.context, event=LAPTOP, on_remote_main=True)
    screen = _Screen(run.app, width)
    journal = Journal(run.app.log, run.app.state, run.app.settings.command)
    try:
        report = commands.run(run.command, run.app, journal)
    except Failure as failure:
        screen.fail(failure)
        report = journal.failed(failure)
    return screen.end(report)


def _look(module: Callable[[FakeApp], RunReport], app: FakeApp, width: int) -> Shown:
    """Run a command that plans nothing."""
    screen = _Screen(app, width)
    report = module(app)
    if report.failure:
        screen.fail(report.failure)
    return screen.end(report)


def _publish(width: int) -> Shown:
    return show(published(*SIX[:2]).run(C, milestone="sprint3", reuse="unchanged"), width)


def _carried(width: int) -> Shown:
    world = World(SIX[:3])
    world.publish(A)
    world.inputs = {(at, name): name for at in (B, C) for name in SIX[1:]}
    world.publish(B, reuse="unchanged")
    return show(world.run(C, reuse="unchanged"), width)


def _broken_off(width: int) -> Shown:
    return show(World(("shop", "cart")).run(B, before=failing(11)), width)


def _promote(width: int) -> Shown:
    run = published().start("promote", tag="ghcr.io/team/shop:production", to=B.sha)
    return show(run, width)


def _rollback(width: int) -> Shown:
    with beside_manifest(bad(), rollback, command="rollback", tag="latest") as run:
        return show(run, width)


def _unmark(width: int) -> Shown:
    world = bad()
    show(world.start("rollback"), width)
    return show(world.start("rollback", to=B.sha, unmark="true"), width)


def _deploy(width: int) -> Shown:
    with beside_manifest(published(), deploy, command="deploy", to=B.sha, dry_run="true") as run:
        return show(run, width)


def _prune(width: int, dry_run: str) -> Shown:
    world = World(SIX[:2])
    for each in (A, B, C, D):
        world.publish(each)
    run = world.start("prune", dry_run=dry_run, keep_last="1", keep="commit-000000b")
    return show(run, width)


def _tags(width: int, names: tuple[str, ...], **inputs: str) -> Shown:
    world = published(*names)
    show(world.start("rollback"), width)
    return _look(tags.run, world.app({"command": "tags", **inputs}), width)


def _whole(width: int) -> Shown:
    app = published().app({"command": "tags", "to": B.short})
    app.whole_digests = True
    return _look(tags.run, app, width)


def _doctor(width: int) -> Shown:
    app = World(SIX[:2]).app({"command": "doctor", "tag": "ghcr.io/a/b"}, run=context(A, "feature"))
    app.docker_hub = FakeHub(None)
    app.skew = 90.0
    return _look(doctor.run, app, width)


SCREENS: dict[str, Callable[[int], Shown]] = {
    "publish": _publish,
    "publish-carried": _carried,
    "broken-off": _broken_off,
    "promote": _promote,
    "rollback": _rollback,
    "rollback-unmark": _unmark,
    "deploy-dry-run": _deploy,
    "prune": partial(_prune, dry_run="false"),
    "prune-dry-run": partial(_prune, dry_run="true"),
    "tags": partial(_tags, names=("shop",)),
    "tags-monorepo": partial(_tags, names=SIX[:2]),
    "tags-digest": _whole,
    "doctor": _doctor,
}
"""By the names of the files that hold them."""


def helps() -> Iterator[tuple[str, str]]:
    """The help of the program and of each command, by the names of the files that hold them."""
    with _columns(80):
        yield "help", manual.overview()
        for command in Command:
            yield f"help-{command}", manual.parser_of(command).format_help()


@contextmanager
def _columns(width: int) -> Iterator[None]:
    with patch.dict(os.environ, {"COLUMNS": str(width), "NO_COLOR": "1"}):
        yield


def screens() -> dict[str, str]:
    """Everything that is kept, by the name of its file; made by one thread, always the same."""
    with patch.object(parallel, "AT_ONCE", 1):
        shown = {
            f"{name}-{width}": make(width).text
            for name, make in SCREENS.items()
            for width in WIDTHS
        }
    return {**dict(helps()), **shown}
