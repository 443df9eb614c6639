"""A job for each platform: whoever ends first or is killed, the image is the same, or no tag moves.

Two services of three platforms: a job that plans, six that build, and one that puts together.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from support.memory import Hook, Store
from support.runs import A, B, Run, World, at_call

from feastflow_registry.commands import publish
from feastflow_registry.model.references import Digest
from feastflow_registry.report import results

NAMES = ("shop", "menu")
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
RUNNERS = "linux/arm/v7=self-hosted,arm"
JOBS = tuple(itertools.product(NAMES, PLATFORMS))
Job = tuple[str, str]
LAST: Job = ("", "")


class Killed(BaseException):
    """The job is gone."""


def killing(number: int) -> Hook:
    """Kill a job before its n-th request."""

    def kill() -> None:
        raise Killed

    return at_call(number, kill)


@dataclass
class Workflow:
    """The jobs of a commit, on a registry where `latest` holds the commit before."""

    store: Store | None = None
    by_tag: bool = True
    options: dict[str, str] = field(default_factory=dict)
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(NAMES, self.store or Store(), platforms=PLATFORMS)
        if not self.store:
            World(NAMES, self.world.store).publish(A)

    def last(self, before: Hook | None = None, **more: str) -> Run:
        inputs = {"matrix": "platforms", "runners": RUNNERS, **self.options, **more}
        run = self.world.run(B, before=before, **inputs)  # type: ignore[arg-type]
        run.app.deletion.by_tag = self.by_tag
        run.app.deletion.before = run.registry.delete
        return run

    def job(self, job: Job, before: Hook | None = None, **more: object) -> Run:
        if job == LAST:
            return self.last(before)
        name, platform = job
        inputs = {"services": name, "part": platform, **self.options}
        return self.world.run(B, before=before, by_digest=True, **inputs, **more)  # type: ignore[arg-type]

    def due(self) -> list[Job]:
        """What the plan finds to be built."""
        run = self.last(dry_run="true")
        matrix = results.outputs(publish.plan(run.app), (), pushed=False)["matrix"]
        return [(each["service"], each["platform"]) for each in json.loads(matrix)["include"]]

    def go(self, jobs: Iterable[Job]) -> Workflow:
        for each in jobs:
            self.job(each).go()
        self.last().go()
        return self

    @property
    def images(self) -> list[Digest | None]:
        return [self.world.own(B, name) for name in NAMES]

    @property
    def latest(self) -> list[Digest | None]:
        return [self.world.at("latest", name) for name in NAMES]

    @property
    def left(self) -> list[str]:
        """The tags of parts that are there."""
        return sorted(str(tag) for _, tag in self.world.store.tagged if "." in str(tag))


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
            assert bool(workflow.left) == bool(missing and ended)


def test_jobs_that_run_side_by_side(whole: Sequence[Digest | None]) -> None:
    workflow = Workflow()
    runs = {job: workflow.job(job).steps() for job in JOBS}
    for run in runs.values():
        next(run)  # All have built; now each pushes when it is its turn.
    for job in reversed(JOBS):
        assert len(list(runs[job])) == 1
    workflow.last().go()
    assert (workflow.images, workflow.latest, workflow.left) == (whole, whole, [])


@pytest.mark.parametrize("job", [*JOBS, LAST])
def test_a_job_that_is_killed_anywhere(job: Job, whole: Sequence[Digest | None]) -> None:
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
