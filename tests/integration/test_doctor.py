"""What doctor says of Docker Hub, of other registries, and of one that is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.machine import Machine, Ran
from support.registries import REPOSITORY, USER, LocalRegistry
from support.servers.docker_hub import Account, DockerHub, Scope
from support.servers.fault_proxy import Fault
from support.servers.registry import Registry
from support.soak import chosen, soak

from integration.conftest import Builder

PULLS = {"ratelimit-limit": "200;w=21600", "ratelimit-remaining": "187;w=21600"}


@pytest.fixture
def hub(place: LocalRegistry) -> Iterator[DockerHub]:
    """Docker Hub's own API over the registry."""
    with DockerHub(place.registry.storage, {USER: Account(place.token)}) as hub:
        yield hub


def examine(machine: Machine, hub: DockerHub | None = None, **inputs: Any) -> Ran:
    """Run doctor as a step of a job."""
    environ = machine.runner(command="doctor", **inputs)
    return machine.run({**environ, **({"FEASTFLOW_HUB_URL": hub.url} if hub else {})})


def finding(ran: Ran, name: str) -> tuple[str, str]:
    """What doctor says of one thing, and the line below it."""
    lines = [*ran.shown.splitlines(), ""]
    [index] = [i for i, each in enumerate(lines) if each[1:].startswith(f" {name}: ")]
    return lines[index], lines[index + 1]


def test_docker_hub_when_all_is_well(
    machine: Machine, place: LocalRegistry, hub: DockerHub
) -> None:
    machine.publish().ended()
    place.proxy.add(Fault("status", method="HEAD", path="latest", status=200, headers=PULLS))
    before = place.tags()
    ran = examine(machine, hub, milestone="sprint3").ended()
    for line in (
        "✓ pulls: 187 of 200 are left in 6 hours",
        f"✓ push to {place.repository}: granted",
        f"✓ visibility of {place.repository}: public",
        f"✓ tags of {place.repository}: latest, sprint3 may move",
        f"✓ prune of {place.repository}: the token may delete",
    ):
        assert line in ran.shown.splitlines(), ran.shown
    assert place.tags() == before
    assert hub.deleted == []
    asked = [f"{each.method} {each.path.rpartition('/v2/')[2]}" for each in hub.requests]
    name = "namespaces/feastflow/repositories/app"
    assert asked[:2] == ["POST auth/token", f"GET {name}"]
    assert [each.partition("doctor-")[0] for each in asked[2:]] == [
        f"HEAD {name}/tags/",
        f"DELETE repositories/{REPOSITORY}/tags/",
    ]


@soak
def test_docker_hub_when_people_do_not_see_their_images(
    machine: Machine, place: LocalRegistry, hub: DockerHub
) -> None:
    machine.publish().ended()
    hub.private = {REPOSITORY}
    hub.immutable = {REPOSITORY: ["commit-.*"]}
    ran = examine(machine, hub).ended()
    said, fix = finding(ran, f"visibility of {place.repository}")
    assert said.startswith("! ")
    assert said.endswith("images pushed but not visible: the repository is private.")
    assert fix == "    Docker Hub → repository → Settings → Make public (if appropriate)."
    said, fix = finding(ran, f"prune of {place.repository}")
    assert said.startswith("! ")
    assert "which is immutable, by the rule 'commit-.*'." in said
    assert "Tag mutability" in fix


def test_docker_hub_before_the_first_push(
    machine: Machine, place: LocalRegistry, hub: DockerHub
) -> None:
    ran = examine(machine, hub).ended()
    assert "not there yet" in finding(ran, f"visibility of {place.repository}")[0]
    assert finding(ran, f"prune of {place.repository}")[0].endswith(": nothing to delete")
    assert [each.method for each in hub.requests] == ["POST", "GET"]


@soak
@pytest.mark.parametrize(("rule", "tag"), chosen([("latest", "latest"), ("sprint.*", "sprint3")]))
def test_a_rule_that_blocks_a_shared_tag_fails(
    machine: Machine, place: LocalRegistry, hub: DockerHub, rule: str, tag: str
) -> None:
    machine.publish().ended()
    hub.immutable = {REPOSITORY: [rule]}
    ran = examine(machine, hub, milestone="sprint3").ended(6)
    said, fix = finding(ran, f"tags of {place.repository}")
    assert said.startswith(f"✗ tags of {place.repository}: {tag} can never move: the rule '{rule}'")
    assert f"leave {tag} out of the rules" in fix
    assert ran.errors == [
        f"a publish would fail: tags of {place.repository}.\nMend what is marked ✗ above."
    ]


