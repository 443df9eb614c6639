from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.source import Address, Source, is_name

SHOP = "https://github.com/feastflow/shop"
ASCII = "abcdefghijklmnopqrstuvwxyz:/@.-[]~"


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b"),
        ("https://user:token@GitHub.com/a/b/", "https://github.com/a/b"),
        ("https://github.com:443/a/b", "https://github.com/a/b"),
        ("http://git.example:80/a/b.git/", "https://git.example/a/b"),
        ("https://git.example:8443/a/b", "https://git.example:8443/a/b"),
        ("ssh://git@github.com:22/a/b.git", "https://github.com/a/b"),
        ("git+ssh://git@github.com/a/b.git", "https://github.com/a/b"),
        ("ssh://git@ssh.github.com:443/a/b.git", "https://github.com/a/b"),
        ("git@ssh.github.com:a/b.git", "https://github.com/a/b"),
        ("ssh://git@altssh.gitlab.com:443/group/a/b.git", "https://gitlab.com/group/a/b"),
        ("ssh://git@altssh.bitbucket.org:443/a/b", "https://bitbucket.org/a/b"),
        ("git://github.com:9418/a/b", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "https://github.com/a/b"),
        ("git@github.com:/a/b.git", "https://github.com/a/b"),
        ("github.com:a/b", "https://github.com/a/b"),
        ("git@xn--bcher-kva.xn--p1ai:a/b", "https://xn--bcher-kva.xn--p1ai/a/b"),
    ],
)
def test_the_page_of_an_address_holds_no_credentials(remote: str, url: str) -> None:
    found = Source.behind([remote])
    assert (found.url, found.is_known) == (url, True)
    assert found.owns(url)


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("http://localhost:3000/a/b", "https://localhost:3000/a/b"),
        ("https://10.0.0.5/a/b", "https://10.0.0.5/a/b"),
        ("https://[::1]/a/b", "https://[::1]/a/b"),
        ("git@github-work:a/b.git", "https://github-work/a/b"),
        ("git@github_work:a/b.git", "https://github_work/a/b"),
        ("git@github.com-work:a/b.git", "https://github.com-work/a/b"),
        ("gh:a/b", "https://gh/a/b"),
        ("C:/git/b", "https://c/git/b"),
        ("/srv/git/b.git", "/srv/git/b"),
        ("../b", "../b"),
        ("file:///srv/git/b.git", "file:///srv/git/b"),
        ("https://github.com", "https://github.com"),
        ("ftp://me:secret@git.example/b", "ftp://git.example/b"),
        ("", ""),
    ],
)
def test_what_is_no_known_hosts(remote: str, url: str) -> None:
    found = Source.behind([remote])
    assert (found.url, found.is_known) == (url, False)


@pytest.mark.parametrize(
    ("remote", "written", "is_folder"),
    [
        ("../origin/shop", "../origin/shop", True),
        ("/srv/git/b.git", "/srv/git/b.git", True),
        ("file:///srv/git/b.git", "file:///srv/git/b.git", True),
        ("git@github-work:a/b.git", "git@github-work:a/b.git", False),
        ("http://me:secret@localhost:3000/a/b.git", "http://localhost:3000/a/b.git", False),
        ("ftp://me:secret@git.example/b", "ftp://git.example/b", False),
        ("", "", False),
    ],
)
def test_an_unknown_one_is_told_as_it_was_written(
    remote: str, written: str, is_folder: bool
) -> None:
    found = Source.behind([remote] if remote else [])
    assert (found.written, found.is_folder) == (written, is_folder)


def test_the_first_known_address_is_the_page_and_the_others_are_names() -> None:
    mirror = "https://mirror.example/feastflow/shop.git"
    found = Source.behind(["git@alias:feastflow/shop", f"{SHOP}.git", mirror, "/srv/shop"])
    assert (found.url, found.is_known, found.repository) == (SHOP, True, "feastflow/shop")
    assert found.owns("https://mirror.example/feastflow/shop")
    assert not found.owns("https://alias/feastflow/shop")
    assert Source.behind([]) == Source("", is_known=False)


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        (SHOP, "feastflow/shop"),
        ("https://gitlab.com/group/a/b", ""),
        ("https://github.com/../b", ""),
        ("https://github.com/a/..", ""),
        ("https://github.com/a/.", ""),
        ("https://github.com/a", ""),
        ("/srv/git/b", ""),
    ],
)
def test_owner_and_name(url: str, repository: str) -> None:
    assert Source.of(url).repository == repository


