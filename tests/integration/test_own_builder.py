"""A builder that nobody has prepared: made of a real image, kept, repaired, refused, removed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from conftest import Stack
from support import buildkit_image
from support.machine import Machine, Ran
from support.registries import REPOSITORY, USER, LocalRegistry
from support.repositories import MARK, Project
from support.servers.faults import Fault
from support.soak import chosen, soak

from feastflow_registry.builder.own_builder import PREFIX
from feastflow_registry.model.errors import Kind
from integration.conftest import Builder

TWO = "linux/amd64,linux/arm64"
CROSS = f"""\
FROM --platform=$BUILDPLATFORM scratch AS build
COPY --chmod=755 busybox /
ARG TARGETARCH
RUN ["/busybox", "sh", "-c", "echo $TARGETARCH > /word"]
FROM scratch
LABEL {MARK}
COPY --from=build /word /
COPY page.html /
"""
FOREIGN = CROSS.replace("--platform=$BUILDPLATFORM ", "")


@dataclass
class Bare:
    """A machine on which docker is logged in to our registry, and nothing else was prepared."""

    machine: Machine
    place: LocalRegistry
    client: docker.DockerClient
    image: str
    folder: Path

    def runner(self, **inputs: str) -> dict[str, str]:
        """The environment of a step that asks for two platforms."""
        given = {"platforms": TWO, "buildkit_image": self.image, **inputs}
        return {
            **self.machine.runner(),
            **{f"FEASTFLOW_{name.upper()}": value for name, value in given.items()},
        }

    def publish(self, **inputs: str) -> Ran:
        """Publish HEAD from a process of its own."""
        return self.machine.run(self.runner(**inputs)).ended()

    def refused(self, **inputs: str) -> Ran:
        """Publish HEAD where no build may begin, or none may end well."""
        return self.machine.run(self.runner(**inputs)).ended(Kind.BUILD)

    def buildx(self, *words: str) -> str:
        """What plain buildx says."""
        command = ["docker", "buildx", *words]
        variables = dict(self.machine.variables)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    @property
    def names(self) -> list[str]:
        """The builders of our own that buildx knows."""
        return sorted(set(re.findall(rf"^({PREFIX}\w+)", self.buildx("ls"), re.MULTILINE)))

    @property
    def containers(self) -> dict[str, str]:
        """The states of the containers of such builders, by their ids."""
        found = buildkit_image.containers(self.client, self.place)
        return {str(each.id): str(each.status) for each in found}


@pytest.fixture
def give(
    machines: Callable[[LocalRegistry, Builder], Machine],
    builders: Callable[[str], Builder],
    place: LocalRegistry,
    project: Project,
    busybox: Path,
    buildkit_port: int,
    tmp_path: Path,
) -> Iterator[Callable[[str], Bare]]:
    """Set up a bare machine with the engine of a store."""
    project.commit({"Dockerfile": CROSS})
    shutil.copy2(busybox, project.folder)
    project.commit()
    with contextlib.ExitStack() as after:

        def give(store: str = "classic") -> Bare:
            builder = builders(store)
            config = tmp_path / "docker"
            variables = buildkit_image.log_in(builder.variables, place, config)
            image = buildkit_image.push(place, buildkit_port, busybox, tmp_path)
            client = docker.DockerClient(variables["DOCKER_HOST"], timeout=120)
            machine = machines(place, Builder(store, variables))
            bare = Bare(machine, place, client, image, config)
            after.callback(client.close)
            after.callback(buildkit_image.remove, client, place)
            return bare

        yield give


@pytest.fixture
def bare(give: Callable[[str], Bare]) -> Bare:
    """A bare machine with the classic store."""
    return give("classic")


@soak
def test_two_platforms_on_a_machine_with_nothing_prepared(bare: Bare, project: Project) -> None:
    ran = bare.publish()
    assert "The engine's own builder will not do: the docker driver" in ran.log
    assert re.search(rf"Made the builder {PREFIX}\w+ from {bare.image} in \d+\.\d s\.", ran.log)
    assert "name it by digest" not in ran.log
    tag = f"commit-{project.head[:7]}"
    index = json.loads(bare.place.crane("manifest", bare.place.at(tag)))
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    [made], [name] = bare.containers, bare.names

    project.commit()
    again = bare.publish()
    assert f"An earlier run has made the builder {name}." in again.log
    assert "Made the builder" not in again.log
    assert [*bare.containers] == [made]
    assert bare.place.digest(f"commit-{project.head[:7]}") != bare.place.digest(tag)


@pytest.mark.parametrize(
    ("store", "inputs", "made"),
    chosen(
        [
            ("containerd", {"platforms": TWO, "attest": "type=provenance,mode=min"}, False),
            ("classic", {"platforms": "", "cache": "registry"}, True),
            ("containerd", {"reproducible": "true"}, True),
            ("containerd", {"platforms": "", "cache": "registry"}, False),
            ("classic", {"platforms": ""}, False),
            ("classic", {"platforms": "", "attest": "type=provenance,mode=min"}, True),
        ],
    ),
)
def test_the_engine_s_own_builder_is_used_where_it_can(
    give: Callable[[str], Bare], store: str, inputs: dict[str, str], made: bool
) -> None:
    bare = give(store)
    ran = bare.publish(**inputs)
    assert ("Made the builder" in ran.log) == made == bool(bare.names)
    assert bare.place.digest("latest")


@soak
def test_one_writes_a_cache_for_the_next_one(bare: Bare) -> None:
    """BuildKit itself stays here, and may know the steps: test_caches tells what was read."""
    first = bare.publish(platforms="linux/arm64", cache="registry")
    assert re.search(r"\(cache: .+, written\)", first.log)
    assert "buildcache-linux-arm64" in bare.place.tags()
    [name] = bare.names
    bare.buildx("rm", "--force", name)
    bare.machine.project.commit()
    again = bare.publish(platforms="linux/arm64", cache="registry")
    assert "Made the builder" in again.log
    assert "buildcache-linux-arm64 failed" not in again.log
    assert re.search(r"\(cache: .+ steps were there, written\)", again.log)


def test_nothing_is_made_by_a_dry_run_or_where_nothing_is_built(bare: Bare) -> None:
    bare.publish(dry_run="true")
    assert (bare.names, bare.containers) == ([], {})
    bare.publish(platforms="")
    bare.publish()
    assert bare.names == [], "the commit is published"


@pytest.mark.parametrize("how", chosen(["input", "variable"]))
def test_a_builder_that_was_named_is_used_as_it_is(bare: Bare, how: str) -> None:
    named = {"builder": "default"} if how == "input" else {}
    environ = bare.runner(**named)
    environ |= {"BUILDX_BUILDER": "default"} if how == "variable" else {}
    ran = bare.machine.run(environ).ended(Kind.BUILD)
    [error] = ran.errors
    assert "cannot keep several platforms; needed by app." in error
    assert "docker/setup-buildx-action" in error
    assert bare.names == []


@soak
def test_a_builder_that_was_made_current_is_used_as_it_is(bare: Bare) -> None:
    bare.buildx(
        "create", "--use", "--name", "theirs", f"--driver-opt=image={bare.image},network=host"
    )
    try:
        ran = bare.publish()
    finally:
        bare.buildx("rm", "--force", "theirs")
    assert PREFIX not in ran.log
    assert bare.place.digest("latest")


def test_a_run_that_was_killed_while_the_image_came(bare: Bare) -> None:
    held = bare.place.proxy.add(Fault("hold", path=buildkit_image.PATH))
    environ = bare.runner()
    running = bare.machine.start(environ)
    assert held.arrived.wait(120)
    [buildx] = children(running.process.pid)
    ended = os.pidfd_open(buildx)
    running.kill()
    assert select.select([ended], [], [], 300)[0], "it would make a container that nobody waits for"
    os.close(ended)
    bare.place.proxy.clear()
    bare.publish()
    assert len(bare.names) == 1
    assert list(bare.containers.values()) == ["running"]


def children(parent: int) -> list[int]:
    """The processes that a process has started, and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, of, *_ = path.read_text().rpartition(")")[2].split()
            if int(of) == parent and state != "Z":
                found.append(int(path.parent.name))
    return found


