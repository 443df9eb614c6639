"""`reuse: unchanged`: what is carried forward from an ancestor, and what never is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.memory import Call, digest_of
from support.runs import SHOP, TWIN, A, B, C, D, Run, World, at_call, image

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import BuildImage, Reuse
from feastflow_registry.model.references import Commit, Tag


def world(**shop: str) -> World:
    """A world where the inputs of `shop` are the given text at each commit, such as `a="1"`."""
    commits = {"a": A, "b": B, "c": C, "d": D}
    return World(inputs={(commits[name], "shop"): text for name, text in shop.items()})


def publish(on: World, at: Commit, **options: object) -> Run:
    return on.run(at, reuse="unchanged", **options).go()  # type: ignore[arg-type]


def why(run: Run) -> str:
    assert run.plan
    (step,) = (each for each in run.plan.steps if isinstance(each, BuildImage))
    return step.why


def test_the_same_inputs_are_carried_forward() -> None:
    on = world(a="1", b="1")
    publish(on, A)
    writes = len(on.store.writes)
    run = publish(on, B)
    assert run.actions == [("carried", f"commit-{B.short}"), ("kept", "latest")]
    assert run.outcomes[0].note == f"unchanged since {A.short}"
    assert on.own(B) == on.own(A) == on.at("latest")
    assert run.reached == 0
    assert len(on.store.writes) == writes + 1


def test_other_inputs_are_built() -> None:
    on = world(a="1", b="2")
    publish(on, A)
    run = publish(on, B)
    assert run.builder.sessions == [("shop",)]
    assert why(run) == f"it changed since {A.short}"
    assert on.commit_at("latest") == B


@pytest.mark.parametrize("reuse", ["commit", "never"])
def test_only_where_it_is_asked_for(reuse: str) -> None:
    on = world(a="1", b="1")
    publish(on, A)
    run = on.run(B, reuse=reuse).go()
    assert run.builder.sessions
    assert why(run) == ""


def test_an_image_published_without_its_inputs_is_not_carried() -> None:
    on = world(a="1", b="1")
    on.publish(A)
    assert why(publish(on, B)) == f"it changed since {A.short}"


def test_a_rebuild_on_purpose_can_be_carried_later() -> None:
    on = world(a="1", b="1")
    on.publish(A, reuse="never")
    assert publish(on, B).actions[0][0] == "carried"


def test_nothing_is_published_yet() -> None:
    run = publish(world(b="1"), B)
    assert why(run) == "no ancestor is published"


def test_a_commit_without_ancestors() -> None:
    run = publish(world(a="1"), A)
    assert why(run) == "no ancestor is published"


def test_commits_that_were_not_published_are_passed_over() -> None:
    on = world(a="1", d="1")
    publish(on, A)
    run = publish(on, D)
    assert run.actions[0] == ("carried", f"commit-{D.short}")


def test_an_older_ancestor_is_not_returned_to() -> None:
    on = world(a="1", b="2", c="1")
    publish(on, A)
    publish(on, B)
    run = publish(on, C)
    assert why(run) == f"it changed since {B.short}"
    assert on.commit_at("latest") == C


def test_again_and_again() -> None:
    on = world(a="1", b="1", c="1", d="2")
    for each in (A, B, C):
        publish(on, each)
    assert on.own(C) == on.own(A)
    run = publish(on, D)
    assert why(run) == f"it changed since {C.short}"
    assert on.commit_at("latest") == D


@pytest.mark.parametrize("reuse", ["commit", "unchanged", "never"])
def test_what_was_carried_is_this_commits_image(reuse: str) -> None:
    on = world(a="1", b="1")
    publish(on, A)
    publish(on, B)
    before = dict(on.store.tagged)
    on.run(B, reuse=reuse).go()
    assert on.store.tagged == before


def test_a_re_run_of_what_was_carried_costs_nothing() -> None:
    on = world(a="1", b="1")
    on.history.branches["main"] = B
    publish(on, A)
    publish(on, B)
    run = publish(on, B)
    assert [each for each, _ in run.actions] == ["reused", "kept"]
    assert run.registry.counts == {"resolve": 2, "inspect": 1}


@pytest.mark.parametrize("inputs", ["2", ""])
def test_what_was_carried_is_believed_by_a_machine_that_sums_up_otherwise(inputs: str) -> None:
    on = world(a="1", b="1")
    publish(on, A)
    publish(on, B)
    on.inputs[B, "shop"] = inputs
    assert on.run(B).go().actions[0][0] == "reused"


@pytest.mark.parametrize("reuse", ["commit", "unchanged"])
def test_what_cannot_be_known_is_built(reuse: str) -> None:
    on = world(a="1", b="")
    on.publish(A, reuse=reuse)
    run = publish(on, B)
    assert run.builder.sessions
    assert why(run) == ""


@pytest.mark.parametrize(
    "other",
    [
        image(A, source="https://github.com/somebody/else"),
        image(None),
        image(D),
    ],
)
def test_an_ancestors_tag_that_holds_something_else(other: Published) -> None:
    on = world(b="1")
    on.put(replace(other, inputs="1"), f"commit-{A.short}")
    assert why(publish(on, B)) == f"it changed since {A.short}"


def withdraw(on: World, marked: Commit) -> None:
    """What a rollback leaves: the marker holds the bad image, and `latest` the first one."""
    digest, first = on.own(marked), on.own(A)
    assert digest
    assert first
    on.store.tagged[SHOP.repository, Tag(f"withdrawn-{marked.short}")] = digest
    on.store.tagged[SHOP.repository, Tag("latest")] = first


@pytest.mark.parametrize("marked", [A, B, C])
def test_what_was_withdrawn_is_not_carried(marked: Commit) -> None:
    on = world(a="1", b="1", c="1", d="1")
    for each in (A, B, C):
        publish(on, each)
    withdraw(on, marked)
    run = publish(on, D)
    assert why(run) == f"the image of {C.short} was withdrawn"
    [(kind, said)] = run.app.log.lines
    assert kind == "warning"
    assert said.startswith(f"shop is made from the same files as the image of {C.short}, which was")


@pytest.mark.parametrize("marked", [B, C])
@pytest.mark.parametrize("again", [A, C])
def test_what_was_withdrawn_does_not_come_back_under_another_name(
    marked: Commit, again: Commit
) -> None:
    on = world(a="0", b="1", c="1")
    for each in (A, B, C):
        publish(on, each)
    assert on.own(C) == on.own(B)
    withdraw(on, marked)
    publish(on, again, attempt=2)
    assert on.at("latest") == on.own(A)


@pytest.mark.parametrize("reuse", Reuse)
def test_a_twins_image_is_not_carried(reuse: Reuse) -> None:
    """Of two commits with the same first digits, one's tag is not the other's."""
    on = world(b="1")
    on.put(replace(image(TWIN), inputs="1"), f"commit-{B.short}")
    on.history.parents[TWIN] = ()
    on.history.parents[B] = (TWIN,)
    failure = on.run(B, reuse=reuse.value).failure()
    assert failure
    assert 'raise the input "sha-length"' in str(failure)


def test_an_image_of_another_repository_is_not_carried() -> None:
    on = world(b="1")
    other = image(A, source="https://github.com/somebody/else")
    on.put(replace(other, inputs="1"), f"commit-{B.short}")
    failure = on.run(B, reuse="unchanged").failure()
    assert failure
    assert failure.kind is Kind.CONFLICT


def test_a_tag_moves_to_what_was_carried() -> None:
    on = world(a="1", b="1")
    publish(on, A)
    run = publish(on, B, milestone="sprint3")
    assert on.at("sprint3") == on.own(A)
    assert run.actions[1:] == [("created", "sprint3"), ("kept", "latest")]


def test_latest_is_not_taken_back_from_a_carried_commit() -> None:
    """B was in flight while C was carried forward from A: `latest` is C's, though it says A."""
    on = world(a="1", b="2", c="1")
    publish(on, A)
    publish(on, C)
    assert on.own(C) == on.own(A) == on.at("latest")
    run = publish(on, B)
    assert ("moved", "latest") not in run.actions
    kept = next(each for each in run.outcomes if each.reference.identifier == "latest")
    assert kept.note == f"it is newer commit {C.short}'s too"
    assert on.at("latest") == on.own(C)
    assert publish(on, B).actions[0][0] == "reused"
    assert on.at("latest") == on.own(C)