@soak
@pytest.mark.parametrize("scope", chosen(["repo:read", "repo:write"]))
def test_a_token_that_may_not_delete_is_advice(
    machine: Machine, place: LocalRegistry, hub: DockerHub, scope: Scope
) -> None:
    machine.publish().ended()
    hub.accounts = {USER: Account(place.token, scope)}
    ran = examine(machine, hub).ended()
    said, fix = finding(ran, f"prune of {place.repository}")
    assert said.startswith("! ")
    assert "insufficient scope" in said
    assert "Read, Write & Delete" in fix


def test_an_api_that_is_not_there_is_advice(machine: Machine, place: LocalRegistry) -> None:
    environ = {**machine.runner(command="doctor"), "FEASTFLOW_HUB_URL": "http://127.0.0.1:1"}
    ran = machine.run(environ).ended()
    said, fix = finding(ran, f"visibility of {place.repository}")
    assert said.endswith("no server listens at 127.0.0.1:1.")
    assert fix.startswith("    ! ") is False


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_a_registry_that_deletes(
    auth: str,
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
    classic: Builder,
) -> None:
    place = places(auth)
    ran = examine(machines(place, classic)).ended()
    said, _ = finding(ran, f"prune of {place.repository}")
    assert said == f"✓ prune of {place.repository}: the registry deletes by digest"
    if place.tokens:
        asked = [each.asked for each in place.tokens.issued]
        assert asked[-1] == (f"repository:{REPOSITORY}:pull,push,delete",)
        assert {each for one in asked[:-1] for each in one} == {
            f"repository:{REPOSITORY}:pull,push"
        }


def test_a_registry_that_does_not_delete_is_advice(machine: Machine, place: LocalRegistry) -> None:
    binary = place.registry._binary
    with Registry(users={USER: place.token}, delete=False, binary=binary) as other:
        place.proxy.upstream = other.url
        ran = examine(machine).ended()
    said, fix = finding(ran, f"prune of {place.repository}")
    assert said.startswith("! ")
    assert "does not delete images" in said
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in fix


def test_a_registry_that_is_not_there_fails_soon(machine: Machine, place: LocalRegistry) -> None:
    host = f"localhost:{place.proxy.port}"
    environ = machine.runner(command="doctor")
    place.proxy.stop()
    ran = machine.call(environ).ended(5)
    said, fix = finding(ran, "registry")
    assert said == f"✗ registry: no server listens at {host}."
    assert fix == "    Start the server, or correct the port, then run again."
    assert ran.slept < 2
    assert ran.errors == ["a publish would fail: registry.\nMend what is marked ✗ above."]
    assert ran.sent == 2, "nothing more is asked of it, nor GitHub"


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_no_registry_is_said_once(
    machine: Machine, place: LocalRegistry, status: int
) -> None:
    place.proxy.add(Fault("status", method="GET", path="/v2/", status=status))
    ran = examine(machine).ended(5)
    said, fix = finding(ran, "registry")
    assert said == f"✗ registry: {place.host} answers {status} at /v2/, so it is not a registry."
    assert fix == '    Check the input "registry", and the proxy before it, if there is one.'
    assert len(place.requests()) == 1


def test_every_command_fails_soon_where_nothing_listens(
    machine: Machine, place: LocalRegistry
) -> None:
    environ = machine.runner()
    place.proxy.stop()
    ran = machine.call(environ).ended(5)
    assert "no server listens at localhost:" in ran.errors[0]
    assert ran.sent == 2, "one bad moment is survived"
    assert ran.slept < 1


def test_nothing_is_tried_where_a_run_may_not_push(
    machine: Machine, place: LocalRegistry, hub: DockerHub
) -> None:
    machine.publish().ended()
    before = len(place.requests())
    ran = examine(machine, hub, ref="refs/heads/other").ended()
    for name in ("push to", "prune of"):
        assert (
            "not tried, as this run pushes nothing" in finding(ran, f"{name} {place.repository}")[0]
        )
    assert {each.split()[0] for each in place.since(before)} == {"HEAD", "GET"}
    said, _ = finding(ran, "this run")
    assert said.endswith(
        'branch other is not among the branches that may push (the input "branches": main)'
    )
    assert {each.method for each in hub.requests} == {"POST", "GET"}
