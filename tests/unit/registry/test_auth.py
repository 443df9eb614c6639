"""Which header answers which challenge, and which scopes a token is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.secrets import Secrets
from feastflow_registry.registry.auth import Authenticator, challenges
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

HOST = RegistryHost("reg.example.com")
SHOPS = [Repository(HOST, f"ada/shop{number}") for number in range(20)]
REALM = "https://auth.example.com/token"
ADA = Credential("ada", "dckr_pat_secret")
A, C = {"realm": "a"}, {"realm": "c"}


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("", {}),
        ("Basic", {"basic": {}}),
        ('Basic realm="a, b"', {"basic": {"realm": "a, b"}}),
        ('bEaReR ReAlM="a",SERVICE=b', {"bearer": {"realm": "a", "service": "b"}}),
        # Gitea and Forgejo: https://github.com/go-gitea/gitea/issues/36920
        ('Bearer realm="a",x="y",Basic realm="c"', {"bearer": A | {"x": "y"}, "basic": C}),
        ('Basic realm="c", Bearer realm="a", x="y z"', {"basic": C, "bearer": A | {"x": "y z"}}),
        ('Bearer realm="a\\"b\\\\"', {"bearer": {"realm": 'a"b\\'}}),
        ('Bearer  realm = "a" , service = "b"', {"bearer": {"realm": "a", "service": "b"}}),
        ('Bearer realm="a", Bearer realm="b"', {"bearer": {"realm": "a"}}),
        ('realm="a"', {}),
    ],
)
def test_challenges(text: str, offered: Mapping[str, Mapping[str, str]]) -> None:
    assert challenges(text) == offered


@pytest.mark.parametrize("text", ["a" * 10**6, 'a="' * 10**5, "a= " * 10**5, "\\" * 10**6])
def test_a_long_header_is_read_in_its_beginning(text: str) -> None:
    assert all(len(each) <= 8192 for each in challenges(text))


@given(st.text())
def test_any_header_is_read(text: str) -> None:
    challenges(text)


@dataclass
class Server:
    """A registry and its token server. `grants`: which of the scopes that are asked for it gives.

    `knows`: what it answers to a request for a token; 200 unless it is told otherwise.
    """

    first_only: bool = False
    knows_delete: bool = True
    takes_many: bool = True
    challenge: str = 'Bearer realm="{realm}",service="reg",scope="{scope}"'
    secrets: Secrets = field(default_factory=Secrets)
    asked: list[list[str]] = field(default_factory=list)
    bodies: list[dict[str, list[str]]] = field(default_factory=list)
    refused: str = ""
    takes_password: bool = True
    sent: int = 0

    def clock(self) -> float:
        return 0.0

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] = {}, **more: Any
    ) -> Response:
        parts = urlsplit(url)
        if parts.hostname == "auth.example.com":
            body = more.get("body")
            query = parse_qs(body.decode() if body else parts.query)
            self.bodies.append(query if body else {})
            return self._token(query.get("scope", [""]), joined=bool(body))
        self.sent += 1
        path = parts.path.removeprefix("/v2/").partition("/manifests/")[0]
        action = {"HEAD": "pull", "PUT": "push", "DELETE": "delete"}[method]
        held = headers.get("Authorization", "").removeprefix("Bearer ")
        granted = json.loads(held) if held.startswith("[") else []
        knows = self.takes_password and headers.get("Authorization") == ADA.basic
        if (knows and method != self.refused) or any(
            method != self.refused and _covers(each, path, action) for each in granted
        ):
            return Response(200, {"docker-content-digest": f"sha256:{'0' * 64}"}, b"", url)
        text = self.challenge.format(realm=REALM, scope=f"repository:{path}:{action}")
        return Response(401, {"www-authenticate": text}, b"", url)

    def _token(self, scopes: Sequence[str], *, joined: bool) -> Response:
        scopes = scopes[0].split() if joined else scopes
        self.asked.append(list(scopes))
        if not self.knows_delete and any("delete" in each for each in scopes):
            return Response(400, {}, b"", REALM)
        if not self.takes_many and len(scopes) > 1:
            return Response(400, {}, b"", REALM)
        given_ = scopes[:1] if self.first_only else scopes
        return Response(200, {}, json.dumps({"token": json.dumps(given_)}).encode(), REALM)


def _covers(scope: str, path: str, action: str) -> bool:
    _, name, actions = scope.split(":")
    return name == path and (action in actions.split(",") or actions == "*")


def client(
    server: Server, count: int = 1, credential: Credential = ADA, **more: Any
) -> RegistryClient:
    http = cast("Client", server)
    return RegistryClient(http, Authenticator(http, HOST, credential, SHOPS[:count], True, **more))


def touch(registry: RegistryClient, method: str = "HEAD", count: int = 1) -> list[int]:
    """Ask about some repositories; the statuses."""
    return [registry.send(method, each, "manifests/latest").status for each in SHOPS[:count]]


def test_one_token_serves_a_run() -> None:
    server = Server()
    registry = client(server, 3)
    assert touch(registry, count=3) + touch(registry, "PUT", 3) == [200] * 6
    scopes = [f"repository:{each.path}:pull,push" for each in SHOPS[:3]]
    assert server.asked == [scopes]
    assert server.sent == 7


@pytest.mark.parametrize("first_only", [True, False])
def test_a_token_server_that_grants_one_scope_is_asked_for_each(first_only: bool) -> None:
    server = Server(first_only=first_only, takes_many=first_only)
    registry = client(server, 3)
    for _ in range(2):
        assert touch(registry, count=3) == [200] * 3
        assert touch(registry, "PUT", 3) == [200] * 3
    alone = [scopes for scopes in server.asked if len(scopes) == 1]
    assert sorted(alone) == sorted(
        [f"repository:{each.path}:pull,push"] for each in SHOPS[len(alone) < 3 : 3]
    )


def test_a_header_does_not_outgrow_what_servers_take() -> None:
    """Repositories have a token in common, as many as it can list."""
    server = Server()
    registry = client(server, 20)
    for _ in range(2):
        assert touch(registry, count=20) == [200] * 20
    assert sorted(map(len, server.asked)) == [1, 19]
    assert sorted(scope for scopes in server.asked for scope in scopes) == sorted(
        f"repository:{each.path}:pull,push" for each in SHOPS
    )


def test_the_longest_names_have_a_token_each() -> None:
    http = cast("Client", Server())
    long = [Repository(HOST, f"ada/{'x' * 245}{number:02}") for number in range(10)]
    auth = Authenticator(http, HOST, ADA, long, True, delete=True)
    asked = [auth._scopes([], each.path)[0] for each in long]
    assert {len(scopes) for scopes in asked} == {2, 4}
    firsts = [scopes[0].split(":")[1] for scopes in asked]
    assert firsts == [each.path for each in long]


class Silent(Server):
    """Asks nobody for a password, and tells strangers that there is nothing.

    zot: https://github.com/project-zot/zot/issues/3869
    """

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] = {}, **more: Any
    ) -> Response:
        if headers.get("Authorization"):
            return super().send(method, url, headers=headers, **more)
        self.sent += 1
        return Response(404, {}, b"", url)


def test_a_password_is_sent_unasked_where_nobody_asks() -> None:
    server = Silent()
    registry = client(server, 3)
    assert touch(registry, count=3) + touch(registry, "PUT", 3) == [200] * 6
    assert server.sent == 1 + 6


def test_a_write_that_comes_first_is_not_sent_twice() -> None:
    server = Silent()
    registry = client(server)
    assert touch(registry, "PUT") == [404]
    assert server.sent == 1
    assert touch(registry, "PUT") == [200]


@pytest.mark.parametrize("credential", [None, Credential("", "an-identity-token", True)])
def test_who_has_no_password_sends_none(credential: Credential | None) -> None:
    server = Silent()
    http = cast("Client", server)
    registry = RegistryClient(http, Authenticator(http, HOST, credential, SHOPS[:1], True))
    assert touch(registry) == [404]
    assert server.sent == 1


@pytest.mark.parametrize("challenge", ["", 'Basic realm="reg"'])
def test_a_password_that_is_wrong_is_told_though_nobody_asked(challenge: str) -> None:
    server = Silent(challenge=challenge)
    with fails("does not accept the user name and token", kind=Kind.REFUSED):
        touch(client(server, credential=Credential("ada", "another-password")))
    assert server.sent == 2


def test_a_password_that_nobody_asked_for_may_be_answered_by_a_challenge() -> None:
    server = Silent()
    server.takes_password = False
    registry = client(server, 2)
    assert touch(registry, count=2) + touch(registry, "PUT", 2) == [200] * 4
    assert len(server.asked) == 2


def test_what_a_known_user_may_not_do_is_no_wrong_password() -> None:
    """Harbor answers 401 with a Basic challenge to a robot that may not delete."""
    server = Server(challenge='Basic realm="harbor"')
    registry = client(server)
    assert touch(registry) == [200]
    server.refused, server.takes_password = "DELETE", True
    assert touch(registry, "DELETE") == [401]
    assert touch(registry) == [200]


def test_a_registry_that_knows_no_delete_is_asked_for_all() -> None:
    """Quay: https://github.com/quay/quay/blob/master/endpoints/v2/v2auth.py"""
    server = Server(knows_delete=False)
    registry = client(server, delete=True)
    assert touch(registry, "DELETE") == [200]
    assert touch(registry, "HEAD") == [200]
    assert server.asked == [
        ["repository:ada/shop0:pull,push,delete"],
        ["repository:ada/shop0:*"],
    ]


