"""Releases by git tag, on a real registry: where `latest`, `1` and `1.2` end, and what is said."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.machine import Machine, Ran
from support.registries import LocalRegistry
from support.soak import chosen, one_in, soak

TEMPLATES = "{version},{major},{major}.{minor}"
THREE = ("v1.18", "v1.19", "v3.0.0-rc.1")


def release(machine: Machine, name: str, sha: str, **inputs: Any) -> Ran:
    """Publish a commit by its git tag."""
    machine.project.git("checkout", "--quiet", "--detach", sha)
    ran = machine.call(machine.runner(ref=f"refs/tags/{name}", **inputs))
    machine.project.git("checkout", "--quiet", "main")
    return ran


def own(place: LocalRegistry, sha: str) -> str:
    return place.tags()[f"commit-{sha[:7]}"]


@soak
def test_a_hotfix_of_an_older_line(machine: Machine, place: LocalRegistry) -> None:
    """https://github.com/docker/metadata-action/issues/326"""
    project = machine.project
    first = project.head
    project.tag("v1.1.0")
    second = project.commit()
    project.tag("v1.2.0")
    for name, sha in (("v1.1.0", first), ("v1.2.0", second)):
        release(machine, name, sha, extra_tags=TEMPLATES).ended()
    project.git("checkout", "--quiet", "-b", "release/1.1", first)
    hotfix = project.commit({"fix": "1"})
    project.tag("v1.1.1")
    ran = release(machine, "v1.1.1", hotfix, extra_tags=TEMPLATES).ended()
    tags = place.tags()
    assert tags["v1.1.1"] == tags["1.1.1"] == tags["1.1"] == own(place, hotfix)
    assert tags["1"] == tags["1.2"] == own(place, second)
    assert ":1" in ran.log
    assert "v1.2.0 is a higher release" in ran.log
    assert "v1.2.0 is a higher release" in ran.summary


@pytest.mark.parametrize("order", one_in(6, map(" ".join, itertools.permutations(THREE))))
def test_latest_is_the_highest_release_in_every_order(
    machine: Machine, place: LocalRegistry, order: str
) -> None:
    """https://github.com/docker/metadata-action/issues/80"""
    shas = {}
    for name in THREE:
        shas[name] = machine.project.commit()
        machine.project.tag(name)
    for name in order.split():
        release(machine, name, shas[name], latest="release").ended()
    assert place.tags()["latest"] == own(place, shas["v1.19"])


def test_a_rollback_goes_to_the_release_before(machine: Machine, place: LocalRegistry) -> None:
    """Not to the commit of main that was published in between."""
    shas = {}
    for name in ("v1.0.0", "v2.0.0"):
        shas[name] = machine.project.commit()
        machine.project.tag(name)
        release(machine, name, shas[name], latest="release").ended()
        machine.project.commit()
        machine.call(machine.runner(latest="release")).ended()
    assert place.tags()["latest"] == own(place, shas["v2.0.0"])
    environ = machine.runner(event="workflow_dispatch", command="rollback", latest="release")
    machine.call(environ).ended()
    assert place.tags()["latest"] == own(place, shas["v1.0.0"])
    release(machine, "v2.0.0", shas["v2.0.0"], latest="release").ended()
    assert place.tags()["latest"] == own(place, shas["v1.0.0"]), "it was withdrawn"


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    chosen(
        [
            ("v1.2.3+build5", {"extra_tags": "{version}"}, {"v1.2.3-build5", "1.2.3"}),
            (
                "frontend/v1.2.0",
                {"git_tags": "frontend/v*", "extra_tags": "{version}"},
                {"frontend-v1.2.0", "1.2.0"},
            ),
            ("pkg@1.0.0", {}, {"pkg-1.0.0"}),
            ("release/2024.06", {}, {"release-2024.06"}),
            ("2024.06.01", {"extra_tags": "{major}.{minor}"}, {"2024.06.01", "2024.06"}),
            ("v" + "1" * 60 + ".0", {"extra_tags": "{major}"}, {"v" + "1" * 60 + ".0", "1" * 60}),
        ],
    ),
)
def test_a_git_tag_is_published_under_the_nearest_name(
    machine: Machine, place: LocalRegistry, name: str, inputs: dict[str, Any], expected: set[str]
) -> None:
    """https://github.com/docker/metadata-action/issues/384, …/56"""
    sha = machine.project.head
    machine.project.tag(name)
    ran = release(machine, name, sha, **inputs).ended()
    assert place.tags().keys() == {f"commit-{sha[:7]}", *expected}
    renamed = name not in place.tags()
    assert ("is no name for a tag of an image" in ran.log) is renamed
    assert ("is no name for a tag of an image" in ran.summary) is renamed


