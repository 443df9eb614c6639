"""Several things at once: what runs, in which order it answers, and what an interrupt ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from support.failures import fails
from support.runs import HOST, SHOP

from feastflow_registry.model import parallel
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.parallel import spread, together
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.response import Response

AT_ONCE = parallel.AT_ONCE


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "AT_ONCE", AT_ONCE)


def test_things_run_at_once_and_answer_in_their_order() -> None:
    meeting = threading.Barrier(AT_ONCE, timeout=20)
    assert spread(lambda n: (meeting.wait() >= 0, n)[1], range(AT_ONCE)) == list(range(AT_ONCE))


def test_one_thing_runs_here() -> None:
    assert spread(lambda _: threading.current_thread(), [1]) == [threading.current_thread()]


def test_the_first_failure_is_raised_when_all_have_ended() -> None:
    ended: list[int] = []

    def work(n: int) -> None:
        if n == 0:
            raise ValueError(n)
        ended.append(n)

    with pytest.raises(ValueError, match="0"):
        spread(work, range(4))
    assert len(ended) in range(4)


def test_after_an_interrupt_nothing_more_begins() -> None:
    begun: list[int] = []
    release = threading.Event()

    def work(n: int) -> None:
        begun.append(n)
        if n == 0:
            raise KeyboardInterrupt
        release.wait(20)

    with pytest.raises(KeyboardInterrupt):
        spread(work, range(5 * AT_ONCE))
    count = len(begun)
    release.set()
    assert count <= 2 * AT_ONCE


@dataclass
class Http:
    """A registry that wants a token: it answers 401 until it is sent the newest one."""

    current: int = 1
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    meeting: threading.Barrier | None = None

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **_: object
    ) -> Response:
        if "/token" in url:
            with self.lock:
                self.asked.append("token")
                return Response(200, {}, f'{{"token": "t{self.current}"}}'.encode(), url)
        sent = (headers or {}).get("Authorization", "")
        with self.lock:
            self.asked.append(sent)
        if sent == f"Bearer t{self.current}":
            return Response(404, {}, b"", url)
        if self.meeting:
            self.meeting.wait()
        challenge = 'Bearer realm="https://auth.docker.io/token",service="x"'
        return Response(401, {"www-authenticate": challenge}, b"", url)


def client(http: Http) -> RegistryClient:
    auth = Authenticator(http, HOST, Credential("ada", "secret"), [SHOP.repository], False)  # type: ignore[arg-type]
    return RegistryClient(http, auth)  # type: ignore[arg-type]


def ask_all(registry: RegistryClient) -> None:
    reference = Reference(SHOP.repository, Tag("latest"))
    assert spread(lambda _: registry.resolve(reference), range(AT_ONCE)) == [None] * AT_ONCE


def test_all_threads_share_one_challenge_and_one_token() -> None:
    http = Http()
    ask_all(client(http))
    assert http.asked.count("token") == 1
    assert http.asked.count("") == 1


def test_a_token_that_ends_for_all_threads_is_renewed_once() -> None:
    http = Http()
    registry = client(http)
    ask_all(registry)
    http.current = 2
    http.meeting = threading.Barrier(AT_ONCE, timeout=20)
    ask_all(registry)
    assert http.asked.count("token") == 2


def test_all_is_done_and_every_failure_is_raised_as_one() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        if number % 2:
            raise Failure(Kind.UNREACHABLE, f"{number} failed.", "Run again.")
        return number

    with fails("1 failed", "3 failed", kind=Kind.UNREACHABLE):
        together(work, [0, 1, 2, 3, 4])
    assert done == [0, 1, 2, 3, 4]
    assert together(work, [0, 2]) == [0, 2]
