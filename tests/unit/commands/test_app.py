"""What the threads of a run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support.memory import FakeLog
from support.runs import SHOP, USER, A, context

from feastflow_registry.commands.app import App
from feastflow_registry.commands.inputs import Inputs
from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import settings
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.plan import Permission
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.run import LAPTOP
from feastflow_registry.tags.fingerprint import Fingerprint
from feastflow_registry.transport.http import Client

ELSEWHERE = Repository.parse(RegistryHost("registry.example"), "team/shop")


@dataclass(frozen=True)
class Logins(LocalWorkspace):
    """A machine that says whether a second thread could ask for a login at the same time."""

    locked: list[bool] = field(default_factory=list)
    app: list[App] = field(default_factory=list)

    def login(self, host: RegistryHost, username: str) -> Credential | None:
        self.locked.append(self.app[0]._making.locked())
        return None


@pytest.fixture
def app() -> App:
    """A promotion to another registry, with nothing made yet."""
    parsed = settings.parse({"command": "promote", "tag": f"{ELSEWHERE}:x"})
    permission = Permission(True, True, "push on main")
    workspace = Logins(Path(), {})
    app = App(
        inputs=Inputs(parsed, context(A), permission, USER, (SHOP,), (SHOP,), {}, ""),
        workspace=workspace,
        http=cast("Client", SimpleNamespace(sleep=None, clock=None, wall=None)),
        log=FakeLog(),
        machine="x86_64",
        hostname="",
        random_word=lambda: "word",
    )
    workspace.app.append(app)
    return app


def test_a_registry_is_connected_to_once_by_one_thread(app: App) -> None:
    other = app._client(ELSEWHERE.host)
    assert app._client(ELSEWHERE.host) is other is not app._client(SHOP.repository.host)
    assert cast("Logins", app.workspace).locked == [True]


def test_each_registry_has_its_own_credential(app: App) -> None:
    ghcr, quay = RegistryHost("ghcr.io"), RegistryHost("quay.io")
    bob = Credential("bob", "ghp_in_memory")
    app.inputs = replace(app.inputs, also_credentials={ghcr: bob})
    assert app.credential_of(SHOP.repository.host) == USER
    assert app.credential_of(ghcr) == bob
    assert cast("Logins", app.workspace).locked == []
    assert app.credential_of(quay) is None
    assert cast("Logins", app.workspace).locked == [False], "docker login is asked"
    app.inputs = replace(app.inputs, credential=None)
    assert app.credential_of(SHOP.repository.host) is None
    assert cast("Logins", app.workspace).locked == [False], "that of the first was looked for"
    assert list(app.credentials) == [ghcr]


@pytest.mark.parametrize(
    ("registry", "push", "event", "host_network"),
    [
        ("localhost:5000", True, "push", True),
        ("localhost:5000", False, "pull_request", False),
        ("localhost:5000", False, "pull_request_target", False),
        ("localhost:5000", False, LAPTOP, True),
        ("ghcr.io", True, "push", False),
    ],
)
def test_no_pull_request_is_built_in_the_machines_own_network(
    app: App, registry: str, push: bool, event: str, host_network: bool
) -> None:
    app.inputs = replace(
        app.inputs,
        settings=settings.parse({"command": "build", "registry": registry}),
        run=context(A, event=event),
        permission=Permission(push, push, ""),
    )
    assert app._recipe.host_network == host_network


def test_an_engine_is_made_by_one_thread(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes turns between the pushes of several services."""
    locked: list[bool] = []

    def make(*_: object) -> object:
        locked.append(app._making.locked())
        return object()

    monkeypatch.setattr("feastflow_registry.builder.engine.Engine", make)
    assert app.builder is app.builder
    assert locked == [True]


def test_the_machines_of_a_matrix_make_one_image_of_the_same_inputs(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which else would take each other's parts for those of another image."""
    seen: list[Mapping[str, str]] = []

    def sum_up(*given: object) -> Fingerprint:
        seen.append(cast("Mapping[str, str]", given[3]))
        return Fingerprint("")

    monkeypatch.setattr("feastflow_registry.commands.app.fingerprint", sum_up)
    app.__dict__["_tree"] = None
    jobs = ({"matrix": "platforms"}, {"part": "linux/arm64"}, {"part": "linux/amd64"})
    for inputs in (*jobs, {}, {}):
        app.inputs = replace(app.inputs, settings=settings.parse({"builder": "x", **inputs}))
        app.machine += "x"
        app._fingerprint(SHOP)
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] not in (seen[0], seen[4])
    assert seen[3]["builder"] == "x"
