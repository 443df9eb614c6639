"""Podman in the engine's place, as its API and its command present themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.failures import fails
from support.memory import FakeLog
from support.servers.serving import Call, Server

from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.builder.engine import Engine
from feastflow_registry.model.errors import Failure, Kind

# https://docs.podman.io/en/latest/_static/api.html#tag/system-(compat)/operation/SystemVersion
PODMAN = [{"Name": "Podman Engine", "Version": "5.6.2"}, {"Name": "Conmon"}]
DOCKER = [{"Name": "Engine", "Version": "29.1.0"}, {"Name": "containerd"}]
SHIM = """#!/bin/sh
echo 'Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg.' >&2
case "$*" in
  --version) echo 'podman version 5.6.2' ;;
  'buildx version') echo 'buildah 1.41.5' ;;
  *) echo "Error: unknown flag: $*" >&2; exit 125 ;;
esac
"""


class EngineApi(Server):
    """The answer to `GET /version`, which is all that is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[dict[str, str]] | None = []

    def respond(self, call: Call) -> None:
        said: dict[str, Any] = {"ApiVersion": "1.44", "Version": "1", "Components": self.parts}
        call.answer(200, json.dumps(said).encode())


@pytest.fixture
def api() -> Iterator[EngineApi]:
    with EngineApi() as api:
        yield api


def engine(environ: dict[str, str]) -> Engine:
    return Engine(Buildx(Path(), environ, FakeLog(), lambda _: None, "", {}, Path))


def test_podman_behind_the_engine_s_address(api: EngineApi) -> None:
    found = engine({"DOCKER_HOST": api.url.replace("http", "tcp")})
    api.parts = PODMAN
    with fails("the command docker is Podman here, and Podman has no BuildKit", kind=Kind.BUILD):
        _ = found.client


@pytest.mark.parametrize("parts", [DOCKER, [], None])
def test_another_engine_is_taken(api: EngineApi, parts: list[dict[str, str]] | None) -> None:
    api.parts = parts
    assert engine({"DOCKER_HOST": api.url.replace("http", "tcp")}).client


def test_podman_under_the_name_of_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text(SHIM)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with fails("the command docker is Podman here, and Podman has no BuildKit", kind=Kind.BUILD):
        engine({**os.environ, "HOME": str(tmp_path)}).check_ready([])


def test_a_docker_whose_buildx_has_no_bake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text(SHIM.replace("podman version", "Docker version"))
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="docker has no buildx that knows bake"):
        engine({**os.environ, "HOME": str(tmp_path)}).check_ready([])
