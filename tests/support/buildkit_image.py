"""An image of BuildKit for a builder that is made of it, with nothing to pull.

Its ``buildctl dial-stdio``, which is all that buildx asks of it, leads to the BuildKit of an
engine, by way of a port on this machine's loopback. It is for builders with the host's network.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import socketserver
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from support.registries import LocalRegistry

PATH = "mirror/buildkit"
_BUILDKITD = """#!/busybox sh
trap 'exit 0' TERM
while :; do /busybox sleep 3600 & wait $!; done
"""
_BUILDCTL = """#!/busybox sh
[ "$1" = dial-stdio ] || exit 0
exec /busybox nc 127.0.0.1 {port}
"""


class BuildKitPort(socketserver.ThreadingTCPServer):
    """A port on loopback behind which a BuildKit answers that has a socket."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        self.path = address.removeprefix("unix://")
        super().__init__(("127.0.0.1", 0), _Joint)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.shutdown()
        self.server_close()


class _Joint(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, BuildKitPort)
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(self.server.path)
            back = threading.Thread(target=_copy, args=(other, self.request))
            back.start()
            _copy(self.request, other)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def log_in(variables: Mapping[str, str], place: LocalRegistry, folder: Path) -> dict[str, str]:
    """Docker's variables with a configuration of its own: logged in, and with no builder."""
    shutil.copytree(
        variables["DOCKER_CONFIG"], folder, symlinks=True, ignore=shutil.ignore_patterns("buildx")
    )
    (folder / "config.json").write_text(json.dumps({"auths": {place.host: place.login}}))
    return {**variables, "DOCKER_CONFIG": str(folder)}


def containers(client: docker.DockerClient, place: LocalRegistry) -> list[Container]:
    """The containers whose images are from a registry, in any state."""
    found = client.containers.list(all=True, ignore_removed=True)
    return [each for each in found if each.attrs["Config"]["Image"].startswith(place.host)]


def remove(client: docker.DockerClient, place: LocalRegistry) -> None:
    """Remove those containers, and what buildx and the engine have kept for them."""
    for each in containers(client, place):
        each.remove(force=True)
        with contextlib.suppress(NotFound):
            client.volumes.get(f"{each.name}_state").remove(force=True)
    for image in client.images.list(f"{place.host}/{PATH}"):
        client.images.remove(str(image.id), force=True)


def push(place: LocalRegistry, port: int, busybox: Path, folder: Path, *, tag: str = "v1") -> str:
    """Put the image on a registry; its name with tag and digest, as a run gives it."""
    files = {
        "busybox": busybox.read_bytes(),
        "usr/bin/buildkitd": _BUILDKITD.encode(),
        "usr/bin/buildctl": _BUILDCTL.format(port=port).encode(),
        "made-for": tag.encode(),
    }
    layer = folder / f"buildkit-{tag}.tar"
    with tarfile.open(layer, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    name = place.at(tag, PATH)
    place.crane("append", "--new_layer", str(layer), "--new_tag", name)
    entrypoint = ["--entrypoint", "/usr/bin/buildkitd", "--set-platform", "linux/amd64"]
    place.crane("mutate", *entrypoint, "--tag", name, name)
    return f"{place.host}/{PATH}:{tag}@{place.digest(tag, PATH)}"
