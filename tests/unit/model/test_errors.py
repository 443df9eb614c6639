from __future__ import annotations

import errno
import itertools
import os

import pytest

from feastflow_registry.model.errors import Failure, Kind, Problem, exhausted, gather, nearest


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


def test_a_problem_keeps_its_fix_and_its_page_at_a_place() -> None:
    problem = Problem("x is not y.", "Write y.", "lowercase").at("line 3")
    assert problem == Problem("line 3: x is not y.", "Write y.", "lowercase")


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


def raised(*errors: Exception) -> Exception:
    """The last of several errors, each raised while the one before was handled."""
    for before, error in itertools.pairwise(errors):
        error.__context__ = before
    return errors[-1]


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def lost() -> Failure:
    return raiser(Kind.UNREACHABLE, "it was lost.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (system(errno.EMFILE), "as many files and connections open as it may"),
        (system(errno.ENFILE), "as many files"),
        (system(errno.ENOMEM), "no memory left"),
        (MemoryError(), "no memory left"),
        (system(errno.EAGAIN), "no more processes and threads"),
        (RuntimeError("can't start new thread"), "no more processes and threads"),
        (
            raised(system(errno.EMFILE), ValueError(), lost()),
            "as many files and connections open as it may",
        ),
    ],
)
def test_what_a_machine_has_no_more_of_is_named(error: Exception, words: str) -> None:
    failure = exhausted(error)
    assert failure
    assert failure.kind is Kind.BUILD
    [problem] = failure.problems
    assert words in problem.cause
    assert problem.fix.endswith(", then run again.")


@pytest.mark.parametrize(
    "error",
    [
        *(lost(), system(errno.ENOSPC), OSError(), RuntimeError("other")),
        raised(KeyError(), lost()),
        BlockingIOError(errno.EAGAIN, "write could not complete without blocking", 3),
    ],
)
def test_other_errors_are_no_want_of_anything(error: Exception) -> None:
    assert exhausted(error) is None