@pytest.mark.parametrize(
    "challenge",
    ['Basic realm="reg"', 'BASIC Realm="reg"', 'Digest realm="x", Basic realm="reg"'],
)
def test_basic_is_answered_by_the_password(challenge: str) -> None:
    server = Server(challenge=challenge)
    assert touch(client(server)) == [200]
    assert server.asked == []


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Digest realm="x"'])
def test_what_nobody_can_answer_is_refused(challenge: str) -> None:
    with fails("does not accept the user name and token", kind=Kind.REFUSED):
        touch(client(Server(challenge=challenge)))


def test_a_token_that_never_suffices_is_an_answer_and_no_loop() -> None:
    class Stern(Server):
        def _token(self, scopes: Sequence[str], *, joined: bool) -> Response:
            super()._token(scopes, joined=joined)
            return Response(200, {}, b'{"token": "[]"}', REALM)

    server = Stern()
    registry = client(server, 3, delete=True)
    for _ in range(3):
        before = server.sent
        assert touch(registry) == [401]
        assert server.sent - before <= 5


def test_what_is_refused_once_takes_nothing_from_other_requests() -> None:
    """A trial upload that may not be cancelled is no reason to push with a token for deletion."""
    server = Server()
    registry = client(server)
    server.refused = "DELETE"
    assert touch(registry, "PUT") == [200]
    assert touch(registry, "DELETE") == [401]
    asked = len(server.asked)
    assert touch(registry, "PUT") + touch(registry) == [200, 200]
    assert len(server.asked) == asked


