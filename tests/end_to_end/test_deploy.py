"""deploy.yml: one commit on the branch, which changes the image lines of manifests and no more."""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support import workflows
from support.act import Job, Runner
from support.events import Event
from support.registries import GITHUB_TOKEN, LocalRegistry
from support.repositories import Project
from support.soak import soak

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    spec:
      containers:
        - {name: web, image: "IMAGE"} # the shop
        - {name: proxy, image: "nginx:1.27"}
"""
NAME = "k8s/shop.yaml"
CONFIG = "x-access-token"
LOOK = """
      - name: Show what git was told, so that no mask can hide it
        run: base64 --wrap=0 .git/config && echo
"""


def decode(line: str) -> str:
    """What a line stands for; nothing, if it is plain text."""
    try:
        return base64.b64decode(line, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


@dataclass
class Site:
    """A repository with a manifest. `publish_head` publishes; what it gives is the commit tag."""

    place: LocalRegistry
    project: Project
    runner: Runner
    publish_head: Callable[[], str]

    def dispatch(self, to: str = "", *, dry_run: bool = False) -> Job:
        """Run the workflow by hand."""
        inputs = {"to": to, "dry-run": str(dry_run).lower()}
        event = Event("workflow_dispatch", "refs/heads/main", {"inputs": inputs})
        text = workflows.deploy_caller(self.place.host) + LOOK
        return self.runner.run(self.project.folder, event, workflow=text).ended()

    def publish(self) -> str:
        """Publish a new commit; its image."""
        self.project.commit()
        return self.image(self.publish_head())

    def image(self, tag: str) -> str:
        """An image, as it is to be deployed."""
        return f"{self.place.repository}:{tag}@{self.place.digest(tag)}"

    def remote(self, *arguments: str) -> str:
        """Ask the remote."""
        return self.project.git(*arguments, at=self.project.origin)


@pytest.fixture
def site(
    place: LocalRegistry, project: Project, runner: Runner, publish: Callable[[], str]
) -> Site:
    text = MANIFEST.replace("IMAGE", f"{place.repository}:v1")
    project.commit({NAME: text, "k8s/README.md": f"image: {place.repository}:v1\n"})
    return Site(place, project, runner, publish)


def test_the_manifest_is_committed_and_nothing_else(site: Site) -> None:
    image = site.publish()
    before = site.remote("rev-parse", "main")
    # Meanwhile somebody else pushes, which this working copy has not seen.
    other = site.project.clone(site.project.folder.parent / "other")
    site.project.git("commit", "--quiet", "--allow-empty", "-m", "Meanwhile", at=other)
    site.project.git("push", "--quiet", at=other)

    job = site.dispatch()
    assert site.remote("log", "--format=%s", f"{before}..main").split("\n") == [
        "Deploy",
        "Meanwhile",
    ]
    assert site.remote("show", "--format=", "--name-only", "main") == NAME
    assert site.remote("show", f"main:{NAME}") == MANIFEST.replace("IMAGE", image).rstrip()
    assert site.remote("log", "-1", "--format=%an %b", "main") == (
        f"github-actions[bot] {image.partition('@')[0]}"
    )
    assert job.outputs()["changed-files"] == NAME
    assert "| k8s/shop.yaml | 8 |" in job.summary
    [config] = [line for line in job.printed if CONFIG in decode(line)]
    assert GITHUB_TOKEN not in decode(config)

    # Again: it is deployed already.
    site.project.git("pull", "--quiet")
    tip = site.project.head
    assert site.dispatch().outputs()["changed-files"] == ""
    assert site.remote("rev-parse", "main") == tip


@soak
def test_a_dry_run_shows_the_difference_and_commits_nothing(site: Site) -> None:
    image = site.publish()
    site.publish()
    tip = site.remote("rev-parse", "main")
    job = site.dispatch(image.partition("commit-")[2][:7], dry_run=True)
    assert site.remote("rev-parse", "main") == tip
    assert (
        f'-        - {{name: web, image: "{site.place.repository}:v1"}} # the shop' in job.printed
    )
    assert f'+        - {{name: web, image: "{image}"}} # the shop' in job.printed
    assert job.outputs()["changed-files"] == ""


def test_a_workflow_that_publishes_can_call_it(site: Site) -> None:
    """As the head of deploy.yml says: what this very commit has published is deployed."""
    called = workflows.deploy_caller(site.place.host)
    site.project.commit({".github/workflows/deploy.yml": called})
    image = site.publish()
    head = workflows.DEPLOY.read_text().partition("\nname:")[0] + "\n"
    job = "".join(re.findall(r"(?m)^#(   .*\n)", head))
    text = textwrap.indent(re.sub(r"(?m)^ +(needs|if): .*\n", "", textwrap.dedent(job)), "  ")
    site.runner.run(
        site.project.folder,
        Event("workflow_dispatch", "refs/heads/main"),
        workflow=f"on: workflow_dispatch\njobs:\n{text}",
    ).ended()
    assert site.remote("show", f"main:{NAME}") == MANIFEST.replace("IMAGE", image).rstrip()
