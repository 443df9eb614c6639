"""What tests of more than one folder share: the development stack, brought up when it is not.

A stack that is up already is used and left alone; one that is brought up here is taken down at the
session's end. Tests of which a machine is not capable are skipped, with one reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.registries import Processes

STACK = Path(__file__).resolve().parent.parent / "dev" / "stack"


@dataclass
class Stack:
    """`dev/stack`, asked for its parts only when a test needs them."""

    started: bool = False
    """Whether nothing was up before, so that all of it is ours to take down."""
    known: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def variables(self, store: str = "") -> Mapping[str, str]:
        """PATH, DOCKER_HOST and what else programs need to find the engine of a store."""
        if store not in self.known:
            options = ["--store", store] if store else []
            if self._run("env", "--json", *options).returncode:
                self._up(*options)
            self.known[store] = json.loads(self._run("env", "--json", *options).stdout)
        return self.known[store]

    @property
    def buildkit(self) -> str:
        """The address of a builder for the driver `remote`."""
        known = self.variables("containerd")
        if "FEASTFLOW_DEV_BUILDKIT" not in known:
            self._up("--buildkit")
            del self.known["containerd"]
        return self.variables("containerd")["FEASTFLOW_DEV_BUILDKIT"]

    def give_busybox(self, folder: Path) -> None:
        """Put a static busybox into a folder."""
        done = self._run("busybox", str(folder))
        if done.returncode:
            pytest.skip(f"no static busybox on this machine: {done.stderr.strip()}")

    def _up(self, *options: str) -> None:
        before = self._run("status").stdout
        idle = all(f"{part} none" in " ".join(before.split()) for part in ("engine", "registry"))
        done = self._run("up", *options)
        self.started = self.started or idle
        if done.returncode and os.geteuid() != 0:
            pytest.skip(f"no root, so no engine of its own: dev/stack up {' '.join(options)}")
        assert done.returncode == 0, done.stdout + done.stderr

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(STACK), *arguments], capture_output=True, text=True, check=False
        )

    def down(self) -> None:
        """Leave the machine as it was found."""
        if self.started:
            self._run("down")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def registries(stack: Stack) -> Iterator[Processes]:
    """The registry processes that tests use in turn."""
    processes = Processes(stack.variables()["PATH"])
    yield processes
    processes.close()
