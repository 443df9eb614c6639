"""`deploy` on real files and a real registry: image lines change, and nothing else does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.failures import check_shown
from support.machine import PROGRAM, Machine, Ran
from support.registries import LocalRegistry
from support.servers.faults import Fault
from support.soak import chosen

from integration.conftest import Builder

WORKLOAD = """\
# The shop, as people see it.
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: prod}
spec:
  template:
    spec:
      initContainers:
        - name: migrate
          image: "IMAGE:v1"  # the same
      containers:
        - {name: web, image: IMAGE}
        - name: proxy
          image: nginx:1.27
"""
KUSTOMIZATION = (
    "resources: [shop.yaml]\nimages:\n  - name: app\n    newName: IMAGE\n    newTag: v1\n"
)
FILES = {"k8s/shop.yaml": WORKLOAD, "k8s/prod/kustomization.yaml": KUSTOMIZATION}
CONFIG = "services:\n  app: {image: app}\n  api: {image: api}\n"
READS = {"HEAD", "GET"}


class Shop:
    """A machine whose repository has manifests. `commit` publishes one of its commits."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.place, self.folder = machine, machine.place, machine.project.folder
        self.write(FILES)

    def write(self, files: Mapping[str, str]) -> None:
        """Write manifests, IMAGE being the repository of `app`."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("IMAGE", self.place.repository))

    def read(self) -> dict[str, bytes]:
        """The content of every file, git's own left out."""
        found = (each for each in self.folder.rglob("*") if ".git" not in each.parts)
        return {
            str(each.relative_to(self.folder)): each.read_bytes()
            for each in found
            if each.is_file()
        }

    def publish(self) -> str:
        """Commit and publish what is there; the image, as deploy writes it."""
        sha = self.machine.project.commit()
        self.machine.call(self.machine.runner()).ended()
        return self.image(sha)

    def image(self, sha: str) -> str:
        """A commit's image."""
        tag = f"commit-{sha[:7]}"
        return f"{self.place.repository}:{tag}@{self.place.digest(tag)}"

    def pinned(self, image: str) -> dict[str, str]:
        """What the manifests are to be."""
        tag, _, digest = image.removeprefix(f"{self.place.repository}:").partition("@")
        workload = WORKLOAD.replace("IMAGE:v1", image).replace("IMAGE", image)
        entry = f"newTag: {tag}\n    digest: {digest}"
        entries = KUSTOMIZATION.replace("IMAGE", self.place.repository).replace("newTag: v1", entry)
        return dict(zip(FILES, (workload, entries), strict=True))

    def now(self) -> dict[str, str]:
        """What the manifests are."""
        return {name: (self.folder / name).read_text() for name in FILES}

    def deploy(self, **facts: Any) -> Ran:
        """Run the command once, in this process."""
        given = {"command": "deploy", "manifests": "k8s/**", **facts}
        return self.machine.call(self.machine.runner(**given))

    def refused(self, code: int = 2, **facts: Any) -> list[str]:
        """Deploy what cannot be: each error is a cause and a fix, and no file is touched."""
        before = self.read()
        ran = self.deploy(**facts).ended(code)
        assert self.read() == before
        assert ran.outputs["pushed"] == "false"
        for error in ran.errors:
            check_shown(error)
        return ran.errors


@pytest.fixture
def shop(machine: Machine) -> Shop:
    return Shop(machine)


def test_the_runs_own_commit_is_deployed(shop: Shop) -> None:
    image = shop.publish()
    before, tags = len(shop.place.requests()), shop.place.tags()
    ran = shop.deploy().ended()
    assert shop.now() == shop.pinned(image)
    changed = shop.machine.project.git("diff", "--name-only").split()
    assert changed == sorted(FILES)
    assert ran.outputs["changed-files"].split("\n") == list(FILES)
    assert {each.method for each in shop.place.requests()[before:]} <= READS
    assert shop.place.tags() == tags

    digest = image.partition("@")[2]
    assert ran.outputs["pushed"] == "false"
    assert ran.outputs["reason"] == "deploy writes files and pushes nothing"
    assert ran.outputs["image"] == f"{shop.place.repository}@{digest}"
    assert json.loads(ran.outputs["digests"]) == {"app": ran.outputs["digest"]} == {"app": digest}
    assert ran.outputs["tags"] == image.partition("@")[0]
    found = json.loads(ran.outputs["images"])["app"]
    assert (found["digest"], found["action"]) == (digest, "reused")
    assert f"✅ app: {image}\n" in ran.log
    assert "📝 k8s/shop.yaml:10  migrate in Deployment/shop\n" in ran.log
    assert f"   {shop.place.repository}:v1 → " in ran.log
    assert "3 images in 2 files changed.\n" in ran.log
    assert ran.summary.startswith("### ✅ 3 images in 2 files changed; no cluster was touched\n")
    assert "| k8s/prod/kustomization.yaml | 3 | app in Kustomization |" in ran.summary

    # Again: what is there is what is wanted, and no file is as much as touched.
    moments = {name: (shop.folder / name).stat().st_mtime_ns for name in FILES}
    again = shop.deploy().ended()
    assert {name: (shop.folder / name).stat().st_mtime_ns for name in FILES} == moments
    assert again.outputs["changed-files"] == ""
    assert "Nothing to change" in again.log
    assert "Nothing to change" in again.summary


