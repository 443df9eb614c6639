from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.runs import SHOP, SOURCE, A, B, context, image, service

from feastflow_registry.config.settings import parse
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.plan import (
    BuildImage,
    CarryImage,
    Facts,
    MoveTag,
    Permission,
    Plan,
    PushImage,
    ReuseImage,
    Rule,
    Step,
)
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.run import LAPTOP, RefKind
from feastflow_registry.model.snapshot import Seen
from feastflow_registry.model.source import Source
from feastflow_registry.model.tag_names import INPUTS_LABEL
from feastflow_registry.tags.gate import permit
from feastflow_registry.tags.planner import labels, plan_build, plan_publish
from feastflow_registry.tags.rules import THERE

OWN = Tag(f"commit-{B.short}")
LATEST, SPRINT, FROZEN = Tag("latest"), Tag("sprint3"), Tag("frozen-sprint3")
NEW = Facts(None)


def plan(
    seen: Seen | None,
    *,
    ref: tuple[str, RefKind] = ("main", RefKind.BRANCH),
    attempt: int = 1,
    event: str = "push",
    **inputs: str,
) -> Plan:
    settings = parse(inputs)
    found = context(B, *ref, event=event, attempt=attempt)
    snapshot = {SHOP: seen} if seen else {}
    return plan_publish(settings, found, permit(settings, found), (SHOP,), snapshot)


def at(tag: Tag) -> Reference:
    return Reference(SHOP.repository, tag)


def shapes(found: Plan) -> list[tuple[str, str]]:
    """Each step by its kind and its tag."""
    return [
        (kind(each), each.reference.identifier if hasattr(each, "reference") else "")
        for each in found.steps
    ]


def kind(step: Step) -> str:
    """What is done; a tag may be left as it is."""
    return "keep" if isinstance(step, MoveTag) and step.keep else type(step).__name__


def test_a_first_publish() -> None:
    found = plan(Seen(None, {LATEST: Facts(image(A), Relation.AHEAD)}))
    assert found.steps == (
        replace(found.builds[0], service=SHOP, tags=(at(OWN), at(LATEST))),
        PushImage(SHOP, OWN),
        MoveTag(SHOP, LATEST, Rule.FORWARD, image(A).digest),
    )
    assert found.commit == B
    assert found.services == (SHOP,)
    assert found.of(SHOP) == found.steps
    assert found.of(service("other")) == ()


def test_a_published_commit_is_reused() -> None:
    found = plan(Seen(image(B), {LATEST: Facts(image(B), Relation.SAME)}))
    assert found.steps == (
        ReuseImage(SHOP, at(OWN), image(B)),
        MoveTag(SHOP, LATEST, Rule.FORWARD, image(B).digest, THERE),
    )
    assert (found.builds, found.every(PushImage)) == ((), ())


def test_unless_it_is_to_be_built_again() -> None:
    found = plan(Seen(image(B), {LATEST: Facts(image(B), Relation.SAME)}), reuse="never")
    assert shapes(found) == [
        ("BuildImage", ""),
        ("PushImage", str(OWN)),
        ("keep", "latest"),
    ]


def test_a_second_attempt_finishes_what_the_first_may_have_left() -> None:
    seen = Seen(image(B), {LATEST: Facts(image(B), Relation.SAME)})
    assert plan(seen, attempt=2).moves == (
        MoveTag(SHOP, LATEST, Rule.FORWARD, image(B).digest, THERE),
    )
    new = Seen(None, {LATEST: Facts(image(A), Relation.BEHIND)})
    assert shapes(plan(new, attempt=2))[-1] == ("keep", "latest")


@pytest.mark.parametrize("event", ["push", "pull_request"])
def test_build_builds_whatever_the_run_may(event: str) -> None:
    found = plan(None, command="build", event=event)
    assert shapes(found) == [("BuildImage", "")]
    assert found.permission == Permission(
        False, False, "the command build pushes nothing", fix="The command publish does."
    )


