"""What refers to an image: signatures, SBOMs and attestations, and how they are found.

Some have a tag that is made from the image's digest (``sha256-….sig``). Others name it as their
``subject``, and the registry lists them; where it does not, their makers keep the list in an index
under the tag ``sha256-…``.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.images import INDEXES, Manifest
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.response import next_page

_LIMIT = 4 * 1024 * 1024
_MOST_PAGES = 100
_INDEX = INDEXES[0]

Listed = Mapping[Digest, Mapping[str, object]]
"""Descriptors, by the digest of what they describe."""


def list_tag(digest: Digest) -> Tag:
    """The tag of the list that is kept where the registry keeps none."""
    algorithm, _, encoded = digest.value.partition(":")
    return Tag(f"{algorithm}-{encoded[:64]}")


def ask(client: RegistryClient, repository: Repository, digest: Digest) -> Listed | None:
    """Ask the registry what names an image as its subject; nothing, if it keeps no such list."""
    url = client.url(repository, f"referrers/{digest}")
    found: dict[Digest, Mapping[str, object]] = {}
    for _ in range(_MOST_PAGES):
        response = client.request("GET", url, {"Accept": _INDEX}, repository, limit=_LIMIT)
        if 400 <= response.status < 500:
            return None
        if response.status != 200:
            raise client.unexpected(response, f"what refers to {repository}@{digest.short}")
        try:
            found |= listed(Manifest.parse(response.body, _INDEX))
        except Failure:  # A page for people, for example.
            return None
        url = next_page(response)
        if not url:
            break
    return found


def kept(client: RegistryClient, repository: Repository, digest: Digest) -> Listed:
    """What the list under the tag says; nothing, if there is none."""
    held = client.resolve(Reference(repository, list_tag(digest)))
    with suppress(Failure):  # What is no index lists nothing.
        return listed(client.manifest(repository, held)) if held else {}
    return {}


def listed(index: Manifest) -> Listed:
    """The descriptors of an index."""
    entries = index.content.get("manifests")
    entries = entries if isinstance(entries, list) else []
    return {child.digest: each for child, each in zip(index.children, entries, strict=True)}


def keep(
    client: RegistryClient, repository: Repository, digest: Digest, entries: Iterable[object]
) -> None:
    """Write the list under the tag."""
    content = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": list(entries)}
    data = json.dumps(content).encode()
    own = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
    client.manifests[repository, own] = Manifest.parse(data, _INDEX)
    client.set_tag(Reference(repository, list_tag(digest)), own)
