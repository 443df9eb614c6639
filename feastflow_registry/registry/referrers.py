"""What refers to an image: signatures, SBOMs and attestations, and how they are found.

Some have a tag that is made from the image's digest (``sha256-….sig``). Others name it as their
``subject``, and the registry lists them; where it does not, their makers keep the list in an index
under the tag ``sha256-…``.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import INDEXES, Manifest, malformed
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.response import misbehaving, next_page, pages

_LIMIT = 4 * 1024 * 1024
"""The most bytes of a list, of all its pages together."""
_MOST_PAGES = 100
_INDEX = INDEXES[0]

Listed = Mapping[Digest, Mapping[str, object]]
"""Descriptors, by the digest of what they describe."""


def list_tag(digest: Digest) -> Tag:
    """The tag of the list that is kept where the registry keeps none."""
    algorithm, _, encoded = digest.value.partition(":")
    return Tag(f"{algorithm}-{encoded[:64]}")


def ask(client: RegistryClient, repository: Repository, digest: Digest) -> Listed | None:
    """Ask the registry what names an image as its subject; nothing, if it keeps no such list.

    It has to say so twice: one answer that got lost must not leave signatures behind. Raises a
    failure if a list that has begun does not go on as one.
    """
    found = _ask(client, repository, digest)
    return found if found is not None else _ask(client, repository, digest)


def _ask(client: RegistryClient, repository: Repository, digest: Digest) -> Listed | None:
    url, left = client.url(repository, f"referrers/{digest}"), _LIMIT
    found: dict[Digest, Mapping[str, object]] = {}
    endless = misbehaving(f"{repository} has pages of what refers to {digest.short} without end")
    for page in pages(client.http.clock, _MOST_PAGES, endless):
        response = client.request("GET", url, {"Accept": _INDEX}, repository, limit=left)
        try:
            if response.status != 200:
                raise client.unexpected(response, f"what refers to {repository}@{digest.short}")
            found |= listed(Manifest.parse(response.body, response.headers.get("content-type", "")))
        except Failure:
            if page or response.status >= 500:
                raise
            return None  # Some do not answer 404, but with a page for people.
        url, left = next_page(response), left - len(response.body)
        if not url:
            break
    return found


def kept(client: RegistryClient, repository: Repository, digest: Digest) -> Listed:
    """What the list under the tag says; nothing, if there is none.

    Raises an unverified failure if the tag holds no list.
    """
    held = client.resolve(Reference(repository, list_tag(digest)))
    return listed(client.manifest(repository, held)) if held else {}


def listed(index: Manifest) -> Listed:
    """The descriptors of an index."""
    if not index.is_index:
        raise malformed("is no index")
    entries = index.content.get("manifests")
    entries = entries if isinstance(entries, list) else []
    return {child.digest: each for child, each in zip(index.children, entries, strict=True)}


def check(manifest: Manifest, digest: Digest) -> None:
    """Refuse what is listed as referring to an image, and does not name it as its subject."""
    subject = manifest.content.get("subject")
    if not isinstance(subject, dict) or subject.get("digest") != digest.value:
        cause = f"what is listed as attached to {digest.short} is attached to another image."
        raise Failure(
            Kind.UNVERIFIED,
            cause,
            "Attach it again with the tool that made it, such as cosign.",
        )


def keep(
    client: RegistryClient, repository: Repository, digest: Digest, entries: Iterable[object]
) -> None:
    """Write the list under the tag."""
    content = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": list(entries)}
    data = json.dumps(content).encode()
    own = Digest.of(data)
    client.manifests[repository, own] = Manifest.parse(data, _INDEX)
    give(client, Reference(repository, list_tag(digest)), own)


def give(client: RegistryClient, reference: Reference, digest: Digest) -> None:
    """Point a tag at what it is to hold, and read it back."""
    client.set_tag(reference, digest)
    if client.resolve(reference) != digest:
        raise Failure(
            Kind.UNVERIFIED,
            f"{reference} was written, but does not hold {digest.short}.",
            "Look at the repository, then run again: what is there is not sent twice.",
        )
