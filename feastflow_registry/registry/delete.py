"""Deleting on a registry by the OCI distribution protocol, and what must not be deleted there.

A registry deletes a tag alone, or only a digest with every tag on it, or nothing; its answer tells
which. The caller must not delete what a kept tag needs. What names a manifest as its ``subject``
(signatures, attestations of other tools) may be deleted with it or stay, as the registry decides.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#content-management
"""

from __future__ import annotations

from dataclasses import dataclass

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.response import Response

_DONE = frozenset({200, 202, 204})
_UNSUPPORTED = frozenset({400, 405})


@dataclass(slots=True)
class RegistryDeletion:
    """Deletes on the registry of a client, whose token must have been asked for deletion too."""

    registry: RegistryClient

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        """Delete one tag; ``UNSUPPORTED`` where a registry deletes by digest only, or not at all.

        distribution 2.8 answers a tag with 400 ``DIGEST_INVALID``, others with 405.
        """
        reference = Reference(repository, Tag.parse(tag.value))
        response = self._delete(reference)
        if self._is_unsupported(response, reference):
            return Deleted.UNSUPPORTED
        return self._outcome(response, reference)

    def delete_manifest(self, repository: Repository, digest: Digest) -> Deleted:
        """Delete a manifest together with every tag on it; it is read before, for ``restore``.

        The caller vouches that nothing that stays needs it: see ``children``.
        """
        digest = Digest.parse(digest.value)
        for _ in range(2):
            try:
                self.registry.manifest(repository, digest)
                break
            except Failure as failure:
                # What is gone, or damaged twice, cannot come back: it may go.
                if failure.kind is not Kind.UNVERIFIED:
                    raise
        reference = Reference(repository, digest)
        response = self._delete(reference)
        if self._is_unsupported(response, reference):
            host = repository.host
            raise Failure(
                Kind.REFUSED,
                f"{host} does not delete images by the registry API{response.explanation}.",
                self.registry.auth.kind.instead
                or "If it is yours, start it with REGISTRY_STORAGE_DELETE_ENABLED=true; "
                "else use the tools that it has for this.",
            )
        return self._outcome(response, reference)

    def restore(self, repository: Repository, digest: Digest) -> None:
        """Write a manifest again that was deleted, from its own bytes. It has no tag then."""
        self.registry.set_tag(Reference(repository, digest), digest)

    def children(self, repository: Repository, digest: Digest) -> frozenset[Digest]:
        """Every manifest that an index needs: platforms, attestations, and what these list in turn.

        None for an image. Costs a GET of the manifest, once a run.
        """
        return frozenset(each.digest for each in self.registry.descendants(repository, digest))

    def _delete(self, reference: Reference) -> Response:
        path = f"manifests/{reference.identifier}"
        return self.registry.send("DELETE", reference.repository, path)

    def _is_unsupported(self, response: Response, reference: Reference) -> bool:
        """Whether a registry deletes nothing so; some say of what is there that it is not."""
        if response.status == 404:
            return self.registry.resolve(reference) is not None
        return response.status in _UNSUPPORTED

    def _outcome(self, response: Response, reference: Reference) -> Deleted:
        if response.status == 404:
            return Deleted.GONE
        if response.status in _DONE:
            return Deleted.DONE
        host, reason = reference.repository.host, response.explanation
        if response.status in (401, 403):
            raise Failure(
                Kind.REFUSED,
                f"{host} denied the deletion of {reference}{reason}.",
                f"Give a token with the right to delete, or a user who has it. "
                f"{self.registry.auth.kind.instead}".rstrip(),
                see="denied",
            )
        raise Failure(
            Kind.UNREACHABLE,
            f"{host} answered {response.status} to the deletion of {reference}{reason}.",
            "Check the registry's status, then run again.",
        )
