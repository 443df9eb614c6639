"""What to do about a refusal, by what is known of the registry."""

from __future__ import annotations

import pytest

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import Digest, RegistryHost
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

ECR = "1.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = Digest("sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        (ECR, "Create a repository (`aws ecr create-repository`) first, or check its name,"),
        ("europe-docker.pkg.dev", "Create an Artifact Registry repository"),
        ("ghcr.io", "Check its name, and that user (none) may push to it."),
        ("registry.example.com", "Create the repository first, if a push does not, or check"),
    ],
)
def test_a_repository_that_is_not_there(host: str, fix: str) -> None:
    http = Client(lambda: 0.0, lambda: 0.0, lambda _: None, lambda: 0.0)
    auth = Authenticator(http, RegistryHost(host), None, [], True)
    answer = Response(404, {}, b"", f"https://{host}/v2/")
    failure = RegistryClient(http, auth).unexpected(answer, "pushing to team/app", write=True)
    assert failure.kind is Kind.REFUSED
    assert failure.problems[0].fix.startswith(fix)
