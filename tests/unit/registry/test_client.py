"""What the registry client does with addresses that a registry makes up. No socket is opened."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from support.failures import fails

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import IMAGES, INDEXES, Manifest
from feastflow_registry.model.references import Digest, Reference, RegistryHost, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

HOST = RegistryHost("reg.example.com")
SHOP = Repository(HOST, "ada/shop")
UPLOAD = "https://reg.example.com/v2/ada/shop/blobs/uploads/"


class Answers:
    """A client that begins an upload wherever it is told to, and notes what else is sent."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.sent: list[tuple[str, str]] = []

    def clock(self) -> float:
        return 0.0

    def send(self, method: str, url: str, **_: Any) -> Response:
        self.sent.append((method, url))
        return Response(202, {"location": self.location}, b"", url)


@pytest.mark.parametrize(
    ("location", "cancelled"),
    [
        ("/v2/ada/shop/blobs/uploads/1", True),
        (f"{UPLOAD}1", True),
        # What terminates TLS before the registry: the way there stays the one that is known.
        ("http://reg.example.com/v2/ada/shop/blobs/uploads/1", True),
        ("https://reg.example.com:443/v2/ada/shop/blobs/uploads/1", True),
        ("http://reg.example.com:80/v2/ada/shop/blobs/uploads/1", True),
        ("http://reg.example.com:8080/v2/ada/shop/blobs/uploads/1", False),
        ("https://ada@reg.example.com/v2/ada/shop/blobs/uploads/1", False),
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


@pytest.mark.parametrize("wait", ["", "0", "60"])
@pytest.mark.parametrize("status", [202, 401, 404, 429, 503])
def test_how_an_upload_is_cancelled_is_nobodys_concern(status: int, wait: str) -> None:
    """It expires anyway: it is tried once, and uses up none of the run's patience."""
    sent: list[str] = []
    slept: list[float] = []
    http = Client(lambda: sum(slept), lambda: 0, slept.append, lambda: 0)

    def exchange(_: Client, method: str, url: str, *rest: Any) -> Response:
        sent.append(method)
        if method == "DELETE":
            expires, timeouts = rest[-2:]
            assert max(expires, *timeouts) < 10
            return Response(status, {"retry-after": wait} if wait else {}, b"", url)
        return Response(202, {"location": f"{UPLOAD}1"}, b"", url)

    client = RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_exchange", exchange)
        client.check_push(SHOP)
    assert sent == ["POST", "DELETE"]
    assert slept == []
    assert http._patient_until is None


@pytest.mark.parametrize("name", ["..", "a/b", "", "-x", [], "a b", None, 7, float("nan"), True])
def test_a_name_that_is_no_tag_becomes_no_part_of_an_address(name: object) -> None:
    class Listing(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            return Response(200, {}, json.dumps({"tags": ["latest", name]}).encode(), url)

    answers = cast("Client", Listing(""))
    client = RegistryClient(answers, Authenticator(answers, HOST, None, [SHOP], False))
    assert client.tags(SHOP) == (Tag("latest"),)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"<html>", b'{"tags": "x"}', b'{"tags": {}}'),
        b'{"errors": [{"code": "UNKNOWN"}]}',
    ],
)
def test_a_list_of_tags_that_is_none_is_not_an_empty_one(body: bytes) -> None:
    class Listing(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            return Response(200, {}, body, url)

    answers = cast("Client", Listing(""))
    client = RegistryClient(answers, Authenticator(answers, HOST, None, [SHOP], False))
    with fails("answered without a list of tags", kind=Kind.UNREACHABLE):
        client.tags(SHOP)


def test_an_empty_repository_has_no_list() -> None:
    class Empty(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            return Response(200, {}, b'{"name": "shop", "tags": null}', url)

    http = cast("Client", Empty(""))
    assert RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False)).tags(SHOP) == ()


def test_what_two_pages_name_is_there_once() -> None:
    """Others delete while it is listed, and what follows moves up."""

    class Pages(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            link = {} if "last" in url else {"link": f'</v2{PAGE}>; rel="next"'}
            names = '["b"]' if "last" in url else '["a", "b"]'
            return Response(200, link, f'{{"tags": {names}}}'.encode(), url)

    http = cast("Client", Pages(""))
    client = RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False))
    assert client.tags(SHOP) == (Tag("a"), Tag("b"))


