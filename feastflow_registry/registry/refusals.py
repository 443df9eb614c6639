"""What a registry's final answers mean to whoever has to mend it.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
"""

from __future__ import annotations

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Digest, Repository
from feastflow_registry.model.registries import RegistryKind
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.transport.addresses import redact
from feastflow_registry.transport.response import Response, misbehaving


def unexpected(
    response: Response, auth: Authenticator, what: str, *, write: bool = False
) -> Failure:
    """Turn a final answer into a failure, with the registry's own explanation."""
    reason, host = response.explanation, auth.host
    user = repr(auth.credential.username) if auth.credential else "(none)"
    immutable = response.status == 412 or "immutab" in reason.lower()
    if write and immutable and response.status in (400, 403, 409, 412):
        return Failure(
            Kind.CONFLICT,
            f"{host} refused {what}: a rule makes it immutable{reason}.",
            "Exclude the tag from the repository's rules of immutability: "
            "latest and milestones must move.",
            see="immutable",
        )
    if write and response.status == 409:
        return Failure(
            Kind.CONFLICT,
            f"{host} refused {what}: it conflicts with what is there{reason}.",
            "Run again; if it stays so, allow in the repository's settings that a tag is "
            "overwritten.",
        )
    if write and response.status == 404:
        return Failure(
            Kind.REFUSED,
            f"{host} knows no repository for {what}{reason}.",
            f"{_creation(auth.kind)}its name, and that user {user} may push to it.",
        )
    if response.status in (401, 403, 500):  # A 500 that is an answer tells of a 401 inside.
        need, may = ("read and write", "push to") if write else ("read", "pull from")
        fix = f"Give the token {need} scope, and check that user {user} may {may} it."
        return Failure(Kind.REFUSED, f"{host} denied {what}{reason}.", fix, see="denied")
    return misbehaving(f"{redact(response.url)} answered {response.status}{reason}")


def _creation(kind: RegistryKind) -> str:
    """What to do before checking a name that a registry does not know."""
    if kind.before_push is None:
        return "Create the repository first, if a push does not, or check "
    return f"Create {kind.before_push} first, or check " if kind.before_push else "Check "


def damaged(repository: Repository, digest: Digest) -> Failure:
    """The registry's bytes are not those of the digest."""
    return Failure(
        Kind.UNVERIFIED,
        f"what {repository.host} sent for {repository}@{digest.short} does not match that digest.",
        "Do not use this image: look at the registry, its proxy and its storage.",
    )
