"""A service on each runner, and the shared tags last: the jobs of registry-ci-matrix.yml.

act runs them as GitHub does: what a job needs, its condition, and the matrix that another job
computed. The story is run once; every test reads what one of its chapters left.
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
from support.monorepo import BROKEN, SERVICES, SHARED, Chapter
from support.registries import USER, Processes

pytestmark = pytest.mark.xdist_group("matrix")  # One worker, one story.

ALL = {"plan", "publish", *(f"build {service}" for service in SERVICES)}
ALONE = "alone"


@dataclass(frozen=True)
class Story:
    """`many`: all is new; `alone`: the same commit in one job, in another namespace; `broken`: one
    runner fails; `mended`: nothing has to be built; `asked`: a pull request.
    """

    many: Chapter
    alone: Chapter
    broken: Chapter
    mended: Chapter
    asked: Chapter
    content: Mapping[str, Mapping[str, Mapping[str, Any]]]
    requests: int


@pytest.fixture(scope="module")
def story(
    stack: Stack,
    registries: Processes,
    action: Path,
    tool_cache: Path,
    engines: Callable[[str], dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("matrix")
    with monorepo.site(home, stack, registries, action, tool_cache, engines("classic")) as site:
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
        yield Story(many, alone, broken, mended, asked, content, requests)


def test_every_service_has_a_runner_and_all_end_well(story: Story) -> None:
    job = story.many.job
    assert job.results == dict.fromkeys(ALL, "success")
    for name in ALL:
        job.of(name).ended()


def test_a_runner_publishes_one_commit_tag_and_nothing_else(story: Story) -> None:
    for service in SERVICES:
        outputs = story.many.job.of(f"build {service}").outputs()
        assert json.loads(outputs["digests"]) == {service: story.many.digests()[service]}
        assert json.loads(outputs["images"])[service]["tags"] == [story.many.own]
        assert json.loads(outputs["images"])[service]["action"] == "built"


def test_the_last_job_moves_the_shared_tags_and_builds_nothing(story: Story) -> None:
    last = story.many.job.of("publish")
    found = json.loads(last.outputs()["images"])
    assert {name: each["action"] for name, each in found.items()} == dict.fromkeys(
        SERVICES, "reused"
    )
    for each in found.values():
        assert each["tags"] == [story.many.own, *SHARED]
    assert not [each for each in last.commands("group") if each.startswith("Building")]


def test_the_registry_holds_what_one_job_publishes(story: Story) -> None:
    story.alone.job.ended()
    assert story.alone.sha == story.many.sha
    for chapter in (story.many, story.alone):
        for service in SERVICES:
            assert set(chapter.tags[service]) == {chapter.own, *SHARED}
            assert len(set(chapter.tags[service].values())) == 1
    for service in SERVICES:
        # The time of building apart, which no two builds share: settings, labels and every file.
        assert story.content[USER][service] == story.content[ALONE][service]
        labels = story.content[USER][service]["config"]["Labels"]
        assert labels["org.opencontainers.image.revision"] == story.many.sha
        assert labels["org.opencontainers.image.title"] == service


def test_a_runner_that_fails_leaves_every_shared_tag(story: Story) -> None:
    job = story.broken.job
    assert job.code
    assert job.results.keys() == {"plan", "build menu", "build order"}, "nothing is published"
    assert "order" in job.of("build order").failed(4).errors[0]
    assert story.broken.shared == story.many.shared


def test_the_other_runners_publish_all_the_same(story: Story) -> None:
    menu = story.broken.job.of("build menu")
    assert menu.outputs()["pushed"] == "true"
    assert menu.errors == []
    assert set(story.broken.digests()) == {"menu"}
    assert story.broken.digests()["menu"] != story.many.digests()["menu"]
    assert story.broken.digests(story.many.own) == story.many.digests()


def test_the_shared_tags_move_even_if_nothing_has_to_be_built(story: Story) -> None:
    job, after = story.mended.job, story.mended
    assert json.loads(job.of("plan").outputs()["matrix"]) == {"service": []}
    assert job.results == {"plan": "success", "publish": "success"}
    job.of("publish").ended()
    assert after.digests() == {**story.many.digests(), "menu": story.broken.digests()["menu"]}
    assert after.digests("latest") == after.digests("sprint3") == after.digests()
    assert after.digests("latest")["menu"] != story.broken.digests("latest")["menu"], "it moved"


def test_a_pull_request_builds_all_and_sends_nothing(story: Story) -> None:
    job = story.asked.job
    assert job.results == dict.fromkeys(ALL - {"publish"}, "success")
    assert story.requests == 0
    assert story.asked.tags == story.mended.tags
    for service in SERVICES:
        outputs = job.of(f"build {service}").ended().outputs()
        assert outputs["pushed"] == "false"
        assert json.loads(outputs["images"])[service]["action"] == "built"


def test_no_output_that_another_job_reads_names_the_user(story: Story) -> None:
    """GitHub drops a job's output that holds a secret, as the user's name may be."""
    outputs = story.many.job.of("plan").outputs()
    assert json.loads(outputs["matrix"]) == {"service": list(SERVICES)}
    assert USER not in outputs["matrix"]