@pytest.mark.parametrize(
    ("event", "inputs", "expected"),
    [
        (LAPTOP, {"milestone": "sprint3"}, [OWN, SPRINT, LATEST]),
        (LAPTOP, {}, [OWN, LATEST]),
        (LAPTOP, {"latest": "never", "extra-tags": "edge"}, [OWN, Tag("edge")]),
        (LAPTOP, {"milestone": "sprint3", "shared-tags": "false"}, [OWN]),
        ("push", {"milestone": "sprint3"}, [OWN, SPRINT, LATEST]),
        # On a runner that others use, nobody's pull request is called latest.
        ("pull_request", {"milestone": "sprint3"}, [OWN]),
    ],
)
def test_the_names_that_build_gives(
    event: str, inputs: dict[str, Any], expected: list[Tag]
) -> None:
    """By hand all of them, as FeastFlow's build-and-tag.sh did, whatever a publish could move."""
    [build] = plan(None, event=event, command="build", **inputs).builds
    assert build.tags == tuple(map(at, expected))
    if event == LAPTOP:
        [published] = plan(Seen(), event=event, command="publish", **inputs).builds
        assert published.tags == (at(OWN),)


def test_a_run_that_may_not_push_builds_under_its_commit_tag_alone() -> None:
    found = plan(None, event="pull_request")
    assert shapes(found) == [("BuildImage", "")]
    assert found.builds[0].tags == (at(OWN),)
    assert not found.permission.push
    assert plan(None, event="pull_request", command="push").steps == ()


@pytest.mark.parametrize("matrix", ["services", "platforms"])
def test_nor_is_the_job_that_puts_images_together_one_of_a_platform(matrix: str) -> None:
    settings, run = parse({"matrix": matrix}), context(B, event="pull_request")
    both = replace(SHOP, platforms=("linux/amd64", "linux/arm64"))
    found = plan_publish(settings, run, permit(settings, run), (both,), {})
    assert found.builds[0].tags == (at(OWN),)
    assert bool(found.runners) == (matrix == "platforms")


def test_push_builds_nothing() -> None:
    assert shapes(plan(Seen(None, {LATEST: NEW}), command="push")) == [
        ("PushImage", str(OWN)),
        ("MoveTag", "latest"),
    ]
    assert shapes(plan(Seen(image(B), {LATEST: NEW}), command="push"))[0] == (
        "ReuseImage",
        str(OWN),
    )


def test_a_tag_that_is_kept_says_why() -> None:
    found = plan(Seen(None, {LATEST: Facts(image(A), Relation.BEHIND)}))
    assert found.steps[-1] == MoveTag(
        SHOP,
        LATEST,
        Rule.FORWARD,
        image(A).digest,
        f"commit {A.short} is there, which is newer than {B.short}",
    )


def test_a_withdrawn_commit_says_so_where_there_is_no_tag_yet() -> None:
    found = plan(Seen(image(B), {LATEST: Facts(None, withdrawn=True)}))
    why = f"{B.short} was withdrawn by a rollback"
    assert found.steps[-1] == MoveTag(SHOP, LATEST, Rule.FORWARD, None, why)


class TestATagThatMayNotMove:
    """It keeps nothing else from being published, and is told in the end."""

    def test_latest_of_another_history(self) -> None:
        found = plan(Seen(None, {LATEST: Facts(image(A), Relation.DIVERGED)}))
        assert found.every(PushImage)
        [step] = found.moves
        assert "has diverged" in step.keep
        assert step.conflict
        assert step.conflict.kind is Kind.CONFLICT

    def test_one_that_cannot_become_final_is_not_frozen(self) -> None:
        seen = Seen(None, {SPRINT: Facts(image(A), Relation.DIVERGED)})
        found = plan(seen, ref=("sprint3", RefKind.TAG), milestone="sprint3")
        assert [step.tag for step in found.moves] == [SPRINT]


