"""Starting the program as a runner or a person does, and what came of it."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feastflow_registry.cli import run
from feastflow_registry.commands.request import Request
from feastflow_registry.config.command_line import find_folder, merge
from feastflow_registry.transport.http import Client
from support import warm_program
from support.registries import GITHUB_TOKEN, REPOSITORY, USER, LocalRegistry
from support.repositories import Project

PROGRAM = [sys.executable, "-I", "-m", "feastflow_registry"]
_HEREDOC = re.compile(r"^([\w-]+)<<(.+)\n((?:.*\n)*?)\2\n", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """One run that has ended. `slept`: the seconds it would have waited between tries."""

    code: int
    log: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    slept: float = 0.0
    sent: int = 0

    @property
    def errors(self) -> list[str]:
        """The error annotations, decoded."""
        found = re.findall(r"^::error::(.*)$", self.log, re.MULTILINE)
        return [each.replace("%0A", "\n").replace("%25", "%") for each in found]

    @property
    def shown(self) -> str:
        """The log as the runner shows it: without the lines that tell it what to mask."""
        lines = self.log.splitlines()
        return "\n".join(line for line in lines if not line.startswith("::add-mask::"))

    def ended(self, code: int = 0) -> Ran:
        """Assert how it ended."""
        assert self.code == code, f"exit {self.code} instead of {code}:\n{self.shown}"
        assert "Traceback" not in self.log, self.log
        assert len(self.errors) == 0 if code == 0 else self.errors, self.log
        return self


@dataclass
class Machine:
    """One machine's folders. `variables`: PATH, and DOCKER_HOST if there is an engine."""

    folder: Path
    project: Project
    place: LocalRegistry
    variables: Mapping[str, str]
    api_url: str = ""
    workspace: Path | None = None
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    waited: float = 0.0
    """Seconds that runs in this process would have waited so far."""

    def without_docker(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The same machine with git alone: no engine, and no docker on PATH."""
        folder = self.folder / "only-git"
        folder.mkdir(parents=True, exist_ok=True)
        git = shutil.which("git", path=environ["PATH"])
        assert git
        if not (folder / "git").exists():
            (folder / "git").symlink_to(git)
        nowhere = f"unix://{folder}/no.sock"
        return {**environ, "PATH": str(folder), "DOCKER_HOST": nowhere}

    @property
    def home(self) -> Path:
        """What HOME names."""
        return self.folder / "home"

    def runner(
        self,
        *,
        event: str = "push",
        ref: str = "refs/heads/main",
        sha: str = "",
        payload: Mapping[str, Any] | bytes | None = None,
        actor: str = "developer",
        **inputs: str,
    ) -> dict[str, str]:
        """The environment of a step of GitHub Actions, with its files made anew."""
        temp = self.folder / f"run-{next(self.numbers)}"
        temp.mkdir(parents=True)
        self.home.mkdir(exist_ok=True)
        body = payload if isinstance(payload, bytes) else json.dumps(payload or {}).encode()
        (temp / "event.json").write_bytes(body)
        given = {"username": USER, "token": self.place.token, "registry": self.place.host}
        given |= {"github_token": GITHUB_TOKEN, **inputs}
        return {
            **self._machine(temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_REF": ref,
            "GITHUB_SHA": sha or self.project.head,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_EVENT_PATH": str(temp / "event.json"),
            "GITHUB_WORKSPACE": str(self.workspace or self.project.folder),
            "GITHUB_OUTPUT": str(temp / "output"),
            "GITHUB_STEP_SUMMARY": str(temp / "summary"),
            "GITHUB_RUN_ID": "1",
            "GITHUB_ACTOR": actor,
            "RUNNER_TEMP": str(temp),
            **{f"FEASTFLOW_{name.upper()}": value for name, value in given.items()},
        }

    def laptop(self, *, credentials: bool = True, **more: str) -> dict[str, str]:
        """The environment of a person's shell."""
        temp = self.folder / f"run-{next(self.numbers)}"
        temp.mkdir(parents=True)
        self.home.mkdir(exist_ok=True)
        given = {"DOCKERHUB_USERNAME": USER, "DOCKERHUB_TOKEN": self.place.token}
        return {**self._machine(temp), **(given if credentials else {}), **more}

    def _machine(self, temp: Path) -> dict[str, str]:
        return {**self.variables, "HOME": str(self.home), "TMPDIR": str(temp), "LANG": "C.UTF-8"}

    def start(
        self, environ: Mapping[str, str], *arguments: str, cwd: Path | None = None
    ) -> Running:
        """Start the program; it runs on while the test does something else."""
        return Running(environ, arguments, cwd or self.workspace or self.project.folder)

    def run(self, environ: Mapping[str, str], *arguments: str, cwd: Path | None = None) -> Ran:
        """Run the program to its end, as a process of its own."""
        folder = cwd or self.workspace or self.project.folder
        return _ran(environ, *warm_program.run(environ, arguments, folder))

    def publish(self, **facts: Any) -> Ran:
        """Run one publish, as a process."""
        return self.run(self.runner(**facts))

    def call(
        self,
        environ: Mapping[str, str],
        *,
        timeout: float = 300.0,
        sleep: Callable[[float], None] | None = None,
        ahead: float = 0.0,
    ) -> Ran:
        """Run the program in this process, where waiting costs no time but is counted.

        `ahead`: by how many seconds this machine's clock is wrong.
        """
        seen = dict(environ)
        token = seen.pop("FEASTFLOW_TOKEN", "")
        github_token = seen.pop("FEASTFLOW_GITHUB_TOKEN", "")
        others = seen.pop("FEASTFLOW_ALSO_CREDENTIALS", "")
        folder = find_folder(seen, self.project.folder)
        given = merge({}, seen)
        request = Request(seen, given, folder, token, github_token, also_credentials=others)
        slept: list[float] = []

        def wait(seconds: float) -> None:
            slept.append(seconds)
            self.waited += seconds

        client = Client(
            clock=lambda: time.monotonic() + sum(slept),
            wall=lambda: time.time() + ahead,
            sleep=sleep or wait,
            jitter=lambda: 0.5,
            timeout=(timeout, timeout),
        )
        stream = io.StringIO()
        code = run(request, client, stream)
        return _ran(environ, int(code), stream.getvalue(), sum(slept), client.sent)


class Running:
    """The program as a process that has not ended."""

    def __init__(self, environ: Mapping[str, str], arguments: Sequence[str], cwd: Path) -> None:
        self.environ = dict(environ)
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=self.environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, seconds: float = 300) -> Ran:
        """Wait for its end."""
        try:
            log, _ = self.process.communicate(timeout=seconds)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        return _ran(self.environ, self.process.returncode, log)

    def kill(self) -> Ran:
        """End it as the kernel does when memory runs out."""
        self.process.kill()
        return self.end()


def _ran(environ: Mapping[str, str], code: int, log: str, slept: float = 0.0, sent: int = 0) -> Ran:
    return Ran(code, log, _outputs(environ), _read(environ.get("GITHUB_STEP_SUMMARY")), slept, sent)


def _outputs(environ: Mapping[str, str]) -> dict[str, str]:
    text = _read(environ.get("GITHUB_OUTPUT"))
    found = {name: value.removesuffix("\n") for name, _, value in _HEREDOC.findall(text)}
    assert _HEREDOC.sub("", text) == "", "the file of outputs is malformed"
    return found


def _read(path: str | None) -> str:
    return Path(path).read_text() if path and Path(path).is_file() else ""
