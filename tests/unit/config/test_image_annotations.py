from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.failures import fails
from support.runs import service

from feastflow_registry.config import image_annotations
from feastflow_registry.model.services import Annotation, Service

SHOP = service("shop")
TWO = replace(SHOP, platforms=("linux/amd64", "linux/arm64"))
TITLE = "org.opencontainers.image.title"
LABELS = ((TITLE, "shop"), ("maintainer", "ada"), ("io.github.feastflow.x", "1"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ()),
        ("a.b/c=x=y, z", (("", "a.b/c", "x=y, z"),)),
        ("a=", (("", "a", ""),)),
        ("manifest:a=1\nindex:a=2", (("manifest", "a", "1"), ("index", "a", "2"))),
        ("manifest,index:a=1", (("manifest", "a", "1"), ("index", "a", "1"))),
        ("manifest[linux/x86_64]:a=1", (("manifest[linux/amd64]", "a", "1"),)),
        (["index:a=1"], (("index", "a", "1"),)),
        ({"a": "1", "index:b": "\tü"}, (("", "a", "1"), ("index", "b", "\tü"))),
    ],
)
def test_what_is_read(given: object, expected: Sequence[tuple[str, str, str]]) -> None:
    assert image_annotations.parse(given) == tuple(Annotation(*each) for each in expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": "one\ntwo"}, ["'a' has a value that is no text, or holds a line break"]),
        ({"a": "one\n"}, ["line break", "one line of text"]),
        ({"a": "one\u2028two"}, ["line break"]),
        ({"a": "one\rtwo"}, ["line break"]),
        ({"a": "\x1b"}, ["'a' has a value with a control character"]),
        ({"a": 1}, ["is no text"]),
        ({"a": None}, ["is no text"]),
        ("a=one\ntwo", ["'two' is not of the form NAME=VALUE"]),
        ("a", ["is not of the form"]),
        (5, ["is not of the form"]),
        ("a b=1", ["'a b' is not a valid annotation key"]),
        ("index:=1", ["'index:' is not a valid annotation key"]),
        ("org.opencontainers.image.revision=x", ["is an annotation that this program"]),
        ("index:org.opencontainers.image.source=x", ["this program or the builder sets"]),
        ("io.github.feastflow.registry-action.inputs=x", ["this program or the builder sets"]),
        ("vnd.docker.reference.type=attestation-manifest", ["the builder sets"]),
        ("containerd.io/distribution.source.x=y", ["the builder sets"]),
        ("org.opencontainers.image.ref.name=y", ["the builder sets"]),
        ("index-descriptor:a=1", ["'index-descriptor' is not a level", "manifest,index:"]),
        ("manifest,layer:a=1", ["'layer' is not a level"]),
        ("manifest[linux/pentium]:a=1", ["'linux/pentium' is not a platform"]),
        ("index[linux/amd64]:a=1", ["is not a level"]),
        ("a=1\na=2", ["'a' is given twice"]),
        ("index:a=1\nmanifest,index:a=2", ["is given twice"]),
    ],
)
def test_what_is_refused(given: object, words: list[str]) -> None:
    with fails(*words):
        image_annotations.parse(given)


def test_the_labels_of_oci_are_annotations_of_a_manifest() -> None:
    [found] = image_annotations.of_image(LABELS, SHOP, ())
    assert found == Annotation("manifest", TITLE, "shop")


@pytest.mark.parametrize(("one", "attest"), [(TWO, ()), (SHOP, ("type=sbom",))])
def test_an_index_has_them_too(one: Service, attest: tuple[str, ...]) -> None:
    given = image_annotations.parse(f"{TITLE}=mine\nmanifest:b=1\nindex:c=2")
    found = image_annotations.of_image(LABELS, replace(one, annotations=given), attest)
    assert {(each.level, each.key, each.value) for each in found} == {
        ("manifest", TITLE, "mine"),
        ("index", TITLE, "mine"),
        ("manifest", "b", "1"),
        ("index", "c", "2"),
    }
    assert len(found) == 4


def test_an_attestation_that_is_turned_off_makes_no_index() -> None:
    assert not image_annotations.has_index(SHOP, ("type=provenance,disabled=true",))


def _where(name: str, key: str) -> str:
    return f"services.{name}.{key}"


def test_what_an_image_does_not_have_is_told() -> None:
    given = image_annotations.parse("a=1\nindex:b=1\nmanifest[linux/arm64]:c=1")
    one = replace(SHOP, platforms=("linux/amd64",), annotations=given)
    index, platform = map(str, image_annotations.check([SHOP, one], (), _where))
    assert index.startswith("services.shop.annotations: shop has no index")
    assert platform.startswith("services.shop.annotations: shop is not built for linux/arm64")
    assert not list(image_annotations.check([replace(TWO, annotations=given)], (), _where))
