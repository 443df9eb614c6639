"""The working copy on this machine, as the inputs, ``init`` and the ports see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from feastflow_registry.builder import docker_login
from feastflow_registry.git import worktree
from feastflow_registry.git.clone import Git
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.ports import Printed, Worktree
from feastflow_registry.model.references import Commit, RegistryHost
from feastflow_registry.model.services import Service, Where
from feastflow_registry.model.wording import some


@dataclass(frozen=True, slots=True)
class LocalWorkspace:
    """The working copy on this machine. ``environ``: what child processes may see."""

    folder: Path
    environ: Mapping[str, str]

    @property
    def git(self) -> Git:
        """The working copy as git sees it."""
        return Git(self.folder, self.environ)

    def checkout(self, main: str) -> Checkout:
        """Read what HEAD is."""
        return self.git.checkout(main)

    def peel(self, commit: Commit) -> Commit:
        """Follow an annotated git tag's own object to its commit."""
        return self.git.peel(commit)

    def tracks(self, path: str) -> bool:
        """Whether git tracks a file."""
        return self.git.tracks(path)

    def is_committed(self, path: str) -> bool:
        """Whether a file is what HEAD holds, byte by byte."""
        return self.git.is_committed(path)

    def tracked(self) -> Iterable[str]:
        """Every file that git tracks."""
        return self.git.tree().files

    def read(self, path: str, *, most: int) -> bytes | None:
        """Read the beginning of a file of the repository; nothing, if it is missing."""
        return worktree.read_file(self.folder, path, most=most)

    def create(self, path: str, text: str) -> bool:
        """Write a new file; false, if there is one already."""
        return worktree.create_file(self.folder, path, text)

    def holds(self, path: str) -> bool:
        """Whether a path is inside, links followed; it need not be there."""
        return worktree.lies_within(self.folder / path, self.folder)

    def check_files(self, services: Iterable[Service], where: Where) -> Iterator[Problem]:
        """Yield what a build names and cannot have."""
        return worktree.check_files(self.folder, tuple(services), where, self.tracked)

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        """Have buildx resolve a Compose or Bake file of a folder."""
        from feastflow_registry.builder.bake_print import BakeFile

        return BakeFile(self.folder, self.environ).print(files, file, folder, variables)

    def login(self, host: RegistryHost, username: str) -> Credential | None:
        """What ``docker login`` has kept for a registry."""
        return docker_login.from_login(host, username, self.environ)


def untracked(files: Worktree, services: Iterable[Service]) -> Problem | None:
    """What by hand may get into images, and is in no commit. In a runner, a step has made it."""
    folders = sorted({folder for each in services for folder in (each.context, *each.folders)})
    found = files.untracked(folders) if folders else ()
    if not found:
        return None
    cause = f"files that are in no commit may get into the images: {some(found, 3)}."
    return Problem(cause, "Commit them, or name them in .dockerignore or .gitignore.")
