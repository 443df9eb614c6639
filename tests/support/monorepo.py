"""`examples/monorepo` as a repository of its own, and what each run of its workflow left behind."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import Stack

from support import events, workflows
from support.act import Job, Runner
from support.events import Event
from support.registries import GITHUB_TOKEN, REPOSITORY, USER, LocalRegistry, RegistryProcesses
from support.repositories import MARK, Project
from support.servers.github_api import READ, WRITE_STATUS, GitHubApi

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "monorepo"
SERVICES = ("frontend", "pricing", "menu", "order", "payment", "delivery")
SHARED = ("sprint3", "latest")
BROKEN = "FROM scratch\nCOPY nothing /\n"

Tags = Mapping[str, Mapping[str, str]]
"""Service → tag → digest."""


@dataclass(frozen=True)
class WorkflowRun:
    """One run for one commit, and the tags as it left them."""

    sha: str
    job: Job
    tags: Tags

    @property
    def own(self) -> str:
        """The commit tag."""
        return f"commit-{self.sha[:7]}"

    def digests(self, tag: str = "") -> dict[str, str]:
        """What a tag (the commit's own, unless named) holds, by the services that have it."""
        name = tag or self.own
        return {service: each[name] for service, each in self.tags.items() if name in each}

    @property
    def shared(self) -> dict[str, dict[str, str]]:
        """What the shared tags hold."""
        return {tag: self.digests(tag) for tag in SHARED}

    def count(self, tag: str) -> int:
        """How many services have a tag."""
        return len(self.digests(tag))


@dataclass(frozen=True)
class Site:
    """The repository, its registry and a runner with the engine of one store."""

    place: LocalRegistry
    project: Project
    runner: Runner
    services: Sequence[str]

    def run(
        self, event: Event | None = None, *, namespace: str = USER, **options: Any
    ) -> WorkflowRun:
        """Run the workflow at HEAD, cloned to a depth of one as actions/checkout does.

        It is a push to main, if nothing else is said.
        """
        sha, branch = self.project.head, self.project.git("branch", "--show-current")
        folder = self.runner.folder / f"clone-{len(self.runner.homes)}"
        checkout = self.project.clone(folder, "--depth=1", f"--branch={branch}")
        job = self.runner.run(checkout, event or events.push("main", sha), **options)
        return WorkflowRun(sha, job, self.tags(namespace))

    def tags(self, namespace: str = USER) -> Tags:
        """What the registry keeps in its own files."""
        return {each: self.place.tags(name_of(each, namespace)) for each in self.services}

    def content(self, service: str, namespace: str = USER) -> Mapping[str, Any]:
        """What an image is, but for the time at which it was made: its settings and its files."""
        at = self.place.at("latest", name_of(service, namespace))
        config = json.loads(self.place.crane("config", at))
        exported = subprocess.run(
            ["crane", "export", at, "-"],
            env={"PATH": self.place.path, "DOCKER_CONFIG": str(self.place.home)},
            capture_output=True,
            check=True,
        )
        with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as tar:
            files = {each.name: _described(tar, each) for each in tar}
        return {
            "config": config["config"],
            "platform": (config["os"], config["architecture"]),
            "steps": [each.get("created_by") for each in config["history"]],
            "files": files,
        }


def name_of(service: str, namespace: str = USER) -> str:
    """The repository that the example gives a service."""
    return f"{namespace}/feastflow-{service}"


@contextmanager
def site(
    home: Path,
    stack: Stack,
    registries: RegistryProcesses,
    action: Path,
    tool_cache: Path,
    variables: Mapping[str, str],
    services: Sequence[str] = SERVICES,
) -> Iterator[Site]:
    """Commit the example with its busybox, as its README says; its images carry our mark.

    `services`: those that its `feastflow.yml` describes.
    """
    project = Project.create(home)
    shutil.copytree(EXAMPLE, project.folder, dirs_exist_ok=True)
    stack.give_busybox(project.folder / "base/rootfs/bin")
    config = project.folder / "feastflow.yml"
    label = "    labels: {{{}: '{}'}}\n".format(*MARK.split("="))
    others = rf"(?m)^  (?!(?:{'|'.join(services)}):)\w+:.*\n(?:    .*\n)*\n?"
    text = re.sub(others, "", config.read_text()).replace("    context:", f"{label}    context:")
    assert text.count(label) == len(services)
    config.write_text(text)
    project.commit()
    tokens = {GITHUB_TOKEN: [READ, WRITE_STATUS]}
    with (
        LocalRegistry("htpasswd", registries, home=home / "witness") as place,
        GitHubApi(project.origin, name=REPOSITORY, tokens=tokens, private=True) as api,
    ):
        runner = Runner(home / "runner", action, place, variables, api.url, tool_cache)
        yield Site(place, project, runner, services)


def commit_workflow(project: Project, text: str) -> None:
    """Commit the workflow alone, which is no input of any service."""
    project.commit({workflows.PATH: text})


def _described(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    file = tar.extractfile(member) if member.isfile() else None
    content = hashlib.sha256(file.read()).hexdigest() if file else member.linkname
    return member.type, member.mode, member.uid, member.gid, content
