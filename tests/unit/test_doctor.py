from __future__ import annotations

from feastflow_registry.doctor import Check, Finding, examine
from feastflow_registry.errors import Failure, Kind, Problem


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
