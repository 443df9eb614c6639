"""A git tag that holds a milestone, and whose ref is not the commit that it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from support import events
from support.act import Runner
from support.registries import LocalRegistry
from support.repositories import Project
from support.soak import soak

MILESTONE = "sprint3"


def test_an_annotated_git_tag_sets_the_milestone_to_its_commit(
    place: LocalRegistry, project: Project, runner: Runner, publish: Callable[[], str]
) -> None:
    before = publish()
    two = project.commit()
    held = project.tag(MILESTONE, annotated=True)
    assert held != two
    job = runner.run(project.folder, events.push_tag(MILESTONE, held)).ended()
    assert job.outputs()["reason"] == f"push on git tag {MILESTONE}"
    own = place.digest(f"commit-{two[:7]}")
    assert place.digest(MILESTONE) == own == job.outputs()["digest"]
    assert place.digest("latest") == place.digest(before), "a git tag does not move latest"


@soak
def test_the_object_of_a_git_tag_is_never_taken_for_a_commit(
    place: LocalRegistry, project: Project, runner: Runner
) -> None:
    """An annotated tag's own sha, as a payload's `after` holds it, names no commit."""
    sha = project.head
    held = project.tag("v1.0.0", annotated=True)
    event = dataclasses.replace(events.push_tag("v1.0.0", held), sha=held)
    job = runner.run(project.folder, event)
    assert f"commit-{held[:7]}" not in place.tags()
    if job.code == 0:
        assert place.labels("v1.0.0")["org.opencontainers.image.revision"] == sha
