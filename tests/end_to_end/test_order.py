"""Where shared tags end: milestones that freeze, late runs, two runs at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support import events
from support.act import Runner
from support.registries import Place
from support.repositories import Project
from support.servers.faults import Fault
from support.servers.github_api import GitHubApi

from end_to_end.conftest import Runners

MILESTONE = "sprint3"


def _own(place: Place, sha: str) -> str:
    return place.digest(f"commit-{sha[:7]}")


@pytest.mark.parametrize("annotated", [False, True], ids=["lightweight", "annotated"])
def test_a_git_tag_sets_the_milestone_and_freezes_it(
    place: Place, project: Project, runner: Runner, annotated: bool
) -> None:
    one = project.head
    runner.run(project.folder, events.push("main", one)).ended()
    two = project.commit()
    held = project.tag(MILESTONE, annotated=annotated)
    assert (held != two) == annotated
    job = runner.run(project.folder, events.push_tag(MILESTONE, held)).ended()
    assert job.outputs()["reason"] == f"push on git tag {MILESTONE}"
    assert place.digest(MILESTONE) == _own(place, two) == job.outputs()["digest"]
    assert place.digest("latest") == _own(place, one), "a git tag does not move latest"

    three = project.commit()
    job = runner.run(project.folder, events.push("main", three)).ended()
    assert place.digest("latest") == _own(place, three)
    assert place.digest(MILESTONE) == _own(place, two), "it is final"
    said = f"{place.repository}:{MILESTONE}: its git tag exists, so it is final"
    assert any(said in line for line in job.printed), job.readable
    assert said in job.summary


def test_an_older_commits_late_run_leaves_latest(
    place: Place, project: Project, runner: Runner, api: GitHubApi, tmp_path: Path
) -> None:
    """Cloned as actions/checkout does, to a depth of one: only GitHub knows the order."""
    one = project.head
    old = project.clone(tmp_path / "old", "--depth=1")
    two = project.commit()
    new = project.clone(tmp_path / "new", "--depth=1")
    runner.run(new, events.push("main", two)).ended()
    before = len(api.requests)

    job = runner.run(old, events.push("main", one)).ended()
    assert _own(place, one) != _own(place, two)
    assert place.digest("latest") == place.digest(MILESTONE) == _own(place, two)
    asked = [each.path.partition("?")[0] for each in api.requests[before:]]
    assert f"/repos/feastflow/app/compare/{two}...{one}" in asked
    said = f"commit {two[:7]} is there, which is newer than {one[:7]}"
    assert any(said in line for line in job.printed), job.readable
    assert said in job.summary
    assert job.outputs()["tags"] == f"{place.repository}:commit-{one[:7]}"
    assert job.outputs()["pushed"] == "true"


@pytest.mark.parametrize("tag", ["latest", MILESTONE])
def test_two_runs_at_once_end_on_the_newer_commit(
    place: Place, project: Project, runners: Runners, tmp_path: Path, tag: str
) -> None:
    """The older run has decided and is about to write when the newer one starts and ends."""
    one = project.head
    old = project.clone(tmp_path / "old", "--depth=1")
    two = project.commit()
    new = project.clone(tmp_path / "new", "--depth=1")
    fault = place.proxy.add(Fault("hold", method="PUT", path=f"manifests/{tag}$"))
    late = runners(name="late").start(old, events.push("main", one))
    try:
        assert fault.arrived.wait(60), "the older run never wrote that tag"
        runners().run(new, events.push("main", two)).ended()
        assert place.digest(tag) == _own(place, two)
    finally:
        fault.release()
        job = late.end()
    job.ended()
    assert _own(place, one) != _own(place, two)
    assert place.digest("latest") == place.digest(MILESTONE) == _own(place, two)
    assert job.outputs()["tags"] == f"{place.repository}:commit-{one[:7]}", "it claims no more"


def test_the_object_of_a_git_tag_is_never_taken_for_a_commit(
    place: Place, project: Project, runner: Runner
) -> None:
    """An annotated tag's own sha, as a payload's `after` holds it, names no commit."""
    sha = project.head
    held = project.tag("v1.0.0", annotated=True)
    event = dataclasses.replace(events.push_tag("v1.0.0", held), sha=held)
    job = runner.run(project.folder, event)
    assert f"commit-{held[:7]}" not in place.tags()
    if job.code == 0:
        assert place.labels("v1.0.0")["org.opencontainers.image.revision"] == sha
