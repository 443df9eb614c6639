"""Where shared tags end: forward only, frozen milestones, rewritten and shallow histories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.machine import Machine, Ran
from support.registries import LocalRegistry
from support.servers.fault_proxy import FaultProxy
from support.servers.github_api import GitHubApi
from support.soak import chosen, soak


def _publish(machine: Machine, sha: str = "", **facts: Any) -> Ran:
    """Publish a commit as a runner of its own would: checked out, in a process's place."""
    machine.project.git("checkout", "--quiet", "--detach", sha or "main")
    ran = machine.call(machine.runner(**facts))
    machine.project.git("checkout", "--quiet", "main")
    return ran


def _own(place: LocalRegistry, sha: str) -> str:
    return place.tags()[f"commit-{sha[:7]}"]


def test_a_git_tag_sets_the_milestone_and_freezes_it(
    machine: Machine, place: LocalRegistry
) -> None:
    project = machine.project
    _publish(machine, milestone="sprint3").ended()
    one, two = project.head, project.commit()
    assert place.tags()["sprint3"] == _own(place, one)

    project.tag("sprint3", annotated=True)
    _publish(machine, milestone="sprint3").ended()
    assert place.tags()["sprint3"] == _own(place, two), "the git tag is on this very commit"

    _publish(machine, ref="refs/tags/sprint3", milestone="sprint3").ended()
    three = project.commit()
    ran = _publish(machine, milestone="sprint3").ended()
    assert place.tags()["latest"] == _own(place, three)
    assert place.tags()["sprint3"] == _own(place, two)
    assert "its git tag exists, so it is final" in ran.log

    project.git("push", "--quiet", "origin", ":refs/tags/sprint3")
    project.commit()
    ran = _publish(machine, milestone="sprint3").ended()
    assert place.tags()["sprint3"] == _own(place, two), "it stays final without its git tag"
    assert "it was published from its git tag, so it is final" in ran.log

    project.tag("sprint3", force=True)
    before = place.tags()
    ran = _publish(machine, ref="refs/tags/sprint3", milestone="sprint3").ended(6)
    assert ":sprint3 belongs to commit" in ran.errors[0]
    assert "never moved" in ran.errors[0]
    assert place.tags()["sprint3"] == before["sprint3"]


@soak
def test_a_git_tag_may_take_its_milestone_back_to_its_own_commit(
    machine: Machine, place: LocalRegistry
) -> None:
    one = machine.project.head
    _publish(machine, milestone="sprint3").ended()
    machine.project.tag("sprint3")
    machine.project.commit()
    place.untag("latest")
    machine.project.git("push", "--quiet", "origin", ":refs/tags/sprint3")
    _publish(machine, milestone="sprint3").ended()
    assert place.tags()["sprint3"] != _own(place, one), "main was ahead of the git tag"
    machine.project.git("push", "--quiet", "origin", "refs/tags/sprint3")
    _publish(machine, one, ref="refs/tags/sprint3", milestone="sprint3").ended()
    assert place.tags()["sprint3"] == _own(place, one)


@soak
def test_a_git_tag_that_moved_is_refused(machine: Machine, place: LocalRegistry) -> None:
    one = machine.project.head
    machine.project.tag("v1.0.0")
    _publish(machine, ref="refs/tags/v1.0.0", extra_tags="{version},{major}").ended()
    assert place.tags()["v1.0.0"] == place.tags()["1.0.0"] == place.tags()["1"] == _own(place, one)
    assert "latest" not in place.tags()
    machine.project.commit()
    machine.project.tag("v1.0.0", force=True)
    ran = _publish(machine, ref="refs/tags/v1.0.0").ended(6)
    assert "Publish under a new git tag" in ran.errors[0]
    assert place.tags()["v1.0.0"] == _own(place, one)


