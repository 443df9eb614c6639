"""The registries of a run as one: each question goes to the registry that its repository is on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from feastflow_registry.model.images import Published, PullLimit
from feastflow_registry.model.parts import Index, Part
from feastflow_registry.model.ports import Registry
from feastflow_registry.model.references import Digest, Reference, RegistryHost, Repository, Tag


@dataclass(frozen=True, slots=True)
class RegistriesByHost:
    """Several registries. ``of``: one by its host; ``reached``: those that were asked so far."""

    of: Callable[[RegistryHost], Registry]
    reached: Callable[[], Collection[Registry]]

    def resolve(self, reference: Reference) -> Digest | None:
        """Ask what a tag or digest points at."""
        return self.of(reference.repository.host).resolve(reference)

    def expect(self, reference: Reference, digest: Digest | None) -> None:
        """Take note of what another client wrote for this run, or deleted."""
        self.of(reference.repository.host).expect(reference, digest)

    def announce(self, reference: Reference) -> None:
        """Take note of what another run has written."""
        self.of(reference.repository.host).announce(reference)

    def catch_up(self) -> None:
        """Wait until what other runs wrote before now is visible, on each of them."""
        for each in self.reached():
            each.catch_up()

    def confirm(self, reference: Reference, digest: Digest) -> None:
        """Read what a tag holds."""
        self.of(reference.repository.host).confirm(reference, digest)

    def inspect(self, repository: Repository, digest: Digest) -> Published:
        """Read an image by digest."""
        return self.of(repository.host).inspect(repository, digest)

    def part(self, repository: Repository, digest: Digest) -> Part:
        """Read one platform of an image, as it was pushed by itself."""
        return self.of(repository.host).part(repository, digest)

    def put_index(self, reference: Reference, index: Index) -> None:
        """Write an index of images that are there, under a tag."""
        self.of(reference.repository.host).put_index(reference, index)

    def size(self, repository: Repository, digest: Digest) -> int:
        """The bytes of an image."""
        return self.of(repository.host).size(repository, digest)

    def created(self, repository: Repository, digest: Digest) -> datetime | None:
        """When an image was made."""
        return self.of(repository.host).created(repository, digest)

    def set_tag(self, reference: Reference, digest: Digest) -> None:
        """Point a tag at a manifest of the same repository."""
        self.of(reference.repository.host).set_tag(reference, digest)

    def tags(self, repository: Repository) -> tuple[Tag, ...]:
        """List every tag."""
        return self.of(repository.host).tags(repository)

    def check_push(self, repository: Repository) -> None:
        """Make sure that the credential may push here."""
        self.of(repository.host).check_push(repository)

    def pull_limit(self, reference: Reference) -> PullLimit | None:
        """Ask how many pulls are left."""
        return self.of(reference.repository.host).pull_limit(reference)
