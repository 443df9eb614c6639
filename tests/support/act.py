"""A runner: act, which runs a workflow's steps on this machine, and what came of it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.events import PUSH, Event
from support.registries import GITHUB_TOKEN, REPOSITORY, USER, LocalRegistry
from support.servers.git_repository import GitRepository

ROOT = Path(__file__).resolve().parents[2]
ACT = Path(sys.executable).with_name("act")
ACTION = "feastflow/registry-action@v0.1.0"
SHIPPED = (
    *("action.yml", "bootstrap.py", "environment.py", "wheels.py"),
    *("wheels.txt", "requirements.txt", "requirements-uv.txt"),
)
STEP = "registry"
SECONDS = 600

# How a job reaches the package index, where the machine says so.
PASSED = re.compile(
    r"LANG|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|(PIP|UV)_\w+",
    re.IGNORECASE,
)


def ship(folder: Path) -> Path:
    """Copy what a release of the action holds and a job needs."""
    folder.mkdir(parents=True)
    for name in SHIPPED:
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    package = "feastflow_registry"
    shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copytree(ROOT / "cache", folder / "cache")
    return folder


def job_path(path: str) -> str:
    """PATH for jobs: a real Python before any shim, and none of this project's own programs."""
    ours = {str(Path(sys.executable).parent), os.environ.get("VIRTUAL_ENV", "") + "/bin"}
    python = str(Path(sys.base_prefix) / "bin")
    return os.pathsep.join([python, *(p for p in path.split(os.pathsep) if p not in ours)])


@dataclass(frozen=True)
class Job:
    """A run that has ended. `text`: all that act said."""

    code: int
    text: str
    events: tuple[Mapping[str, Any], ...] = ()

    def ended(self, result: str = "success", code: int = 0) -> Job:
        """Assert how the job ended, and with which exit code the program did."""
        results = [each["jobResult"] for each in self.events if "jobResult" in each]
        assert set(results) == {result}, f"{results}:\n{self.readable}"
        assert bool(self.code) == (result != "success")
        assert "Traceback" not in self.readable, self.readable
        codes = {int(n) for n in re.findall(r"^exit status (\d+)$", self.readable, re.MULTILINE)}
        assert codes == ({code} if code else set()), self.readable
        assert len(self.errors) == 0 if result == "success" else self.errors, self.readable
        return self

    def failed(self, code: int) -> Job:
        """Assert that the program failed as designed."""
        return self.ended("failure", code)

    @property
    def results(self) -> dict[str, str]:
        """How each job ended that was not skipped: `plan`, or of a matrix `build pricing`.

        act says "failure" of every job of a matrix that ends after the first that failed.
        """
        return {_name(each): each["jobResult"] for each in self.events if "jobResult" in each}

    def of(self, name: str) -> Job:
        """One job of several, as if it had been alone; `name` is as in `results`."""
        mine = [e for e in self.events if _name(e) == name]
        return Job(int(self.results[name] != "success"), self.text, tuple(mine))

    @property
    def readable(self) -> str:
        """The log as a person reads it."""
        return "\n".join(str(each.get("msg", "")).rstrip("\n") for each in self.events)

    @property
    def printed(self) -> list[str]:
        """The lines that the steps printed and act took for nothing but text."""
        lines = [str(each["msg"]) for each in self.events if each.get("raw_output")]
        return [line for text in lines for line in text.splitlines()]

    def commands(self, name: str) -> list[str]:
        """What one workflow command was given, each time that act obeyed it."""
        return [str(e.get("arg", "")) for e in self.events if e.get("command") == name]

    @property
    def errors(self) -> list[str]:
        """The error annotations. act does not know one whose text holds "::"; GitHub does."""
        lines = (str(each.get("msg", "")).strip() for each in self.events)
        found = (re.fullmatch(r"[❗❓]\s+::error::(.*)", line) for line in lines)
        return [each[1].replace("%0A", "\n").replace("%25", "%") for each in found if each]

    def outputs(self, step: str = STEP) -> dict[str, str]:
        """The outputs of a step of the workflow."""
        mine = [e for e in self.events if e.get("stepID") == [step]]
        return {e["name"]: e["arg"] for e in mine if e.get("command") == "set-output"}

    @property
    def summary(self) -> str:
        """What the action's step wrote into the job summary."""
        mine = [e for e in self.events if e.get("stepID") == [STEP]]
        return "".join(str(e["content"]) for e in mine if e.get("command") == "summary")


