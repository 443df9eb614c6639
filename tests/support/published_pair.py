"""Two published commits, made once: tests start from copies of them instead of publishing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.machine import Machine
from support.registries import LocalRegistry
from support.repositories import Project

MILESTONE = "sprint3"


@dataclass(frozen=True)
class PublishedPair:
    """All tags (`latest`, the milestone) hold the first; the second has its commit tag alone."""

    project: Project
    storage: Path
    """A copy of the registry's files."""
    first: str
    second: str
    """The commits' shas."""

    @classmethod
    def publish(cls, machine: Machine, folder: Path, inputs: dict[str, Any]) -> PublishedPair:
        """Publish two commits, and keep what the registry then holds."""
        machine.call(machine.runner(milestone=MILESTONE, **inputs)).ended()
        first, second = machine.project.head, machine.project.commit()
        machine.call(machine.runner(shared_tags="false", **inputs)).ended()
        shutil.copytree(machine.place.registry.storage, folder)
        return cls(machine.project, folder, first, second)

    def lay_out(self, place: LocalRegistry) -> None:
        """Have an empty registry hold the same."""
        shutil.copytree(self.storage, place.registry.storage, dirs_exist_ok=True)
