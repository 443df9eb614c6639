"""The command ``init``: a first configuration for a repository that has Dockerfiles."""

from __future__ import annotations

from feastflow_registry.commands import drafting
from feastflow_registry.config import file as config_file
from feastflow_registry.git.clone import Git
from feastflow_registry.git.worktree import create_file
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Log
from feastflow_registry.model.run import source_url


def run(git: Git, log: Log) -> None:
    """Write a first configuration from the Dockerfiles that are tracked."""
    remote = source_url(git.checkout("main").remote)
    name = remote.rpartition("/")[2] or git.workspace.resolve().name
    text = drafting.draft(name, sorted(git.tree().files))
    if not create_file(git.workspace, config_file.NAME, text):
        raise Failure(
            Kind.INPUT,
            f"there is a {config_file.NAME} already.",
            "Edit it, or remove it to have it written anew.",
        )
    log.say(
        f"✅ Wrote {config_file.NAME}. Look it over, then try: feastflow-registry publish --dry-run"
    )
