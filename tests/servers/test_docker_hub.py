"""Docker Hub's API server: the documented shapes, over what a real registry holds."""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support.servers.docker_hub import Account, DockerHub
from support.servers.fault_proxy import FaultProxy
from support.servers.faults import Fault
from support.servers.hub_shapes import Shapes
from support.servers.images import MANIFEST, put_image
from support.servers.registry import Registry

ACCOUNTS = {
    "ada": Account("dckr_pat_all", owns=("team",)),
    "bob": Account("dckr_pat_write", "repo:write", owns=("team",)),
    "eve": Account("dckr_pat_else"),
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client as the documentation has it."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session
        self.headers: dict[str, str] = {}

    def login(self, identifier: str, secret: str = "") -> requests.Response:
        body = {"identifier": identifier, "secret": secret or ACCOUNTS[identifier].secret}
        answer = self.session.post(f"{self.url}/v2/auth/token", json=body, timeout=9)
        if answer.status_code == 200:
            self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return answer

    def send(self, method: str, path: str, **query: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.url}/v2/{path}"
        return self.session.request(method, url, params=query, headers=self.headers, timeout=9)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.send("GET", path, **query)

    def delete(self, tag: str, repository: str = "team/app") -> requests.Response:
        return self.send("DELETE", f"repositories/{repository}/tags/{tag}/")


APP = "namespaces/team/repositories/app"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def behind(registry: Registry, session: requests.Session) -> Registry:
    """A registry that holds three tags of one repository."""
    shutil.rmtree(registry.storage / "docker", ignore_errors=True)
    digest = put_image(session, f"{registry.url}/v2/team/app", "one")
    Shapes(registry.storage).point("team/app", digest, "two", "three")
    return registry


@pytest.fixture
def hub(behind: Registry, clock: Clock) -> Iterator[DockerHub]:
    with DockerHub(behind.storage, ACCOUNTS, clock=clock) as hub:
        yield hub


@pytest.fixture
def client(hub: DockerHub, session: requests.Session) -> Client:
    return Client(hub.url, session)


def test_logins(hub: DockerHub, client: Client) -> None:
    refused = client.login("ada", "wrong")
    assert refused.status_code == 401
    assert refused.json()["message"] == "incorrect authentication credentials"
    assert client.login("nobody", "dckr_pat_all").status_code == 401
    assert list(client.login("ada").json()) == ["access_token"]
    assert hub.logins == ["ada"]
    malformed = client.session.post(f"{hub.url}/v2/auth/token", data=b"[]", timeout=9)
    assert malformed.status_code == 400
    assert client.get(APP).status_code == 200
    assert "dckr_pat_all" not in repr(hub.requests)
    assert hub.requests[-1].auth == "Bearer"


def test_a_token_ends_after_its_lifetime(hub: DockerHub, client: Client, clock: Clock) -> None:
    client.login("ada")
    clock.now += hub.lifetime - 1
    assert client.get(APP).status_code == 200
    clock.now += 1
    assert client.get(APP).status_code == 401
    client.login("ada")
    assert client.get(APP).status_code == 200
    hub.expire()
    assert client.get(APP).status_code == 401
    client.headers = {"Authorization": "Bearer made.up.token"}
    assert client.get(APP).status_code == 401


def test_a_repository(hub: DockerHub, client: Client) -> None:
    about = client.get(APP).json()
    assert (about["namespace"], about["name"], about["is_private"]) == ("team", "app", False)
    assert about["immutable_tags_settings"] == {"enabled": False, "rules": []}
    assert about["permissions"] == {"read": True, "write": False, "admin": False}
    hub.immutable["team/app"] = ["v.*"]
    client.login("ada")
    about = client.get(APP).json()
    assert about["immutable_tags_settings"] == {"enabled": True, "rules": ["v.*"]}
    assert about["permissions"]["admin"] is True
    missing = client.get("namespaces/team/repositories/none")
    assert (missing.status_code, missing.json()["message"]) == (404, "object not found")
    assert client.send("HEAD", APP).status_code == 200
    assert client.send("HEAD", APP).content == b""


def test_a_private_repository_is_not_there_for_others(hub: DockerHub, client: Client) -> None:
    hub.private.add("team/app")
    for path in (APP, f"{APP}/tags", f"{APP}/tags/one"):
        assert client.get(path).status_code == 404
    client.login("eve")
    assert client.get(f"{APP}/tags").status_code == 404
    client.login("ada")
    assert client.get(APP).json()["is_private"] is True
    assert client.get(f"{APP}/tags/one").status_code == 200


def test_a_private_repository_wants_the_scope(hub: DockerHub, client: Client) -> None:
    hub.private.add("team/app")
    hub.accounts["ada"] = Account("dckr_pat_all", "repo:public_read", owns=("team",))
    client.login("ada")
    refused = client.get(f"{APP}/tags")
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "access denied: insufficient scope",
    )


