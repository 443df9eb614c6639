"""Credentials that do not do, an engine's push that fails for a moment, and one that is denied."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.machine import Machine
from support.registries import OURS, USER, Auth, LocalRegistry
from support.servers.faults import Fault
from support.soak import chosen

from integration.conftest import Builder

# What a registry says to a token without the scope.
DENIED = json.dumps(
    {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}
).encode()


def _engines(method: str, path: str, kind: Any = "status", **facts: Any) -> Fault:
    """A fault of an engine's requests, not of ours."""
    return Fault(kind, match=lambda seen: OURS not in seen.agent, method=method, path=path, **facts)


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
@pytest.mark.parametrize("wrong", [{"token": "dckr_pat_wrong"}, {"username": "nobody"}])
def test_wrong_credentials_fail_before_the_build(
    auth: Auth,
    wrong: dict[str, Any],
    classic: Builder,
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
) -> None:
    place = places(auth)
    machine = machines(place, classic)
    ran = machine.call(machine.runner(namespace=USER, **wrong)).ended(3)
    assert len(ran.errors) == 1
    cause, fix, more = ran.errors[0].split("\n")
    assert more.endswith("troubleshooting.md#denied")
    assert cause == f"{place.host} does not accept the user name and token."
    assert "expired" in fix
    assert "Building" not in ran.log
    assert len(place.requests()) <= 2
    assert ran.slept == 0


def test_a_token_without_push_scope_fails_before_the_build(
    classic: Builder,
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
) -> None:
    place = places("token", reader=True)
    machine = machines(place, classic)
    ran = machine.call(machine.runner()).ended(3)
    assert f"denied pushing to {place.repository}" in ran.errors[0]
    assert "read and write scope" in ran.errors[0]
    assert "Building" not in ran.log
    assert place.tags() == {}
    assert len(place.requests()) <= 10
    assert place.proxy.uploaded() == 0


@pytest.mark.parametrize("name", chosen(["classic", "containerd", "remote"]))
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429},
        {"kind": "reset_before"},
    ],
    ids=["503", "429", "reset"],
)
def test_a_push_of_the_engines_own_is_done_again(
    machine: Machine,
    place: LocalRegistry,
    builders: Callable[[str], Builder],
    name: str,
    fault: dict[str, Any],
) -> None:
    """The engine repeats no manifest: it is pushed again, with every layer there already."""
    builder = builders(name)
    machine.variables = builder.variables
    rule = place.proxy.add(_engines("PUT", "manifests/", **fault))
    ran = machine.call(machine.runner(**builder.inputs)).ended()
    assert rule.fired == 1
    assert place.tags()["latest"] == ran.outputs["digest"]
    assert len(set(place.tags().values())) == 1


@pytest.mark.parametrize("name", chosen(["classic", "containerd", "remote"]))
def test_a_push_that_never_succeeds_ends_in_5(
    machine: Machine, place: LocalRegistry, builders: Callable[[str], Builder], name: str
) -> None:
    builder = builders(name)
    machine.variables = builder.variables
    rule = _engines("PUT", "manifests/", status=429, times=None)
    place.proxy.add(rule)
    ran = machine.call(machine.runner(**builder.inputs)).ended(5)
    assert place.tags() == {}
    assert "failed 4 times" in ran.errors[0]
    assert re.search(
        rf"^(In doubt|Not done)\b.*: {place.repository}:commit-", ran.log, re.MULTILINE
    )


@pytest.mark.parametrize("name", chosen(["classic", "containerd", "remote"]))
def test_a_denied_push_is_not_tried_again(
    machine: Machine, place: LocalRegistry, builders: Callable[[str], Builder], name: str
) -> None:
    builder = builders(name)
    machine.variables = builder.variables
    place.proxy.add(_engines("PUT", "manifests/", status=403, body=DENIED, times=None))
    ran = machine.call(machine.runner(**builder.inputs)).ended(3)
    assert place.tags() == {}
    assert "read and write scope" in ran.errors[0]
    assert ran.slept == 0


def test_a_verified_digest_is_what_the_engine_pushed_or_the_run_fails(
    machine: Machine, place: LocalRegistry
) -> None:
    """A registry that shows another image under the commit tag than was pushed."""
    machine.call(machine.runner()).ended()
    [stale] = set(place.tags().values())
    machine.project.commit()
    own = f"commit-{machine.project.head[:7]}"
    headers = {"Docker-Content-Digest": stale, "Content-Type": "application/json"}
    lie = Fault("status", status=200, headers=headers, body=b"{}", method="HEAD",
                path=f"manifests/{own}", nth=4, times=None)  # fmt: skip
    place.proxy.add(lie)
    ran = machine.call(machine.runner())
    assert lie.fired
    assert ran.code in (6, 7), ran.shown
    assert place.tags()["latest"] == stale
