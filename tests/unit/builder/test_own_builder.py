"""What a builder of our own is made from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feastflow_registry.builder.own_builder import PINNED_IMAGE, Recipe
from feastflow_registry.config import grammar

BUILDERS = Path(__file__).parents[3] / "docs/builders.md"


@pytest.mark.parametrize(
    ("host_network", "plain_http", "options", "configuration"),
    [
        (False, (), {"image": "b"}, ""),
        (True, (), {"image": "b", "network": "host"}, ""),
        (
            False,
            ("a:5000", "r.lan"),
            {"image": "b"},
            '[registry."a:5000"]\n  http = true\n[registry."r.lan"]\n  http = true\n',
        ),
    ],
)
def test_what_it_is_told(
    host_network: bool, plain_http: tuple[str, ...], options: dict[str, str], configuration: str
) -> None:
    recipe = Recipe("b", host_network, plain_http, float, float)
    assert (recipe.options, recipe.configuration) == (options, configuration)


def test_the_pinned_image_is_one_that_could_be_given() -> None:
    assert grammar.buildkit_image(PINNED_IMAGE) == PINNED_IMAGE
    found = re.search(r":(v\d+\.\d+\.\d+)@sha256:[0-9a-f]{64}$", PINNED_IMAGE)
    assert found
    assert f"`moby/buildkit` {found[1]}, pinned by digest" in BUILDERS.read_text()
