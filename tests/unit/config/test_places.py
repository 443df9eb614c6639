from __future__ import annotations

import pytest
from support.runs import SHOP, service

from feastflow_registry.config import places
from feastflow_registry.config.settings import parse
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.services import Service

TWO = (service("shop"), service("menu"))


def repositories(services: tuple[Service, ...]) -> list[str]:
    return [str(each.repository) for each in services]


def problems(services: tuple[Service, ...], **inputs: str) -> list[str]:
    return [each.cause for each in places.check(services, parse(inputs))]


def test_each_service_has_a_place_on_each_registry() -> None:
    settings = parse(
        {"also": "ghcr.io/team/{service}\nteam/x-{service}, r.example.com:5/a/b/{service}"}
    )
    first, others = places.of(TWO, settings)
    assert first == TWO
    assert repositories(others) == [
        *("ghcr.io/team/shop", "ghcr.io/team/menu", "team/x-shop", "team/x-menu"),
        *("r.example.com:5/a/b/shop", "r.example.com:5/a/b/menu"),
    ]
    assert list(map(str, places.hosts(settings))) == ["ghcr.io", "r.example.com:5"]
    assert [each.name for each in others] == ["shop", "menu"] * 3
    assert problems(TWO, also="ghcr.io/team/{service}, quay.io/team/{service}") == []


def test_a_registry_of_plain_http_is_known_as_one() -> None:
    settings = parse({"also": "r:5000/team/{service}", "insecure_registries": "r:5000"})
    _, (shop,) = places.of((SHOP,), settings)
    assert shop.repository.host.insecure


def test_nothing_else_is_named() -> None:
    assert places.of(TWO, parse({})) == (TWO, ())
    assert places.hosts(parse({})) == ()


@pytest.mark.parametrize(
    ("chosen", "first", "also"),
    [
        ("ghcr.io", ["ghcr.io/team/shop"], []),
        ("docker.io", ["ada/shop"], []),
        ("ghcr.io, docker.io", ["ada/shop"], ["ghcr.io/team/shop"]),
    ],
)
def test_some_registries_are_worked_on(chosen: str, first: list[str], also: list[str]) -> None:
    given = {"command": "tags", "also": "ghcr.io/team/{service}, quay.io/team/{service}"}
    found = places.of((SHOP,), parse({**given, "registries": chosen}))
    assert tuple(map(repositories, found)) == (first, also)
    assert problems((SHOP,), **given, registries=chosen) == []


@pytest.mark.parametrize(
    "text",
    [
        *("ghcr.io/team/shop:latest", "ghcr.io/team/shop@sha256:" + "0" * 64),
        *(
            "shop",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io/Team/../x",
            "https://ghcr.io/team/shop",
            "{service}",
        ),
    ],
)
def test_refuses_what_is_no_repository(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse({"also": text})
    [problem] = caught.value.problems
    assert problem.cause.startswith('input "also": ')


@pytest.mark.parametrize(
    ("also", "cause"),
    [
        ("ada/{service}", "ada/shop is the repository of shop already."),
        ("docker.io/ada/{service}", "ada/shop is the repository of shop already."),
        (
            "ghcr.io/t/{service}, ghcr.io/t/{service}",
            "ghcr.io/t/shop is the repository of shop already.",
        ),
        (
            "ghcr.io/t/{service}, ghcr.io/t/shop",
            "ghcr.io/t/shop is the repository of shop already.",
        ),
    ],
)
def test_refuses_the_same_place_twice(also: str, cause: str) -> None:
    assert problems((SHOP,), also=also) == [f'input "also": {cause}']


def test_refuses_the_place_of_another_service() -> None:
    others = (service("shop"), service("x-shop"))
    [cause] = problems(others, also="ada/x-{service}")
    assert cause == 'input "also": ada/x-shop is the repository of x-shop already.'


def test_refuses_one_repository_for_several_services() -> None:
    [cause] = problems(TWO, also="ghcr.io/team/shop")
    assert cause == 'input "also": ghcr.io/team/shop is one repository for 2 services.'
    assert problems((SHOP,), also="ghcr.io/team/shop") == []


def test_refuses_a_registry_that_is_none_of_them() -> None:
    also = "ghcr.io/team/{service}"
    [problem] = places.check(
        (SHOP,), parse({"command": "tags", "also": also, "registries": "ghrc.io"})
    )
    assert (
        problem.cause
        == 'input "registries": ghrc.io is neither the registry nor in the input "also".'
    )
    assert problem.fix == 'Perhaps you meant "ghcr.io".'


@pytest.mark.parametrize("command", ["publish", "build", "push", "doctor"])
def test_refuses_to_publish_to_some_of_them(command: str) -> None:
    [cause] = problems((SHOP,), command=command, registries="docker.io")
    assert cause == f'input "registries": {command} is about all of them.'