@pytest.mark.parametrize("name", chosen(["docker-v0.1.3", "v1." + "9" * 200]))
def test_a_template_without_a_value_is_told(
    machine: Machine, place: LocalRegistry, name: str
) -> None:
    """https://github.com/trycua/cua/issues/785; a number of 200 digits is no version's."""
    machine.project.tag(name)
    sha = machine.project.head
    ran = release(machine, name, sha, extra_tags="{version}", latest="release").ended()
    assert (
        f'input "extra-tags": {{version}} is left out, as git tag {name} has no {{version}}.'
        in ran.log
    )
    assert "has no {version}" in ran.summary
    assert place.tags().keys() == {f"commit-{sha[:7]}", name[:128]}


def test_a_date_is_a_version(machine: Machine, place: LocalRegistry) -> None:
    """https://github.com/CodesWhat/drydock/issues/202"""
    machine.project.tag("2024.06.01")
    sha = machine.project.head
    inputs = {"extra_tags": "r{version}", "latest": "release"}
    ran = release(machine, "2024.06.01", sha, **inputs).ended()
    assert place.tags().keys() == {f"commit-{sha[:7]}", "2024.06.01", "r2024.06.01", "latest"}
    assert "is left out" not in ran.log


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({"extra_tags": "commit-{version}"}, 'the tag "commit-0" is reserved'),
        ({"extra_tags": "frozen-{version}"}, "is reserved"),
        ({"extra_tags": "sha256-{sha}", "sha_length": "40"}, "is reserved"),
        ({"extra_tags": "{version}" * 26}, "is not a valid image tag"),
        ({"extra_tags": "+{version}"}, 'input "extra-tags"'),
        ({"extra_tags": "{versions}"}, 'input "extra-tags"'),
    ],
)
def test_a_template_that_gives_no_tag_or_one_of_ours(
    machine: Machine, place: LocalRegistry, inputs: dict[str, Any], word: str
) -> None:
    machine.project.tag("v1.0.0")
    [error] = release(machine, "v1.0.0", machine.project.head, **inputs).ended(2).errors
    assert word in error
    assert place.proxy.requests == ()


@soak
def test_two_git_tags_of_one_version(machine: Machine, place: LocalRegistry) -> None:
    """Nothing flips: the tag of a git tag's own name stays that one's."""
    first = machine.project.head
    machine.project.tag("v1.2")
    release(machine, "v1.2", first, extra_tags="{version}").ended()
    second = machine.project.commit()
    machine.project.tag("1.2.0")
    release(machine, "1.2.0", second, extra_tags="{version}").ended()
    tags = place.tags()
    assert (tags["v1.2"], tags["1.2"]) == (own(place, first), own(place, first))
    assert tags["1.2.0"] == own(place, second)
    machine.project.tag("1.2", force=True)
    ran = release(machine, "1.2", second).ended(6)
    assert "is never moved" in ran.errors[0]
    assert place.tags()["1.2"] == own(place, first)


@soak
def test_a_branch_is_followed_rebased_or_not(machine: Machine, place: LocalRegistry) -> None:
    project = machine.project
    project.git("checkout", "--quiet", "-b", "topic")
    inputs: dict[str, Any] = {"branches": "main,topic", "extra_tags": "{branch}"}
    project.commit({"a": "1"})
    machine.call(machine.runner(ref="refs/heads/topic", **inputs)).ended()
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.commit({"a": "2"})
    machine.call(machine.runner(ref="refs/heads/topic", **inputs)).ended()
    assert place.tags()["topic"] == own(place, project.head)
