"""Platforms that are built apart: by which runner, and what keeps them from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.failures import fails
from support.runs import service

from feastflow_registry.config import parts
from feastflow_registry.config.settings import parse
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.services import Annotation, Service

BOTH = ("linux/amd64", "linux/arm64")
SHOP = replace(service("shop"), platforms=BOTH)
MENU = replace(service("menu"), platforms=BOTH[:1])
BARE = service("bare")
JOINING = {"matrix": "platforms"}


def problems(*services: Service, **inputs: str) -> list[str]:
    def where(name: str, key: str = "") -> str:
        return f"{name}.{key}"

    return [str(each) for each in parts.check(services, parse(inputs), where)]


class TestRunners:
    def test_githubs_own_are_known(self) -> None:
        found = parts.runners(parse(JOINING), [SHOP, MENU])
        assert found == {"linux/amd64": ("ubuntu-24.04",), "linux/arm64": ("ubuntu-24.04-arm",)}

    @pytest.mark.parametrize(
        ("text", "platform", "labels"),
        [
            ("linux/arm64=mine", "linux/arm64", ("mine",)),
            ("linux/aarch64 = self-hosted, arm64", "linux/arm64", ("self-hosted", "arm64")),
            ("linux/s390x=z\nlinux/arm64/v8=mine", "linux/arm64", ("mine",)),
            ("linux/arm/7=pi=4", "linux/arm/v7", ("pi=4",)),
        ],
    )
    def test_others_are_named(self, text: str, platform: str, labels: tuple[str, ...]) -> None:
        one = replace(SHOP, platforms=(platform,))
        assert parts.runners(parse({**JOINING, "runners": text}), [one]) == {platform: labels}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("linux/amd46=x", ["'linux/amd46' is not a platform", "linux/amd64"]),
            ("amd64=x", ["'amd64' is not a platform"]),
            ("linux/arm64", ["not of the form NAME=VALUE"]),
            ("linux/arm64=", ["'linux/arm64' has no label"]),
            ("linux/arm64= , ", ["'linux/arm64' has no label"]),
            ("linux/arm64=a\x07b", ["'linux/arm64' has no label"]),
            ("linux/arm64=a\nlinux/arm64/v8=b", ["'linux/arm64' is given twice"]),
        ],
    )
    def test_what_is_no_label_of_a_platform(self, text: str, words: list[str]) -> None:
        with fails('input "runners"', *words, kind=Kind.INPUT):
            parse({"runners": text})


class TestWhatOtherJobsHavePushed:
    PAIRS = '{"include": [{"service": "shop", "platform": "linux/arm64", "runner": "x"}]}'

    @pytest.mark.parametrize(
        ("built", "matrix", "shop", "menu"),
        [
            (PAIRS, "platforms", ["linux/arm64"], []),
            (PAIRS.replace("shop", "menu"), "platforms", [], [""]),
            ('{"service": ["shop"]}', "services", [""], []),
            ('{"include": []}', "platforms", [], []),
            ("", "platforms", [], []),
        ],
    )
    def test_is_known_from_the_matrix(
        self, built: str, matrix: str, shop: list[str], menu: list[str]
    ) -> None:
        settings = parse({"matrix": matrix, "built": built})
        assert [parts.pushed(settings, each) for each in (SHOP, MENU)] == [shop, menu]

    @pytest.mark.parametrize(
        "text",
        [
            *("false", "shop", "[]", "{}", '{"service": "shop"}', '{"service": [1]}'),
            *('{"include": [{}]}', '{"include": ["shop"]}', "[" * 100_000),
            '{"include": [{"service": "shop", "platform": 1}]}',
        ],
    )
    def test_what_is_no_matrix(self, text: str) -> None:
        words = ["is no matrix.", "Give it the output matrix of the job that planned."]
        with fails('input "built"', *words, kind=Kind.INPUT):
            parse({"built": text})


class TestCheck:
    def test_nothing_where_platforms_are_not_built_apart(self) -> None:
        odd = replace(BARE, platforms=("linux/s390x", "linux/s390x"))
        assert problems(BARE, odd) == []
        assert problems(BARE, odd, command="build", **JOINING) == []

    def test_nothing_where_all_is_well(self) -> None:
        assert problems(SHOP, MENU, **JOINING) == []
        assert problems(SHOP, MENU, part="linux/amd64", **JOINING) == []
        assert problems(SHOP, MENU, part="linux/arm64") == []
        assert problems(SHOP, MENU, BARE, part="linux/arm64", services="shop") == []

    @pytest.mark.parametrize("inputs", [JOINING, {"part": "linux/amd64"}])
    def test_a_service_that_names_no_platform(self, inputs: dict[str, str]) -> None:
        (said,) = problems(SHOP, BARE, **inputs)
        assert said.startswith("bare.platforms: bare has no platforms")
        assert "linux/amd64,linux/arm64" in said

    @pytest.mark.parametrize("inputs", [JOINING, {"part": "linux/amd64"}])
    def test_a_platform_that_is_there_twice(self, inputs: dict[str, str]) -> None:
        (said,) = problems(replace(SHOP, platforms=(*BOTH, *BOTH[:1])), **inputs)
        assert said == "shop.platforms: shop names a platform twice. Remove one."

    def test_a_platform_without_a_runner(self) -> None:
        odd = replace(SHOP, platforms=("linux/s390x", *BOTH, "linux/riscv64"))
        one, two = problems(odd, MENU, **JOINING)
        assert "no runner is known for linux/s390x" in one
        assert "linux/riscv64=my-runner" in two
        named = {"runners": "linux/s390x=z\nlinux/riscv64=r"}
        assert problems(odd, MENU, **JOINING, **named) == []
        assert problems(odd, part="linux/s390x") == [], "the job has found its runner"

    @pytest.mark.parametrize("command", ["build", "push", "prune"])
    def test_a_part_of_what_is_not_published(self, command: str) -> None:
        (said,) = problems(SHOP, part="linux/arm64", command=command)
        assert said.startswith(f'input "part": {command} does not build images in parts')

    def test_a_part_that_no_service_has(self) -> None:
        (said,) = problems(SHOP, MENU, part="linux/s390x")
        assert "shop, menu is not built for linux/s390x" in said
        assert said.endswith("Name a platform that is: linux/amd64, linux/arm64.")

    def test_a_part_that_the_named_service_has_not(self) -> None:
        (said,) = problems(SHOP, MENU, part="linux/arm64", services="menu")
        assert said.startswith('input "part": menu is not built for linux/arm64.')
        (said,) = problems(SHOP, MENU, part="linux/arm64", services="menu,shop")
        assert "menu is not" in said


def test_a_job_works_on_the_services_that_have_its_platform() -> None:
    assert parts.chosen([SHOP, MENU], parse({"part": "linux/arm64"})) == (SHOP,)
    assert parts.chosen([SHOP, MENU], parse({"part": "linux/amd64"})) == (SHOP, MENU)
    assert parts.chosen([SHOP, MENU, BARE], parse(JOINING)) == (SHOP, MENU, BARE)


def test_whose_parts_are_looked_for() -> None:
    assert parts.of_service(parse(JOINING), SHOP) == BOTH
    assert parts.of_service(parse({"part": "linux/arm64"}), SHOP) == ("linux/arm64",)
    assert parts.of_service(parse({"part": "linux/amd64"}), MENU) == ()
    assert parts.of_service(parse(JOINING), MENU) == ()
    assert parts.of_service(parse({}), SHOP) == ()


def test_a_job_builds_one_platform_with_what_is_said_of_it() -> None:
    levels = ("", "manifest", "index", "manifest[linux/amd64]", "manifest[linux/arm64]")
    annotations = tuple(Annotation(each, "key", each) for each in levels)
    found = parts.narrowed(replace(SHOP, annotations=annotations), "linux/arm64")
    assert found.platforms == ("linux/arm64",)
    assert [each.level for each in found.annotations] == ["", "manifest", levels[4]]
    assert replace(found, platforms=BOTH, annotations=()) == SHOP
