"""What `prune` asks for: each tag costs so many requests, and no more."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from support.machine import Machine
from support.many_tags import ImageMaker, commit_days, docker_hub
from support.soak import chosen, soak

LAST = 10
COUNTS = (20, 40)


def made(old: int) -> dict[str, int]:
    """Of what would go by its commit's date, when it was made is read."""
    return {"GET manifests/sha256:… 200": old, "GET blobs/sha256:… 200": old}


def fill(machine: Machine, old: int) -> None:
    """Old commits with an image each, ten new ones, and `latest` on the newest."""
    ages = [*range(1000, 1000 - old, -1), *range(LAST, 0, -1)]
    names = commit_days(machine.project, *ages)
    stock = ImageMaker(machine.place)
    for name, age in zip(names, ages, strict=True):
        stock.tag({f"commit-{name}": stock.image(name)}, age=age)
    stock.tag({"latest": machine.place.tags()[f"commit-{names[-1]}"]}, age=1)
    assert len(machine.place.tags()) == old + LAST + 1


def prune(machine: Machine, hub: str = "", **facts: Any) -> Counter[str]:
    """Run; how often the registry was asked what. Which commit and digest is left out."""
    environ = machine.runner(command="prune", keep_last=str(LAST), **facts)
    environ |= {"FEASTFLOW_HUB_URL": hub} if hub else {}
    before = len(machine.place.requests())
    machine.call(environ).ended()
    asked = machine.place.since(before)
    return Counter(re.sub(r"commit-\w+", "commit", line) for line in asked)


@soak
@pytest.mark.parametrize("old", chosen(COUNTS))
def test_a_dry_run_asks_once_a_tag(machine: Machine, old: int) -> None:
    fill(machine, old)
    assert prune(machine) == {
        "GET tags/list 401": 1,
        "GET tags/list 200": 1,
        "HEAD manifests/commit 200": old + LAST,
        "HEAD manifests/latest 200": 1,
        # What an image lists decides what else stays: the one that is kept is read, too.
        **made(old),
        "GET manifests/sha256:… 200": old + LAST,
    }


@pytest.mark.parametrize("old", chosen(COUNTS))
def test_by_digest(machine: Machine, old: int) -> None:
    """An image that goes is looked at by its tag when listed, and twice before it goes.

    What others may do meanwhile is looked at before each image that goes, and after it.
    """
    fill(machine, old)
    assert prune(machine, dry_run="false") == {
        "GET tags/list 401": 1,
        "GET tags/list 200": 2 + old,
        # The first tag that goes is tried by its name, too, which this registry refuses.
        "HEAD manifests/commit 200": old + LAST + 2 * old + 1,
        "DELETE manifests/commit 400": 1,
        # What is kept is looked at whole, once, and what goes may have been made late.
        **made(old),
        "GET manifests/sha256:… 200": LAST + old,
        # A tag that anybody may move, again before and after each image that goes.
        "HEAD manifests/latest 200": 2 + old,
        "DELETE manifests/sha256:… 202": old,
        # The proof: what was to go is gone, what was to stay is there.
        "HEAD manifests/commit 404": old,
        "HEAD manifests/sha256:… 200": LAST,
    }
    assert len(machine.place.tags()) == LAST + 1


@pytest.mark.parametrize("old", chosen(COUNTS))
def test_by_tag_on_docker_hub(machine: Machine, old: int) -> None:
    """What is listed by the hundred is looked at once before it goes, and once afterwards."""
    fill(machine, old)
    with docker_hub(machine.place) as hub:
        asked = prune(machine, hub.url, dry_run="false")
        methods = Counter(each.method for each in hub.requests)
    assert methods == {"POST": 1, "GET": 2, "DELETE": old}
    assert asked.pop("HEAD manifests/commit 401") == 1
    assert asked == {
        "HEAD manifests/commit 200": old,
        "HEAD manifests/commit 404": old,
        "HEAD manifests/sha256:… 200": LAST,
    }
    assert len(machine.place.tags()) == LAST + 1
