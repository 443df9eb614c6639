"""The ``kubectl`` commands that put an image to work in a cluster: what a person copies. Pure.

It decides what can be set in place: neither a Job's pods nor an ephemeral container can be changed.
Where no manifest tells, a deployment has its image's name, and its container the service's. A name
that Kubernetes would refuse is in no command.
https://kubernetes.io/docs/reference/kubectl/generated/kubectl_set/kubectl_set_image/
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from feastflow_registry.kubernetes import kustomization
from feastflow_registry.kubernetes.image_names import FoundImage, Pin
from feastflow_registry.kubernetes.workloads import KubernetesManifest
from feastflow_registry.model.services import Service

_SETTABLE = (
    *("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"),
    *("CronJob", "Pod"),
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_WORKLOADS = "deployments,statefulsets,daemonsets,cronjobs"
_ROLLED_OUT = ("deployment", "statefulset", "daemonset")

_Resource = tuple[str, str]
"""``kind/name`` and the namespace, if one is known."""


def commands(
    pins: Mapping[Service, Pin], manifests: Sequence[KubernetesManifest] = ()
) -> list[str]:
    """Give the lines that set each service's image, then those that wait until it runs."""
    wanted: dict[_Resource, dict[str, str]] = {}
    for service, pin in pins.items():
        uses = _uses(service, manifests)
        for found in filter(_can_set, uses):
            kind, _, name = found.resource.partition("/")
            images = wanted.setdefault((f"{kind.lower()}/{name}", found.namespace), {})
            images[found.container] = f"{found.name}{pin}"
        if _is_untold(uses):
            resource = (f"deployment/{service.repository.name}", "")
            wanted.setdefault(resource, {})[service.name] = f"{service.repository}{pin}"
    lines = [
        _line("set", "image", resource, *(f"{key}={image}" for key, image in images.items()))
        for resource, images in wanted.items()
    ]
    to_wait_for = [each for each in wanted if each[0].partition("/")[0] in _ROLLED_OUT]
    return lines + [_line("rollout", "status", each) for each in to_wait_for]


def guesses(services: Iterable[Service], manifests: Sequence[KubernetesManifest]) -> bool:
    """Whether ``commands`` has a name that no manifest tells."""
    return any(_is_untold(_uses(each, manifests)) for each in services)


def find(services: Iterable[Service]) -> str:
    """Give the line that shows which workloads run the images of services, below its header."""
    images = " ".join(f"-e {each.repository}" for each in services)
    return f"kubectl get {_WORKLOADS} --all-namespaces --output wide | grep -e NAMESPACE {images}"


def _uses(service: Service, manifests: Sequence[KubernetesManifest]) -> list[FoundImage]:
    return [found for each in manifests for found in each.uses(service.repository)]


def _is_untold(uses: Sequence[FoundImage]) -> bool:
    """Whether nothing but a kustomization, which names no workload, has an image."""
    return all(found.resource in kustomization.KINDS for found in uses)


def _can_set(found: FoundImage) -> bool:
    kind, _, name = found.resource.partition("/")
    can_change = kind in _SETTABLE and not found.foreign and not found.ephemeral
    names = (name, found.container, *filter(None, [found.namespace]))
    return can_change and all(map(_NAME.fullmatch, names))


def _line(verb: str, what: str, resource: _Resource, *words: str) -> str:
    name, namespace = resource
    where = ("-n", namespace) if namespace else ()
    return shlex.join(("kubectl", verb, what, name, *words, *where))
