"""FeastFlow's frontend: its repository, its registry, and people who work on it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from support.machine import Machine, Ran
from support.registries import USER, LocalRegistry
from support.repositories import MARK

FRONTEND = Path(__file__).resolve().parents[2] / "examples" / "frontend"
NAME = "feastflow-frontend"
IMAGE = f"{USER}/{NAME}"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: feastflow-frontend
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: frontend
          image: {image} # what runs
          ports:
            - containerPort: 3000
"""
SERVICES = "services:\n  frontend: {image: feastflow-frontend, smoke-test: 3000/}\n"
MANIFEST = "k8s/frontend.yaml"


@dataclass
class FeastFlow:
    """The frontend's repository, the registry, and people who work on it."""

    machine: Machine

    @property
    def place(self) -> LocalRegistry:
        return self.machine.place

    @property
    def repository(self) -> str:
        return f"{self.place.host}/{IMAGE}"

    @property
    def commit(self) -> str:
        return f"commit-{self.machine.project.head[:7]}"

    def tags(self) -> dict[str, str]:
        return self.place.tags(IMAGE)

    def change(self, page: str, *, message: str = "") -> str:
        """Merge a change of the page to main; its commit tag."""
        files = {"site/index.html": f"<h1>{page}</h1>\n"}
        self.machine.project.commit(files, message=message)
        return self.commit

    def run(self, command: str, *arguments: str, code: int = 0, **variables: Any) -> Ran:
        """Run the program by hand, as the guide's scripts are."""
        environ = self.machine.laptop(FEASTFLOW_REGISTRY=self.place.host, **variables)
        ran = self.machine.run(environ, command, *arguments)
        assert ran.code == code, ran.log
        return ran

    def manifest(self) -> str:
        return (self.machine.project.folder / MANIFEST).read_text()

    def kubectl(self, line: str) -> str:
        """What a printed `kubectl set image` makes of the manifest that the cluster runs."""
        words = shlex.split(line)
        assert words[:3] == ["kubectl", "set", "image"]
        resource, *images = words[3:]
        assert resource == "deployment/feastflow-frontend"
        done = subprocess.run(
            [*words[:3], "--local", "-f", "-", *images, "-o", "yaml"],
            input=DEPLOYMENT.format(image="x"),
            env={"PATH": self.place.path, "HOME": str(self.machine.home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, reference: str) -> Iterator[str]:
        """Pull an image as a node does, and run it; the page that it answers with."""
        with closing(docker.DockerClient(self.machine.variables["DOCKER_HOST"])) as client:
            login = {"username": USER, "password": self.place.token}
            joint = "@" if "@" in reference else ":"
            name, _, target = reference.rpartition(joint)
            image = client.images.pull(name.partition("@")[0], target, auth_config=login)
            container = client.containers.run(
                image, detach=True, ports={"3000/tcp": ("127.0.0.1", 0)}, labels=[MARK]
            )
            try:
                yield _page(container)
            finally:
                container.remove(force=True)


def _page(container: Container) -> str:
    for _ in range(100):
        container.reload()
        [binding] = container.ports.get("3000/tcp") or [{"HostPort": "1"}]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{binding['HostPort']}/") as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.1)
    raise AssertionError(container.logs())


def lay_out(machine: Machine, busybox: Path) -> FeastFlow:
    """Make the repository, with a manifest that a cluster runs."""
    place, project = machine.place, machine.project
    shutil.copytree(FRONTEND / "site", project.folder / "site")
    shutil.copy2(busybox, project.folder / "busybox")
    dockerfile = (FRONTEND / "Dockerfile").read_text() + f"LABEL {MARK}\n"
    files = {"Dockerfile": dockerfile, "feastflow.yml": SERVICES}
    image = f"{place.host}/{IMAGE}:latest"
    project.commit({**files, MANIFEST: DEPLOYMENT.format(image=image)}, message="Open")
    return FeastFlow(machine)