def test_an_older_commits_late_run_leaves_latest(machine: Machine, place: LocalRegistry) -> None:
    one, two = machine.project.head, machine.project.commit()
    _publish(machine, milestone="sprint3").ended()
    ran = _publish(machine, one, milestone="sprint3").ended()
    assert _own(place, one) != _own(place, two)
    assert place.tags()["latest"] == place.tags()["sprint3"] == _own(place, two)
    assert f"commit {two[:7]} is there, which is newer than {one[:7]}" in ran.log
    assert f"commit {two[:7]} is there" in ran.summary
    assert ran.outputs["tags"].split() == [f"{place.repository}:commit-{one[:7]}"]

    _publish(machine, one, latest="force").ended()
    assert place.tags()["latest"] == _own(place, one), "told to, it moves anywhere"


@soak
def test_rewritten_history_is_a_conflict(machine: Machine, place: LocalRegistry) -> None:
    machine.project.commit()
    _publish(machine).ended()
    before = place.tags()
    machine.project.git("reset", "--quiet", "--hard", "HEAD~1")
    machine.project.commit()
    ran = _publish(machine).ended(6)
    assert "has diverged from it" in ran.errors[0]
    own = f"commit-{machine.project.head[:7]}"
    assert place.tags().pop(own) != before["latest"]
    assert {tag: place.tags()[tag] for tag in before} == before, "the commit is published, no more"
    _publish(machine, latest="force").ended()
    assert place.tags()["latest"] == _own(place, machine.project.head)


def test_history_that_github_forgot_is_not_guessed(
    machine: Machine, place: LocalRegistry, api: GitHubApi, tmp_path: Path
) -> None:
    _publish(machine).ended()
    api.repository.forgotten.add(machine.project.head)
    machine.project.commit()
    before = place.tags()
    machine.workspace = machine.project.clone(tmp_path / "shallow", "--depth=1")
    ran = machine.call(machine.runner()).ended(6)
    assert "cannot be compared with" in ran.errors[0]
    assert {tag: place.tags()[tag] for tag in before} == before
    assert f"commit-{machine.project.head[:7]}" in place.tags()


def test_a_shallow_clone_asks_github(
    machine: Machine, place: LocalRegistry, github: FaultProxy, tmp_path: Path
) -> None:
    one = machine.project.head
    _publish(machine, milestone="sprint3").ended()
    two = machine.project.commit()
    machine.project.tag("sprint3", annotated=True)
    machine.workspace = machine.project.clone(tmp_path / "shallow", "--depth=1")
    before = len(github.requests)
    ran = machine.call(machine.runner(milestone="sprint3")).ended()
    asked = [each.path.partition("/app")[2].partition("?")[0] for each in github.requests[before:]]
    assert asked[0] == f"/compare/{one}...{two}"
    assert asked[1] == "/git/ref/tags/sprint3"
    assert asked[2].startswith("/git/tags/"), "an annotated tag is peeled"
    assert place.tags()["latest"] == place.tags()["sprint3"] == _own(place, two), ran.shown


@pytest.mark.parametrize("status", chosen([401, 403]))
def test_a_refused_github_token_is_named(
    machine: Machine, place: LocalRegistry, tmp_path: Path, status: int, api: GitHubApi
) -> None:
    _publish(machine).ended()
    machine.project.commit()
    before = place.tags()
    machine.workspace = machine.project.clone(tmp_path / "shallow", "--depth=1")
    token = "ghs_wrong" if status == 401 else "ghs_weak"
    api.tokens["ghs_weak"] = []
    ran = machine.call(machine.runner(github_token=token)).ended(3)
    assert f"GitHub does not let this run read the repository's history ({status})" in ran.log
    assert "contents: read" in ran.errors[0]
    assert place.tags() == before


@soak
def test_a_squashed_branch_is_followed_by_first_parents(
    machine: Machine, place: LocalRegistry
) -> None:
    """A commit that came in by a merge was never main's own head, and takes nothing over."""
    project = machine.project
    one = project.head
    project.git("checkout", "--quiet", "-b", "topic")
    side = project.commit({"side": "1"})
    project.git("checkout", "--quiet", "main")
    project.commit()
    project.git("merge", "--quiet", "--no-ff", "-X", "ours", "-m", "Merge", "topic")
    project.git("push", "--quiet", "origin", "main")
    _publish(machine, side, branches="main, topic", ref="refs/heads/topic").ended()
    _publish(machine, one).ended()
    assert place.tags()["latest"] == _own(place, one)