@soak
def test_a_container_that_never_ran_is_made_again(bare: Bare) -> None:
    bare.publish()
    [name], [first] = bare.names, bare.containers
    bare.client.containers.get(first).remove(force=True)
    half = bare.client.containers.create(bare.image, name=f"buildx_buildkit_{name}0")
    bare.machine.project.commit()
    bare.publish()
    [(found, state)] = bare.containers.items()
    assert found not in (first, half.id)
    assert state == "running"


@soak
def test_one_that_was_stopped_is_started(bare: Bare) -> None:
    bare.publish()
    [first] = bare.containers
    bare.client.containers.get(first).stop(timeout=1)
    bare.machine.project.commit()
    bare.publish()
    assert bare.containers == {first: "running"}


def test_one_that_does_not_start_any_more_is_made_afresh(bare: Bare) -> None:
    bare.publish()
    [name], [first] = bare.names, bare.containers
    bare.client.containers.get(first).remove(force=True)
    network = bare.client.networks.create("feastflow-tests-gone")
    broken = bare.client.containers.create(
        bare.image, name=f"buildx_buildkit_{name}0", network=network.name
    )
    broken.start()
    broken.stop(timeout=1)
    network.remove()
    bare.machine.project.commit()
    ran = bare.machine.call(bare.runner()).ended()
    [(found, state)] = bare.containers.items()
    assert (found == broken.id, state) == (False, "running")
    assert ran.slept == 1 + 2, "it was made afresh at the third try"


