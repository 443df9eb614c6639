"""Docker Hub's own API: what its registry does not tell, and the deletion that it does not offer.

It decides what a refusal means. It follows no address out of the listing that it reads, and
builds none from a name that is not a valid one.
https://docs.docker.com/reference/api/hub/latest/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted, ListedTag
from feastflow_registry.model.immutability import Verdict
from feastflow_registry.model.references import Reference, Repository, Tag
from feastflow_registry.registry.docker_hub_json import HubRepository, TagPage, misbehaving
from feastflow_registry.registry.http import Response
from feastflow_registry.registry.hub_session import (
    HUB,
    HubSession,
    unexpected,
)

_PAGE_LIMIT = 16 * 1024 * 1024
_MOST_PAGES = 1000
_LONGEST_QUERY = 1000
_REFUSALS = frozenset({400, 403, 409, 422})
_MAY_DELETE = (
    "Create an access token with Read, Write & Delete scope; its user must own the repository "
    "or administer it: a collaborator may not delete."
)


@dataclass(slots=True)
class HubClient:
    """Docker Hub for one run: its repositories and their tags."""

    session: HubSession

    def about(self, repository: Repository) -> HubRepository | None:
        """Read a repository's facts; nothing, if it is not there, or is not ours to see.

        https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/GetRepository
        """
        response = self.session.ask("GET", _path(repository))
        if response.status == 404:
            return None
        if response.status != 200:
            raise unexpected(response, f"a look at {repository}")
        return HubRepository.read(response.json)

    def tags(self, repository: Repository) -> Iterator[ListedTag]:
        """List every tag, page by page as they are asked for; none, if there is no such repository.

        What is deleted meanwhile shifts the pages, so that tags are missed: delete afterwards.
        What is pushed meanwhile may be listed twice.
        https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/ListRepositoryTags
        """
        path = f"{_path(repository)}/tags"
        query, seen = "page_size=100", set[str]()
        while query:
            if query in seen or len(seen) == _MOST_PAGES:
                raise misbehaving(f"lists the tags of {repository} without end")
            seen.add(query)
            response = self.session.ask("GET", f"{path}?{query}", limit=_PAGE_LIMIT)
            if response.status == 404:  # Of a later page: what was on it has been deleted.
                return
            if response.status != 200:
                raise unexpected(response, f"a look at the tags of {repository}")
            page = TagPage.read(response.json)
            yield from page.tags
            query = self._follow(page.next, repository) if page.next else ""

    def exists(self, repository: Repository, tag: Tag) -> bool:
        """Tell whether a tag is there, as Docker Hub's own pages show it."""
        response = self.session.ask("HEAD", f"{_path(repository)}/tags/{_name(tag)}")
        if response.status not in (200, 404):
            raise unexpected(response, f"a look at {Reference(repository, tag)}")
        return response.status == 200

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        """Delete one tag: what it points at stays, and so does every other tag.

        Raises a conflict if a rule makes the tag immutable, and a refusal if the token may not
        delete. In use everywhere, but not in Docker's reference:
        https://github.com/docker/hub-feedback/issues/496
        """
        _path(repository)
        path = f"/v2/repositories/{repository.path}/tags/{_name(tag)}/"
        self.session.pace()
        response = self.session.ask("DELETE", path)
        if response.status == 404:
            return Deleted.GONE
        if response.status in (200, 202, 204):
            return Deleted.DONE
        reference = Reference(repository, tag)
        if response.status in _REFUSALS:
            self._check_mutable(reference, tag, response)
        raise unexpected(response, f"the deletion of {reference}", _MAY_DELETE)

    def check_delete(self, repository: Repository, absent: Tag) -> None:
        """Make sure that the token may delete, by deleting a tag that is not there.

        Raises what ``delete_tag`` does, and a conflict if the tag is there after all.
        """
        if self.exists(repository, absent):
            raise Failure(
                Kind.CONFLICT,
                f"{Reference(repository, absent)} exists, so it is no tag to try a deletion on.",
                "Give that tag another name, and run again.",
            )
        self.delete_tag(repository, absent)

    def _check_mutable(self, reference: Reference, tag: Tag, response: Response) -> None:
        """Say so if a tag could not be deleted because it is immutable."""
        reason = response.explanation
        known = self.about(reference.repository)
        verdict, rule = known.immutable.judge(tag.value) if known else (Verdict.NO, "")
        if verdict is not Verdict.YES and "immutab" not in reason.lower():
            return
        by = f" by the rule {rule[:100]!r}" if rule else ""
        raise Failure(
            Kind.CONFLICT,
            f"{reference} is immutable on Docker Hub{by}, so it cannot be deleted{reason}.",
            "Keep it, or change the tag mutability in the repository's settings on Docker Hub.",
        )

    def _follow(self, target: str, repository: Repository) -> str:
        """Take the query from the link to the next page, which must be of the same listing.

        Nothing else of it is used. A gateway may hand through the links of Docker Hub itself.
        """
        try:
            parts = urlsplit(target)
        except ValueError:
            parts = urlsplit("")
        paths = (f"{_path(repository)}/tags", f"/v2/repositories/{repository.path}/tags")
        listings = {f"{base}{path}" for base in (self.session.base, HUB) for path in paths}
        listing = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        query = parts.query
        plain = query.isascii() and query.isprintable() and " " not in query
        if listing not in listings or not plain or not 0 < len(query) <= _LONGEST_QUERY:
            raise misbehaving(f"continues the tags of {repository} at another address")
        return query


def _name(tag: Tag) -> str:
    """A tag as part of an address: a listing may name one ``..``, one step from the repository."""
    return Tag.parse(tag.value).value


def _path(repository: Repository) -> str:
    Repository.parse(repository.host, repository.path)
    namespace, _, name = repository.path.partition("/")
    if not name or "/" in name:
        raise Failure(
            Kind.INPUT,
            f"{repository} is not a repository of Docker Hub.",
            "Its name has two parts, as in feastflow/feastflow-frontend.",
        )
    return f"/v2/namespaces/{namespace}/repositories/{name}"
