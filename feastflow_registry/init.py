"""The command ``init``: a first configuration for a repository that has Dockerfiles."""

from __future__ import annotations

from feastflow_registry import config, context, drafting
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.git import Git
from feastflow_registry.ports import Log
from feastflow_registry.workspace import create_file


def run(git: Git, log: Log) -> None:
    """Write a first configuration from the Dockerfiles that are tracked."""
    remote = context.source_url(git.checkout("main").remote)
    name = remote.rpartition("/")[2] or git.workspace.resolve().name
    text = drafting.draft(name, sorted(git.tree().files))
    if not create_file(git.workspace, config.NAME, text):
        raise Failure(
            Kind.INPUT,
            f"there is a {config.NAME} already.",
            "Edit it, or remove it to have it written anew.",
        )
    log.say(f"✅ Wrote {config.NAME}. Look it over, then try: feastflow-registry publish --dry-run")
