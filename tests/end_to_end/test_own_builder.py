"""Two platforms from the workflow that people copy, on a runner where no builder was set up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from conftest import Stack
from support import buildkit_image, workflows
from support.act import Runner
from support.registries import LocalRegistry
from support.repositories import MARK, Project

from feastflow_registry.builder.own_builder import PREFIX

DOCKERFILE = f"""\
FROM --platform=$BUILDPLATFORM scratch AS build
COPY --chmod=755 busybox /
ARG TARGETARCH
RUN ["/busybox", "sh", "-c", "echo $TARGETARCH > /word"]
FROM scratch
LABEL {MARK}
COPY --from=build /word /
"""


@pytest.fixture
def runner(
    tmp_path: Path,
    runners: Callable[..., Runner],
    place: LocalRegistry,
) -> Iterator[Runner]:
    """A runner on which docker is logged in to a mirror, and buildx knows no builder."""
    runner = runners()
    runner.variables = buildkit_image.log_in(runner.variables, place, tmp_path / "docker")
    yield runner
    with closing(docker.DockerClient(runner.variables["DOCKER_HOST"], timeout=120)) as client:
        buildkit_image.remove(client, place)


def test_two_platforms_where_no_builder_was_set_up(
    place: LocalRegistry,
    project: Project,
    runner: Runner,
    stack: Stack,
    buildkit_port: int,
    tmp_path: Path,
) -> None:
    stack.give_busybox(tmp_path)
    image = buildkit_image.push(place, buildkit_port, tmp_path / "busybox", tmp_path)
    shutil.copy2(tmp_path / "busybox", project.folder)
    project.commit({"Dockerfile": DOCKERFILE})
    asked = {"platforms": "linux/amd64,linux/arm64", "buildkit_image": image}
    text = workflows.caller(place.host, **asked)
    job = runner.run(project.folder, workflow=text).ended()
    assert any(line.startswith(f"Made the builder {PREFIX}") for line in job.printed)
    index = json.loads(place.crane("manifest", place.at("latest")))
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
