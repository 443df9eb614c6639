"""Our action's two steps, started as action.yml starts them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from support.servers.github_api import READ, GitHubApi

from bench.machine import SHARED, USER, BenchError, Install, Machine
from bench.measure import Run

GITHUB_TOKEN = "ghs_only_for_measuring"
REPOSITORY = "feastflow/ours"
NOWHERE = "unix:///nowhere/docker.sock"
_ONE_IMAGE = {"IMAGE": REPOSITORY.partition("/")[2]}

# VmHWM and not ru_maxrss, which begins with what the parent had when it forked. The program leaves
# by os._exit, which no atexit hears of.
_WITNESS = """
import os, re, runpy, sys
path, leave = sys.argv[1], os._exit
def note(code):
    found = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
    with open(path, "w") as file:
        file.write(found[1])
    leave(code)
os._exit = note
sys.argv[:] = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Checkout(Protocol):
    """A working copy that is published."""

    folder: Path

    @property
    def head(self) -> str:
        """The commit that is checked out."""

    def commit(self, *, fresh: int) -> None:
        """Make a new commit, in which so much is new."""


@dataclass
class Ours:
    """Our action on a machine. `kept`: the tool cache that runs share.

    `inputs`: those that say what is done, or published to these `repositories`.

    `docker`: Docker's configuration. It is not made anew for each run, as HOME is, because by its
    identifier BuildKit knows which files of the context it has seen before.
    """

    machine: Machine
    project: Checkout
    api: GitHubApi
    inputs: Mapping[str, str]
    repositories: Sequence[str]
    kept: Path
    docker: Path

    @classmethod
    def on(
        cls,
        machine: Machine,
        project: Checkout,
        api: GitHubApi,
        inputs: Mapping[str, str] = _ONE_IMAGE,
        repositories: Sequence[str] = (REPOSITORY,),
    ) -> Ours:
        """Set up with an empty tool cache."""
        folders = (machine.new_folder(name) for name in ("tools", "docker"))
        return cls(machine, project, api, inputs, repositories, *folders)

    def run(self, *, cold: Install | None = None, engine: bool = True) -> Run:
        """Install and run. `cold`: how, where nothing is kept; `engine`: whether there is one."""
        environ = self._environ(cold=cold, engine=engine)
        run = self.machine.watch(lambda: self._steps(environ))
        tags = [f"commit-{self.project.head[:7]}", *SHARED]
        for repository in self.repositories:
            self.machine.check_published(repository, tags)
        return run

    def do(self) -> Run:
        """Run a command that needs no engine, the install kept."""
        environ = self._environ(engine=False)
        return self.machine.watch(lambda: self._steps(environ))

    def memory(self, *, engine: bool = True) -> int:
        """The most memory that our process ever held in a run, in bytes."""
        environ = self._environ(engine=engine)
        installed = self._install(environ)[1]
        noted = Path(environ["RUNNER_TEMP"], "memory")
        witness = [installed["python"], "-I", "-S", "-c", _WITNESS, str(noted)]
        program = [str(self.machine.action / "bootstrap.py"), "run", installed["site"]]
        self.machine.run([*witness, *program], environ | self._inputs(), self.project.folder)
        return int(noted.read_text()) * 1024

    def _steps(self, environ: Mapping[str, str]) -> dict[str, float]:
        seconds, installed = self._install(environ)
        bootstrap = str(self.machine.action / "bootstrap.py")
        argv = [installed["python"], "-I", "-S", bootstrap, "run", installed["site"]]
        ran, _ = self.machine.run(argv, {**environ, **self._inputs()}, self.project.folder)
        return {"install": seconds, "run": ran}

    def _install(self, environ: Mapping[str, str]) -> tuple[float, dict[str, str]]:
        """The first step; its seconds and its outputs."""
        output = Path(environ["GITHUB_OUTPUT"])
        argv = ["python3", "-I", "-S", str(self.machine.action / "bootstrap.py"), "install"]
        python = str(Path(environ["PATH"].partition(":")[0], "python3"))
        seconds, said = self.machine.run([python, *argv[1:]], environ, self.project.folder)
        found = dict(line.split("=", 1) for line in output.read_text().splitlines())
        output.write_text("")
        if not {"python", "site"} <= found.keys():
            raise BenchError(f"the install step told the runner nothing:\n{said}")
        return seconds, found

    def _environ(self, *, cold: Install | None = None, engine: bool) -> dict[str, str]:
        """What the runner gives to every step."""
        temp = self.machine.new_folder("run")
        payload = {"after": self.project.head, "repository": {"full_name": "feastflow/app"}}
        (temp / "event.json").write_text(json.dumps(payload))
        found = {
            **self.machine.environ(
                home=temp / "home", docker=self.docker, install=cold or Install.WHEELS
            ),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SHA": self.project.head,
            "GITHUB_REPOSITORY": "feastflow/app",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": self.api.url,
            "GITHUB_EVENT_PATH": str(temp / "event.json"),
            "GITHUB_WORKSPACE": str(self.project.folder),
            "GITHUB_OUTPUT": str(temp / "output"),
            "GITHUB_STEP_SUMMARY": str(temp / "summary"),
            "GITHUB_RUN_ID": "1",
            "GITHUB_ACTOR": "developer",
            "RUNNER_TEMP": str(temp),
            "RUNNER_TOOL_CACHE": str(temp / "tools" if cold else self.kept),
        }
        return found if engine else {**found, "DOCKER_HOST": NOWHERE}

    def _inputs(self) -> dict[str, str]:
        given = {
            "COMMAND": "publish",
            "REGISTRY": self.machine.host,
            "USERNAME": USER,
            "TOKEN": self.machine.token,
            "MILESTONE": SHARED[0],
            "GITHUB_TOKEN": GITHUB_TOKEN,
            **self.inputs,
        }
        return {f"FEASTFLOW_{name}": value for name, value in given.items()}


def github(project: Checkout) -> GitHubApi:
    """GitHub's API over a project."""
    return GitHubApi(
        project.folder / ".git", name="feastflow/app", tokens={GITHUB_TOKEN: [READ]}, private=True
    )
