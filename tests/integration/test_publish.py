"""Publishing from a commit to verified tags: both kinds of auth, three ways to build."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.machine import Machine
from support.registries import OURS, REPOSITORY, Auth, LocalRegistry
from support.servers.fault_proxy import FaultProxy
from support.servers.github_api import GitHubApi
from support.soak import chosen

from integration.conftest import Builder

SOURCE = f"https://github.com/{REPOSITORY}"
RERUN = [
    "HEAD manifests/commit-… 401",
    "HEAD manifests/commit-… 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/sprint3 200",
    "HEAD manifests/latest 200",
]
FIRST = [
    "HEAD manifests/commit-… 401",
    "HEAD manifests/commit-… 404",
    "HEAD manifests/sprint3 404",
    "HEAD manifests/frozen-sprint3 404",
    "HEAD manifests/latest 404",
    "POST blobs/uploads/ 202",
    "DELETE blobs/uploads/… 204",
    "HEAD manifests/commit-… 404",
    "HEAD manifests/commit-… 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/sprint3 404",
    "PUT manifests/sprint3 201",
    "HEAD manifests/sprint3 200",
    "HEAD manifests/latest 404",
    "PUT manifests/latest 201",
    "HEAD manifests/latest 200",
    "HEAD manifests/commit-… 200",
    "HEAD manifests/withdrawn-… 404",
]


def _asked(place: LocalRegistry, sha: str, before: int = 0) -> list[str]:
    return [line.replace(sha[:7], "…") for line in place.since(before)]


def _with_token(lines: list[str]) -> list[str]:
    return [lines[0], "GET /token 200", *lines[1:]]


@pytest.mark.parametrize(
    ("auth", "name"),
    chosen([("token", "remote"), ("htpasswd", "classic"), ("token", "containerd")]),
)
def test_a_commit_gets_three_tags_on_one_digest_and_a_second_run_costs_nothing(
    auth: Auth,
    name: str,
    builders: Callable[[str], Builder],
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
) -> None:
    place, builder = places(auth), builders(name)
    machine = machines(place, builder)
    wanted: dict[str, Any] = {"milestone": "sprint3", **builder.inputs}

    one = machine.project.head
    ran = machine.publish(**wanted).ended()
    own = f"commit-{one[:7]}"
    digest = place.digest(own)
    assert place.listed() == {own, "sprint3", "latest"}
    assert {place.digest(tag) for tag in ("sprint3", "latest")} == {digest}
    assert place.labels("latest")["org.opencontainers.image.revision"] == one
    assert place.labels("latest")["org.opencontainers.image.source"] == SOURCE
    assert place.labels("latest")["org.opencontainers.image.version"] == "sprint3"

    assert ran.outputs["pushed"] == "true"
    assert ran.outputs["digest"] == digest
    assert ran.outputs["image"] == f"{place.repository}@{digest}"
    assert ran.outputs["tags"].split() == [
        f"{place.repository}:{tag}" for tag in (own, "sprint3", "latest")
    ]
    assert json.loads(ran.outputs["digests"]) == {"app": digest}
    assert json.loads(ran.outputs["images"])["app"]["action"] == "built"
    assert f"### ✅ Published commit <code>{one[:7]}</code>" in ran.summary
    assert digest.partition(":")[2][:12] in ran.summary
    assert f"docker pull {place.repository}:{own}" in ran.summary

    two = machine.project.commit()
    ran = machine.call(machine.runner(**wanted)).ended()
    newer = place.digest(f"commit-{two[:7]}")
    assert newer != digest
    assert place.digest(own) == digest
    assert {place.digest(tag) for tag in ("sprint3", "latest")} == {newer}

    before, sent = len(place.requests()), place.proxy.uploaded()
    others = len(place.requests("")) - before
    environ = machine.without_docker(machine.runner(**wanted))
    ran = machine.run(environ).ended()
    assert json.loads(ran.outputs["images"])["app"]["action"] == "reused"
    assert ran.outputs["digest"] == newer
    assert place.proxy.uploaded() == sent, "a second run uploads zero bytes"
    assert len(place.requests("")) - len(place.requests()) == others, "no other client was needed"
    expected = _with_token(RERUN) if auth == "token" else RERUN
    assert _asked(place, two, before) == expected


def test_the_requests_of_a_first_publish_are_these_and_no_more(
    machine: Machine, place: LocalRegistry, github: FaultProxy
) -> None:
    sha = machine.project.head
    machine.publish(milestone="sprint3").ended()
    assert _asked(place, sha) == FIRST
    asked = [f"{each.method} {each.path.partition(REPOSITORY)[2]}" for each in github.requests]
    assert asked == [
        "GET /git/ref/tags/sprint3",
        "GET ",  # The repository itself: it is seen, so a 404 means that there is no such tag.
        f"GET /compare/{sha}...main?per_page=100",
        "GET /git/ref/tags/sprint3",  # It may have been set while this run moved the milestone.
        f"POST /statuses/{sha}",
    ]
    assert {each.auth for each in place.requests()[1:]} == {"Basic"}
    engine = [each for each in place.requests("docker/") if each.method == "PUT"]
    assert [each.path.rpartition("/")[2] for each in engine][-1] == f"commit-{sha[:7]}"
    assert not [each for each in place.requests(OURS) if each.bytes_in > 5000]


@pytest.mark.parametrize("name", chosen(["containerd", "remote"]))
def test_an_image_of_two_platforms_stays_one_index(
    name: str,
    builders: Callable[[str], Builder],
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
) -> None:
    builder = builders(name)
    place = places("token")
    machine = machines(place, builder)
    ran = machine.publish(platforms="linux/amd64,linux/arm64", **builder.inputs).ended()
    own = f"commit-{machine.project.head[:7]}"
    index = json.loads(place.crane("manifest", place.at("latest")))
    assert "manifests" in index
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    assert place.digest("latest") == place.digest(own) == ran.outputs["digest"]
    for platform in ("linux/amd64", "linux/arm64"):
        revision = place.labels("latest", platform)["org.opencontainers.image.revision"]
        assert revision == machine.project.head


def test_a_commit_tag_of_another_commit_is_never_overwritten(
    machine: Machine, place: LocalRegistry
) -> None:
    """As somebody who tags by hand, or a rebuilt storage, would leave it."""
    machine.call(machine.runner()).ended()
    [digest] = set(place.tags().values())
    two = machine.project.commit()
    place.retag({f"commit-{two[:7]}": digest})
    ran = machine.call(machine.runner()).ended(6)
    assert "It is never overwritten" in ran.errors[0]
    assert place.tags()[f"commit-{two[:7]}"] == digest
    machine.call(machine.runner(sha_length="12")).ended()
    assert place.tags()["latest"] == place.tags()[f"commit-{two[:12]}"] != digest


def test_an_image_of_another_repository_is_left_alone(
    machine: Machine, place: LocalRegistry, api: GitHubApi
) -> None:
    machine.call(machine.runner()).ended()
    api.name = "feastflow/other"
    place.untag(f"commit-{machine.project.head[:7]}")
    before = place.tags()
    machine.project.commit()
    environ = {**machine.runner(), "GITHUB_REPOSITORY": "feastflow/other", "FEASTFLOW_IMAGE": "app"}
    ran = machine.call(environ).ended(6)
    assert "no commit of this repository" in ran.errors[0]
    assert "latest: force" in ran.errors[0]
    assert place.tags() == before


def test_a_dry_run_writes_nothing_and_plans_as_json(machine: Machine, place: LocalRegistry) -> None:
    ran = machine.run(machine.runner(milestone="sprint3"), "--dry-run", "--json").ended()
    assert place.tags() == {}
    assert {each.method for each in place.requests()} == {"HEAD"}
    plan = json.loads(next(line for line in ran.log.splitlines() if line.startswith('{"command')))
    assert [each["step"] for each in plan["steps"]] == ["build", "push", "tag", "tag"]
    assert ran.outputs["pushed"] == "false"
    assert json.loads(ran.outputs["plan"]).items() <= plan.items()
    assert json.loads(ran.outputs["matrix"]) == {"service": ["app"]}
