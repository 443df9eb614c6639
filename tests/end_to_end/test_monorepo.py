"""Six services in one job: they publish, one changes, one breaks, and all is well again.

All is run once; every test reads what one of the runs left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Stack
from support import monorepo, workflows
from support.act import Job
from support.monorepo import BROKEN, SERVICES, SHARED, WorkflowRun
from support.registries import REPOSITORY, RegistryProcesses
from support.soak import soak

LABEL = "org.opencontainers.image"


@dataclass(frozen=True)
class Runs:
    """`first`: all is new; `second`: the menu changes; `third`: the order service breaks, and
    delivery changes; `fourth`: order is mended. `labels`: those of the first images."""

    first: WorkflowRun
    second: WorkflowRun
    third: WorkflowRun
    fourth: WorkflowRun
    labels: dict[str, dict[str, str]]


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
    home = tmp_path_factory.mktemp("monorepo")
    variables = engines("containerd")
    with monorepo.site(home, stack, registries, action, tool_cache, variables) as site:
        project = site.project
        monorepo.commit_workflow(project, workflows.caller(site.place.host))
        first = site.run()
        labels = {each: site.content(each)["config"]["Labels"] for each in SERVICES}
        order = (project.folder / "order/Dockerfile").read_text()
        project.commit({"menu/srv/menu.json": '{"dishes": []}\n'})
        second = site.run()
        project.commit({"order/Dockerfile": BROKEN, "delivery/srv/news": "By bicycle.\n"})
        third = site.run()
        project.commit({"order/Dockerfile": f"{order}# Mended.\n"})
        yield Runs(first, second, third, site.run(), labels)


def images(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job.outputs()["images"])
    return found


def actions(job: Job) -> dict[str, str]:
    return {name: each["action"] for name, each in images(job).items()}


def rows(job: Job) -> dict[str, str]:
    """The rows of the summary's table, by service."""
    return {
        each[1]: each[0]
        for each in re.finditer(r"(?m)^\| (?!service|---)\[?(\w+)(?:\]\(\S+\))? \|.*$", job.summary)
    }


def plan(job: Job) -> dict[str, dict[str, Any]]:
    """What the plan says of each service's image."""
    steps = json.loads(job.outputs()["plan"])["steps"]
    return {each["service"]: each for each in steps if each["step"] in ("build", "carry", "reuse")}


def test_six_images_get_three_tags_each(runs: Runs) -> None:
    one = runs.first
    one.job.ended()
    for service in SERVICES:
        assert set(one.tags[service]) == {one.own, *SHARED}
        assert len(set(one.tags[service].values())) == 1, service
    assert json.loads(one.job.outputs()["digests"]) == one.digests()
    assert len(set(one.digests().values())) == len(SERVICES), "they are six images"


def test_each_image_names_its_service_and_its_commit(runs: Runs) -> None:
    for service, labels in runs.labels.items():
        assert labels[f"{LABEL}.title"] == service
        assert labels[f"{LABEL}.revision"] == runs.first.sha
        assert labels[f"{LABEL}.source"] == f"https://github.com/{REPOSITORY}"


def test_each_build_has_a_fold_of_its_own(runs: Runs) -> None:
    folds = runs.first.job.commands("group")
    assert [each for each in folds if each.startswith("Building ")] == [
        f"Building {service}" for service in SERVICES
    ]


def test_each_service_is_tried_before_it_is_pushed(runs: Runs) -> None:
    said = "\n".join(runs.first.job.printed)
    for service in SERVICES:
        tried = re.search(rf"^{service}: port \d+, path /\S* answered 200 ", said, re.MULTILINE)
        pushed = re.search(rf"pushed +\S+/feastflow-{service}:", said)
        assert tried, service
        assert pushed
        assert tried.start() < pushed.start()
    assert f"feastflow-payment:{runs.first.own} runs as 65532:65532" in said, "its own check"


