"""A job that publishes to two registries, with the inputs of docs/several-registries.md."""

from __future__ import annotations

import re
from collections.abc import Callable

from support import workflows
from support.act import Job, Runner
from support.registries import REPOSITORY, USER, LocalRegistry
from support.repositories import Project
from support.servers.faults import Fault
from support.soak import soak

PAGE = workflows.SHIPPED.parents[1] / "docs/several-registries.md"


def workflow(here: LocalRegistry, there: LocalRegistry) -> str:
    """The shipped workflow with the page's inputs, for two registries of this machine."""
    inputs = re.search(
        r"(?m)^          also: \|\n(            .*\n|          also-.*\n)+", PAGE.read_text()
    )
    assert inputs
    lines = [line for line in inputs[0].splitlines() if "ghcr.io" not in line]
    text = "\n".join(lines).replace("quay.io feastflow+ci", f"{there.host} {USER}")
    text = text.replace("quay.io", there.host).replace("QUAY_TOKEN", "OTHER_TOKEN")
    given = workflows.caller(here.host)
    return given.replace(workflows.LAST_INPUT, f"{workflows.LAST_INPUT}{text}\n")


@soak
def test_what_one_registry_missed_its_run_brings_when_it_is_run_again(
    place: LocalRegistry,
    places: Callable[..., LocalRegistry],
    project: Project,
    runner: Runner,
) -> None:
    there = places("token")

    def run() -> Job:
        text, secret = workflow(place, there), {"OTHER_TOKEN": there.token}
        return runner.run(project.folder, workflow=text, more_secrets=secret)

    tags = {f"commit-{project.head[:7]}", "sprint3", "latest"}
    there.proxy.add(Fault("status", status=403, times=None))
    run().failed(3)
    assert place.listed() == tags
    there.proxy.clear()
    job = run().ended()
    mirror = REPOSITORY.split("/")[0] + "/app"
    assert there.tags(mirror) == place.tags()
    assert f"{there.host}/{mirror}:latest" in job.outputs()["tags"].split()
    for told in (job.summary, *job.outputs().values()):
        assert there.token not in told
        assert place.token not in told
