"""What may be shown of an address, and how long to wait: the pure parts of `http`."""

from __future__ import annotations

from threading import Event
from typing import Any, cast
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request
from requests import exceptions as broken
from support.failures import fails

from feastflow_registry.model.errors import Kind
from feastflow_registry.transport.addresses import redact, split
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response, address, retry_after
from feastflow_registry.transport.session import Session

WORDS = st.text(alphabet="abcXYZ019-._~%:@$+", min_size=1)


@given(WORDS, WORDS, WORDS, WORDS)
def test_a_url_is_shown_without_what_may_be_secret(
    user: str, password: str, query: str, fragment: str
) -> None:
    url = f"https://{user}:{password}@registry.example.com:5000/v2/a/b"
    shown = "https://registry.example.com:5000/v2/a/b"
    assert redact(f"{url}?token={query}#{fragment}") == redact(url) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:50 GMT"}, 10.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"x-retry-after": "105"}, 5.0),
        ({"x-retry-after": "99", "retry-after": "7"}, 0.0),
        ({"retry-after": "9" * 50}, 999999999.0),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "\u0667"}, None),
        ({}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 100.0) == seconds


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        (
            b'{"errors": [{"code": "DENIED", "message": "no\\n\\u001b[1mway"}]}',
            ' ("DENIED: no  [1mway")',
        ),
        (b'{"message": "no way", "detail": "why"}', ' ("no way")'),
        (b'{"errors": [], "detail": "why"}', ' ("why")'),
        (b'{"errors": ["x"]}', ""),
        (b'{"errors": {}}', ""),
        (b'["x"]', ""),
        (b"<html>", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_what_a_server_says_of_a_refusal(body: bytes, explanation: str) -> None:
    assert Response(403, {}, body, "").explanation == explanation


NO_ADDRESSES = [
    *("", "http://[::1", "//[", "http://host:99999/x", "http://host:x/", "http:///x"),
    *("http://[::1]:-1/", "https://]/"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_told_from_one(text: str) -> None:
    answer = Response(307, {"location": text}, b"", "https://registry.example.com/v2/a")
    assert address(answer, "location") == ""
    assert split(text).hostname is None
    assert "@" not in redact(text)


def test_an_address_may_be_written_in_part() -> None:
    answer = Response(307, {"location": "../b?x=1"}, b"", "https://registry.example.com/v2/a/")
    assert address(answer, "location") == "https://registry.example.com/v2/b?x=1"
    assert address(answer, "link") == ""


@pytest.mark.parametrize(
    ("base", "target", "followed"),
    [
        ("https://a.example/x", "https://b.example/y", True),
        ("https://a.example/x", "/y", True),
        ("https://a.example/x", "http://a.example/y", False),
        ("https://a.example/x", "http://b.example/y", False),
        ("https://a.example/x", "ftp://a.example/y", False),
        ("https://a.example/x", "", False),
        ("http://localhost/x", "http://localhost/y", True),
        ("http://localhost/x", "https://b.example/y", True),
        ("http://localhost/x", "file:///etc/passwd", False),
    ],
)
def test_a_redirect_never_leaves_tls(base: str, target: str, followed: bool) -> None:
    client = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)
    sent: list[tuple[str, str, object]] = []

    def send(method: str, url: str, **more: object) -> Response:
        sent.append((method, url, more["headers"]))
        return Response(200, {}, b"here", url)

    first = Response(307, {"location": target}, b"", base)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "send", lambda _, *words, **more: send(*words, **more))
        if followed:
            assert client.follow(first, limit=9, method="HEAD", accept="x").body == b"here"
            assert sent == [("HEAD", urljoin(base, target), {"Accept": "x"})]
        else:
            with fails("redirected to an address without https", kind=Kind.UNREACHABLE):
                client.follow(first, limit=9)
            assert sent == []


def test_redirects_end() -> None:
    client = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)
    around = Response(307, {"location": "/x"}, b"", "https://a.example/x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "send", lambda *_, **__: around)
        with fails("https://a.example/x redirected again and again", kind=Kind.UNREACHABLE):
            client.follow(around, limit=9)


@pytest.mark.parametrize(
    ("status", "body", "tries"),
    [
        (500, b'{"message": "401 Unauthorized"}', 1),
        (500, b'{"code": "UNAUTHORIZED", "status": 401}', 1),
        (500, b'{"message": "request 401 of 500"}', 6),
        (500, b"", 6),
        (503, b'{"message": "401 Unauthorized"}', 6),
    ],
)
def test_a_refusal_behind_a_server_error_is_not_tried_again(
    status: int, body: bytes, tries: int
) -> None:
    asked: list[str] = []
    client = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)

    def exchange(*_: object) -> Response:
        asked.append("")
        return Response(status, {}, body, "https://a.example/x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_exchange", exchange)
        if tries == 1:
            assert client.send("DELETE", "https://a.example/x").status == 500
        else:
            with fails(f"answered {status}, 6 times", kind=Kind.UNREACHABLE):
                client.send("DELETE", "https://a.example/x")
    assert len(asked) == tries


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            broken.ProxyError(),
            "x could not be reached through the proxy, 6 times.",
        ),
        (
            broken.ConnectTimeout(),
            "x did not accept a connection in time, 6 times.",
        ),
        (broken.ReadTimeout(), "https://a.example/x did not answer in time, 6 times."),
        (broken.ConnectionError(), "x broke the connection or could not be reached, 6 times."),
        (broken.InvalidURL(), "https://a.example/x names no server that can be asked."),
    ],
)
def test_a_failure_is_told_in_one_sentence(error: Exception, said: str) -> None:
    client = Client(lambda: 0, lambda: 0, lambda _: None, lambda: 0)

    def exchange(*_: object) -> Response:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_exchange", exchange)
        with fails(said, kind=Kind.UNREACHABLE):
            client.send("GET", "https://a.example/x")


