"""The command `tags`: what it says of a registry and of Docker Hub, and what it asks for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support.machine import PROGRAM, Machine
from support.many_tags import DAY, ImageMaker, commit_days, docker_hub
from support.registries import OURS, LocalRegistry, find_registry
from support.repositories import Project
from support.servers.faults import Fault
from support.servers.registry import Registry
from support.soak import soak

CONFIG = """services:
  web: {image: feastflow/web, context: .}
  api: {image: feastflow/api, context: .}
"""

MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Starts another program from a small one: a child's peak begins as large as who starts it."""


@pytest.fixture
def stock(place: LocalRegistry) -> ImageMaker:
    return ImageMaker(place)


def table(log: str) -> dict[str, list[str]]:
    """The rows of a table by their tags."""
    rows = [re.split(r" {2,}", line) for line in log.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) > 1}


class TestRegistry:
    def test_every_tag_with_its_commit_and_size(
        self, machine: Machine, stock: ImageMaker, project: Project
    ) -> None:
        first, second = commit_days(project, 5, 2)
        small, large = stock.image("small", size=1_000_000), stock.image("large", size=3_000_000)
        stock.tag({f"commit-{first}": small, f"commit-{second}": large, "latest": large})
        ran = machine.call(machine.runner(command="tags")).ended()
        place = machine.place
        assert f"{place.repository}: 3 tags on 2 images, latest is commit {second}" in ran.log
        rows = table(ran.log)
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * DAY))
        assert rows["latest"][:3] == [place.digest("latest")[7:19], "3.0 MB", second]
        assert rows["latest"][3].startswith(day)
        assert rows["latest"][4:] == [f"= commit-{second}", "Change 2"]
        assert rows[f"commit-{first}"][1] == "1.0 MB"
        assert "size of 2 commits, oldest first: ▃█ 1.0 MB to 3.0 MB" in ran.log
        assert f"commit {second} made it 3.0 times as large" in ran.log
        assert "```mermaid" in ran.summary
        assert "| <code>latest</code> |" in ran.summary

    @pytest.mark.parametrize("command", ["tags", "prune"])
    def test_an_emptiness_is_not_believed_at_once(
        self, machine: Machine, stock: ImageMaker, project: Project, command: str
    ) -> None:
        (only,) = commit_days(project, 5)
        stock.tag({f"commit-{only}": stock.image("one"), "latest": stock.image("one")})
        machine.place.proxy.add(Fault("status", status=404, path="tags/list"))
        ran = machine.call(machine.runner(command=command)).ended()
        assert f"commit-{only}" in ran.log

    def test_what_is_asked(self, machine: Machine, stock: ImageMaker, project: Project) -> None:
        """One listing, one HEAD a tag, one GET an image: no commit is looked up by its image."""
        names = commit_days(project, *range(30, 0, -1))
        images = [stock.image(str(number)) for number in range(3)]
        stock.tag({f"commit-{name}": images[n % 3] for n, name in enumerate(names)})
        stock.tag({"latest": images[0]})
        ran = machine.call(machine.runner(command="tags")).ended()
        challenge, *answered = machine.place.since(0)
        assert challenge == "GET tags/list 401"
        seen = Counter(line.partition("/")[0] for line in answered)
        assert seen == {"GET tags": 1, "HEAD manifests": 31, "GET manifests": 3}
        assert ran.sent == 36
        assert {each.method for each in machine.place.requests()} == {"GET", "HEAD"}

    def test_an_index_has_the_size_of_its_largest_platform(
        self, machine: Machine, stock: ImageMaker
    ) -> None:
        parts = [stock.image(f"p{size}", size=size) for size in (1000, 9_000_000, 2000)]
        stock.tag({"latest": stock.index(*parts)})
        ran = machine.call(machine.runner(command="tags")).ended()
        assert table(ran.log)["latest"][1] == "9.0 MB"
        assert not [line for line in machine.place.since(0) if "blobs" in line]

    def test_a_shallow_clone(
        self, machine: Machine, stock: ImageMaker, project: Project, tmp_path: Path
    ) -> None:
        first, second = commit_days(project, 5, 2)
        stock.tag({f"commit-{each}": stock.image(each) for each in (first, second)})
        machine.workspace = project.clone(tmp_path / "shallow", "--depth=1")
        ran = machine.call(machine.runner(command="tags")).ended()
        assert table(ran.log)[f"commit-{second}"][-1] == "Change 2"
        assert table(ran.log)[f"commit-{first}"][2:] == [first]

    @pytest.mark.parametrize("subject", ["::error::forged", "##[error]forged", "| a | b `x`"])
    def test_a_hostile_subject(
        self, machine: Machine, stock: ImageMaker, project: Project, subject: str
    ) -> None:
        (name,) = commit_days(project, 1, subject=subject)
        stock.tag({f"commit-{name}": stock.image("1")})
        ran = machine.call(machine.runner(command="tags")).ended()
        assert not re.search(r"^\s*::error|##\[", ran.log, re.MULTILINE)
        *_, row = ran.summary.strip().splitlines()
        assert row.count("|") == 6, "without a note there is no column for it"
        assert row.count("`") == 0

    def test_no_repository(self, machine: Machine) -> None:
        ran = machine.call(machine.runner(command="tags")).ended()
        assert f"::warning::{machine.place.repository} holds no tags" in ran.log
        assert "holds no tags" in ran.summary

    def test_a_password_that_is_wrong(self, machine: Machine) -> None:
        ran = machine.call(machine.runner(command="tags", token="dckr_pat_wrong")).ended(3)
        assert "does not accept" in ran.errors[0]


