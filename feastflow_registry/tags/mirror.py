"""Giving an image to the other registries of a run: the same bytes, and then its commit tag.

What is copied follows what it is copied from: where two runs of one commit built it at once, both
look again, and all registries end with the digest that the first one has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import Action, MirrorImage, Outcome
from feastflow_registry.model.ports import Copier
from feastflow_registry.model.references import Reference, Repository
from feastflow_registry.tags.move import Tagger, bring, unverified


@dataclass(frozen=True, slots=True)
class Mirror:
    """Copies by digest, never through the engine. ``copier``: what brings images to a repository.

    ``RunState.origins`` says where the image of a service comes from: a tag, or a digest that has
    no tag yet.
    """

    tagger: Tagger
    copier: Callable[[Repository, Repository], Copier]

    def copy(self, step: MirrorImage) -> Outcome:
        """Make sure that the commit tag holds what its origin holds now.

        Raises a conflict where it holds what no run of this commit has published.
        """
        tagger, repository = self.tagger, step.service.repository
        surveyor = tagger.surveyor
        registry, started = surveyor.registry, tagger.clock()
        origin = tagger.state.origins[step.service.name]
        digest, held = registry.resolve(origin), registry.resolve(step.reference)
        if digest is None:
            raise unverified(f"{origin} is gone, so it cannot be copied to {repository}.")
        sent, note = 0, "all of it was there"
        if held != digest:
            if held:
                surveyor.check_own(repository, tagger.commit, registry.inspect(repository, held))
            copier = self.copier(origin.repository, repository)
            sent, note = bring(copier, registry, Reference(origin.repository, digest), repository)
        # Looked for in the end, too: a rollback may have found no image here to mark.
        self._mark(origin.repository, registry.inspect(repository, digest), repository)
        if held != digest:
            tagger.write(step.reference, digest)
        digest, _ = tagger.prove(step.service, step.reference)
        seconds = tagger.clock() - started
        return Outcome(step.service, Action.COPIED, step.reference, digest, sent, seconds, note)

    def _mark(self, source: Repository, image: Published, target: Repository) -> None:
        """Have an image that a rollback has withdrawn be withdrawn wherever it goes."""
        tagger = self.tagger
        surveyor = tagger.surveyor
        mark = Reference(target, surveyor.commit_tags.withdrawn(tagger.commit))
        is_bad = surveyor.is_withdrawn(source, tagger.commit, image)
        if is_bad and surveyor.registry.resolve(mark) != image.digest:
            tagger.write(mark, image.digest)
