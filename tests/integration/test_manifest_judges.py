"""What `deploy` writes into manifests, judged by kubectl, kustomize and git."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Stack
from corpus import (
    DIGEST,
    FILES,
    FOLDERS,
    MANIFESTS,
    OURS,
    PINS,
    TAG,
    containers,
    load,
    pinned,
    resources,
)
from support.soak import one_in

from feastflow_registry.kubernetes import files, workloads
from feastflow_registry.report.deploy import unified

# kubectl reads no directives and knows no custom resources; kustomize reads no directives, no \/,
# no list whose items leave out their kind, no key twice, and nothing without a name.
KUBECTL_REFUSES = {"directives.yaml", "custom-resources.yaml"}
KUSTOMIZE_REFUSES = {
    *("directives.yaml", "deployment.json", "deployment-list.yaml", "extensions.yaml", "job.yaml")
}
# What kubectl says of a resource that it has nothing to do for.
NOT_CONCERNED = ("unable to find container named", "does not have a pod template")
# Keys by which kustomize finds images that it does not know by itself.
CONFIGURATION = "images: [{path: 'spec/ephemeralContainers[]/image', kind: Pod}]\n"


class Judges:
    """kubectl and kustomize, with no cluster and no configuration."""

    def __init__(self, path: str, home: Path) -> None:
        self.environ = {"PATH": path, "HOME": str(home), "GIT_CONFIG_GLOBAL": "/dev/null"}

    def run(self, *argv: str, folder: Path) -> tuple[int, str, str]:
        """The exit code, and what was printed, its line ends as they are."""
        done = subprocess.run(argv, cwd=folder, env=self.environ, capture_output=True, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def kubectl(self, verb: str, path: Path, *words: str) -> tuple[list[Any], list[str]]:
        """The resources that kubectl prints, and its complaints."""
        command = ["kubectl", *verb.split(), "--local", "-f", str(path), *words, "-o", "json"]
        _, printed, complaints = self.run(*command, folder=path.parent)
        found, rest = [], printed.lstrip()
        while rest:  # One after the other, with nothing between them.
            resource, end = json.JSONDecoder().raw_decode(rest)
            found.append(resource)
            rest = rest[end:].lstrip()
        return list(resources(found)), list(filter(None, complaints.splitlines()))

    def kustomize(self, folder: Path, *words: str) -> str:
        code, printed, complaints = self.run("kustomize", *words, folder=folder)
        assert code == 0, complaints
        return printed


@pytest.fixture(scope="session")
def judges(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Judges:
    path = stack.variables()["PATH"]
    missing = [each for each in ("kubectl", "kustomize") if not shutil.which(each, path=path)]
    if missing and not shutil.which("apt-get"):
        pytest.skip(f"{', '.join(missing)} not on this machine")
    assert not missing, f"{', '.join(missing)} not there: run dev/stack up"
    return Judges(path, tmp_path_factory.mktemp("judges"))


def deploy(folder: Path) -> dict[str, workloads.Edit]:
    """Pin every image of ours below a folder, as the command does."""
    found = files.find(folder, ["."])
    edits = [workloads.edit(workloads.read(each.name, each.content), PINS) for each in found]
    changed = [(file, edit.after) for file, edit in zip(found, edits, strict=True) if edit.changes]
    files.replace(changed)
    return {each.name: each for each in edits}


@pytest.fixture(scope="session")
def after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus after `deploy`."""
    folder = tmp_path_factory.mktemp("after") / "manifests"
    shutil.copytree(MANIFESTS, folder)
    deploy(folder)
    return folder


def seen_by_kubectl(documents: list[Any]) -> dict[tuple[str, ...], str]:
    """The images that `kubectl set image` could set, by resource and container."""
    found: dict[tuple[str, ...], str] = {}
    for resource in documents:
        name = resource["metadata"].get("name", "")
        for key, container in containers(resource):
            if key != "ephemeralContainers" and resource["kind"] != "PodTemplate":
                found[resource["kind"], name, key, container["name"]] = container["image"]
    return found


@pytest.mark.parametrize("name", one_in(5, FILES))
def test_kubectl_sets_the_same_images(name: str, judges: Judges, after: Path) -> None:
    """`kubectl set image` on the old file, and no change at all on the new one, end alike."""
    if name in KUBECTL_REFUSES:
        words = [f"{each}=x:1" for each in ("frontend", "backend")]
        assert judges.kubectl("set image", MANIFESTS / name, *words)[0] == []
        return
    nothing = ("--type=merge", "--patch={}")
    old, complaints = judges.kubectl("patch", MANIFESTS / name, *nothing)
    assert complaints == []
    images = seen_by_kubectl(old)
    words = [f"{key[-1]}={new}" for key, image in images.items() if (new := pinned(image))]
    if words:
        printed, complaints = judges.kubectl("set image", MANIFESTS / name, *words)
        assert all(any(each in line for each in NOT_CONCERNED) for line in complaints), complaints
        images |= seen_by_kubectl(printed)
    now, complaints = judges.kubectl("patch", after / name, *nothing)
    assert complaints == []
    assert seen_by_kubectl(now) == images
    assert words or name == "pod-template.yaml"
    assert old != now