def test_a_tag(behind: Registry, client: Client) -> None:
    url = f"{behind.url}/v2/team/app/manifests/one"
    head = client.session.head(url, headers={"Accept": MANIFEST}, timeout=9)
    tag = client.get(f"{APP}/tags/one").json()
    assert tag["name"] == "one"
    assert tag["digest"] == head.headers["Docker-Content-Digest"]
    assert tag["media_type"] == MANIFEST
    assert tag["full_size"] == len(b"a layer")
    pushed = datetime.datetime.fromisoformat(tag["tag_last_pushed"])
    assert abs(pushed.timestamp() - time.time()) < 60
    assert tag["tag_last_pulled"] is None
    image = tag["images"][0]
    assert (image["os"], image["architecture"]) == ("linux", "amd64")
    assert (image["digest"], image["size"]) == (tag["digest"], len(b"a layer"))
    assert client.get(f"{APP}/tags/none").status_code == 404
    assert client.send("HEAD", f"{APP}/tags/one").status_code == 200
    assert client.send("HEAD", f"{APP}/tags/none").status_code == 404


def test_an_index(behind: Registry, client: Client, session: requests.Session) -> None:
    url = f"{behind.url}/v2/team/app"
    digest = put_image(session, url, "one")
    kind = "application/vnd.oci.image.index.v1+json"
    entry = {"mediaType": MANIFEST, "digest": digest, "size": 1}
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    entries = [{**entry, "platform": arm}, {**entry, "platform": arm, "annotations": note}]
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    headers = {"Content-Type": kind}
    put = session.put(f"{url}/manifests/both", json=index, headers=headers, timeout=9)
    assert put.status_code == 201
    tag = client.get(f"{APP}/tags/both").json()
    assert (tag["media_type"], tag["digest"]) == (kind, put.headers["Docker-Content-Digest"])
    names = [(each["os"], each["architecture"], each["variant"]) for each in tag["images"]]
    assert names == [("linux", "arm64", "v8"), ("unknown", "unknown", None)]
    assert {each["digest"] for each in tag["images"]} == {digest}


def test_pages(hub: DockerHub, behind: Registry, client: Client, session: requests.Session) -> None:
    digest = put_image(session, f"{behind.url}/v2/team/many", "t00")
    hub.shapes.point("team/many", digest, *(f"t{number:02}" for number in range(22)))
    path = "namespaces/team/repositories/many/tags"
    first = client.get(path).json()
    assert first["count"] == 22
    assert (len(first["results"]), first["previous"]) == (10, None)
    assert first["next"] == f"{client.url}/v2/{path}?page=2&page_size=10"
    last = client.get(client.get(first["next"]).json()["next"]).json()
    assert (len(last["results"]), last["next"]) == (2, None)
    assert last["previous"] == f"{client.url}/v2/{path}?page=2&page_size=10"
    whole = client.get(path, page_size=1000).json()
    names = [each["name"] for each in whole["results"]]
    assert names == [f"t{number:02}" for number in range(22)]
    assert client.get(path, page=4).status_code == 404


def test_a_page_holds_a_hundred_at_most(hub: DockerHub, client: Client) -> None:
    digest = client.get(f"{APP}/tags/one").json()["digest"]
    hub.shapes.point("team/app", digest, *(f"t{number}" for number in range(120)))
    page = client.get(f"{APP}/tags", page_size=1000).json()
    assert (page["count"], len(page["results"])) == (123, 100)
    assert page["next"].endswith("page=2&page_size=100")


