"""promote.yml, rollback.yml and prune.yml: what somebody starts by a button, or a clock does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support import workflows
from support.act import Job, Runner
from support.events import Event
from support.many_tags import ImageMaker, commit_days
from support.registries import LocalRegistry
from support.repositories import Project
from support.soak import soak


@dataclass
class Site:
    """Two published commits. `older` came first."""

    place: LocalRegistry
    project: Project
    runner: Runner
    older: str
    newer: str

    def press(self, name: str, **inputs: Any) -> Job:
        """Run a workflow by hand."""
        known = {key.replace("_", "-"): str(each).lower() for key, each in inputs.items()}
        event = Event("workflow_dispatch", "refs/heads/main", {"inputs": known})
        text = workflows.button(name, self.place.host)
        return self.runner.run(self.project.folder, event, workflow=text).ended()

    def digest(self, tag: str) -> str:
        return self.place.tags()[tag]


@pytest.fixture
def site(
    runner: Runner, project: Project, place: LocalRegistry, publish: Callable[[], str]
) -> Site:
    older = publish()
    project.commit()
    return Site(place, project, runner, older, publish())


def test_rollback_takes_latest_back_and_promote_gives_what_was_tested(site: Site) -> None:
    before = site.place.tags()
    job = site.press("rollback.yml", tag="latest", dry_run=True)
    assert site.place.tags() == before
    assert job.outputs()["pushed"] == "false"

    named = {"from": site.newer}
    job = site.press("rollback.yml", tag="latest", to="", services="", **named)
    assert site.digest("latest") == site.digest(site.older)
    withdrawn = site.newer.replace("commit-", "withdrawn-")
    assert site.digest(withdrawn) == site.digest(site.newer)
    assert job.outputs()["pushed"] == "true"
    assert "### ⚠️ Rolled back: " in job.summary, "sprint3 still holds the bad image"

    job = site.press("promote.yml", tag="production", to=site.older)
    assert site.digest("production") == site.digest(site.older)
    assert "### ✅ Promoted: " in job.summary


@soak
def test_prune_shows_its_plan_first_and_deletes_when_it_is_told(
    runner: Runner, project: Project, place: LocalRegistry, publish: Callable[[], str]
) -> None:
    [old] = commit_days(project, 120)
    made = (datetime.now(UTC) - timedelta(days=120)).isoformat()
    place.retag({f"commit-{old}": ImageMaker(place).image("old", created=made)})
    for _ in range(2):
        project.commit()
        publish()
    before = place.tags()
    text = workflows.button("prune.yml", place.host).replace("keep-last: 10", "keep-last: 1")

    clock = Event("schedule", "refs/heads/main", {"schedule": "17 3 * * 1"})
    job = runner.run(project.folder, clock, workflow=text).ended()
    assert job.results == {"plan": "success"}
    assert place.tags() == before
    assert f"commit-{old}" in job.summary

    pressed = Event("workflow_dispatch", "refs/heads/main", {"inputs": {"delete": "true"}})
    job = runner.run(project.folder, pressed, workflow=text).ended()
    assert job.results == {"plan": "success", "delete": "success"}
    assert place.tags() == {tag: each for tag, each in before.items() if tag != f"commit-{old}"}
