"""A push to main: three tags on one digest, proven; again, it costs nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import events, workflows
from support.act import Runner
from support.registries import OURS, REPOSITORY, USER, Place
from support.repositories import Project
from support.servers.github_api import GitHubApi

from end_to_end.conftest import STORES, Runners

LABEL = "org.opencontainers.image"
RERUN = [
    "HEAD manifests/commit-… 401",
    "HEAD manifests/commit-… 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/sprint3 200",
    "HEAD manifests/latest 200",
]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("place", ["htpasswd", "token"], indirect=True)
def test_three_tags_hold_one_digest_and_crane_agrees(
    place: Place, project: Project, runners: Runners, store: str, api: GitHubApi
) -> None:
    sha = project.head
    job = runners(store).run(project.folder, events.push("main", sha)).ended()

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

    assert job.summary.startswith(f"### Published: commit {sha[:7]}\n")
    [row] = [line for line in job.summary.splitlines() if line.startswith("| app |")]
    for part in (own, "sprint3", "latest", short, "built"):
        assert f"<code>{part}</code>" in row or f" {part} " in row
    named = {references[0], f"{place.repository}@{digest}"}
    for command in ("docker pull", "docker run --rm -P"):
        assert {f"{command} {name}" for name in named} & set(job.summary.splitlines())


def test_the_jobs_outputs_reach_a_later_job(place: Place, project: Project, runner: Runner) -> None:
    """GitHub drops a job's output that holds a secret; none of these holds even the user name."""
    text = workflows.with_later_job(workflows.caller(place.host))
    job = runner.run(project.folder, workflow=text).ended()
    assert job.outputs("later") == {"pushed": "true", "digest": place.digest("latest")}
    outputs = job.outputs()
    for name in ("pushed", "reason", "digest", "digests", "matrix"):
        assert USER not in outputs[name]
    for name in outputs:
        assert place.token not in outputs[name]


def test_a_cold_runner_installs_what_it_needs_and_publishes(
    place: Place, project: Project, runners: Runners
) -> None:
    job = runners(cold=True).run(project.folder).ended()
    assert any(line.startswith("Installed this action's packages in") for line in job.printed)
    assert set(place.tags()) == {f"commit-{project.head[:7]}", "sprint3", "latest"}


def _only_git(folder: Path, path: str) -> dict[str, str]:
    """The environment of a machine with git and Python, where nothing of Docker is."""
    folder.mkdir()
    for name in ("bash", "git", "python3"):
        found = shutil.which(name, path=path)
        assert found
        (folder / name).symlink_to(found)
    nowhere = f"unix://{folder}/no.sock"
    return {"PATH": str(folder), "DOCKER_HOST": nowhere}


@pytest.mark.parametrize("place", ["htpasswd", "token"], indirect=True)
def test_a_second_commit_moves_on_and_a_rerun_costs_nothing(
    place: Place, project: Project, runner: Runner, tmp_path: Path
) -> None:
    one = project.head
    runner.run(project.folder).ended()
    first = place.digest(f"commit-{one[:7]}")

    two = project.commit()
    runner.run(project.folder).ended()
    second = place.digest(f"commit-{two[:7]}")
    assert second != first
    assert place.digest(f"commit-{one[:7]}") == first, "a commit tag is written once"
    assert {place.digest(tag) for tag in ("sprint3", "latest")} == {second}

    before, all_before = len(place.requests()), len(place.requests(""))
    sent = place.proxy.uploaded()
    bare = _only_git(tmp_path / "only-git", runner.path)
    job = runner.run(project.folder, variables=bare).ended()
    asked = [line.replace(two[:7], "…") for line in place.since(before, OURS)]
    expected = [RERUN[0], "GET /token 200", *RERUN[1:]] if place.tokens else RERUN
    assert asked == expected
    assert len(place.requests("")) - all_before == len(expected) <= 10, "nobody else asked"
    assert place.proxy.uploaded() == sent, "not one byte"
    assert job.outputs()["digest"] == second
    assert json.loads(job.outputs()["images"])["app"]["action"] == "reused"
    assert "reused" in job.summary
    assert place.tags() == {
        f"commit-{one[:7]}": first,
        **dict.fromkeys((f"commit-{two[:7]}", "sprint3", "latest"), second),
    }
