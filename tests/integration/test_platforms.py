"""A job for each platform, on a real builder and registry: what they leave, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from support.machine import Machine, Ran
from support.registries import LocalRegistry
from support.repositories import MARK, Project
from support.servers.habits import DeletingTags, Late
from support.soak import soak

from feastflow_registry.model.errors import Kind
from integration.conftest import Builder

AMD, ARM = "linux/amd64", "linux/arm64"
DOCKERFILE = f"FROM scratch\nLABEL {MARK}\nARG TARGETARCH\nCOPY $TARGETARCH /word\n"
FILES = {"Dockerfile": DOCKERFILE, "amd64": "one\n", "arm64": "another\n"}
PROVENANCE = "type=provenance,mode=min"


@dataclass
class Jobs:
    """The jobs of one commit that publish to a namespace of its own, on one machine."""

    machine: Machine
    builder: Builder
    namespace: str
    inputs: dict[str, str]

    def run(self, **more: str) -> Ran:
        given: dict[str, Any] = {"namespace": self.namespace, "platforms": f"{AMD},{ARM}"}
        given |= {**self.builder.inputs, **self.inputs, **more}
        return self.machine.call(self.machine.runner(**given))

    def due(self) -> list[tuple[str, str]]:
        """The platforms that the plan finds to be built, each with its runner."""
        found = json.loads(self.run(matrix="platforms", dry_run="true").ended().outputs["matrix"])
        return [(each["platform"], each["runner"]) for each in found["include"]]

    def build(self, *platforms: str) -> None:
        for each in platforms:
            self.run(part=each).ended()

    def last(self, code: int = 0) -> Ran:
        return self.run(matrix="platforms").ended(code)

    @property
    def repository(self) -> str:
        return f"{self.namespace}/app"

    @property
    def tags(self) -> dict[str, str]:
        return self.machine.place.tags(self.repository)

    @property
    def own(self) -> str:
        return f"commit-{self.machine.project.head[:7]}"

    def manifest(self, target: str = "latest") -> Any:
        return json.loads(self.raw(target))

    def raw(self, target: str = "latest") -> str:
        place = self.machine.place
        return place.crane("manifest", place.at(target, self.repository))


@pytest.fixture
def jobs(
    machines: Callable[[LocalRegistry, Builder], Machine],
    place: LocalRegistry,
    remote: Builder,
    project: Project,
) -> Callable[..., Jobs]:
    project.commit(FILES)
    machine = machines(place, remote)
    return lambda namespace, **inputs: Jobs(machine, remote, namespace, inputs)


def test_any_order_ends_with_what_one_builder_makes(
    jobs: Callable[..., Jobs], place: LocalRegistry
) -> None:
    """Byte for byte: the one builder of all platforms decides what is right."""
    whole = jobs("whole", reproducible="true", annotations="index:b=</ü> & \na=b")
    whole.run().ended()
    orders: Sequence[tuple[str, str]] = ((AMD, ARM), (ARM, AMD))
    for name, order in zip(("one", "other"), orders, strict=True):
        apart = jobs(name, **whole.inputs)
        assert apart.due() == [(AMD, "ubuntu-24.04"), (ARM, "ubuntu-24.04-arm")]
        apart.build(order[0])
        assert [each for each, _ in apart.due()] == [order[1]]
        failed = apart.last(Kind.BUILD)
        assert f"lacks {order[1]}: no job has pushed that." in failed.errors[0]
        assert apart.tags.keys() == {f"{apart.own}.{order[0].replace('/', '-')}"}
        apart.build(order[1])
        assert apart.due() == []
        if name == "other":
            place.proxy.habits.append(DeletingTags(lambda: place.registry.storage))
        ran = apart.last()
        parts = {f"{apart.own}.linux-amd64", f"{apart.own}.linux-arm64"}
        assert apart.tags.keys() - parts == {apart.own, "latest"}
        assert apart.tags.keys() & parts == (set() if name == "other" else parts)
        assert ("prune takes it away with its image" in ran.log) == (name == "one")
        assert apart.tags["latest"] == apart.tags[apart.own] == whole.tags["latest"]
        assert apart.raw() == whole.raw()
        assert json.loads(ran.outputs["images"])["app"]["action"] == "built"
        before = len(place.requests())
        apart.last()
        assert not [each for each in place.since(before) if each.startswith("PUT")]


def test_attestations_and_requests(jobs: Callable[..., Jobs], place: LocalRegistry) -> None:
    whole = jobs("whole", attest=PROVENANCE)
    whole.run().ended()
    apart = jobs("apart", attest=PROVENANCE, latest="never")
    apart.build(ARM, AMD)
    before = len(place.requests())
    apart.last()
    asked = place.since(before)
    index = apart.manifest(apart.own)
    expected = whole.manifest()
    assert _shape(index) == _shape(expected)
    assert index["annotations"] == expected["annotations"]
    platforms = [each["platform"]["architecture"] for each in index["manifests"]]
    assert platforms == ["amd64", "arm64", "unknown", "unknown"]
    told = [each["annotations"]["vnd.docker.reference.digest"] for each in index["manifests"][2:]]
    assert told == [each["digest"] for each in index["manifests"][:2]]
    for each in index["manifests"]:
        place.crane("manifest", place.at(each["digest"], apart.repository))

    others = [each for each in asked if "sha256" not in each and f"{apart.own}." not in each]
    own = f"/v2/{apart.repository}/manifests/{apart.own}"
    assert others == [
        *(f"HEAD {own} 404" for _ in range(2)),
        f"PUT {own} 201",
        *(f"HEAD {own} 200" for _ in range(2)),
    ]
    about_parts = [each for each in asked if each not in others and "DELETE" not in each]
    assert len(about_parts) == 2 * 4 + 2, "its tag, two manifests and a configuration each; a 401"
    digest = apart.tags[apart.own]
    place.untag(apart.own, repository=apart.repository)
    apart.last()
    assert apart.tags[apart.own] == digest


@soak
def test_a_part_that_the_registry_shows_late_is_waited_for(
    jobs: Callable[..., Jobs], place: LocalRegistry
) -> None:
    apart = jobs("late", latest="never")
    due = apart.run(matrix="platforms", dry_run="true").ended().outputs["matrix"]
    apart.build(ARM, AMD)
    clock = apart.machine
    late = Late(10, lambda: apart.tags, lambda: clock.waited)
    late.states = [(float("-inf"), {}), (clock.waited, apart.tags)]
    place.proxy.habits.append(late)
    assert "lacks linux/amd64, linux/arm64" in apart.last(Kind.BUILD).errors[0]
    ran = apart.run(matrix="platforms", built=due).ended()
    assert 10 < ran.slept < 60
    assert apart.manifest(apart.own)["manifests"]


def _shape(value: Any) -> Any:
    """What a manifest holds, but for digests and sizes, which no two builds share."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return "" if isinstance(value, int) or str(value).startswith("sha256:") else value
