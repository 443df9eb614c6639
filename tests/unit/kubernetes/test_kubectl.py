from __future__ import annotations

import shlex

import pytest
from corpus import FILES, MANIFESTS, OURS, PINS, containers, load, pinned, resources

from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.kubernetes.kubectl import commands, guesses
from feastflow_registry.kubernetes.workloads import KubernetesManifest, read
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag
from feastflow_registry.model.services import Service

HUB = RegistryHost("docker.io")
SERVICES = {
    Service(path.rpartition("-")[2], repository): PINS[repository]
    for path in OURS
    for repository in [Repository(HUB, path)]
}
FRONTEND = Service("frontend", Repository(HUB, "yourusername/feastflow-frontend"))
PIN = Pin(Tag("commit-a1b2c3d"), Digest(f"sha256:{'0' * 64}"))
NEW = f"yourusername/feastflow-frontend{PIN}"
SETTABLE = {
    *("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"),
    *("CronJob", "Pod"),
}


def manifest(
    kind: str, *lines: str, version: str = "apps/v1", namespace: str = ""
) -> KubernetesManifest:
    """A workload of one container a line."""
    where = f", namespace: {namespace}" if namespace else ""
    listed = "".join(
        f"      - {{{each}, image: yourusername/feastflow-frontend}}\n" for each in lines
    )
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: web{where}}}\n"
    return read(
        "f.yaml", f"{text}spec:\n  template:\n    spec:\n      containers:\n{listed}".encode()
    )


def told(*manifests: KubernetesManifest) -> list[str]:
    return commands({FRONTEND: PIN}, manifests)


def test_without_manifests_the_names_are_those_of_the_mission() -> None:
    assert told() == [
        f"kubectl set image deployment/feastflow-frontend frontend={NEW}",
        "kubectl rollout status deployment/feastflow-frontend",
    ]


def test_each_workload_is_set_once_and_waited_for_in_its_namespace() -> None:
    assert told(
        manifest("Deployment", "name: a", "name: b", namespace="prod"),
        manifest("Deployment", "name: a"),
        manifest("StatefulSet", "name: a", namespace="prod"),
    ) == [
        f"kubectl set image deployment/web a={NEW} b={NEW} -n prod",
        f"kubectl set image deployment/web a={NEW}",
        f"kubectl set image statefulset/web a={NEW} -n prod",
        "kubectl rollout status deployment/web -n prod",
        "kubectl rollout status deployment/web",
        "kubectl rollout status statefulset/web -n prod",
    ]


@pytest.mark.parametrize(
    ("kind", "version", "waits"),
    [
        ("DaemonSet", "apps/v1", True),
        ("ReplicaSet", "apps/v1", False),
        ("ReplicationController", "v1", False),
    ],
)
def test_what_has_no_rollout_is_not_waited_for(kind: str, version: str, waits: bool) -> None:
    lines = told(manifest(kind, "name: a", version=version))
    assert lines[0] == f"kubectl set image {kind.lower()}/web a={NEW}"
    assert lines[1:] == ([f"kubectl rollout status {kind.lower()}/web"] if waits else [])


@pytest.mark.parametrize(
    "text",
    ["images: [{name: yourusername/feastflow-frontend}]", "a: b"],
    ids=["kustomization", "nothing"],
)
def test_what_no_manifest_tells_is_said_by_convention(text: str) -> None:
    assert told(read("kustomization.yaml", text.encode())) == told()


@pytest.mark.parametrize(
    "found",
    [
        manifest("Job", "name: a", version="batch/v1"),
        manifest("Rollout", "name: a", version="argoproj.io/v1alpha1"),
        manifest("Deployment", "imagePullPolicy: Always"),
    ],
    ids=["job", "custom resource", "no name"],
)
def test_what_cannot_be_set_has_no_line(found: KubernetesManifest) -> None:
    assert told(found) == []


@pytest.mark.parametrize("name", ["$(id) ; #", "a\\n```", "A", "-n", "a_b"])
def test_what_kubernetes_would_refuse_as_a_name_is_in_no_command(name: str) -> None:
    assert told(manifest("Deployment", f'name: "{name}"')) == []
    assert told(manifest("Deployment", "name: a", namespace=f'"{name}"')) == []


@pytest.mark.parametrize("name", FILES)
def test_the_corpus_is_set_as_it_is_loaded(name: str) -> None:
    content = (MANIFESTS / name).read_bytes()
    wanted = {
        (f"{each['kind'].lower()}/{each['metadata']['name']}", f"{container['name']}={image}")
        for each in resources(load(content))
        for key, container in containers(each)
        if each["kind"] in SETTABLE and "name" in each["metadata"] and key != "ephemeralContainers"
        if (image := pinned(container["image"]))
    }
    lines = [shlex.split(each) for each in commands(SERVICES, [read(name, content)])]
    found = {(words[3], each) for words in lines if words[1] == "set" for each in words[4:]}
    pairs = {(resource, each) for resource, each in found if "=" in each}
    unused = {path for path in OURS if path not in content.decode().replace("\\/", "/")}
    conventions = {f"deployment/{path.rpartition('/')[2]}" for path in unused}
    assert wanted <= pairs
    assert {resource for resource, _ in pairs - wanted} == conventions


def test_a_name_is_a_guess_where_no_manifest_tells_it() -> None:
    assert guesses([FRONTEND], [])
    assert not guesses([FRONTEND], [manifest("Deployment", "name: a")])
    assert not guesses([], [])
    other = Service("other", Repository(HUB, "yourusername/other"))
    assert guesses([FRONTEND, other], [manifest("Deployment", "name: a")])
