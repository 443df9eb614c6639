from __future__ import annotations

import pytest
from support.failures import fails
from support.memory import digest_of
from support.runs import SHOP

from feastflow_registry.kubernetes.usage import named
from feastflow_registry.kubernetes.workloads import read
from feastflow_registry.model.references import Digest, Tag

ONE = digest_of("one")
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: %s}]}\n"
)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("ada/shop:v1", {Tag("v1")}),
        (f"docker.io/ada/shop:v1@{ONE}", {Tag("v1"), ONE}),
        (f"ada/shop@{ONE}", {ONE}),
        ("ada/shop:v1.", {Tag("v1"), Tag("v1.")}),
        ("ada/shop", set()),
        ("ada/pricing:v1", set()),
        ("'{{ .image }}'", set()),
        ("ada/shop:v1, image: ada/shop:v2", {Tag("v1"), Tag("v2")}),
        ("nginx, <<: {image: ada/shop:v1}", {Tag("v1")}),
    ],
)
def test_in_a_manifest(image: str, found: set[Tag | Digest]) -> None:
    manifest = read("k8s/web.yaml", (POD % image).encode())
    assert named(SHOP.repository, [manifest]) == dict.fromkeys(found, "k8s/web.yaml")


@pytest.mark.parametrize("image", ["'ada/shop:{{ .tag }}'", "ada/shop:$TAG"])
def test_a_manifest_that_does_not_tell(image: str) -> None:
    with fails("k8s/web.yaml, line 4", "c in Pod/web", "Name what it uses in keep"):
        named(SHOP.repository, [read("k8s/web.yaml", (POD % image).encode())])


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("{name: ada/shop, newTag: v1}", {Tag("v1")}),
        (f"{{name: shop, newName: ada/shop, digest: '{ONE}'}}", {ONE}),
        ("{name: ada/shop, newTag: v1, newTag: v2}", {Tag("v1"), Tag("v2")}),
        ("{name: ada/shop}", set()),
        ("{name: shop, newName: ada/shop}", None),
    ],
)
def test_in_a_kustomization(entry: str, found: set[Tag | Digest] | None) -> None:
    manifest = read("kustomization.yaml", f"images: [{entry}]\n".encode())
    if found is None:
        with fails("shop in Kustomization uses is not told"):
            named(SHOP.repository, [manifest])
        return
    found_names = named(SHOP.repository, [manifest])
    assert found_names == dict.fromkeys(found, "kustomization.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "{kind: WorkflowTemplate, spec: {templates: [{container: {image: 'ada/shop:v1'}}]}}",
        "{web: {image: docker.io/ada/shop:v1}}",
        "{kind: ConfigMap, data: {RUNNER: 'ada/shop:v1'}}",
        "{args: ['--image=ada/shop:v1', x]}",
        "{note: 'use (ada/shop:v1), or ada/shop:v1.'}",
        "'ada/shop:v1': x",
        "{image: {repository: ada/shop, tag: v1}}",
        "{image: {registry: docker.io, repository: ada/shop, tag: v1}}",
        "- &tag v1\n- {repository: ada/shop, tag: *tag}",
        "- &base {repository: ada/shop}\n- {<<: *base, tag: v1}",
        "images: [{name: ada/shop, name: nginx, newTag: v1}]",
    ],
)
def test_wherever_a_file_names_it(text: str) -> None:
    manifest = read("values.yaml", text.encode())
    found = named(SHOP.repository, [manifest])
    assert found == {Tag("v1"): "values.yaml"}
    assert manifest.names(SHOP.repository)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"ada/shop@{ONE}", {ONE}),
        (f"{{repository: ada/shop, digest: '{ONE}', tag: v1}}", {ONE, Tag("v1")}),
        ("ada/shop@sha256:abc", set()),
        ("ada/shop", set()),
        ("'ada/shop:{{ .tag }}'", set()),
        ("ada/shopping:v1", set()),
        ("ghcr.io/ada/shop:v1", set()),
        ("{registry: ghcr.io, image: {repository: shop, tag: v1}}", set()),
        ("[{repository: ada/shop}, {tag: v1}]", set()),
    ],
)
def test_what_a_text_pins(text: str, found: set[Tag | Digest]) -> None:
    manifest = read("values.yaml", text.encode())
    found_names = named(SHOP.repository, [manifest])
    assert found_names == dict.fromkeys(found, "values.yaml")
    assert manifest.names(SHOP.repository) is bool(found)
