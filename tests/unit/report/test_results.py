from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace

import pytest
from support.runs import SHOP, A, B, World, image, service

from feastflow_registry.model import wording
from feastflow_registry.model.plan import (
    Action,
    BuildImage,
    CarryImage,
    Command,
    KeepTag,
    MoveTag,
    Outcome,
    Permission,
    Plan,
    PushImage,
    ReuseImage,
    Rule,
    Step,
)
from feastflow_registry.model.references import Reference, RegistryHost, Repository, Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service
from feastflow_registry.report import results, text
from feastflow_registry.tags.rules import THERE

OWN_TAG, LATEST_TAG = Tag("commit-000000b"), Tag("latest")
OWN, LATEST = (Reference(SHOP.repository, each) for each in (OWN_TAG, LATEST_TAG))
DIGEST, OLD = image(B).digest, image(A).digest
BUILD = BuildImage(SHOP, (OWN, LATEST), ())
PUSH = PushImage(SHOP, OWN_TAG)
MOVE = MoveTag(SHOP, LATEST_TAG, Rule.FORWARD, OLD)
NEW = MoveTag(SHOP, LATEST_TAG, Rule.FORWARD, None)
KEEP = KeepTag(SHOP, LATEST_TAG, OLD, "it is newer")
REUSE = ReuseImage(SHOP, OWN, image(B))
BUILT = Outcome(SHOP, Action.BUILT, OWN, size=5, seconds=2.0)
PUSHED = Outcome(SHOP, Action.PUSHED, OWN, DIGEST, 2_500_000, 1.5)
MOVED = Outcome(SHOP, Action.MOVED, LATEST, DIGEST, seconds=0.5)
KEPT = Outcome(SHOP, Action.KEPT, LATEST, OLD, note="it is newer")


def plan(*steps: Step, push: bool = True, command: Command = Command.PUBLISH) -> Plan:
    return Plan(command, B, Permission(push, push, "push on branch main"), steps)


