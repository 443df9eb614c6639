"""The tag table: which tags a commit deserves."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import A, context

from feastflow_registry.config.settings import parse
from feastflow_registry.model.plan import Line, Rule
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import LAPTOP, RefKind
from feastflow_registry.model.tag_names import CommitTags, frozen_marker
from feastflow_registry.tags.gate import (
    expand,
    following,
    left_behind,
    left_out,
    line,
    makes_lines,
    permit,
    repointable,
    shared_tags,
)

AT_RELEASE = 'input "latest: release" moves it with the git tag of a release.'
MAIN = (RefKind.BRANCH, "main")
RELEASE = (RefKind.BRANCH, "release/1.0")
LATEST_RELEASE = {"latest": Rule.RELEASE}
EVERY = "edge, {version}, {major}, {major}.{minor}, {branch}, nightly-{date}"


def deserved(
    kind: RefKind, name: str, inputs: dict[str, str], *, event: str = "push", on_main: bool = False
) -> dict[str, Rule]:
    settings = parse({"branches": "main,release/**", **inputs})
    found = context(ref=name, kind=kind, event=event, on_remote_main=on_main, number="77")
    return {str(t.tag): t.rule for t in shared_tags(settings, found, permit(settings, found))}


def told(kind: RefKind, name: str, inputs: dict[str, str]) -> list[str]:
    settings = parse(inputs)
    run = context(ref=name, kind=kind, event="push")
    return list(left_out(settings, run, permit(settings, run)))


@pytest.mark.parametrize(
    ("ref", "inputs", "expected"),
    [
        (MAIN, {}, {"latest": Rule.FORWARD}),
        (MAIN, {"latest": "force"}, {"latest": Rule.FORCE}),
        (MAIN, {"latest": "never"}, {}),
        (MAIN, {"shared-tags": "false", "milestone": "sprint3", "extra-tags": EVERY}, {}),
        (MAIN, {"milestone": "sprint3"}, {"sprint3": Rule.MILESTONE, "latest": Rule.FORWARD}),
        (
            MAIN,
            {"extra-tags": EVERY},
            {
                "edge": Rule.FORWARD,
                "main": Rule.BRANCH,
                "nightly-20250304": Rule.ONE_RUN,
                "latest": Rule.FORWARD,
            },
        ),
        # An extra tag cannot loosen the rule of a tag that has one.
        (MAIN, {"milestone": "s", "extra-tags": "s", "latest": "never"}, {"s": Rule.MILESTONE}),
        # Nor is a milestone made by a template: it would go to and fro.
        (RELEASE, {"milestone": "release-1.0", "extra-tags": "{branch}"}, {}),
        (
            (RefKind.TAG, "v1.0.3"),
            {"milestone": "1.0", "extra-tags": "{major},{major}.{minor}"},
            {"v1.0.3": Rule.GIT_TAG, "1": Rule.RELEASE},
        ),
        ((RefKind.TAG, "v1.0"), {"milestone": "s", "extra-tags": "s"}, {"v1.0": Rule.GIT_TAG}),
        (RELEASE, {"milestone": "sprint3", "latest": "force"}, {}),
        (RELEASE, {"extra-tags": EVERY}, {"release-1.0": Rule.BRANCH}),
        (RELEASE, {"extra-tags": EVERY, "shared-tags": "false"}, {}),
        ((RefKind.BRANCH, "feature"), {"extra-tags": EVERY, "milestone": "s"}, {}),
        ((RefKind.PULL, "1/merge"), {"extra-tags": EVERY, "milestone": "s"}, {}),
        ((RefKind.TAG, "sprint3"), {}, {"sprint3": Rule.GIT_TAG}),
        ((RefKind.TAG, "sprint3"), {"milestone": "sprint3"}, {"sprint3": Rule.FINAL}),
        ((RefKind.TAG, "sprint3"), {"milestone": "sprint4"}, {"sprint3": Rule.GIT_TAG}),
        ((RefKind.TAG, "sprint3"), {"shared-tags": "false"}, {}),
        ((RefKind.TAG, "sprint3"), {"latest": "force"}, {"sprint3": Rule.GIT_TAG}),
        (
            (RefKind.TAG, "v1.2.3"),
            {"extra-tags": EVERY},
            {
                "v1.2.3": Rule.GIT_TAG,
                "edge": Rule.FORWARD,
                "1.2.3": Rule.RELEASE,
                "1": Rule.RELEASE,
                "1.2": Rule.RELEASE,
                "nightly-20250304": Rule.ONE_RUN,
            },
        ),
        (
            (RefKind.TAG, "v1.2.3-rc.1"),
            {"extra-tags": "{version},{major},{major}.{minor}"},
            {"v1.2.3-rc.1": Rule.GIT_TAG, "1.2.3-rc.1": Rule.RELEASE},
        ),
        (
            (RefKind.TAG, "2.0"),
            {"extra-tags": "{version},v{major}"},
            {"2.0": Rule.GIT_TAG, "v2": Rule.RELEASE},
        ),
        (
            (RefKind.TAG, "2024.06.01"),
            {"extra-tags": "{version},{major}.{minor}"},
            {"2024.06.01": Rule.GIT_TAG, "2024.06": Rule.RELEASE},
        ),
        (
            (RefKind.TAG, "frontend/v1.2.0"),
            {"extra-tags": "{version}", "git-tags": "frontend/v*", "latest": "release"},
            {"frontend-v1.2.0": Rule.GIT_TAG, "1.2.0": Rule.RELEASE, "latest": Rule.RELEASE},
        ),
        ((RefKind.TAG, "v1.0"), {"latest": "release"}, {"v1.0": Rule.GIT_TAG, **LATEST_RELEASE}),
        ((RefKind.TAG, "v1.0-rc.1"), {"latest": "release"}, {"v1.0-rc.1": Rule.GIT_TAG}),
        ((RefKind.TAG, "sprint3"), {"latest": "release"}, {"sprint3": Rule.GIT_TAG}),
        (MAIN, {"latest": "release"}, {}),
        ((RefKind.TAG, "v1.0"), {"latest": "release", "shared-tags": "false"}, {}),
        ((RefKind.BRANCH, "v1.0"), {"latest": "release", "branches": "v1.0"}, {}),
        (
            (RefKind.BRANCH, "v1.0"),
            {"extra-tags": "{major}", "latest": "never", "branches": "v1.0"},
            {},
        ),
        (
            MAIN,
            {"extra-tags": "{sha},{timestamp},ci-{run}", "latest": "never"},
            {"000000b": Rule.ONE_RUN, "20250304050607": Rule.ONE_RUN, "ci-77": Rule.ONE_RUN},
        ),
    ],
)
def test_in_a_runner(
    ref: tuple[RefKind, str], inputs: dict[str, str], expected: dict[str, Rule]
) -> None:
    found = deserved(*ref, inputs)
    assert found == expected
    assert "latest" not in found or list(found)[-1] == "latest"


@pytest.mark.parametrize("event", ["pull_request", "workflow_run"])
def test_a_run_that_never_pushes_deserves_none(event: str) -> None:
    assert deserved(*MAIN, {"milestone": "s", "extra-tags": EVERY}, event=event) == {}


@pytest.mark.parametrize(
    ("on_main", "expected"),
    [
        (
            True,
            {"s": Rule.MILESTONE, "topic": Rule.BRANCH, "edge": Rule.FORWARD}
            | {"latest": Rule.FORWARD},
        ),
        # Nothing shared moves to a commit that is not on the remote's main branch.
        (False, {}),
    ],
)
def test_by_hand(on_main: bool, expected: dict[str, Rule]) -> None:
    inputs = {"milestone": "s", "extra-tags": "{branch},edge"}
    assert deserved(RefKind.BRANCH, "topic", inputs, event=LAPTOP, on_main=on_main) == expected


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("release/1.0", "release-1.0"),
        ("größe", "gr-e"),
        ("v1.2.3+build5", "v1.2.3-build5"),
        ("pkg@1.0.0", "pkg-1.0.0"),
        ("frontend/v1.2.0", "frontend-v1.2.0"),
    ],
)
def test_a_git_tag_that_is_no_image_tag_is_published_as_the_nearest(name: str, near: str) -> None:
    assert deserved(RefKind.TAG, name, {}) == {near: Rule.GIT_TAG}
    assert told(RefKind.TAG, name, {}) == [
        f"{name} is no name for a tag of an image, so it is published as {near}."
    ]


@pytest.mark.parametrize(
    ("kind", "name", "tags"),
    [
        # https://github.com/docker-archive/github-actions/issues/19
        (RefKind.BRANCH, "initial-home=page", {"initial-home-page", "initial-home-page-000000b"}),
        # https://github.com/docker/metadata-action/issues/29
        (RefKind.BRANCH, "feature-#6-quiz", {"feature--6-quiz", "feature--6-quiz-000000b"}),
        # https://github.com/Bitsea/Occtet-Curator/issues/64: a tag that began with its hyphen
        (RefKind.TAG, "v1.0", {"v1.0"}),
    ],
)
def test_the_refs_of_others(kind: RefKind, name: str, tags: set[str]) -> None:
    inputs = {"extra-tags": "{branch},{branch}-{sha}", "branches": "main,*"}
    assert deserved(kind, name, inputs).keys() == tags


@pytest.mark.parametrize("name", ["latest", "commit-1234567", "commit/1234567"])
def test_a_git_tag_cannot_make_a_reserved_tag(name: str) -> None:
    with fails("reserved"):
        deserved(RefKind.TAG, name, {})


@pytest.mark.parametrize(
    ("ref", "inputs", "words"),
    [
        (("tag", "v1.0"), {"extra-tags": "{version}", "latest": "release"}, []),
        (
            MAIN,
            {"extra-tags": "{version},{branch}", "latest": "release"},
            [f"latest stays where it is: {AT_RELEASE}"],
        ),
        (
            ("tag", "docker-v0.1.3"),
            {"extra-tags": "{version},{branch}"},
            [
                (
                    'input "extra-tags": {version} is left out, '
                    "as git tag docker-v0.1.3 has no {version}."
                )
            ],
        ),
        (
            ("tag", "v1.0-rc.1"),
            {"extra-tags": "{version},{major}"},
            ['input "extra-tags": {major} is left out, as git tag v1.0-rc.1 has no {major}.'],
        ),
        (
            ("tag", "v3.0.0-rc.1"),
            {"latest": "release"},
            ["latest stays where it is: v3.0.0-rc.1 is no release."],
        ),
        (("tag", "nightly"), {"latest": "release", "shared-tags": "false"}, []),
        (MAIN, {"latest": "release", "shared-tags": "false"}, []),
        (RELEASE, {"latest": "release", "branches": "main,release/**"}, []),
        (
            ("tag", "v1.0"),
            {"latest": "force"},
            ["latest stays where it is: force moves it on main alone, not on git tag v1.0."],
        ),
        (
            RELEASE,
            {"latest": "force", "branches": "main,release/**"},
            ["latest stays where it is: force moves it on main alone, not on branch release/1.0."],
        ),
        (RELEASE, {"latest": "force"}, []),
        (RELEASE, {"extra-tags": "ci-{run}", "branches": "main,release/**"}, []),
        (RELEASE, {"branches": "release/1.0"}, []),
        (("tag", "v1.0"), {"latest": "force", "shared-tags": "false"}, []),
        (MAIN, {"latest": "force"}, []),
        (
            ("tag", "v1.0.3"),
            {"milestone": "1.0", "extra-tags": "{major},{major}.{minor}"},
            ['input "extra-tags": {major}.{minor}: 1.0 is the milestone. Name them apart.'],
        ),
        (
            RELEASE,
            {"milestone": "release-1.0", "extra-tags": "{branch}", "branches": "main,release/**"},
            ['input "extra-tags": {branch}: release-1.0 is the milestone. Name them apart.'],
        ),
        (
            ("tag", "v1.0"),
            {"milestone": "edge", "extra-tags": "edge"},
            ['input "extra-tags": edge: edge is the milestone. Name them apart.'],
        ),
        # It is there by its own rule.
        (MAIN, {"milestone": "edge", "extra-tags": "edge"}, []),
        (("tag", "1.0"), {"milestone": "1.0", "extra-tags": "{version}"}, []),
    ],
)
def test_what_has_no_place_in_a_run_is_said(
    ref: tuple[RefKind | str, str], inputs: dict[str, str], words: list[str]
) -> None:
    kind = RefKind.TAG if ref[0] == "tag" else RefKind.BRANCH
    assert told(kind, ref[1], inputs) == words


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ({}, ["latest stays"]),
        ({"milestone": "sprint3"}, ["sprint3, latest stay where they are", "is not on the remote"]),
        ({"latest": "never", "extra-tags": "edge"}, ["edge stays where it is", "Push it, then"]),
        ({"latest": "force"}, ["latest stays where it is: 000000b is not on the remote's main."]),
        ({"latest": "never"}, []),
        ({"shared-tags": "false"}, []),
    ],
)
def test_by_hand_nothing_is_left_out_in_silence(inputs: dict[str, str], asked: list[str]) -> None:
    settings = parse(inputs)
    run = context(ref="main", event=LAPTOP)
    assert bool(left_behind(settings, run, permit(settings, run))) is bool(asked)
    said = " ".join(left_out(settings, run, permit(settings, run)))
    assert bool(said) is bool(asked)
    assert all(each in said for each in asked)
    there = context(ref="main", event=LAPTOP, on_remote_main=True)
    assert not list(left_out(settings, there, permit(settings, there)))


def test_the_releases_of_a_line() -> None:
    """Those that would make the same tag, the highest first."""
    names = ["v1.2.0", "v1.10.0", "1.10", "v2.0.0", "v2.1-rc.1", "v0.29", "sprint3", "1.1.1"]
    inputs = {"extra-tags": "{version},{major},{major}.{minor}", "latest": "release"}
    settings = parse(inputs)
    run = context(ref="v1.1.1", kind=RefKind.TAG)
    expected = {
        "latest": ("v2.0.0", "v1.10.0", "1.10", "v1.2.0", "1.1.1", "v0.29"),
        "1": ("v1.10.0", "1.10", "v1.2.0", "1.1.1"),
        "1.1": ("1.1.1",),
        "1.1.1": ("1.1.1",),
        "3": (),
    }
    found = {tag: line(settings, run, Tag(tag), names) for tag in expected}
    assert found == {tag: Line("v1.1.1", names) for tag, names in expected.items()}


def test_a_git_tag_that_would_make_no_tag_is_of_no_line() -> None:
    settings = parse({"extra-tags": "release-{version}"})
    run = context(ref="v1.0", kind=RefKind.TAG)
    names = ["v1.0", f"v1.0-{'x' * 122}"]
    assert line(settings, run, Tag("release-1.0"), names).names == ("v1.0",)


@pytest.mark.parametrize(
    ("tag", "inputs", "names", "published", "expected"),
    [
        # Of its own prefix, and of the pattern that has it.
        (
            "latest",
            {"latest": "release", "git-tags": "web/v*"},
            ["web/v1.0", "web/v1.1", "api/v9.0", "v7.0"],
            [],
            ("web/v1.1", "web/v1.0"),
        ),
        ("latest", {"latest": "release", "git-tags": "app-v*,*"}, ["app-9.0", "1.0"], [], ("1.0",)),
        (
            "latest",
            {"latest": "release", "git-tags": "web/*"},
            [],
            ["web-1.5", "1.6"],
            ("web/1.5",),
        ),
        # What is taken out is no release, nor the owner of a name.
        ("latest", {"latest": "release", "git-tags": "v*,!v0*"}, ["v0.1", "v1"], ["v0.2"], ()),
        ("1.0", {"extra-tags": "{version}", "git-tags": "v*"}, ["1.0", "v1.0"], [], ("v1.0",)),
        # What is made of no version is of no line.
        ("1", {"extra-tags": "{major},1"}, ["v1.0", "v2.0"], [], ("v1.0",)),
    ],
)
def test_which_git_tags_are_of_a_line(
    tag: str, inputs: dict[str, str], names: list[str], published: list[str], expected: object
) -> None:
    settings, run = parse(inputs), context(kind=RefKind.TAG)
    assert line(settings, run, Tag(tag), names, map(Tag, published)).names == expected


@pytest.mark.parametrize(
    ("templates", "expected"), [("edge,{major}", True), ("edge,{branch}", False), ("", False)]
)
def test_whether_tags_are_made_of_versions(templates: str, expected: bool) -> None:
    assert makes_lines(parse({"extra-tags": templates})) is expected


@pytest.mark.parametrize(
    ("inputs", "moved", "followed"),
    [
        ({}, ("latest",), {"latest"}),
        ({"milestone": "s", "latest": "force"}, ("latest", "s"), {"s", "latest"}),
        ({"extra-tags": "edge,{branch}", "latest": "never"}, (), {"edge"}),
        ({"latest": "release"}, (), set()),
        ({"milestone": "s", "shared-tags": "false"}, (), {"s", "latest"}),
    ],
)
def test_what_other_runs_of_a_commit_and_newer_commits_move(
    inputs: dict[str, str], moved: tuple[str, ...], followed: set[str]
) -> None:
    settings, run = parse(inputs), context(ref="main")
    assert tuple(map(str, repointable(settings, permit(settings, run)))) == moved
    assert set(map(str, following(settings))) == followed


def test_a_run_without_a_number_makes_no_tag_of_it() -> None:
    settings, run = parse({"extra-tags": "ci-{run}", "latest": "never"}), context(ref="main")
    assert shared_tags(settings, run, permit(settings, run)) == ()


@pytest.mark.parametrize("name", ["latest", "commit-abc"])
def test_a_template_cannot_make_a_reserved_tag(name: str) -> None:
    with fails("reserved"):
        deserved(RefKind.BRANCH, name, {"branches": f"main,{name}", "extra-tags": "{branch}"})


def test_templates() -> None:
    assert expand("{a}-{b}-{a}", {"a": r"\1", "b": "2"} | {"a": "1"}) == Tag("1-2-1")
    assert expand("{a}", {"b": "2"}) is None
    assert expand("plain", {}) == Tag("plain")
    with fails("not a valid image tag"):
        expand("{a}" * 2, {"a": "x" * 100})


@pytest.mark.parametrize(
    ("length", "tag"), [(7, "commit-000000a"), (12, "commit-000000a00000"), (40, f"commit-{A}")]
)
def test_the_commit_tag(length: int, tag: str) -> None:
    assert CommitTags(length).of(A) == Tag(tag)
    assert CommitTags(length).withdrawn(A) == Tag(tag.replace("commit", "withdrawn"))


def test_the_frozen_marker_is_always_a_tag() -> None:
    assert frozen_marker(Tag("sprint3")) == Tag("frozen-sprint3")
    longest = Tag("x" * 128)
    assert frozen_marker(longest) == Tag.parse(str(frozen_marker(longest)))
