"""What `docker login` may have left: entries of every kind, and helpers of every kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker.credentials
import pytest
from docker.credentials import CredentialsNotFound, StoreError
from support.failures import fails

from feastflow_registry.builder.docker_login import from_login
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import HUB, RegistryHost

R = RegistryHost("r.example.com")
ADA = Credential("ada", "s3cret:word")
IDENTITY = Credential("", "i-am-ada", is_identity=True)
PAIR = base64.b64encode(b"ada:s3cret:word").decode()
ENTRY = {"auth": PAIR}
BROKEN = {"auth": "%%"}


def kept(folder: Path, config: object, host: RegistryHost = R, user: str = "") -> Credential | None:
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)
    return from_login(host, user, {"DOCKER_CONFIG": str(folder)})


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        (ENTRY, ADA),
        ({"username": "ada", "password": "s3cret:word"}, ADA),
        ({"auth": "", "username": "ada", "password": "s3cret:word"}, ADA),
        ({**ENTRY, "username": "eve", "password": "other"}, ADA),
        ({"auth": base64.b64encode(b"ada:s3cret:word\0\0").decode()}, ADA),
        ({"auth": base64.b64encode(b"0:").decode(), "identitytoken": "i-am-ada"}, IDENTITY),
        ({"auth": base64.b64encode(b"<token>:i-am-ada").decode()}, IDENTITY),
        ({**ENTRY, "identitytoken": ""}, ADA),
        ({**ENTRY, "identitytoken": 7}, ADA),
        ({"auth": base64.b64encode(b"ada:").decode()}, None),
        ({"auth": base64.b64encode(b"\xff:\xff").decode()}, None),
        ({"auth": f"%{PAIR}"}, None),
        ({"username": 7, "password": "s3cret:word"}, None),
        ({"username": "ada"}, None),
        ({}, None),
        (PAIR, None),
    ],
)
def test_an_entry(tmp_path: Path, entry: object, credential: Credential | None) -> None:
    assert kept(tmp_path, {"auths": {R.name: entry}}) == credential


@pytest.mark.parametrize(
    ("host", "key"),
    [
        *((R, f"{scheme}{R}{path}") for scheme in ("https://", "http://") for path in ("", "/v2/")),
        *((HUB, key) for key in ("https://index.docker.io/v1/", "index.docker.io", "docker.io")),
        (RegistryHost("r.example.com:5000"), "https://r.example.com:5000/v1/"),
    ],
)
def test_a_registry_by_any_of_its_addresses(tmp_path: Path, host: RegistryHost, key: str) -> None:
    others = {"other.example.com": "no entry", f"{R}.example": ENTRY, "r.example.com:1": BROKEN}
    assert kept(tmp_path, {"auths": others}, host) is None
    assert kept(tmp_path, {"auths": {**others, key: ENTRY}}, host) == ADA


def test_a_broken_entry_beside_a_sound_one(tmp_path: Path) -> None:
    assert kept(tmp_path, {"auths": {R.name: BROKEN, f"https://{R}": ENTRY}}) == ADA


def test_of_another_user_there_is_nothing(tmp_path: Path) -> None:
    assert kept(tmp_path, {"auths": {R.name: ENTRY}}, user="ada") == ADA
    assert kept(tmp_path, {"auths": {R.name: ENTRY}}, user="eve") is None
    identity = {"auths": {R.name: {"identitytoken": "i-am-ada"}}}
    assert kept(tmp_path, identity, user="ada") == IDENTITY, "it tells no user"


@pytest.mark.parametrize(
    "config",
    ["", "{", "[]", "[" * 100_000, "{}", '{"auths": []}', '{"credHelpers": 7, "credsStore": 7}'],
)
def test_a_file_that_holds_nothing(tmp_path: Path, config: str) -> None:
    assert kept(tmp_path, config) is None


def test_the_file_is_at_home_where_nothing_else_is_said(tmp_path: Path) -> None:
    home = tmp_path / ".docker"
    assert from_login(R, "", {"HOME": str(tmp_path)}) is None
    home.mkdir()
    assert kept(home, {"auths": {R.name: ENTRY}}) == ADA
    assert from_login(R, "", {"HOME": str(tmp_path)}) == ADA


class Helpers:
    """The credential helpers that are installed: what each answers, by the registry's key."""

    def __init__(self, **answers: Mapping[str, object]) -> None:
        self.answers = answers

    def __call__(self, name: str, environment: Mapping[str, str]) -> Helpers:
        assert "DOCKER_CONFIG" in environment, "a helper sees what this program may show it"
        self.program = f"docker-credential-{name}"
        self.own = self.answers.get(name)
        self.exe = None if self.own is None else f"/bin/{self.program}"
        return self

    def get(self, key: str) -> Any:
        assert self.own is not None
        answer = self.own.get(key, CredentialsNotFound())
        if isinstance(answer, Exception):
            raise answer
        return answer


ANSWER = {"Username": "ada", "Secret": "s3cret:word"}
OWN, ALL = {"credHelpers": {R.name: "own"}}, {"credsStore": "all"}
HUB_KEY = "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("config", "answers", "host", "credential"),
    [
        (ALL, {"all": {R.name: ANSWER}}, R, ADA),
        ({**OWN, **ALL}, {"own": {R.name: ANSWER}, "all": {}}, R, ADA),
        ({"credHelpers": {"x.example.com": "gone"}, **ALL}, {"all": {R.name: ANSWER}}, R, ADA),
        ({**ALL, "auths": {R.name: ENTRY}}, {"all": {}}, R, None),
        ({**OWN, "auths": {HUB_KEY: ENTRY}}, {}, HUB, ADA),
        (ALL, {"all": {HUB_KEY: ANSWER}}, HUB, ADA),
        ({"credHelpers": {"docker.io": "hub"}}, {"hub": {HUB_KEY: ANSWER}}, HUB, ADA),
        (ALL, {"all": {R.name: {"Username": "<token>", "Secret": "i-am-ada"}}}, R, IDENTITY),
        (ALL, {"all": {R.name: {"Username": "ada", "Secret": ""}}}, R, None),
    ],
)
def test_a_helper(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: object,
    answers: Mapping[str, Mapping[str, object]],
    host: RegistryHost,
    credential: Credential | None,
) -> None:
    monkeypatch.setattr(docker.credentials, "Store", Helpers(**answers))
    assert kept(tmp_path, config, host) == credential


@pytest.mark.parametrize("answer", [StoreError("locked"), ValueError("no JSON"), {}, ["ada"]])
def test_a_helper_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(docker.credentials, "Store", Helpers(all={R.name: answer}))
    said = ("the credential helper docker-credential-all does not give", f"docker login {R}")
    with fails(*said, kind=Kind.INPUT):
        kept(tmp_path, ALL)


def test_a_helper_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker.credentials, "Store", Helpers())
    said = (f"the credential for {R} with docker-credential-own, which is not installed", "Install")
    with fails(*said, kind=Kind.INPUT):
        kept(tmp_path, {**OWN, "auths": {R.name: ENTRY}})
