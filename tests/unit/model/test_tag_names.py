"""Names that this program owns, made and read."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import B

from feastflow_registry.config.grammar import unreserved
from feastflow_registry.model.references import Tag
from feastflow_registry.model.tag_names import (
    CommitTags,
    commit_digits,
    is_cache,
    is_shared,
    named_digits,
    part_digits,
    withdrawn_digits,
)

PARTS = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm64/v8.2", "linux/386"]


@pytest.mark.parametrize("length", [7, 12, 40])
@pytest.mark.parametrize("platform", PARTS)
def test_a_part_is_known_by_its_name_and_taken_for_nothing_else(platform: str, length: int) -> None:
    tag = CommitTags(length).part(B, platform)
    assert tag == Tag.parse(f"commit-{B.sha[:length]}.{platform.replace('/', '-')}")
    assert part_digits(tag) == named_digits(tag) == B.sha[:length]
    assert not commit_digits(tag)
    assert not withdrawn_digits(tag)
    assert not is_shared(tag)
    assert not is_cache(tag.value)
    with fails("is reserved"):
        unreserved(tag)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "latest",
            "v1.2.0",
            f"commit-{B.short}",
            f"withdrawn-{B.short}",
            "commit-abc.linux-arm64",
        ),
        *(f"commit-{B.short}.linux", f"x-commit-{B.short}.linux-arm64", f"commit-{B.short}.-"),
        f"withdrawn-{B.short}.linux-arm64",
    ],
)
def test_what_is_no_part(name: str) -> None:
    assert part_digits(Tag(name)) == ""


def test_whose_a_name_is() -> None:
    assert named_digits(Tag(f"commit-{B.short}")) == B.short
    assert named_digits(Tag(f"withdrawn-{B.short}")) == B.short
    assert named_digits(Tag("latest")) == ""