def test_a_newer_commit_that_was_carried_keeps_latest() -> None:
    """C is carried forward from A before B, which has been built, gets its tag."""
    on = world(a="1", b="2", c="1")
    publish(on, A)
    run = on.run(B, reuse="unchanged")

    def publish_meanwhile(call: Call) -> None:
        if call.method == "push":
            publish(on, C)

    run.registry.before = publish_meanwhile
    run.go()
    assert on.own(C) == on.own(A) != on.own(B)
    assert on.at("latest") == on.own(C)


@pytest.mark.parametrize("name", ["latest", "sprint3"])
def test_an_advancing_tag_is_not_taken_back(name: str) -> None:
    on = world(a="1", b="2", c="1")
    for each in (A, C, B):
        publish(on, each, milestone="sprint3")
    assert on.at(name) == on.own(C) != on.own(B)


def test_a_dated_tag_is_not_taken_back_from_a_carried_commit() -> None:
    on = world(a="1", b="2", c="1")
    for each in (A, C, B):
        publish(on, each, extra_tags="{date}")
    assert on.at("20250304") == on.own(C) != on.own(B)


def test_a_dated_tag_follows_no_newer_commit() -> None:
    on = world(a="1", b="2", c="3")
    publish(on, A, extra_tags="{date}")
    publish(on, C)
    run = publish(on, B, extra_tags="{date}")
    assert on.at("20250304") == on.own(B)
    assert ("moved", "20250304") in run.actions


