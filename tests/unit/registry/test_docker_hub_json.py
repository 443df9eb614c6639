"""Reading Docker Hub's listings, which come from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.failures import fails

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import (
    HubRepository,
    ImmutableTags,
    ListedTag,
    Platform,
    PullLimit,
)
from feastflow_registry.model.references import Digest, Tag
from feastflow_registry.registry.docker_hub_json import (
    TagPage,
    read_hub_repository,
    read_listed_tag,
    read_pull_limit,
)

DIGEST = "sha256:" + "a" * 64
ENTRY: dict[str, Any] = {
    "name": "latest",
    "digest": DIGEST,
    "full_size": 12345,
    "last_updated": "2021-01-04T00:00:00Z",
    "tag_last_pushed": "2021-01-05T21:06:53.506400Z",
    "images": [
        {"os": "linux", "architecture": "amd64", "variant": None},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "linux", "architecture": "amd64"},
        {"os": "unknown", "architecture": "unknown"},
    ],
}
PUSHED = datetime(2021, 1, 5, 21, 6, 53, 506400, tzinfo=UTC)


def test_a_tag() -> None:
    found = read_listed_tag(ENTRY)
    platforms = (Platform("linux", "amd64"), Platform("linux", "arm64", "v8"))
    assert found == ListedTag(Tag("latest"), Digest(DIGEST), 12345, PUSHED, platforms)
    assert [str(each) for each in platforms] == ["linux/amd64", "linux/arm64/v8"]


@pytest.mark.parametrize(
    ("field", "value", "attribute", "read"),
    [
        ("digest", None, "digest", None),
        ("digest", "", "digest", None),
        ("full_size", None, "size", 0),
        ("full_size", -5, "size", 0),
        ("full_size", "12", "size", 0),
        ("tag_last_pushed", None, "pushed", datetime(2021, 1, 4, tzinfo=UTC)),
        ("tag_last_pushed", "yesterday", "pushed", datetime(2021, 1, 4, tzinfo=UTC)),
        ("tag_last_pushed", "2021-01-05", "pushed", datetime(2021, 1, 5, tzinfo=UTC)),
        (
            "tag_last_pushed",
            "2021-01-06T01:00:00+01:00",
            "pushed",
            datetime(2021, 1, 6, tzinfo=UTC),
        ),
        ("tag_last_pushed", 7, "pushed", datetime(2021, 1, 4, tzinfo=UTC)),
        ("tag_last_pushed", "0001-01-01T00:00:00Z", "pushed", datetime(2021, 1, 4, tzinfo=UTC)),
        (
            "tag_last_pushed",
            "0001-01-01T00:00:00+23:00",
            "pushed",
            datetime(2021, 1, 4, tzinfo=UTC),
        ),
        ("images", None, "platforms", ()),
        ("images", {"os": "linux"}, "platforms", ()),
        ("images", [None, {"os": "linux"}, {"os": "l\x1b", "architecture": "a"}], "platforms", ()),
    ],
)
def test_what_makes_no_sense_is_left_out(
    field: str, value: object, attribute: str, read: object
) -> None:
    assert getattr(read_listed_tag({**ENTRY, field: value}), attribute) == read


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "latest",
        {},
        {**ENTRY, "name": None},
        {**ENTRY, "name": ".."},
        {**ENTRY, "name": "a/b"},
        {**ENTRY, "name": "a\x1b[31m"},
        {**ENTRY, "name": "x" * 129},
        {**ENTRY, "digest": "sha256:short"},
        {**ENTRY, "digest": 7},
    ],
)
def test_a_name_or_a_digest_that_is_none(entry: object) -> None:
    with fails("Docker Hub's API lists a tag that cannot be one", kind=Kind.UNREACHABLE) as caught:
        TagPage.read({"results": [entry]})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("link", [None, "", 7, {}])
def test_the_last_page(link: object) -> None:
    assert TagPage.read({"results": [], "next": link}) == TagPage(())


def test_a_page() -> None:
    page = TagPage.read({"count": 1, "next": "https://x/y?page=2", "results": [ENTRY]})
    assert page == TagPage((read_listed_tag(ENTRY),), "https://x/y?page=2")


@pytest.mark.parametrize("data", [{}, {"results": None}, {"results": {}}])
def test_what_is_no_page(data: dict[str, object]) -> None:
    with fails("without tags", kind=Kind.UNREACHABLE):
        TagPage.read(data)


def test_a_repository() -> None:
    data = {
        "is_private": True,
        "immutable_tags_settings": {"enabled": True, "rules": ["v.*", 7]},
        "permissions": {"read": True, "write": True, "admin": False, "owner": "no"},
    }
    immutable = ImmutableTags(True, ("v.*",))
    assert read_hub_repository(data) == HubRepository(True, immutable, frozenset({"read", "write"}))


@pytest.mark.parametrize("settings", [None, "x", {}, {"enabled": "yes", "rules": None}])
def test_a_repository_that_says_little(settings: object) -> None:
    data = {"is_private": False, "immutable_tags_settings": settings, "permissions": None}
    assert read_hub_repository(data) == HubRepository(False, ImmutableTags())


@pytest.mark.parametrize("private", [None, "false", 0])
def test_a_repository_of_unknown_visibility(private: object) -> None:
    with fails("whether a repository is private", kind=Kind.UNREACHABLE):
        read_hub_repository({"is_private": private})


@pytest.mark.parametrize(
    ("remaining", "limit", "found"),
    [
        ("76;w=21600", "100;w=21600", PullLimit(76, 100, 21600)),
        ("0;w=21600", "200;w=21600", PullLimit(0, 200, 21600)),
        ("5;w=60", "100", PullLimit(5, 100, 60)),
        ("5", "100", PullLimit(5, 100, 0)),
        ("many", "100", None),
        ("5", "", None),
        ("-1;w=60", "100;w=60", None),
        ("\u0665", "100", None),
    ],
)
def test_how_many_pulls_are_left(remaining: str, limit: str, found: PullLimit | None) -> None:
    headers = {"ratelimit-remaining": remaining, "ratelimit-limit": limit}
    assert read_pull_limit(headers) == found


def test_pulls_without_a_limit() -> None:
    assert read_pull_limit({"docker-content-digest": DIGEST}) is None