@pytest.mark.parametrize(
    ("url", "is_there"), [(SHOP, True), ("https://git.example/a/b", False), ("/srv/b", False)]
)
def test_who_is_on_github(url: str, is_there: bool) -> None:
    assert Source.of(url).is_on_github is is_there


def ask(answer: bool) -> tuple[list[str], Callable[[str], bool]]:
    asked: list[str] = []

    def is_former(name: str) -> bool:
        asked.append(name)
        return answer

    return asked, is_former


class TestOwns:
    @pytest.mark.parametrize(
        "label",
        [
            *[SHOP, SHOP.upper().replace("HTTPS", "https"), f"{SHOP}.git", f"{SHOP}/"],
            *["http://github.com/feastflow/shop", "git@github.com:feastflow/shop.git"],
            "https://ssh.github.com/feastflow/shop",
        ],
    )
    def test_every_spelling_and_nobody_is_asked(self, label: str) -> None:
        asked, is_former = ask(answer=False)
        assert Source(SHOP, is_former=is_former).owns(label)
        assert Source.of(SHOP).owns(label)
        assert not asked

    @pytest.mark.parametrize(
        "label",
        [
            *["", " ", "x", "https://gitlab.com/feastflow/shop", "https://github.com/feastflow"],
            *["https://github.com/feastflow/../shop", "https://github.com/a/b/c"],
            *["https://github.com/../user", "https://github.com/a/..", "https://github.com/a/b?x"],
            *["https://github.com.evil.example/feastflow/shop", "/srv/feastflow/shop"],
            "https://api.github.com/repos/a/b",
        ],
    )
    def test_what_no_name_of_this_host_is_and_nobody_is_asked(self, label: str) -> None:
        asked, is_former = ask(answer=True)
        assert not Source(SHOP, is_former=is_former).owns(label)
        assert not asked

    @pytest.mark.parametrize("answer", [True, False])
    def test_the_host_tells_of_other_names(self, answer: bool) -> None:
        asked, is_former = ask(answer)
        source = Source(SHOP, is_former=is_former)
        assert source.owns("https://github.com/Old/Shop.git") is answer
        assert asked == ["old/shop"]
        assert not Source(SHOP).owns("https://github.com/old/shop")

    def test_what_the_host_does_not_tell_is_no_answer(self) -> None:
        def is_former(name: str) -> bool:
            raise Failure(Kind.UNREACHABLE, "no.", "Run again.")

        with pytest.raises(Failure):
            Source(SHOP, is_former=is_former).owns("https://github.com/old/shop")

    def test_a_letter_that_only_looks_like_one_of_ours(self) -> None:
        assert not Source.of("https://github.com/a/kit").owns("https://github.com/a/\u212ait")

    @pytest.mark.parametrize("url", ["", "/srv/git/shop", "https://alias/feastflow/shop"])
    def test_of_an_unknown_one(self, url: str) -> None:
        source = Source.behind([url])
        assert not source.owns("")
        assert not source.owns(SHOP)
        assert source.owns(url) is bool(url)


class TestAlso:
    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("Old/Shop", "https://github.com/old/shop"),
            ("https://github-work/feastflow/shop", "https://github-work/feastflow/shop"),
            ("git@git.example:old/shop.git", "https://git.example/old/shop"),
        ],
    )
    def test_is_believed_and_nobody_is_asked(self, name: str, label: str) -> None:
        asked, is_former = ask(answer=False)
        assert Source(SHOP, is_former=is_former).also([name]).owns(label)
        assert Source.behind(["git@alias:feastflow/shop"]).also([name]).owns(label)
        assert not asked

    def test_a_name_is_one_on_the_same_host(self) -> None:
        source = Source.of("https://git.example/feastflow/shop").also(["old/shop"])
        assert source.owns("https://git.example/old/shop")
        assert not source.owns("https://github.com/old/shop")

    @pytest.mark.parametrize(
        ("text", "is_one"),
        [
            *[("a/b", True), ("https://git.example/a/b", True), ("git@host:a/b", True)],
            *[("a", False), ("a/b/c", False), ("../b", False), ("a/..", False), ("", False)],
            *[("a b/c", False), ("https://", False), ("https://x", False), ("a/b\n", False)],
        ],
    )
    def test_what_is_a_name(self, text: str, is_one: bool) -> None:
        assert is_name(text) is is_one


@example("host:/")
@example("host:.git")
@example("https://host//")
@given(st.text() | st.text(ASCII))
def test_any_text_is_an_address_or_none(text: str) -> None:
    source = Source.behind([text])
    address = Address.read(text)
    if address:
        assert Address.read(address.url) == (address.host, address.path, "")
        assert not address.ssh.startswith("-")
    assert source.owns(source.url) is bool(source.url)
