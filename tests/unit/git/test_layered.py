from __future__ import annotations

from typing import NoReturn

import pytest
from support.failures import fails
from support.memory import FakeHistory
from support.runs import A, B, C

from feastflow_registry.git.layered import LayeredHistory
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.references import Commit


def layered(clone: FakeHistory, remote: FakeHistory) -> tuple[LayeredHistory, list[str]]:
    reached: list[str] = []

    def reach() -> FakeHistory:
        reached.append("remote")
        return remote

    return LayeredHistory(clone, reach), reached


WHOLE = {A: (), B: (A,), C: (B,)}


def test_what_the_clone_can_prove_is_not_asked_of_the_remote() -> None:
    history, reached = layered(FakeHistory(dict(WHOLE)), FakeHistory())
    assert history.relation(A, B) is Relation.AHEAD
    assert history.resolve(A.short) == A
    assert reached == []


def test_what_the_clone_cannot_prove_is() -> None:
    history, reached = layered(FakeHistory({C: ()}), FakeHistory(dict(WHOLE)))
    assert history.relation(C, A) is Relation.BEHIND
    assert history.resolve(A.short) == A
    assert reached == ["remote"]


def test_each_pair_is_asked_once() -> None:
    clone, remote = FakeHistory(), FakeHistory(dict(WHOLE))
    history, _ = layered(clone, remote)
    assert {history.relation(A, B) for _ in range(3)} == {Relation.AHEAD}
    assert history.relation(B, A) is Relation.BEHIND
    assert len(clone.asked) == len(remote.asked) == 2


@pytest.mark.parametrize("known", [{}, WHOLE])
def test_what_changes_meanwhile_is_asked_of_the_remote_each_time(
    known: dict[Commit, tuple[Commit, ...]],
) -> None:
    clone = FakeHistory(dict(known), {"main": A}, {"sprint3": A})
    remote = FakeHistory(dict(WHOLE), {"main": B}, {"sprint3": B})
    history, reached = layered(clone, remote)
    assert list(history.newer(A, "main")) == [B]
    assert history.git_tag("sprint3") == B
    remote.branches["main"] = remote.git_tags["sprint3"] = C
    assert list(history.newer(A, "main")) == [C, B]
    assert history.git_tag("sprint3") == C
    assert history.git_tag_names() == ["sprint3"]
    assert clone.asked == []
    assert reached == ["remote"]


def test_what_nobody_knows_is_unknown() -> None:
    history, _ = layered(FakeHistory(), FakeHistory())
    assert history.relation(A, B) is Relation.UNKNOWN
    assert history.resolve("abc") is None


def test_ancestors_come_from_the_clone_where_it_has_any() -> None:
    history, reached = layered(FakeHistory({C: (B,), B: ()}), FakeHistory(dict(WHOLE)))
    assert history.ancestors(C) == [B]
    assert reached == []


def test_ancestors_that_the_clone_was_cut_off_from() -> None:
    clone, remote = FakeHistory({C: ()}), FakeHistory(dict(WHOLE))
    history, _ = layered(clone, remote)
    assert [history.ancestors(C) for _ in range(2)] == [[B, A]] * 2
    assert len(clone.asked) == len(remote.asked) == 1


def test_a_clone_that_is_cut_off_after_some_is_not_the_last_word() -> None:
    clone, remote = FakeHistory({C: (B,), B: ()}, cut=True), FakeHistory(dict(WHOLE))
    history, _ = layered(clone, remote)
    assert history.ancestors(C) == [B, A]
    assert not history.is_shallow()


@pytest.mark.parametrize("cut", [True, False])
def test_by_hand_the_remote_knows_no_more_than_the_clone(cut: bool) -> None:
    clone = FakeHistory({C: (B,), B: ()}, cut=cut)
    history, _ = layered(clone, clone)
    assert history.is_shallow() is cut


def test_the_clone_may_know_more_than_the_remote_tells() -> None:
    clone, remote = FakeHistory({C: (B,), B: ()}, cut=True), FakeHistory({C: ()})
    history, _ = layered(clone, remote)
    assert history.ancestors(C) == [B]


class Lost(FakeHistory):
    """A remote that does not answer, or refuses."""

    kind = Kind.UNREACHABLE

    def newer(self, commit: Commit, branch: str) -> NoReturn:
        self.git_tag("")

    def git_tag(self, name: str) -> NoReturn:
        self.asked.append(("in vain",))
        raise Failure(self.kind, "no answer.", "Run again.")

    def git_tag_names(self) -> NoReturn:
        self.git_tag("")


def test_a_remote_that_does_not_answer_is_asked_once_if_there_is_a_spare_one() -> None:
    remote, told = Lost(), []
    spare = FakeHistory(dict(WHOLE), {"main": B}, {"v1": A})
    history = LayeredHistory(FakeHistory(), lambda: remote, spare, lambda: told.append("lost"))
    assert history.git_tag("v1") == A
    assert list(history.newer(A, "main")) == [B]
    assert history.git_tag_names() == ["v1"]
    assert (len(remote.asked), told) == (1, ["lost"])


def test_otherwise_it_is_told() -> None:
    with fails("no answer.", kind=Kind.UNREACHABLE):
        LayeredHistory(FakeHistory(), Lost).git_tag_names()
    refusing = Lost()
    refusing.kind = Kind.REFUSED
    with fails("no answer.", kind=Kind.REFUSED):
        LayeredHistory(FakeHistory(), lambda: refusing, FakeHistory()).git_tag_names()