class TestMilestones:
    TAGGED = ("sprint3", RefKind.TAG)

    def test_a_git_tags_publish_freezes_it(self) -> None:
        found = plan(Seen(None, {SPRINT: NEW}), ref=self.TAGGED, milestone="sprint3")
        assert found.moves == (
            MoveTag(SHOP, SPRINT, Rule.FINAL, None),
            MoveTag(SHOP, FROZEN, Rule.FORCE, None),
        )

    def test_one_that_is_there_is_frozen_all_the_same(self) -> None:
        seen = Seen(image(B), {SPRINT: Facts(image(B), Relation.SAME)})
        found = plan(seen, ref=self.TAGGED, milestone="sprint3")
        assert shapes(found)[1:] == [("keep", "sprint3"), ("MoveTag", "frozen-sprint3")]

    def test_a_frozen_one_is_not_frozen_again(self) -> None:
        seen = Seen(image(B), {SPRINT: Facts(image(B), Relation.SAME, frozen=True)})
        assert shapes(plan(seen, ref=self.TAGGED, milestone="sprint3"))[1:] == [("keep", "sprint3")]

    def test_a_withdrawn_commit_freezes_nothing(self) -> None:
        seen = Seen(image(B), {SPRINT: Facts(image(A), Relation.AHEAD, withdrawn=True)})
        assert shapes(plan(seen, ref=self.TAGGED, milestone="sprint3"))[1:] == [("keep", "sprint3")]

    @pytest.mark.parametrize("milestone", ["", "sprint4"])
    def test_another_git_tag_is_not_marked(self, milestone: str) -> None:
        found = plan(Seen(None, {SPRINT: NEW}), ref=self.TAGGED, milestone=milestone)
        assert shapes(found)[2:] == [("MoveTag", "sprint3")]


def test_all_images_come_before_all_tags() -> None:
    settings = parse({})
    two = (service("one"), service("two"))
    seen = Seen(None, {LATEST: NEW})
    snapshot = dict.fromkeys(two, seen)
    found = plan_publish(settings, context(), Permission(True, True, ""), two, snapshot)
    assert [type(each) for each in found.steps] == [
        *[BuildImage, PushImage] * 2,
        *[MoveTag] * 2,
    ]
    assert found.services == two


PREFIX = "org.opencontainers.image."


class TestLabels:
    @pytest.mark.parametrize(
        ("ref", "inputs", "version"),
        [
            (("main", RefKind.BRANCH), {}, f"commit-{B.short}"),
            (("main", RefKind.BRANCH), {"sha-length": "9"}, f"commit-{B.sha[:9]}"),
            (("main", RefKind.BRANCH), {"milestone": "sprint3"}, "sprint3"),
            (("v1.2.0", RefKind.TAG), {"milestone": "sprint3"}, "v1.2.0"),
        ],
    )
    def test_what_they_say(
        self, ref: tuple[str, RefKind], inputs: dict[str, str], version: str
    ) -> None:
        assert dict(labels(parse(inputs), context(B, *ref), SHOP)) == {
            f"{PREFIX}title": "shop",
            f"{PREFIX}version": version,
            f"{PREFIX}created": "2025-03-04T05:06:07Z",
            f"{PREFIX}url": SOURCE,
            f"{PREFIX}revision": B.sha,
            f"{PREFIX}source": SOURCE,
        }

    def test_the_users_own_win_but_for_those_that_prove_the_origin(self) -> None:
        given = (("team", "a"), (f"{PREFIX}title", "My"), (f"{PREFIX}revision", "x"))
        found = dict(labels(parse({}), context(B), replace(SHOP, labels=given)))
        assert (found["team"], found[f"{PREFIX}title"]) == ("a", "My")
        assert found[f"{PREFIX}revision"] == B.sha

    def test_what_is_not_known_is_left_out(self) -> None:
        found = dict(
            labels(parse({}), replace(context(B), source=Source.behind(["/srv/git/shop"])), SHOP)
        )
        assert not found.keys() & {f"{PREFIX}url", f"{PREFIX}source"}


