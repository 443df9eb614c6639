from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from support.failures import fails
from support.memory import digest_of
from support.runs import SHOP, A, B, service

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import ListedTag, Manifest
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.tags.cataloguing import Cataloguer
from unit.tags.test_catalog import HISTORY, ONE, START, TWO, listed, own

CONFIG = digest_of("configuration")


@dataclass
class Shelf:
    """A registry that is read; it keeps a record of what it was asked."""

    tagged: dict[str, Digest | None] = field(default_factory=dict)
    parts: dict[Digest, list[int]] = field(default_factory=dict)
    configs: dict[Digest, object] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def tags(self, repository: Repository) -> tuple[Tag, ...]:
        self.asked.append(f"tags {repository}")
        return tuple(map(Tag, self.tagged))

    def resolve(self, reference: Reference) -> Digest | None:
        self.asked.append(f"resolve {reference}")
        return self.tagged[reference.identifier]

    def platforms(self, repository: Repository, digest: Digest) -> Sequence[Manifest]:
        self.asked.append(f"platforms {digest.short}")
        if digest not in self.parts:
            raise Failure(Kind.UNVERIFIED, "it is no image.", "Look at it.")
        kind = "application/vnd.oci.image.manifest.v1+json"
        config = {"digest": str(CONFIG), "size": 1}
        return [
            Manifest(b"", kind, {"config": {**config, "size": size}}) for size in self.parts[digest]
        ]

    def config(self, repository: Repository, digest: Digest) -> bytes:
        return json.dumps(self.configs[digest]).encode()


@dataclass
class Hub:
    """A listing that tells more."""

    listed: list[ListedTag]

    def tags(self, repository: Repository) -> Iterable[ListedTag]:
        yield from self.listed


def cataloguer(shelf: Shelf, hub: Hub | None = None) -> Cataloguer:
    return Cataloguer(shelf, hub, HISTORY.values)


class TestRead:
    def test_one_question_a_tag_and_one_an_image(self) -> None:
        shelf = Shelf(
            {own(A): ONE, own(B): ONE, "latest": TWO, "odd": None}, {ONE: [5], TWO: [3, 9, 1]}
        )
        (found,) = cataloguer(shelf).read([SHOP])
        assert {each.tag.value: each.size for each in found.entries} == {
            own(A): 5,
            own(B): 5,
            "latest": 9,
            "odd": 0,
        }
        assert shelf.asked == [
            "tags ada/shop",
            *(f"resolve ada/shop:{tag}" for tag in shelf.tagged),
            *(f"platforms {each.short}" for each in (ONE, TWO)),
        ]
        assert found.commits[0].revision == HISTORY[B.short]

    def test_no_sizes_where_none_are_wanted(self) -> None:
        shelf = Shelf({own(A): ONE})
        cataloguer(shelf).read([SHOP], sizes=False)
        assert len(shelf.asked) == 2

    def test_what_is_no_image_has_no_size(self) -> None:
        (found,) = cataloguer(Shelf({own(A): ONE})).read([SHOP])
        assert found.entries[0].size == 0

    def test_a_registry_that_fails(self) -> None:
        class Broken(Shelf):
            def platforms(self, repository: Repository, digest: Digest) -> Sequence[Manifest]:
                raise Failure(Kind.UNREACHABLE, "it broke.", "Run again.")

        with fails("broke", kind=Kind.UNREACHABLE):
            cataloguer(Broken({own(A): ONE})).read([SHOP])

    def test_no_question_but_of_what_a_listing_leaves_out(self) -> None:
        shelf = Shelf({own(B): TWO})
        hub = Hub([ListedTag(Tag(own(A)), ONE, 7, START), *listed((own(B), None))])
        (found,) = cataloguer(shelf, hub).read([SHOP])
        assert shelf.asked == [f"resolve ada/shop:{own(B)}"]
        assert {each.digest: each.size for each in found.entries} == {ONE: 7, TWO: 0}

    def test_only_the_newest_hundred_images_are_measured(self) -> None:
        many = {f"v{number:03}": digest_of(str(number)) for number in range(150)}
        shelf = Shelf({**many}, {each: [4] for each in many.values()})
        (found,) = cataloguer(shelf).read([SHOP])
        assert sum(each.startswith("platforms") for each in shelf.asked) == 100
        assert [bool(each.size) for each in found.entries] == [True] * 100 + [False] * 50

    def test_history_is_not_asked_without_a_commit_tag(self) -> None:
        def history() -> list[object]:
            raise AssertionError

        Cataloguer(Shelf({"latest": ONE}), None, history).read([SHOP])  # type: ignore[arg-type]

    def test_each_service_has_its_own(self) -> None:
        services = [SHOP, service("pricing")]
        found = cataloguer(Shelf({own(A): ONE})).read(services)
        assert [each.service for each in found] == services


class TestCreated:
    @pytest.mark.parametrize(
        ("created", "known"),
        [
            ("2026-01-01T00:00:00Z", START),
            ("2026-01-01T01:00:00.5+01:00", START.replace(microsecond=500_000)),
            ("1970-01-01T00:00:00Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("soon", None),
            (None, None),
        ],
    )
    def test_by_the_configuration(self, created: object, known: datetime | None) -> None:
        shelf = Shelf(parts={ONE: [1]}, configs={CONFIG: {"created": created}})
        found = cataloguer(shelf).created(SHOP.repository, [ONE])
        assert found == ({ONE: known.astimezone(UTC)} if known else {})

    def test_of_what_is_no_image_nothing_is_known(self) -> None:
        assert cataloguer(Shelf()).created(SHOP.repository, [ONE]) == {}

    def test_by_the_newest_platform(self) -> None:
        class Two(Shelf):
            def config(self, repository: Repository, digest: Digest) -> bytes:
                self.asked.append("config")
                year = 2025 + len(self.asked) % 2
                return json.dumps({"created": f"{year}-01-01T00:00:00Z"}).encode()

        found = cataloguer(Two(parts={ONE: [1, 1]})).created(SHOP.repository, [ONE])
        assert found == {ONE: START}

    def test_by_the_one_platform_that_tells(self) -> None:
        class Half(Shelf):
            def config(self, repository: Repository, digest: Digest) -> bytes:
                self.asked.append("config")
                return b"{}" if len(self.asked) % 2 else b'{"created": "2026-01-01T00:00:00Z"}'

        found = cataloguer(Half(parts={ONE: [1, 1]})).created(SHOP.repository, [ONE])
        assert found == {ONE: START}
