"""The registry and the token server, against each other and against crane (skipped without it)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.servers.fault_proxy import FaultProxy
from support.servers.images import put_image
from support.servers.registry import Registry
from support.servers.token_server import TokenServer


class TestRegistry:
    def test_stores_in_its_own_folder_and_goes_away(self, session: requests.Session) -> None:
        with Registry() as registry:
            put_image(session, f"{registry.url}/v2/team/app", "one")
            assert (registry.storage / "docker/registry/v2/repositories/team/app").is_dir()
            storage, pid = registry.storage, registry.pid
        assert not storage.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def test_deletes_by_digest(self, registry: Registry, session: requests.Session) -> None:
        url = f"{registry.url}/v2/team/deleted"
        digest = put_image(session, url, "one")
        assert session.delete(f"{url}/manifests/{digest}", timeout=9).status_code == 202
        assert session.get(f"{url}/manifests/one", timeout=9).status_code == 404

    def test_comes_back_on_its_port_with_its_storage(
        self, session: requests.Session, tmp_path: Path
    ) -> None:
        registry = Registry(storage=tmp_path)
        with registry:
            digest = put_image(session, f"{registry.url}/v2/team/app", "one")
            url = registry.url
        with registry:
            assert registry.url == url
            found = session.head(f"{url}/v2/team/app/manifests/one", timeout=9)
            assert found.headers["Docker-Content-Digest"] == digest

    def test_htpasswd(self, session: requests.Session) -> None:
        with Registry(users={"ada": "s3cret"}) as registry:
            url = f"{registry.url}/v2/"
            assert session.get(url, timeout=9).status_code == 401
            assert session.get(url, auth=("ada", "wrong"), timeout=9).status_code == 401
            put_image(session, f"{url}team/app", "one", auth=("ada", "s3cret"))

    def test_a_program_that_is_not_there(self) -> None:
        with pytest.raises(FileNotFoundError, match="docker-registry"):
            Registry(binary="no-such-registry").start()

    def test_a_program_that_ends_at_once(self) -> None:
        with pytest.raises(RuntimeError, match="did not start"):
            Registry(binary="false").start()


USERS = {"ada": "s3cret", "bob": "hunter2"}
GRANTS = {
    "ada": {"team/*": {"pull", "push"}},
    "bob": {"team/app": {"pull"}},
    "": {"team/public": {"pull"}},
}


class TestTokenServer:
    @pytest.fixture
    def tokens(self) -> Iterator[TokenServer]:
        with TokenServer(USERS, GRANTS) as tokens:
            yield tokens

    @pytest.fixture
    def guarded(self, tokens: TokenServer) -> Iterator[Registry]:
        with Registry(token_server=tokens) as registry:
            yield registry

    @staticmethod
    def ask(tokens: TokenServer, *scopes: str, auth: tuple[str, str] | None = None) -> Any:
        parameters = {"service": tokens.service, "scope": list(scopes)}
        with requests.Session() as session:
            session.trust_env = False
            return session.get(tokens.realm, params=parameters, auth=auth, timeout=9)

    def bearer(self, tokens: TokenServer, *scopes: str, user: str = "") -> dict[str, str]:
        answer = self.ask(tokens, *scopes, auth=(user, USERS[user]) if user else None)
        assert answer.json()["token"] == answer.json()["access_token"]
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    def test_the_registry_takes_its_tokens(
        self, tokens: TokenServer, guarded: Registry, session: requests.Session
    ) -> None:
        challenge = session.get(f"{guarded.url}/v2/", timeout=9)
        assert challenge.status_code == 401
        wanted = f'Bearer realm="{tokens.realm}",service="{tokens.service}"'
        assert challenge.headers["WWW-Authenticate"] == wanted
        headers = self.bearer(tokens, "repository:team/app:pull,push", user="ada")
        put_image(session, f"{guarded.url}/v2/team/app", "one", headers=headers)
        assert tokens.issued[-1].account == "ada"
        assert tokens.requests[-1].auth == "Basic"
        assert "s3cret" not in repr(tokens.requests)

    def test_grants_fewer_scopes_in_silence(
        self, tokens: TokenServer, guarded: Registry, session: requests.Session
    ) -> None:
        answer = self.ask(
            tokens,
            "repository:team/app:pull,push repository:team/other:pull",
            "repository:x:pull",
            auth=("bob", "hunter2"),
        )
        assert answer.status_code == 200
        assert tokens.issued[-1].granted == ("repository:team/app:pull",)
        assert len(tokens.issued[-1].asked) == 3
        refused = session.post(
            f"{guarded.url}/v2/team/app/blobs/uploads/",
            headers={"Authorization": f"Bearer {answer.json()['token']}"},
            timeout=9,
        )
        assert refused.status_code == 401
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]

    def test_anonymous(self, tokens: TokenServer) -> None:
        asked = ("repository:team/public:pull,push", "repository:team/app:pull")
        assert self.ask(tokens, *asked).status_code == 200
        assert tokens.issued[-1].granted == ("repository:team/public:pull",)

    def test_wrong_password(self, tokens: TokenServer) -> None:
        answer = self.ask(tokens, "repository:team/app:pull", auth=("ada", "wrong"))
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
        assert tokens.issued == ()

    def test_a_token_ends_after_its_lifetime(
        self, tokens: TokenServer, guarded: Registry, session: requests.Session
    ) -> None:
        url = f"{guarded.url}/v2/team/app/manifests/none"
        headers = {}
        for tokens.lifetime in (-1, 30):
            headers[tokens.lifetime] = self.bearer(tokens, "repository:team/app:pull", user="ada")
        answers = [session.get(url, headers=one, timeout=9).status_code for one in headers.values()]
        assert answers == [401, 404]

    def test_what_the_client_is_told(self, tokens: TokenServer) -> None:
        assert self.ask(tokens).json()["expires_in"] == 300
        tokens.expires_in = 0
        assert "expires_in" not in self.ask(tokens).json()
        assert self.ask(tokens).json()["issued_at"].endswith("Z")

    def test_oauth2(self, tokens: TokenServer, session: requests.Session) -> None:
        form = {
            "grant_type": "password",
            "username": "ada",
            "password": "s3cret",
            "service": tokens.service,
            "client_id": "test",
            "access_type": "offline",
            "scope": "repository:team/app:pull",
        }
        first = session.post(tokens.realm, data=form, timeout=9).json()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": first["refresh_token"],
            "service": tokens.service,
            "client_id": "test",
            "scope": "repository:team/app:pull,push",
        }
        second = session.post(tokens.realm, data=form, timeout=9).json()
        assert second["scope"] == "repository:team/app:pull,push"
        form["refresh_token"] = "stolen"
        assert session.post(tokens.realm, data=form, timeout=9).status_code == 401

    @pytest.mark.skipif(shutil.which("crane") is None, reason="crane is not on PATH")
    def test_crane_through_both_proxies(
        self, tokens: TokenServer, session: requests.Session, tmp_path: Path
    ) -> None:
        secret = base64.b64encode(b"ada:s3cret").decode()
        with FaultProxy(tokens.url) as realm, FaultProxy() as proxy:
            with Registry(token_server=tokens, realm=f"{realm.url}/token") as registry:
                proxy.upstream = registry.url
                host = f"127.0.0.1:{proxy.port}"
                config = {"auths": {host: {"auth": secret}}}
                (tmp_path / "config.json").write_text(json.dumps(config))
                environment = {"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"]}

                def crane(*arguments: str) -> str:
                    command = ["crane", "--insecure", *arguments]
                    return subprocess.check_output(command, env=environment, text=True).strip()

                headers = self.bearer(tokens, "repository:team/app:pull,push", user="ada")
                digest = put_image(session, f"{proxy.url}/v2/team/app", "one", headers=headers)
                crane("tag", f"{host}/team/app:one", "two")
                assert crane("digest", f"{host}/team/app:two") == digest
                assert set(crane("ls", f"{host}/team/app").split()) == {"one", "two"}
            assert {seen.auth for seen in realm.requests} == {"Basic"}
            assert any("go-containerregistry" in seen.agent for seen in proxy.requests), {
                s.agent for s in proxy.requests
            }
