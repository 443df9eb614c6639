from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import (
    Commit,
    Digest,
    Reference,
    RegistryHost,
    Repository,
    Tag,
    is_loopback,
)

HUB = RegistryHost("docker.io")
LOCAL = RegistryHost("localhost:5000")


class TestRegistryHost:
    @pytest.mark.parametrize("alias", ["docker.io", "index.docker.io", "registry-1.docker.io"])
    def test_docker_hub_has_one_name(self, alias: str) -> None:
        host = RegistryHost.parse(alias.upper())
        assert (str(host), host.is_docker_hub, host.is_loopback) == ("docker.io", True, False)
        assert host.url == "https://registry-1.docker.io"
        assert host.credential_key == "https://index.docker.io/v1/"

    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("ghcr.io", "https://ghcr.io"),
            ("registry.example.com:5000", "https://registry.example.com:5000"),
            ("registry:5000", "https://registry:5000"),
            ("localhost", "http://localhost"),
            ("localhost:5000", "http://localhost:5000"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("[::1]:65535", "http://[::1]:65535"),
            ("[2001:db8::1]", "https://[2001:db8::1]"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
            ("localhost.example.com:5000", "https://localhost.example.com:5000"),
        ],
    )
    def test_plain_http_is_for_this_machine_only(self, text: str, url: str) -> None:
        host = RegistryHost.parse(text)
        assert host.url == url
        assert host.is_loopback == url.startswith("http:")
        assert host.credential_key == str(host) == text

    def test_or_where_somebody_says_so(self) -> None:
        host = RegistryHost.parse("registry.example.com:5000")
        named = [RegistryHost("other:1", insecure=True), RegistryHost(host.name, insecure=True)]
        assert host.as_in(named).url == "http://registry.example.com:5000"
        assert host.as_in(named) == host, "it is the same registry"
        assert host.as_in(named[:1]).url == "https://registry.example.com:5000"

    @pytest.mark.parametrize(
        "text",
        [
            "https://docker.io",
            "docker.io/feastflow",
            "docker.io:0",
            "docker.io:65536",
            "docker.io:123456",
            "docker.io:",
            "-docker.io",
            "docker..io",
            "user@docker.io",
            "docker.io\n",
            "docker.io ",
            "dócker.io",
            "",
            # Docker would push to Docker Hub, to a user of that name.
            "registry",
        ],
    )
    def test_refuses_what_is_no_host(self, text: str) -> None:
        with fails(repr(text), "docker.io", "without https://"):
            RegistryHost.parse(text)


@pytest.mark.parametrize(
    ("name", "answer"),
    [("LOCALHOST", True), ("127.9.9.9", True), ("[::1]", True), ("::2", False), ("a.b", False)],
)
def test_is_loopback(name: str, answer: bool) -> None:
    assert is_loopback(name) is answer


class TestRepository:
    @pytest.mark.parametrize("path", ["a", "a/b", "a.b/c_d/e__f/g---h", "0/1", "a" * 255])
    def test_reads(self, path: str) -> None:
        assert Repository.parse(HUB, path).path == path

    @pytest.mark.parametrize(
        "path",
        ["", "/a", "a/", "a//b", "a..b", "a___b", "_a", "a-", "a b", "a\n", "ä", "a:b", "a" * 256],
    )
    def test_refuses(self, path: str) -> None:
        with fails("not valid", "lowercase letters and digits", "255"):
            Repository.parse(HUB, path)

    def test_upper_case_is_said_to_be_just_that(self) -> None:
        with fails("'FeastFlow/Shop' must be lowercase", "'feastflow/shop'"):
            Repository.parse(HUB, "FeastFlow/Shop")

    def test_a_whole_file_is_not_quoted(self) -> None:
        with fails("...") as caught:
            Repository.parse(HUB, "x" * 255 + "!" * 10_000)
        assert len(str(caught.value)) < 400

    def test_familiar_names_and_pages_are_docker_hubs(self) -> None:
        ours, theirs = Repository(HUB, "ada/shop"), Repository(LOCAL, "ada/shop")
        assert (str(ours), str(theirs)) == ("ada/shop", "localhost:5000/ada/shop")
        assert ours.name == theirs.name == "shop"
        assert ours.page == "https://hub.docker.com/r/ada/shop"
        assert ours.tag_page(Tag("v1")) == "https://hub.docker.com/r/ada/shop/tags?name=v1"
        assert theirs.page is theirs.tag_page(Tag("v1")) is None


