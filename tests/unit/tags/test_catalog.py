from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from support.memory import digest_of
from support.runs import SHOP, A, B, C, D

from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import ListedTag
from feastflow_registry.model.references import Commit, Tag
from feastflow_registry.tags import catalog
from feastflow_registry.tags.catalog import Catalog, compile_catalog, complete

START = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO, THREE = (digest_of(each) for each in ("one", "two", "three"))


def revision(commit: Commit, place: int) -> Revision:
    at = START - timedelta(days=place)
    return Revision(commit, place, at, at, f"Subject {place}")


HISTORY = {each.short: revision(each, place) for place, each in enumerate((D, C, B, A))}


def own(commit: Commit) -> str:
    return f"commit-{commit.short}"


def listed(*tags: tuple[str, object], days: Sequence[int] = ()) -> list[ListedTag]:
    """Tags with their digests, and how many days after the start they were pushed."""
    found = [ListedTag(Tag(name), digest) for name, digest in tags]  # type: ignore[arg-type]
    if not days:
        return found
    moments = [START + timedelta(days=each) for each in days]
    return [
        ListedTag(each.name, each.digest, pushed=at)
        for each, at in zip(found, moments, strict=True)
    ]


def names(found: Catalog) -> list[str]:
    return [each.tag.value for each in found.entries]


def entry(found: Catalog, name: str) -> catalog.Entry:
    return next(each for each in found.entries if each.tag.value == name)


class TestOrder:
    def test_by_history_where_nothing_tells_of_pushes(self) -> None:
        tags = listed((own(A), ONE), ("zoo", None), (own(C), TWO), ("latest", TWO), (own(B), ONE))
        found = compile_catalog(SHOP, tags, HISTORY)
        assert names(found) == ["latest", own(C), own(B), own(A), "zoo"]

    def test_by_the_last_push_where_that_is_told(self) -> None:
        tags = listed((own(A), ONE), (own(C), TWO), ("latest", ONE), days=[2, 1, 3])
        found = compile_catalog(SHOP, tags, HISTORY)
        assert names(found) == ["latest", own(A), own(C)]

    def test_by_the_last_push_where_no_commit_is_known(self) -> None:
        tags = listed(("a", ONE), ("b", TWO), ("c", ONE), days=[2, 1, 3])
        assert names(compile_catalog(SHOP, [*tags, *listed(("d", ONE))], {})) == [
            "c",
            "a",
            "b",
            "d",
        ]

    def test_of_two_tags_of_one_commit(self) -> None:
        longer = f"commit-{A.sha[:12]}"
        known = {**HISTORY, A.sha[:12]: HISTORY[A.short]}
        found = compile_catalog(SHOP, listed((own(A), ONE), (longer, ONE)), known)
        assert len(catalog.in_order(found.commits)) == 2

    def test_a_tag_that_is_listed_twice_is_one(self) -> None:
        found = compile_catalog(SHOP, listed((own(A), ONE), (own(A), TWO)), HISTORY)
        assert [each.digest for each in found.entries] == [TWO]

    def test_of_an_empty_repository(self) -> None:
        found = compile_catalog(SHOP, [], {})
        assert (found.entries, found.latest, found.unsized(9)) == ((), None, ())


