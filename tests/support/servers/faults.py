"""Which requests a `FaultProxy` fails, and how.

Errors have the shape of
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Literal

from support.servers.serving import Request

Kind = Literal[
    "status", "reset_before", "reset_after", "stall", "slow", "truncate", "corrupt", "hold"
]

CODES = {
    400: "MANIFEST_INVALID",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    405: "UNSUPPORTED",
    429: "TOOMANYREQUESTS",
    503: "UNAVAILABLE",
}


class Fault:
    """One rule: which requests, and what happens to them.

    A request is meant if `method` (a regular expression, the whole of it), `path` (one found
    anywhere in path and query) and `match` all agree; left out, they do. Of the requests meant
    since the fault was added, the `nth` and the `times` - 1 after it are hit (`times=None`: for
    ever).

    | kind | what the client sees |
    |---|---|
    | `status` | `status`, `headers` and `body` (default: an error of the registry), not forwarded |
    | `reset_before` | a reset connection, be it in mid-upload; the upstream sees nothing |
    | `reset_after` | a reset connection after the upstream has done it all |
    | `stall` | nothing, until it gives up; the upstream sees nothing |
    | `slow` | the right answer, `delay_ms` later |
    | `truncate` | the right headers and half of the body, then the end of the connection |
    | `corrupt` | the right headers and a body with one bit flipped in its middle |
    | `hold` | nothing until `release()`, then the right answer; `arrived` is set meanwhile |
    """

    def __init__(
        self,
        kind: Kind,
        *,
        method: str = "",
        path: str = "",
        match: Callable[[Request], bool] | None = None,
        nth: int = 1,
        times: int | None = 1,
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        delay_ms: float = 0,
    ) -> None:
        self.kind = kind
        self.status = status
        self.headers = {"Content-Type": "application/json", **(headers or {})}
        self.body = body
        self.delay_ms = delay_ms
        self.arrived = threading.Event()
        """Set as soon as the fault hits a request."""
        self.fired = 0
        """How many requests it has hit."""
        self._method = re.compile(method)
        self._path = re.compile(path)
        self._match = match
        self._hits = range(nth, nth + times) if times is not None else None
        self._nth = nth
        self._meant = 0
        self._released = threading.Event()

    def release(self) -> None:
        """Let what is held go on, and everything after it."""
        self._released.set()

    def hits(self, request: Request) -> bool:
        """Count the request, and say whether its turn has come. The proxy asks once a request."""
        if self._method.pattern and not self._method.fullmatch(request.method):
            return False
        if not self._path.search(request.path) or (self._match and not self._match(request)):
            return False
        self._meant += 1
        return self._meant in self._hits if self._hits is not None else self._meant >= self._nth

    def strike(self) -> None:
        """Note that it hit."""
        self.fired += 1
        self.arrived.set()

    def wait(self) -> None:
        """Wait for `release()`."""
        self._released.wait()

    def error(self) -> bytes:
        """The body of the answer to a `status` fault."""
        if self.body is not None:
            return self.body
        code = CODES.get(self.status, "UNKNOWN")
        error = {"code": code, "message": "a fault of the test proxy", "detail": None}
        return json.dumps({"errors": [error]}).encode()
