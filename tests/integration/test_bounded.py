"""A server that never ends: what comes over the wire is bounded in size and in time."""

from __future__ import annotations

import gzip
import itertools
import resource
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from support.clients import quick_client
from support.servers.serving import CHUNK, Call, Server
from support.soak import one_in

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.http import Client

MEGABYTE = 1024 * 1024
BOMB = gzip.compress(bytes(400 * MEGABYTE), 1)


class Endless(Server):
    """Answers with a status and a body that goes on for as long as somebody reads it."""

    def __init__(self, status: int, pieces: Iterable[bytes], headers: dict[str, str]) -> None:
        super().__init__()
        self.status, self.pieces, self.headers = status, pieces, headers
        self.sent = 0

    def respond(self, call: Call) -> None:
        head = {"Content-Length": "1500000000", **self.headers}
        call.wfile.write(call.head(self.status, head.items()))
        for piece in self.pieces:
            call.wfile.write(piece)
            self.sent += len(piece)


class EndlessHead(Server):
    """Begins an answer, and never comes to its body."""

    def __init__(self, start: str, more: str) -> None:
        super().__init__()
        self.head, self.more = start.encode(), more.encode()

    def respond(self, call: Call) -> None:
        call.wfile.write(self.head)
        while not self.closing.wait(0.01):
            call.wfile.write(self.more)


def client(deadline: float = 60.0, timeout: float = 20.0) -> Client:
    return quick_client(timeout=(timeout, timeout), deadline=deadline)


def flood() -> Iterable[bytes]:
    return itertools.repeat(bytes(CHUNK))


def test_the_body_of_a_redirect_is_not_read_to_its_end() -> None:
    with Endless(307, flood(), {"Location": "/elsewhere"}) as server:
        answer = client().send("GET", f"{server.url}/v2/")
        assert answer.status == 307
        assert answer.headers["location"] == "/elsewhere"
        server.forget()
    assert server.sent < 64 * MEGABYTE


@pytest.mark.parametrize("status", [200, 404, 403, 500])
def test_nor_is_any_other(status: int) -> None:
    with Endless(status, flood(), {}) as server:
        with pytest.raises(Failure, match="sent more than 65536 bytes") as failure:
            client().send("GET", f"{server.url}/v2/")
        server.forget()
    assert failure.value.kind is Kind.UNREACHABLE
    assert server.sent < 64 * MEGABYTE


def test_a_bomb_is_not_unpacked() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(BOMB))}
    with Endless(200, [BOMB], headers) as server:
        with pytest.raises(Failure, match="sent more than 65536 bytes"):
            client().send("GET", f"{server.url}/v2/")
        server.forget()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 200 * 1024, "kibibytes"


