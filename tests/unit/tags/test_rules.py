"""Promises 3 and 4 as decisions: may this tag move from what it holds to our commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from support.failures import fails
from support.runs import SHOP, SOURCE, TWIN, A, B, C, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.plan import Facts, Rule
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.tags.gate import created_label
from feastflow_registry.tags.rules import Decision, check_commit_image, decide, is_ours, same_source

AT_A = image(A)
SPRINT = Tag("sprint3")
CONFLICT = Kind.CONFLICT


def ask(rule: Rule, facts: Facts, tag: Tag = LATEST) -> Decision:
    reference = Reference(SHOP.repository, tag)
    return decide(rule, facts, digest=image(B).digest, reference=reference, commit=B)


def facts(relation: Relation, **more: object) -> Facts:
    return Facts(AT_A, relation, **more)  # type: ignore[arg-type]


MOVE = Decision(True)
FORWARD = [Rule.FORWARD, Rule.MILESTONE, Rule.FINAL]


@pytest.mark.parametrize("rule", Rule)
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


@pytest.mark.parametrize("rule", [Rule.FORWARD, Rule.DATED, Rule.MILESTONE])
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
        with fails("shop:latest", words, A.short, "latest: force", "github-token", kind=CONFLICT):
            ask(rule, facts(relation))
        with fails(":sprint3", "choose another name", kind=CONFLICT) as caught:
            ask(rule, facts(relation), SPRINT)
        assert "latest: force" not in str(caught.value)

    def test_an_image_without_labels(self, rule: Rule) -> None:
        unknown = Facts(replace(AT_A, revision=None, source=""), Relation.UNKNOWN)
        with fails("whose labels name no commit", "once with latest: force", kind=CONFLICT):
            ask(rule, unknown)
        with fails("another name", "delete that tag", kind=CONFLICT):
            ask(rule, unknown, SPRINT)

    def test_an_image_of_another_source(self, rule: Rule) -> None:
        source = "https://github.com/eve/" + "x" * 300
        words = ("whose labels name no commit of this", '(its source is "https://github.com/eve/')
        with fails(*words, kind=CONFLICT) as caught:
            ask(rule, Facts(replace(AT_A, revision=None, source=source)))
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("relation", Relation)
def test_force_moves_wherever_it_is_told(relation: Relation) -> None:
    assert ask(Rule.FORCE, facts(relation)) == MOVE


class TestGitTag:
    def test_is_rewritten_for_its_own_commit_only(self) -> None:
        assert ask(Rule.GIT_TAG, facts(Relation.SAME)) == MOVE

    @pytest.mark.parametrize("relation", [each for each in Relation if each is not Relation.SAME])
    def test_is_never_moved(self, relation: Relation) -> None:
        words = (A.short, "never moved", "set milestone: sprint3")
        with fails(":sprint3", *words, kind=CONFLICT):
            ask(Rule.GIT_TAG, facts(relation), SPRINT)

    def test_an_image_of_no_commit_is_named_by_its_digest(self) -> None:
        unknown = replace(AT_A, revision=None)
        with fails(f"digest {AT_A.digest.short}", kind=CONFLICT):
            ask(Rule.GIT_TAG, Facts(unknown), SPRINT)


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
        with fails(relation.value, kind=CONFLICT):
            ask(Rule.FINAL, facts(relation), SPRINT)

    @pytest.mark.parametrize("relation", [each for each in Relation if each is not Relation.SAME])
    def test_a_frozen_one_is_never_moved(self, relation: Relation) -> None:
        with fails("never moved", "Publish under a new git tag.", kind=CONFLICT):
            ask(Rule.FINAL, facts(relation, frozen=True), SPRINT)

    def test_a_frozen_one_may_be_finished_by_its_own_commit(self) -> None:
        assert ask(Rule.FINAL, facts(Relation.SAME, frozen=True), SPRINT) == MOVE


class TestWriteOnce:
    @staticmethod
    def check(published: object) -> None:
        check_commit_image(
            published,  # type: ignore[arg-type]
            repository=SHOP.repository,
            tag=Tag("commit-000000b"),
            commit=B,
            source=SOURCE,
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
            (image(A, source="https://github.com/eve/shop"), ["eve/shop", "never overwritten"]),
        ],
    )
    def test_any_other_is_a_conflict(self, published: object, words: list[str]) -> None:
        with fails("ada/shop:commit-000000b", *words, kind=CONFLICT):
            self.check(published)


def test_is_ours() -> None:
    assert is_ours(image(B), B, SOURCE)
    assert not is_ours(image(A), B, SOURCE)
    assert not is_ours(image(B), B, "https://github.com/eve/shop")
    assert not is_ours(image(None), B, SOURCE)


def test_same_source() -> None:
    assert same_source("https://GitHub.com/A/b.git", "https://github.com/a/B")
    assert not same_source("", "https://github.com/a/b")


def test_created_label() -> None:
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert created_label(moment) == "2025-01-02T03:04:05Z"
    east = moment.astimezone(timezone(timedelta(hours=2)))
    assert created_label(east) == "2025-01-02T05:04:05+02:00"