def test_a_token_that_expires_is_renewed_in_the_same_way() -> None:
    server = Server()
    registry = client(server, 3)
    assert touch(registry, count=3) == [200] * 3
    registry.auth._headers[0] = "Bearer expired"
    assert touch(registry, count=3) == [200] * 3
    assert server.asked[0] == server.asked[1]
    assert len(server.asked) == 2


def test_an_identity_token_buys_one_in_the_body_of_a_post() -> None:
    """`az acr login`: https://distribution.github.io/distribution/spec/auth/oauth/"""
    server = Server()
    identity = Credential("", "an-identity-token", is_identity=True)
    assert touch(client(server, 2, identity), count=2) == [200, 200]
    [body] = server.bodies
    assert body["grant_type"] == ["refresh_token"]
    assert body["refresh_token"] == ["an-identity-token"]
    assert body["service"] == ["reg"]
    assert server.asked == [[f"repository:ada/shop{n}:pull,push" for n in (0, 1)]]
    assert "an-identity-token" not in server.secrets.hide("it says an-identity-token")


def test_an_identity_token_is_no_password() -> None:
    identity = Credential("", "an-identity-token", is_identity=True)
    with fails("does not accept", kind=Kind.REFUSED):
        touch(client(Server(challenge='Basic realm="reg"'), 1, identity))


INSIDE: tuple[str, ...] = (
    "10.0.0.1",
    "192.168.1.1:444",
    "169.254.169.254",
    "127.0.0.1",
    "localhost",
    "127.1",
)
INSIDE += ("0x7f000001", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "0.0.0.0")
INSIDE += ("localhost.", "127.0.0.1.", "a.localhost", "[64:ff9b::7f00:1]", "[2002:7f00:1::]")
INSIDE += (r"127.0.0.1\\.example.com",)  # As a header quotes it: for urllib3, the host ends there.
PRIVATE = ("10.0.0.1:5000", "192.168.1.1", "[fd00::1]:5000", "localhost:5000")
LOCAL, HUB = RegistryHost("localhost:5000"), RegistryHost("docker.io")
PLAIN = RegistryHost("registry.lan:5000", insecure=True)
PLAIN_V6 = RegistryHost("[fd00::1]:5000", insecure=True)


