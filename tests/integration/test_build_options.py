"""What a service says of how its build is run, as the build's own steps see it on each builder."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.builds import BuildSetup, script
from support.machine import Machine
from support.registries import LocalRegistry
from support.soak import chosen

from feastflow_registry.config import build_options
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.services import Annotation, BuildOptions
from integration.conftest import BUILDERS, REMOTE, Builder

OCI = "org.opencontainers.image"
OWN = Annotation("manifest", f"{OCI}.title", "app")


@pytest.fixture
def workshops(
    builders: Callable[[str], Builder], place: LocalRegistry, busybox: Path, tmp_path: Path
) -> Callable[[str], BuildSetup]:
    def give(name: str) -> BuildSetup:
        return BuildSetup(builders(name), place, tmp_path, busybox)

    return give


def said(shop: BuildSetup, command: str, **run: Any) -> list[str]:
    """What a step prints."""
    shop.log.lines.clear()
    shop.publish(shop.image("app", script(command), no_cache=True, options=BuildOptions(**run)))
    return shop.quoted()


def has(lines: list[str], pattern: str) -> bool:
    return any(re.search(pattern, each) for each in lines)


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_a_step_runs_as_it_is_told(workshops: Callable[[str], BuildSetup], name: str) -> None:
    shop = workshops(name)
    look = "ulimit -Sn; ulimit -Hn; /busybox cat /etc/hosts; /busybox df -k /dev/shm; "
    look += "/busybox echo net $(/busybox ls /sys/class/net)"
    plain = said(shop, look)
    assert has(plain, "net .*eth0")
    assert not has(plain, r"10\.1\.2\.3|\b1000$")
    found = said(
        shop,
        look,
        network="none",
        ulimits=build_options.ulimits("nofile=1000:2000"),
        shm_size=build_options.shm_size("32m"),
        extra_hosts=build_options.extra_hosts("cache.internal:10.1.2.3\ncache.internal:[::1:2]"),
    )
    for pattern in (
        r"\b1000$",
        r"\b2000$",
        r"10\.1\.2\.3\s+cache",
        r"::1:2\s+cache",
        r"tmpfs\s+32768",
    ):
        assert has(found, pattern), (pattern, found)
    assert has(found, "net lo$")


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_the_hosts_network_is_granted(workshops: Callable[[str], BuildSetup], name: str) -> None:
    """A step sees the interfaces of the machine, which it names by its own boot."""
    look = "/busybox cat /proc/sys/net/core/somaxconn; /busybox readlink /proc/self/ns/net"
    shop = workshops(name)
    [own] = re.findall(r"net:\[\d+\]", "".join(said(shop, look)))
    granted = {"network": "host", "entitlements": ("network.host",)}
    [host] = re.findall(r"net:\[\d+\]", "".join(said(shop, look, **granted)))
    assert own != host
    assert host == Path("/proc/self/ns/net").readlink().name


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_what_a_builder_does_not_grant(workshops: Callable[[str], BuildSetup], name: str) -> None:
    shop = workshops(name)
    run = BuildOptions(entitlements=("security.insecure",))
    with pytest.raises(Failure) as caught:
        shop.publish(shop.image("app", options=run))
    [problem] = caught.value.problems
    assert caught.value.kind is Kind.BUILD
    assert "granting entitlement security.insecure is not allowed" in problem.cause
    assert "--allow-insecure-entitlement" in problem.fix


def test_what_a_step_is_not_granted_is_its_services_own_failure(
    workshops: Callable[[str], BuildSetup],
) -> None:
    shop = workshops("classic")
    step = script("/busybox true").replace("RUN", "RUN --network=host")
    engine = shop.engine()
    built = engine.build([shop.image("app", step), shop.image("other")], push=True)
    assert set(built.images) == {"other"}
    assert 'in the input "allow"' in built.failures["app"].problems[0].fix


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_the_address_of_the_host(workshops: Callable[[str], BuildSetup], name: str) -> None:
    shop = workshops(name)
    hosts = build_options.extra_hosts("gate=host-gateway")
    if name == "remote":
        with pytest.raises(Failure) as caught:
            said(shop, "/busybox true", extra_hosts=hosts)
        assert "Write the host's own address" in caught.value.problems[0].fix
    else:
        assert has(said(shop, "/busybox cat /etc/hosts", extra_hosts=hosts), r"\d\s+gate$")


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_stages_that_are_always_built_anew(
    workshops: Callable[[str], BuildSetup], name: str
) -> None:
    shop = workshops(name)
    step = script(f"/busybox echo {shop.word}")
    filters = BuildOptions(no_cache_filter=("again",))
    for run, cached in ((BuildOptions(), False), (BuildOptions(), True), (filters, False)):
        shop.log.lines.clear()
        image = shop.image("app", step, options=run)
        file = shop.folder / "app/Dockerfile"
        file.write_text(file.read_text().replace("FROM scratch", "FROM scratch AS again"))
        shop.publish(image)
        assert has(shop.quoted(), r"^\[.*CACHED$") is cached


@pytest.mark.parametrize("name", BUILDERS)
def test_a_build_that_is_not_pushed_leaves_outputs_besides_its_image(
    workshops: Callable[[str], BuildSetup], name: str
) -> None:
    shop = workshops(name)
    kinds = ["type=local,dest=out/files", "type=tar,dest=out.tar"]
    kinds += ["type=oci,dest=out.oci"] if name != "classic" else []
    outputs = tuple(map(build_options.output, kinds))
    image = shop.image("app", outputs=outputs)
    built = shop.engine().build([image], push=False)
    assert not built.failures
    assert built.images["app"].image_id, "it can be checked"
    assert (shop.folder / "out/files/pages/app").read_text() == f"app {shop.word}"
    with tarfile.open(shop.folder / "out.tar") as files:
        assert "pages/app" in files.getnames()
    if name != "classic":
        with tarfile.open(shop.folder / "out.oci") as layout:
            assert "index.json" in layout.getnames()


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_an_output_stays_where_it_is_sent(
    workshops: Callable[[str], BuildSetup], name: str
) -> None:
    """Whatever is a function to Bake, or a link in the folder."""
    shop = workshops(name)
    outside = shop.folder.parent / f"{shop.folder.name}-outside"
    outside.mkdir()
    out = shop.folder / "out"
    out.mkdir()
    (out / "pages").symlink_to(outside)
    kinds = ["type=local,dest=out", "type=local,dest=${homedir()}/x", "type=tar,dest=%{x}.tar"]
    image = shop.image("app", outputs=tuple(map(build_options.output, kinds)))
    built = shop.engine().build([image], push=False)
    assert not built.failures
    assert not list(outside.iterdir())
    assert (out / "pages/app").read_text() == f"app {shop.word}"
    assert (shop.folder / "${homedir()}/x/pages/app").exists()
    assert (shop.folder / "%{x}.tar").exists()


def test_an_output_that_a_builder_does_not_write(
    workshops: Callable[[str], BuildSetup],
) -> None:
    shop = workshops("classic")
    with pytest.raises(Failure) as caught:
        shop.engine().build([shop.image("app", outputs=("type=oci,dest=x.tar",))], push=False)
    assert "OCI exporter is not supported" in caught.value.problems[0].cause
    assert "setup-buildx-action" in caught.value.problems[0].fix


@pytest.mark.parametrize("name", ["containerd", "remote"])
def test_outputs_of_several_platforms(workshops: Callable[[str], BuildSetup], name: str) -> None:
    shop = workshops(name)
    two = ("linux/amd64", "linux/arm64")
    image = shop.image("app", platforms=two, outputs=("type=local,dest=out",))
    built = shop.engine().build([image], push=False)
    assert not built.failures
    assert {each.name for each in (shop.folder / "out").iterdir()} == {"linux_amd64", "linux_arm64"}


def test_annotations_that_nobody_asked_for_are_left_out_without_a_word(
    workshops: Callable[[str], BuildSetup],
) -> None:
    shop = workshops("classic")
    images = [replace(shop.image(name), annotations=(OWN,)) for name in ("app", "other")]
    engine = shop.engine()
    engine.check_ready(images)
    assert not engine.build(images, push=True).failures
    assert not [text for _, text in shop.log.lines if "annotations" in text]


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_what_is_only_loaded_needs_none(workshops: Callable[[str], BuildSetup], name: str) -> None:
    shop = workshops(name)
    built = shop.engine().build([replace(shop.image("app"), annotations=(OWN,))], push=False)
    assert not built.failures


def test_a_published_image_is_annotated_as_it_is_labelled(
    machines: Callable[[LocalRegistry, Builder], Machine], place: LocalRegistry, builder: Builder
) -> None:
    """Where the builder can; the bytes that a promotion copies and a re-run finds are the same."""
    machine = machines(place, builder)
    named = {"builder": REMOTE} if builder.name == "remote" else {}
    machine.publish(image="app", labels=f"{OCI}.description=The shop", **named).ended()
    manifest = json.loads(place.crane("manifest", place.at("latest", "feastflow/app")))
    config = json.loads(place.crane("config", place.at("latest", "feastflow/app")))
    labels = config["config"]["Labels"]
    if builder.name == "classic":
        assert "annotations" not in manifest
    else:
        expected = {key: text for key, text in labels.items() if key.startswith(OCI)}
        assert manifest["annotations"] == expected
        assert expected[f"{OCI}.description"] == "The shop"
    given = machine.publish(image="app", annotations="a=b", reuse="never", **named)
    assert given.code == (4 if builder.name == "classic" else 0)
    assert ("cannot keep annotations; needed by app" in given.log) == (builder.name == "classic")
