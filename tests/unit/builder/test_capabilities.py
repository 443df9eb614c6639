"""What is asked of a builder, and what is said where it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.runs import service

from feastflow_registry.builder import capabilities
from feastflow_registry.builder.capabilities import CAPABILITIES, BuilderKind, Feature
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.services import Annotation


def image(name: str = "menu", platforms: tuple[str, ...] = (), **words: Any) -> BuildImage:
    return BuildImage(replace(service(name), platforms=platforms), (), (), **words)


NAMED = Annotation("manifest", "a", "b")
TWO = ("linux/amd64", "linux/arm64")
ALL: dict[str, Any] = {
    "platforms": TWO,
    "attest": ("type=sbom",),
    "cache_to": ("type=local,dest=x",),
    "epoch": 0,
}


@pytest.mark.parametrize(
    ("driver", "containerd", "kind"),
    [
        ("docker", False, BuilderKind.CLASSIC),
        ("docker", True, BuilderKind.CONTAINERD),
        ("docker-container", False, BuilderKind.OTHER),
        ("remote", True, BuilderKind.OTHER),
    ],
)
def test_the_kind_of_a_builder(driver: str, containerd: bool, kind: BuilderKind) -> None:
    assert BuilderKind.of(driver, containerd=containerd) is kind


@pytest.mark.parametrize(
    ("asks", "features"),
    [
        (image(), []),
        (image(platforms=TWO[:1]), []),
        (image(cache_to=("type=inline",)), []),
        (image(cache_to=("mode=max,type=inline",)), []),
        (image(cache_from=("type=gha",)), []),
        (image(cache_to=("type=inline", "type=local,dest=x")), [Feature.CACHE]),
        (image(platforms=TWO), [Feature.PLATFORMS]),
        (image(attest=("type=sbom",)), [Feature.ATTEST]),
        (image(cache_to=("type=registry,ref=r/type=inline",)), [Feature.CACHE]),
        (image(annotations=(NAMED,)), []),
        (BuildImage(replace(service("menu"), annotations=(NAMED,)), (), ()), [Feature.ANNOTATIONS]),
        (image(epoch=0), [Feature.REPRODUCIBLE]),
        (image(platforms=TWO[:1], is_part=True), [Feature.BY_DIGEST]),
    ],
)
def test_what_a_build_asks_for(asks: BuildImage, features: list[Feature]) -> None:
    assert list(capabilities.needed(asks)) == features


def test_each_problem_names_its_services_and_what_would_do_it() -> None:
    images = [image("a", **ALL), image("b"), image("c", attest=("type=sbom",))]
    found = list(capabilities.check(images, BuilderKind.CLASSIC))
    assert [each.cause.rpartition(" by ")[2] for each in found] == ["a.", "a, c.", "a.", "a."]
    assert all("docker/setup-buildx-action" in each.fix for each in found)
    assert ["containerd" in each.fix for each in found] == [True, True, True, False]
    assert all(each.fix[0].isupper() for each in found)
    [only] = capabilities.check(images, BuilderKind.CONTAINERD)
    assert only.cause.endswith("as a reproducible build needs; needed by a.")
    assert list(capabilities.check(images, BuilderKind.OTHER)) == []
    assert list(capabilities.check([image()], BuilderKind.CLASSIC)) == []


ABLE = ("linux/amd64", "linux/amd64/v2", "linux/arm/v6")


@pytest.mark.parametrize(
    ("runs", "able", "problems"),
    [
        ({"menu": TWO}, ABLE, ["linux/arm64 needs emulation here: menu."]),
        (
            {"menu": TWO, "shop": (), "till": ("linux/s390x", "linux/arm64")},
            ABLE,
            [
                "linux/arm64 needs emulation here: menu, till.",
                "linux/s390x needs emulation here: till.",
            ],
        ),
        ({"menu": ("linux/amd64/v3", "linux/arm/v7")}, ABLE, []),
        ({"menu": TWO}, (), []),
        ({}, ABLE, []),
    ],
)
def test_a_platform_that_the_builder_cannot_run_is_told(
    runs: dict[str, tuple[str, ...]], able: tuple[str, ...], problems: list[str]
) -> None:
    found = list(capabilities.check_platforms(runs, able))
    assert [each.cause for each in found] == problems
    assert all("docker/setup-qemu-action" in each.fix and "matrix" in each.fix for each in found)


def test_every_kind_has_its_line() -> None:
    assert set(CAPABILITIES) == set(BuilderKind)


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        ("Attestation is not supported for the docker driver.", True),
        ("Cache export is not supported for the docker driver.", True),
        ("docker exporter does not currently support exporting manifest lists", True),
        ("push-by-digest is currently not implemented for docker driver, please", True),
        ('exporter option "rewrite-timestamp" conflicts with "unpack"', True),
        ("Multi-platform build is not supported for the docker driver.", True),
        ("this syntax is not supported", False),
    ],
)
def test_what_buildkit_says_where_it_cannot(error: str, lacking: bool) -> None:
    assert capabilities.is_lacking(error) == lacking
