"""GitHub's cache: BuildKit's own client before a server that stands in for GitHub's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.builds import BuildSetup, script
from support.memory import FakeLog
from support.registries import LocalRegistry
from support.servers.actions_cache import ActionsCache
from support.soak import chosen

from feastflow_registry.config import caches
from feastflow_registry.config.settings import parse
from feastflow_registry.model.plan import BuildImage
from integration.conftest import Builder


@pytest.fixture
def github() -> Iterator[ActionsCache]:
    with ActionsCache() as server:
        yield server


@pytest.fixture
def shop(
    builders: Callable[[str], Builder],
    place: LocalRegistry,
    busybox: Path,
    tmp_path: Path,
    github: ActionsCache,
) -> Iterator[BuildSetup]:
    """A builder that reaches GitHub's cache; what it built is forgotten in the end."""
    service = caches.read_service(json.dumps(github.service))
    shop = BuildSetup(builders("containerd"), place, tmp_path, busybox, cache_service=service)
    yield shop
    shop.forget()


def image(shop: BuildSetup, name: str = "app", *, write: bool = True) -> BuildImage:
    steps = [script(f"echo {shop.word} {each} > /{each}") for each in "ab"]
    image = shop.image(name, *steps)
    found = caches.of_service(parse({"cache": "gha"}), image.service)
    return replace(image, cache_from=found.sources, cache_to=found.targets if write else ())


def told(shop: BuildSetup, *of: BuildImage) -> list[str]:
    """What a new run on a builder that remembers nothing says of its caches."""
    shop.forget()
    engine = shop.engine(FakeLog())
    engine.check_ready(of)
    built = engine.build(of, push=True)
    assert not built.failures, built.failures
    return [built.images[each.service.name].cache for each in of]


def test_the_first_run_misses_and_the_second_hits(shop: BuildSetup, github: ActionsCache) -> None:
    both = (image(shop), image(shop, "web"))
    assert told(shop, *both) == ["0 of 4 steps were there, written"] * 2
    assert github.scopes() == {"app", "web"}
    assert told(shop, image(shop, write=False)) == ["4 of 4 steps were there"]


@pytest.mark.parametrize("status", chosen([500, 403, 404]))
def test_one_that_is_down_fails_no_build(
    shop: BuildSetup, github: ActionsCache, status: int
) -> None:
    github.status = status
    [said] = told(shop, image(shop))
    assert said.startswith("not read: ")
    assert "not written: " in said
    assert github.token not in said


@pytest.mark.parametrize("kept", chosen([b"no JSON", b"{}", b""]))
def test_a_poisoned_index_fails_no_build(
    shop: BuildSetup, github: ActionsCache, kept: bytes
) -> None:
    told(shop, image(shop))
    [index] = [key for key in github.entries if key.startswith("index-")]
    github.entries[index] = kept
    told(shop, image(shop, write=False))


def test_a_poisoned_layer_fails_no_build(shop: BuildSetup, github: ActionsCache) -> None:
    told(shop, image(shop))
    for key, value in github.entries.items():
        if key.startswith("buildkit-blob-"):
            github.entries[key] = b"x" * len(value)
    shop.publish(image(shop, write=False))
