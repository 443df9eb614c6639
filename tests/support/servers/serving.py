"""The ground of every server here: loopback only, threaded, silent, and a record of each request.

A record never holds a credential: of `Authorization` only the scheme is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

CHUNK = 64 * 1024

Headers = Iterable[tuple[str, str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a server saw of one request; sizes are those of the bodies, in bytes."""

    number: int
    """1 for the first request since the server started, in order of arrival."""
    method: str
    path: str
    """With its query."""
    at: float
    """`time.monotonic()` on arrival."""
    auth: str
    """The scheme only: `Basic`, `Bearer`, … or empty."""
    agent: str
    """The `User-Agent`, which tells our requests from the engine's."""
    status: int = 0
    """0 as long as nothing was answered: held, stalled or reset."""
    bytes_in: int = 0
    bytes_out: int = 0
    fault: str = ""
    """The kind of fault the proxy chose for it."""


class ClientLeftError(ConnectionError):
    """The client ended the connection before its request was complete."""


class Call(BaseHTTPRequestHandler):
    """One connection, and the request on it that is being answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener
    number = 0
    body: Iterator[bytes] = iter(())

    def handle(self) -> None:
        """Serve the connection; one in TLS is refused at once, in the words of Go's servers.

        Docker tries https first, and falls back to http only after an answer that begins so.
        """
        if self.server.owner.tls or self.connection.recv(1, socket.MSG_PEEK) != b"\x16":
            super().handle()
            return
        self.connection.recv(CHUNK)
        self.wfile.write(b"HTTP/1.0 400 Bad Request\r\n\r\nThis server speaks plain HTTP.\n")

    def dispatch(self) -> None:
        """Record the request and hand it to the server's `respond`."""
        self.body = self._read_body()
        owner = self.server.owner
        self.number = owner.record(self.command, self.path, self.headers)
        owner.respond(self)

    @property
    def seen(self) -> Request:
        """The record of the present request, as far as it is known."""
        return self.server.owner.recorded(self.number)

    @property
    def is_chunked(self) -> bool:
        """Whether the request's body comes in chunks (RFC 9112, section 7.1)."""
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def finish(self) -> None:
        """End the connection."""
        self.server.owner.finish(self)
        super().finish()

    def note(self, **known: Any) -> None:
        """Add to the record: always before the bytes go out, so that a client cannot overtake."""
        self.server.owner.amend(self.number, **known)

    def answer(self, status: int, body: bytes = b"", headers: Headers = ()) -> None:
        """Answer in one write. What is left of the request's body is read first."""
        for _ in self.body:
            pass
        head = self.head(status, [*headers, ("Content-Length", str(len(body)))])
        sent = b"" if self.command == "HEAD" else body
        self.note(status=status, bytes_out=len(sent))
        self.wfile.write(head + sent)

    def head(self, status: int, headers: Headers, reason: str = "") -> bytes:
        """The status line and headers as bytes."""
        if not reason and status in HTTPStatus._value2member_map_:
            reason = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def reset(self) -> None:
        """Break the connection with an RST, not a FIN; always raises `ConnectionAbortedError`."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
        raise ConnectionAbortedError("reset on purpose")

    def _read_body(self) -> Iterator[bytes]:
        size = 0
        try:
            for data in self._chunks() if self.is_chunked else self._counted():
                size += len(data)
                self.note(bytes_in=size)
                yield data
        except OSError as error:
            raise ClientLeftError("the client left in mid-body") from error

    def _counted(self, size: int | None = None) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0) if size is None else size
        while left:
            data = self.rfile.read1(min(left, CHUNK))
            if not data:
                raise ConnectionResetError("end of stream")
            left -= len(data)
            yield data

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield from self._counted(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def log_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing."""


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"):
    setattr(Call, f"do_{_method}", Call.dispatch)


class Listener(ThreadingHTTPServer):
    """The listening socket, and every connection it accepted."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Server, port: int) -> None:
        self.owner = owner
        self.live: dict[socket.socket, threading.Thread] = {}
        super().__init__(("127.0.0.1", port), Call)

    def server_bind(self) -> None:
        """Bind without `HTTPServer`'s look-up of the host's name, which may leave the machine."""
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        return self.owner.secure(connection), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread that `close_connections` can find again."""
        arguments = (request, client_address)
        thread = threading.Thread(target=self.process_request_thread, args=arguments, daemon=True)
        self.live[request] = thread
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection until it ends."""
        super().process_request_thread(request, client_address)
        self.live.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error; anything else is kept and raised on leaving."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | ssl.SSLError):
            self.owner.errors.append(error)

    def close_connections(self, timeout: float) -> None:
        """End every connection and wait for its thread."""
        live = list(self.live.items())
        for connection, _ in live:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in live:
            thread.join(timeout)


class Server:
    """A context manager that serves on 127.0.0.1; subclasses say how in `respond`."""

    tls: ssl.SSLContext | None = None
    """With what it speaks TLS, if it does."""

    def __init__(self, *, port: int = 0) -> None:
        self.errors: list[BaseException] = []
        """Defects of the server itself; leaving the context raises the first."""
        self.closing = threading.Event()
        self._wanted_port = port
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def respond(self, call: Call) -> None:
        """Answer one request."""
        raise NotImplementedError

    def secure(self, connection: socket.socket) -> socket.socket:
        """Speak TLS on a new connection, if that is due; its handshake is part of serving it."""
        if not self.tls:
            return connection
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def finish(self, call: Call) -> None:
        """Do what is due when a client's connection ends."""

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._listener is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return int(self._listener.server_address[1])

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a slash at the end; over TLS, `https://localhost`."""
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return tuple(self._requests)

    def record(self, method: str, path: str, headers: Any) -> int:
        """Open the record of a request; its number."""
        scheme, space, _ = headers.get("Authorization", "").partition(" ")
        with self._lock:
            self._requests.append(
                Request(
                    number=len(self._requests) + 1,
                    method=method,
                    path=path,
                    at=time.monotonic(),
                    auth=scheme if space else "",
                    agent=headers.get("User-Agent", ""),
                )
            )
            return len(self._requests)

    def recorded(self, number: int) -> Request:
        """The record of one request."""
        with self._lock:
            return self._requests[number - 1]

    def amend(self, number: int, **known: Any) -> None:
        """Add what is now known to the record of a request."""
        with self._lock:
            before = self._requests[number - 1]
            self._requests[number - 1] = dataclasses.replace(before, **known)

    def forget(self) -> None:
        """End every connection and forget every request; the address stays."""
        if self._listener:
            self._listener.close_connections(timeout=5)
        with self._lock:
            self._requests.clear()

    def start(self) -> Self:
        """Listen and serve; the address is known when it returns."""
        self.closing.clear()
        self._listener = Listener(self, self._wanted_port)
        self._thread = threading.Thread(target=self._serve, args=[self._listener], daemon=True)
        self._thread.start()
        return self

    def _serve(self, listener: Listener) -> None:
        """Wait for connections without polling: hundreds of servers live in one session."""
        while not self.closing.is_set():
            listener.handle_request()

    def stop(self) -> None:
        """Stop listening, end every connection, join every thread."""
        listener, self._listener = self._listener, None
        if listener is None or self._thread is None:
            return
        port = int(listener.server_address[1])
        self.closing.set()
        with contextlib.suppress(OSError):  # What waits for a connection is woken by one.
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        self._thread.join(5)
        listener.server_close()
        listener.close_connections(timeout=5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None and self.errors:
            raise RuntimeError(f"{type(self).__name__} failed while serving") from self.errors[0]
