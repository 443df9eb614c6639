"""Where the Docker Hub client sends what, whatever names and links it is given. No socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from support.failures import fails

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import RegistryHost, Repository, Tag
from feastflow_registry.registry.docker_hub import HUB, HubClient, check_base
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response, retry_after

HOST = RegistryHost.parse("docker.io")
SHOP = Repository(HOST, "ada/shop")
TAGS = "/v2/namespaces/ada/repositories/shop/tags"
SECRET = "dckr_pat_secret"


class Answers:
    """A client that answers a listing by what `next_` says, and notes each request."""

    deadline = 60.0

    def __init__(self, next_: Callable[[int], object] = lambda _: None) -> None:
        self.next = next_
        self.sent: list[str] = []
        self.authorized: list[str] = []

    def clock(self) -> float:
        return 0.0

    def send(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Response:
        if url.endswith("/v2/auth/token"):
            return Response(200, {}, b'{"access_token": "t"}', url)
        self.sent.append(f"{method} {url}")
        self.authorized.append(headers.get("Authorization", ""))
        page = {"results": [{"name": f"t{len(self.sent)}"}], "next": self.next(len(self.sent))}
        return Response(204 if method == "DELETE" else 200, {}, json.dumps(page).encode(), url)


def client(answers: Answers, base: str = HUB) -> HubClient:
    return HubClient(cast("Client", answers), Credential("ada", SECRET), base)


@pytest.mark.parametrize("base", [HUB, "https://gateway.example.com/hub"])
@pytest.mark.parametrize(
    "target",
    [
        "{base}/v2/namespaces/ada/repositories/shop/tags?page=2&page_size=100",
        "{base}/v2/namespaces/ada/repositories/shop/tags/?page=2&page_size=100",
        "{base}/v2/repositories/ada/shop/tags?page=2&page_size=100",
        f"{HUB}{TAGS}?page=2&page_size=100",
        f"{HUB}{TAGS}?page=2&page_size=100#fragment",
    ],
)
def test_a_link_leads_to_the_next_page_at_our_own_address(base: str, target: str) -> None:
    answers = Answers(lambda page: target.format(base=base) if page == 1 else "")
    found = list(client(answers, base).tags(SHOP))
    assert [each.name.value for each in found] == ["t1", "t2"]
    queries = ("page_size=100", "page=2&page_size=100")
    assert answers.sent == [f"GET {base}{TAGS}?{query}" for query in queries]
    assert set(answers.authorized) == {"Bearer t"}


@pytest.mark.parametrize(
    "target",
    [
        f"https://evil.example.com{TAGS}?page=2",
        f"http://hub.docker.com{TAGS}?page=2",
        f"https://hub.docker.com.evil.example.com{TAGS}?page=2",
        f"https://ada@hub.docker.com{TAGS}?page=2",
        f"https://hub.docker.com:444{TAGS}?page=2",
        f"//hub.docker.com{TAGS}?page=2",
        f"{TAGS}?page=2",
        "?page=2",
        f"{HUB}/v2/namespaces/ada/repositories/other/tags?page=2",
        f"{HUB}/v2/namespaces/ada/repositories/shop/tags/../../other/tags?page=2",
        f"{HUB}/v2/namespaces/ada/repositories/shop?page=2",
        f"{HUB}{TAGS}",
        f"{HUB}{TAGS}?",
        f"{HUB}{TAGS}?page=2&x=é",
        f"{HUB}{TAGS}?page=2 3",
        f"{HUB}{TAGS}?page={'9' * 1000}",
        "https://[::1",
        "file:///etc/passwd?page=2",
        "javascript:alert(1)",
    ],
)
def test_no_other_link_is_followed(target: str) -> None:
    answers = Answers(lambda _: target)
    with fails("another address", kind=Kind.UNREACHABLE):
        list(client(answers).tags(SHOP))
    assert len(answers.sent) == 1


@pytest.mark.parametrize(
    ("next_", "pages"),
    [
        (lambda _: f"{HUB}{TAGS}?page=2", 2),
        (lambda page: f"{HUB}{TAGS}?page={page % 3 + 1}", 4),
        (lambda page: f"{HUB}{TAGS}?page={page + 1}", 1000),
    ],
)
def test_a_listing_without_end_ends(next_: Callable[[int], object], pages: int) -> None:
    answers = Answers(next_)
    with fails("without end", kind=Kind.UNREACHABLE):
        list(client(answers).tags(SHOP))
    assert len(answers.sent) == pages


def test_a_deletion_is_sent_where_it_belongs() -> None:
    answers = Answers()
    client(answers).delete_tag(SHOP, Tag("v1.0"))
    assert answers.sent == [f"DELETE {HUB}/v2/repositories/ada/shop/tags/v1.0/"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/../..", "a/b", "a?b", "a#b", "a b", "%2e%2e"])
def test_a_tag_that_is_none_is_never_sent(name: str) -> None:
    """`tags/../` is the repository itself, which Docker Hub would delete with all it holds."""
    answers = Answers()
    for call in (client(answers).delete_tag, client(answers).exists, client(answers).check_delete):
        with fails("not a valid image tag"):
            call(SHOP, Tag(name))
    assert answers.sent == []


@pytest.mark.parametrize(
    "path", ["shop", "ada/shop/deep", "ada/..", "../shop", "ada/", "/shop", ""]
)
def test_a_repository_that_docker_hub_cannot_have_is_never_sent(path: str) -> None:
    answers = Answers()
    repository = Repository(HOST, path)
    for call in (
        lambda: client(answers).delete_tag(repository, Tag("one")),
        lambda: list(client(answers).tags(repository)),
        lambda: client(answers).about(repository),
    ):
        with fails("repository"):
            call()
    assert answers.sent == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://hub.docker.com", "https://hub.docker.com"),
        ("https://hub.example.com/", "https://hub.example.com"),
        ("https://gateway.example.com:8443/hub/", "https://gateway.example.com:8443/hub"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_the_address_of_the_api(url: str, base: str) -> None:
    assert check_base(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub.docker.com",
        "http://hub.example.com",
        "ftp://hub.example.com",
        "https://",
        f"https://ada:{SECRET}@hub.example.com",
        f"https://hub.example.com?token={SECRET}",
        f"https://hub.example.com#{SECRET}",
        "https://hub.example.com:99999",
        "https://hub.example.com:0",
        "https://hub.exam ple.com",
        "https://hub.example.com\n",
        "https://[hub",
        "https://höb.example.com",
    ],
)
def test_what_is_no_address_of_an_api(url: str) -> None:
    with fails("FEASTFLOW_HUB_URL") as caught:
        HubClient(cast("Client", Answers()), None, url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"access_token": null}',
        b'{"access_token": ""}',
        b'{"access_token": "a\\nb"}',
        b'{"access_token": "a b"}',
        b'{"access_token": "\\u00e9"}',
        json.dumps({"access_token": "x" * 20_000}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_token_that_is_none(answer: bytes) -> None:
    class Login(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            self.sent.append(url)
            return Response(200, {}, answer, url)

    answers = Login()
    with fails("Docker Hub's API", kind=Kind.UNREACHABLE):
        client(answers).about(SHOP)
    assert answers.sent == [f"{HUB}/v2/auth/token"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-retry-after": "105"}, 5.0),
        ({"x-retry-after": "105", "date": "Thu, 01 Jan 1970 00:00:45 GMT"}, 60.0),
        ({"x-retry-after": "105", "date": "Thu, 01 Jan 1970 01:00:00 GMT"}, 0.0),
        ({"x-retry-after": "105", "date": "some day"}, 5.0),
        ({"retry-after": "7", "date": "Thu, 01 Jan 1970 00:00:45 GMT"}, 7.0),
    ],
)
def test_a_time_is_understood_by_the_clock_of_who_names_it(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after(headers, 100.0) == seconds


def test_a_session_does_not_show_its_secrets() -> None:
    hub = client(Answers())
    assert hub.exists(SHOP, Tag("one"))
    assert SECRET not in repr(hub)
    assert "'t'" not in repr(hub)
