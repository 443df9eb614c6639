"""How a test says what a failure must say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from feastflow_registry.model.errors import HELP, Failure, Kind


@contextmanager
def fails(*words: str, kind: Kind = Kind.INPUT) -> Iterator[pytest.ExceptionInfo[Failure]]:
    """A failure of a kind; cause and fix are sentences, and hold these words between them."""
    with pytest.raises(Failure) as caught:
        yield caught
    assert caught.value.kind is kind
    for problem in caught.value.problems:
        assert problem.cause.endswith("."), problem.cause
        assert problem.fix.endswith("."), problem.fix
        assert "\n" not in str(problem)
    for word in words:
        assert word in str(caught.value)


def check_shown(error: str) -> None:
    """An annotation is a sentence of cause, one of fix, and at most the address of more."""
    cause, fix, *more = error.split("\n")
    assert cause.endswith((".", ".'", '."')), cause
    assert fix, error
    assert [each for each in more if not each.startswith(f"{HELP}#")] == [], error
    assert len(more) <= 1, error
