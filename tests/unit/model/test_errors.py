from __future__ import annotations

import pytest

from feastflow_registry.model.errors import Failure, Kind, Problem, gather, nearest


def raiser(kind: Kind, cause: str) -> Failure:
    return Failure(kind, cause, "Fix it.")


def test_kinds_are_the_exit_codes_of_the_contract() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        "INPUT": 2,
        "REFUSED": 3,
        "BUILD": 4,
        "UNREACHABLE": 5,
        "CONFLICT": 6,
        "UNVERIFIED": 7,
    }


def test_a_failure_says_cause_and_fix() -> None:
    failure = Failure(Kind.BUILD, "It broke.", "Mend it.")
    assert failure.problems == (Problem("It broke.", "Mend it."),)
    assert str(failure) == "It broke. Mend it."
    assert failure.args == ("It broke. Mend it.",)


def test_several_problems_are_one_failure_in_their_order() -> None:
    failure = Failure.of(Kind.INPUT, (Problem(each, "Fix it.") for each in ("One.", "Two.")))
    assert failure.kind is Kind.INPUT
    assert str(failure) == "One. Fix it.\nTwo. Fix it."


class TestGather:
    def test_runs_every_check_and_reports_all_bad_input(self) -> None:
        ran: list[str] = []

        def check(name: str) -> None:
            ran.append(name)
            if name != "good":
                raise Failure.of(Kind.INPUT, [Problem(name, "1."), Problem(name, "2.")])

        with pytest.raises(Failure) as caught:
            gather(lambda: check("a"), lambda: check("good"), lambda: check("b"))
        assert ran == ["a", "good", "b"]
        assert [each.cause for each in caught.value.problems] == ["a", "a", "b", "b"]

    def test_another_kind_of_failure_is_not_bad_input(self) -> None:
        def unreachable() -> None:
            raise raiser(Kind.UNREACHABLE, "gone.")

        with pytest.raises(Failure) as caught:
            gather(unreachable, lambda: pytest.fail("it went on"))
        assert caught.value.kind is Kind.UNREACHABLE

    def test_nothing_wrong(self) -> None:
        gather()
        gather(lambda: "an answer")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pubish", 'Perhaps you meant "publish".'),
        ("PUBLISH", 'Perhaps you meant "publish".'),
        ("xyzzy", "Use one of: build, publish, push."),
        ("", "Use one of: build, publish, push."),
    ],
)
def test_nearest(word: str, said: str) -> None:
    assert nearest(word, ["push", "publish", "build"]) == said
