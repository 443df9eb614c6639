"""What the registry client does with addresses that a registry makes up. No socket is opened."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from support.failures import fails

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.http import Client, Response

HOST = RegistryHost("reg.example.com")
SHOP = Repository(HOST, "ada/shop")
UPLOAD = "https://reg.example.com/v2/ada/shop/blobs/uploads/"


class Answers:
    """A client that begins an upload wherever it is told to, and notes what else is sent."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.sent: list[tuple[str, str]] = []

    def send(self, method: str, url: str, **_: Any) -> Response:
        self.sent.append((method, url))
        return Response(202, {"location": self.location}, b"", url)


@pytest.mark.parametrize(
    ("location", "cancelled"),
    [
        ("/v2/ada/shop/blobs/uploads/1", True),
        (f"{UPLOAD}1", True),
        ("http://reg.example.com/v2/ada/shop/blobs/uploads/1", False),
        ("https://elsewhere.example.com/v2/ada/shop/blobs/uploads/1", False),
        ("https://reg.example.com:444/v2/ada/shop/blobs/uploads/1", False),
        ("", False),
    ],
)
def test_an_upload_is_cancelled_at_the_registry_alone(location: str, cancelled: bool) -> None:
    """The credential goes along: to no other host, and never in clear text."""
    answers = Answers(location)
    auth = Authenticator(
        cast("Client", answers), HOST, Credential("ada", "dckr_pat_secret"), [SHOP], True
    )
    RegistryClient(cast("Client", answers), auth).check_push(SHOP)
    expected = [("POST", UPLOAD)] + ([("DELETE", f"{UPLOAD}1")] if cancelled else [])
    assert answers.sent == expected


@pytest.mark.parametrize("name", ["..", "../..", "a/b", "", "-x", [], "a b"])
def test_a_name_that_is_no_tag_becomes_no_part_of_an_address(name: object) -> None:
    class Listing(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            return Response(200, {}, json.dumps({"tags": ["latest", name]}).encode(), url)

    answers = cast("Client", Listing(""))
    client = RegistryClient(answers, Authenticator(answers, HOST, None, [SHOP], False))
    with fails("a list of tags holds ", kind=Kind.UNREACHABLE):
        client.tags(SHOP)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>"])
def test_a_list_of_tags_that_is_none_is_not_an_empty_one(body: bytes) -> None:
    class Listing(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            return Response(200, {}, body, url)

    answers = cast("Client", Listing(""))
    client = RegistryClient(answers, Authenticator(answers, HOST, None, [SHOP], False))
    with fails("answered without JSON", kind=Kind.UNREACHABLE):
        client.tags(SHOP)


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("requested access to the resource is denied", "Give the token read and write scope"),
        ("it cannot be updated due to immutability settings", "rules of immutability"),
    ],
)
def test_why_a_tag_cannot_be_written(said: str, fix: str) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": said}]}).encode()
    client = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)
    registry = RegistryClient(client, Authenticator(client, HOST, None, [SHOP], True))
    with fails(said, fix, kind=Kind.REFUSED):
        raise registry.unexpected(Response(403, {}, body, UPLOAD), "writing it", write=True)
