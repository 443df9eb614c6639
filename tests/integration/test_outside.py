"""What a file of the checkout makes buildx read by itself: nothing outside, nothing without end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from support.memory import FakeLog

from feastflow_registry.builder.build_log import BuildLog
from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import compose
from feastflow_registry.config.file import Config
from feastflow_registry.git.worktree import check_files
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Secret, Service

HOST = RegistryHost("localhost:5000")
APP = Service("app", Repository(HOST, "ada/app"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository, and a file beside it that is nobody's business."""
    (tmp_path / "outside").write_text("PASSWORD=secret\n")
    (tmp_path / "work/sub").mkdir(parents=True)
    (tmp_path / "work/Dockerfile").write_text("FROM scratch\n")
    return tmp_path / "work"


def where(service: str, key: str) -> str:
    return f"{service}.{key}"


def causes(workspace: Path, service: Service = APP) -> list[str]:
    return [each.cause for each in check_files(workspace, [service], where, lambda: ())]


@pytest.mark.parametrize("target", ["../outside", "/dev/zero", "/dev/null"])
def test_an_env_file_that_leads_out_is_refused(workspace: Path, target: str) -> None:
    assert causes(workspace) == []
    (workspace / ".env").symlink_to(target)
    [cause] = causes(workspace)
    assert ".env" in cause
    assert "outside the repository" in cause


@pytest.mark.parametrize("kind", ["pipe", "folder", "large"])
def test_an_env_file_is_a_small_file(workspace: Path, kind: str) -> None:
    path = workspace / ".env"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(bytes(1024 * 1024 + 1))
    [cause] = causes(workspace)
    assert "no file of up to 1 MiB" in cause


@pytest.mark.parametrize(
    ("key", "service"),
    [
        ("context", Service("app", APP.repository, context="link/../..")),
        ("dockerfile", Service("app", APP.repository, dockerfile="link/../../Dockerfile")),
        (
            "dockerfile",
            Service("app", APP.repository, context="link", dockerfile="../../Dockerfile"),
        ),
        ("watch", Service("app", APP.repository, watch=("link/..",))),
        ("additional_contexts", Service("app", APP.repository, contexts=(("x", "link/../.."),))),
        ("secrets", Service("app", APP.repository, secrets=(Secret("x", file="link/../../key"),))),
    ],
    ids=["context", "dockerfile", "below the context", "watch", "other context", "secret"],
)
def test_what_buildx_would_look_for_elsewhere_is_refused(
    workspace: Path, key: str, service: Service
) -> None:
    """It folds `link/../..` to `..`, where the system follows the link first, to `deep/a`."""
    (workspace / "deep/a/b/c").mkdir(parents=True)
    for folder in ("deep/a/b", "deep/a", "deep"):
        (workspace / folder / "Dockerfile").write_text("FROM scratch\n")
        (workspace / folder / "key").write_text("key")
    (workspace / "link").symlink_to("deep/a/b/c")
    [cause] = causes(workspace, service)
    assert cause.startswith(f"app.{key}: ")
    assert cause.endswith("lies outside the repository.")


def test_a_link_and_dots_that_stay_inside_are_taken(workspace: Path) -> None:
    (workspace / "link").symlink_to("sub")
    (workspace / "sub/Dockerfile").write_text("FROM scratch\n")
    assert causes(workspace, Service("app", APP.repository, context="link")) == []
    assert causes(workspace, Service("app", APP.repository, context="sub/../link")) == []


def resolve(workspace: Path) -> Config:
    """Resolve the Compose file, where nothing may come so far as to ask for buildx."""
    return compose.read("compose.yaml", LocalWorkspace(workspace, {"PATH": "/nonexistent"}))


COMPOSE: Mapping[str, Any] = {
    "an include": {"include": ["../outside"]},
    "extends": {"services": {"a": {"extends": {"file": "../outside", "service": "b"}}}},
    "a variable": {"include": ["${X:-/etc/hostname}"]},
    "a link": {"include": ["link.yaml"]},
    "a loop of links": {"include": ["loop.yaml"]},
    "a folder": {"include": ["sub"]},
    "what an include includes": {"include": ["nested.yaml"]},
    "variables of an include": {"include": [{"path": "inner.yaml", "env_file": "link.yaml"}]},
}


