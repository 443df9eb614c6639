"""A job for each platform: whoever ends first or is killed, the image is the same, or no tag moves.

Two services of three platforms: a job that plans, six that build, and one that puts together.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import pytest
from support.memory import Hook
from support.platform_jobs import JOBS, LAST, NAMES, PLATFORMS, Job, Workflow
from support.runs import B, at_call
from support.soak import chosen

from feastflow_registry.commands import publish
from feastflow_registry.model.references import Digest
from feastflow_registry.report import results


class Killed(BaseException):
    """The job is gone."""


def killing(number: int) -> Hook:
    """Kill a job before its n-th request."""

    def kill() -> None:
        raise Killed

    return at_call(number, kill)


@pytest.fixture(scope="module")
def whole() -> Sequence[Digest | None]:
    """The two images, when nothing is in the way."""
    workflow = Workflow().go(JOBS)
    assert workflow.latest == workflow.images
    assert len({*workflow.images, None}) == 3
    assert workflow.left == []
    return workflow.images


def test_the_plan_names_a_runner_for_each_platform() -> None:
    run = Workflow().last(dry_run="true")
    found = json.loads(results.outputs(publish.plan(run.app), (), pushed=False)["matrix"])
    labels = ("ubuntu-24.04", "ubuntu-24.04-arm", ["self-hosted", "arm"])
    runners = dict(zip(PLATFORMS, labels, strict=True))
    assert found == {
        "include": [
            {"service": name, "platform": platform, "runner": runners[platform]}
            for name, platform in JOBS
        ]
    }


@pytest.mark.no_cover
def test_every_order_of_ending(whole: Sequence[Digest | None]) -> None:
    """What a job does to the registry is the same whichever others have ended: so for all orders.

    As long as one is missing, the last job moves no tag, and says which.
    """
    held = {frozenset[Job](): Workflow().world.store}
    for count in range(len(JOBS) + 1):
        for ended in map(frozenset, itertools.combinations(JOBS, count)):
            for job in set(JOBS) - ended:
                workflow = Workflow(held[ended].copy())
                workflow.job(job).go()
                store = held.setdefault(ended | {job}, workflow.world.store)
                assert store.tagged == workflow.world.store.tagged
            workflow = Workflow(held[ended].copy())
            before = workflow.latest
            failure = workflow.last().failure()
            missing = set(JOBS) - ended
            for place, name in enumerate(NAMES):
                lacking = [each for each in PLATFORMS if (name, each) in missing]
                assert workflow.images[place] == (None if lacking else whole[place])
                assert not lacking or f"{name}:commit-{B.short} lacks {', '.join(lacking)}:" in str(
                    failure
                )
            assert workflow.latest == (before if missing else whole)
            assert bool(failure) == bool(missing)
            partial = {name for name, _ in missing}
            assert len(workflow.left) == len([job for job in ended if job[0] in partial])


def test_jobs_that_run_side_by_side(whole: Sequence[Digest | None]) -> None:
    workflow = Workflow()
    runs = {job: workflow.job(job).steps() for job in JOBS}
    for run in runs.values():
        next(run)  # All have built; now each pushes when it is its turn.
    for job in reversed(JOBS):
        assert len(list(runs[job])) == 1
    workflow.last().go()
    assert (workflow.images, workflow.latest, workflow.left) == (whole, whole, [])


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "platform"), chosen([LAST, *JOBS], 2))
def test_a_job_that_is_killed_anywhere(
    name: str, platform: str, whole: Sequence[Digest | None]
) -> None:
    job = (name, platform)
    requests = len(Workflow().job(job).go().registry.calls) if job != LAST else 0
    if job == LAST:
        workflow = Workflow()
        for each in JOBS:
            workflow.job(each).go()
        requests = len(workflow.last().go().registry.calls)
    for number in range(requests):
        workflow = Workflow()
        before = workflow.latest
        for each in JOBS:
            run = workflow.job(each, killing(number) if each == job else None)
            try:
                run.go()
            except Killed:
                assert each == job
        try:
            failure = workflow.job(LAST, killing(number) if job == LAST else None).failure()
        except Killed:
            failure = None
        for image, expected in zip(workflow.images, whole, strict=True):
            assert image in (None, expected)
        if None in workflow.images:
            assert workflow.latest == before
        if job != LAST and failure:
            assert job[1] in str(failure)
        due = workflow.due()
        assert set(due) <= {job}
        workflow.go(due)
        assert (workflow.images, workflow.latest, workflow.left) == (whole, whole, [])