@pytest.mark.parametrize(
    ("host", "realm", "trusted"),
    [
        (HOST, "https://auth.example.com/token", True),
        (HOST, "https://elsewhere.example/token?x=y", True),
        (HOST, "http://auth.example.com/token", False),
        *((HOST, f"https://{each}/token", False) for each in INSIDE),
        (HOST, "https://8.8.8.8/token", True),
        (HOST, "https://[2001:4860:4860::8888]:444/token", True),
        (HOST, "https://[::ffff:8.8.8.8]/token", True),
        (HOST, "https://10.example.com/token", True),
        *((RegistryHost(each), "https://10.0.0.2/token", True) for each in PRIVATE),
        (HOST, "http://localhost:5001/token", False),
        (HOST, "ftp://auth.example.com/token", False),
        (HOST, "https://ada@auth.example.com/token", False),
        (HOST, "https://auth.example.com/token#x", False),
        (HOST, "https:///token", False),
        (HOST, "", False),
        (LOCAL, "http://127.0.0.1:5001/token", True),
        (LOCAL, "https://auth.example.com/token", True),
        (LOCAL, "http://auth.example.com/token", False),
        (LOCAL, "ftp://localhost/token", False),
        (PLAIN, "http://registry.lan:5001/token", True),
        (PLAIN, "http://REGISTRY.lan/token", True),
        (PLAIN, "https://auth.example.com/token", True),
        (PLAIN, "http://auth.example.com/token", False),
        (PLAIN, "http://evil.registry.lan/token", False),
        (PLAIN, "http://127.0.0.1/token", False),
        (PLAIN, "http://ada@registry.lan/token", False),
        (PLAIN_V6, "http://[fd00::1]:81/token", True),
        (PLAIN_V6, "http://[fd00::2]/token", False),
        (HUB, "https://auth.docker.io/token", True),
        (HUB, "https://auth.docker.io.evil.example/token", False),
        (HUB, "https://evil.example/token", False),
        (HUB, "http://auth.docker.io/token", False),
    ],
)
def test_a_credential_goes_to_a_realm_that_can_be_trusted(
    host: RegistryHost, realm: str, trusted: bool
) -> None:
    http = Asked()
    auth = Authenticator(cast("Client", http), host, ADA, [], True)
    challenge = Response(401, {"www-authenticate": f'Bearer realm="{realm}"'}, b"", "")
    if trusted:
        assert auth.answer(challenge, None, "ada/shop0") == "Bearer a-token"
        [(method, url, headers)] = http.sent
        assert method == "GET"
        assert url.startswith(realm + ("&" if "?" in realm else "?"))
        assert headers == {"Authorization": ADA.basic}
    else:
        with fails("is not a trustworthy address", "reached over https", kind=Kind.REFUSED):
            auth.answer(challenge, None, "ada/shop0")
        assert http.sent == []


@dataclass
class Asked:
    """A token server, and what it was asked."""

    status: int = 200
    body: bytes = b'{"token": "a-token"}'
    sent: list[tuple[str, str, object]] = field(default_factory=list)

    def send(self, method: str, url: str, **more: Any) -> Response:
        self.sent.append((method, url, more["headers"]))
        return Response(self.status, {}, self.body, url)


def ask(http: Asked, credential: Credential | None = ADA, parameters: str = "") -> str:
    """Answer a challenge whose token server is this one."""
    auth = Authenticator(cast("Client", http), HOST, credential, SHOPS[:3], True)
    text = f'Bearer realm="{REALM}"{parameters}'
    return auth.answer(Response(401, {"www-authenticate": text}, b"", ""), None, "ada/shop0")


def test_nobody_asks_without_a_credential() -> None:
    http = Asked()
    assert ask(http, None) == "Bearer a-token"
    assert http.sent[0][2] == {}


@pytest.mark.parametrize("service", ["", "registry.example.com"])
def test_the_service_is_named_as_the_challenge_names_it(service: str) -> None:
    http = Asked()
    ask(http, parameters=f',service="{service}"' if service else "")
    query = parse_qs(urlsplit(http.sent[0][1]).query)
    assert query.get("service", [""]) == [service]
    assert len(query["scope"]) == 3


def test_a_wrong_password_is_tried_once() -> None:
    http = Asked(401)
    with fails("does not accept the user name and token", kind=Kind.REFUSED):
        ask(http)
    assert len(http.sent) == 1


def test_who_has_no_credential_is_told_how_to_give_one() -> None:
    with fails("this run is not logged in to reg.example.com", "docker login", kind=Kind.REFUSED):
        ask(Asked(403), None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"token": "x"}'),
        (200, b"{}"),
        (200, b'{"token": 7}'),
        (200, b'{"token": "a\\nb"}'),
        (200, '{"token": "ä"}'.encode()),
        (200, b"<html>"),
    ],
)
def test_an_answer_without_a_token_is_told(status: int, body: bytes) -> None:
    with fails(f"{REALM} answered {status} without a token", "status of", kind=Kind.UNREACHABLE):
        ask(Asked(status, body))


def test_an_access_token_is_one_too() -> None:
    assert ask(Asked(200, b'{"access_token": "b"}')) == "Bearer b"
