from __future__ import annotations

import base64
import json

import pytest
from support.failures import fails

from feastflow_registry.model.credentials import (
    Credential,
    docker_config,
    holds,
    is_name,
    missing,
    no_namespace,
    read_several,
    secrets_of,
    unnamed,
)
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import RegistryHost

HUB, LOCAL = RegistryHost("docker.io"), RegistryHost("localhost:5000")
TOKEN = "dckr_pat_Ab-_9?>"
ADA = Credential("ada", TOKEN)


@pytest.mark.parametrize("username", ["", "ada"])
def test_no_token_is_no_credential(username: str) -> None:
    assert Credential.parse(username, "") is None


def test_both() -> None:
    assert Credential.parse("ada", TOKEN) == ADA


@pytest.mark.parametrize(
    ("username", "token", "words"),
    [
        ("", TOKEN, ["without a user name", '"username" too']),
        ("ada", "latest", ["too short", "at least 8 characters", "access token"]),
        ("ada", "a1b2c3d", ["too short to be a token"]),
        ("ada", "::add-mask::x", ['holds "::"', "access token"]),
        ("ada", "abcdef::b", ['holds "::"']),
        ("ada", TOKEN + "\n", ["a line break", "pasted with it"]),
        ("ada", " " + TOKEN, ["a space"]),
        ("ada", "abcdefg\x00b", ["a character that no token has"]),
        ("ada", "tökéntökén", ["a character that no token has"]),
        ("ada", "abcdefg\u2028b", ["no token has"]),
    ],
)
def test_refuses_a_token_without_showing_it(username: str, token: str, words: list[str]) -> None:
    with fails('input "token"', *words) as caught:
        Credential.parse(username, token)
    assert token not in str(caught.value)
    assert "dckr_pat" not in str(caught.value)


def test_is_not_shown() -> None:
    assert TOKEN not in repr(ADA)
    assert TOKEN not in str(ADA)


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def test_forms_for_others() -> None:
    assert decoded(ADA.basic.removeprefix("Basic ")) == f"ada:{TOKEN}"
    auths = json.loads(docker_config({HUB: ADA}))
    assert list(auths) == ["auths"]
    assert list(auths["auths"]) == ["https://index.docker.io/v1/"]
    assert decoded(auths["auths"]["https://index.docker.io/v1/"]["auth"]) == f"ada:{TOKEN}"
    assert list(json.loads(docker_config({LOCAL: ADA}))["auths"]) == ["localhost:5000"]
    assert ADA.engine_auth(LOCAL) == {
        "username": "ada",
        "password": TOKEN,
        "serveraddress": "localhost:5000",
    }


