"""Parts of images as they are read, and the index that they make: its very bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from support.memory import digest_of
from support.runs import SOURCE, A

from feastflow_registry.model.images import INDEXES, Manifest, Published
from feastflow_registry.model.parts import Part, put_together, read_part
from feastflow_registry.model.references import Digest

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG, LAYER, TOLD, OTHER = (str(digest_of(each)) for each in ("config", "layer", "told", "x"))


def config(**more: str) -> bytes:
    labels = {
        "org.opencontainers.image.revision": A.sha,
        "org.opencontainers.image.source": SOURCE,
        "io.github.feastflow.registry-action.inputs": "sha256:1",
    }
    facts = {"architecture": "arm64", "os": "linux", **more}
    return json.dumps({**facts, "config": {"Labels": labels}}).encode()


def manifest(**content: Any) -> Manifest:
    return Manifest.parse(json.dumps(content).encode(), str(content["mediaType"]))


IMAGE = manifest(
    mediaType=IMAGE_TYPE,
    config={"digest": CONFIG, "size": 3},
    layers=[{"digest": LAYER, "size": 4}],
)
LISTED = {
    "mediaType": IMAGE_TYPE,
    "digest": f"sha256:{hashlib.sha256(IMAGE.data).hexdigest()}",
    "size": len(IMAGE.data),
}
ATTESTATION: dict[str, Any] = {
    "mediaType": IMAGE_TYPE,
    "digest": TOLD,
    "size": 566,
    "annotations": {
        "vnd.docker.reference.digest": LISTED["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    },
    "platform": {"architecture": "unknown", "os": "unknown"},
}
HELD = digest_of("held")


class TestReading:
    def test_an_image(self) -> None:
        found = read_part(HELD, IMAGE, IMAGE, config())
        assert found.image == Published(HELD, A, SOURCE, 7, "sha256:1")
        assert found.platform == "linux/arm64"
        assert (found.manifest, found.attestations) == (LISTED, ())

    def test_an_index_with_attestations(self) -> None:
        platform = {"architecture": "arm64", "os": "linux"}
        odd = {**ATTESTATION, "digest": OTHER, "data": "bG9uZw==", "urls": ["https://a.b"]}
        index = manifest(
            mediaType=INDEXES[0], manifests=[{**LISTED, "platform": platform}, ATTESTATION, odd]
        )
        found = read_part(HELD, index, IMAGE, config())
        assert found.manifest == LISTED, "its platform is the one that was asked for"
        assert found.attestations == (ATTESTATION, {**ATTESTATION, "digest": OTHER})

    def test_one_that_names_no_platform(self) -> None:
        assert read_part(HELD, IMAGE, IMAGE, b"{}").platform == "None/None"


def part(name: str, *attestations: dict[str, Any], size: int = 5) -> Part:
    image = Published(digest_of(f"held {name}"), A, SOURCE, size, "sha256:1")
    listed = {"mediaType": IMAGE_TYPE, "digest": str(digest_of(name)), "size": 7}
    return Part(image, {"os": "linux", "architecture": name}, listed, attestations)


def platforms(*parts: tuple[str, Part]) -> list[dict[str, str]]:
    found = json.loads(put_together(parts, ()).manifest.data)
    return [each["platform"] for each in found["manifests"]]


class TestPuttingTogether:
    def test_the_very_bytes(self) -> None:
        """Those of BuildKit: `tests/integration/test_platforms.py` compares them."""
        parts = (("linux/amd64", part("amd64", ATTESTATION)), ("linux/arm/v7", part("arm")))
        found = put_together(parts, [("b", "<\u2028ü&>"), ("a", "1")])
        assert (
            found.manifest.data.decode()
            == f"""\
{{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {{
      "mediaType": "{IMAGE_TYPE}",
      "digest": "{digest_of("amd64")}",
      "size": 7,
      "platform": {{
        "architecture": "amd64",
        "os": "linux"
      }}
    }},
    {{
      "mediaType": "{IMAGE_TYPE}",
      "digest": "{digest_of("arm")}",
      "size": 7,
      "platform": {{
        "architecture": "arm",
        "os": "linux",
        "variant": "v7"
      }}
    }},
    {{
      "mediaType": "{IMAGE_TYPE}",
      "digest": "{TOLD}",
      "size": 566,
      "annotations": {{
        "vnd.docker.reference.digest": "{LISTED["digest"]}",
        "vnd.docker.reference.type": "attestation-manifest"
      }},
      "platform": {{
        "architecture": "unknown",
        "os": "unknown"
      }}
    }}
  ],
  "annotations": {{
    "a": "1",
    "b": "\\u003c\\u2028ü\\u0026\\u003e"
  }}
}}"""
        )
        assert found.manifest == Manifest.parse(found.manifest.data, "")

    def test_what_it_is(self) -> None:
        found = put_together([("linux/amd64", part("a")), ("linux/arm64", part("b", size=9))], ())
        own = Digest(f"sha256:{hashlib.sha256(found.manifest.data).hexdigest()}")
        assert found.image == Published(own, A, SOURCE, 9, "sha256:1")
        assert found.manifest.is_index

    def test_all_that_tells_of_parts_comes_after_them_in_their_order(self) -> None:
        other = {**ATTESTATION, "digest": OTHER}
        parts = (("linux/amd64", part("a", other)), ("linux/arm64", part("b", ATTESTATION)))
        listed = json.loads(put_together(parts, ()).manifest.data)["manifests"]
        ours = [str(digest_of(each)) for each in ("a", "b")]
        assert [each["digest"] for each in listed] == [*ours, OTHER, TOLD]

    @pytest.mark.parametrize(
        ("name", "system", "platform"),
        [
            ("linux/arm64", {}, {"architecture": "arm64", "os": "linux"}),
            ("linux/arm/v6", {}, {"architecture": "arm", "os": "linux", "variant": "v6"}),
            (
                "windows/amd64",
                {"os.version": "10.0.20348.1"},
                {"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.1"},
            ),
        ],
    )
    def test_the_platform_is_the_one_that_was_asked_for(
        self, name: str, system: dict[str, str], platform: dict[str, str]
    ) -> None:
        assert platforms((name, replace(part("x"), system={**part("x").system, **system}))) == [
            platform
        ]
