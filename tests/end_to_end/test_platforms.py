"""A runner for each platform: the jobs of registry-ci-platforms.yml, where nothing was set up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from conftest import Stack
from support import buildkit_image, workflows
from support.act import Job, Runner
from support.registries import USER, LocalRegistry
from support.repositories import MARK, Project
from support.soak import soak

DOCKERFILE = f"FROM scratch\nLABEL {MARK}\nARG TARGETARCH\nCOPY $TARGETARCH /word\n"
FILE = """\
reuse: unchanged
services:
  menu: {context: menu, platforms: [linux/amd64, linux/arm64]}
  order: {context: order, platforms: [linux/amd64, linux/arm64]}
"""
FILES = {
    "feastflow.yml": FILE,
    **{f"{name}/Dockerfile": DOCKERFILE for name in ("menu", "order")},
    **{f"menu/{each}": f"menu on {each}\n" for each in ("amd64", "arm64")},
    "order/amd64": "order on amd64\n",
}
AMD, ARM = "build linux/amd64 ubuntu-24.04", "build linux/arm64 ubuntu-24.04-arm"

pytestmark = soak


@dataclass
class Platforms:
    """A repository with the shipped workflow, and a runner without any builder."""

    runner: Runner
    project: Project
    place: LocalRegistry

    def run(self) -> Job:
        return self.runner.run(self.project.folder)

    def tags(self, name: str) -> dict[str, str]:
        return self.place.tags(f"{USER}/{name}")

    @property
    def own(self) -> str:
        return f"commit-{self.project.head[:7]}"

    def words(self, name: str, tag: str) -> list[str]:
        """The architectures of an image, in its order."""
        at = self.place.at(tag, f"{USER}/{name}")
        index = json.loads(self.place.crane("manifest", at))
        return [each["platform"]["architecture"] for each in index["manifests"]]


@pytest.fixture
def platforms(
    tmp_path: Path,
    runners: Callable[..., Runner],
    place: LocalRegistry,
    project: Project,
    stack: Stack,
    buildkit_port: int,
) -> Iterator[Platforms]:
    runner = runners()
    runner.variables = buildkit_image.log_in(runner.variables, place, tmp_path / "docker")
    stack.give_busybox(tmp_path)
    image = buildkit_image.push(place, buildkit_port, tmp_path / "busybox", tmp_path)
    text = workflows.matrix_caller(place.host, workflows.PLATFORMS)
    given = f"          registry: {place.host}\n"
    text = text.replace(given, f"{given}          buildkit-image: {image}\n")
    (project.folder / "Dockerfile").unlink()
    project.commit({**FILES, workflows.PATH: text})
    yield Platforms(runner, project, place)
    with closing(docker.DockerClient(runner.variables["DOCKER_HOST"], timeout=120)) as client:
        buildkit_image.remove(client, place)


def test_a_platform_that_fails_moves_no_tag_and_the_next_run_completes_it(
    platforms: Platforms,
) -> None:
    job, own = platforms.run(), platforms.own
    assert job.code
    assert "order" in job.of(f"{ARM} order").failed(4).errors[0]
    for each in (f"{AMD} menu", f"{ARM} menu", f"{AMD} order"):
        assert job.of(each).outputs()["pushed"] == "true", each
    assert f"order:{own} lacks linux/arm64" in job.of("publish").failed(4).errors[0]
    assert platforms.words("menu", own) == ["amd64", "arm64"]
    assert {own} == {each for each in platforms.tags("menu") if "." not in each}
    assert platforms.tags("order").keys() == {f"{own}.linux-amd64"}

    platforms.project.commit({"order/arm64": "order on arm64\n"})
    before, own = platforms.tags("menu")[own], platforms.own
    job = platforms.run()
    built = {"plan", "publish", f"{AMD} order", f"{ARM} order"}
    assert job.results == dict.fromkeys(built, "success")
    job.ended()
    assert platforms.words("order", own) == ["amd64", "arm64"]
    for name in ("menu", "order"):
        found = platforms.tags(name)
        assert found["latest"] == found[own]
    assert platforms.tags("menu")["latest"] == before, "it is carried forward"
    outputs = job.of("publish").outputs()
    images = json.loads(outputs["images"])
    assert {name: each["action"] for name, each in images.items()} == {
        "menu": "carried",
        "order": "built",
    }