@pytest.mark.parametrize("host", [HUB, LOCAL])
def test_every_form_that_gives_the_token_away_is_masked(host: RegistryHost) -> None:
    forms = ADA.forms(host)
    given_away = [
        TOKEN,
        ADA.basic.removeprefix("Basic "),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("="),
        base64.b64encode(docker_config({host: ADA}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(ADA.engine_auth(host)).encode()).decode(),
    ]
    assert set(given_away) <= set(forms)
    assert [len(each) for each in forms] == sorted((len(each) for each in forms), reverse=True)


def test_holds() -> None:
    assert holds(f"ARG={TOKEN}&x", TOKEN)
    assert not holds("dckr_pat_other", TOKEN)
    assert not holds("anything", "")
    assert not holds("a test of an app", "test"), "a short password is part of many words"


@pytest.mark.parametrize(
    ("host", "in_runner", "words"),
    [
        ("docker.io", False, ["DOCKERHUB_USERNAME", "docker login", "read and write scope"]),
        ("docker.io", True, ["the secret DOCKERHUB_TOKEN", "Settings → Secrets and variables"]),
        ("quay.io", True, ["as a secret", "Settings → Secrets and variables → Actions"]),
        ("ghcr.io", True, ["${{ github.token }}", "packages: write"]),
    ],
)
def test_missing_says_what_to_give(host: str, in_runner: bool, words: list[str]) -> None:
    with fails(f"no credentials to push to {host}", *words, kind=Kind.INPUT) as caught:
        raise missing(RegistryHost.parse(host), in_runner=in_runner)
    assert ('the input "token" is empty' in str(caught.value)) is in_runner


def test_missing_of_another_registry_names_that() -> None:
    with fails("no credentials to push to ghcr.io", "docker login ghcr.io", "also-credentials"):
        raise missing(RegistryHost("ghcr.io"), in_runner=True, is_first=False)


def test_an_identity_token_is_given_as_docker_keeps_it() -> None:
    identity = Credential("", TOKEN, is_identity=True)
    [entry] = json.loads(docker_config({LOCAL: identity}))["auths"].values()
    assert entry == {"auth": base64.b64encode(b":").decode(), "identitytoken": TOKEN}
    assert identity.engine_auth(LOCAL) == {
        "identitytoken": TOKEN,
        "serveraddress": "localhost:5000",
    }


KEY = json.dumps({"type": "service_account", "private_key": "-----BEGIN\n$a b\"'"}, indent=2)


@pytest.mark.parametrize("token", [KEY, f"{KEY}\n", json.dumps({"a": "x" * 2600})])
def test_a_key_is_taken_as_it_is(token: str) -> None:
    found = Credential.parse("_json_key", token)
    assert found
    assert found.token == token.strip()
    assert base64.b64decode(found.basic.removeprefix("Basic ")).decode().endswith(token.strip())


@pytest.mark.parametrize("token", ["{ not a key }", '["a list"]', "{" * 5000 + " "])
def test_what_looks_like_a_key_and_is_none_is_refused(token: str) -> None:
    with fails("holds a space"):
        Credential.parse("_json_key", token)


@pytest.mark.parametrize(
    ("username", "answer"),
    [
        *((each, True) for each in ("ada", "FeastFlow", "a1", "a-b", "aws", "ci_bot.1")),
        *((each, False) for each in ("AWS", "_json_key", "robot$x", "a@b.example", "", "-a")),
        *((each, False) for each in ("oauth2accesstoken", "12345678-1234-1234-1234-123456789abc")),
        *((each, False) for each in ("gitlab-ci-token", "iamapikey", "token", "nologin")),
        ("12345678-1234-1234-1234-123456789ABC", False),
    ],
)
def test_a_user_is_a_name_or_none(username: str, answer: bool) -> None:
    assert is_name(username) is answer


@pytest.mark.parametrize(
    ("host", "username", "fix"),
    [
        ("ghcr.io", "x-access-token", "to the owner."),
        ("europe-docker.pkg.dev", "_json_key", "to PROJECT/REPOSITORY."),
        ("quay.io", "team+ci", "to the organisation."),
        ("git.example.com", "gitlab-ci-token", "to the project's path, or to / where"),
        ("icr.io", "iamapikey", "to a namespace that `ibmcloud cr namespace-list` shows, or"),
        ("shop.azurecr.io", "token", "to the part before the repository's name, such as"),
        ("r.example.com", "robot$x", "to the owner or project, such as feastflow, or to / where"),
    ],
)
def test_what_to_say_instead_of_such_a_user(host: str, username: str, fix: str) -> None:
    [problem] = no_namespace(RegistryHost.parse(host), username).problems
    assert f'Set the input "namespace" {fix}' in problem.fix


class TestSeveral:
    def test_one_a_line(self) -> None:
        text = f"\n ghcr.io  octocat\t{TOKEN} \n\nr.example.com:5000 robot$shop+ci p=a:s/s+w#rd\r\n"
        assert read_several(text) == {
            RegistryHost("ghcr.io"): Credential("octocat", TOKEN),
            RegistryHost("r.example.com:5000"): Credential("robot$shop+ci", "p=a:s/s+w#rd"),
        }
        assert read_several(" \n") == {}

    def test_a_key_in_json_may_go_over_lines(self) -> None:
        text = f"europe-docker.pkg.dev _json_key {KEY}\nghcr.io octocat {TOKEN}"
        first, second = read_several(text).values()
        assert (first.username, first.token) == ("_json_key", KEY)
        assert second.token == TOKEN
        flat = json.dumps(json.loads(KEY))
        [only] = read_several(f"gcr.io _json_key {flat}").values()
        assert only.token == flat

    def test_a_password_that_only_begins_like_a_key(self) -> None:
        [only] = read_several("ghcr.io octocat {password}").values()
        assert only.token == "{password}"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (TOKEN, "entry 1 is no registry"),
            (f"octocat {TOKEN}", "entry 1 is no registry"),
            (f"https://ghcr.io octocat {TOKEN}", "entry 1 is no registry"),
            (f"{TOKEN} octocat ghcr.io", "entry 1 is no registry"),
            (f"ghcr.io octocat {TOKEN}\nquay.io {TOKEN}", "entry 2 is no registry"),
            (f"gcr.io _json_key {KEY} {TOKEN}", "entry 2 is no registry"),
            (f"ghcr.io octocat {TOKEN} x", "entry 1 holds a space"),
            ("ghcr.io octocat tiny", "entry 1 is too short to be a token"),
            (f"ghcr.io octocat {TOKEN}::x", 'entry 1 holds "::"'),
            (f"ghcr.io octocat {TOKEN}\nghcr.io eve {TOKEN}", "entry 2 is the second one"),
        ],
    )
    def test_refuses_an_entry_without_showing_it(self, text: str, words: str) -> None:
        with fails(f'input "also-credentials": {words}') as caught:
            read_several(text)
        for shown in (TOKEN, "octocat", "_json_key", "tiny", "https"):
            assert shown not in caught.value.problems[0].cause

    def test_what_is_secret_of_them(self) -> None:
        assert secrets_of(f"ghcr.io octocat {TOKEN}") == [TOKEN]
        assert secrets_of(f"octocat {TOKEN}") == ["octocat", TOKEN], "anything may be"
        assert secrets_of("") == []

    def test_one_for_a_registry_that_nobody_named(self) -> None:
        hosts = [RegistryHost("ghcr.io"), RegistryHost("quay.io")]
        [problem] = unnamed(hosts, {RegistryHost("ghcr.io")})
        assert problem.cause.startswith('input "also-credentials": entry 2 is for a registry')
        assert "quay" not in str(problem)
