"""How a command is run once more, with other inputs: what a person copies, spelled in one place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from feastflow_registry.commands.app import App
from feastflow_registry.config import selectors
from feastflow_registry.config.manual import MANUALS, PROGRAM
from feastflow_registry.config.settings import option
from feastflow_registry.model.plan import Command

_OF_ONE_RUN = ("from", "to", "unmark", "dry_run")
"""The inputs that another run does not have in common with this one."""


def again(app: App, wanted: Mapping[str, str], command: Command = Command.ROLLBACK) -> str:
    """By hand a whole command, with the options that this one has; in a workflow the inputs.

    There, people are asked for tags and services alone: the rest is in the workflow.
    """
    tags = map(str, selectors.bare(app.settings.command, app.settings.tag))
    known = {name for group in MANUALS[command].options().values() for name in group}
    known -= {*_OF_ONE_RUN}
    typed = {} if app.run.in_runner else app.inputs.typed
    words = {
        **wanted,  # First, and in the end not overruled.
        "tag": ",".join(tags),
        "services": ",".join(app.settings.services),
        **{name: text for name, text in typed.items() if name in known},
        **wanted,
    }
    spelled = {option(name): text.replace("\n", ",") for name, text in words.items() if text}
    if app.run.in_runner:
        how = "run it again" if command is app.settings.command else f"run {command}"
        given = (f'input "{name}: {text}"' for name, text in spelled.items())
        return f"{how} with {', '.join(given)}"
    options = (
        f"--{name} {shlex.quote(text)}".removesuffix(" true") for name, text in spelled.items()
    )
    return f"`{PROGRAM} {command} {' '.join(options)}`"
