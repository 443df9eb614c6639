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
from support.registries import USER, LocalRegistry
from support.repositories import MARK, Project
from support.soak import soak

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
SEEN = "(ulimit -n; /busybox cat /etc/hosts; /busybox df -k /dev/shm; /busybox ls /sys/class/net)"
DESCRIPTION = "org.opencontainers.image.description"


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


@soak
def test_one_step_says_what_four_actions_said(
    place: LocalRegistry,
    places: Callable[..., LocalRegistry],
    project: Project,
    runner: Runner,
    stack: Stack,
    buildkit_port: int,
    tmp_path: Path,
) -> None:
    """A cache, a second registry, annotations, and how the steps of the build run."""
    there = places("token")
    stack.give_busybox(tmp_path)
    image = buildkit_image.push(place, buildkit_port, tmp_path / "busybox", tmp_path)
    shutil.copy2(tmp_path / "busybox", project.folder)
    project.commit({"Dockerfile": DOCKERFILE.replace("echo $TARGETARCH", SEEN)})
    asked = {
        "platforms": "linux/amd64,linux/arm64",
        "buildkit_image": image,
        "cache": "registry",
        "also": f'"{there.host}/{USER}/{{service}}"',
        "also_credentials": f"{there.host} {USER} ${{{{ secrets.OTHER_TOKEN }}}}",
        "annotations": f"{DESCRIPTION}=Where to eat",
        "network": "none",
        "add_hosts": "cache.internal:10.1.2.3",
        "ulimits": "nofile=1000:2000",
        "shm_size": "32m",
        "no_cache_filters": "build",
    }
    text, secret = workflows.caller(place.host, **asked), {"OTHER_TOKEN": there.token}
    job = runner.run(project.folder, workflow=text, more_secrets=secret).ended()
    [built] = json.loads(job.outputs()["images"]).values()
    assert built["note"].endswith("written")
    mirror = f"{USER}/app"
    assert there.tags(mirror)["latest"] == place.tags()["latest"]
    index = json.loads(place.crane("manifest", place.at("latest")))
    assert index["annotations"][DESCRIPTION] == "Where to eat"
    assert index["annotations"]["org.opencontainers.image.revision"] == project.head
    for each in ("linux/amd64", "linux/arm64"):
        files = there.crane("export", f"--platform={each}", there.at("latest", mirror), "-")
        for word in ("1000\n", "10.1.2.3\tcache.internal", "32768", "lo\n"):
            assert word in files, (each, files)
        assert "eth0" not in files

    project.commit({"page.html": "another page\n"})
    again = runner.run(project.folder, workflow=text, more_secrets=secret).ended()
    assert any(line.startswith("An earlier run has made the builder") for line in again.printed)
    assert f"commit-{project.head[:7]}" in there.tags(mirror)

    text = workflows.caller(place.host, command="build", outputs="type=local,dest=out")
    job = runner.run(project.folder, workflow=f"{text}      - run: cat out/word\n").ended()
    assert any(line.endswith("/dev/shm") for line in job.printed), "what the build left"
