"""Servers that send their clients to what is no address: told in a sentence, never followed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.clients import quick_client
from support.servers.serving import Call, Server
from support.soak import one_in

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.copy import ImageCopier
from feastflow_registry.registry.delete import RegistryDeletion
from feastflow_registry.registry.docker_hub import HubClient
from feastflow_registry.transport.http import Client

NONE = ["http://[::1", "//[", "http://host:99999/x", "https://", "javascript:alert(1)"]
DIGEST = Digest("sha256:" + "0" * 64)
APP = Tag("app")


class Astray(Server):
    """Answers everything with one status and the same headers."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__()
        self.status, self.headers = status, headers

    def respond(self, call: Call) -> None:
        call.answer(self.status, b'{"tags": []}', self.headers.items())


def http() -> Client:
    return quick_client()


def registry(server: Server) -> tuple[RegistryClient, Repository]:
    host = RegistryHost.parse(server.url.removeprefix("http://"))
    repository = Repository.parse(host, "team/app")
    auth = Authenticator(http(), host, Credential("ada", "a-long-token"), [repository], True)
    return RegistryClient(auth.http, auth), repository


def hub(server: Server) -> tuple[HubClient, Repository]:
    repository = Repository.parse(RegistryHost.parse("docker.io"), "team/app")
    return HubClient(http(), Credential("ada", "a-long-token"), server.url), repository


def copy_blob(server: Server) -> None:
    client, repository = registry(server)
    other = Repository.parse(repository.host, "team/other")
    ImageCopier(client, client).copy(repository, DIGEST, other)


def with_registry(ask: Callable[[RegistryClient, Repository], object]) -> Callable[[Server], None]:
    def work(server: Server) -> None:
        ask(*registry(server))

    return work


def with_hub(ask: Callable[[HubClient, Repository], object]) -> Callable[[Server], None]:
    def work(server: Server) -> None:
        ask(*hub(server))

    return work


REDIRECTED: dict[str, Callable[[Server], None]] = {
    "a configuration": with_registry(lambda to, app: to.config(app, DIGEST)),
    "a manifest": with_registry(lambda to, app: to.manifest(app, DIGEST)),
    "the tags": with_registry(lambda to, app: to.tags(app)),
    "a push": with_registry(lambda to, app: to.check_push(app)),
    "a deletion": with_registry(lambda to, app: RegistryDeletion(to).delete_tag(app, APP)),
    "a copy": copy_blob,
    "facts": with_hub(lambda to, app: to.about(app)),
    "a listing": with_hub(lambda to, app: list(to.tags(app))),
    "a tag": with_hub(lambda to, app: to.exists(app, APP)),
    "a deletion on Docker Hub": with_hub(lambda to, app: to.delete_tag(app, APP)),
}


@pytest.mark.parametrize("status", one_in(4, [301, 307]))
@pytest.mark.parametrize("where", [*NONE, "http://a..b/x", f"http://{'a' * 64}.example/"])
def test_a_redirect(where: str, status: int) -> None:
    with Astray(status, {"Location": where}) as server:
        for name, work in REDIRECTED.items():
            with pytest.raises(Failure) as caught:
                work(server)
            assert caught.value.kind is Kind.UNREACHABLE, name


@pytest.mark.parametrize("where", NONE)
def test_the_next_page(where: str) -> None:
    with Astray(200, {"Link": f'<{where}>; rel="next"'}) as server:
        client, app = registry(server)
        with pytest.raises(Failure, match="continues at another address") as caught:
            client.tags(app)
    assert caught.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize("where", NONE)
def test_where_an_upload_goes_on(where: str) -> None:
    """That it may be begun is all that is asked; it is not cancelled elsewhere."""
    with Astray(202, {"Location": where}) as server:
        client, app = registry(server)
        client.check_push(app)
        assert [each.method for each in server.requests] == ["POST"]


@pytest.mark.parametrize("where", NONE)
def test_a_token_server(where: str) -> None:
    with Astray(401, {"WWW-Authenticate": f'Bearer realm="{where}"'}) as server:
        client, app = registry(server)
        with pytest.raises(Failure, match="not a trustworthy address") as caught:
            client.tags(app)
        assert len(server.requests) == 1
    assert caught.value.kind is Kind.REFUSED