@dataclass
class Runner:
    """One machine that takes jobs. Each job has a HOME of its own; `tool_cache` outlives them."""

    folder: Path
    action: Path
    place: LocalRegistry
    variables: Mapping[str, str]
    api_url: str
    tool_cache: Path | None = None
    """Where installed packages are kept; with none, a job finds nothing and leaves nothing."""
    token: str = ""
    """The secret, if it is not the one that the registry knows."""
    homes: list[Path] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, checkout: Path, event: Event = PUSH, **options: Any) -> Job:
        """Run the workflow for an event to its end."""
        return self.start(checkout, event, **options).end()

    def start(
        self,
        checkout: Path,
        event: Event = PUSH,
        *,
        workflow: str = "",
        options: tuple[str, ...] = ("--json",),
        secrets: bool = True,
        more_secrets: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Running:
        """Start the workflow that is committed in the checkout, or another text of it."""
        number = next(self.numbers)
        home = self._make_home(self.folder / f"home-{number}")
        self.homes.append(home)
        payload = self.folder / f"event-{number}.json"
        payload.write_text(json.dumps(event.payload))
        given = [f"DOCKERHUB_TOKEN='{self.token or self.place.token}'"] if secrets else []
        more = {"GITHUB_TOKEN": GITHUB_TOKEN, **(more_secrets or {})}
        given += [f"{name}='{value}'" for name, value in more.items()]
        arguments = [
            *(event.name, "--platform", "ubuntu-24.04=-self-hosted"),
            *("--platform", "ubuntu-24.04-arm=-self-hosted"),
            *("--local-repository", f"{ACTION}={self.action}"),
            *("--var", f"DOCKERHUB_USERNAME={USER}"),
            # From a pipe: on act's command line or in its environment the jobs would find them.
            *("--secret-file", "/dev/stdin"),
            *("--eventpath", str(payload), "--actor", event.actor),
            *("--no-cache-server", *options),
        ]
        if workflow:
            file = self.folder / f"workflow-{number}" / "registry-ci.yml"
            file.parent.mkdir()
            file.write_text(workflow)
            arguments += ["--workflows", str(file)]
        for name, value in self._facts(event, checkout).items():
            arguments += ["--env", f"{name}={value}"]
        environ = {**self._environ(home), **(variables or {})}
        return Running(arguments, environ, checkout, "\n".join(given))

    @property
    def path(self) -> str:
        """PATH, as jobs have it."""
        return job_path(self.variables["PATH"])

    def _facts(self, event: Event, checkout: Path) -> dict[str, str]:
        names = {"heads": "branch", "tags": "tag"}
        _, kind, short = event.ref.split("/", 2)
        return {
            # Left alone, act takes it from the payload, where an annotated git tag has its own.
            "SHA_REF": event.sha or GitRepository(checkout).run("rev-parse", "HEAD").strip(),
            "GITHUB_API_URL": self.api_url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REF": event.ref,
            "GITHUB_REF_NAME": short,
            "GITHUB_REF_TYPE": names.get(kind, "branch"),
            "GITHUB_HEAD_REF": event.head_ref,
            "GITHUB_BASE_REF": event.base_ref,
        }

    def _make_home(self, home: Path) -> Path:
        cache = home / ".cache" / "act"
        cache.mkdir(parents=True)
        (home / "tmp").mkdir()
        if self.tool_cache:
            (cache / "tool_cache").symlink_to(self.tool_cache)
        return home

    def _environ(self, home: Path) -> dict[str, str]:
        passed = {name: each for name, each in os.environ.items() if PASSED.fullmatch(name)}
        own = {"HOME": str(home), "TMPDIR": str(home / "tmp"), "PATH": self.path}
        return {**passed, **self.variables, **own}


class Running:
    """A job that has not ended."""

    def __init__(
        self, arguments: list[str], environ: Mapping[str, str], checkout: Path, secrets: str
    ) -> None:
        self.process = subprocess.Popen(
            [str(ACT), *arguments],
            env=dict(environ),
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert self.process.stdin
        self.process.stdin.write(secrets)
        self.process.stdin.close()
        self.process.stdin = None

    def end(self) -> Job:
        """Wait for its end."""
        try:
            text, _ = self.process.communicate(timeout=SECONDS)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        lines = [line for line in text.splitlines() if line.startswith("{")]
        return Job(self.process.returncode, text, tuple(map(_parsed, lines)))

    def program(self) -> int:
        """The process of the program itself, among those that act has started."""
        for each in _descendants(self.process.pid):
            words = Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")
            if b"run" in words and any(word.endswith(b"bootstrap.py") for word in words):
                return each
        raise AssertionError("the program does not run")

    def kill_program(self) -> None:
        """End the program as the kernel does when memory runs out."""
        os.kill(self.program(), signal.SIGKILL)


def _name(event: Mapping[str, Any]) -> str:
    return " ".join([event.get("jobID", ""), *(event.get("matrix") or {}).values()])


def _parsed(line: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return {"msg": line}
    return found


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(each) for file in children for each in file.read_text().split()]
    return found + [below for each in found for below in _descendants(each)]
