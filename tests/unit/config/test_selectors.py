"""The inputs `to`, `tag` and `keep`."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import service

from feastflow_registry.config.selectors import (
    Destination,
    Selector,
    bare,
    destination,
    kept,
    lower_repository,
    selector,
    single,
)
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("abcd", Selector(commit="abcd")),
        ("A1B2C3D", Selector(commit="a1b2c3d")),
        ("commit-a1b2c3d", Selector(commit="a1b2c3d")),
        ("latest", Selector(tag=Tag("latest"))),
        ("abc", Selector(tag=Tag("abc"))),
        ("v1.2.0", Selector(tag=Tag("v1.2.0"))),
        (DIGEST, Selector(digest=Digest(DIGEST))),
    ],
    ids=["few digits", "capitals", "its tag", "a tag", "too few digits", "a version", "a digest"],
)
def test_what_is_meant(text: str, wanted: Selector) -> None:
    assert selector(text) == wanted
    assert str(wanted)


@pytest.mark.parametrize("text", ["sha256:abc", "a b", "-x", "HEAD~1", "../x"])
def test_what_means_nothing(text: str) -> None:
    with fails():
        selector(text)


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("production", "ada/shop", "production"),
        ("latest", "ada/shop", "latest"),
        ("team/{service}:production", "team/shop", "production"),
        ("team/app", "team/app", None),
        ("ghcr.io/team/{service}:v1", "ghcr.io/team/shop", "v1"),
        ("localhost:5000/app:v1", "localhost:5000/app", "v1"),
        ("localhost/app", "localhost/app", None),
    ],
)
def test_where_an_image_goes(text: str, repository: str, tag: str | None) -> None:
    found = destination(text)
    assert str(found.repository(service())) == repository
    assert found.tag == (Tag(tag) if tag else None)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("sha256:0123abc", "sha256:0123abc"),
        (f"sha512:{'a' * 127}", f"sha512:{'a' * 127}"),
        ("0123abc", "0123abc"),
        ("0123ab", ""),
        (f"sha256:{'a' * 64}", ""),
        ("production", ""),
    ],
)
def test_how_a_digest_begins(text: str, start: str) -> None:
    assert selector(text).start == start
    assert kept(text).start == start
    assert str(selector(text)) == text


@pytest.mark.parametrize("text", ["sha256:0123ab", f"sha256:{'a' * 65}", "sha256:ABCDEF0"])
def test_what_no_digest_begins_with(text: str) -> None:
    for read in (selector, kept):
        with fails("is not a digest"):
            read(text)


def test_where_an_image_goes_is_said_as_it_was_given() -> None:
    assert str(Destination(Tag("v1"), "team/app", RegistryHost("ghcr.io"))) == "ghcr.io/team/app:v1"
    assert str(Destination(None, "team/app")) == "team/app"


@pytest.mark.parametrize(
    ("text", "lowered"),
    [
        ("Production", "Production"),
        ("sha256:ABC", "sha256:ABC"),
        ("v*", "v*"),
        ("Team/App", "team/app"),
        ("ghcr.io/Team/{service}:V1", "ghcr.io/team/{service}:V1"),
        ("LocalHost:5000/App:V1", "localhost:5000/app:V1"),
        (f"Ada/Shop@{DIGEST}", f"ada/shop@{DIGEST}"),
    ],
)
def test_a_repository_is_lowered_and_a_tag_is_not(text: str, lowered: str) -> None:
    assert lower_repository(text) == lowered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("commit-abc", "reserved"),
        ("team/app:withdrawn-abc", "reserved"),
        ("a b", "not a valid image tag"),
        ("Team/app", "must be lowercase"),
        (f"team/app@{DIGEST}", "names a digest"),
        (f"team/app:v1@{DIGEST}", "names a digest"),
        ("http://x/y", "not"),
        ("ghcr.io/:x", "not valid"),
    ],
    ids=["a commit's", "a marker", "spaces", "capitals", "digest", "tag, digest", "URL", "no name"],
)
def test_where_nothing_goes(text: str, words: str) -> None:
    with fails(words):
        destination(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(("v*", []), ("sha-*", []), ("!commit-abc", []), ("production", [])),
        *((text, ["commit-0123abc"]) for text in ("0123abc", "0123ABC", "COMMIT-0123abc")),
        *((text, [DIGEST]) for text in (DIGEST, f"x/y@{DIGEST}", f"localhost:1/a@{DIGEST}")),
        *((text, ["v1"]) for text in ("shop:v1", "ada/shop:v1", "docker.io/ada/shop:v1")),
        *((text, []) for text in ("pricing:v1", "eve/shop:v1", "ghcr.io/ada/shop:v1")),
        *((text, []) for text in ("docker.io/shop:v1", "a/ada/shop:v1")),
        (f"ada/shop:v1@{DIGEST}", [DIGEST, "v1"]),
    ],
)
def test_what_is_kept_of_a_repository(text: str, found: list[str]) -> None:
    item = kept(text)
    assert list(map(str, item.targets(service().repository, ()))) == found
    assert bool(item.pattern) is (text in ("v*", "sha-*", "!commit-abc", "production"))


def test_what_is_kept_of_docker_hubs_own() -> None:
    own = Repository.parse(RegistryHost("docker.io"), "nginx")
    assert kept("docker.io/library/nginx:v1").targets(own, ()) == [Tag("v1")]


@pytest.mark.parametrize(
    "text",
    [
        *("team/app", "sha256:abc", "team/app@sha256:abc", "Team/app:v1", "a++", "localhost:1/a"),
        *(f"x@SHA256:{'0' * 64}", "a@b", "{service}/x:1", f"@{DIGEST}", "app:", "a:v*", ":v1"),
    ],
)
def test_what_names_nothing_to_keep(text: str) -> None:
    with fails():
        kept(text)


def test_one_bare_tag_or_none() -> None:
    assert single("deploy", ()) is None
    assert single("deploy", [destination("production")]) == Tag("production")
    with fails("deploy takes one tag, not 2", "Give one tag alone"):
        single("deploy", [destination("a"), destination("b")])


def test_several_bare_tags_each_once() -> None:
    given = [destination(each) for each in ("latest", "production", "latest")]
    assert bare("rollback", given) == (Tag("latest"), Tag("production"))
    for text in ("team/app", "team/app:production"):
        with fails("rollback takes tags without a repository", "Give the tag alone"):
            bare("rollback", [destination("latest"), destination(text)])
