from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from support.memory import FakeRegistry, Store, digest_of
from support.runs import SHOP, A, B, service

from feastflow_registry.model.images import Deleted, ListedTag, Published
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.tags.catalog import Cataloguer
from unit.tags.test_catalog import HISTORY, ONE, START, TWO, listed, own


class Shelf(FakeRegistry):
    """A registry of these tags; one of no image is listed all the same."""

    def __init__(self, tagged: dict[str, Digest | None], sizes: dict[Digest, int] | None = None):
        super().__init__(Store())
        self.tagged = tagged
        for digest, size in (sizes or {}).items():
            self.store.add(SHOP.repository, Published(digest, None, "", size))

    def tags(self, repository: Repository) -> tuple[Tag, ...]:
        super().tags(repository)
        return tuple(map(Tag, self.tagged))

    def resolve(self, reference: Reference) -> Digest | None:
        super().resolve(reference)
        return self.tagged[reference.identifier]


@dataclass
class Hub:
    """A listing that tells more."""

    listed: list[ListedTag]

    def tags(self, repository: Repository) -> Iterable[ListedTag]:
        yield from self.listed

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        raise AssertionError


def cataloguer(shelf: Shelf, hub: Hub | None = None) -> Cataloguer:
    return Cataloguer(shelf, hub, HISTORY.values)


class TestRead:
    def test_one_question_a_tag_and_one_an_image(self) -> None:
        shelf = Shelf({own(A): ONE, own(B): ONE, "latest": TWO, "odd": None}, {ONE: 5, TWO: 9})
        (found,) = cataloguer(shelf).read([SHOP])
        assert {each.tag.value: each.size for each in found.entries} == {
            own(A): 5,
            own(B): 5,
            "latest": 9,
            "odd": 0,
        }
        # What is listed and not there is asked for twice.
        assert shelf.counts == {"tags": 1, "resolve": 4 + 1, "size": 2}
        assert found.commits[0].revision == HISTORY[B.short]

    def test_no_sizes_where_none_are_wanted(self) -> None:
        shelf = Shelf({own(A): ONE})
        cataloguer(shelf).read([SHOP], sizes=False)
        assert shelf.counts == {"tags": 1, "resolve": 1}

    def test_what_is_no_image_has_no_size(self) -> None:
        (found,) = cataloguer(Shelf({own(A): ONE})).read([SHOP])
        assert found.entries[0].size == 0

    def test_no_question_but_of_what_a_listing_leaves_out(self) -> None:
        shelf = Shelf({own(B): TWO})
        hub = Hub([ListedTag(Tag(own(A)), ONE, 7, START), *listed((own(B), None))])
        (found,) = cataloguer(shelf, hub).read([SHOP])
        assert [(each.method, each.subject) for each in shelf.calls] == [
            ("resolve", f"ada/shop:{own(B)}")
        ]
        assert {each.digest: each.size for each in found.entries} == {ONE: 7, TWO: 0}

    def test_only_the_newest_hundred_images_are_measured(self) -> None:
        many = {f"v{number:03}": digest_of(str(number)) for number in range(150)}
        shelf = Shelf({**many}, dict.fromkeys(many.values(), 4))
        (found,) = cataloguer(shelf).read([SHOP])
        assert shelf.counts["size"] == 100
        assert [bool(each.size) for each in found.entries] == [True] * 100 + [False] * 50

    def test_history_is_not_asked_without_a_commit_tag(self) -> None:
        def history() -> list[object]:
            raise AssertionError

        Cataloguer(Shelf({"latest": ONE}), None, history).read([SHOP])  # type: ignore[arg-type]

    def test_each_service_has_its_own(self) -> None:
        services = [SHOP, service("pricing")]
        found = cataloguer(Shelf({own(A): ONE})).read(services)
        assert [each.service for each in found] == services


def test_when_images_were_made_as_far_as_they_tell() -> None:
    shelf = Shelf({})
    shelf.store.created[ONE] = START
    assert cataloguer(shelf).created(SHOP.repository, [ONE, TWO]) == {ONE: START}
