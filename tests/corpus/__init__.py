"""Manifests as people write them, and what pinning makes of them, worked out on loaded data alone.

`manifests/` holds single files, and folders that `kustomize build` takes; `refused/` those whose
images an alias or `<<` shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag

MANIFESTS = Path(__file__).resolve().parent / "manifests"
REFUSED = sorted(MANIFESTS.parent.glob("refused/*"))
FILES = sorted(each.name for each in MANIFESTS.iterdir() if each.suffix in (".yaml", ".json"))
FOLDERS = sorted(each.name for each in MANIFESTS.iterdir() if each.is_dir())

TAG = "commit-0a1b2c3"
DIGEST = "sha256:" + "0123456789abcdef" * 4
OURS = ("feastflow/feastflow-frontend", "feastflow/feastflow-backend")
PINS = {Repository(RegistryHost("docker.io"), each): Pin(Tag(TAG), Digest(DIGEST)) for each in OURS}
LISTS = ("containers", "initContainers", "ephemeralContainers")

_OURS = re.compile(
    rf"((?:(?:index\.)?docker\.io/)?(?:{'|'.join(OURS)}))(?::[\w.-]+)?(?:@[a-z0-9]+:[0-9a-f]+)?"
)
_POD = ("spec", "template", "spec")
_WORKLOADS = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): _POD,
    **{("apps", each): _POD for each in ("Deployment", "DaemonSet", "ReplicaSet", "StatefulSet")},
    ("extensions", "Deployment"): _POD,
    ("batch", "Job"): _POD,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_POD),
}


def pinned(image: Any) -> str | None:
    """What becomes of an image that is ours."""
    found = _OURS.fullmatch(image) if isinstance(image, str) else None
    return f"{found[1]}:{TAG}@{DIGEST}" if found else None


def load(content: bytes) -> list[Any]:
    """What Kubernetes would read; a key that is there twice has its last value."""
    return [each for each in yaml.load_all(content, Loader=yaml.CSafeLoader) if each is not None]


def resources(documents: list[Any]) -> Iterator[dict[str, Any]]:
    """The resources of documents, those in lists by themselves."""
    for each in documents:
        if isinstance(each, dict) and each.get("kind", "").endswith("List"):
            kind = each["kind"].removesuffix("List")
            inherited = {"kind": kind, "apiVersion": each["apiVersion"]} if kind else {}
            yield from ({**inherited, **item} for item in each["items"])
        elif isinstance(each, dict):
            yield each


def containers(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The containers that Kubernetes runs for a resource, each with the name of its list."""
    version, kind = resource.get("apiVersion", ""), resource.get("kind", "")
    pod: Any = resource
    for key in _WORKLOADS.get((version.rpartition("/")[0], kind), ()) if version else ():
        pod = pod.get(key) or {}
    for key in LISTS if pod is not resource else ():
        yield from ((key, each) for each in pod.get(key) or ())


def pin_all(documents: list[Any]) -> list[Any]:
    """Pin the images of loaded documents in place."""
    for resource in resources(documents):
        for _, container in containers(resource):
            if image := pinned(container.get("image")):
                container["image"] = image
    return documents