class TestHowItIsBuilt:
    @staticmethod
    def build(seen: Seen | None = None, event: str = "push", **inputs: Any) -> BuildImage:
        (found,) = plan(seen or Seen(None, {LATEST: NEW}), event=event, **inputs).builds
        return found

    def test_the_inputs_are_a_label(self) -> None:
        found = self.build(Seen(None, {LATEST: NEW}, inputs="sha256:1", why="it changed"))
        assert dict(found.labels)[INPUTS_LABEL] == "sha256:1"
        assert found.why == "it changed"
        assert INPUTS_LABEL not in dict(self.build().labels)

    def test_a_time_only_where_it_is_asked_for(self) -> None:
        assert self.build().epoch is None
        assert self.build(reproducible="true").epoch == int(context(B).committed.timestamp())

    def test_the_labels_of_oci_are_its_annotations(self) -> None:
        found = self.build(Seen(None, {LATEST: NEW}, inputs="sha256:1"))
        said = {each.key: each.value for each in found.annotations if each.level == "manifest"}
        assert said == {key: text for key, text in found.labels if key != INPUTS_LABEL}
        assert said[f"{PREFIX}created"] == "2025-03-04T05:06:07Z", "the commit's time"
        assert len(said) == len(found.annotations)
        attested = self.build(attest="true").annotations
        assert {each.level for each in attested} == {"manifest", "index"}

    def test_attestations(self) -> None:
        assert self.build(attest="true").attest == ("type=provenance,mode=min", "type=sbom")

    def test_a_cache_is_written_only_where_images_are(self) -> None:
        source = "type=registry,ref=docker.io/ada/shop:buildcache"
        found = self.build(cache="registry")
        assert found.cache_from == (source,)
        assert found.cache_to == (f"{source},mode=max,ignore-error=true",)
        for reading in (
            self.build(event="pull_request", cache="registry"),
            self.build(command="build", cache="registry"),
        ):
            assert (reading.cache_from, reading.cache_to) == ((source,), ())

    @pytest.mark.parametrize("given", [{"event": "pull_request"}, {"command": "build"}])
    def test_what_is_not_written_is_said(self, given: dict[str, Any]) -> None:
        seen = Seen(None, {LATEST: NEW})
        assert "Caches are only read" in str(plan(seen, cache="registry", **given).left_out)
        silents: list[dict[str, Any]] = [{}, {"cache_from": "a/b"}, {"cache": "none"}]
        for silent in silents:
            assert plan(seen, **silent, **given).left_out == ()
        assert plan(seen, cache="registry").left_out == ()

    def test_what_it_is_built_from(self) -> None:
        base = service("base")
        one = replace(SHOP, contexts=(("base", "service:base"),))
        settings, run = parse({}), context(B)
        permission = permit(settings, run)
        snapshot = {one: Seen(None, {LATEST: NEW})}
        found = plan_publish(settings, run, permission, (one,), snapshot, (one, base))
        assert [each.needs for each in found.builds] == [(base,)]
        assert found.services == (one,)

    def test_an_unchanged_image_is_carried_by_publish_alone(self) -> None:
        seen = Seen(None, {LATEST: NEW}, unchanged=image(A))
        found = plan(seen)
        assert [type(each) for each in found.steps] == [CarryImage, MoveTag]
        there = Seen(None, {LATEST: Facts(image(A), Relation.AHEAD)}, unchanged=image(A))
        assert [each.keep for each in plan(there).moves] == [THERE]
        assert [type(each) for each in plan(seen, command="push").steps] == [PushImage, MoveTag]

    def test_base_images_are_looked_up_again_where_nothing_is_reused(self) -> None:
        assert self.build(Seen(None, {LATEST: NEW}), reuse="never").pull
        assert not self.build().pull
        run = context(B)
        assert plan_build(parse({}), run, replace(SHOP, pull=True), {}, write=True).pull
