"""Docker Hub's limits, its bad moments, and repositories of thousands of tags."""

from __future__ import annotations

import functools
import itertools
import tracemalloc
from typing import Any

import pytest
from support.docker_hub import APP, Hub, fails, hub_fixture, registry_fixture, tags
from support.fault_scenes import KINDS
from support.servers.fault_proxy import Fault
from support.servers.hub_shapes import Shapes
from support.soak import one_in, soak

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import Deleted

__all__ = ["hub_fixture", "registry_fixture"]

ONE, TWO = tags("one", "two")


class TestPace:
    def test_deletions_keep_their_distance(self, hub: Hub) -> None:
        names = [f"t{number}" for number in range(50)]
        hub.fill(*names)
        client = hub.client()
        for each in tags(*names):
            client.delete_tag(APP, each)
        assert hub.left() == set()
        assert hub.time.now == pytest.approx(49 * client.interval)
        assert 60 / client.interval < 600

    @pytest.mark.parametrize("skew", [0.0, -1000.0, 1000.0])
    def test_the_limit_that_is_announced_is_never_tripped(self, hub: Hub, skew: float) -> None:
        hub.server.clock = lambda: hub.time.wall() + skew
        names = [f"t{number}" for number in range(70)]
        hub.fill(*names)
        hub.server.limit = 30
        client = hub.client()
        for each in tags(*names):
            assert client.delete_tag(APP, each) is Deleted.DONE
        assert {each.status for each in hub.proxy.requests} == {200, 204}
        assert 120 <= hub.time.now < 180

    def test_a_limit_that_is_tripped_is_waited_for_as_told(self, hub: Hub) -> None:
        """Every 429 costs one request and the rest of its minute, however many there are."""
        names = [f"t{number}" for number in range(100)]
        hub.fill(*names)
        hub.server.delete_limit = 15
        client = hub.client()
        for each in tags(*names):
            assert client.delete_tag(APP, each) is Deleted.DONE
        assert hub.left() == set()
        assert len(hub.server.deleted) == 100
        assert sum(each.status == 429 for each in hub.proxy.requests) == 6
        assert 360 <= hub.time.now < 420

    @pytest.mark.parametrize("skew", [-1000.0, 1000.0])
    def test_a_clock_that_is_wrong_waits_no_less_and_no_longer(self, hub: Hub, skew: float) -> None:
        hub.fill("one", "two")
        hub.server.delete_limit = 1
        hub.server.clock = lambda: hub.time.wall() + skew
        client = hub.client()
        for each in (ONE, TWO):
            assert client.delete_tag(APP, each) is Deleted.DONE
        assert sum(each.status == 429 for each in hub.proxy.requests) == 1
        assert 59 <= hub.time.now <= 61

    def test_no_longer_than_five_minutes(self, hub: Hub) -> None:
        hub.fill("one")
        wait = str(int(hub.time.wall()) + 600)
        headers = {"X-Retry-After": wait}
        hub.proxy.add(Fault("status", status=429, headers=headers, method="DELETE", times=None))
        with fails(Kind.UNREACHABLE, "asks to wait 600 seconds"):
            hub.client().delete_tag(APP, ONE)
        assert hub.time.now == 0


class TestBadMoments:
    @pytest.mark.parametrize("name", one_in(4, KINDS))
    def test_one_at_any_request_is_survived(self, hub: Hub, name: str) -> None:
        for nth in itertools.count(1):
            hub.fill("one", *(f"t{number}" for number in range(100)))
            fault = hub.proxy.add(Fault(nth=nth, **KINDS[name]))
            client = hub.client(timeout=0.5 if fault.kind == "stall" else 300.0)
            assert len(list(client.tags(APP))) == 101
            assert client.about(APP)
            assert client.delete_tag(APP, ONE) in (Deleted.DONE, Deleted.GONE)
            assert "one" not in hub.left()
            if not fault.fired:
                break
        assert nth == 6

    @pytest.mark.parametrize("name", ["503", "reset_before", "truncate"])
    def test_one_without_end_is_told(self, hub: Hub, name: str) -> None:
        hub.fill("one")
        hub.proxy.add(Fault(**KINDS[name] | {"times": None}))
        with fails(Kind.UNREACHABLE, hub.proxy.url, "6 times"):
            list(hub.client().tags(APP))
        assert len(hub.proxy.requests) == 6

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_an_answer_that_is_none_is_refused(self, hub: Hub, nth: int) -> None:
        hub.fill(*(f"t{number}" for number in range(101)))
        page = b'{"results": [{"name": "..", "digest": null}], "access_token": "a b"}'
        hub.proxy.add(Fault("status", status=200, nth=nth, body=page))
        with fails(Kind.UNREACHABLE):
            list(hub.client().tags(APP))


class Many(Shapes):
    """Ten thousand tags of one image, without a file for each."""

    def names(self, repository: str) -> list[str]:
        return [f"t{number}" for number in range(10_000)]

    @functools.cached_property
    def one(self) -> dict[str, Any]:
        return super().tag(APP.path, "one") or {}

    def tag(self, repository: str, name: str) -> dict[str, Any] | None:
        return {**self.one, "name": name}


@soak
def test_ten_thousand(hub: Hub) -> None:
    """As many requests as pages, and no more memory at the end than after the first pages."""
    hub.fill("one")
    hub.server.shapes = Many(hub.registry.storage)
    listing = hub.client().tags(APP)
    count = sum(1 for _ in itertools.islice(listing, 1000))
    tracemalloc.start()
    try:
        count += sum(1 for _ in listing)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 10_000
    assert len(hub.proxy.requests) == 1 + 100
    # The server and the proxy are in this process, and hold a page or two as well.
    assert peak < 3_000_000, peak
