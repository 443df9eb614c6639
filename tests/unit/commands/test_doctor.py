from __future__ import annotations

import pytest
from support.failures import fails

from feastflow_registry.commands import doctor
from feastflow_registry.commands.doctor import Check, Finding, examine
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import HubRepository, ImmutableTags, PullLimit
from feastflow_registry.model.references import Tag

LATEST, SPRINT, OWN = Tag("latest"), Tag("sprint3"), Tag("commit-000000b")
ADVICE = Problem("It is private.", "Make it public.")


def test_every_question_is_asked_whatever_the_others_answer() -> None:
    def broken() -> str:
        raise Failure(Kind.BUILD, "There is no engine.", "Start it.")

    found = list(
        examine([Check("engine", broken), Check("names", lambda: "ada/shop"), Check("git", broken)])
    )
    problems = (Problem("There is no engine.", "Start it."),)
    assert found == [
        Finding("engine", kind=Kind.BUILD, problems=problems),
        Finding("names", "ada/shop"),
        Finding("git", kind=Kind.BUILD, problems=problems),
    ]


def test_questions_are_asked_one_after_the_other() -> None:
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return "yes"

    answers = examine([Check("one", lambda: ask("one")), Check("two", lambda: ask("two"))])
    assert next(answers) == Finding("one", "yes")
    assert asked == ["one"]


def repository(*rules: str, private: bool = False, enabled: bool = True) -> HubRepository:
    return HubRepository(private, ImmutableTags(enabled, rules))


def said(found: str | Problem | None) -> str:
    return str(found)


def test_advice_fails_nothing() -> None:
    def broken() -> str:
        raise Failure(Kind.REFUSED, "It may not delete.", "Give it the scope.")

    found = list(
        examine([Check("prune", broken, needed=False), Check("visibility", lambda: ADVICE)])
    )
    assert found == [
        Finding("prune", problems=(Problem("It may not delete.", "Give it the scope."),)),
        Finding("visibility", problems=(ADVICE,)),
    ]
    assert doctor.verdict([*found, Finding("names", "ada/shop")]) is None


def test_each_problem_has_its_fix_below_it() -> None:
    twice = (ADVICE, Problem("It is old.", "Renew it."))
    assert Finding("names", "ada/shop").lines == ["✓ names: ada/shop"]
    assert Finding("token", problems=twice).lines == [
        *("! token: It is private.", "    Make it public."),
        *("! token: It is old.", "    Renew it."),
    ]
    assert Finding("token", kind=Kind.INPUT, problems=(ADVICE,)).lines == [
        *("✗ token: It is private.", "    Make it public.")
    ]


def test_the_verdict_names_what_failed_and_repeats_nothing() -> None:
    found = [
        Finding("names", "ada/shop"),
        Finding("git", kind=Kind.INPUT, problems=(ADVICE,)),
        Finding("visibility", problems=(ADVICE,)),
        Finding("push", kind=Kind.REFUSED, problems=(ADVICE,)),
    ]
    failure = doctor.verdict(found)
    assert failure
    assert failure.kind is Kind.INPUT
    assert str(failure) == "a publish would fail: git, push. Mend what is marked ✗ above."


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (None, "not there yet: the first push makes it"),
        (repository(), "public"),
        (repository(private=True), "images pushed but not visible: the repository is private. "),
        (repository(private=True), "Settings → Make public (if appropriate)."),
    ],
)
def test_who_may_see_a_repository(known: HubRepository | None, words: str) -> None:
    found = doctor.visibility(known)
    assert words in said(found)
    assert isinstance(found, Problem) is bool(known and known.private)


@pytest.mark.parametrize("rule", ["latest", "^latest$", "latest.*"])
def test_a_rule_that_blocks_latest_fails(rule: str) -> None:
    with fails("latest can never move", repr(rule), "leave latest out", kind=Kind.CONFLICT):
        doctor.movable(repository(rule), [SPRINT, LATEST])


@pytest.mark.parametrize(
    ("known", "words", "advice"),
    [
        (None, "latest, sprint3 may move", False),
        (repository(), "latest may be immutable by the setting.", True),
        (repository("late"), "latest may be immutable by the rule 'late'.", True),
        (repository("print3"), "sprint3 may be immutable by the rule", True),
        (repository("v[0-9]+"), "latest, sprint3 may move", False),
        (repository("latest", enabled=False), "latest, sprint3 may move", False),
    ],
)
def test_a_rule_that_may_block_a_tag_is_advice(
    known: HubRepository | None, words: str, advice: bool
) -> None:
    found = doctor.movable(known, [LATEST, SPRINT])
    assert words in said(found)
    assert isinstance(found, Problem) is advice


def test_without_shared_tags_none_is_blocked() -> None:
    assert doctor.movable(repository("latest"), []) == "no shared tag may move"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (repository("latest"), "None"),
        (repository("commit-[0-9a-f]+"), "which is immutable, by the rule 'commit-[0-9a-f]+'."),
        (repository("commit-"), "which may be immutable, by the rule 'commit-'."),
        (
            repository(),
            "prune cannot delete commit-000000b, which may be immutable, by the setting.",
        ),
    ],
)
def test_a_rule_that_would_stop_prune(known: HubRepository, words: str) -> None:
    assert words in said(doctor.prunable(known, OWN))


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (None, "not limited, or the registry does not say"),
        (PullLimit(187, 200, 21600), "187 of 200 are left in 6 hours"),
        (PullLimit(5, 100, 0), "5 of 100 are left"),
        (PullLimit(0, 100, 21600), "0 of 100 are left in 6 hours. Wait until"),
    ],
)
def test_how_many_pulls_are_left(limit: PullLimit | None, words: str) -> None:
    found = doctor.pulls(limit)
    assert said(found).startswith(words)
    assert isinstance(found, Problem) is bool(limit and not limit.remaining)
