"""A service on each runner, and the shared tags last: the jobs of registry-ci-matrix.yml.

act runs them as GitHub does: what a job needs, its condition, and the matrix that another job
computed. All is run once; every test reads what one of the runs left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Stack
from support import events, monorepo, workflows
from support.monorepo import BROKEN, SHARED, WorkflowRun
from support.registries import USER, RegistryProcesses
from support.soak import soak

SERVICES = ("menu", "order", "delivery")
ALL = {"plan", "publish", *(f"build {service}" for service in SERVICES)}
ALONE = "alone"


@dataclass(frozen=True)
class Runs:
    """`many`: all is new; `alone`: the same commit in one job, in another namespace; `broken`: one
    runner fails; `mended`: nothing has to be built; `asked`: a pull request.
    """

    many: WorkflowRun
    alone: WorkflowRun
    broken: WorkflowRun
    mended: WorkflowRun
    asked: WorkflowRun
    content: Mapping[str, Mapping[str, Mapping[str, Any]]]
    requests: int


pytestmark = soak


@pytest.fixture(scope="module")
def runs(
    stack: Stack,
    registries: RegistryProcesses,
    action: Path,
    tool_cache: Path,
    engines: Callable[[str], dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("matrix")
    machine = (stack, registries, action, tool_cache, engines("classic"))
    with monorepo.site(home, *machine, SERVICES) as site:
        project, host = site.project, site.place.host
        monorepo.commit_workflow(project, workflows.matrix_caller(host))
        many = site.run()
        single = workflows.caller(host, namespace=ALONE)
        alone = site.run(namespace=ALONE, workflow=single)
        content = {
            each: {service: site.content(service, each) for service in SERVICES}
            for each in (USER, ALONE)
        }
        order = (project.folder / "order/Dockerfile").read_text()
        project.commit({"order/Dockerfile": BROKEN, "menu/srv/menu.json": '{"dishes": []}\n'})
        broken = site.run()
        project.commit({"order/Dockerfile": order})
        mended = site.run()
        project.git("checkout", "--quiet", "-b", "topic")
        project.commit({"delivery/srv/news": "By bicycle.\n"})
        before = len(site.place.proxy.requests)
        asked = site.run(events.pull_request(project.head))
        requests = len(site.place.proxy.requests) - before
        yield Runs(many, alone, broken, mended, asked, content, requests)


def test_every_service_has_a_runner_and_all_end_well(runs: Runs) -> None:
    job = runs.many.job
    assert job.results == dict.fromkeys(ALL, "success")
    for name in ALL:
        job.of(name).ended()


def test_a_runner_publishes_one_commit_tag_and_nothing_else(runs: Runs) -> None:
    for service in SERVICES:
        outputs = runs.many.job.of(f"build {service}").outputs()
        assert json.loads(outputs["digests"]) == {service: runs.many.digests()[service]}
        assert json.loads(outputs["images"])[service]["tags"] == [runs.many.own]
        assert json.loads(outputs["images"])[service]["action"] == "built"


def test_the_last_job_moves_the_shared_tags_and_builds_nothing(runs: Runs) -> None:
    last = runs.many.job.of("publish")
    found = json.loads(last.outputs()["images"])
    assert {name: each["action"] for name, each in found.items()} == dict.fromkeys(
        SERVICES, "reused"
    )
    for each in found.values():
        assert each["tags"] == [runs.many.own, *SHARED]
    assert not [each for each in last.commands("group") if each.startswith("Building")]


def test_the_registry_holds_what_one_job_publishes(runs: Runs) -> None:
    runs.alone.job.ended()
    assert runs.alone.sha == runs.many.sha
    for run in (runs.many, runs.alone):
        for service in SERVICES:
            assert set(run.tags[service]) == {run.own, *SHARED}
            assert len(set(run.tags[service].values())) == 1
    for service in SERVICES:
        # The time of building apart, which no two builds share: settings, labels and every file.
        assert runs.content[USER][service] == runs.content[ALONE][service]
        labels = runs.content[USER][service]["config"]["Labels"]
        assert labels["org.opencontainers.image.revision"] == runs.many.sha
        assert labels["org.opencontainers.image.title"] == service


def test_a_runner_that_fails_leaves_every_shared_tag(runs: Runs) -> None:
    job = runs.broken.job
    assert job.code
    assert job.results.keys() == {"plan", "build menu", "build order"}, "nothing is published"
    assert "order" in job.of("build order").failed(4).errors[0]
    assert runs.broken.shared == runs.many.shared


def test_the_other_runners_publish_all_the_same(runs: Runs) -> None:
    menu = runs.broken.job.of("build menu")
    assert menu.outputs()["pushed"] == "true"
    assert menu.errors == []
    assert set(runs.broken.digests()) == {"menu"}
    assert runs.broken.digests()["menu"] != runs.many.digests()["menu"]
    assert runs.broken.digests(runs.many.own) == runs.many.digests()


def test_the_shared_tags_move_even_if_nothing_has_to_be_built(runs: Runs) -> None:
    job, after = runs.mended.job, runs.mended
    assert json.loads(job.of("plan").outputs()["matrix"]) == {"service": []}
    assert job.results == {"plan": "success", "publish": "success"}
    job.of("publish").ended()
    assert after.digests() == {**runs.many.digests(), "menu": runs.broken.digests()["menu"]}
    assert after.digests("latest") == after.digests("sprint3") == after.digests()
    assert after.digests("latest")["menu"] != runs.broken.digests("latest")["menu"], "it moved"


def test_a_pull_request_builds_all_and_sends_nothing(runs: Runs) -> None:
    job = runs.asked.job
    assert job.results == dict.fromkeys(ALL - {"publish"}, "success")
    assert runs.requests == 0
    assert runs.asked.tags == runs.mended.tags
    for service in SERVICES:
        outputs = job.of(f"build {service}").ended().outputs()
        assert outputs["pushed"] == "false"
        assert json.loads(outputs["images"])[service]["action"] == "built"


def test_no_output_that_another_job_reads_names_the_user(runs: Runs) -> None:
    """GitHub drops a job's output that holds a secret, as the user's name may be."""
    outputs = runs.many.job.of("plan").outputs()
    assert json.loads(outputs["matrix"]) == {"service": list(SERVICES)}
    assert USER not in outputs["matrix"]
