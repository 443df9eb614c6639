"""The tag table: which tags a commit deserves."""

from __future__ import annotations

import pytest
from support.failures import fails
from support.runs import A, context

from feastflow_registry.config.settings import parse
from feastflow_registry.model.plan import Rule
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import LAPTOP, RefKind
from feastflow_registry.model.tag_names import CommitTags, frozen_marker
from feastflow_registry.tags.gate import expand, permit, shared_tags

MAIN = (RefKind.BRANCH, "main")
RELEASE = (RefKind.BRANCH, "release/1.0")
EVERY = "edge, {version}, {major}, {major}.{minor}, {branch}, nightly-{date}"


def deserved(
    kind: RefKind, name: str, inputs: dict[str, str], *, event: str = "push", on_main: bool = False
) -> dict[str, Rule]:
    settings = parse({"branches": "main,release/**", **inputs})
    found = context(ref=name, kind=kind, event=event, on_remote_main=on_main)
    return {str(t.tag): t.rule for t in shared_tags(settings, found, permit(settings, found))}


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
                "main": Rule.FORWARD,
                "nightly-20250304": Rule.DATED,
                "latest": Rule.FORWARD,
            },
        ),
        # An extra tag cannot loosen the rule of a tag that has one.
        (MAIN, {"milestone": "s", "extra-tags": "s", "latest": "never"}, {"s": Rule.MILESTONE}),
        (RELEASE, {"milestone": "sprint3", "latest": "force"}, {}),
        (RELEASE, {"extra-tags": EVERY}, {"release-1.0": Rule.FORWARD}),
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
                "1.2.3": Rule.FORWARD,
                "1": Rule.FORWARD,
                "1.2": Rule.FORWARD,
                "nightly-20250304": Rule.DATED,
            },
        ),
        (
            (RefKind.TAG, "v1.2.3-rc.1"),
            {"extra-tags": "{version},{major},{major}.{minor}"},
            {"v1.2.3-rc.1": Rule.GIT_TAG, "1.2.3-rc.1": Rule.FORWARD},
        ),
        (
            (RefKind.TAG, "2.0"),
            {"extra-tags": "{version},v{major}"},
            {"2.0": Rule.GIT_TAG, "v2": Rule.FORWARD},
        ),
        ((RefKind.TAG, "v01.2.3"), {"extra-tags": "{version}"}, {"v01.2.3": Rule.GIT_TAG}),
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
            {"s": Rule.MILESTONE, "topic": Rule.FORWARD, "edge": Rule.FORWARD}
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
    ("name", "words"),
    [
        ("release/1.0", ["not a valid image tag", '"release-1.0"']),
        ("größe", ['"gr-e"']),
        ("latest", ['"latest" is reserved']),
        ("commit-1234567", ["reserved"]),
        ("v1+build", ['"v1-build"']),
    ],
)
def test_a_git_tag_that_cannot_be_an_image_tag(name: str, words: list[str]) -> None:
    with fails(*words):
        deserved(RefKind.TAG, name, {"git-tags": "**"})


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