class Drip:
    """One byte after the other, for each request anew."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b"x"


def swallow(pieces: Iterator[bytes]) -> None:
    """Read a layer."""
    for _ in pieces:
        pass


@pytest.mark.parametrize("status", [200, 307, 404])
def test_a_body_that_drips_is_given_up(status: int) -> None:
    """As long as its bytes come one by one, no read of them times out."""
    with Endless(status, Drip(), {}) as server:
        with pytest.raises(Failure, match="did not answer in time") as failure:
            client(deadline=0.5).send("GET", f"{server.url}/v2/")
        server.forget()
    assert failure.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize(
    ("start", "more"),
    [
        ("", "H"),
        ("HTTP/1.1 200 OK", "K"),
        ("HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:", "0"),
        ("HTTP/1.1 200 OK\r\n", "X-Again: 1\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_head_that_drips_is_given_up(start: str, more: str) -> None:
    with EndlessHead(start, more) as server:
        with pytest.raises(Failure, match="did not answer in time") as failure:
            client(deadline=0.5, timeout=0.3).send("GET", f"{server.url}/v2/")
        server.forget()
    assert failure.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize("start", ["", "HTTP/1.1 200 OK\r\nX: "])
def test_a_proxy_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    with EndlessHead(start, "H") as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        with pytest.raises(Failure, match="did not answer in time"):
            client(deadline=0.5, timeout=0.3).send("GET", "https://registry.invalid/v2/")
        server.forget()


def test_a_layer_that_drips_is_given_up() -> None:
    with Endless(200, Drip(), {}) as server:
        with pytest.raises(Failure, match="did not answer in time"):
            client(deadline=0.5).send("GET", f"{server.url}/v2/", sink=swallow)
        server.forget()


@pytest.mark.parametrize("asked", ["0", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_server_that_asks_for_no_wait_is_not_asked_without_pause(asked: str) -> None:
    slept: list[float] = []
    with Endless(503, [], {"Retry-After": asked, "Content-Length": "0"}) as server:
        http = client()
        http.sleep = slept.append
        with pytest.raises(Failure, match="answered 503, 6 times"):
            http.send("GET", f"{server.url}/v2/")
    assert slept[0] == 0
    assert all(pause > 0.5 for pause in slept[1:]), slept


class Quota(Server):
    """Answers 429 a few times, and asks to wait."""

    def __init__(self, seconds: int, times: int) -> None:
        super().__init__()
        self.seconds, self.times = seconds, times

    def respond(self, call: Call) -> None:
        self.times -= 1
        if self.times < 0:
            call.answer(200, b"{}")
        else:
            call.answer(429, b"{}", [("Retry-After", str(self.seconds))])


@pytest.mark.parametrize(
    ("seconds", "times", "ends"),
    [(120, 1, True), (120, 2, True), (120, 3, False), (300, 1, True), (301, 1, False)],
)
def test_a_quota_is_waited_for_up_to_five_minutes_a_run(
    seconds: int, times: int, ends: bool
) -> None:
    slept: list[float] = []
    said: list[str] = []
    http = client()
    http.clock, http.sleep, http.tell = lambda: 100 + sum(slept), slept.append, said.append
    http.wall = lambda: sum(slept)
    with Quota(seconds, times) as server:
        if ends:
            assert http.send("GET", f"{server.url}/v2/").status == 200
        else:
            with pytest.raises(Failure, match=f"asks to wait {seconds} seconds"):
                http.send("GET", f"{server.url}/v2/")
    assert sum(slept) <= 300
    ends_at = itertools.accumulate(slept)
    assert said == [
        f"127.0.0.1 asks to wait {seconds} seconds, and is waited for until 00:0{at // 60}:00 UTC."
        for at in map(int, ends_at)
    ]


class Framing(Server):
    """Sends a body that never has a byte in it."""

    def __init__(self, head: dict[str, str], start: bytes, more: bytes) -> None:
        super().__init__()
        self.headers, self.first, self.more = head, start, more

    def respond(self, call: Call) -> None:
        call.wfile.write(call.head(200, self.headers.items()) + self.first)
        while not self.closing.wait(0.01):
            call.wfile.write(self.more)


CHUNKED = {"Transfer-Encoding": "chunked"}
EMPTY = gzip.compress(b"")


@pytest.mark.parametrize(
    ("head", "start", "more"),
    one_in(
        4,
        [
            (CHUNKED, b"", b"0"),
            (CHUNKED, b"5;x=", b"y"),
            (CHUNKED, b"0\r\n", b"X: y\r\n"),
            (CHUNKED, b"0\r\nX: ", b"y"),
            (CHUNKED | {"Content-Encoding": "gzip"}, b"", b"%x\r\n%b\r\n" % (len(EMPTY), EMPTY)),
            ({"Content-Encoding": "gzip", "Connection": "close"}, b"", EMPTY),
            (
                {"Content-Encoding": "gzip", "Connection": "close"},
                b"\x1f\x8b\x08\x10" + bytes(6),
                b"c",
            ),
        ],
    ),
    ids=["size", "extension", "trailers", "trailer", "members", "members to the end", "comment"],
)
@pytest.mark.parametrize("sink", [None, swallow], ids=["a body", "a layer"])
def test_a_body_of_nothing_but_framing_is_given_up(
    head: dict[str, str], start: bytes, more: bytes, sink: Callable[[Iterator[bytes]], None] | None
) -> None:
    with Framing(head, start, more) as server:
        with pytest.raises(Failure) as failure:
            client(deadline=0.5).send("GET", f"{server.url}/v2/", sink=sink)
        server.forget()
    assert failure.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize(("megabytes", "is_read"), [(60, True), (65, False)])
def test_a_list_of_tags_may_have_64_mebibytes(megabytes: int, is_read: bool) -> None:
    """Google lists every manifest beside them."""
    padding = itertools.repeat(b" " * MEGABYTE, megabytes)
    names = b'{"tags": ["latest", "sprint3"], "manifest": {}}'
    with Endless(200, [names, *padding], length(megabytes, names)) as server:
        repository = Repository.parse(RegistryHost.parse(f"127.0.0.1:{server.port}"), "shop/app")
        http = client()
        registry = RegistryClient(http, Authenticator(http, repository.host, None, [], False))
        if is_read:
            assert registry.tags(repository) == (Tag("latest"), Tag("sprint3"))
        else:
            with pytest.raises(Failure, match="sent more than 67108864 bytes"):
                registry.tags(repository)
        server.forget()


def length(megabytes: int, start: bytes) -> dict[str, str]:
    return {"Content-Length": str(megabytes * MEGABYTE + len(start))}
