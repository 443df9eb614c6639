"""HTTPS: what a retry mends, what is final, and whose certificates are trusted.

A handshake that is cut off raises the same error of requests as a certificate that is not trusted:
https://github.com/psf/requests/issues/6478
"""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import pytest
from support.clients import github_history, quick_client
from support.servers.certificates import Authority
from support.servers.serving import Call, Server

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.transport import certificates

NEVER = 1000


class Greeter(Server):
    """Answers everything with 200. The first few connections it ends where a handshake is due."""

    def __init__(self, tls: ssl.SSLContext | None, *, cuts: int = 0) -> None:
        super().__init__()
        self.tls, self.cuts, self.connections = tls, cuts, 0

    def secure(self, connection: socket.socket) -> socket.socket:
        self.connections += 1
        if self.connections > self.cuts:
            return super().secure(connection)
        connection.recv(1)
        connection.shutdown(socket.SHUT_RDWR)
        return connection

    def respond(self, call: Call) -> None:
        call.answer(200, b"{}")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose owner has set nothing."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def trusting(
    request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that trusts the authority, by one of the variables that people set."""
    monkeypatch.setenv(request.param, str(authority.file))


def ask(url: str) -> int:
    """Ask a server; the status that it answers."""
    client = quick_client()
    client.trust(certificates.find(os.environ))
    return client.send("GET", f"{url}/v2/").status


def refusal(url: str) -> str:
    """Why a server is not reached."""
    with pytest.raises(Failure) as failure:
        ask(url)
    assert failure.value.kind is Kind.UNREACHABLE
    return failure.value.problems[0].cause


@pytest.mark.usefixtures("trusting")
def test_a_company_s_certificate_is_trusted(authority: Authority) -> None:
    with Greeter(authority.server()) as server:
        assert ask(server.url) == 200


@pytest.mark.usefixtures("trusting")
def test_github_enterprise_is_trusted_alike(authority: Authority) -> None:
    with Greeter(authority.server()) as server:
        history = github_history(server.url)
        history.api.http.trust(certificates.find(os.environ))
        with pytest.raises(Failure, match="sends damaged answers"):  # It is no GitHub.
            history.resolve("1234567")
        assert server.requests


def test_the_systems_own_are_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after `update-ca-certificates`, which fills a folder by the hashes of names."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / f"{authority.hash}.0").symlink_to(authority.file)
    system = ssl.get_default_verify_paths()._replace(cafile="", capath=str(folder))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: system)
    with Greeter(authority.server()) as server:
        assert ask(server.url) == 200
        (folder / f"{authority.hash}.0").unlink()
        assert "not trusted" in refusal(server.url), "an empty folder is none"


def test_a_handshake_that_is_cut_off_is_tried_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Greeter(authority.server(), cuts=2) as server:
        assert ask(server.url) == 200
    with Greeter(authority.server(), cuts=NEVER) as server:
        assert "broke the connection or could not be reached, 6 times" in refusal(server.url)


@pytest.mark.parametrize("wrong", ["unknown", "expired", "another host"])
def test_a_certificate_that_is_not_trusted_is_final(
    authority: Authority, wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    shown = {
        "unknown": lambda: Authority.create(tmp_path / "other").server(),
        "expired": lambda: authority.server(days=-1),
        "another host": lambda: authority.server("registry.example"),
    }[wrong]()
    with Greeter(shown) as server:
        assert "its certificate is not trusted" in refusal(server.url)
        assert server.connections == 1


def test_plain_http_is_told_from_a_certificate() -> None:
    with Greeter(None) as server:
        url = server.url.replace("http:", "https:")
        assert "speaks plain HTTP instead of HTTPS" in refusal(url)
        assert server.connections == 1


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_is_none_is_named(
    variable: str, content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "company.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(Failure, match=variable) as failure:
        ask("https://localhost:1")
    assert failure.value.kind is Kind.INPUT
    assert str(file) in str(failure.value)
