"""A reverse proxy that forwards faithfully, records every request, and fails where it is told to.

It stands before a registry, a token server or an API server, and speaks HTTP/1.1 to both sides
(https://www.rfc-editor.org/rfc/rfc9112): bodies are streamed in both directions, counted or in
chunks. The `Host` header goes through unchanged, so that the upstream names the proxy in its
links; a `Location` or `Link` that names the upstream all the same is rewritten.

To fail each request of a run in turn:

    for k in itertools.count(1):
        fault = proxy.add(Fault("reset_before", nth=k))
        run()
        if not fault.fired:
            break  # the run made fewer than k requests
"""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Self, cast

from support.servers.faults import Fault, Kind
from support.servers.habits import Habit
from support.servers.serving import CHUNK, Call, ClientLeftError, Request, Server

__all__ = ["Fault", "FaultProxy"]

UPSTREAM_TIMEOUT = 120.0

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1; Expect is answered by the proxy itself.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
ADDRESSES = ("location", "link", "www-authenticate")
"""The headers that hold addresses."""


class FaultProxy(Server):
    """`upstream` is an `http://host:port`; it, `latency_ms`, the faults may change at any time."""

    def __init__(self, upstream: str = "", *, latency_ms: float = 0, port: int = 0) -> None:
        super().__init__(port=port)
        self.upstream = upstream
        self.latency_ms = latency_ms
        """Added to every request."""
        self.habits: list[Habit] = []
        """What it does otherwise than its upstream."""
        self.renamed: dict[str, str] = {}
        """Addresses in the upstream's answers, and what they are called here."""
        self._faults: list[Fault] = []
        self._choosing = threading.Lock()
        self._connections: dict[socket.socket, tuple[str, http.client.HTTPConnection]] = {}

    def add(self, fault: Fault) -> Fault:
        """Let a fault take part from now on; of several that hit one request, the first counts."""
        with self._choosing:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove every fault and release what is held."""
        with self._choosing:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def uploaded(self, path: str = "") -> int:
        """Bytes of request bodies received so far on paths where the expression is found."""
        return sum(seen.bytes_in for seen in self.requests if re.search(path, seen.path))

    def stop(self) -> None:
        """Let go of everything held or under way, and stop."""
        self.closing.set()
        self.clear()
        for _, upstream in list(self._connections.values()):
            if upstream.sock is not None:
                with contextlib.suppress(OSError):
                    upstream.sock.shutdown(socket.SHUT_RDWR)
        super().stop()

    def start(self) -> Self:
        """Listen and forward."""
        self._connections.clear()
        return super().start()

    def finish(self, call: Call) -> None:
        """Close the upstream connection that belonged to a client's."""
        _, upstream = self._connections.pop(call.request, ("", None))
        if upstream is not None:
            upstream.close()

    def respond(self, call: Call) -> None:
        """Forward one request, or do to it what the fault says."""
        fault = self._choose(call.seen)
        self._pause(self.latency_ms)
        if any(habit.meets(call) for habit in self.habits):
            return
        if fault is None:
            self._answer(call, self._forward(call))
        else:
            call.note(fault=fault.kind)
            self._fail(call, fault)

    def fetch(self, call: Call) -> tuple[int, dict[str, str], bytes]:
        """Forward a request; the upstream's answer, read whole, for a habit to change.

        The names of its headers are in lower case.
        """
        answer = self._forward(call)
        headers = {name.lower(): value for name, value in self._headers(call, answer)}
        headers.pop("content-length", None)
        return answer.status, headers, b"".join(_stream(answer))

    def _fail(self, call: Call, fault: Fault) -> None:
        match fault.kind:
            case "status":
                call.answer(fault.status, fault.error(), fault.headers.items())
            case "reset_before":
                call.reset()
            case "reset_after":
                for _ in _stream(self._forward(call)):
                    pass
                call.reset()
            case "stall":
                _wait_for_end(call)
            case "slow":
                self._pause(fault.delay_ms)
                self._answer(call, self._forward(call))
            case "hold":
                fault.wait()
                self._pause(0)
                self._answer(call, self._forward(call))
            case "truncate" | "corrupt":
                self._answer(call, self._forward(call), fault.kind)

    def _pause(self, milliseconds: float) -> None:
        """Wait, and go on only if the proxy still runs."""
        if self.closing.wait(milliseconds / 1000):
            raise ConnectionAbortedError("the proxy stops")

    def _choose(self, request: Request) -> Fault | None:
        with self._choosing:
            hit = [fault for fault in self._faults if fault.hits(request)]
            if hit:
                hit[0].strike()
            return hit[0] if hit else None

    def _forward(self, call: Call) -> http.client.HTTPResponse:
        """Send the request upstream; its answer, the body still unread."""
        try:
            upstream = self._connection(call)
            upstream.putrequest(call.command, call.path, skip_host=True, skip_accept_encoding=True)
            for name, value in call.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            if call.is_chunked:
                upstream.putheader("Transfer-Encoding", "chunked")
            upstream.endheaders()
            self._send_body(call, upstream)
            return upstream.getresponse()
        except ClientLeftError:
            raise
        except (OSError, http.client.HTTPException) as error:
            if not self.closing.is_set():
                call.answer(502, f"upstream: {error!r}\n".encode(), [("Connection", "close")])
            raise ConnectionAbortedError("no answer from upstream") from error

    @staticmethod
    def _send_body(call: Call, upstream: http.client.HTTPConnection) -> None:
        listening = True
        for data in call.body:
            if not listening:
                continue  # what is left unread would turn the answer into a reset
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                upstream.send(b"%x\r\n%b\r\n" % (len(data), data) if call.is_chunked else data)
                continue
            # An upstream may answer without reading on: a 401 to a large upload.
            listening, call.close_connection = False, True
        if call.is_chunked and listening:
            upstream.send(b"0\r\n\r\n")

    def _connection(self, call: Call) -> http.client.HTTPConnection:
        """The upstream connection that belongs to this client's, opened anew where it has ended."""
        address, upstream = self._connections.get(call.request, ("", None))
        if upstream is None or address != self.upstream:
            if upstream is not None:
                upstream.close()
            netloc = urllib.parse.urlsplit(self.upstream).netloc
            upstream = http.client.HTTPConnection(netloc, timeout=UPSTREAM_TIMEOUT)
            self._connections[call.request] = (self.upstream, upstream)
        if upstream.sock is not None and select.select([upstream.sock], [], [], 0)[0]:
            upstream.close()
        if upstream.sock is None:
            upstream.connect()
            cast("socket.socket", upstream.sock).setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )
        return upstream

    def _answer(
        self, call: Call, answer: http.client.HTTPResponse, damage: Kind | None = None
    ) -> None:
        """Pass the upstream's answer on, streamed unless it is to be damaged."""
        empty = call.command == "HEAD" or answer.status in (204, 304)
        chunked, length = answer.chunked, answer.length
        headers = self._headers(call, answer)
        if chunked and not empty:
            headers.append(("Transfer-Encoding", "chunked"))
        elif length is None and not empty:
            headers.append(("Connection", "close"))
            call.close_connection = True
        call.note(status=answer.status)
        head = call.head(answer.status, headers, answer.reason)
        sent = 0
        for data in _damaged(b"".join(_stream(answer)), damage) if damage else _stream(answer):
            sent += len(data)
            call.note(bytes_out=sent)
            call.wfile.write(head + (b"%x\r\n%b\r\n" % (len(data), data) if chunked else data))
            head = b""
        end = b"0\r\n\r\n" if chunked and not empty and damage != "truncate" else b""
        call.wfile.write(head + end)
        if damage == "truncate" or (length is not None and not empty and sent < length):
            call.close_connection = True

    def _headers(self, call: Call, answer: http.client.HTTPResponse) -> list[tuple[str, str]]:
        return [
            (name, self._own(call, value) if name.lower() in ADDRESSES else value)
            for name, value in answer.getheaders()
            if name.lower() not in HOP_BY_HOP
        ]

    def _own(self, call: Call, value: str) -> str:
        """The address with the proxy in the upstream's place."""
        host = call.headers.get("Host") or f"127.0.0.1:{self.port}"
        names = {self.upstream.rstrip("/") + "/": f"http://{host}/", **self.renamed}
        for name, own in names.items():
            value = value.replace(name, own)
        return value


def _stream(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while data := answer.read1(CHUNK):
            yield data
        answer.read()  # read1 alone does not finish an answer without a body
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionAbortedError("the upstream left in mid-body") from error


def _damaged(body: bytes, damage: Kind) -> Iterator[bytes]:
    middle = len(body) // 2
    if damage == "truncate":
        body = body[:middle]
    elif body:
        body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
    if body:
        yield body


def _wait_for_end(call: Call) -> None:
    """Read and forget until the client, or `stop`, ends the connection."""
    with contextlib.suppress(OSError):
        while call.connection.recv(CHUNK):
            pass
    raise ConnectionAbortedError("stalled to the end")
