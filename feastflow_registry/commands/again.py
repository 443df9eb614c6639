"""How a command is run once more, with other inputs: what a person copies, spelled in one place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from feastflow_registry.commands.app import App
from feastflow_registry.config.manual import MANUALS, PROGRAM
from feastflow_registry.config.settings import option
from feastflow_registry.model.plan import Command

_OF_ONE_RUN = ("from", "to", "unmark", "dry_run")
"""The inputs that another run does not have in common with this one."""


def again(app: App, wanted: Mapping[str, str], command: Command = Command.ROLLBACK) -> str:
    """By hand a whole command, with all that this run was given; in a workflow the inputs.

    There, what the workflow itself says is said again anyway: tags and services are asked for.
    """
    known = {name for group in MANUALS[command].options().values() for name in group}
    known -= {*_OF_ONE_RUN}
    given = {name: text for name, text in app.inputs.given.items() if name in known}
    if app.run.in_runner:
        given = {name: given[name] for name in ("tag", "services") if name in given}
    words = {
        option(name): value.replace("\n", ",")
        for name, value in {**wanted, **given, **wanted}.items()
    }
    if app.run.in_runner:
        how = "run it again" if command is app.settings.command else f"run {command}"
        return f"{how} with " + ", ".join(
            f'input "{name}: {value}"' for name, value in words.items()
        )
    options = (
        f"--{name} {shlex.quote(value)}".removesuffix(" true") for name, value in words.items()
    )
    return f"`{PROGRAM} {command} {' '.join(options)}`"
