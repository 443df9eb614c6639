"""Docker Hub's own API: what its registry does not tell, and the deletion that it does not offer.

It decides what a refusal means, when a token is renewed and how long to wait. The credential goes
to the address that the client was given, and to no address that an answer names. No address is
built from a name that is not a valid one.
https://docs.docker.com/reference/api/hub/latest/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted, HubRepository, ListedTag, Verdict
from feastflow_registry.model.references import Reference, Repository, Tag, is_loopback
from feastflow_registry.registry.docker_hub_json import (
    TagPage,
    hub_misbehaving,
    read_hub_repository,
)
from feastflow_registry.transport.addresses import redact
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response, pages, server_time

HUB = "https://hub.docker.com"
_ANSWER_LIMIT = 65536
_PAGE_LIMIT = 16 * 1024 * 1024
_MOST_PAGES = 1000
_LONGEST_QUERY = 1000
_LONGEST_TOKEN = 16 * 1024
_REFUSALS = frozenset({400, 403, 409, 422})
_MAY_DELETE = (
    "Create an access token with Read, Write & Delete scope; its user must own the repository "
    "or administer it: a collaborator may not delete."
)


@dataclass(slots=True)
class HubClient:
    """Docker Hub for one run and all of its threads. Without a credential it reads public facts.

    ``base``: the address of the API, ``https`` unless on this machine. ``interval``: seconds from
    one deletion to the next; about 600 in a row were too many
    (https://github.com/docker/hub-tool/issues/214).
    """

    http: Client
    credential: Credential | None
    base: str = HUB
    interval: float = 0.12
    _token: str = field(default="", repr=False)
    _renewing: Lock = field(default_factory=Lock, repr=False)
    _pacing: Lock = field(default_factory=Lock, repr=False)
    _next_deletion: float = 0.0
    _resumes: float = 0.0

    def __post_init__(self) -> None:
        self.base = check_base(self.base)

    def about(self, repository: Repository) -> HubRepository | None:
        """Read a repository's facts; nothing if it does not exist or is not ours to see.

        https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/GetRepository
        """
        response = self._ask("GET", _path(repository))
        if response.status == 404:
            return None
        if response.status != 200:
            raise _unexpected(response, f"a look at {repository}")
        return read_hub_repository(response.json)

    def tags(self, repository: Repository) -> Iterator[ListedTag]:
        """List every tag, page by page as they are asked for; none if the repository is missing.

        A deletion meanwhile shifts the pages, so that tags are missed: list first, then delete.
        A tag that is pushed meanwhile may be listed twice.
        https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/ListRepositoryTags
        """
        path = f"{_path(repository)}/tags"
        query, seen = "page_size=100", set[str]()
        endless = hub_misbehaving(f"lists the tags of {repository} without end")
        for _ in pages(self.http.clock, _MOST_PAGES, endless):
            if query in seen:
                raise endless
            seen.add(query)
            response = self._ask("GET", f"{path}?{query}", limit=_PAGE_LIMIT)
            if response.status == 404:  # A later page whose tags have been deleted meanwhile.
                return
            if response.status != 200:
                raise _unexpected(response, f"a look at the tags of {repository}")
            page = TagPage.read(response.json)
            yield from page.tags
            if not page.next:
                return
            query = self._next_query(page.next, repository)

    def exists(self, repository: Repository, tag: Tag) -> bool:
        """Tell whether a tag exists, as Docker Hub's own pages show it."""
        response = self._ask("HEAD", f"{_path(repository)}/tags/{_name(tag)}")
        if response.status not in (200, 404):
            raise _unexpected(response, f"a look at {Reference(repository, tag)}")
        return response.status == 200

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        """Delete one tag; its image stays, and so does every other tag.

        Raises a conflict if a rule makes the tag immutable, and a refusal if the token may not
        delete. Everybody uses this request, but Docker's reference does not have it:
        https://github.com/docker/hub-feedback/issues/496
        """
        _path(repository)
        path = f"/v2/repositories/{repository.path}/tags/{_name(tag)}/"
        self._wait_for_turn()
        response = self._ask("DELETE", path)
        if response.status == 404:
            return Deleted.GONE
        if response.status in (200, 202, 204):
            return Deleted.DONE
        reference = Reference(repository, tag)
        if response.status in _REFUSALS:
            self._check_mutable(reference, tag, response)
        raise _unexpected(response, f"the deletion of {reference}", _MAY_DELETE)

    def check_delete(self, repository: Repository, absent: Tag) -> None:
        """Make sure that the token may delete, by deleting a tag that does not exist.

        Raises what ``delete_tag`` does, and a conflict if the tag exists after all.
        """
        if self.exists(repository, absent):
            raise Failure(
                Kind.CONFLICT,
                f"the tag {Reference(repository, absent)} exists. To test the token, prune needs a "
                "tag that does not exist.",
                "Rename or delete that tag, then run again.",
            )
        self.delete_tag(repository, absent)

    def _check_mutable(self, reference: Reference, tag: Tag, response: Response) -> None:
        """Raise a conflict if a tag could not be deleted because it is immutable."""
        reason = response.explanation
        repository = self.about(reference.repository)
        verdict, rule = repository.immutable.judge(tag.value) if repository else (Verdict.NO, "")
        if verdict is not Verdict.YES and "immutab" not in reason.lower():
            return
        by = f" by the rule {rule[:100]!r}" if rule else ""
        raise Failure(
            Kind.CONFLICT,
            f"{reference} is immutable on Docker Hub{by}, so it cannot be deleted{reason}.",
            "Keep it, or change the tag mutability in the repository's settings on Docker Hub.",
            see="immutable",
        )

    def _next_query(self, link: str, repository: Repository) -> str:
        """Take the query from the link to the next page, which must be of the same listing.

        Nothing else of the link is used. A gateway may pass on the links of Docker Hub itself.
        """
        try:
            parts = urlsplit(link)
        except ValueError:
            parts = urlsplit("")
        paths = (f"{_path(repository)}/tags", f"/v2/repositories/{repository.path}/tags")
        listings = {f"{base}{path}" for base in (self.base, HUB) for path in paths}
        listing = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        query = parts.query
        if listing not in listings or not _is_plain(query) or len(query) > _LONGEST_QUERY:
            raise hub_misbehaving(f"continues the tags of {repository} at another address")
        return query

    def _wait_for_turn(self) -> None:
        """Wait until the next deletion is due, whichever thread made the last one."""
        with self._pacing:
            now = self.http.clock()
            wait = max(0.0, self._next_deletion - now)
            self._next_deletion = now + wait + self.interval
        if wait:
            self.http.sleep(wait)

    def _ask(self, method: str, path: str, *, limit: int = _ANSWER_LIMIT) -> Response:
        """Send with the token; with a new one, once, if it has expired."""
        token = self._authorize("")
        response = self._send(method, path, token, limit=limit)
        if response.status == 401 and self.credential:
            response = self._send(method, path, self._authorize(token), limit=limit)
        if response.status == 401:
            raise self._refused()
        return response

    def _send(
        self,
        method: str,
        path: str,
        token: str = "",
        *,
        body: bytes | None = None,
        limit: int = _ANSWER_LIMIT,
    ) -> Response:
        """Send one request, later if the last answer said that none is left for now.

        https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting
        """
        headers = {"Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": "application/json"} if body else {}
        url = f"{self.base}{path}"
        if (wait := self._resumes - self.http.clock()) > 0:
            self.http.rest(url, wait)
        response = self.http.send(method, url, headers=headers, body=body, limit=limit)
        reset = response.headers.get("x-ratelimit-reset", "")
        exhausted = response.headers.get("x-ratelimit-remaining") == "0"
        if exhausted and reset.isascii() and reset.isdigit():
            wait = int(reset[:12]) - server_time(response.headers, self.http.wall())
            self._resumes = self.http.clock() + min(max(wait, 0.0), self.http.deadline)
        return response

    def _authorize(self, expired: str) -> str:
        """Return this run's token, a new one if it is ``expired``; empty without a credential."""
        if self.credential is None:
            return ""
        with self._renewing:
            if self._token == expired:
                self._token = self._login(self.credential)
            return self._token

    def _login(self, credential: Credential) -> str:
        """Exchange the credential for a token of about ten minutes.

        https://docs.docker.com/reference/api/hub/latest/#tag/authentication-api
        """
        body = {"identifier": credential.username, "secret": credential.token}
        response = self._send("POST", "/v2/auth/token", body=json.dumps(body).encode())
        if response.status in (400, 401, 403):
            raise self._refused()
        if response.status != 200:
            raise _unexpected(response, "a login")
        token = response.json.get("access_token")
        if not isinstance(token, str) or not _is_plain(token) or len(token) > _LONGEST_TOKEN:
            raise hub_misbehaving("answers a login without a token")
        return token

    def _refused(self) -> Failure:
        if self.credential is None:
            return Failure(
                Kind.REFUSED,
                "Docker Hub's API answers only with credentials.",
                'Set the input "username" and the input "token", or run `docker login`.',
                see="credentials",
            )
        return Failure(
            Kind.REFUSED,
            "Docker Hub's API does not accept the user name and token.",
            "Check that the token is neither expired nor revoked, and that the user name is its "
            "owner's: with an organization's token, the organization's name.",
            see="denied",
        )


def check_base(url: str) -> str:
    """Check the address of the API, to which the credential goes. Raises an input failure."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        parts, name, port = urlsplit(""), "", None
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(name))
    odd = "@" in parts.netloc or parts.query or parts.fragment or port == 0
    if not (name and safe and _is_plain(url)) or odd:
        raise Failure(
            Kind.INPUT,
            f"FEASTFLOW_HUB_URL {redact(url)[:100]!r} is not the address of an API."
            if name
            else "FEASTFLOW_HUB_URL is not the address of an API.",
            'Write it as "https://hub.example.com", without user, query and fragment; '
            "http:// is for this machine alone.",
        )
    return url.rstrip("/")


def _unexpected(response: Response, what: str, fix: str = "") -> Failure:
    """Turn a final answer into a failure. ``fix``: what helps if it is a 403.

    A 500 that was not tried again tells of a 401 inside: the scope is missing.
    """
    reason = response.explanation
    if response.status in (403, 500):
        fix = fix or "Give the token read scope, and check that its user may see the repository."
        return Failure(Kind.REFUSED, f"Docker Hub denied {what}{reason}.", fix, see="denied")
    return hub_misbehaving(f"answered {response.status} to {what}{reason}")


def _is_plain(text: str) -> bool:
    """Whether a text can be part of an address or a header as it is."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _name(tag: Tag) -> str:
    """Check a tag that becomes part of an address: ``..`` would name the repository itself."""
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