def test_a_dry_run_shows_what_a_run_does(shop: Shop, tmp_path: Path) -> None:
    image = shop.publish()
    files = shop.read()
    # A file is one file by whatever name.
    ran = shop.deploy(dry_run="true", manifests="k8s/**, ./k8s//shop.yaml").ended()
    assert shop.read() == files
    assert ran.outputs["changed-files"] == ""
    assert "3 images in 2 files to change: this was a dry run.\n" in ran.log
    assert ran.summary.startswith("### ✅ Dry run, nothing is changed: 3 images in 2 files")
    lines = ran.log.splitlines()
    stop = next(each for each in lines if each.startswith("::stop-commands::"))
    word = stop.rpartition("::")[2]
    patch = lines[lines.index(stop) + 1 : lines.index(f"::{word}::")]
    (tmp_path / "patch").write_text("\n".join([*patch, ""]))
    shop.machine.project.git("apply", str(tmp_path / "patch"))
    assert shop.now() == shop.pinned(image)


def test_any_image_can_be_named(shop: Shop) -> None:
    one = shop.publish()
    two = shop.publish()
    commit = one.partition("commit-")[2][:7]
    named: list[tuple[dict[str, str], str]] = [
        ({"to": commit}, one),
        ({"tag": "latest"}, two),
        ({"to": f"commit-{commit}", "tag": "latest"}, one),
        ({"to": "latest"}, two),
        ({"to": one.partition("@")[2]}, one),
    ]
    for inputs, image in named:
        shop.deploy(**inputs).ended()
        assert shop.now() == shop.pinned(image), inputs


def test_json_is_for_programs(shop: Shop) -> None:
    image = shop.publish()
    environ = shop.machine.runner(command="deploy", manifests="k8s/shop.yaml", dry_run="true")
    done = subprocess.run(
        [*PROGRAM, "--json"],
        env=environ,
        cwd=shop.folder,
        check=True,
        capture_output=True,
    )
    found = json.loads(done.stdout)
    assert (found["command"], found["push"]) == ("deploy", False)
    old = shop.place.repository
    assert found["changes"] == [
        {
            "file": "k8s/shop.yaml",
            "line": line,
            "resource": "Deployment/shop",
            "container": container,
            "old": text,
            "new": image,
        }
        for line, container, text in ((10, "migrate", f"{old}:v1"), (12, "web", old))
    ]


@pytest.mark.parametrize("event", chosen(["pull_request", "push"]))
def test_whoever_may_read_the_registry_needs_no_credentials(
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
    classic: Builder,
    event: str,
) -> None:
    shop = Shop(machines(places("token"), classic))
    image = shop.publish()
    assert shop.place.tokens
    shop.place.tokens.grants = {**shop.place.tokens.grants, "": {"*": ("pull",)}}
    ref = "refs/pull/1/merge" if event == "pull_request" else "refs/heads/main"
    shop.deploy(event=event, ref=ref, username="", token="", namespace="feastflow").ended()
    assert shop.now() == shop.pinned(image)


def test_a_repository_of_manifests_alone_needs_nothing_to_build(shop: Shop) -> None:
    image = shop.publish()
    to = image.partition("commit-")[2][:7]
    shop.machine.project.git("rm", "--quiet", "Dockerfile")
    shop.deploy(to=to, secrets="id=npm,env=NOT_SET").ended()
    assert shop.now() == shop.pinned(image)