@pytest.mark.parametrize("name", COMPOSE)
def test_a_compose_file_that_leads_out_is_refused(workspace: Path, name: str) -> None:
    (workspace / "link.yaml").symlink_to("../outside")
    (workspace / "loop.yaml").symlink_to("loop.yaml")
    (workspace / "inner.yaml").write_text("services: {a: {build: .}}")
    (workspace / "nested.yaml").write_text(json.dumps({"include": ["../outside"]}))
    (workspace / "compose.yaml").write_text(json.dumps(COMPOSE[name]))
    with pytest.raises(Failure, match=r"lies outside the repository|path holds a variable"):
        resolve(workspace)


@pytest.mark.parametrize("sign", ["[", "{a: "])
def test_a_file_that_is_nested_without_end_is_no_crash(workspace: Path, sign: str) -> None:
    (workspace / "compose.yaml").write_text(sign * 200_000)
    with pytest.raises(Failure, match=r"compose\.yaml, line 1"):
        resolve(workspace)


@pytest.mark.parametrize(
    "text",
    [
        "services: !override {}\ninclude: !reset [../outside]\n",
        "x: !!python/object:a.b {}\ninclude: [../outside]\n",
        f"x: {'[' * 101}{']' * 101}\ninclude: [../outside]\n",
        f"# {'x' * 1024 * 1024}\ninclude: [../outside]\n",
        "a: b: c\ninclude: [../outside]\n",
    ],
    ids=["tags of Compose", "other tags", "deep", "large", "no YAML"],
)
def test_what_is_not_understood_leads_nowhere(workspace: Path, text: str) -> None:
    (workspace / "compose.yaml").write_text(text)
    with pytest.raises(Failure, match=r"outside the repository|compose\.yaml, line|than 1 MiB"):
        resolve(workspace)


@pytest.mark.parametrize("target", ["../outside", "/dev/zero", "/dev/null"])
def test_variables_of_a_compose_file_that_lead_out(workspace: Path, target: str) -> None:
    (workspace / "compose.yaml").write_text("services: {a: {build: .}}")
    (workspace / ".env").symlink_to(target)
    with pytest.raises(Failure, match=r"reads '\.env', which lies outside the repository"):
        resolve(workspace)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_secret_is_a_file(workspace: Path, make: Any) -> None:
    make(workspace / "secret")
    secret = Service("app", APP.repository, secrets=(Secret("x", file="secret"),))
    assert causes(workspace, secret) == ["app.secrets: there is no 'secret'."]


def test_a_name_that_no_file_system_takes_is_not_there(workspace: Path) -> None:
    long = "a" * 300
    for service in (
        Service("app", APP.repository, context=long),
        Service("app", APP.repository, dockerfile=long),
        Service("app", APP.repository, watch=(long,)),
    ):
        [cause] = causes(workspace, service)
        assert "there is no" in cause


@pytest.mark.parametrize(("ssh", "given"), [(["default"], True), ([], False)])
def test_an_agent_is_forwarded_to_a_build_that_asks_for_one(
    workspace: Path, ssh: list[str], given: bool
) -> None:
    """Of some contexts, buildx takes it that they need one."""
    lines: list[str] = []

    class Log:
        read = staticmethod(lines.append)

    environ = {"SSH_AUTH_SOCK": "/run/agent", "HOME": str(workspace)}
    buildx = Buildx(
        workspace, environ, FakeLog(), lambda _: None, "", HOST, None, lambda: workspace
    )
    program = [sys.executable, "-c", "import os; print('\\n'.join(os.environ))"]
    definition = json.dumps({"target": {"app": {"context": "x@h:p", "ssh": ssh}}})
    buildx._session(program, definition, cast("BuildLog", Log()))
    assert ("SSH_AUTH_SOCK" in lines) is given


@pytest.mark.parametrize("dest", ["hooks/pre-commit", "."])
def test_an_output_is_written_over_no_part_of_git(workspace: Path, dest: str) -> None:
    (workspace / ".git/hooks").mkdir(parents=True)
    (workspace / "out").symlink_to(".git")
    (workspace / "deep").mkdir()
    (workspace / "deep/out").symlink_to("../.git/hooks")
    for folder in ("out", "deep/out"):
        [cause] = causes(workspace, replace(APP, outputs=(f"type=tar,dest={folder}/{dest}",)))
        assert cause.startswith("app.outputs: ")
    assert causes(workspace, replace(APP, outputs=("type=tar,dest=deep/x.tar",))) == []
