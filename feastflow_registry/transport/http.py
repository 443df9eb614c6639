"""One HTTP request that survives a transient failure: retries, a deadline, a size limit.

It decides what is sent again and how long to wait. It never follows a redirect with a
credential, never reads without end, and never shows a query string or a password in a message.
A layer passes through in pieces, from one request into another.
https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, LocationValueError

from feastflow_registry.model.errors import EXHAUSTED, Failure, Kind, causes
from feastflow_registry.model.references import is_loopback
from feastflow_registry.model.secrets import Secrets
from feastflow_registry.transport.addresses import redact
from feastflow_registry.transport.response import Response, address, retry_after, server_time
from feastflow_registry.transport.session import Session, ended_after

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_TRIES = 6
_MOST_REDIRECTS = 5
_LONGEST_PAUSE = 15.0
_PATIENCE = 300.0
_SILENCE = 5.0
"""Seconds that a person waits without being told for what."""
_TIMEOUT = (10.0, 20.0)
_UPLOAD_FACTOR = 5  # Times the timeout, for a server that stores a whole layer.
_LEAST_SPEED = 10_000  # Bytes a second: a large layer may take longer than the deadline.
_CHUNK = 1024 * 1024
"""As much as may be taken at once of what has arrived: each time costs a thread that ends it."""
_BODY_LIMIT = 65536
_INNER_REFUSAL = re.compile(
    rb"(?i)\b401\b\W{0,9}unauthorized|unauthorized\W{0,9}401\b|status\W{1,4}401\b"
)
_NO_PROXY = {"http": "", "https": ""}  # Overrides HTTP_PROXY for addresses of this machine.


Sink = Callable[[Iterator[bytes]], None]
"""Takes a body piece by piece. A retry calls it again, with the body from its start."""


@dataclass(slots=True)
class Stream:
    """A body of ``size`` bytes, in pieces that can be read only once."""

    pieces: Iterator[bytes]
    size: int
    begun: bool = False

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        self.begun = True
        return self.pieces


class Transient(Exception):
    """A failure that a retry may mend. ``wait``: seconds that the server asks for.

    ``unserved``: no process listens at an address of this machine; one retry is enough.
    """

    def __init__(
        self, url: str, cause: str, wait: float | None = None, *, unserved: bool = False
    ) -> None:
        super().__init__(cause)
        self.url, self.cause, self.wait, self.unserved = url, cause, wait, unserved


@dataclass(slots=True)
class Client:
    """Sends requests. ``deadline``: seconds for one request with all its retries.

    ``clock`` is monotonic and ``wall`` is unix time, both in seconds; ``jitter`` is in [0, 1).
    ``secrets`` learns every credential that is sent, for a server may echo it; once ``stop`` is
    set, no request begins: the run was interrupted. ``tell``: says that a server is waited for that
    asks for it, or that does not answer. From the first wait on that is longer than the deadline, a
    run has five minutes for them.
    """

    clock: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    deadline: float = 60.0
    timeout: tuple[float, float] = _TIMEOUT
    secrets: Secrets = field(default_factory=Secrets)
    stop: Event = field(default_factory=Event)
    sent: int = 0
    certificates: str = ""
    tell: Callable[[str], None] = lambda _: None
    _patient_until: float | None = None
    _told: float = 0.0
    _waited: set[str] = field(default_factory=set)
    _skews: list[float] = field(default_factory=list)
    _session: Session = field(init=False)

    def __post_init__(self) -> None:
        self._session = Session(self.stop)

    def trust(self, certificates: str) -> None:
        """Trust what a file or folder of certificates has signed, instead of requests' own list."""
        self.certificates = certificates
        self._session.verify = certificates or True

    @property
    def skew(self) -> float:
        """Seconds that this machine's clock is ahead of the servers', by the one that fits best.

        What a cache has kept is older than it says.
        """
        return min(self._skews, key=abs, default=0.0)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Stream | None = None,
        limit: int = _BODY_LIMIT,
        sink: Sink | None = None,
        deadline: float | None = None,
        tries: int = _MOST_TRIES,
    ) -> Response:
        """Send one request, again after a transient failure. ``limit``: most bytes of the answer.

        ``deadline``: seconds that it is worth at most, whatever the server asks for; ``tries``: how
        often it is sent. ``sink``: takes the body of a 200, without that limit. A ``Stream`` is
        sent only once: its transient failure is raised, so that the request that it is read from
        begins again. Raises an unreachable failure when tries or time run out, and a refused one at
        once when a quota is used up. The caller judges any other status.
        """
        if isinstance(body, Stream) and body.begun:
            raise Transient(url, "asked for a new token")
        begun = self.clock()
        expires = begun + (self.deadline if deadline is None else deadline)
        connect, read = self.timeout
        timeout = (min(connect, deadline or connect), min(read, deadline or read))

        def exchange() -> Response:
            return self._exchange(method, url, headers or {}, body, limit, sink, expires, timeout)

        for attempt in range(tries):
            try:
                return self._attempt(url, exchange)
            except Transient as error:
                failure = error
            if isinstance(body, Stream):
                raise failure
            if attempt and failure.unserved:
                raise _unserved(failure.url)
            if sink:  # A layer may have taken any time before it failed.
                expires = self.clock() + self.deadline
            pause = self._pause(attempt, failure)
            due = self.clock() + pause
            hopeless = due >= expires and (deadline is not None or not self._is_patient(failure))
            if attempt == tries - 1 or hopeless:
                break
            expires = max(expires, due + self.deadline * (due >= expires))
            if failure.wait is None and self.clock() - begun > _SILENCE:
                self._say_waiting(failure)
            self.rest(failure.url, pause)
        times = f", {attempt + 1} times" if attempt else ""
        asked = f", and asks to wait {failure.wait:.0f} seconds" if failure.wait else ""
        fix = "Run again after that: what is done stays done." if failure.wait else ""
        raise _unreachable(failure.url, f"{failure.cause}{times}{asked}", fix)

    def _say_waiting(self, failure: Transient) -> None:
        """Say, once for each server, why nothing else is said for so long."""
        host = urlsplit(failure.url).hostname or ""
        if host not in self._waited:
            self._waited.add(host)
            self.tell(f"{host} {failure.cause}, and is asked again: waiting for it.")

    def _pause(self, attempt: int, failure: Transient) -> float:
        """Seconds before the next try: those that the server asks for, or more each time."""
        pause: float = min(_LONGEST_PAUSE, 0.5 * 2**attempt) * (0.5 + self.jitter() / 2)
        if failure.wait is None:
            return pause
        # No wait is believed twice, or a server that says 0 would be asked without pause.
        return max(failure.wait, pause) if attempt else failure.wait

    def _is_patient(self, failure: Transient) -> bool:
        """Whether the run has time left for a wait that is longer than the deadline."""
        if failure.wait is None or failure.wait > _PATIENCE:
            return False
        self._patient_until = self._patient_until or self.clock() + _PATIENCE
        return self.clock() + failure.wait <= self._patient_until

    def rest(self, url: str, seconds: float) -> None:
        """Sleep; say so, once for all threads, if a server has asked for more than we would."""
        due = self.clock() + seconds
        if seconds > _LONGEST_PAUSE and due > self._told + _LONGEST_PAUSE:
            self._told = due
            until = datetime.fromtimestamp(self.wall() + seconds, UTC)
            asked = f"{urlsplit(url).hostname} asks to wait {seconds:.0f} seconds"
            self.tell(f"{asked}, and is waited for until {until:%H:%M:%S} UTC.")
        self.sleep(seconds)

    def follow(
        self,
        response: Response,
        *,
        limit: int,
        method: str = "GET",
        accept: str = "*/*",
        sink: Sink | None = None,
    ) -> Response:
        """Fetch what a redirect points at, without any credential."""
        for _ in range(_MOST_REDIRECTS):
            if response.status not in REDIRECTS:
                return response
            target = address(response, "location")
            plain = urlsplit(response.url).scheme == "http"
            if urlsplit(target).scheme not in ({"http", "https"} if plain else {"https"}):
                raise _unreachable(response.url, "redirected to an address without https")
            headers = {"Accept": accept}
            response = self.send(method, target, headers=headers, limit=limit, sink=sink)
        raise _unreachable(response.url, "redirected again and again")

    def _attempt(self, url: str, exchange: Callable[[], Response]) -> Response:
        """Send once, and tell a transient failure from one that a retry cannot mend."""
        try:
            response = exchange()
        except (requests.exceptions.InvalidURL, LocationValueError):
            raise _unreachable(url, "names no server that can be asked") from None
        except requests.exceptions.RequestException as error:
            _refuse_for_good(url, error)
            raise Transient(url, _reason(error), unserved=_is_unserved(url, error)) from None
        transient = response.status in _TRANSIENT and not _is_refusal(response)
        if transient or _is_limited(response):
            _refuse_exhausted(response)
            wait = retry_after(response.headers, self.wall())
            raise Transient(url, f"answered {response.status}", wait)
        return response

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
        limit: int,
        sink: Sink | None,
        expires: float,
        timeout: tuple[float, float],
    ) -> Response:
        if self.stop.is_set():
            raise SystemExit
        self.sent += 1
        self.secrets.learn_header((headers or {}).get("Authorization", ""))
        connect, read = timeout
        with self._session.request(
            method,
            url,
            headers=dict(headers),
            data=body,
            stream=True,
            allow_redirects=False,
            proxies=_NO_PROXY if is_loopback(urlsplit(url).hostname or "") else None,
            timeout=(connect, read * _UPLOAD_FACTOR if isinstance(body, Stream) else read),
        ) as answer:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            now = self.wall()
            if (theirs := server_time(lower, now)) != now:
                self._skews.append(now - theirs)
            data = bytearray()
            if sink and answer.status_code == 200:
                sink(self._pieces(answer, url, expires))
            else:
                for chunk in self._pieces(answer, url, expires, least_speed=0):
                    data += chunk
                    if len(data) > limit and answer.status_code in REDIRECTS:
                        break  # Nobody looks at it: a short one is read to keep the connection.
                    if len(data) > limit:
                        raise _unreachable(url, f"sent more than {limit} bytes")
            return Response(answer.status_code, lower, bytes(data), url)

    def _pieces(
        self, answer: requests.Response, url: str, expires: float, least_speed: int = _LEAST_SPEED
    ) -> Iterator[bytes]:
        """Yield a body in pieces, as long as they come fast enough."""
        passed = 0
        try:
            # As it arrives: whoever waits for a whole piece waits for ever if the bytes only drip.
            while True:
                # Any number of reads may bring nothing but framing.
                left = self.deadline if least_speed else max(expires - self.clock(), 0.1)
                with ended_after(left, answer.raw.shutdown):
                    chunk = answer.raw.read1(_CHUNK, decode_content=True)
                if not chunk:
                    return
                passed += len(chunk)
                if self.clock() > expires + (passed / least_speed if least_speed else 0):
                    raise Transient(url, "did not answer in time")
                yield chunk
        except TimeoutError:
            raise Transient(url, "did not answer in time") from None
        except HTTPError as error:
            # The sink may be sending these pieces on: this is no failure of that request.
            raise Transient(url, _reason(error)) from None