class TestCommits:
    def test_of_a_tag_that_is_none_it_is_the_newest_on_its_image(self) -> None:
        tags = listed((own(A), ONE), (own(B), ONE), ("latest", ONE), ("old", TWO))
        found = compile_catalog(SHOP, tags, HISTORY)
        assert found.latest
        assert (found.latest.digits, found.latest.revision) == (B.short, HISTORY[B.short])
        assert (entry(found, "old").digits, entry(found, "old").revision) == ("", None)
        assert [each.tag.value for each in found.commits] == [own(B), own(A)]
        assert found.sharing == {
            ONE: (Tag("latest"), Tag(own(B)), Tag(own(A))),
            TWO: (Tag("old"),),
        }

    @pytest.mark.parametrize(
        ("name", "digits"),
        [
            ("commit-0123abc", "0123abc"),
            ("withdrawn-0123abc", "0123abc"),
            (f"commit-{A}", A.sha),
            ("commit-012345", ""),
            ("commit-0123ABC", ""),
            ("commit-message", ""),
            ("precommit-0123abc", ""),
            ("frozen-0123abc", ""),
        ],
    )
    def test_which_names_are_a_commits(self, name: str, digits: str) -> None:
        assert catalog.abbreviations(listed((name, ONE))) == ({digits} if digits else set())

    def test_what_is_carried_forward(self) -> None:
        tags = listed((own(C), ONE), (own(A), ONE), (own(B), ONE), (own(D), TWO), ("one", ONE))
        found = compile_catalog(SHOP, tags, HISTORY)
        made_by = {each.tag.value: each.made_by for each in found.entries}
        assert made_by == {
            own(D): "",
            own(C): A.short,
            own(B): A.short,
            own(A): "",
            "one": "",
        }

    def test_history_tells_who_made_it_whatever_was_pushed_last(self) -> None:
        tags = listed((own(A), ONE), (own(B), ONE), days=[2, 1])
        assert entry(compile_catalog(SHOP, tags, HISTORY), own(B)).made_by == A.short
        assert entry(compile_catalog(SHOP, tags, {}), own(A)).made_by == B.short

    def test_nobody_knows_who_made_it(self) -> None:
        tags = listed((own(A), ONE), (own(B), ONE))
        known = {A.short: HISTORY[A.short]}
        assert {each.made_by for each in compile_catalog(SHOP, tags, known).entries} == {""}

    def test_what_is_withdrawn(self) -> None:
        tags = listed(
            (own(A), ONE),
            (own(B), ONE),
            (own(C), TWO),
            (own(D), THREE),
            ("latest", ONE),
            (f"withdrawn-{A.short}", ONE),
            (f"withdrawn-{D.short}", None),
        )
        found = compile_catalog(SHOP, tags, HISTORY)
        bad = {each.tag.value for each in found.entries if each.withdrawn and not each.is_marker}
        assert bad == {own(A), own(B), own(D), "latest"}

    def test_what_is_frozen(self) -> None:
        tags = listed(("sprint3", ONE), ("frozen-sprint3", ONE), ("sprint4", ONE))
        found = compile_catalog(SHOP, tags, {})
        assert [each.tag.value for each in found.entries if each.frozen] == ["sprint3"]

    def test_what_is_not_withdrawn_with_it(self) -> None:
        part = f"{own(A)}.linux-arm64"
        tags = listed((own(A), ONE), (part, TWO), (f"withdrawn-{A.short}", None), ("odd", None))
        found = compile_catalog(SHOP, tags, HISTORY)
        assert [each.tag.value for each in found.entries if each.withdrawn] == [own(A)]


class TestSizes:
    def test_only_those_of_the_newest_images_are_missed(self) -> None:
        tags = listed((own(A), ONE), (own(B), TWO), (own(C), THREE), (own(D), TWO), ("x", None))
        found = compile_catalog(SHOP, tags, HISTORY)
        assert found.unsized(2) == (TWO, THREE)
        sized = found.sized({TWO: 7, THREE: 0})
        assert [each.size for each in sized.entries] == [7, 0, 7, 0, 0]
        latest = compile_catalog(SHOP, listed(("latest", ONE)), {}).sized({ONE: 7}).latest
        assert latest
        assert latest.size == 7
        assert sized.unsized(9) == (THREE, ONE)
        assert sized.sharing == found.sharing


class TestComplete:
    def test_each_digit_string_that_means_one_commit(self) -> None:
        wanted = {A.short, B.sha, "0000000"}
        found = complete(wanted, HISTORY.values())
        assert {digits: each.commit for digits, each in found.items()} == {A.short: A, B.sha: B}

    def test_none_where_two_commits_begin_alike(self) -> None:
        twins = [revision(Commit(f"{A.short}{end * 33}"), 0) for end in "ab"]
        assert complete({A.short}, twins) == {}


def test_the_moment_is_that_of_the_push_before_that_of_the_commit() -> None:
    tags = listed((own(A), ONE), days=[5])
    assert compile_catalog(SHOP, tags, HISTORY).entries[0].moment == START + timedelta(days=5)
    (found,) = compile_catalog(SHOP, listed((own(A), ONE)), HISTORY).entries
    assert found.moment == START - timedelta(days=3)
    assert compile_catalog(SHOP, listed((own(A), ONE)), {}).entries[0].moment is None