def test_the_summary_lists_all_six(runs: Runs) -> None:
    found = rows(runs.first.job)
    assert tuple(found) == SERVICES
    for service, row in found.items():
        digest = runs.first.digests()[service].partition(":")[2]
        assert "built" in row
        assert digest[:12] in row
        for tag in (runs.first.own, *SHARED):
            assert f"<code>{tag}</code>" in row


def test_one_change_builds_one_and_carries_five(runs: Runs) -> None:
    one, two = runs.first, runs.second
    two.job.ended()
    others = [each for each in SERVICES if each != "menu"]
    assert actions(two.job) == {**dict.fromkeys(others, "carried"), "menu": "built"}
    assert json.loads(two.job.outputs()["matrix"]) == {"service": ["menu"]}
    assert {each: two.digests()[each] for each in others} == {
        each: one.digests()[each] for each in others
    }
    assert two.digests()["menu"] not in one.digests().values()
    assert two.digests("latest") == two.digests("sprint3") == two.digests()
    assert two.digests(one.own) == one.digests(), "a commit tag is written once"


def test_who_is_carried_is_told_since_when(runs: Runs) -> None:
    one, two = runs.first, runs.second
    for service, step in plan(two.job).items():
        if service == "menu":
            assert step["why"] == f"it changed since {one.sha[:7]}"
            assert "built" in rows(two.job)[service]
        else:
            assert step["since"] == one.sha
            assert f"carried, unchanged since {one.sha[:7]}" in rows(two.job)[service]


def test_nothing_else_is_built_or_tried(runs: Runs) -> None:
    folds = runs.second.job.commands("group")
    assert [each for each in folds if each.startswith("Building ")] == ["Building menu"]
    answered = [line for line in runs.second.job.printed if " answered " in line]
    assert [line.partition(":")[0] for line in answered] == ["menu"]


def test_a_broken_service_fails_the_run_by_its_name(runs: Runs) -> None:
    job = runs.third.job.failed(4)
    assert len(job.errors) == 1
    assert "order" in job.errors[0]
    assert "/nothing" in job.errors[0], "what BuildKit says of it"
    assert "order" in job.summary
    assert job.outputs()["pushed"] == "false"
    assert "order" in job.outputs()["reason"]


def test_the_others_are_published_but_no_shared_tag_moves(runs: Runs) -> None:
    two, three = runs.second, runs.third
    assert three.shared == two.shared
    assert set(three.digests()) == set(SERVICES) - {"order"}
    assert three.digests()["delivery"] != two.digests()["delivery"]
    for service in set(SERVICES) - {"order", "delivery"}:
        assert three.digests()[service] == two.digests()[service]
    assert three.digests(two.own) == two.digests()


def test_the_failed_run_says_what_was_written_and_what_was_not(runs: Runs) -> None:
    said = "\n".join(runs.third.job.printed)
    written = re.search(r"^Written before the failure: (.*)$", said, re.MULTILINE)
    undone = re.search(r"^Not done: (.*)$", said, re.MULTILINE)
    assert written
    assert undone
    for service in SERVICES:
        own = f"/feastflow-{service}:{runs.third.own}"
        assert (own in written[1]) == (service != "order")
    assert f"/feastflow-order:{runs.third.own}" in undone[1]
    assert "/feastflow-delivery:latest" in undone[1]
    assert "In doubt" not in said


def test_the_next_commit_mends_it_all(runs: Runs) -> None:
    three, four = runs.third, runs.fourth
    four.job.ended()
    others = [each for each in SERVICES if each != "order"]
    assert actions(four.job) == {**dict.fromkeys(others, "carried"), "order": "built"}
    assert four.count(four.own) == len(SERVICES)
    assert four.digests("latest") == four.digests("sprint3") == four.digests()
    for service in others:
        assert four.digests()[service] == three.digests()[service]
    assert three.own not in four.tags["order"], "what broke was never published"
    since = {each: step.get("since") for each, step in plan(four.job).items()}
    expected = {
        **dict.fromkeys(("frontend", "pricing", "payment"), runs.first.sha),
        "menu": runs.second.sha,
        "delivery": three.sha,
        "order": None,
    }
    assert since == expected