class TestResults:
    def test_a_publish(self) -> None:
        found = results.results(plan(BUILD, PUSH, MOVE), [BUILT, PUSHED, MOVED])
        assert found == (results.Result(SHOP, Action.BUILT, DIGEST, (OWN, LATEST), 2_500_000, 4.0),)
        assert found[0].image == f"ada/shop@{DIGEST}"

    @pytest.mark.parametrize(
        ("outcomes", "action", "tags"),
        [
            ([BUILT], Action.BUILT, ()),
            ([BUILT, PUSHED, KEPT], Action.BUILT, (OWN,)),
            ([replace(PUSHED, action=Action.REUSED), MOVED], Action.REUSED, (OWN, LATEST)),
            ([BUILT, replace(PUSHED, action=Action.ADOPTED)], Action.REUSED, (OWN,)),
            ([replace(PUSHED, action=Action.CARRIED)], Action.CARRIED, (OWN,)),
            (
                [replace(PUSHED, action=Action.CARRIED), replace(PUSHED, action=Action.ADOPTED)],
                Action.REUSED,
                (OWN,),
            ),
            # The last word on a tag counts: it was moved, and then on to a newer commit.
            ([BUILT, PUSHED, MOVED, replace(MOVED, digest=OLD)], Action.BUILT, (OWN,)),
            ([BUILT, PUSHED, replace(KEPT, digest=DIGEST)], Action.BUILT, (OWN, LATEST)),
        ],
    )
    def test_what_became_of_it(
        self, outcomes: list[Outcome], action: Action, tags: tuple[Reference, ...]
    ) -> None:
        (found,) = results.results(plan(BUILD), outcomes)
        assert (found.action, found.tags) == (action, tags)

    def test_nothing_yet(self) -> None:
        (found,) = results.results(plan(BUILD), [])
        assert (found.digest, found.tags, found.size, found.image) == (None, (), 0, "")

    def test_an_image_that_was_adopted_after_it_was_pushed(self) -> None:
        adopted = replace(PUSHED, action=Action.ADOPTED, digest=OLD)
        (found,) = results.results(plan(BUILD), [BUILT, PUSHED, adopted])
        assert (found.digest, found.tags) == (OLD, (OWN,))

    def test_of_several_registries_the_first_one_counts_where_it_has_something(self) -> None:
        there = Service("shop", Repository(RegistryHost("ghcr.io"), "ada/shop"))
        own = Reference(there.repository, OWN_TAG)
        copied = Outcome(there, Action.COPIED, own, OLD, 7, note="all of it was there")
        both = plan(BUILD, PUSH, replace(PUSH, service=there))
        for outcomes in ([BUILT, PUSHED, copied], [copied, BUILT, PUSHED]):
            (found,) = results.results(both, outcomes)
            assert (found.digest, found.size, found.note) == (DIGEST, 2_500_000, "")
        noted = replace(BUILT, service=there, size=0, note="cache: written")
        (found,) = results.results(both, [replace(BUILT, size=0), noted, copied])
        assert (found.digest, found.size, found.note) == (OLD, 7, "cache: written")

    def test_services_are_told_apart(self) -> None:
        other = service("other")
        found = results.results(plan(BUILD, replace(BUILD, service=other)), [BUILT, PUSHED])
        assert [(each.service, each.digest) for each in found] == [(SHOP, DIGEST), (other, None)]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_540_000, "2.5 MB"),
        (7 * 10**9, "7.0 GB"),
        (7 * 10**12, "7.0 TB"),
        (7 * 10**15, "7000.0 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert wording.size(count) == text


STEPS = [
    (
        BUILD,
        "build  ada/shop:commit-000000b from .",
        {"step": "build", "tags": ["commit-000000b", "latest"]},
    ),
    (PUSH, "push   ada/shop:commit-000000b", {"step": "push", "tag": "commit-000000b"}),
    (
        MOVE,
        f"tag    ada/shop:latest (from {OLD.short})",
        {"step": "tag", "tag": "latest", "replaces": str(OLD), "rule": "forward only"},
    ),
    (
        NEW,
        "tag    ada/shop:latest (new)",
        {"step": "tag", "tag": "latest", "replaces": None, "rule": "forward only"},
    ),
    (
        KEEP,
        "keep   ada/shop:latest: it is newer",
        {"step": "keep", "tag": "latest", "reason": "it is newer"},
    ),
    (
        REUSE,
        f"reuse  ada/shop:commit-000000b ({DIGEST.short}), published already",
        {"step": "reuse", "tag": "commit-000000b", "digest": str(DIGEST)},
    ),
    (
        CarryImage(SHOP, OWN_TAG, replace(REUSE.image, revision=A)),
        f"carry  ada/shop:commit-000000b ({DIGEST.short}), unchanged since {A.short}",
        {"step": "carry", "tag": "commit-000000b", "digest": str(DIGEST), "since": A.sha},
    ),
    (
        replace(BUILD, why="it changed since 000000a"),
        "build  ada/shop:commit-000000b from . (it changed since 000000a)",
        {
            "step": "build",
            "tags": ["commit-000000b", "latest"],
            "why": "it changed since 000000a",
        },
    ),
]


@pytest.mark.parametrize(("step", "line", "content"), STEPS)
def test_a_step_as_a_line_and_as_json(step: Step, line: str, content: dict[str, object]) -> None:
    head, shown = text.plan_lines(plan(step))
    assert shown == line
    assert head == f"commit {B.short} pushes: push on branch main"
    assert "ada" not in text.plan_json(plan(step)), "GitHub blanks a job output with a secret"
    assert json.loads(text.plan_json(plan(step))) == {
        "command": "publish",
        "commit": B.sha,
        "push": True,
        "reason": "push on branch main",
        "steps": [{"service": "shop", **content}],
    }


def test_a_plan_that_pushes_nothing_says_so_first() -> None:
    assert text.plan_lines(plan(push=False)) == [
        f"commit {B.short} pushes nothing: push on branch main"
    ]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (BUILT, ["built", str(OWN), "5 B", "2.0 s"]),
        (PUSHED, ["pushed", str(OWN), DIGEST.short, "2.5 MB", "1.5 s"]),
        (replace(MOVED, seconds=0.05), ["moved", "0.1 s"]),
        (replace(MOVED, seconds=0.04), ["moved", str(LATEST), DIGEST.short]),
        (KEPT, ["kept", str(LATEST), "(it is newer)"]),
    ],
)
def test_an_outcome_as_a_line(outcome: Outcome, words: list[str]) -> None:
    line = results.outcome_line(outcome)
    assert all(word in line for word in words)
    assert OLD.short not in line
    assert (" s" in line) == (outcome.seconds >= 0.05)


def standing(
    of: Plan,
    outcomes: list[Outcome],
    attempted: Collection[Reference] = (),
    answered: Collection[Reference] = (),
) -> list[str]:
    state = RunState(attempted={*attempted}, answered={*answered})
    return results.standing(of, outcomes, state).lines


