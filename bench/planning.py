"""What a plan of many services costs when nothing is slow: no start-up, no network, no engine."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from support.memory import FakeBuilder, FakeRegistry, Store

from bench.machine import USER, BenchError, Machine
from bench.measure import Alternative, Run
from bench.monorepo import Monorepo
from bench.ours import GITHUB_TOKEN, github
from feastflow_registry import cli
from feastflow_registry.commands.request import Request
from feastflow_registry.config.command_line import merge
from feastflow_registry.transport.http import Client

MANY = 50
SECONDS = 0.5


@dataclass
class Planner:
    """One repository, and a registry in memory that answers at once.

    `word`: what each line of the plan begins with.
    """

    machine: Machine
    project: Monorepo
    api_url: str
    reuse: str
    word: str
    store: Store = field(default_factory=Store)

    def run(self) -> Run:
        """Plan, as a dry run does."""
        return Run({"plan": self._time("true", self.word)})

    def publish(self) -> None:
        """Publish everything, in memory."""
        self._time("false", "build")

    def commit(self) -> None:
        """Make a commit that concerns no service."""
        self.project.commit(fresh=0)

    def _time(self, dry: str, word: str) -> float:
        """Run in this process; its seconds. The plan must be what it is meant to be."""
        temp = self.machine.new_folder("plan")
        environ = self._environ(temp, dry)
        client = Client(time.monotonic, time.time, time.sleep, lambda: 0.5)
        stream = io.StringIO()
        registry = "feastflow_registry.commands.app.RegistryClient"
        engine = "feastflow_registry.builder.engine.Engine"
        with mock.patch(registry, self._registry), mock.patch(engine, self._builder):
            began = time.perf_counter()
            request = Request(
                environ, merge({}, environ), self.project.folder, "t0ken-of-bench", GITHUB_TOKEN
            )
            code = cli.run(request, client, stream)
            seconds = time.perf_counter() - began
        lines = stream.getvalue().splitlines()
        planned = sum(line.startswith(f"{word}  ") for line in lines)
        if code or planned != len(self.project.names):
            raise BenchError(f"a plan ended with {code}:\n{stream.getvalue()[-2000:]}")
        return seconds

    def _registry(self, *_: object) -> FakeRegistry:
        return FakeRegistry(self.store)

    def _builder(self, _: object) -> FakeBuilder:
        return FakeBuilder(FakeRegistry(self.store))

    def _environ(self, temp: Path, dry: str) -> dict[str, str]:
        payload = {"after": self.project.head, "repository": {"full_name": "feastflow/app"}}
        (temp / "event.json").write_text(json.dumps(payload))
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SHA": self.project.head,
            "GITHUB_REPOSITORY": "feastflow/app",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_EVENT_PATH": str(temp / "event.json"),
            "GITHUB_OUTPUT": str(temp / "output"),
            "GITHUB_STEP_SUMMARY": str(temp / "summary"),
            "GITHUB_ACTOR": "developer",
            "RUNNER_TEMP": str(temp),
            "FEASTFLOW_USERNAME": USER,
            "FEASTFLOW_REUSE": self.reuse,
            "FEASTFLOW_DRY_RUN": dry,
        }


@contextmanager
def plans(machine: Machine) -> Iterator[list[Alternative]]:
    """One service, then many: never published, published, and unchanged since they were."""
    one = Monorepo(machine.new_folder("plan-1"), 1)
    many, moving = (Monorepo(machine.new_folder(f"plan-{MANY}"), MANY) for _ in range(2))
    with github(one) as one_api, github(many) as api, github(moving) as moving_api:
        first = Planner(machine, one, one_api.url, "commit", "build")
        new = Planner(machine, many, api.url, "commit", "build")
        known = Planner(machine, many, api.url, "commit", "reuse")
        carried = Planner(machine, moving, moving_api.url, "unchanged", "carry")
        known.publish()
        carried.publish()
        carried.commit()
        target = {"seconds": SECONDS}
        yield [
            Alternative("1 service, new", first.run),
            Alternative(f"{MANY} services, new", new.run, targets=target),
            Alternative(f"{MANY} services, published", known.run, targets=target),
            Alternative(f"{MANY} services, unchanged", carried.run, targets=target),
        ]