def test_a_page_that_is_missing_takes_nothing_back() -> None:
    class Pages(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            self.sent.append((method, url))
            if "last" in url:
                return Response(404, {}, b"", url)
            return Response(200, {"link": f'</v2{PAGE}>; rel="next"'}, b'{"tags": ["a"]}', url)

    answers = Pages("")
    http = cast("Client", answers)
    with fails("answered 404", kind=Kind.UNREACHABLE):
        RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False)).tags(SHOP)
    assert len(answers.sent) == 3


MUTABLE = "rules of immutability"
PAGE = "/ada/shop/tags/list?last=a"


@pytest.mark.parametrize(
    ("status", "said", "kind", "fix"),
    [
        (403, "access to the resource is denied", Kind.REFUSED, "Give the token read and write"),
        (404, "repository name not known", Kind.REFUSED, "Create the repository first"),
        (403, "it cannot be updated due to immutability settings", Kind.CONFLICT, MUTABLE),
        (400, "cannot be overwritten because the tag is immutable", Kind.CONFLICT, MUTABLE),
        (409, "Tag is Immutable", Kind.CONFLICT, MUTABLE),
        (412, "a precondition failed", Kind.CONFLICT, MUTABLE),
        (400, "manifest invalid", Kind.UNREACHABLE, "Check the registry's status"),
        (409, "somebody else is writing", Kind.CONFLICT, "allow in the repository's settings"),
        (500, "401 Unauthorized", Kind.REFUSED, "Give the token read and write"),
        (501, "not implemented", Kind.UNREACHABLE, "Check the registry's status"),
    ],
)
def test_why_a_tag_cannot_be_written(status: int, said: str, kind: Kind, fix: str) -> None:
    """ECR answers 400 and 404, Harbor 412, Docker Hub 403 and 500 (a 401 inside)."""
    body = json.dumps({"errors": [{"code": "DENIED", "message": said}]}).encode()
    client = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)
    registry = RegistryClient(client, Authenticator(client, HOST, None, [SHOP], True))
    with fails(said, fix, kind=kind):
        raise registry.unexpected(Response(status, {}, body, UPLOAD), "writing it", write=True)


def test_an_immutable_tag_can_be_read() -> None:
    registry = RegistryClient(cast("Client", None), Authenticator(None, HOST, None, [], True))  # type: ignore[arg-type]
    with fails("answered 412", kind=Kind.UNREACHABLE):
        raise registry.unexpected(Response(412, {}, b"", UPLOAD), "it")


@pytest.mark.parametrize(
    ("target", "followed"),
    [
        (f"/v2{PAGE}", f"/v2{PAGE}"),
        (f"/artifactory/api/docker/x/v2{PAGE}", f"/artifactory/api/docker/x/v2{PAGE}"),
        (f"http://reg.example.com/v2{PAGE}", f"/v2{PAGE}"),
        (f"https://elsewhere.example.com/v2{PAGE}", None),
        (f"https://reg.example.com:5000/v2{PAGE}", None),
        ("//ada@reg.example.com/v2/", None),
    ],
)
def test_the_next_page_is_on_the_same_host(target: str, followed: str | None) -> None:
    class Pages(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            self.sent.append((method, url))
            last = len(self.sent) == 2
            names = ["b"] if last else ["a"]
            headers = {} if last else {"link": f'<{target}>; rel="next"'}
            return Response(200, headers, json.dumps({"tags": names}).encode(), url)

    answers = Pages("")
    http = cast("Client", answers)
    client = RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False))
    if followed:
        assert client.tags(SHOP) == (Tag("a"), Tag("b"))
        assert answers.sent[1] == ("GET", f"https://reg.example.com{followed}")
    else:
        with fails("continues at another address", kind=Kind.UNREACHABLE):
            client.tags(SHOP)
        assert len(answers.sent) == 1


IMAGE, INDEX = {"mediaType": IMAGES[0]}, {"mediaType": INDEXES[0]}
Indexes = dict[int, list[tuple[int, dict[str, str]]]]


def holding(indexes: Indexes) -> RegistryClient:
    """A client that has read these indexes, and all images from 100 on. It can send nothing."""
    read = {number: Manifest(b"", IMAGES[0], {}) for number in range(100, 1200)}
    for index, listed in indexes.items():
        entries: list[dict[str, object]] = [
            {"digest": str(number(at)), **more} for at, more in listed
        ]
        read[index] = Manifest(b"", INDEXES[0], {"manifests": entries})
    known = {(SHOP, number(at)): manifest for at, manifest in read.items()}
    return RegistryClient(cast("Client", None), cast("Authenticator", None), known)


def number(digits: int) -> Digest:
    return Digest(f"sha256:{digits:064}")