class TestStanding:
    def test_says_what_was_written_and_what_was_not(self) -> None:
        assert standing(plan(BUILD, PUSH, MOVE), [BUILT, PUSHED], {OWN}) == [
            f"Written before the failure: {OWN}.",
            f"Not done: {LATEST}.",
            "What is published stays. Fix the cause, then run again: that does the rest.",
        ]

    def test_what_was_built_only_is_not_written(self) -> None:
        done, left, _ = standing(plan(BUILD, PUSH), [BUILT], ())
        assert done == "Written before the failure: nothing."
        assert left == f"Not done: {OWN}."

    def test_what_was_written_without_an_answer_is_in_doubt(self) -> None:
        assert standing(plan(PUSH, MOVE), [PUSHED], {OWN, LATEST}) == [
            f"Written before the failure: {OWN}.",
            f"In doubt, for it was not read back: {LATEST}.",
            "What is published stays. Fix the cause, then run again: that does the rest.",
        ]
        # Also what was in no plan: a tag that another run of this commit had moved.
        assert str(LATEST) in " ".join(standing(plan(REUSE), [], {LATEST}))

    def test_what_the_registry_has_taken_is_not_in_doubt(self) -> None:
        assert standing(plan(PUSH, MOVE), [], {OWN, LATEST}, {OWN}) == [
            "Written before the failure: nothing.",
            f"Written, not yet visible: {OWN}.",
            f"In doubt, for it was not read back: {LATEST}.",
            "What is published stays. Fix the cause, then run again: that does the rest.",
        ]
        assert not standing(plan(PUSH), [PUSHED], {OWN}, {OWN})[1].startswith("Written")

    def test_a_copy_is_named_by_its_digest_beside_the_tags(self) -> None:
        copied = replace(
            PUSHED, action=Action.COPIED, reference=Reference(OWN.repository, REUSE.image.digest)
        )
        done, *_ = standing(plan(PUSH, MOVE), [copied, PUSHED, MOVED], ())
        assert done.startswith(f"Written before the failure: {OWN}, {LATEST}")
        assert str(REUSE.image.digest) in done

    def test_what_was_kept_is_neither(self) -> None:
        assert str(LATEST) not in " ".join(standing(plan(PUSH, MOVE), [KEPT], ()))

    def test_is_silent_where_nothing_was_to_be_written(self) -> None:
        assert standing(plan(BUILD, push=False), [BUILT], ()) == []
        assert standing(plan(REUSE, KEEP), [], ()) == []

    def test_a_failure_at_the_very_end(self) -> None:
        done, again = standing(plan(PUSH, MOVE), [PUSHED, MOVED], {OWN, LATEST})
        assert str(LATEST) in done
        assert again.startswith("What is published stays")


class TestClosing:
    def test_published(self) -> None:
        found = plan(BUILD, PUSH, MOVE)
        assert results.closing(found, results.results(found, [BUILT, PUSHED, MOVED])) == [
            f"✅ shop: ada/shop@{DIGEST}",
            "   ada/shop:commit-000000b",
            "   ada/shop:latest",
            "🌐 https://hub.docker.com/r/ada/shop",
        ]

    def test_elsewhere_than_on_docker_hub_there_is_no_page(self) -> None:
        local = Service("shop", Repository(RegistryHost("localhost:5000"), "ada/shop"))
        outcome = replace(PUSHED, service=local, reference=Reference(local.repository, Tag("a")))
        found = plan(replace(PUSH, service=local))
        lines = results.closing(found, results.results(found, [outcome]))
        assert lines[1:] == ["   localhost:5000/ada/shop:a"]

    @pytest.mark.parametrize(
        ("command", "why"), [(Command.PUBLISH, ", push on branch main"), (Command.BUILD, "")]
    )
    def test_only_built(self, command: Command, why: str) -> None:
        found = plan(BUILD, push=False, command=command)
        assert results.closing(found, results.results(found, [BUILT])) == [f"✅ shop: built{why}"]

    def test_nothing(self) -> None:
        found = plan(PUSH)
        assert results.closing(found, results.results(found, [])) == []