HELM = "kind: Pod\nspec:\n  containers:\n    {{- range .Values.all }}\n    - image: {{ . }}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)
BAD = {
    "k8s/bomb.yaml": (BOMB, "stands for more than"),
    "k8s/helm.yaml": (HELM, "It looks like a Helm template"),
    "k8s/tabs.yaml": ("kind: Pod\n\tspec: x\n", "k8s/tabs.yaml, line 2: this is not YAML"),
    "k8s/merge.yaml": (WORKLOAD + "<<<<<<< HEAD\n", "k8s/merge.yaml, line 15"),
    "k8s/binary.yaml": ("kind: Pod\0", "the character U+0000 is not allowed"),
    "k8s/shared.yaml": (
        WORKLOAD.replace("image: IMAGE}", "image: &i IMAGE}") + "note: *i\n",
        "is repeated by an alias",
    ),
    "k8s/template.yaml": (WORKLOAD.replace("IMAGE:v1", "IMAGE:$TAG"), "is no image with a tag"),
}


def test_all_that_is_wrong_is_said_before_anything_is_asked(shop: Shop, tmp_path: Path) -> None:
    shop.write({name: text for name, (text, _) in BAD.items()})
    (shop.folder / "k8s/locked.yaml").write_text(shop.now()["k8s/shop.yaml"])
    (shop.folder / "k8s/locked.yaml").chmod(0o444)
    (tmp_path / "away.yaml").write_text("kind: Pod\n")
    (shop.folder / "away.yaml").symlink_to(tmp_path / "away.yaml")
    (shop.folder / "loop.yaml").symlink_to("loop.yaml")
    manifests = "k8s/**, k8s/shp.yaml, away.yaml, loop.yaml, ../away.yaml, none/*.yaml"
    before = shop.read()
    log = shop.deploy(manifests=manifests).ended(2).log
    assert shop.read() == before
    wanted = [
        *((name, said) for name, (_, said) in BAD.items()),
        ("'k8s/locked.yaml'", "is read-only"),
        ("'k8s/shp.yaml'", "there is no"),
        ("'away.yaml'", "lies outside the repository"),
        ("'loop.yaml'", "lies outside the repository"),
        ("'../away.yaml'", "lies outside the repository"),
        ("'none/*.yaml'", "no file matches"),
    ]
    for name, said in wanted:
        assert sum(name in each and said in each for each in log.splitlines()) == 1, (name, log)
    assert shop.place.proxy.requests == ()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"manifests": ""}, 'input "manifests": deploy needs to know which files'),
        (
            {"tag": "team/app"},
            'input "tag": deploy takes one tag without a repository, not team/app',
        ),
        ({"manifests": "k8s/other.yaml"}, "these have nginx."),
        ({"manifests": "compose.yaml"}, "compose.yaml, line 1: this is not a Kubernetes object."),
        ({"manifests": "compose.yaml, k8s/shop.yaml"}, "this is not a Kubernetes object."),
        ({"manifests": "k8s/rollout.yaml"}, "migrate in Rollout/shop is of a kind that is"),
        ({"to": "no such image!"}, 'input "to"'),
    ],
)
def test_what_is_refused_by_itself(shop: Shop, inputs: dict[str, Any], said: str) -> None:
    shop.write(
        {
            "compose.yaml": "services: {web: {image: IMAGE}}\n",
            "k8s/other.yaml": WORKLOAD.replace("IMAGE:v1", "nginx").replace("IMAGE", "nginx"),
            "k8s/rollout.yaml": WORKLOAD.replace("apps/v1", "argoproj.io/v1alpha1").replace(
                "Deployment", "Rollout"
            ),
        }
    )
    errors = shop.refused(**inputs)
    assert any(said in each for each in errors), errors
    assert shop.place.proxy.requests == ()


def test_an_image_that_is_not_there_leaves_every_file_as_it_is(shop: Shop) -> None:
    image = shop.publish()
    known = image.partition("commit-")[2][:7]
    sha = shop.machine.project.commit()
    [error] = shop.refused()
    assert f"has no image of commit {sha[:12]}" in error
    assert known in error
    [error] = shop.refused(tag="sprint9")
    assert f"there is no {shop.place.repository}:sprint9" in error
    [error] = shop.refused(to=f"sha256:{'0' * 64}")
    assert "holds no image sha256:000" in error
    shop.place.retag(dict.fromkeys(("commit-abcd111", "commit-abcd222"), image.partition("@")[2]))
    [error] = shop.refused(to="abcd")
    assert "Give more of it: abcd111, abcd222" in error