def test_who_waits_says_so_once_and_until_when() -> None:
    """Several threads are asked to wait at once, by servers whose limits are one."""
    told: list[str] = []
    now = [100.0]
    client = Client(lambda: now[-1], lambda: 60.0, lambda _: None, lambda: 0, tell=told.append)
    for seconds in [40, 41, 40, 15]:
        client.rest("https://api.example.com/x", seconds)
    assert told == [
        "api.example.com asks to wait 40 seconds, and is waited for until 00:01:40 UTC."
    ]
    now.append(140.0)
    client.rest("https://api.example.com/x", 40)
    assert len(told) == 2


def test_a_server_that_is_silent_for_long_is_named_once() -> None:
    told: list[str] = []
    now = [0.0]
    client = Client(lambda: now[0], lambda: 0, lambda _: None, lambda: 0, tell=told.append)
    silent = {"https://a.example/x", "https://b.example/x"}

    def exchange(_: Client, __: str, url: str, *___: object) -> Response:
        if url in silent:
            now[0] += 3.0
            raise broken.ReadTimeout
        return Response(503, {}, b"", url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_exchange", exchange)
        for url in (*sorted(silent), *sorted(silent), "https://quick.example/x"):
            with fails("6 times", kind=Kind.UNREACHABLE):
                client.send("GET", url)
    assert told == [
        "a.example did not answer in time, and is asked again: waiting for it.",
        "b.example did not answer in time, and is asked again: waiting for it.",
    ]


class Wire:
    """A socket that notes what is sent, once it is connected."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_nothing_is_sent_on_a_connection_that_was_made_during_the_interrupt(method: str) -> None:
    """Between the look at the flag and the first byte, a name is looked up and TLS is spoken."""
    stop, wire = Event(), Wire()
    adapter = cast("Any", Session(stop).get_adapter("http://"))
    request = Request("GET", "http://registry.invalid").prepare()
    pool = adapter.get_connection_with_tls_context(request, True)
    connection = pool.ConnectionCls("registry.invalid", **pool.conn_kw)

    def connect() -> None:
        connection.sock = wire
        stop.set()

    connection.connect = connect
    with pytest.raises(SystemExit):
        connection.request(method, "/v2/", body=b"x")
    assert wire.sent == []
