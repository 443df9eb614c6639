"""Registries that send a credential where it does not belong: told in a sentence, and not followed.

Each is the twin of a habit that is none: another path of the same host is followed, another host
is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from support.registries import REMOTE_NAME
from support.scenes import ELSEWHERE, Scene
from support.servers.certificates import Authority
from support.servers.fault_proxy import FaultProxy
from support.servers.serving import Call, Server
from support.soak import chosen

Scenes = Callable[[str], Scene]


class Thief(Server):
    """Answers everything that it can think of, in the hope of a credential."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def respond(self, call: Call) -> None:
        self.seen.append(call.headers.get("Authorization", ""))
        body = json.dumps({"token": "a-token", "tags": ["latest"], "schemaVersion": 2}).encode()
        kind = "application/vnd.oci.image.manifest.v1+json"
        call.answer(200, body, [("Content-Type", kind)])


@pytest.fixture
def thief() -> Iterator[Thief]:
    with Thief() as server:
        yield server


@dataclass
class Sending:
    """Answers some requests with a status and one header."""

    method: str
    path: str
    status: int
    name: str
    value: str

    def meets(self, call: Call) -> bool:
        known = call.headers.get("Authorization") or self.status == 401
        if not known or not re.fullmatch(self.method, call.command):
            return False
        if not re.search(self.path, call.path):
            return False
        call.answer(self.status, b'{"tags": ["a"]}', [(self.name, self.value)])
        return True


@dataclass
class ElsewhereUploads:
    """An upload begins, and is to go on at another host."""

    proxy: FaultProxy
    thief: str

    def meets(self, call: Call) -> bool:
        if call.command != "POST" or "/uploads/" not in call.path:
            return False
        status, headers, body = self.proxy.fetch(call)
        if status == 202:
            headers["location"] = f"{self.thief}/v2/upload?state=x"
        call.answer(status, body, headers.items())
        return True


@pytest.mark.parametrize("command", ["tags", "prune"])
def test_a_next_page_on_another_host(scenes: Scenes, thief: Thief, command: str) -> None:
    scene = scenes(command)
    scene.reset()
    link = f'<{thief.url}/v2/feastflow/app/tags/list?last=a>; rel="next"'
    scene.place.proxy.habits = [Sending("GET", "tags/list", 200, "Link", link)]
    ran = scene.run().ended(5)
    assert "continues at another address" in ran.errors[0]
    assert thief.seen == []
    assert scene.place.tags() == scene.start


@pytest.mark.parametrize("command", ["promote", "rollback", "deploy"])
@pytest.mark.parametrize("status", [301, 307])
def test_a_manifest_on_another_host_is_fetched_without_a_credential(
    scenes: Scenes, thief: Thief, command: str, status: int
) -> None:
    """What comes from there is none of ours, and is not believed."""
    scene = scenes(command)
    scene.reset()
    where = f"{thief.url}/v2/feastflow/app/manifests/latest"
    scene.place.proxy.habits = [Sending("GET|HEAD", "manifests/", status, "Location", where)]
    assert scene.run().code in (5, 6, 7)
    assert set(thief.seen) == {""}
    assert scene.place.tags() == scene.start


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_write_is_not_sent_to_another_host(scenes: Scenes, thief: Thief, status: int) -> None:
    scene = scenes("promote")
    scene.reset()
    where = f"{thief.url}/v2/feastflow/app/manifests/production"
    scene.place.proxy.habits = [Sending("PUT", "manifests/", status, "Location", where)]
    ran = scene.run().ended(5)
    assert f"answered {status}" in ran.errors[0]
    assert thief.seen == []
    assert scene.place.tags() == scene.start


def test_an_upload_is_not_sent_to_another_host(scenes: Scenes, thief: Thief) -> None:
    scene = scenes(ELSEWHERE)
    scene.reset()
    assert scene.other
    scene.other.proxy.habits = [ElsewhereUploads(scene.other.proxy, thief.url)]
    ran = scene.run().ended(5)
    assert "wants an upload to go to another address" in ran.errors[0]
    assert thief.seen == []


def test_a_trial_upload_is_not_cancelled_on_another_host(scenes: Scenes, thief: Thief) -> None:
    scene = scenes("publish")
    scene.reset()
    scene.place.proxy.habits = [ElsewhereUploads(scene.place.proxy, thief.url)]
    scene.run().ended()
    assert thief.seen == []


INSIDE: tuple[str, ...] = (
    "10.0.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "127.0.0.1",
    "localhost",
    "127.1",
)
INSIDE += ("0x7f000001", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "0.0.0.0")


@pytest.mark.parametrize("command", chosen(["publish", "promote", "prune", "tags"]))
def test_a_token_server_inside_of_a_private_network(
    scenes: Scenes, authority: Authority, named: list[str], command: str
) -> None:
    """The registry is not: whoever runs it may want to know what is behind the firewall."""
    scene = scenes(command)
    scene.variables["SSL_CERT_FILE"] = str(authority.file)
    scene.place.speak_tls(authority)
    for address in INSIDE:
        scene.reset()
        challenge = f'Bearer realm="https://{address}/token",service="x"'
        answer = Sending(".*", "/v2/", 401, "WWW-Authenticate", challenge)
        scene.place.proxy.habits = [answer]
        ran = scene.run().ended(3)
        assert "which is not a trustworthy address" in ran.errors[0], address
    assert set(named) <= {REMOTE_NAME, "127.0.0.1", "localhost"}
