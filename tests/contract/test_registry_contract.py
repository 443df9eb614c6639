"""What every `Registry` does, the fake of the unit tests and the client of a real one alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.contract_registries import ContractRegistry, Image

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Published
from feastflow_registry.model.parts import put_together
from feastflow_registry.model.references import Commit, Digest, Reference, Tag

A, B = Commit("a" * 40), Commit("b" * 40)
SOURCE = "https://github.com/feastflow/shop"
OURS = Image((A, SOURCE))
LARGER = Image((A, SOURCE), b"a longer layer")
OTHER = Image((B, SOURCE))
UNLABELLED = Image((None, ""))
START = datetime(2026, 1, 1, tzinfo=UTC)
NOWHERE = Digest("sha256:" + "0" * 64)


def at(shelf: ContractRegistry, target: str | Digest) -> Reference:
    return Reference(shelf.repository, Tag(target) if isinstance(target, str) else target)


class TestResolve:
    def test_a_repository_that_is_not_there(self, shelf: ContractRegistry) -> None:
        assert shelf.client().resolve(at(shelf, "one")) is None
        assert shelf.client().resolve(at(shelf, NOWHERE)) is None

    def test_a_tag_and_a_digest(self, shelf: ContractRegistry) -> None:
        digest = shelf.put("one", OURS)
        client = shelf.client()
        assert client.resolve(at(shelf, "one")) == digest
        assert client.resolve(at(shelf, digest)) == digest
        assert client.resolve(at(shelf, "two")) is None
        assert client.resolve(at(shelf, NOWHERE)) is None

    def test_an_index_has_a_digest_of_its_own(self, shelf: ContractRegistry) -> None:
        single, index = shelf.put("one", OURS), shelf.put("two", OURS, LARGER)
        client = shelf.client()
        assert client.resolve(at(shelf, "two")) == index
        assert client.resolve(at(shelf, index)) == index != single

    def test_is_asked_anew_each_time(self, shelf: ContractRegistry) -> None:
        shelf.put("one", OURS)
        client = shelf.client()
        first = client.resolve(at(shelf, "one"))
        assert client.resolve(at(shelf, "one")) == first
        second = shelf.put("one", OTHER)
        assert client.resolve(at(shelf, "one")) == second != first


class TestParts:
    def test_one_as_it_was_pushed(self, shelf: ContractRegistry) -> None:
        image = replace(OURS, inputs="sha256:1")
        digest = shelf.put("one", image)
        found = shelf.client().part(shelf.repository, digest)
        assert found.image == Published(digest, A, SOURCE, image.size, "sha256:1")
        assert (found.platform, found.manifest["digest"]) == ("linux/amd64", str(digest))

    def test_one_that_is_not_there(self, shelf: ContractRegistry) -> None:
        shelf.put("one", OURS)
        with pytest.raises(Failure) as caught:
            shelf.client().part(shelf.repository, NOWHERE)
        assert caught.value.kind is Kind.UNVERIFIED

    def test_several_are_put_together(self, shelf: ContractRegistry) -> None:
        client = shelf.client()
        digests = [shelf.put(tag, each) for tag, each in (("one", OURS), ("two", LARGER))]
        parts = [client.part(shelf.repository, each) for each in digests]
        index = put_together(zip(("linux/amd64", "linux/arm64"), parts, strict=True), [("a", "b")])
        client.put_index(at(shelf, "both"), index)
        for each in (client, shelf.client()):
            assert each.resolve(at(shelf, "both")) == index.image.digest
            assert each.inspect(shelf.repository, index.image.digest) == index.image
        assert index.image == Published(index.image.digest, A, SOURCE, LARGER.size)


class TestConfirm:
    def test_what_a_tag_holds_and_what_it_does_not(self, shelf: ContractRegistry) -> None:
        digest, other = shelf.put("one", OURS), shelf.put("two", OTHER)
        client = shelf.client()
        client.confirm(at(shelf, "one"), digest)
        with pytest.raises(Failure) as caught:
            client.confirm(at(shelf, "one"), other)
        assert caught.value.kind is Kind.UNVERIFIED


class TestInspect:
    @pytest.mark.parametrize("image", [OURS, LARGER, UNLABELLED, Image((None, SOURCE))])
    def test_one_platform(self, shelf: ContractRegistry, image: Image) -> None:
        digest = shelf.put("one", image)
        found = shelf.client().inspect(shelf.repository, digest)
        assert found == Published(digest, *image.origin, image.size)

    def test_what_it_was_made_from(self, shelf: ContractRegistry) -> None:
        one = replace(OURS, inputs="sha256:1")
        for platforms, inputs in (((one,), "sha256:1"), ((one, OURS), "")):
            digest = shelf.put("one", *platforms)
            assert shelf.client().inspect(shelf.repository, digest).inputs == inputs

    def test_platforms_that_agree(self, shelf: ContractRegistry) -> None:
        digest = shelf.put("one", OURS, LARGER)
        found = shelf.client().inspect(shelf.repository, digest)
        assert found == Published(digest, A, SOURCE, LARGER.size)

    @pytest.mark.parametrize("second", [OTHER, UNLABELLED, Image((A, SOURCE + "x"))])
    def test_platforms_that_do_not_agree_are_of_no_commit(
        self, shelf: ContractRegistry, second: Image
    ) -> None:
        digest = shelf.put("one", OURS, second)
        found = shelf.client().inspect(shelf.repository, digest)
        assert found == Published(digest, None, "", max(OURS.size, second.size))

    def test_a_digest_that_is_not_there(self, shelf: ContractRegistry) -> None:
        shelf.put("one", OURS)
        with pytest.raises(Failure) as caught:
            shelf.client().inspect(shelf.repository, NOWHERE)
        assert caught.value.kind is Kind.UNVERIFIED

    @pytest.mark.parametrize("platforms", [(OURS,), (OURS, LARGER)])
    def test_bytes_that_do_not_hash_to_the_digest(
        self, shelf: ContractRegistry, platforms: tuple[Image, ...]
    ) -> None:
        layer = shelf.repository.path.encode()  # Blobs are shared by all repositories.
        digest = shelf.put("one", *(Image(each.origin, layer + each.layer) for each in platforms))
        shelf.corrupt(digest)
        with pytest.raises(Failure) as caught:
            shelf.client().inspect(shelf.repository, digest)
        assert caught.value.kind is Kind.UNVERIFIED

    def test_a_run_reads_an_image_only_once(self, shelf: ContractRegistry) -> None:
        digest = shelf.put("one", Image((A, SOURCE), shelf.repository.path.encode()))
        client = shelf.client()
        first = client.inspect(shelf.repository, digest)
        shelf.corrupt(digest)
        assert client.inspect(shelf.repository, digest) == first


class TestSize:
    def test_is_that_of_the_largest_platform(self, shelf: ContractRegistry) -> None:
        single, index = shelf.put("one", OURS), shelf.put("two", OURS, LARGER)
        client = shelf.client()
        assert client.size(shelf.repository, single) == OURS.size
        assert client.size(shelf.repository, index) == LARGER.size

    def test_of_what_is_no_image(self, shelf: ContractRegistry) -> None:
        digest = shelf.put("one", Image((A, SOURCE), shelf.repository.path.encode()))
        shelf.corrupt(digest)
        for each in (NOWHERE, digest):
            assert shelf.client().size(shelf.repository, each) == 0


class TestCreated:
    @pytest.mark.parametrize(
        ("told", "created"),
        [
            (["2026-01-01T00:00:00Z"], START),
            (["2026-01-01T01:00:00.5+01:00"], START.replace(microsecond=500_000)),
            (["2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"], START),
            (["", "2026-01-01T00:00:00Z"], START),
            (["1970-01-01T00:00:00Z"], None),
            (["0001-01-01T00:00:00Z"], None),
            (["soon"], None),
        ],
    )
    def test_by_the_newest_platform_that_tells(
        self, shelf: ContractRegistry, told: list[str], created: datetime | None
    ) -> None:
        platforms = [replace(OURS, created=each, layer=each.encode()) for each in told]
        digest = shelf.put("one", *platforms)
        assert shelf.client().created(shelf.repository, digest) == created

    def test_of_what_is_no_image(self, shelf: ContractRegistry) -> None:
        image = Image((A, SOURCE), shelf.repository.path.encode(), created="2026-01-01T00:00:00Z")
        digest = shelf.put("one", image)
        shelf.corrupt(digest)
        for each in (NOWHERE, digest):
            assert shelf.client().created(shelf.repository, each) is None


@pytest.mark.parametrize("platforms", [(OURS,), (OURS, LARGER)], ids=["single", "index"])
class TestSetTag:
    def test_a_new_tag_has_the_same_digest(
        self, shelf: ContractRegistry, platforms: tuple[Image, ...]
    ) -> None:
        digest = shelf.put("one", *platforms)
        before = shelf.client().inspect(shelf.repository, digest)
        shelf.client().set_tag(at(shelf, "two"), digest)
        for tag in ("one", "two"):
            assert shelf.client().resolve(at(shelf, tag)) == digest
        assert shelf.client().inspect(shelf.repository, digest) == before

    def test_moves_a_tag_and_no_other(
        self, shelf: ContractRegistry, platforms: tuple[Image, ...]
    ) -> None:
        old, new = shelf.put("latest", OTHER), shelf.put("one", *platforms)
        shelf.client().set_tag(at(shelf, "old"), old)
        client = shelf.client()
        client.inspect(shelf.repository, new)
        for _ in range(2):
            client.set_tag(at(shelf, "latest"), new)
        assert client.resolve(at(shelf, "latest")) == new
        assert client.resolve(at(shelf, "old")) == old
        assert client.resolve(at(shelf, old)) == old

    def test_an_image_that_is_not_there(
        self, shelf: ContractRegistry, platforms: tuple[Image, ...]
    ) -> None:
        shelf.put("one", *platforms)
        with pytest.raises(Failure) as caught:
            shelf.client().set_tag(at(shelf, "two"), NOWHERE)
        assert caught.value.kind is Kind.UNVERIFIED
        assert shelf.client().resolve(at(shelf, "two")) is None

    def test_bytes_that_are_not_the_digests(
        self, shelf: ContractRegistry, platforms: tuple[Image, ...]
    ) -> None:
        layer = b"tagged" + shelf.repository.path.encode()
        digest = shelf.put("one", *(Image(each.origin, layer + each.layer) for each in platforms))
        shelf.corrupt(digest)
        with pytest.raises(Failure) as caught:
            shelf.client().set_tag(at(shelf, "two"), digest)
        assert caught.value.kind is Kind.UNVERIFIED
        assert shelf.client().resolve(at(shelf, "two")) is None


class TestTags:
    def test_a_repository_that_is_not_there(self, shelf: ContractRegistry) -> None:
        assert shelf.client().tags(shelf.repository) == ()

    def test_every_tag_and_nothing_else(self, shelf: ContractRegistry) -> None:
        digest = shelf.put("one", OURS, LARGER)
        shelf.put("Two_2.x", OTHER)
        shelf.client().set_tag(at(shelf, "three"), digest)
        found = shelf.client().tags(shelf.repository)
        assert sorted(found) == [Tag("Two_2.x"), Tag("one"), Tag("three")]


class TestCheckPush:
    def test_publishes_nothing(self, shelf: ContractRegistry) -> None:
        shelf.client().check_push(shelf.repository)
        assert shelf.client().tags(shelf.repository) == ()

    def test_who_may_only_read(self, shelf: ContractRegistry) -> None:
        digest = shelf.put("one", OURS)
        reader = shelf.reader()
        if reader is None:
            pytest.skip("this registry gives everybody all rights")
        assert reader.resolve(at(shelf, "one")) == digest
        with pytest.raises(Failure) as caught:
            reader.check_push(shelf.repository)
        assert caught.value.kind is Kind.REFUSED
        with pytest.raises(Failure) as caught:
            reader.set_tag(at(shelf, "two"), digest)
        assert caught.value.kind is Kind.REFUSED
        assert shelf.client().tags(shelf.repository) == (Tag("one"),)