@pytest.mark.parametrize("meanwhile", [False, True])
def test_force_takes_back_what_was_carried_to_a_newer_commit(meanwhile: bool) -> None:
    on = world(a="1", b="2", c="1")

    def others(_: Call) -> None:
        for each in (A, C):
            publish(on, each)

    def before(call: Call) -> None:
        if call.method == "push":
            others(call)

    if not meanwhile:
        others(Call(0, "", ""))
    publish(on, B, latest="force", before=before if meanwhile else None)
    assert on.at("latest") == on.own(B)


def test_a_git_tag_takes_no_other_tag_back() -> None:
    """No branch tells what is newer than its commit, and none is asked for it."""
    on = world(a="1", b="2", c="1")
    for each in (A, C):
        publish(on, each, extra_tags="edge")
    publish(on, B, git_tag="v1", extra_tags="edge")
    assert on.at("edge") == on.own(C)
    assert ("newer", B.sha, "") not in on.history.asked


@pytest.mark.parametrize("again", [False, True])
def test_a_git_tags_own_tags_are_not_taken_back(again: bool) -> None:
    """v1.2.2 merges v1.2.1's branch, and its service is as it was in v1.2.0."""
    on = world(a="1", b="2", c="1")
    on.history.parents = {A: (), B: (A,), C: (A, B), D: (C,)}

    def tagged(at: Commit, name: str) -> None:
        publish(on, at, git_tag=name, extra_tags="{major}.{minor}")

    tagged(A, "v1.2.0")
    if again:
        tagged(B, "v1.2.1")
    tagged(C, "v1.2.2")
    tagged(B, "v1.2.1")
    assert on.at("1.2") == on.own(C)


def test_a_carry_writes_nothing_where_head_has_moved() -> None:
    on = world(a="1", b="1")
    publish(on, A)
    run = on.run(B, reuse="unchanged")
    run.worktree.head = C
    failure = run.failure()
    assert failure
    assert failure.kind is Kind.INPUT
    assert on.own(B) is None


def test_somebody_publishes_the_commit_meanwhile() -> None:
    on = world(a="1", b="1")
    publish(on, A)
    rival = on.run(B, reuse="never", salt="rival")
    run = on.run(B, reuse="unchanged")
    run.registry.before = at_call(_first_write(on), rival.go)
    run.go()
    assert on.own(B) == digest_of(f"shop {B.sha} rival")
    assert on.at("latest") == on.own(B)
    assert run.actions[0][0] == "adopted"


def test_somebody_carries_the_same_image_meanwhile() -> None:
    on = world(a="1", b="1")
    publish(on, A)
    rival = on.run(B, reuse="unchanged")
    run = on.run(B, reuse="unchanged")
    run.registry.before = at_call(_first_write(on), rival.go)
    run.go()
    assert on.own(B) == on.own(A)
    assert (rival.actions[0][0], run.actions[0][0]) == ("carried", "adopted")
    assert run.outcomes[0].note == "it was published already, and a commit tag stays"


def _first_write(on: World) -> int:
    """The position of the look at the commit tag that comes before it is carried."""
    copy = world(a="1", b="1")
    publish(copy, A)
    run = publish(copy, B)
    return run.number_of("resolve", f"shop:commit-{B.short}", 1)


def test_the_labels_say_what_it_was_made_from() -> None:
    on = world(a="1")
    publish(on, A)
    digest = on.own(A)
    assert digest
    assert on.store.images[SHOP.repository, digest].inputs == "1"


def test_a_dated_tag_that_changes_meanwhile_is_not_taken_back() -> None:
    """C is carried forward from A after B has planned, and the day's tag was not there yet."""
    on = world(a="1", b="2", c="1")
    publish(on, A)
    run = on.run(B, reuse="unchanged", extra_tags="{date}")

    def publish_meanwhile(call: Call) -> None:
        if call.method == "push":
            publish(on, C, extra_tags="{date}")

    run.registry.before = publish_meanwhile
    run.go()
    assert on.at("20250304") == on.own(C) == on.own(A)


def test_a_tag_that_an_older_commit_takes_meanwhile_moves_on() -> None:
    """A is published after B has planned; no newer commit was carried forward to its image."""
    on = world(a="1", b="2")
    run = on.run(B, reuse="unchanged")

    def publish_meanwhile(call: Call) -> None:
        if call.method == "push":
            publish(on, A)

    run.registry.before = publish_meanwhile
    run.go()
    assert on.at("latest") == on.own(B) != on.own(A)
    assert run.outcomes[-1].note == ""
