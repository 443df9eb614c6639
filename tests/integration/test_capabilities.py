"""The table of capabilities, cell by cell, on the real builders: done, or impossible."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.builds import EPOCH, BuildSetup, script
from support.registries import LocalRegistry
from support.soak import chosen, one_in

from feastflow_registry.builder.capabilities import CAPABILITIES, BuilderKind, Feature, is_lacking
from feastflow_registry.config import image_annotations
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.services import Annotation
from integration.conftest import BUILDERS, Builder

KINDS = dict(zip(BUILDERS, BuilderKind, strict=True))
TWO = ("linux/amd64", "linux/arm64")
NAMED = Annotation("manifest", "a.b", "c")
OCI = "application/vnd.oci.image"
ANNOTATED = {"org.opencontainers.image.description": "The\nshop", "a.b": 'c, ${d} "e"'}
PROVENANCE = "type=provenance,mode=min"
CELLS = list(itertools.product(BUILDERS, Feature))
ABLE = [cell for cell in CELLS if cell[1] in CAPABILITIES[KINDS[cell[0]]]]
UNABLE = [cell for cell in CELLS if cell not in ABLE]


@pytest.fixture
def workshops(
    builders: Callable[[str], Builder], place: LocalRegistry, busybox: Path, tmp_path: Path
) -> Callable[[str], BuildSetup]:
    def give(name: str) -> BuildSetup:
        return BuildSetup(builders(name), place, tmp_path, busybox)

    return give


def cache_of(shop: BuildSetup) -> str:
    return f"type=registry,ref={shop.place.host}/feastflow/app:buildcache"


def words(shop: BuildSetup, feature: Feature) -> dict[str, Any]:
    """What a build says that asks for a feature."""
    asked: dict[Feature, dict[str, Any]] = {
        Feature.PLATFORMS: {"platforms": TWO},
        Feature.ATTEST: {"attest": (PROVENANCE,)},
        Feature.CACHE: {"cache_to": (f"{cache_of(shop)},mode=max",)},
        Feature.ANNOTATIONS: {"annotations": (NAMED,)},
        Feature.REPRODUCIBLE: {"epoch": EPOCH},
        Feature.BY_DIGEST: {"is_part": True},
    }
    return asked[feature]


def options(shop: BuildSetup, feature: Feature) -> list[str]:
    """The same for plain buildx."""
    epoch = ["--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
    name = f"{shop.place.host}/feastflow/app"
    return {
        Feature.PLATFORMS: ["--platform", ",".join(TWO), "--output", "type=docker"],
        Feature.ATTEST: ["--attest", PROVENANCE, "--output", "type=docker"],
        Feature.CACHE: ["--cache-to", cache_of(shop), "--output", "type=docker"],
        Feature.ANNOTATIONS: ["--annotation", "a.b=c", "--output", "type=docker"],
        Feature.REPRODUCIBLE: [*epoch, "--output", "type=docker,rewrite-timestamp=true"],
        Feature.BY_DIGEST: ["--output", f"type=image,name={name},push-by-digest=true,push=true"],
    }[feature]


@pytest.mark.parametrize(("name", "feature"), chosen(UNABLE, 2))
def test_what_is_refused_is_impossible(
    workshops: Callable[[str], BuildSetup], name: str, feature: Feature
) -> None:
    shop = workshops(name)
    image, other = shop.image("app", **words(shop, feature)), shop.image("other")
    with pytest.raises(Failure) as caught:
        shop.engine().check_ready([other, image])
    [problem] = caught.value.problems
    assert caught.value.kind is Kind.BUILD
    assert problem.cause == f"{KINDS[name]} {feature.value}; needed by app."
    assert "docker/setup-buildx-action" in problem.fix
    by_another_only = feature in (Feature.REPRODUCIBLE, Feature.BY_DIGEST)
    assert ("image store" in problem.fix) != by_another_only
    done = shop.buildx("build", "--progress=plain", *options(shop, feature), "app", check=False)
    if (name, feature) == ("classic", Feature.REPRODUCIBLE):
        # It says nothing, and does nothing.
        assert _reproduce(shop)[0] != _reproduce(shop)[0]
    elif (name, feature) == ("classic", Feature.ANNOTATIONS):
        assert done.returncode == 0, "nor here"
        plain = replace(image, service=replace(image.service, annotations=()))
        assert "annotations" not in shop.manifest(plain, shop.publish(plain))
    else:
        assert done.returncode != 0
        assert is_lacking(done.stderr), done.stderr


@pytest.mark.parametrize(("name", "feature"), one_in(4, ABLE))
def test_what_is_allowed_is_done(
    workshops: Callable[[str], BuildSetup], name: str, feature: Feature
) -> None:
    shop = workshops(name)
    assert shop.engine().kind is KINDS[name]
    CHECKS[feature](shop)


def check_platforms(shop: BuildSetup) -> None:
    image = shop.image("app", platforms=TWO)
    digest = shop.publish(image)
    found = [each["platform"] for each in shop.manifest(image, digest)["manifests"]]
    assert [(each["os"], each["architecture"]) for each in found] == [
        ("linux", "amd64"),
        ("linux", "arm64"),
    ]


def check_attestation(shop: BuildSetup) -> None:
    image = shop.image("app", attest=(PROVENANCE,))
    predicates = _predicates(shop, image, shop.publish(image))
    assert predicates == ["https://slsa.dev/provenance/v0.2"]


def _predicates(shop: BuildSetup, image: Any, digest: str) -> list[str]:
    found = []
    for each in shop.manifest(image, digest)["manifests"]:
        if each.get("annotations", {}).get("vnd.docker.reference.type") == "attestation-manifest":
            layers = shop.manifest(image, each["digest"])["layers"]
            found += [each["annotations"]["in-toto.io/predicate-type"] for each in layers]
    return sorted(found)


def check_cache(shop: BuildSetup) -> None:
    image = shop.image("app", script(f"echo {shop.word}"), **words(shop, Feature.CACHE))
    shop.publish(image)
    kept = shop.manifest(image, "buildcache")
    assert kept["config"]["mediaType"] == "application/vnd.buildkit.cacheconfig.v0"
    assert not _is_cached(shop)
    shop.forget()
    shop.log.lines.clear()
    shop.publish(shop.image("app", script(f"echo {shop.word}")))
    assert not _is_cached(shop), "the builder remembers nothing of its own"
    shop.forget()
    shop.log.lines.clear()
    shop.publish(shop.image("app", script(f"echo {shop.word}"), cache_from=(cache_of(shop),)))
    assert _is_cached(shop)


def _is_cached(shop: BuildSetup) -> bool:
    [step] = [each for each in shop.quoted() if "RUN" in each]
    tag = step.partition("]")[0]
    return any(each.startswith(tag) and each.endswith(" CACHED") for each in shop.quoted())


def check_annotations(shop: BuildSetup) -> None:
    """On the manifest of the one platform; both of an index and of its manifests."""
    given = image_annotations.parse('a.b=c, ${d} "e"\nindex:only.index=1')
    of_labels = (("org.opencontainers.image.description", "The\nshop"), ("team", "a"))
    for asked in ({}, {"platforms": TWO}, {"attest": (PROVENANCE,)}):
        image = shop.image("app", annotations=given, **asked)
        at = image_annotations.of_image(of_labels, image.service, image.attest)
        if not asked:
            at = tuple(each for each in at if each.level != "index")
        image = replace(image, annotations=at)
        digest = shop.publish(image)
        top = shop.manifest(image, digest)
        manifests = [
            shop.manifest(image, each["digest"])
            for each in top.get("manifests", [])
            if each["platform"]["os"] != "unknown"
        ]
        if asked:
            expected = {**ANNOTATED, "only.index": "1"}
            assert (top["mediaType"], top["annotations"]) == (f"{OCI}.index.v1+json", expected)
        for each in manifests or [top]:
            assert (each["mediaType"], each["annotations"]) == (
                f"{OCI}.manifest.v1+json",
                ANNOTATED,
            )
        if "attest" not in asked:  # Provenance has the time of the build.
            assert shop.publish(image) == digest


def check_reproducible(shop: BuildSetup) -> None:
    ours = [shop.image("app", script("date > /now; rm /now"), no_cache=True, epoch=EPOCH)]
    digests = {shop.publish(ours[0])}
    ours.append(shop.image("app", script("date > /now; rm /now"), no_cache=True, epoch=EPOCH))
    digests.add(shop.publish(ours[1]))
    assert len(digests) == 1
    without = {
        shop.publish(shop.image("app", script("date > /now; rm /now"), no_cache=True))
        for _ in range(2)
    }
    assert len(without) == 2, "which is not so of itself"


def _reproduce(shop: BuildSetup) -> list[str]:
    shop.image("app")
    file = str(shop.folder / "metadata.json")
    words = [*options(shop, Feature.REPRODUCIBLE), "--no-cache", "--metadata-file", file]
    shop.buildx("build", *words, "app")
    return [json.loads(Path(file).read_text())["containerimage.digest"]]


def check_by_digest(shop: BuildSetup) -> None:
    image = shop.image("app")
    digest = shop.publish(image)
    assert shop.manifest(image, digest)
    assert shop.place.tags("feastflow/app") == {}


CHECKS: dict[Feature, Callable[[BuildSetup], None]] = {
    Feature.PLATFORMS: check_platforms,
    Feature.ATTEST: check_attestation,
    Feature.CACHE: check_cache,
    Feature.ANNOTATIONS: check_annotations,
    Feature.REPRODUCIBLE: check_reproducible,
    Feature.BY_DIGEST: check_by_digest,
}


def test_everything_that_is_missing_is_told_at_once(
    workshops: Callable[[str], BuildSetup],
) -> None:
    shop = workshops("classic")
    asked: dict[str, Any] = {
        "platforms": TWO,
        "attest": (PROVENANCE,),
        "epoch": EPOCH,
        "cache_to": (cache_of(shop),),
    }
    with pytest.raises(Failure) as caught:
        shop.engine().check_ready([shop.image("app", **asked), shop.image("shop", **asked)])
    assert [each.cause.rpartition("needed by ")[2] for each in caught.value.problems] == [
        "app, shop."
    ] * 4


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_every_builder_keeps_a_cache_inside_the_image(
    workshops: Callable[[str], BuildSetup], name: str
) -> None:
    shop = workshops(name)
    step = script(f"echo {shop.word}")
    image = shop.image("app", step, cache_to=("type=inline",))
    digest = shop.publish(image)
    shop.place.crane("tag", shop.at(image, digest), "inline")
    shop.forget()
    shop.log.lines.clear()
    source = f"type=registry,ref={shop.place.host}/feastflow/app:inline"
    shop.publish(shop.image("app", step, cache_from=(source,)))
    assert _is_cached(shop)


@pytest.mark.parametrize("name", chosen(["containerd", "remote"]))
def test_a_bill_of_materials_by_a_scanner_of_ones_own(
    workshops: Callable[[str], BuildSetup], name: str
) -> None:
    """https://github.com/moby/buildkit/blob/master/docs/attestations/sbom-protocol.md"""
    shop = workshops(name)
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://spdx.dev/Document",
        "predicate": {"spdxVersion": "SPDX-2.3", "name": "ours"},
    }
    scan = f'echo {json.dumps(json.dumps(statement))} > "$BUILDKIT_SCAN_DESTINATION/a.spdx.json"'
    entry = f"ENTRYPOINT {json.dumps(['/busybox', 'sh', '-c', scan])}"
    scanner = shop.image("scanner", entry)
    shop.place.crane("tag", shop.at(scanner, shop.publish(scanner)), "1")
    generator = f"{shop.place.host}/feastflow/scanner:1"
    image = shop.image("app", attest=(PROVENANCE, f"type=sbom,generator={generator}"))
    predicates = _predicates(shop, image, shop.publish(image))
    assert predicates == ["https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"]


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_another_platforms_program_names_the_emulator(
    workshops: Callable[[str], BuildSetup], name: str
) -> None:
    shop = workshops(name)
    image = shop.image("app", "COPY --chmod=755 page-* /program", 'RUN ["/program"]')
    built = shop.engine().build([image], push=False)
    [problem] = built.failures["app"].problems
    assert "exec format error" in problem.cause
    assert "docker/setup-qemu-action" in problem.fix


@pytest.mark.parametrize("name", chosen(BUILDERS))
def test_a_pull_request_builds_with_every_word(
    workshops: Callable[[str], BuildSetup], builders: Callable[[str], Builder], name: str
) -> None:
    """What is not pushed is loaded into an engine, which may keep less than a registry."""
    shop = workshops(name)
    able = CAPABILITIES[KINDS[name]]
    if name == "remote":
        # As on GitHub's runners: a builder of one's own beside an engine with the classic store.
        shop.builder = Builder(name, {**shop.builder.variables, **_host(builders("classic"))})
    asked: dict[str, Any] = {}
    for feature in (Feature.ATTEST, Feature.REPRODUCIBLE):
        asked |= words(shop, feature) if feature in able else {}
    engine = shop.engine()
    several = [shop.image("both", platforms=TWO)] if Feature.PLATFORMS in able else []
    images = [shop.image("app", **asked), *several]
    engine.check_ready(images)
    built = engine.build(images, push=False)
    assert not built.failures
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", built.images["app"].image_id)


def _host(builder: Builder) -> dict[str, str]:
    return {"DOCKER_HOST": builder.variables["DOCKER_HOST"]}