def test_what_a_rollback_has_marked_is_deployed_by_name_only(shop: Shop) -> None:
    image = shop.publish()
    tag, _, digest = image.removeprefix(f"{shop.place.repository}:").partition("@")
    shop.place.retag({tag.replace("commit", "withdrawn"): digest})
    [error] = shop.refused(6)
    assert "was withdrawn by a rollback" in error
    ran = shop.deploy(to=tag).ended()
    assert "::warning::" in ran.log
    assert shop.now() == shop.pinned(image)


def test_an_image_without_a_tag_is_no_name_for_people(shop: Shop) -> None:
    image = shop.publish()
    shop.place.untag(*shop.place.tags())
    [error] = shop.refused(to=image.partition("@")[2])
    assert "no commit tag holds" in error


def test_a_service_that_no_manifest_names(shop: Shop) -> None:
    shop.write({"feastflow.yml": CONFIG})
    shop.publish()
    ran = shop.deploy().ended()
    assert "::notice::api is not deployed: no manifest names the image" in ran.log
    assert json.loads(ran.outputs["images"]).keys() == {"app"}
    shop.machine.project.git("checkout", "k8s")
    [error] = shop.refused(services="app,api")
    assert "no manifest names the image" in error
    assert f"{shop.place.host}/feastflow/api" in error
    [error] = shop.refused(services="app", to=shop.place.digest("latest", "feastflow/api"))
    assert "It may be another repository's" in error


def test_a_kind_that_is_not_known_is_left_alone_and_named(shop: Shop) -> None:
    shop.publish()
    rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: shop}\n"
    spec = "spec: {template: {spec: {containers: [{name: web, image: IMAGE}]}}}\n"
    shop.write({"k8s/rollout.yaml": rollout + spec, "k8s/values.yaml": "image: IMAGE\n"})
    (shop.folder / "k8s/rollout.yaml").chmod(0o444)  # Nothing is to be written there.
    ran = shop.deploy().ended()
    assert "::notice::k8s/rollout.yaml, line 4: web in Rollout/shop is left as it is." in ran.log
    assert "::notice::k8s/values.yaml, line 1: this is not a Kubernetes object." in ran.log
    assert ran.outputs["changed-files"].split("\n") == list(FILES)


def test_a_registry_that_fails_leaves_every_file_as_it_is(shop: Shop) -> None:
    shop.publish()
    shop.place.proxy.add(Fault(kind="status", status=503, times=None))
    [error] = shop.refused(5)
    assert "503" in error


def test_nothing_in_a_manifest_can_command_the_runner(shop: Shop) -> None:
    shop.publish()
    evil = "::error::x"
    text = WORKLOAD.replace("name: web", f"name: '{evil}|<b>'").replace(
        "name: shop", f'name: "{evil}\\n\\e[31m"'
    )
    shop.write({f"k8s/{evil}|`x.yaml": f"{text}# {evil}\n{evil}: 1\n"})
    for dry_run in ("true", "false"):
        ran = shop.deploy(dry_run=dry_run).ended()
        assert "\x1b" not in ran.log
        inside = ""
        for line in ran.log.splitlines():
            if line.startswith("::stop-commands::"):
                inside = line.removeprefix("::stop-commands::")
            elif line == f"::{inside}::":
                inside = ""
            assert inside or not line.lstrip().startswith(evil)
        table = [line for line in ran.summary.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in table} == {6}
        assert "<b>" not in ran.summary


def test_a_stale_header_writes_no_digest_into_a_manifest(shop: Shop) -> None:
    """A cache before the registry: what `latest` holds is proven by its bytes."""
    old = shop.publish().partition("@")[2]
    new = shop.publish()
    before = shop.read()
    headers = {"Docker-Content-Digest": old}
    stale = {"status": 200, "headers": headers, "body": b"", "path": "manifests/latest"}
    shop.place.proxy.add(Fault("status", method="HEAD", times=None, **stale))  # type: ignore[arg-type]
    ran = shop.deploy(tag="latest").ended(7)
    assert "it sent the bytes of" in ran.errors[0]
    assert shop.read() == before
    shop.place.proxy.clear()
    shop.deploy(tag="latest").ended()
    assert new.encode() in shop.read()["k8s/shop.yaml"]