def chain(length: int) -> Indexes:
    return {at: [(at + 1, INDEX) if at < length else (100, IMAGE)] for at in range(1, length + 1)}


def test_what_an_index_lists_comes_after_every_index_that_lists_it() -> None:
    client = holding(
        {1: [(2, INDEX), (100, IMAGE), (3, INDEX)], 2: [(101, IMAGE)], 3: [(2, INDEX)]}
    )
    found = [int(str(each.digest)[7:]) for each in client.descendants(SHOP, number(1))]
    assert found == [100, 3, 2, 101]
    assert [len(client.platforms(SHOP, number(at))) for at in (1, 2, 100)] == [2, 1, 1]
    assert client.descendants(SHOP, number(100)) == ()


@pytest.mark.parametrize(
    "indexes", [{1: [(at, IMAGE) for at in range(100, 1101)]}, chain(5)], ids=["many", "deep"]
)
def test_an_index_without_end_is_refused(
    indexes: Indexes,
) -> None:
    with fails("lists manifests without end", kind=Kind.UNVERIFIED):
        holding(indexes).descendants(SHOP, number(1))
    assert len(holding(chain(4)).descendants(SHOP, number(1))) == 4


@pytest.mark.parametrize("count", [0, 65])
def test_an_index_has_from_one_to_64_platforms(count: int) -> None:
    note: Any = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    listed = [(at, IMAGE) for at in range(100, 100 + count)]
    with fails(f"is an index of {count} platforms", kind=Kind.UNVERIFIED):
        holding({1: [*listed, (999, note)]}).platforms(SHOP, number(1))
    listed = [(at, IMAGE) for at in range(100, 164)]
    assert len(holding({1: [*listed, (999, note)]}).platforms(SHOP, number(1))) == 64


BODY = json.dumps({"mediaType": INDEXES[0], "schemaVersion": 2, "manifests": []}).encode()
OTHER = Digest.of(b"other")
THERE = "/v2/ada/shop/manifests/"


@pytest.mark.parametrize(
    ("status", "headers", "is_right"),
    [
        *((each, {}, True) for each in (200, 201, 202, 204)),
        (201, {"docker-content-digest": f"{Digest.of(BODY)}"}, True),
        (201, {"location": f"{THERE}{Digest.of(BODY)}"}, True),
        (201, {"location": f"{THERE}latest"}, True),
        (201, {"docker-content-digest": "none", "location": "http://["}, True),
        (201, {"docker-content-digest": f"sha512:{'0' * 128}"}, True),
        (201, {"docker-content-digest": f"{OTHER}"}, False),
        (202, {"location": f"https://reg.example.com{THERE}{OTHER}"}, False),
        (201, {"docker-content-digest": "", "location": f"{THERE}{OTHER}"}, False),
    ],
)
def test_a_write_is_answered_with_the_digest_that_was_written(
    status: int, headers: dict[str, str], is_right: bool
) -> None:
    class Writing(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            self.sent.append((method, url))
            return Response(status, headers, b"", url)

    http = cast("Client", answers := Writing(""))
    client = RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False))
    client.manifests[SHOP, Digest.of(BODY)] = Manifest.parse(BODY, INDEXES[0])
    if is_right:
        client.set_tag(Reference(SHOP, Tag("latest")), Digest.of(BODY))
    else:
        with fails(f"says that it has stored {OTHER.short}", kind=Kind.UNVERIFIED):
            client.set_tag(Reference(SHOP, Tag("latest")), Digest.of(BODY))
    assert len(answers.sent) == 1


@pytest.mark.parametrize(("pushed", "asked"), [(True, 3), (False, 1)])
def test_a_manifest_that_was_just_pushed_may_be_late(pushed: bool, asked: int) -> None:
    """As by BuildKit: what nobody has pushed is asked for once."""
    digest = Digest.of(BODY)

    class Late(Answers):
        def send(self, method: str, url: str, **_: Any) -> Response:
            self.sent.append((method, url))
            return Response(200 if len(self.sent) == 3 else 404, {}, BODY, url)

        def clock(self) -> float:
            return 0.0

        def sleep(self, _: float) -> None:
            """Wait for nothing."""

    answers = Late("")
    http = cast("Client", answers)
    client = RegistryClient(http, Authenticator(http, HOST, None, [SHOP], False))
    if pushed:
        client.expect(Reference(SHOP, digest), digest)
        assert client.manifest(SHOP, digest).data == BODY
    else:
        with fails("is not on the registry", kind=Kind.UNVERIFIED):
            client.manifest(SHOP, digest)
    assert len(answers.sent) == asked