class TestOutputs:
    @pytest.mark.parametrize("action", [Action.BUILT, Action.CARRIED])
    def test_a_note_of_the_image(self, action: Action) -> None:
        noted = replace(BUILT, action=action, note="cache: written")
        found = results.results(plan(BUILD, PUSH, MOVE), [noted, PUSHED, KEPT])
        assert [each.note for each in found] == ["cache: written"]
        outputs = results.outputs(plan(BUILD), found, pushed=True)
        assert json.loads(outputs["images"])["shop"]["note"] == "cache: written"

    def test_of_one_service(self) -> None:
        found = plan(BUILD, PUSH, MOVE)
        outputs = results.outputs(
            found, results.results(found, [BUILT, PUSHED, MOVED]), pushed=True
        )
        images = {
            "shop": {
                "repository": "ada/shop",
                "digest": str(DIGEST),
                "tags": ["commit-000000b", "latest"],
                "action": "built",
                "size": 2_500_000,
                "note": "",
                "also": {},
            }
        }
        assert outputs == {
            "pushed": "true",
            "reason": "push on branch main",
            "digest": str(DIGEST),
            "digests": json.dumps({"shop": str(DIGEST)}),
            "plan": text.plan_json(found),
            "matrix": '{"service": ["shop"]}',
            "image": f"ada/shop@{DIGEST}",
            "tags": "ada/shop:commit-000000b\nada/shop:latest",
            "images": json.dumps(images),
            "changed-files": "",
        }
        for name in ("pushed", "reason", "digest", "digests", "plan", "matrix"):
            assert "ada" not in outputs[name], "GitHub blanks a job output with the user name"

    def test_of_several_services(self) -> None:
        run = World(names=("one", "two")).run(B).go()
        assert run.plan
        outputs = results.outputs(run.plan, results.results(run.plan, run.outcomes), pushed=True)
        assert outputs["digest"] == outputs["image"] == ""
        assert list(json.loads(outputs["digests"])) == ["one", "two"]
        assert json.loads(outputs["matrix"]) == {"service": ["one", "two"]}
        assert outputs["tags"].count("\n") == 3

    def test_of_a_build_only(self) -> None:
        found = plan(BUILD, push=False)
        outputs = results.outputs(found, results.results(found, [BUILT]), pushed=False)
        assert (outputs["pushed"], outputs["digest"], outputs["digests"]) == ("false", "", "{}")
        assert (outputs["image"], outputs["tags"]) == ("", "")


def test_a_plan_is_one_line_for_what_is_alike() -> None:
    other = service("other")
    sprint = Tag("sprint3")
    elsewhere = replace(NEW, service=other)
    also = replace(BUILD, service=other, tags=(Reference(other.repository, Tag("commit-1")),))
    steps = (BUILD, PUSH, also, replace(NEW, tag=sprint), NEW, elsewhere)
    assert text.plan_lines(plan(*steps))[1:] == [
        "build  ada/shop:commit-000000b from .",
        "build  ada/other:commit-1 from .",
        "tag    ada/shop:sprint3, latest (new)",
        "tag    ada/other:latest (new)",
    ]


def test_several_services_are_closed_in_few_lines() -> None:
    outcomes = [BUILT, PUSHED, MOVED]
    made = [replace(each, service=service("other")) for each in outcomes]
    steps = (BUILD, replace(BUILD, service=service("other")))
    found = results.results(plan(*steps), [*outcomes, *made])
    lines = results.closing(plan(*steps), found)
    assert lines[1] == "   commit-000000b, latest"
    assert len([each for each in lines if each.startswith("✅")]) == 2
    there = Reference(Repository(RegistryHost("localhost:5000"), "ada/shop"), OWN_TAG)
    copied = [replace(each, tags=(there,)) for each in found]
    assert "localhost:5000/ada/shop: commit-000000b" in results.closing(plan(*steps), copied)[1]


def test_the_matrix_names_what_has_to_be_built() -> None:
    other = service("other")
    whole = plan(BUILD, replace(REUSE, service=other))
    outputs = results.outputs(whole, results.results(whole, []), pushed=False)
    assert json.loads(outputs["matrix"]) == {"service": ["shop"]}
    assert json.loads(outputs["images"])["shop"]["digest"] == ""


def test_what_a_failed_run_carried_and_did_not() -> None:
    carry = CarryImage(SHOP, OWN_TAG, REUSE.image)
    whole = plan(carry, MOVE)
    assert standing(whole, [replace(PUSHED, action=Action.CARRIED)], [])[:2] == [
        "Written before the failure: ada/shop:commit-000000b.",
        "Not done: ada/shop:latest.",
    ]
    assert standing(whole, [], [])[1] == ("Not done: ada/shop:commit-000000b, ada/shop:latest.")


def test_a_tag_that_holds_the_image_already_is_kept() -> None:
    held = replace(MOVE, keep=THERE)
    assert text.plan_lines(plan(held))[1:] == ["keep   ada/shop:latest: it is there already"]
    (step,) = json.loads(text.plan_json(plan(held)))["steps"]
    assert (step["step"], step["reason"]) == ("keep", "it is there already")
    assert standing(plan(held), [], []) == []
