"""One bad moment at each request of ours in turn, and bad moments without end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from support.fault_scenes import KINDS, ROUNDS, Name, PreparedRun, is_ours
from support.machine import Machine
from support.published_pair import MILESTONE, PublishedPair
from support.registries import LocalRegistry
from support.servers.fault_proxy import FaultProxy
from support.servers.faults import Fault
from support.soak import chosen, soak

from integration.conftest import Builder

Prepare = Callable[..., PreparedRun]
Rounds = Sequence[Sequence[Mapping[str, Any]]]


@pytest.fixture
def prepare(
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Prepare:
    """Prepare out a prepared on a registry with a kind of auth."""

    def give(name: Name, auth: str, *, shallow: bool = False, **more: str) -> PreparedRun:
        machine = machines(places(auth), remote)
        folder = tmp_path / "shallow" if shallow else None
        return PreparedRun.prepare(name, machine, pair, monkeypatch, folder, **more)

    return give


@pytest.mark.parametrize(
    "rounds", chosen([[tuple(KINDS.values())], list(ROUNDS)]), ids=["one", "all"]
)
@pytest.mark.parametrize(
    ("name", "auth", "inputs"),
    [
        pytest.param("first", "htpasswd", {"shared_tags": "false"}, marks=soak),
        ("moving", "token", {}),
        pytest.param("rerun", "token", {"milestone": MILESTONE}, marks=soak),
    ],
)
def test_one_bad_moment_at_any_request_is_survived(
    prepare: Prepare, name: Name, auth: str, inputs: dict[str, str], rounds: Rounds
) -> None:
    """A moment of each kind by turns in one round, or of every kind at each request."""
    prepared = prepare(name, auth, **inputs)
    for faults in rounds:
        for ran in prepared.failing(prepared.place.proxy, faults):
            prepared.check_done(ran)


@soak
def test_one_bad_moment_is_survived_with_a_milestone_in_a_shallow_clone(prepare: Prepare) -> None:
    prepared = prepare("moving", "htpasswd", shallow=True, milestone=MILESTONE)
    for ran in prepared.failing(prepared.place.proxy, [KINDS["reset_after"]]):
        prepared.check_done(ran)


def test_one_bad_moment_of_the_token_server_is_survived(prepare: Prepare) -> None:
    prepared = prepare("moving", "token")
    for fault in KINDS.values():  # Of one request: the token of the run.
        for ran in prepared.failing(prepared.place.realm, [fault]):
            prepared.check_done(ran)


def test_an_expired_token_is_renewed_once(prepare: Prepare) -> None:
    """Any request after the first one that carried it may find it expired."""
    prepared = prepare("moving", "token")
    realm = f"{prepared.place.realm.url}/token"
    headers = {"WWW-Authenticate": f'Bearer realm="{realm}",service="test-registry"'}
    fault: dict[str, Any] = {"kind": "status", "status": 401, "headers": headers}
    for ran in prepared.failing(prepared.place.proxy, [fault], first=3):
        prepared.check_done(ran)


@pytest.mark.parametrize(("name", "auth"), chosen([("first", "htpasswd"), ("moving", "token")]))
def test_a_flipped_bit_is_never_published(prepare: Prepare, name: Name, auth: str) -> None:
    """Damage that TCP does not see may fail a run, but it never passes for an image."""
    prepared = prepare(name, auth)
    ways = [prepared.place.proxy, *([prepared.place.realm] if auth == "token" else [])]
    for way in ways:
        for ran in prepared.failing(way, [{"kind": "corrupt"}]):
            if ran.code == 0:
                prepared.check_done(ran)
            else:
                assert ran.code in (3, 5, 7), ran.shown
                prepared.check_truth(ran, in_doubt=True)


def test_an_image_is_believed_by_its_bytes_alone(prepare: Prepare) -> None:
    """Every manifest and every configuration is hashed, whatever else is right about it.

    The image that a tag holds so far is known by its commit's tag, too.
    """
    prepared = prepare("moving", "htpasswd")
    content = {"method": "GET", "path": "(manifests|blobs)/sha256"}
    codes = []
    for ran in prepared.failing(prepared.place.proxy, [{"kind": "corrupt", **content}]):
        codes.append(ran.code)
        if ran.code == 0:
            prepared.check_done(ran)
            continue
        ran.ended(7)
        assert "does not match that digest" in ran.errors[0]
        assert {prepared.place.tags()[tag] for tag in prepared.shared} == {prepared.old["latest"]}
    assert codes.count(7) >= 2


def test_a_write_that_a_registry_swallows_is_never_green(prepare: Prepare) -> None:
    """It answers 201 and does nothing: once, and the tag is written again; always, and we fail."""
    prepared = prepare("moving", "htpasswd", milestone=MILESTONE)
    for tag in prepared.shared:
        swallow: dict[str, Any] = {"status": 201, "method": "PUT", "path": f"manifests/{tag}"}
        prepared.reset()
        prepared.place.proxy.add(Fault("status", **swallow))
        prepared.check_done(prepared.run())
        prepared.reset()
        prepared.place.proxy.add(Fault("status", **swallow, times=None))
        prepared.run().ended(7)


ENDLESS: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "429 for an hour": {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    "stall": {"kind": "stall"},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "the commit tag's HEAD": {"method": "HEAD", "path": "manifests/commit-"},
    "a manifest": {"method": "GET", "path": "manifests/sha256"},
    "a configuration": {"method": "GET", "path": "blobs/sha256"},
    "the proof of the right to push": {"method": "POST", "path": "blobs/uploads/"},
    "the commit tag": {"method": "PUT", "path": "manifests/commit-"},
    "the milestone": {"method": "PUT", "path": "manifests/sprint3"},
    "the milestone's HEAD": {"method": "HEAD", "path": "manifests/sprint3"},
    "latest": {"method": "PUT", "path": "manifests/latest"},
}


@soak
def test_the_same_fault_for_ever_ends_in_5_within_the_deadline(prepare: Prepare) -> None:
    prepared = prepare("first", "htpasswd", milestone=MILESTONE)
    for where, request in REQUESTS.items():
        for what, fault in ENDLESS.items():
            prepared.reset()
            rule = prepared.place.proxy.add(Fault(match=is_ours, times=None, **fault, **request))
            ran = prepared.run(timeout=0.3 if rule.kind == "stall" else 300.0)
            assert rule.fired, (where, what)
            assert ran.code == 5, (where, what, ran.shown)
            assert ran.slept < 60, (where, what)
            prepared.check_truth(ran)
        prepared.place.proxy.clear()
        prepared.check_done(prepared.run())  # Running again finishes the job.


UNKNOWN: dict[str, dict[str, Any]] = {
    **{
        f"{tag} written": {"kind": "reset_after", "method": "PUT", "path": f"manifests/{tag}"}
        for tag in ("commit-", MILESTONE, "latest")
    },
    "latest read back": {"kind": "status", "method": "HEAD", "path": "manifests/latest", "nth": 3},
}


def test_a_write_whose_answer_never_comes_is_not_called_undone(prepare: Prepare) -> None:
    prepared = prepare("first", "htpasswd", milestone=MILESTONE)
    untrue = []
    for case, fault in UNKNOWN.items():
        prepared.reset()
        prepared.place.proxy.add(Fault(match=is_ours, times=None, **fault))
        ran = prepared.run()
        try:
            prepared.check_truth(ran)
        except AssertionError:
            untrue.append(case)
    assert untrue == []


def test_a_token_server_that_is_down_ends_in_5(prepare: Prepare) -> None:
    prepared = prepare("moving", "token")
    for fault in ENDLESS.values():
        prepared.reset()
        rule = prepared.place.realm.add(Fault(times=None, **fault))
        ran = prepared.run(timeout=0.3 if rule.kind == "stall" else 300.0).ended(5)
        assert "/token" in ran.errors[0]
        assert "Authorization" not in ran.log
        assert ran.slept < 60
        prepared.check_truth(ran)


def test_a_wait_that_is_asked_for_is_kept(prepare: Prepare) -> None:
    """To the second: neither less, nor a pause of our own on top."""
    prepared = prepare("rerun", "htpasswd")
    for asked, least, most in (("0", 0, 0), ("7", 7, 7), ("", 1, 30)):
        prepared.reset()
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        headers = {"Retry-After": asked or soon}
        prepared.place.proxy.add(Fault("status", status=429, headers=headers, match=is_ours))
        assert least <= prepared.run().ended().slept <= most


def test_a_deadline_is_named_with_the_wait_that_was_asked(prepare: Prepare) -> None:
    prepared = prepare("rerun", "htpasswd")
    prepared.reset()
    fault = Fault(times=None, match=is_ours, **ENDLESS["429 for an hour"])
    prepared.place.proxy.add(fault)
    ran = prepared.run().ended(5)
    assert "answered 429" in ran.errors[0]
    assert "asks to wait 3600 seconds" in ran.errors[0]
    assert fault.fired == 1, "an hour is not waited for"
    assert ran.slept == 0


def test_a_refusal_is_never_tried_again(prepare: Prepare) -> None:
    prepared = prepare("moving", "htpasswd")
    for status, code in {400: 5, 401: 3, 403: 3, 404: 3, 405: 5, 413: 5}.items():
        prepared.reset()
        fault = Fault("status", status=status, times=None, method="PUT", match=is_ours)
        prepared.place.proxy.add(fault)
        ran = prepared.run().ended(code)
        assert fault.fired == 1, status
        assert ran.slept == 0
        prepared.check_truth(ran)


def test_an_exhausted_quota_fails_at_once_and_names_limit_and_window(prepare: Prepare) -> None:
    prepared = prepare("moving", "token")
    prepared.reset()
    headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}
    fault = Fault("status", status=429, headers=headers, method="GET", path="manifests/")
    fault = prepared.place.proxy.add(fault)
    before = len(prepared.place.requests())
    ran = prepared.run().ended(3)
    assert "100 pulls in 6 hours" in ran.errors[0]
    assert fault.fired == 1
    assert ran.slept == 0
    assert prepared.place.since(before)[-1].endswith(" 429"), "nothing is asked after it"
    prepared.check_truth(ran)


def test_one_bad_moment_of_github_is_survived(prepare: Prepare, github: FaultProxy) -> None:
    prepared = prepare("moving", "htpasswd", shallow=True)
    for kind in ("503", "reset_after", "stall", "truncate"):
        for ran in prepared.failing(github, [{"match": None, **KINDS[kind]}]):
            prepared.check_done(ran)


def test_a_github_that_is_down_ends_in_5_and_nothing_is_guessed(
    prepare: Prepare, github: FaultProxy
) -> None:
    prepared = prepare("moving", "htpasswd", shallow=True)
    for fault in ENDLESS.values():
        prepared.reset()
        github.add(Fault(times=None, **fault))
        ran = prepared.run(timeout=0.3 if fault["kind"] == "stall" else 300.0).ended(5)
        assert "the order of commits is not known" in ran.errors[0]
        prepared.check_truth(ran)
        github.clear()