def _is_refusal(response: Response) -> bool:
    """Whether a server failed because another one behind it refused: trying again is no use.

    https://github.com/docker/hub-feedback/issues/2398
    """
    return response.status == 500 and _INNER_REFUSAL.search(response.body) is not None


def _is_limited(response: Response) -> bool:
    """Whether a refusal is for the number of requests: GitHub's may be a 403.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    spent = response.headers.get("x-ratelimit-remaining") == "0"
    return response.status == 403 and (spent or "retry-after" in response.headers)


def _refuse_exhausted(response: Response) -> None:
    """Fail at once if the pull limit is used up: the wait would be hours.

    https://docs.docker.com/docker-hub/usage/pulls/
    """
    remaining = response.headers.get("ratelimit-remaining", "")
    if response.status != 429 or remaining.partition(";")[0] != "0":
        return
    count, _, window = response.headers.get("ratelimit-limit", "").partition(";w=")
    told = window[:9] if window.isascii() and window.isdigit() else ""
    hours = f" in {int(told) / 3600:g} hours" if told else ""
    raise Failure(
        Kind.REFUSED,
        f"the pull limit of {urlsplit(response.url).hostname} is used up: "
        f"{count or 'all'} pulls{hours}.",
        "Wait until pulls are allowed again, or log in with an account of a higher limit.",
        see="pull-limit",
    )


def _reason(error: Exception) -> str:
    """Describe a transport error without its address and object names."""
    names = {
        "ConnectTimeout": "did not accept a connection in time",
        "ReadTimeout": "did not answer in time",
        "ReadTimeoutError": "did not answer in time",
        "ProxyError": "could not be reached through the proxy",
    }
    return names.get(type(error).__name__, "broke the connection or could not be reached")


def _refuse_for_good(url: str, error: Exception) -> None:
    """Fail at once where this machine has no more to give, or where TLS can never succeed.

    A handshake that was cut off may.
    """
    behind = list(causes(error))
    for each in behind:
        if isinstance(each, OSError) and each.errno in EXHAUSTED:
            raise each
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in behind):
        raise Failure(
            Kind.UNREACHABLE,
            f"{redact(url)} refused the connection: its certificate is not trusted.",
            "If it is signed by your company, name its file of certificates in SSL_CERT_FILE.",
            see="certificate",
        )
    if any(isinstance(e, ssl.SSLError) and e.reason == "WRONG_VERSION_NUMBER" for e in behind):
        raise Failure(
            Kind.UNREACHABLE,
            f"{redact(url)} speaks plain HTTP instead of HTTPS.",
            "Check the port, give the registry a certificate, or name it in "
            'the input "insecure-registries".',
            see="plain-http",
        )


def _is_unserved(url: str, error: Exception) -> bool:
    """Whether an address of this machine refused the connection."""
    refused = any(isinstance(each, ConnectionRefusedError) for each in causes(error))
    return refused and is_loopback(urlsplit(url).hostname or "")


def _unserved(url: str) -> Failure:
    cause = f"no server listens at {urlsplit(url).netloc.rpartition('@')[2]}."
    fix = "Start the server, or correct the port, then run again."
    return Failure(Kind.UNREACHABLE, cause, fix)


def _unreachable(url: str, cause: str, fix: str = "") -> Failure:
    usual = "Check the server's status and the network, then run again: what is done stays done."
    return Failure(Kind.UNREACHABLE, f"{redact(url)} {cause}.", fix or usual, see="unreachable")
