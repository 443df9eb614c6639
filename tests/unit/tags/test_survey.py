"""What is asked of the registry and of history before planning, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest
from support.failures import fails
from support.memory import FakeRegistry
from support.runs import OURS, SHOP, TWIN, A, B, C, World, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import Facts, Line, Reuse, Rule, SharedTag
from feastflow_registry.model.references import Digest, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import CommitTags
from feastflow_registry.tags.survey import Surveyor

LATEST = SharedTag(Tag("latest"), Rule.FORWARD)
SPRINT = Tag("sprint3")


def surveyor(world: World, *, length: int = 7) -> tuple[Surveyor, FakeRegistry]:
    registry = FakeRegistry(world.store)
    return Surveyor(
        registry, world.history, OURS, CommitTags(length), world.fingerprint(B)
    ), registry


def look(world: World, rule: Rule = Rule.FORWARD, ours: Digest | None = None) -> Facts:
    return surveyor(world)[0].look(SHOP.repository, B, SharedTag(SPRINT, rule), ours)


class TestSurvey:
    def test_an_empty_registry(self) -> None:
        looking, registry = surveyor(World())
        seen = looking.survey(B, [SHOP], [LATEST], Reuse.COMMIT)[SHOP]
        assert (seen.image, seen.facts) == (None, {LATEST.tag: Facts(None)})
        assert registry.counts == {"resolve": 2}

    def test_a_published_commit_costs_one_request_a_tag_and_one_for_the_image(self) -> None:
        world = World()
        world.put(image(B), f"commit-{B.short}", "latest")
        looking, registry = surveyor(world)
        seen = looking.survey(B, [SHOP], [LATEST], Reuse.COMMIT)[SHOP]
        assert seen.image == seen.facts[LATEST.tag].current == image(B)
        assert registry.subjects("resolve") == [f"ada/shop:commit-{B.short}", "ada/shop:latest"]
        assert registry.counts["inspect"] == 1
        assert world.history.asked == []

    def test_the_length_of_the_commit_tag(self) -> None:
        looking, registry = surveyor(World(), length=12)
        looking.survey(B, [SHOP], [], Reuse.COMMIT)
        assert registry.subjects("resolve") == [f"ada/shop:commit-{B.sha[:12]}"]

    def test_a_withdrawn_commit_is_noticed_where_a_tag_could_move(self) -> None:
        world = World()
        world.put(image(A), "latest")
        world.put(image(B), f"commit-{B.short}", f"withdrawn-{B.short}", "edge")
        edge = SharedTag(Tag("edge"), Rule.FORWARD)
        facts = surveyor(world)[0].survey(B, [SHOP], [LATEST, edge], Reuse.COMMIT)[SHOP].facts
        assert facts[LATEST.tag].withdrawn
        assert not facts[edge.tag].withdrawn

    def test_what_is_not_published_is_not_asked_to_be_withdrawn(self) -> None:
        world = World()
        world.put(image(A), "latest")
        looking, registry = surveyor(world)
        looking.survey(B, [SHOP], [LATEST], Reuse.COMMIT)
        assert not [each for each in registry.subjects("resolve") if "withdrawn" in each]

    def test_no_part_is_read_of_an_image_that_is_there(self) -> None:
        world = World()
        world.put(image(B), f"commit-{B.short}")
        other = world.put(image(A), f"commit-{B.short}.linux-arm64")
        looking, _ = surveyor(world)
        seen = looking.survey(B, [SHOP], [], Reuse.COMMIT, lambda _: ["linux/arm64"])[SHOP]
        assert (seen.held, seen.parts) == ({"linux/arm64": other}, {})

    def test_nothing_is_summed_up_for_what_is_published(self) -> None:
        def refuse(_: Service) -> NoReturn:
            pytest.fail("it is published")

        world = World()
        world.put(image(B), f"commit-{B.short}")
        looking = replace(surveyor(world)[0], fingerprint=refuse)
        assert looking.survey(B, [SHOP], [], Reuse.UNCHANGED)[SHOP].image == image(B)

    @pytest.mark.parametrize("reuse", Reuse)
    def test_a_commit_tag_of_another_commit(self, reuse: Reuse) -> None:
        world = World()
        world.put(image(TWIN), f"commit-{B.short}")
        with fails('raise the input "sha-length"', kind=Kind.CONFLICT):
            surveyor(world)[0].survey(B, [SHOP], [], reuse)


class TestLook:
    @pytest.mark.parametrize(
        ("there", "relation"),
        [(A, Relation.AHEAD), (C, Relation.BEHIND), (B, Relation.SAME)],
    )
    def test_relation(self, there: object, relation: Relation) -> None:
        world = World()
        world.put(image(there), "sprint3")  # type: ignore[arg-type]
        assert look(world) == Facts(image(there), relation)  # type: ignore[arg-type]

    def test_history_is_not_asked_where_it_does_not_count(self) -> None:
        world = World()
        digest = world.put(image(A), "sprint3")
        assert look(world, Rule.FORCE).relation is Relation.UNKNOWN
        assert look(world, Rule.FORWARD, digest).relation is Relation.UNKNOWN
        assert world.history.asked == []

    def test_what_goes_by_force_is_not_read(self) -> None:
        world = World()
        world.put(image(A), "sprint3")
        looking, registry = surveyor(world)
        looking.look(SHOP.repository, B, SharedTag(SPRINT, Rule.FORCE), None)
        assert registry.counts == {"resolve": 1}

    def test_a_git_tag_counts_for_a_milestone_that_could_move(self) -> None:
        world = World()
        world.history.git_tags["sprint3"] = C
        assert look(world, Rule.MILESTONE).git_tag == C
        digest = world.put(image(A), "sprint3")
        assert look(world, Rule.MILESTONE).git_tag == C
        for rule, ours in ((Rule.MILESTONE, digest), (Rule.FINAL, None), (Rule.FORWARD, None)):
            assert look(world, rule, ours).git_tag is None

    def test_the_frozen_marker(self) -> None:
        world = World()
        digest = world.put(image(A), "sprint3", "frozen-sprint3")
        assert look(world, Rule.MILESTONE).frozen
        assert look(world, Rule.FINAL).frozen
        assert look(world, Rule.FINAL, digest).frozen
        assert not look(world, Rule.MILESTONE, digest).frozen
        assert not look(world, Rule.FORWARD).frozen

    def test_what_a_tag_holds_counts_before_what_was_final(self) -> None:
        world = World()
        world.put(image(A), "sprint3")
        world.put(image(C), "frozen-sprint3")
        assert look(world, Rule.FINAL).current == image(A)


class TestUnlabelled:
    """An image whose labels do not name this repository has an unknown commit, unless…"""

    @pytest.mark.parametrize(
        "stranger",
        [image(None), image(A, source="https://github.com/eve/shop"), image(A, source="")],
    )
    def test_no_commit_is_believed(self, stranger: Published) -> None:
        world = World()
        world.put(stranger, "sprint3", "other")
        current = look(world).current
        assert current is not None
        assert (current.revision, current.source) == (None, stranger.source)
        assert world.history.asked == []

    def test_a_commit_tag_that_shares_its_digest_names_it(self) -> None:
        world = World()
        world.put(image(C), f"commit-{C.short}")
        world.put(image(None), "sprint3", "tagged", f"commit-{A.short}")
        found = look(world)
        assert found.current is not None
        assert (found.current.revision, found.relation) == (A, Relation.AHEAD)

    def test_a_commit_tag_of_no_known_commit(self) -> None:
        world = World()
        world.put(image(None), "sprint3", "commit-ffffff0")
        current = look(world).current
        assert current is not None
        assert current.revision is None

    def test_it_does_not_ask_without_end(self) -> None:
        world = World()
        world.put(image(None), "sprint3")
        world.put(image(C), *(f"commit-{number:07}" for number in range(600)))
        looking, registry = surveyor(world)
        looking.look(SHOP.repository, B, SharedTag(SPRINT, Rule.FORWARD), None)
        assert registry.counts["resolve"] == 1 + 500


class TestFindPublished:
    def test_proven(self) -> None:
        world = World()
        digest = world.put(image(C), f"commit-{C.short}")
        assert surveyor(world)[0].find_published(SHOP.repository, C) == digest

    @pytest.mark.parametrize(
        ("published", "tags"),
        [
            (image(C), []),
            (image(B), [f"commit-{C.short}"]),
            (image(C, source="https://github.com/eve/shop"), [f"commit-{C.short}"]),
            (image(C), [f"commit-{C.short}", f"withdrawn-{C.short}"]),
        ],
    )
    def test_absent_foreign_or_withdrawn(self, published: Published, tags: list[str]) -> None:
        world = World()
        world.put(published, *tags)
        assert surveyor(world)[0].find_published(SHOP.repository, C) is None

    def test_a_mark_is_believed_by_its_bytes(self) -> None:
        world = World()
        world.put(image(C), f"commit-{C.short}", f"withdrawn-{C.short}")
        looking, registry = surveyor(world)
        looking.find_published(SHOP.repository, C)
        assert registry.subjects("confirm") == [f"ada/shop:withdrawn-{C.short}"]


def test_what_is_offered_costs_a_request_for_each_mark() -> None:
    world = World()
    world.put(image(A), f"commit-{A.short}", "latest", "edge")
    world.put(image(B), f"commit-{B.short}", f"withdrawn-{B.short}")
    looking, registry = surveyor(world)
    assert looking.offered(SHOP.repository) == [A.short]
    assert registry.counts == {"tags": 1, "resolve": 1}


def test_git_tags_are_asked_for_what_is_published_alone() -> None:
    world = World()
    world.put(image(A), "v1.0")
    world.history.git_tags |= {"v1.0": A, "v1.1": C}
    found = surveyor(world)[0].highest(SHOP.repository, B, Line("", ("v1.1", "v1.0")), None)
    assert found
    assert found.name == "v1.0"
    assert world.history.asked == [("git_tag", "v1.0")]
