"""What one run is handed, before anything of it is checked: its inputs, and its working copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from feastflow_registry.model import credentials
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.references import Commit, RegistryHost
from feastflow_registry.model.services import Service, Where


@dataclass(frozen=True, slots=True)
class Request:
    """What the environment and the command line hold, before anything of it is checked.

    ``given``: inputs by name; ``folder``: the top of the working copy; ``hidden``: variables that
    no child may see, of which a build secret may name some; ``whole_digests``: whether a list shows
    them so.
    """

    environ: Mapping[str, str]
    given: Mapping[str, str]
    folder: Path
    token: str = field(default="", repr=False)
    github_token: str = field(default="", repr=False)
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    cache_token: str = field(default="", repr=False)
    whole_digests: bool = False
    also_credentials: str = field(default="", repr=False)

    @property
    def secrets(self) -> list[str]:
        """What nobody may see."""
        others = credentials.secrets_of(self.also_credentials)
        return [self.token, self.github_token, self.cache_token, *others]

    @property
    def in_runner(self) -> bool:
        """Whether GitHub Actions, and not a person, runs this."""
        return self.environ.get("GITHUB_ACTIONS") == "true"


class Workspace(Protocol):
    """The working copy, and what else of this machine the inputs refer to."""

    def checkout(self, main: str) -> Checkout:
        """Read what HEAD is. Raises an input failure where there is no commit to publish.

        ``main``: the main branch, if not the remote's default branch.
        """

    def peel(self, commit: Commit) -> Commit:
        """Follow an annotated git tag's own object to its commit."""

    def tracks(self, path: str) -> bool:
        """Whether git tracks a file."""

    def is_committed(self, path: str) -> bool:
        """Whether a file is what HEAD holds, byte by byte."""

    def read(self, path: str, *, most: int) -> bytes | None:
        """Read the beginning of a file of the repository; nothing, if it is missing."""

    def holds(self, path: str) -> bool:
        """Whether a path is inside, links followed; it need not be there."""

    def check_files(self, services: Iterable[Service], where: Where) -> Iterator[Problem]:
        """Yield what a build names and cannot have."""

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        """Have buildx resolve a Compose or Bake file of a folder, with these variables alone."""

    def login(self, host: RegistryHost, username: str) -> Credential | None:
        """What ``docker login`` has kept for a registry."""
