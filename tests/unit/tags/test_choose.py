"""Which image is meant by a commit, a tag or a digest; and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.failures import fails
from support.memory import FakeRegistry
from support.runs import ELSEWHERE, SHOP, TWIN, A, B, C, D, World, commit, image
from support.runs_after_push import carry_out, choose, chooser, roll_back

from feastflow_registry.config.selectors import selector
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import Commit, Digest, Tag
from feastflow_registry.tags.choose import Chooser


@pytest.fixture
def world() -> World:
    """A, B and C are published, each in its turn."""
    world = World()
    for each in (A, B, C):
        world.publish(each)
    return world


@pytest.mark.parametrize(
    "wanted", [B.sha, B.short, B.sha[:12], f"commit-{B.short}", B.short.upper()]
)
def test_a_commit_by_its_digits(world: World, wanted: str) -> None:
    found = choose(world, wanted)
    assert (found.commit, found.tag) == (B, Tag(f"commit-{B.short}"))
    assert found.digest == world.own(B)
    assert str(found) == f"ada/shop:commit-{B.short}"


@pytest.mark.parametrize("platform", ["linux-amd64", "linux-arm-v7"])
def test_a_part_is_no_image(world: World, platform: str) -> None:
    part = f"commit-{B.short}.{platform}"
    world.put(image(B, salt=platform), part, f"commit-{D.short}.{platform}")
    with fails(f"ada/shop:{part} holds one platform alone", f"the image itself: {B.short}."):
        choose(world, part)
    assert choose(world, B.short).digest == world.own(B)
    with fails(f"no image of commit {D.short}"):
        choose(world, D.short)


def test_few_digits_are_enough_where_they_are_one_commits() -> None:
    world = World()
    one, other = Commit("abcd" + "1" * 36), Commit("abce" + "1" * 36)
    world.history.parents |= {one: (), other: (one,)}
    for each in (one, other):
        world.put(image(each), f"commit-{each.short}")
    assert choose(world, "abce").commit == other
    world.put(image(one), "commit-abcd222")
    with fails('"abcd" is the beginning of 2 published commits of ada/shop', "abcd111, abcd222"):
        choose(world, "abcd")


def test_whatever_holds_another_commits_image_is_none(world: World) -> None:
    with fails("not", 'raise the input "sha-length"', kind=Kind.CONFLICT):
        choose(world, TWIN.sha)


def test_an_image_that_was_carried_forward_is_its_newer_commits_too(world: World) -> None:
    carried = replace(image(A), inputs="sha256:1")
    digest = world.put(carried, f"commit-{A.short}", f"commit-{ELSEWHERE.short}")
    found = choose(world, ELSEWHERE.short)
    assert (found.commit, found.digest) == (ELSEWHERE, digest)


def test_what_may_have_been_carried_forward_needs_a_history() -> None:
    world = World()
    carried = replace(image(A), inputs="sha256:1")
    world.put(carried, "commit-7777777")
    with fails("and the history does not explain it", "contents: read", kind=Kind.CONFLICT):
        choose(world, "7777777")


def test_a_commit_that_is_not_published_names_the_nearest_before_it(world: World) -> None:
    world.store.tagged.pop((SHOP.repository, Tag(f"commit-{C.short}")))
    with fails(f"no image of commit {C.short}", f"before it: {B.short}, {A.short}."):
        choose(world, C.short)


def test_a_commit_that_no_history_knows_names_what_is_there(world: World) -> None:
    for number in range(1, 6):
        world.put(image(commit(number)), f"commit-{commit(number).short}")
    first = [commit(number).short for number in range(1, 6)]
    with fails("no image of commit 7654321", f"choose one that is: {', '.join(first)} and 3 more."):
        choose(world, "7654321")
    with fails("no image of commit 7654", "choose one that is"):
        choose(world, "7654")


@pytest.mark.parametrize("length", [7, 12, 63])
@pytest.mark.parametrize("form", ["{}", "sha256:{}"])
def test_the_first_digits_of_a_digest_are_enough(world: World, length: int, form: str) -> None:
    digest = world.own(B)
    assert digest
    found = choose(world, form.format(digest.value.partition(":")[2][:length]))
    assert (found.commit, found.digest) == (B, digest)


def test_a_digest_is_not_named_by_fewer_digits(world: World) -> None:
    digest = world.own(B)
    assert digest
    digits = digest.value.partition(":")[2]
    with fails(f"no image of commit {digits[:6]}"):
        choose(world, digits[:6])


@pytest.mark.parametrize("form", ["{}", "sha256:{}"])
def test_digits_that_two_digests_begin_with_name_both(world: World, form: str) -> None:
    twins = [Digest(f"sha256:abcdef12{last * 56}") for last in "34"]
    for digest, tag in zip(twins, ("one", "two"), strict=True):
        world.store.images[SHOP.repository, digest] = replace(image(A), digest=digest)
        world.store.tagged[SHOP.repository, Tag(tag)] = digest
    with fails("beginning of the digests of 2 images of ada/shop", *map(str, twins)):
        choose(world, form.format("abcdef1"))
    assert choose(world, form.format("abcdef123")).digest == twins[0]


def test_a_commit_is_meant_before_a_digest(world: World) -> None:
    digest = Digest(f"sha256:{B.short}{'0' * 57}")
    world.store.images[SHOP.repository, digest] = replace(image(A), digest=digest)
    world.store.tagged[SHOP.repository, Tag("other")] = digest
    assert choose(world, B.short).digest == world.own(B)
    assert choose(world, f"sha256:{B.short}").digest == digest


def test_no_image_has_a_digest_that_begins_so(world: World) -> None:
    with fails("ada/shop holds no image sha256:abcdef1", "`feastflow-registry tags`"):
        choose(world, "sha256:abcdef1")
    with fails("No commit is published there yet"):
        choose(World(), A.short)


def test_what_was_withdrawn_is_offered_to_nobody() -> None:
    world = World()
    world.put(image(A), f"commit-{A.short}")
    world.put(image(B), f"commit-{B.short}", f"withdrawn-{B.short}")
    with fails(f"choose one that is: {A.short}."):
        choose(world, "7654321")
    with fails(f"published before it: {A.short}."):
        choose(world, C.short)


def test_a_tag_that_could_be_a_commit(world: World) -> None:
    world.put(image(A), "20261123")
    assert choose(world, "20261123").commit == A


def test_a_tag_and_whose_it_is(world: World) -> None:
    found = choose(world, "latest")
    assert (found.commit, found.tag) == (C, Tag(f"commit-{C.short}"))
    with fails("there is no ada/shop:lates.", 'meant "latest"'):
        choose(world, "lates")
    with fails("there is no ada/shop:latest.", "publish first"):
        choose(World(), "latest")


def test_a_tag_whose_commit_tag_is_gone_is_called_by_itself(world: World) -> None:
    world.store.tagged.pop((SHOP.repository, Tag(f"commit-{C.short}")))
    found = choose(world, "latest")
    assert (found.commit, found.tag) == (C, Tag("latest"))


def test_a_carried_image_whose_first_tag_is_gone_has_another_commits(world: World) -> None:
    carried = replace(image(A, salt="x"), inputs="sha256:1")
    world.put(carried, f"commit-{B.short}", "latest")
    found = choose(world, "latest")
    assert (found.commit, found.tag) == (B, Tag(f"commit-{B.short}"))
    assert found.image.revision == A


def test_an_image_without_our_labels_is_known_by_its_commit_tag(world: World) -> None:
    digest = world.put(image(None, salt="x"), "latest", f"commit-{B.short}")
    found = choose(world, "latest")
    assert (found.commit, found.image.revision, found.tag) == (B, B, Tag(f"commit-{B.short}"))
    assert choose(world, str(digest)).commit == B


def test_an_image_that_nothing_names() -> None:
    world = World()
    digest = world.put(image(B, source="https://github.com/else/where"))
    found = choose(world, str(digest))
    assert (found.commit, found.tag) == (None, None)
    assert str(found) == f"ada/shop@{digest}"


def test_a_digest_of_another_repository(world: World) -> None:
    digest = world.put(image(A, salt="other"), name="other")
    with fails(f"ada/shop holds no image {digest}", "another repository's"):
        choose(world, str(digest))


def test_digits_that_the_history_does_not_know_are_the_labels(world: World) -> None:
    del world.history.parents[C]
    assert choose(world, C.short).commit == C


@pytest.mark.parametrize("wanted", [B.sha, B.short])
def test_a_whole_name_costs_no_listing(world: World, wanted: str) -> None:
    surveyor = chooser(world).surveyor
    assert isinstance(surveyor.registry, FakeRegistry)
    Chooser(surveyor).choose(SHOP.repository, selector(wanted))
    assert surveyor.registry.counts == {"resolve": 1, "inspect": 1}


def test_what_a_rollback_has_marked(world: World) -> None:
    carry_out(world, roll_back(world))
    finder = chooser(world)
    assert finder.is_withdrawn(choose(world, C.short))
    assert not finder.is_withdrawn(choose(world, B.short))
    digest = world.put(image(None, salt="x", source="https://github.com/else/where"))
    world.put(image(D), f"withdrawn-{D.short}")
    assert not finder.is_withdrawn(choose(world, str(digest))), "D is the run's own commit"