@pytest.mark.parametrize("name", one_in(3, FILES))
def test_kustomize_sets_the_same_images(
    name: str, judges: Judges, tmp_path: Path, after: Path
) -> None:
    """kustomize's own transformer on the old file, and none on the new one, end alike."""

    def build(place: str, path: Path, images: list[dict[str, str]]) -> list[Any]:
        folder = tmp_path / place
        folder.mkdir()
        shutil.copy(path, folder)
        data = {"resources": [name], "configurations": ["images.conf"], "images": images}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(data))
        (folder / "images.conf").write_text(CONFIGURATION)
        found = load(judges.kustomize(folder, "build").encode())
        # What aliases repeat is nothing to Kubernetes, but kustomize keeps it.
        return [
            {key: value for key, value in each.items() if not key.startswith(("x-", "."))}
            for each in found
        ]

    if name in KUSTOMIZE_REFUSES:
        with pytest.raises(AssertionError, match="Error"):
            build("untouched", MANIFESTS / name, [])
        return
    images = [
        {"name": spelling, "newTag": TAG, "digest": DIGEST}
        for each in OURS
        for spelling in (each, f"docker.io/{each}", f"index.docker.io/{each}")
    ]
    untouched = build("untouched", MANIFESTS / name, [])
    wanted = build("wanted", MANIFESTS / name, images)
    given = build("given", after / name, [])
    # kustomize's transformer sets custom resources, too, which deploy leaves alone.
    pairs = zip(untouched, wanted, strict=True)
    wanted = [new if any(containers(new)) else old for old, new in pairs]
    assert given == wanted
    assert given != untouched


def test_each_file_has_a_judge() -> None:
    assert {"directives.yaml"} == KUBECTL_REFUSES & KUSTOMIZE_REFUSES
    assert len(FILES) + len(FOLDERS) >= 24


def kustomizations(top: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(top.rglob("[kK]ustomization*")):
        for data in load(path.read_bytes()):
            yield path.parent.relative_to(top), data


@pytest.mark.parametrize("name", one_in(3, FOLDERS))
def test_kustomize_edits_alike(name: str, judges: Judges, tmp_path: Path, after: Path) -> None:
    """`kustomize edit set image` on the old folder and `deploy` on the new one build the same."""
    old, new = tmp_path / "old", after / name
    shutil.copytree(MANIFESTS / name, old)
    top = "prod" if name == "kustomize-overlay" else "."
    untouched = judges.kustomize(old, "build", top)
    for folder, data in kustomizations(old):
        for entry in data.get("images", ()):
            if target := pinned(entry.get("newName") or entry["name"]):
                words = ("edit", "set", "image", f"{entry['name']}={target}")
                judges.kustomize(old / folder, *words)
    assert [meant(*each) for each in kustomizations(new)] == [
        meant(*each) for each in kustomizations(old)
    ]
    built = judges.kustomize(new, "build", top)
    assert built == judges.kustomize(old, "build", top)
    assert built != untouched


def meant(folder: Path, data: Mapping[str, Any]) -> tuple[Path, dict[str, tuple[str, ...]]]:
    """What the entries for images say; a newName that is not there is the name."""
    keys = ("newTag", "digest")
    return folder, {
        each["name"]: (each.get("newName") or each["name"], *(each.get(key) or "" for key in keys))
        for each in data.get("images", ())
    }


IMAGE = re.compile(
    r"(?:(?:index\.)?docker\.io/)?feastflow\\?/feastflow-(?:frontend|backend)[\w.:@-]*"
)
ENTRY = re.compile(
    r"""(?x) ,? \s* (["']?) (?:newTag|digest) \1 \s* : \s* (?:&tag\s)?
    (?: "[^"]*" | '[^']*' | [\w.:-]+ ) ,?"""
)


def test_git_shows_image_lines_alone(tmp_path: Path, judges: Judges) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(MANIFESTS, folder)

    def git(*words: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        code, printed, complaints = judges.run("git", *identity, *words, folder=folder)
        assert code == 0, complaints
        return printed

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "before")
    edits = deploy(folder)
    changed = git("diff", "--name-only").split()
    assert sorted(changed) == sorted(name for name, each in edits.items() if each.changes)
    assert len(changed) >= 40
    for name in changed:
        lines = git("diff", "--no-color", "--unified=0", "--", name).split("\n")[4:]
        # What is left of the lines without their images.
        rest: dict[str, list[str]] = {"-": [], "+": []}
        for line in lines:
            if line.startswith(("-", "+")):
                rest[line[0]].append(ENTRY.sub("", IMAGE.sub("IMAGE", line[1:])))
        if name == "escapes.yaml":
            lines = rest["-"] + rest["+"]
            assert all("image: " in each or 'frontend:v1"' in each for each in lines)
        else:
            assert list(filter(str.strip, rest["-"])) == list(filter(str.strip, rest["+"])), name


def test_git_applies_what_a_dry_run_shows(tmp_path: Path, judges: Judges, after: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    judged = 0
    for file in files.find(tmp_path / "manifests", ["."]):
        new = (after / file.name).read_bytes()
        shown = unified(file.name, file.content, new)
        assert (shown == "") == (file.content == new)
        plain = all(each.isprintable() for each in new.decode().split("\n"))
        if shown and plain:
            patch = tmp_path / "patch"
            patch.write_text(shown)
            top = tmp_path / "manifests"
            code, _, complaints = judges.run("git", "apply", str(patch), folder=top)
            assert code == 0, complaints
            assert file.path.read_bytes() == new
            judged += 1
    assert judged >= 30