class TestByHand:
    def test_no_credentials_where_none_are_needed(self, machine: Machine) -> None:
        with Registry(binary=find_registry(machine.place.path)) as registry:
            done = machine.run(
                machine.laptop(credentials=False),
                *("tags", f"--registry={registry.host}", "--namespace=feastflow"),
            ).ended()
            assert f"{registry.host}/feastflow/app holds no tags" in done.log

    def test_json(self, machine: Machine, stock: ImageMaker, project: Project) -> None:
        (name,) = commit_days(project, 1)
        digest = stock.image("1", size=500)
        stock.tag({f"commit-{name}": digest, "latest": digest})
        done = subprocess.run(
            [*PROGRAM, "tags", f"--registry={machine.place.host}", "--json"],
            env=machine.laptop(),
            cwd=project.folder,
            capture_output=True,
            check=True,
            text=True,
        )
        (service,) = json.loads(done.stdout)["services"]
        assert (service["service"], service["latest"]) == ("app", digest)
        assert service["tags"][0]["commit"] == project.head
        assert service["images"] == {digest: ["latest", f"commit-{name}"]}
        assert "latest is commit" in done.stderr

    def test_each_service_of_several(
        self, machine: Machine, stock: ImageMaker, project: Project
    ) -> None:
        project.commit({"feastflow.yml": CONFIG})
        for name in ("web", "api"):
            repository = f"feastflow/feastflow/{name}"
            stock.tag({"latest": stock.image(name, repository=repository)}, repository=repository)
        ran = machine.run(machine.laptop(), "tags", f"--registry={machine.place.host}").ended()
        heads = re.findall(r"^(\S+): 1 tag on 1 image", ran.log, re.MULTILINE)
        assert [each.rpartition("/")[2] for each in heads] == ["web", "api"]


class TestDockerHub:
    def test_a_hundred_tags_a_request(
        self, machine: Machine, stock: ImageMaker, project: Project
    ) -> None:
        (name,) = commit_days(project, 9)
        digest = stock.image("1", size=5_000_000)
        stock.tag({f"commit-{number:07x}": digest for number in range(249)}, age=3)
        stock.tag({f"commit-{name}": digest}, age=2)
        with docker_hub(machine.place) as hub:
            environ = {**machine.runner(command="tags"), "FEASTFLOW_HUB_URL": hub.url}
            ran = machine.call(environ).ended()
            asked = [f"{each.method} {each.path.partition('?')[0]}" for each in hub.requests]
        assert [each.partition(" ")[0] for each in asked] == ["POST", "GET", "GET", "GET"]
        assert machine.place.requests(OURS) == []
        row = table(ran.log)[f"commit-{name}"]
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * DAY))
        assert row[1] == "5.0 MB"
        assert row[2].startswith(day)
        assert row[3] == name
        assert row[-1] == "Change 1"

    @soak
    def test_ten_thousand_tags(
        self, machine: Machine, stock: ImageMaker, project: Project, tmp_path: Path
    ) -> None:
        digest = stock.image("1")
        stock.tag({f"commit-{number:07x}": digest for number in range(10_000)})
        with docker_hub(machine.place) as hub, (tmp_path / "log").open("wb") as log:
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    MEASURED,
                    *PROGRAM,
                    "tags",
                    f"--registry={machine.place.host}",
                ],
                env=machine.laptop(FEASTFLOW_HUB_URL=hub.url),
                cwd=project.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
            asked = Counter(each.method for each in hub.requests)
        said = (tmp_path / "log").read_text()
        assert done.returncode == 0, said[-2000:]
        assert len(table(said)) == 10_001
        assert asked == {"POST": 1, "GET": 100}
        assert int(done.stdout) < 150 * 1024

    def test_anonymous(self, machine: Machine, stock: ImageMaker) -> None:
        stock.tag({"latest": stock.image("1")})
        with docker_hub(machine.place) as hub:
            environ = machine.laptop(credentials=False, FEASTFLOW_HUB_URL=hub.url)
            host = f"--registry={machine.place.host}"
            ran = machine.run(environ, "tags", host, "--namespace=feastflow").ended()
            assert hub.logins == []
        assert "1 tag on 1 image" in ran.log

    def test_no_repository(self, machine: Machine) -> None:
        with docker_hub(machine.place) as hub:
            environ = {**machine.runner(command="tags"), "FEASTFLOW_HUB_URL": hub.url}
            assert "holds no tags" in machine.call(environ).ended().log