def test_two_runs_make_one(bare: Bare) -> None:
    environs = [bare.runner(image=f"feastflow/{each}") for each in ("one", "two")]
    for each in [bare.machine.start(environ) for environ in environs]:
        each.end().ended()
    assert len(bare.names) == list(bare.containers.values()).count("running") == 1


@pytest.mark.parametrize("what", chosen(["container", "driver", "image"]))
def test_one_that_only_has_our_name_is_refused(
    bare: Bare, stack: Stack, what: str, busybox: Path, buildkit_port: int, tmp_path: Path
) -> None:
    bare.publish()
    [name], [container] = bare.names, bare.containers
    bare.buildx("rm", "--force", name)
    other = buildkit_image.push(bare.place, buildkit_port, busybox, tmp_path, tag="other")
    theirs = f"buildx_buildkit_{name}0"
    if what == "driver":
        bare.buildx("create", "--name", name, "--driver", "remote", stack.buildkit)
    elif what == "image":
        bare.buildx("create", "--name", name, f"--driver-opt=image={other}")
    else:
        made = bare.client.containers.create(bare.image, name=theirs)
        made.remove()
        bare.client.images.pull(other, auth_config={"username": USER, "password": bare.place.token})
        bare.client.containers.create(other, name=theirs)
    bare.machine.project.commit()
    ran = bare.refused()
    [error] = ran.errors
    assert f"the builder {name} exists, but is another one than this program makes: " in error
    said = {"driver": "driver is remote", "image": "other@sha256", "container": "container runs"}
    assert said[what] in error
    assert f"docker buildx rm {name}" in error
    assert 'input "builder"' in error
    assert container not in bare.containers