def test_deletes_the_tag_in_the_registry(
    behind: Registry, hub: DockerHub, client: Client, session: requests.Session
) -> None:
    client.login("ada")
    answer = client.delete("one")
    assert (answer.status_code, answer.content) == (204, b"")
    url = f"{behind.url}/v2/team/app"
    assert sorted(session.get(f"{url}/tags/list", timeout=9).json()["tags"]) == ["three", "two"]
    assert session.get(f"{url}/manifests/one", timeout=9).status_code == 404
    assert session.get(f"{url}/manifests/two", timeout=9).status_code == 200
    assert client.get(f"{APP}/tags/one").status_code == 404
    assert client.delete("one").status_code == 404
    assert hub.deleted == [("team/app", "one")]
    put_image(session, url, "one")
    assert client.get(f"{APP}/tags/one").status_code == 200


def test_who_may_delete(hub: DockerHub, client: Client) -> None:
    assert client.delete("one").status_code == 401
    client.login("bob")
    for tag in ("one", "none"):
        refused = client.delete(tag)
        assert refused.status_code == 403
        assert refused.json()["message"] == "access denied: insufficient scope"
    client.login("eve")
    assert client.delete("one").status_code == 403
    hub.private.add("team/app")
    assert client.delete("one").status_code == 404
    assert hub.deleted == []


def test_an_immutable_tag(hub: DockerHub, client: Client) -> None:
    client.login("ada")
    hub.immutable["team/app"] = ["^t"]
    refused = client.delete("two")
    assert refused.status_code == hub.immutable_status
    assert "immutability" in refused.json()["message"]
    assert client.get(f"{APP}/tags/two").status_code == 200
    assert client.delete("one").status_code == 204


def test_the_limit_as_it_is_announced(hub: DockerHub, client: Client, clock: Clock) -> None:
    hub.limit = 3
    answers = [client.get(APP) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    left = [each.headers.get("X-RateLimit-Remaining") for each in answers]
    assert left == ["2", "1", "0", None]
    assert answers[0].headers["X-RateLimit-Limit"] == "3"
    assert answers[2].headers["X-RateLimit-Reset"] == str(int(clock.now) + 60)
    assert answers[3].headers["X-Retry-After"] == str(int(clock.now) + 60)
    assert "Retry-After" not in answers[3].headers
    clock.now += 59
    assert client.login("ada").status_code == 429
    clock.now += 1
    assert client.login("ada").status_code == 200


def test_too_many_deletions(hub: DockerHub, client: Client, clock: Clock) -> None:
    hub.delete_limit = 2
    client.login("ada")
    codes = [client.delete(tag).status_code for tag in ("one", "none", "two")]
    assert codes == [204, 404, 429]
    assert client.get(APP).status_code == 200
    clock.now += 60
    assert client.delete("two").status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "namespaces/team/app/tags", 404),
        ("GET", "repositories/team/repositories/app", 404),
        ("GET", "repositories/team/app/tags", 200),
        ("POST", f"{APP}/tags", 405),
        ("DELETE", f"{APP}/tags/one", 405),
        ("GET", "auth/token", 404),
    ],
)
def test_addresses(client: Client, method: str, path: str, status: int) -> None:
    client.login("ada")
    assert client.send(method, path).status_code == status


def test_a_client_that_deletes_a_whole_repository_fails_its_test(
    behind: Registry, session: requests.Session
) -> None:
    hub = DockerHub(behind.storage, ACCOUNTS).start()
    client = Client(hub.url, session)
    client.login("ada")
    with pytest.raises(requests.ConnectionError):
        client.send("DELETE", "repositories/team/app/tags/../")
    with pytest.raises(RuntimeError, match="DockerHub failed"):
        hub.__exit__(None, None, None)


def test_through_the_proxy(hub: DockerHub, session: requests.Session) -> None:
    with FaultProxy(hub.url) as proxy:
        client = Client(proxy.url, session)
        page = client.get(f"{APP}/tags", page_size=2).json()
        assert page["next"].startswith(proxy.url)
        assert len(client.get(page["next"]).json()["results"]) == 1
        proxy.add(Fault("status", status=503))
        assert client.get(APP).status_code == 503
    assert len(hub.requests) == 2
