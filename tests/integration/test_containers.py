"""How the container of a smoke test is reached, and that none is left behind."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import docker
import pytest
from support.registries import LocalRegistry
from support.web_images import Images, MakeImages, make_images

from feastflow_registry.builder import smoke_test
from feastflow_registry.builder.smoke_test import SmokeTester
from integration.conftest import Builder

SLEEP = ("/bin/busybox", "sleep", "100")


@pytest.fixture
def make(
    builders: Callable[[str], Builder], place: LocalRegistry, busybox: Path, tmp_path: Path
) -> Iterator[MakeImages]:
    """Images by the way they are made."""
    yield from make_images(builders, place, busybox, tmp_path)


@pytest.fixture
def images(make: MakeImages) -> Images:
    """Images in the classic engine."""
    return make("classic")


def test_beside_a_container_of_our_own_it_shares_the_network(images: Images) -> None:
    image = images.build("/bin/sh", "-c", "sleep 1; exec busybox httpd -f -p 3000 -h /site")
    network = images.client.networks.create(f"tests-{images.word}")
    seen: set[str] = set()

    def sleep(seconds: float) -> None:
        for name in images.containers():
            found = images.client.containers.get(name.strip("[]'/"))
            seen.update(found.attrs["NetworkSettings"]["Networks"])
        time.sleep(seconds)

    def judge(hostname: str) -> None:
        seen.clear()
        changes = {"sleep": sleep, "hostname": hostname, "patience": 60.0}
        assert images.judge(images.service(path="/"), image, **changes) is None

    own = images.client.containers.create(
        image.image_id, network=network.name, name=f"own-{images.word[::-1]}"
    )
    try:
        judge(str(own.id)[:12])
        assert seen == {network.name}
        judge(f"own-{images.word[::-1]}")
        assert seen == {"bridge"}
        judge("nobody")
        assert seen == {"bridge"}
    finally:
        own.remove(force=True)
        network.remove()


def test_where_ports_are_not_published_the_container_itself_is_asked(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose 127.0.0.1 is not the engine's."""
    monkeypatch.setattr(SmokeTester, "_host", "127.77.77.77")
    assert images.judge(images.service(path="/"), images.build()) is None


def test_an_engine_elsewhere_is_asked_at_its_own_address(images: Images) -> None:
    with _forwarded(images.host.removeprefix("unix://")) as port:
        elsewhere = docker.DockerClient(base_url=f"tcp://localhost:{port}")
        with closing(elsewhere):
            image = images.build()
            judged = images.judge(images.service(path="/"), image, client=lambda: elsewhere)
    assert judged is None


@contextmanager
def _forwarded(path: str) -> Iterator[int]:
    """A TCP port that leads to an engine's socket."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(path)
                back = threading.Thread(target=pump, args=(engine, self.request), daemon=True)
                back.start()
                pump(self.request, engine)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_no_container(images: Images, stop: type[BaseException]) -> None:
    seen: list[str] = []

    def sleep(_: float) -> None:
        seen.extend(images.containers())
        raise stop

    image = images.build(*SLEEP)
    with pytest.raises(stop):
        images.judge(images.service(path="/"), image, sleep=sleep)
    assert len(seen) == 1
    assert images.containers() == []


def test_a_second_interruption_leaves_none_either(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = images.client.api.remove_container
    tried = []

    def interrupted(*arguments: object, **options: object) -> None:
        tried.append(arguments)
        if len(tried) == 1:
            raise KeyboardInterrupt
        remove(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images.client.api, "remove_container", interrupted)
    with pytest.raises(KeyboardInterrupt):
        images.judge(images.service(path="/"), images.build())
    assert len(tried) == 2
    assert images.containers() == []


def test_what_a_killed_run_left_is_removed_by_a_later_one(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_test, "LABEL", f"tests.{images.word}")
    image = images.build()
    name, labels = f"left-{images.word}", {smoke_test.LABEL: "smoke-test"}
    images.client.containers.create(image.image_id, name=name, labels=labels)
    now = datetime.fromisoformat(images.client.info()["SystemTime"])
    for minutes, left in ((9, [str([f"/{name}"])]), (11, [])):
        later = (now + timedelta(minutes=minutes)).isoformat()
        monkeypatch.setattr(images.client, "info", lambda later=later: {"SystemTime": later})
        images.checks(random_word=lambda: "x" + images.word).check(
            images.service(path="/"), image, images.reference
        )
        assert images.containers() == left
