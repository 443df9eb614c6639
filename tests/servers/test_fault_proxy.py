"""The proxy before a real registry: faithful where no fault is asked for, exact where one is."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support.servers.fault_proxy import Fault, FaultProxy
from support.servers.faults import Kind
from support.servers.images import digest_of, put_blob, put_image
from support.servers.registry import Registry
from support.servers.serving import Request


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.url) as proxy:
        yield proxy


class TestFaultProxy:
    def test_twenty_megabytes_in_both_directions(
        self, proxy: FaultProxy, session: requests.Session
    ) -> None:
        data = os.urandom(20 * 1024 * 1024)
        url = f"{proxy.url}/v2/team/big"
        digest = put_blob(session, url, data)
        assert proxy.uploaded("/blobs/") == proxy.uploaded() == len(data)
        assert digest_of(session.get(f"{url}/blobs/{digest}", timeout=20).content) == digest
        assert proxy.requests[-1].bytes_out == len(data)

    def test_chunked_upload(self, proxy: FaultProxy, session: requests.Session) -> None:
        url = f"{proxy.url}/v2/team/chunked"
        parts = [os.urandom(300_000) for _ in range(7)]
        opened = session.post(f"{url}/blobs/uploads/", timeout=300)
        patched = session.patch(opened.headers["Location"], data=iter(parts), timeout=300)
        assert patched.status_code == 202
        digest = digest_of(b"".join(parts))
        put = session.put(patched.headers["Location"], params={"digest": digest}, timeout=300)
        assert put.status_code == 201
        assert proxy.uploaded() == 2_100_000

    def test_early_answer_to_a_large_upload(self, session: requests.Session) -> None:
        with Registry(users={"ada": "s3cret"}) as closed, FaultProxy(closed.url) as proxy:
            url = f"{proxy.url}/v2/team/app/blobs/uploads/x"
            answer = session.patch(url, data=bytes(20 * 1024 * 1024), timeout=20)
            assert answer.status_code == 401

    def test_records_and_keeps_alive(self, proxy: FaultProxy, session: requests.Session) -> None:
        url = f"{proxy.url}/v2/team/kept"
        digest = put_image(session, url, "one")
        size = int(session.get(f"{url}/manifests/one", timeout=300).headers["Content-Length"])
        head = session.head(f"{url}/manifests/one", timeout=300)
        assert (head.headers["Docker-Content-Digest"], head.content) == (digest, b"")
        assert int(head.headers["Content-Length"]) == size
        *_, got, headed = proxy.requests
        assert (got.method, got.path) == ("GET", "/v2/team/kept/manifests/one")
        assert (got.status, got.bytes_in, got.bytes_out) == (200, 0, size)
        assert (headed.method, headed.status, headed.bytes_out) == ("HEAD", 200, 0)
        assert [seen.number for seen in proxy.requests] == list(range(1, 8))
        assert all(a.at <= b.at for a, b in itertools.pairwise(proxy.requests))
        assert len(session.adapters["http://"].poolmanager.pools) == 1  # type: ignore[attr-defined]

    def test_status(self, proxy: FaultProxy, session: requests.Session) -> None:
        proxy.add(Fault("status", status=429, headers={"Retry-After": "3"}, method="GET"))
        answer = session.get(f"{proxy.url}/v2/", timeout=300)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
        assert answer.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
        assert session.get(f"{proxy.url}/v2/", timeout=300).status_code == 200
        assert [seen.fault for seen in proxy.requests] == ["status", ""]

    def test_status_after_a_large_upload(
        self, proxy: FaultProxy, session: requests.Session
    ) -> None:
        proxy.add(Fault("status", method="PUT"))
        answer = session.put(f"{proxy.url}/v2/x", data=bytes(5_000_000), timeout=300)
        assert (answer.status_code, proxy.requests[0].bytes_in) == (503, 5_000_000)

    def test_reset_before_and_after(self, proxy: FaultProxy, session: requests.Session) -> None:
        url = f"{proxy.url}/v2/team/reset/blobs/uploads/"
        kinds: tuple[Kind, ...] = ("reset_before", "reset_after")
        for kind in kinds:
            proxy.add(Fault(kind))
            with pytest.raises(requests.ConnectionError, match="reset by peer"):
                session.post(url, timeout=300)
            assert (proxy.requests[-1].status, proxy.requests[-1].fault) == (0, kind)

    def test_reset_after_has_been_forwarded(
        self, proxy: FaultProxy, registry: Registry, session: requests.Session
    ) -> None:
        proxy.add(Fault("reset_before", method="PUT", path="/manifests/"))
        proxy.add(Fault("reset_after", method="PUT", path="/manifests/", nth=2))
        tag = f"{registry.url}/v2/team/after/manifests/one"
        for status in (404, 200):
            # urllib3 hides a reset that comes while it still sends, and then finds no answer.
            with pytest.raises(requests.ConnectionError):
                put_image(session, f"{proxy.url}/v2/team/after", "one")
            assert session.head(tag, timeout=300).status_code == status

    def test_stall(self, proxy: FaultProxy, session: requests.Session) -> None:
        proxy.add(Fault("stall"))
        with pytest.raises(requests.ReadTimeout):
            session.get(f"{proxy.url}/v2/", timeout=0.2)
        assert proxy.requests[-1].status == 0

    def test_slow_and_latency(self, proxy: FaultProxy, session: requests.Session) -> None:
        proxy.add(Fault("slow", delay_ms=150))
        took = [session.get(f"{proxy.url}/v2/", timeout=300).elapsed.total_seconds()]
        proxy.latency_ms = 70
        took.append(session.get(f"{proxy.url}/v2/", timeout=300).elapsed.total_seconds())
        assert took[0] >= 0.15
        assert took[1] >= 0.07

    def test_truncate(self, proxy: FaultProxy, session: requests.Session) -> None:
        url = f"{proxy.url}/v2/team/cut"
        digest = put_blob(session, url, bytes(1000))
        proxy.add(Fault("truncate", path="/blobs/sha256"))
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="500 bytes read"):
            session.get(f"{url}/blobs/{digest}", timeout=300)

    def test_corrupt(self, proxy: FaultProxy, session: requests.Session) -> None:
        url = f"{proxy.url}/v2/team/flipped"
        digest = put_image(session, url, "one")
        proxy.add(Fault("corrupt", path="/manifests/one"))
        answer = session.get(f"{url}/manifests/one", timeout=300)
        assert answer.headers["Docker-Content-Digest"] == digest != digest_of(answer.content)

    def test_hold(self, proxy: FaultProxy, session: requests.Session) -> None:
        fault = proxy.add(Fault("hold", match=lambda seen: seen.agent == "the first"))
        answers: list[int] = []

        def first() -> None:
            headers = {"User-Agent": "the first"}
            answers.append(
                requests.get(f"{proxy.url}/v2/", headers=headers, timeout=300).status_code
            )

        thread = threading.Thread(target=first)
        thread.start()
        assert fault.arrived.wait(300)
        assert session.get(f"{proxy.url}/v2/", timeout=300).status_code == 200
        assert (answers, proxy.requests[0].status) == ([], 0)
        fault.release()
        thread.join(300)
        assert (answers, proxy.requests[0].status) == ([200], 200)

    def test_every_request_of_a_run_in_turn(
        self, proxy: FaultProxy, session: requests.Session
    ) -> None:
        hit: list[str] = []
        for k in itertools.count(1):
            proxy.clear()
            fault = proxy.add(Fault("status", status=500, nth=k))
            with pytest.raises(AssertionError) if k <= 5 else contextlib.nullcontext():
                put_image(session, f"{proxy.url}/v2/team/turn", "one")
            if not fault.fired:
                break
            hit.append(next(seen for seen in proxy.requests[::-1] if seen.fault).method)
        assert hit == ["POST", "PUT", "POST", "PUT", "PUT"]

    def test_times(self, proxy: FaultProxy, session: requests.Session) -> None:
        proxy.add(Fault("status", nth=2, times=2))
        proxy.add(Fault("status", status=500, nth=5, times=None))
        seen = [session.get(f"{proxy.url}/v2/", timeout=300).status_code for _ in range(7)]
        assert seen == [200, 503, 503, 200, 500, 500, 500]

    def test_an_upstream_that_went_away(self, session: requests.Session) -> None:
        registry = Registry()
        with registry, FaultProxy(registry.url) as proxy:
            assert session.get(f"{proxy.url}/v2/", timeout=300).status_code == 200
            registry.stop()
            assert session.get(f"{proxy.url}/v2/", timeout=300).status_code == 502
            registry.start()
            assert session.get(f"{proxy.url}/v2/", timeout=300).status_code == 200

    def test_stops_at_once_whatever_is_under_way(self, registry: Registry) -> None:
        before = threading.active_count()
        clients = []
        kinds: tuple[Kind, ...] = ("stall", "hold", "slow")
        with FaultProxy(registry.url) as proxy:
            for kind in kinds:
                path = f"/v2/{kind}"
                fault = proxy.add(Fault(kind, path=path, delay_ms=3_600_000))
                client = threading.Thread(target=_swallow, args=(proxy.url + path,))
                client.start()
                clients.append(client)
                assert fault.arrived.wait(300)
        for client in clients:
            client.join(300)
        assert threading.active_count() == before

    def test_no_credential_is_recorded(self, proxy: FaultProxy, session: requests.Session) -> None:
        for value in ("Bearer abc.def", "abc.def", "Basic YTpi"):
            session.get(f"{proxy.url}/v2/", headers={"Authorization": value}, timeout=300)
        assert [seen.auth for seen in proxy.requests] == ["Bearer", "", "Basic"]
        assert Request.__dataclass_params__.frozen  # type: ignore[attr-defined]


def _swallow(url: str) -> None:
    with pytest.raises(requests.RequestException):
        requests.get(url, timeout=300)


def test_a_defect_of_a_server_is_not_swallowed(session: requests.Session) -> None:
    class Broken(FaultProxy):
        def respond(self, call: Any) -> None:
            raise ZeroDivisionError

    broken = Broken().start()
    with pytest.raises(requests.ConnectionError):
        session.get(broken.url, timeout=300)
    with pytest.raises(RuntimeError, match="Broken failed"):
        broken.__exit__(None, None, None)
