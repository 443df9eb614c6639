"""What is said of registries that do not delete by their protocol. No socket is opened."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import pytest
from support.failures import fails

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.delete import RegistryDeletion
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

DIGEST = Digest(f"sha256:{'0' * 64}")
LATEST = Tag("latest")


class Answers:
    """A registry that holds what it is asked for, and answers a deletion by a status."""

    def __init__(self, status: int, *, is_there: bool = True) -> None:
        self.status, self.is_there = status, is_there

    def clock(self) -> float:
        return 0.0

    def send(self, method: str, url: str, **_: Any) -> Response:
        if method == "DELETE":
            return Response(self.status, {}, b"", url)
        held = {"docker-content-digest": str(DIGEST)}
        return Response(200 if self.is_there else 404, held, b"", url)


def deletion(answers: Answers, host: str) -> tuple[RegistryDeletion, Repository]:
    http, repository = cast("Client", answers), Repository(RegistryHost(host), "shop/app")
    auth = Authenticator(http, repository.host, None, [repository], True, delete=True)
    return RegistryDeletion(RegistryClient(http, auth)), repository


def test_a_registry_of_ones_own_is_known_by_its_challenge() -> None:
    """A GitLab at a company's own name."""
    deleting, repository = deletion(Answers(405), "git.example.com")
    asked = {"www-authenticate": 'Basic realm="https://git.example.com/jwt/auth"'}
    with suppress(Failure):  # There is no credential to answer with.
        deleting.registry.auth.answer(Response(401, asked, b"", ""), None, repository.path)
    with fails("does not delete images", "cleanup policy of the project", kind=Kind.REFUSED):
        deleting.delete_manifest(repository, DIGEST)


@pytest.mark.parametrize(
    ("host", "means"),
    [
        ("ghcr.io", "actions/delete-package-versions"),
        ("1234.dkr.ecr.eu-west-1.amazonaws.com", "lifecycle policy"),
        ("shop.azurecr.io", "acr purge"),
        ("europe-docker.pkg.dev", "cleanup policy of the repository"),
        ("registry.gitlab.com", "cleanup policy of the project"),
        ("registry.gitlab.com:5000", "cleanup policy of the project"),
        ("reg.example.com", "REGISTRY_STORAGE_DELETE_ENABLED=true"),
    ],
)
@pytest.mark.parametrize("status", [400, 404, 405])
def test_what_deletes_instead_is_told(host: str, means: str, status: int) -> None:
    """A 404 for what is there says that there is no such request."""
    deleting, repository = deletion(Answers(status), host)
    assert deleting.delete_tag(repository, LATEST) is Deleted.UNSUPPORTED
    with fails(f"{host} does not delete images", means, kind=Kind.REFUSED):
        deleting.delete_manifest(repository, DIGEST)


def test_what_is_gone_is_gone() -> None:
    deleting, repository = deletion(Answers(404, is_there=False), "ghcr.io")
    assert deleting.delete_tag(repository, LATEST) is Deleted.GONE


@pytest.mark.parametrize(
    ("host", "means"), [("shop.azurecr.io", "AcrDelete"), ("reg.example.com", "right to delete")]
)
def test_who_may_not_delete_is_told_what_does(host: str, means: str) -> None:
    deleting, repository = deletion(Answers(403), host)
    with fails("denied the deletion", means, kind=Kind.REFUSED):
        deleting.delete_tag(repository, LATEST)
