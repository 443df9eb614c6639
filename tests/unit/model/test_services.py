"""How several services belong together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.failures import fails
from support.runs import service

from feastflow_registry.model.services import Service, check_together, linked, select

TAKE_OUT = "Take one of them out of the other's additional_contexts."
NEAREST = 'Perhaps you meant "pricing".'


def built_from(name: str, *links: str) -> Service:
    contexts = (("files", "files"), *((link, f"service:{link}") for link in links))
    return replace(service(name), contexts=contexts)


def names(services: object) -> list[str]:
    return [each.name for each in services]  # type: ignore[attr-defined]


def test_named_contexts_are_folders_links_or_elsewhere() -> None:
    values = (
        *("lib", "../lib", "service:base", "docker-image://busybox:1", "https://x.example/x.git"),
        *("git@github.com:x/y.git", "oci-layout://x"),
        # Whatever looks like an address and is none is looked at as a path.
        *("a:/../../outside", "b:", "git@/../../outside"),
    )
    one = replace(service(), contexts=tuple((str(n), each) for n, each in enumerate(values)))
    assert one.folders == (
        *("lib", "../lib"),
        *("a:/../../outside", "b:", "git@/../../outside"),
    )
    assert one.links == ("base",)


def test_what_a_service_is_built_from_comes_once() -> None:
    known = {
        each.name: each
        for each in (built_from("a", "b", "c"), built_from("b", "d"), built_from("c", "d"))
    }
    known["d"] = service("d")
    assert names(linked(known["a"], known)) == ["b", "c", "d"]
    assert names(linked(known["d"], known)) == []


@pytest.mark.parametrize(
    ("services", "problems"),
    [
        ([service("a"), service("b")], []),
        ([built_from("a", "b"), built_from("b", "c"), service("c")], []),
        (
            [service("a"), replace(service("b"), repository=service("a").repository)],
            ["b/image: ada/a is the image of the service a, too. Give one of them another image."],
        ),
        (
            [built_from("frontend", "pricng"), service("pricing")],
            [
                f"frontend/additional_contexts: 'pricng' is no service. {NEAREST}",
            ],
        ),
        (
            [built_from("a", "a")],
            [f"a/additional_contexts: service a is built from itself. {TAKE_OUT}"],
        ),
        (
            [
                built_from("a", "b"),
                built_from("b", "c"),
                built_from("c", "a"),
                built_from("d", "a"),
            ],
            [f"a/additional_contexts: service a is built from itself by way of b, c. {TAKE_OUT}"],
        ),
    ],
)
def test_what_is_wrong_between_services(services: list[Service], problems: list[str]) -> None:
    assert [
        str(each) for each in check_together(services, lambda *place: "/".join(place))
    ] == problems


def test_all_are_selected_if_none_is_named() -> None:
    known = [service("a"), service("b"), service("c")]
    assert names(select(known, [])) == ["a", "b", "c"]
    assert names(select(known, ["c", "a", "c"])) == ["a", "c"]


def test_a_service_that_is_not_known() -> None:
    with fails("there is no service 'pricng'", 'Perhaps you meant "pricing".', "'x'") as caught:
        select([service("pricing"), service("menu")], ["pricng", "menu", "x", "x"])
    assert len(caught.value.problems) == 2
