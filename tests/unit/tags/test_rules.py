"""Promises 3 and 4 as decisions: may this tag move from what it holds to our commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from support.failures import fails
from support.runs import OURS, SHOP, SOURCE, TWIN, A, B, C, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import Facts, Release, Rule
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.source import Source
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.tags.gate import created_label
from feastflow_registry.tags.rules import Decision, check_commit_image, decide, is_ours

AT_A = image(A)
SPRINT = Tag("sprint3")
CONFLICT = Kind.CONFLICT


def ask(rule: Rule, facts: Facts, tag: Tag = LATEST) -> Decision:
    reference = Reference(SHOP.repository, tag)
    return decide(rule, facts, digest=image(B).digest, reference=reference, commit=B)


def facts(relation: Relation, **more: object) -> Facts:
    return Facts(AT_A, relation, **more)  # type: ignore[arg-type]


def refused(decision: Decision, *words: str) -> str:
    """What is said of a tag that the rule forbids to move; it stays, and nothing else does."""
    assert not decision.move
    assert decision.conflict
    (problem,) = decision.conflict.problems
    assert decision.conflict.kind is CONFLICT
    assert f"{decision.reason}." == problem.cause
    said = str(decision.conflict)
    for word in words:
        assert word in said
    return said


MOVE = Decision(True)
FORWARD = [Rule.FORWARD, Rule.MILESTONE, Rule.FINAL]


@pytest.mark.parametrize("rule", [each for each in Rule if each is not Rule.RELEASE])
class TestWhateverTheRule:
    def test_a_tag_that_is_there_stays(self, rule: Rule) -> None:
        there = Facts(image(B), Relation.SAME)
        assert ask(rule, there) == Decision(False, "it is there already")

    def test_a_new_tag_is_set(self, rule: Rule) -> None:
        assert ask(rule, Facts(None)) == MOVE

    def test_a_withdrawn_commit_gets_no_tag_but_by_force(self, rule: Rule) -> None:
        for there in (None, AT_A, image(B)):
            found = ask(rule, Facts(there, Relation.AHEAD, withdrawn=True))
            if rule is not Rule.FORCE:
                assert found == Decision(False, f"{B.short} was withdrawn by a rollback")
            else:
                assert found.move is (there != image(B))


@pytest.mark.parametrize("rule", [Rule.FORWARD, Rule.ONE_RUN, Rule.MILESTONE])
class TestForwardOnly:
    @pytest.mark.parametrize("relation", [Relation.SAME, Relation.AHEAD])
    def test_moves_forward(self, rule: Rule, relation: Relation) -> None:
        assert ask(rule, facts(relation)) == MOVE

    def test_stays_at_a_newer_commit_in_peace(self, rule: Rule) -> None:
        reason = f"commit {A.short} is there, which is newer than {B.short}"
        assert ask(rule, facts(Relation.BEHIND)) == Decision(False, reason)

    @pytest.mark.parametrize(
        ("relation", "words"),
        [(Relation.DIVERGED, "has diverged from"), (Relation.UNKNOWN, "cannot be compared with")],
    )
    def test_never_guesses(self, rule: Rule, relation: Relation, words: str) -> None:
        why = "history was rewritten" if relation is Relation.DIVERGED else "github-token"
        wanted = ("shop:latest", words, A.short, "latest: force", why)
        refused(ask(rule, facts(relation)), *wanted)
        said = refused(ask(rule, facts(relation), SPRINT), ":sprint3", "choose another name")
        assert "latest: force" not in said

    def test_an_image_without_labels(self, rule: Rule) -> None:
        unknown = Facts(replace(AT_A, revision=None, source=""), Relation.UNKNOWN)
        said = refused(
            ask(rule, unknown), "whose labels name no commit", 'once with input "latest: force"'
        )
        assert "its source is" not in said
        refused(ask(rule, unknown, SPRINT), "another name", "delete that tag")

    def test_an_image_of_another_source(self, rule: Rule) -> None:
        source = "https://github.com/eve/" + "x" * 300
        words = ("whose labels name no commit of this", '(its source is "https://github.com/eve/')
        with fails(*words, kind=CONFLICT) as caught:
            ask(rule, Facts(replace(AT_A, revision=None, source=source)))
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("relation", Relation)
def test_force_moves_wherever_it_is_told(relation: Relation) -> None:
    assert ask(Rule.FORCE, facts(relation)) == MOVE


def test_a_final_tag_that_was_lost_is_given_back() -> None:
    assert ask(Rule.FINAL, Facts(None, frozen=True), SPRINT) == MOVE


class TestGitTag:
    def test_is_rewritten_for_its_own_commit_only(self) -> None:
        assert ask(Rule.GIT_TAG, facts(Relation.SAME)) == MOVE

    @pytest.mark.parametrize("relation", [each for each in Relation if each is not Relation.SAME])
    def test_is_never_moved(self, relation: Relation) -> None:
        words = (A.short, "never moved", 'set input "milestone: sprint3"')
        refused(ask(Rule.GIT_TAG, facts(relation), SPRINT), ":sprint3", *words)

    def test_an_image_of_no_commit_is_named_by_its_digest(self) -> None:
        unknown = replace(AT_A, revision=None)
        refused(ask(Rule.GIT_TAG, Facts(unknown), SPRINT), f"digest {AT_A.digest.short}")


class TestMilestone:
    @pytest.mark.parametrize("there", [None, AT_A])
    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({}, MOVE),
            ({"git_tag": B}, MOVE),
            ({"git_tag": C}, Decision(False, "its git tag exists, so it is final")),
            (
                {"frozen": True},
                Decision(False, "it was published from its git tag, so it is final"),
            ),
            (
                {"git_tag": B, "frozen": True},
                Decision(False, "it was published from its git tag, so it is final"),
            ),
        ],
    )
    def test_follows_main_until_it_is_final(
        self, there: object, more: dict[str, object], expected: Decision
    ) -> None:
        found = Facts(there, Relation.AHEAD, **more)  # type: ignore[arg-type]
        assert ask(Rule.MILESTONE, found, SPRINT) == expected

    def test_a_final_one_is_no_conflict_even_after_history_diverged(self) -> None:
        found = facts(Relation.DIVERGED, git_tag=C)
        assert not ask(Rule.MILESTONE, found, SPRINT).move


class TestFinal:
    @pytest.mark.parametrize("relation", [Relation.SAME, Relation.AHEAD, Relation.BEHIND])
    def test_goes_to_its_git_tags_commit_once(self, relation: Relation) -> None:
        assert ask(Rule.FINAL, facts(relation), SPRINT) == MOVE

    @pytest.mark.parametrize("relation", [Relation.DIVERGED, Relation.UNKNOWN])
    def test_but_not_to_another_history(self, relation: Relation) -> None:
        refused(ask(Rule.FINAL, facts(relation), SPRINT), relation.value)

    @pytest.mark.parametrize("relation", [each for each in Relation if each is not Relation.SAME])
    def test_a_frozen_one_is_never_moved(self, relation: Relation) -> None:
        found = ask(Rule.FINAL, facts(relation, frozen=True), SPRINT)
        refused(found, "never moved", "Publish under a new git tag.")

    def test_a_frozen_one_may_be_finished_by_its_own_commit(self) -> None:
        assert ask(Rule.FINAL, facts(Relation.SAME, frozen=True), SPRINT) == MOVE


class TestBranch:
    @pytest.mark.parametrize("relation", [each for each in Relation if each != Relation.BEHIND])
    def test_follows_its_branch_rebased_or_not(self, relation: Relation) -> None:
        assert ask(Rule.BRANCH, facts(relation), Tag("topic")) == MOVE

    def test_stays_at_a_newer_commit(self) -> None:
        assert not ask(Rule.BRANCH, facts(Relation.BEHIND), Tag("topic")).move

    def test_an_image_of_nobody_knows_what(self) -> None:
        unknown = Facts(replace(AT_A, revision=None, source=""), Relation.UNKNOWN)
        refused(ask(Rule.BRANCH, unknown, Tag("topic")), "whose labels name no commit")


class TestRelease:
    OWN = Release("v1.1.1", image(B).digest)
    HIGHER = Release("v1.2.0", AT_A.digest)

    @pytest.mark.parametrize("there", [None, AT_A])
    @pytest.mark.parametrize("relation", Relation)
    def test_goes_to_the_highest_whatever_history_says(
        self, there: Published | None, relation: Relation
    ) -> None:
        assert ask(Rule.RELEASE, Facts(there, relation, release=self.OWN)) == MOVE

    def test_stays_where_a_higher_one_is(self) -> None:
        found = ask(Rule.RELEASE, Facts(AT_A, release=self.HIGHER))
        assert found == Decision(False, "v1.2.0 is a higher release")

    @pytest.mark.parametrize("there", [None, image(B), image(C)])
    def test_moves_on_to_a_higher_one_that_it_does_not_hold(self, there: Published | None) -> None:
        assert ask(Rule.RELEASE, Facts(there, release=self.HIGHER)) == MOVE

    def test_stays_where_it_is_already(self) -> None:
        found = ask(Rule.RELEASE, Facts(image(B), release=self.OWN))
        assert found == Decision(False, "it is there already")

    def test_stays_where_no_release_is_left(self) -> None:
        found = ask(Rule.RELEASE, Facts(AT_A))
        assert found == Decision(False, "no release that it is for is published")
        found = ask(Rule.RELEASE, Facts(AT_A, withdrawn=True))
        assert found == Decision(False, f"{B.short} was withdrawn by a rollback")

    def test_goes_on_to_another_one_if_its_own_was_withdrawn(self) -> None:
        there = Facts(image(B), release=self.HIGHER, withdrawn=True)
        assert ask(Rule.RELEASE, there) == MOVE

    def test_an_image_of_nobody_knows_what(self) -> None:
        unknown = Facts(replace(AT_A, revision=None, source=""), release=self.OWN)
        refused(ask(Rule.RELEASE, unknown), "whose labels name no commit", "delete that tag")


class TestWriteOnce:
    @staticmethod
    def check(published: object) -> None:
        check_commit_image(
            published,  # type: ignore[arg-type]
            repository=SHOP.repository,
            tag=Tag("commit-000000b"),
            commit=B,
            source=OURS,
        )

    @pytest.mark.parametrize("source", [SOURCE, SOURCE.upper(), SOURCE + ".git"])
    def test_our_own_image(self, source: str) -> None:
        self.check(image(B, source=source))

    @pytest.mark.parametrize(
        ("published", "words"),
        [
            (image(TWIN), [f"holds commit {TWIN.sha[:12]}, not {B.sha[:12]}", "sha-length"]),
            (image(A), [f"holds commit {A.sha[:12]}, not {B.sha[:12]}", "never overwritten"]),
            (image(None), ["an image of no known commit", "never overwritten"]),
            (image(B, source=""), [f"holds commit {B.sha[:12]} of no named", "never overwritten"]),
            (
                image(B, source="https://github.com/eve/shop"),
                ['of "https://github.com/eve/shop"', "another image name"],
            ),
            (
                image(A, source="https://github.com/eve/shop"),
                ["eve/shop", "another name", "also-known-as", "never overwritten"],
            ),
        ],
    )
    def test_any_other_is_a_conflict(self, published: object, words: list[str]) -> None:
        with fails("ada/shop:commit-000000b", *words, kind=CONFLICT):
            self.check(published)


def test_is_ours() -> None:
    assert is_ours(image(B), B, OURS)
    assert not is_ours(image(A), B, OURS)
    assert not is_ours(image(B), B, Source.of("https://github.com/eve/shop"))
    assert not is_ours(image(None), B, OURS)


def test_created_label() -> None:
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert created_label(moment) == "2025-01-02T03:04:05Z"
    east = moment.astimezone(timezone(timedelta(hours=2)))
    assert created_label(east) == "2025-01-02T05:04:05+02:00"
