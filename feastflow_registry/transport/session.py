"""How requests is used: connections whose answers begin in time, and nothing done by itself.

https://requests.readthedocs.io/en/latest/user/advanced/#transport-adapters
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool


@contextmanager
def ended_after(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call ``end`` from another thread if the block takes longer; then it raises a timeout.

    A timeout of a socket is one of each read, and a block may consist of any number of them.
    """
    late = Event()

    def give_up() -> None:
        late.set()
        with suppress(OSError, ValueError, RuntimeError):  # It has ended just then.
            end()

    timer = Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise TimeoutError


class _Connection(HTTPConnection):
    """Waits for the head of an answer no longer than for one read, however it drips."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # So it is in urllib3.
        """Read the status and the headers. Raises a timeout."""
        connected = self.sock
        with ended_after(float(self.timeout or 0), lambda: connected.shutdown(socket.SHUT_RDWR)):
            return super().getresponse()


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Adapter(HTTPAdapter):
    """Gives each request such a connection, through a proxy too."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Find the pool of a request's host."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if isinstance(pool, HTTPConnectionPool):
            is_tls = isinstance(pool, HTTPSConnectionPool)
            pool.ConnectionCls = _TlsConnection if is_tls else _Connection
        return pool


class Session(requests.Session):
    """Connections of one run, kept open. It tries nothing again, and follows no redirect."""

    def __init__(self) -> None:
        super().__init__()
        self.mount("https://", _Adapter(max_retries=0))
        self.mount("http://", _Adapter(max_retries=0))
        self.auth = lambda request: request  # Or requests would read ~/.netrc.
        self.headers["User-Agent"] = "feastflow-registry"

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Look for no other address: requests would read the body of a redirect to its end."""
