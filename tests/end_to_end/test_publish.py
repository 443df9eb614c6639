"""A push to main: three tags on one digest, proven; again, it costs nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import events, workflows
from support.act import Runner
from support.registries import OURS, REPOSITORY, USER, LocalRegistry
from support.repositories import Project
from support.servers.github_api import GitHubApi

from end_to_end.conftest import Runners

LABEL = "org.opencontainers.image"
RERUN = [
    "HEAD manifests/commit-… 401",
    "GET /token 200",
    "HEAD manifests/commit-… 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/sprint3 200",
    "HEAD manifests/latest 200",
]


def test_three_tags_hold_one_digest_and_a_later_job_is_told(
    place: LocalRegistry, project: Project, runner: Runner, api: GitHubApi
) -> None:
    sha = project.head
    text = workflows.with_later_job(workflows.caller(place.host))
    job = runner.run(project.folder, events.push("main", sha), workflow=text).ended()

    own = f"commit-{sha[:7]}"
    digest = place.digest(own)
    assert place.listed() == {own, "sprint3", "latest"}
    assert {place.digest(tag) for tag in ("sprint3", "latest")} == {digest}
    labels = place.labels("latest")
    assert labels[f"{LABEL}.revision"] == sha
    assert labels[f"{LABEL}.source"] == f"https://github.com/{REPOSITORY}"
    assert labels[f"{LABEL}.version"] == "sprint3"
    moment = project.git("log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
    assert labels[f"{LABEL}.created"] == moment

    outputs = job.outputs()
    assert outputs["pushed"] == "true"
    assert outputs["reason"] == "push on branch main"
    assert outputs["digest"] == digest
    assert outputs["image"] == f"{place.repository}@{digest}"
    references = [f"{place.repository}:{tag}" for tag in (own, "sprint3", "latest")]
    assert outputs["tags"].split("\n") == references
    assert json.loads(outputs["digests"]) == {"app": digest}
    assert json.loads(outputs["matrix"]) == {"service": ["app"]}
    image = json.loads(outputs["images"])["app"]
    assert image["action"] == "built"
    assert image["tags"] == [own, "sprint3", "latest"]

    short = digest.partition(":")[2][:12]
    [status] = api.statuses
    assert (status.sha, status.state, status.context) == (sha, "success", "registry/app")
    assert status.description == f"app:{own} sha256:{short}"
    assert status.target_url.startswith(f"https://github.com/{REPOSITORY}/actions/runs/")

    assert job.summary.startswith(f"### ✅ Published commit <code>{sha[:7]}</code>")
    [row] = [line for line in job.summary.splitlines() if line.startswith("| app |")]
    for part in (own, "sprint3", "latest", short, "built"):
        assert f"<code>{part}</code>" in row or f" {part} " in row
    named = {references[0], f"{place.repository}@{digest}"}
    for command in ("docker pull", "docker run --rm -P"):
        assert {f"{command} {name}" for name in named} & set(job.summary.splitlines())

    # GitHub drops a job's output that holds a secret; none of these holds even the user name.
    assert job.outputs("later") == {"pushed": "true", "digest": digest}
    for name in ("pushed", "reason", "digest", "digests", "matrix"):
        assert USER not in outputs[name]
    for value in outputs.values():
        assert place.token not in value


@pytest.mark.parametrize("place", ["token"], indirect=True)
def test_a_cold_runner_installs_what_it_needs_and_publishes(
    place: LocalRegistry, project: Project, runners: Runners
) -> None:
    job = runners("containerd", cold=True).run(project.folder).ended()
    assert any(line.startswith("Installed this action's packages in") for line in job.printed)
    assert place.listed() == {f"commit-{project.head[:7]}", "sprint3", "latest"}
    assert len(set(place.tags().values())) == 1


def _only_git(folder: Path, path: str) -> dict[str, str]:
    """The environment of a machine with git and Python, where nothing of Docker is."""
    folder.mkdir()
    for name in ("sh", "git", "python3"):
        found = shutil.which(name, path=path)
        assert found
        (folder / name).symlink_to(found)
    nowhere = f"unix://{folder}/no.sock"
    return {"PATH": str(folder), "DOCKER_HOST": nowhere}


@pytest.mark.parametrize("place", ["token"], indirect=True)
def test_a_rerun_costs_nothing_and_needs_no_docker(
    place: LocalRegistry,
    project: Project,
    runner: Runner,
    publish: Callable[[], str],
    tmp_path: Path,
) -> None:
    tag = publish()
    published = place.tags()
    before, all_before = len(place.requests()), len(place.requests(""))
    sent = place.proxy.uploaded()
    bare = _only_git(tmp_path / "only-git", runner.path)
    job = runner.run(project.folder, variables=bare).ended()
    asked = [line.replace(tag, "commit-…") for line in place.since(before, OURS)]
    assert asked == RERUN
    assert len(place.requests("")) - all_before == len(RERUN) <= 10, "nobody else asked"
    assert place.proxy.uploaded() == sent, "not one byte"
    assert place.tags() == published
    assert job.outputs()["digest"] == published[tag]
    assert json.loads(job.outputs()["images"])["app"]["action"] == "reused"
    assert "reused" in job.summary
