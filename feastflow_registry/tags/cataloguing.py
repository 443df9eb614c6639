"""Reading catalogs: which questions a registry has to be asked.

Docker Hub lists a hundred tags at a time with all that is told of them. Other registries list names
alone: one HEAD a tag gives its image, and of the newest images the manifest gives the size. An
image's configuration is read only where somebody needs to know when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import ListedTag
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.ports import Listing, Registry
from feastflow_registry.model.references import Digest, Reference, Repository
from feastflow_registry.model.services import Service
from feastflow_registry.tags.catalog import Catalog, abbreviations, compile_catalog, complete

_MOST_SIZES = 100


@dataclass(frozen=True, slots=True)
class Cataloguer:
    """Reads the repositories of one registry.

    ``listing``: a registry's own, if it has one; ``history``: the clone's commits, newest first.
    """

    registry: Registry
    listing: Listing | None
    history: Callable[[], Iterable[Revision]]

    def read(self, services: Sequence[Service], *, sizes: bool = True) -> tuple[Catalog, ...]:
        """Read each service's repository, with the sizes of its newest images if wanted."""
        repositories = [each.repository for each in services]
        lists = zip(repositories, spread(self._list, repositories), strict=True)
        listed = [self._resolve(*each) for each in lists]
        wanted = abbreviations(tag for tags in listed for tag in tags)
        known = complete(wanted, self.history()) if wanted else {}
        found = tuple(
            compile_catalog(service, tags, known)
            for service, tags in zip(services, listed, strict=True)
        )
        return tuple(map(self._measure, found)) if sizes and not self.listing else found

    def _list(self, repository: Repository) -> Sequence[ListedTag]:
        if self.listing:
            return tuple(self.listing.tags(repository))
        return tuple(ListedTag(tag) for tag in self.registry.tags(repository))

    def _resolve(self, repository: Repository, listed: Sequence[ListedTag]) -> Sequence[ListedTag]:
        """Ask for the images that a listing does not name. One that is no image stays unknown."""
        unknown = [each.name for each in listed if each.digest is None]
        references = [Reference(repository, tag) for tag in unknown]
        found = spread(self.registry.resolve, references)
        digests = dict(zip(unknown, found, strict=True))
        return [replace(each, digest=each.digest or digests[each.name]) for each in listed]

    def _measure(self, catalog: Catalog) -> Catalog:
        repository = catalog.service.repository

        digests = catalog.unsized(_MOST_SIZES)
        sizes = spread(partial(self.registry.size, repository), digests)
        return catalog.sized(dict(zip(digests, sizes, strict=True)))

    def created(
        self, repository: Repository, digests: Collection[Digest]
    ) -> dict[Digest, datetime]:
        """When images were made; those left out that do not tell."""
        moments = spread(partial(self.registry.created, repository), digests)
        return {digest: each for digest, each in zip(digests, moments, strict=True) if each}
