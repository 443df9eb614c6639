"""How requests is used: connections whose answers begin in time, and nothing done by itself.

https://requests.readthedocs.io/en/latest/user/advanced/#transport-adapters
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
    """Waits for the head of an answer no longer than for one read, however it drips.

    ``stop``: once it is set, nothing is sent, though the connection may have been under way.
    """

    def __init__(self, *args: Any, stop: Event, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stop = stop

    def send(self, data: Any) -> None:
        """Send a part of a request. Connecting may have taken long."""
        if self.sock is None:
            self.connect()
        if self._stop.is_set():
            raise SystemExit
        super().send(data)

    def _tunnel(self) -> None:
        """Have a proxy connect: its answer may drip, too."""
        with self._ended():
            super()._tunnel()

    def _ended(self) -> AbstractContextManager[None]:
        connected = self.sock
        return ended_after(float(self.timeout or 0), lambda: connected.shutdown(socket.SHUT_RDWR))

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # So it is in urllib3.
        """Read the status and the headers. Raises a timeout."""
        with self._ended():
            return super().getresponse()


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Adapter(HTTPAdapter):
    """Gives each request such a connection, through a proxy too."""

    def __init__(self, stop: Event) -> None:
        super().__init__(max_retries=0)
        self.stop = stop

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Find the pool of a request's host."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if isinstance(pool, HTTPConnectionPool):
            is_tls = isinstance(pool, HTTPSConnectionPool)
            pool.ConnectionCls = _TlsConnection if is_tls else _Connection
            pool.conn_kw["stop"] = self.stop
        return pool


class Session(requests.Session):
    """Connections of one run, kept open. It tries nothing again, and follows no redirect.

    Nothing is sent once ``stop`` is set.
    """

    def __init__(self, stop: Event) -> None:
        super().__init__()
        self.mount("https://", _Adapter(stop))
        self.mount("http://", _Adapter(stop))
        self.auth = lambda request: request  # Or requests would read ~/.netrc.
        self.headers["User-Agent"] = "feastflow-registry"

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Look for no other address: requests would read the body of a redirect to its end."""
