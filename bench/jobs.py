"""The whole job under act: our action against Docker's four official ones.

Docker's actions are used from checkouts outside this repository: a folder that holds
`login-action`, `setup-buildx-action`, `metadata-action` and `build-push-action`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from support.servers.github_api import GitHubApi

from bench.machine import SHARED, USER, BenchError, Install, Machine
from bench.measure import Alternative, Run
from bench.ours import GITHUB_TOKEN, github
from bench.project import Project
from bench.publish import COLD_INSTALLS, REQUESTS

DOCKER_ACTIONS = ("login-action", "setup-buildx-action", "metadata-action", "build-push-action")

# The layers are there as if a step before had made them; links, because a copy costs time.
_HEAD = """\
on: push
jobs:
  publish:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
      - run: cp --archive --link "$LAYERS" layers
"""
_OURS = """\
      - uses: feastflow/registry-action@v0
        with:
          registry: ${{ env.REGISTRY }}
          username: ${{ env.USERNAME }}
          token: ${{ secrets.DOCKERHUB_TOKEN }}
          image: our-job
          milestone: sprint3
"""
_DOCKERS = """\
      - uses: docker/login-action@v0
        with:
          registry: ${{ env.REGISTRY }}
          username: ${{ env.USERNAME }}
          password: ${{ secrets.DOCKERHUB_TOKEN }}
      - uses: docker/setup-buildx-action@v0
        with:
          driver: docker
      - uses: docker/metadata-action@v0
        id: meta
        with:
          images: ${{ env.REGISTRY }}/feastflow/docker-job
          flavor: latest=false
          tags: |
            type=sha,prefix=commit-
            type=raw,value=sprint3
            type=raw,value=latest
      - uses: docker/build-push-action@v0
        with:
          context: .
          push: true
          tags: ${{ steps.meta.outputs.tags }}
          labels: ${{ steps.meta.outputs.labels }}
"""


@dataclass
class Job:
    """A workflow in a project. `name`: also its repository on the registry."""

    machine: Machine
    project: Project
    api: GitHubApi
    name: str
    steps: str
    actions: Mapping[str, Path]
    kept: Path = field(init=False)

    def __post_init__(self) -> None:
        self.kept = self.machine.new_folder("act")
        self.workflow = self.machine.new_folder("workflow") / f"{self.name}.yml"
        self.workflow.write_text(_HEAD + self.steps)

    def run(self, *, cold: Install | None = None) -> Run:
        """Run the job. `cold`: how it installs, where the tool cache and HOME are empty."""
        temp = self.machine.new_folder("job")
        cache = temp / "act" if cold else self.kept
        environ = self.machine.environ(home=temp / "home", install=cold or Install.WHEELS)
        environ |= {"DOCKERHUB_TOKEN": self.machine.token, "GITHUB_TOKEN": GITHUB_TOKEN}
        head = self.project.head
        payload = {
            "ref": "refs/heads/main",
            "after": head,
            "head_commit": {"id": head, "timestamp": "2026-01-01T00:00:00Z"},
            "repository": {"full_name": "feastflow/app", "default_branch": "main"},
        }
        (temp / "event.json").write_text(json.dumps(payload))
        environ |= {
            "GITHUB_REPOSITORY": "feastflow/app",
            "GITHUB_API_URL": self.api.url,
            "REGISTRY": self.machine.host,
            "USERNAME": USER,
            "LAYERS": str(self.project.data),
        }
        argv = self._argv(temp, cache, environ)

        def work() -> dict[str, float]:
            seconds, said = self.machine.run(argv, environ, self.project.folder)
            return _laps(seconds, said)

        run = self.machine.watch(work)
        if self.steps:
            tags = [f"commit-{head[:7]}", *SHARED]
            self.machine.check_published(f"feastflow/{self.name}", tags)
        return run

    def _argv(self, temp: Path, cache: Path, environ: Mapping[str, str]) -> list[str]:
        """Act's command. Values go by a file, as an address of an index can hold a password."""
        handed = {name: each for name, each in environ.items() if not name.endswith("_TOKEN")}
        (temp / "environ.yml").write_text(json.dumps(handed))  # Whatever is JSON is YAML.
        folders = [f"--local-repository={name}@v0={at}" for name, at in self.actions.items()]
        return [
            _act(),
            "push",
            *("--json", "--no-cache-server", "--action-offline-mode"),
            *("--platform", "ubuntu-latest=-self-hosted"),
            *("--workflows", str(self.workflow)),
            *("--eventpath", str(temp / "event.json")),
            *("--action-cache-path", str(cache)),
            *("--env-file", str(temp / "environ.yml")),
            *("--secret-file", "", "--var-file", "", "--input-file", ""),
            *("--secret", "DOCKERHUB_TOKEN", "--secret", "GITHUB_TOKEN"),
            *folders,
        ]