@pytest.mark.parametrize("missing", chosen([f"@sha256:{'0' * 64}", ":no-such-tag"]))
def test_an_image_that_cannot_be_had(bare: Bare, missing: str) -> None:
    image = f"{bare.place.host}/{buildkit_image.PATH}{missing}"
    ran = bare.machine.call(bare.runner(buildkit_image=image)).ended(Kind.BUILD)
    assert ran.slept == 0, "no later try would bring it"
    [error] = ran.errors
    assert f"no builder can be made from {image}: " in error
    assert 'input "buildkit-image"' in error
    assert (bare.names, bare.containers, bare.place.tags()) == ([], {}, {})
    ran = bare.refused(command="doctor", buildkit_image=image)
    assert f"✗ builder: no builder can be made from {image}: " in ran.log


@soak
def test_a_registry_that_fails_for_a_moment_is_asked_again(bare: Bare) -> None:
    path = f"{buildkit_image.PATH}/manifests"
    fault = bare.place.proxy.add(Fault("status", path=path, status=503, times=2))
    ran = bare.machine.call(bare.runner()).ended()
    assert fault.fired
    assert ran.slept > 0
    assert "Made the builder" in ran.log


@soak
def test_an_image_without_a_digest_is_pointed_out(bare: Bare) -> None:
    tag = bare.image.partition("@")[0]
    ran = bare.publish(buildkit_image=tag)
    assert f"::notice::{tag} may be another image tomorrow" in ran.log


@soak
def test_registries_of_plain_http_are_another_builder_s(bare: Bare) -> None:
    bare.publish()
    [without] = bare.names
    bare.machine.project.commit()
    bare.publish(insecure_registries="registry.lan:5000")
    [other] = {*bare.names} - {without}
    said = bare.buildx("inspect", other).split()
    assert " ".join(said).count('[registry."registry.lan:5000"]') == 1
    assert 'network="host"' in said


@soak
def test_doctor_says_which_builder_it_would_be_and_makes_none(bare: Bare) -> None:
    said = f"a builder of its own, made from {bare.image}"
    assert said in bare.publish(command="doctor").log
    assert bare.names == []
    assert said not in bare.publish(command="doctor", platforms="").log


@soak
def test_what_nobody_uses_any_more_is_removed(
    bare: Bare, busybox: Path, buildkit_port: int, tmp_path: Path
) -> None:
    for tag in ("old", "young"):
        image = buildkit_image.push(bare.place, buildkit_port, busybox, tmp_path, tag=tag)
        bare.publish(buildkit_image=image)
        bare.machine.project.commit()
        if tag == "old":
            [old] = bare.names
    bare.buildx("create", "--name", f"{PREFIX}mine")
    before = time.time() - 8 * 86_400
    for name in (old, f"{PREFIX}mine"):
        for file in bare.folder.glob(f"buildx/*/{name}"):
            os.utime(file, (before, before))
    ran = bare.publish()
    assert f"Removing the builder {old}, unused for 8 days." in ran.log
    assert old not in bare.names
    assert len(bare.names) == 3, "the young one, the new one, and one that is not ours"
    assert len(bare.containers) == 2


def test_another_platform_s_programs_are_told_before_the_build(
    give: Callable[[str], Bare], project: Project
) -> None:
    project.commit({"Dockerfile": FOREIGN})
    bare = give("containerd")
    ran = bare.refused()
    [error] = ran.errors
    assert error.startswith(
        "linux/arm64 needs emulation here: app.\n"
        "Run docker/setup-qemu-action before this step, or build each platform on its own runner "
        '(the input "matrix").\nhttps://'
    )
    assert "Building app" not in ran.log
    assert bare.place.tags(REPOSITORY) == {}


@soak
def test_a_builder_of_buildkit_s_image_is_told_of_them_too(bare: Bare, project: Project) -> None:
    project.commit({"Dockerfile": FOREIGN})
    ran = bare.publish()
    told, built = (
        ran.log.index(each) for each in ("linux/arm64 needs emulation here: app.", "Building app")
    )
    assert told < built
    assert "BuildKit's own emulation is tried" in ran.log