class TestTag:
    @pytest.mark.parametrize(
        ("text", "near"),
        [
            ("release/1.0", "release-1.0"),
            (".hidden", "hidden"),
            ("-dash", "dash"),
            ("größe", "gr-e"),
            ("", "_"),
            ("///", "_"),
            ("v1+build", "v1-build"),
            ("x" * 129, "x" * 128),
            ("line\nbreak", "line-break"),
        ],
    )
    def test_refuses_and_offers_the_nearest(self, text: str, near: str) -> None:
        with fails("is not a valid image tag", f'"{near}"', "at most 128"):
            Tag.parse(text)

    @given(st.text())
    def test_near_is_always_a_tag(self, text: str) -> None:
        assert Tag.parse(str(Tag.near(text))) == Tag.near(text)

    @given(st.from_regex(re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"), fullmatch=True))
    def test_round_trip(self, text: str) -> None:
        assert str(Tag.parse(text)) == text
        assert Tag.near(text) == Tag.parse(text)


class TestDigest:
    def test_parts(self) -> None:
        digest = Digest.parse("sha256:" + "0123456789abcdef" * 4)
        assert (digest.algorithm, digest.short) == ("sha256", "0123456789ab")
        assert Digest.parse("sha512:" + "a" * 128).algorithm == "sha512"

    @pytest.mark.parametrize(
        "text",
        [
            *["", "sha256:", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "md5:" + "a" * 32],
            *["sha512:" + "a" * 64, "sha256:" + "a" * 64 + "\n", "a" * 64],
        ],
    )
    def test_refuses(self, text: str) -> None:
        with fails("is not a digest", "sha256:"):
            Digest.parse(text)


class TestCommit:
    @pytest.mark.parametrize("sha", ["a" * 40, "0" * 64])
    def test_reads(self, sha: str) -> None:
        assert Commit.parse(sha) == Commit.read(sha)
        assert Commit.parse(sha).short == sha[:7]

    @pytest.mark.parametrize("text", ["", "abc1234", "A" * 40, "g" * 40, "a" * 41, "a" * 40 + "\n"])
    def test_refuses(self, text: str) -> None:
        with fails("40 lowercase hexadecimal"):
            Commit.parse(text)
        assert Commit.read(text) is None

    @pytest.mark.parametrize("value", [None, 7, ["a" * 40], b"a" * 40])
    def test_a_label_may_be_anything(self, value: object) -> None:
        assert Commit.read(value) is None


def test_reference() -> None:
    repository = Repository(LOCAL, "ada/shop")
    digest = Digest("sha256:" + "a" * 64)
    by_tag, by_digest = Reference(repository, Tag("v1")), Reference(repository, digest)
    assert (str(by_tag), by_tag.identifier) == ("localhost:5000/ada/shop:v1", "v1")
    assert (str(by_digest), by_digest.identifier) == (f"{repository}@{digest}", str(digest))


COMPONENT = r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}"
HOSTS = st.from_regex(
    re.compile(r"([a-z0-9]([a-z0-9-]{0,3}[a-z0-9])?\.){1,2}[a-z]{2}(:[1-9][0-9]{0,3})?"),
    fullmatch=True,
)


@given(HOSTS, st.from_regex(re.compile(rf"{COMPONENT}(/{COMPONENT}){{0,2}}"), fullmatch=True))
def test_hosts_and_repositories_round_trip(host: str, path: str) -> None:
    assert str(RegistryHost.parse(host)) == host
    parsed = RegistryHost.parse(host)
    assert RegistryHost.parse(parsed.credential_key) == parsed
    assert Repository.parse(parsed, path).path == path


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_as_bad_input(text: str) -> None:
    for parse in (
        RegistryHost.parse,
        Tag.parse,
        Digest.parse,
        Commit.parse,
        lambda each: Repository.parse(HUB, each),
    ):
        with suppress(Failure):
            parse(text)
