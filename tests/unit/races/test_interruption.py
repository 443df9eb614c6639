"""Promise 5: a failure at any request leaves no half-moved tags, and a second run finishes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.memory import Call
from support.runs import A, B, Run, World, failing

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.report import results

NAMES = ("one", "two")
SHARED = ("latest", "sprint3")
CASES = pytest.mark.parametrize("by_digest", [False, True])


def start(world: World, **options: object) -> Run:
    return world.run(B, milestone="sprint3", **options)  # type: ignore[arg-type]


def each_failure(
    look: Callable[[World, Run, Failure], None], *, by_digest: bool, after: bool
) -> int:
    """Fail at every request in turn, before or after it takes effect."""
    position = 0
    while True:
        world = World(names=NAMES)
        world.run(A, milestone="sprint3").go()
        hook = failing(position)
        run = start(world, by_digest=by_digest, **{"after" if after else "before": hook})
        failure = run.failure()
        if failure is None:
            return position
        assert failure.kind is Kind.UNREACHABLE
        look(world, run, failure)
        position += 1


@CASES
@pytest.mark.parametrize("after", [False, True])
class TestAFailureAtAnyRequest:
    @pytest.mark.no_cover
    def test_moves_no_shared_tag_before_all_commit_tags_are_there(
        self, by_digest: bool, after: bool
    ) -> None:
        def look(world: World, run: Run, _: Failure) -> None:
            published = all(world.commit_at(f"commit-{B.short}", name) == B for name in NAMES)
            for tag in SHARED:
                for name in NAMES:
                    assert published or world.commit_at(tag, name) == A

        assert each_failure(look, by_digest=by_digest, after=after) > 25

    @pytest.mark.no_cover
    def test_is_finished_by_a_second_run(self, by_digest: bool, after: bool) -> None:
        def look(world: World, _: Run, __: Failure) -> None:
            commit_tags = {name: world.own(B, name) for name in NAMES}
            again = start(world, salt="again", by_digest=by_digest, attempt=2).go()
            for name in NAMES:
                assert {world.at(tag, name) for tag in SHARED} == {world.own(B, name)}
                assert world.own(B, name) == commit_tags[name] or commit_tags[name] is None
            if all(commit_tags.values()):
                assert again.reached == 0

        each_failure(look, by_digest=by_digest, after=after)

    @pytest.mark.no_cover
    def test_says_what_it_wrote_and_nothing_else(self, by_digest: bool, after: bool) -> None:
        def look(world: World, run: Run, _: Failure) -> None:
            if run.plan is None:
                return
            done, *rest, fix = results.standing(run.plan, run.outcomes, run.app.state).lines
            assert (
                fix == "What is published stays. Fix the cause, then run again: that does the rest."
            )
            doubt = next((each for each in rest if each.startswith("In doubt")), "")
            taken = next((each for each in rest if each.startswith("Written, not yet")), "")
            for name in NAMES:
                for tag in (f"commit-{B.short}", *SHARED):
                    reference = f"ada/{name}:{tag}"
                    written = world.commit_at(tag, name) == B
                    assert [reference in each for each in (done, *rest)].count(True) == 1
                    if reference not in doubt:
                        assert written == (reference in done or reference in taken)

        each_failure(look, by_digest=by_digest, after=after)


@pytest.mark.no_cover
@CASES
def test_a_write_without_an_answer_is_in_doubt(by_digest: bool) -> None:
    """The first write that each service sees, and that no answer came back to."""

    def look(world: World, run: Run, _: Failure) -> None:
        if not run.plan or run.registry.calls[-1].method not in ("push", "set_tag"):
            return
        subject = run.registry.calls[-1].subject
        told = results.standing(run.plan, run.outcomes, run.app.state).lines
        if "@" not in subject:  # A digest alone is no tag that anybody could see.
            assert f"In doubt, for it was not read back: {subject}." in told

    each_failure(look, by_digest=by_digest, after=True)


def test_a_write_is_never_repeated_for_a_tag_that_is_there() -> None:
    world = World(names=NAMES)
    start(world).go()
    seen: list[Call] = []
    start(world, before=seen.append).go()
    assert {each.method for each in seen} == {"resolve", "inspect", "tags"}