def _laps(seconds: float, said: str) -> dict[str, float]:
    """Seconds by step, as act tells them, and what is act's own."""
    laps: dict[str, float] = {}
    for line in said.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and "executionTime" in told and len(told.get("stepID", [])) == 1:
            name = f"{told.get('stage', '')} {told.get('step', '')}".strip()
            laps[name] = laps.get(name, 0.0) + told["executionTime"] / 1e9
    return {**laps, "act": seconds - sum(laps.values())}


def _act() -> str:
    found = shutil.which("act", path=str(Path(sys.executable).parent)) or shutil.which("act")
    if not found:
        raise BenchError("act is not installed; `make bench` installs it")
    return found


def missing(actions: Path | None) -> str:
    """Why Docker's actions cannot take part; empty if they can."""
    if not shutil.which("node"):
        return "there is no node on PATH"
    if actions is None:
        return "--docker-actions names no folder of Docker's actions"
    absent = [each for each in DOCKER_ACTIONS if not (actions / each / "action.yml").is_file()]
    return f"{actions} does not hold {', '.join(absent)}" if absent else ""


@dataclass(frozen=True, slots=True)
class Sides:
    """The jobs to compare; `nothing` has the steps that both have."""

    dockers: Job
    ours: Job
    nothing: Job


@contextmanager
def sides(machine: Machine, actions: Path, megabytes: int, layers: int) -> Iterator[Sides]:
    """Set the jobs up, each with a project of its own."""
    theirs = Project(machine.new_folder("docker-job"), megabytes, layers)
    own = Project(machine.new_folder("our-job"), megabytes, layers)
    folders = {f"docker/{name}": actions.resolve() / name for name in DOCKER_ACTIONS}
    mine = {"feastflow/registry-action": machine.action}
    with github(theirs) as their_api, github(own) as own_api:
        yield Sides(
            Job(machine, theirs, their_api, "docker-job", _DOCKERS, folders),
            Job(machine, own, own_api, "our-job", _OURS, mine),
            Job(machine, own, own_api, "nothing", "", {}),
        )


def first(jobs: Sides, fresh: int) -> list[Alternative]:
    """A commit that was never published, `fresh` of its layers new."""

    def commit() -> None:
        jobs.ours.project.commit(fresh=fresh)

    found = [
        Alternative(
            "Docker's four actions",
            jobs.dockers.run,
            prepare=lambda: jobs.dockers.project.commit(fresh=fresh),
        )
    ]
    return found + [
        Alternative(name, run, prepare=commit, targets={"ratio": 0.75}, fewer=True)
        for name, run in _ours(jobs).items()
    ]


def again(jobs: Sides) -> list[Alternative]:
    """A commit that is published."""
    found = [Alternative("Docker's four actions", jobs.dockers.run)]
    for name, run in _ours(jobs).items():
        ratio = 0.25 if "cold" in name else 0.1
        targets = {"ratio": ratio, "requests": REQUESTS, "uploaded": 0}
        found.append(Alternative(name, run, targets=targets))
    return [*found, Alternative("checkout alone", jobs.nothing.run)]


def _ours(jobs: Sides) -> dict[str, Callable[[], Run]]:
    """Our job with the install kept, and with each way to install anew."""
    cold = {name: partial(jobs.ours.run, cold=how) for name, how in COLD_INSTALLS.items()}
    return {"ours, install kept": jobs.ours.run, **cold}
