"""The files of a repository: what a build may read, and what ``build`` remembers for ``push``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feastflow_registry.errors import Failure, Kind, Problem
from feastflow_registry.ports import BuiltImage
from feastflow_registry.references import Commit, Digest
from feastflow_registry.services import Service


def check_files(workspace: Path, services: Sequence[Service]) -> None:
    """Refuse contexts and Dockerfiles that are missing or, links followed, lie outside."""
    problems = [problem for each in services for problem in _problems(workspace, each)]
    if problems:
        raise Failure.of(Kind.INPUT, problems)


def _problems(workspace: Path, service: Service) -> list[Problem]:
    top = workspace.resolve()
    context = workspace / service.context
    dockerfile = context / service.dockerfile
    for name, path in (("context", context), ("dockerfile", dockerfile)):
        if not _resolved(path).is_relative_to(top):
            return [
                Problem(
                    f'input "{name}": {_shown(path, workspace)} lies outside the repository.',
                    "Give a path inside it; a symbolic link must not lead out of it.",
                )
            ]
    if not context.is_dir():
        return [
            Problem(
                f'input "context": there is no folder {_shown(context, workspace)}.',
                "Give the folder that the Dockerfile copies from, relative to the repository.",
            )
        ]
    if not dockerfile.is_file():
        return [
            Problem(
                f'input "dockerfile": there is no file {_shown(dockerfile, workspace)}.',
                "Give its path relative to the context, as in a Compose file: with context: app, "
                "write dockerfile: Dockerfile for app/Dockerfile.",
            )
        ]
    return []


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # A loop of links.
        return Path("/")


def _shown(path: Path, workspace: Path) -> str:
    return repr(os.path.relpath(path, workspace))


@dataclass(frozen=True, slots=True)
class FileLedger:
    """The images of the last ``build``, in a file among git's own, where no status shows it."""

    folder: Path

    @property
    def _path(self) -> Path:
        return self.folder / "feastflow-registry.json"

    def write(self, commit: Commit, images: Mapping[str, BuiltImage]) -> None:
        """Replace what was remembered, whole or not at all."""
        known = {name: {"id": each.image_id, "size": each.size} for name, each in images.items()}
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"commit": commit.sha, "images": known}))
        draft.replace(self._path)

    def read(self, commit: Commit) -> Mapping[str, BuiltImage]:
        """Recall the images of a commit; a missing or damaged file remembers nothing."""
        try:
            content = json.loads(self._path.read_text())
            if content["commit"] != commit.sha:
                return {}
            return {
                name: BuiltImage(Digest.parse(each["id"]).value, size=int(each["size"]))
                for name, each in content["images"].items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError, Failure):
            return {}
