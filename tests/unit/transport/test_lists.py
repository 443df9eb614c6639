"""Lists that come in pages, each of them slow: the whole is bounded too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from support.failures import fails

from feastflow_registry.git.github import GitHubApi, GitHubHistory
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import Digest, RegistryHost, Repository
from feastflow_registry.registry import referrers
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.docker_hub import HUB, HubClient
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

GITHUB = "https://api.github.com"
APP = Repository(RegistryHost("reg.example.com"), "ada/shop")
HUB_APP = Repository(RegistryHost.parse("docker.io"), "ada/shop")
INDEX = "application/vnd.oci.image.index.v1+json"


class Slow:
    """Answers each request after 20 seconds, with one more page of everything."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0

    def clock(self) -> float:
        return self.now

    def send(self, method: str, url: str, **_: Any) -> Response:
        self.now += 20
        self.asked += 1
        page = {
            "tags": [f"t{self.asked}"],
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [],
            "results": [],
            "access_token": "t",
            "next": f"{HUB}/v2/namespaces/ada/repositories/shop/tags?page={self.asked}",
        }
        refs = [{"ref": f"refs/tags/v{self.asked}"}]
        body: object = refs if "matching-refs" in url else page
        headers = {"link": f'<{url.partition("?")[0]}?p={self.asked}>; rel="next"'}
        headers["content-type"] = INDEX
        return Response(200, headers, json.dumps(body).encode(), url)


def registry(http: Client) -> RegistryClient:
    return RegistryClient(http, Authenticator(http, APP.host, None, [APP], False))


LISTS: dict[str, Callable[[Client], object]] = {
    "a registry's tags": lambda http: registry(http).tags(APP),
    "referrers": lambda http: referrers.ask(registry(http), APP, Digest.of(b"")),
    "Docker Hub's tags": lambda http: list(HubClient(http, Credential("a", "b")).tags(HUB_APP)),
    "GitHub's tags": lambda http: GitHubHistory(
        GitHubApi(http, "https://api.github.com", "ada/shop", "")
    ).git_tag_names(),
}


@pytest.mark.parametrize("name", LISTS)
def test_no_list_takes_longer_than_ten_minutes(name: str) -> None:
    server = Slow()
    with fails("without end", kind=Kind.UNREACHABLE):
        LISTS[name](cast("Client", server))
    assert server.now <= 1000 + 600 + 2 * 20
