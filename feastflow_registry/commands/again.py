"""How a command is run once more, with other inputs: what a person copies, spelled in one place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from feastflow_registry.commands.app import App
from feastflow_registry.config.manual import PROGRAM
from feastflow_registry.config.settings import option

_OF_ONE_RUN = ("command", "username", "from", "to", "unmark", "dry_run")
"""The inputs that another run does not have in common with this one."""


def again(app: App, wanted: Mapping[str, str]) -> str:
    """By hand a whole command, with all that this run was given; in a workflow the inputs.

    There, what the workflow itself says is said again anyway: tags and services are asked for.
    """
    given = {name: text for name, text in app.inputs.given.items() if name not in _OF_ONE_RUN}
    if app.run.in_runner:
        given = {name: given[name] for name in ("tag", "services") if name in given}
    words = {
        option(name): value.replace("\n", ",")
        for name, value in {**wanted, **given, **wanted}.items()
    }
    if app.run.in_runner:
        return "run it again with " + ", ".join(
            f'input "{name}: {value}"' for name, value in words.items()
        )
    options = (
        f"--{name} {shlex.quote(value)}".removesuffix(" true") for name, value in words.items()
    )
    return f"`{PROGRAM} {app.settings.command} {' '.join(options)}`"
