"""What a Mac lacks: the program runs there without it. Only the system's calls are simulated."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.repositories import Project

from feastflow_registry import cli
from feastflow_registry.builder import bake_print, buildx


class Pointer:
    @staticmethod
    def in_dll(*_: object) -> NoReturn:
        raise ValueError("dlsym(RTLD_DEFAULT, environ): symbol not found")


@pytest.fixture(autouse=True)
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libc without prctl, and whose variables libraries do not see."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    monkeypatch.setattr(ctypes, "POINTER", lambda _: Pointer)


def test_a_command_with_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.commit({"Dockerfile": "FROM scratch\n"})
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("DOCKERHUB_TOKEN", "dckr_pat_only_for_a_mac")
    for name in ("_obey_signals", "_open_streams"):
        monkeypatch.setattr(cli, name, lambda *_: None)
    assert cli.main(["init"]) == 0
    assert (project.folder / "feastflow.yml").exists()


def test_a_child_is_started_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[int] = []

    def setrlimit(which: int, _: Any) -> None:
        if which == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")
        bounds.append(which)

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    bake_print._write_little()
    assert bounds == [resource.RLIMIT_FSIZE]
    buildx._end_with_parent()
