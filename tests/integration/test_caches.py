"""Caches on the real builders and a real registry: read, written, missing, down and poisoned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.builds import BuildSetup, script
from support.machine import Machine, Ran
from support.memory import FakeLog
from support.registries import LocalRegistry
from support.repositories import MARK, Project
from support.servers.faults import Fault, Kind
from support.soak import chosen, one_in

from feastflow_registry.model.plan import BuildImage
from integration.conftest import Builder

LAYERS = "feastflow/layers"


@pytest.fixture
def shop(
    builders: Callable[[str], Builder], place: LocalRegistry, busybox: Path, tmp_path: Path
) -> Iterator[BuildSetup]:
    """A builder that writes caches; what it built is forgotten in the end."""
    shop = BuildSetup(builders("remote"), place, tmp_path, busybox)
    yield shop
    place.proxy.clear()
    shop.forget()


def image(shop: BuildSetup, *extra: str, write: bool = True) -> BuildImage:
    """Two steps and a page, with a cache apart from the images."""
    spec = f"type=registry,ref={shop.place.host}/{LAYERS}:buildcache"
    steps = [script(f"echo {shop.word} {each} > /{each}") for each in ("a", "b", *extra)]
    targets = (f"{spec},mode=max,ignore-error=true",) if write else ()
    return shop.image("app", *steps, cache_from=(spec,), cache_to=targets)


def told(shop: BuildSetup, of: BuildImage) -> str:
    """What a new run on a builder that remembers nothing says of its cache."""
    shop.forget()
    engine = shop.engine(FakeLog())
    engine.check_ready([of])
    built = engine.build([of], push=True)
    assert not built.failures, built.failures
    shop.push(engine, of, built.images["app"])
    return built.images["app"].cache


def test_the_first_run_misses_and_the_second_hits(shop: BuildSetup) -> None:
    assert told(shop, image(shop)) == "nothing found (first run?), written"
    assert told(shop, image(shop)) == "4 of 4 steps were there, written"
    assert told(shop, image(shop, "c", write=False)) == "4 of 5 steps were there"


BLOBS, MANIFESTS = f"{LAYERS}/blobs/", f"{LAYERS}/manifests/buildcache"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    one_in(
        3,
        [
            ("503", "status", {"path": MANIFESTS, "status": 503}),
            ("401", "status", {"path": MANIFESTS, "status": 401}),
            ("429", "status", {"path": MANIFESTS, "status": 429}),
            ("", "reset_before", {"path": MANIFESTS}),
            ("EOF", "status", {"path": f"{LAYERS}/manifests/", "status": 200, "body": b"{}"}),
            ("not found", "status", {"path": BLOBS, "status": 404}),
        ],
    ),
    ids=["503", "401", "429", "reset", "garbage", "no configuration"],
)
def test_a_cache_that_cannot_be_read_fails_no_build(
    shop: BuildSetup, said: str, kind: Kind, words: dict[str, Any]
) -> None:
    told(shop, image(shop))
    method = "GET" if "body" in words else ""
    fault = shop.place.proxy.add(Fault(kind, method=method, times=None, **words))
    found = told(shop, image(shop, write=False))
    assert fault.fired
    assert "not read: " in found
    assert said in found


@pytest.mark.parametrize("status", chosen([401, 403, 429, 500]))
def test_a_cache_that_cannot_be_written_fails_no_build(shop: BuildSetup, status: int) -> None:
    writes = Fault(
        "status", method="POST|PUT|PATCH", path=f"/v2/{LAYERS}/", status=status, times=None
    )
    shop.place.proxy.add(writes)
    found = told(shop, image(shop))
    assert found.startswith("nothing found (first run?), not written: ")
    assert str(status) in found


def test_a_folder_that_cannot_be_made_fails_no_build(shop: BuildSetup) -> None:
    (shop.folder / "file").write_text("in the way")
    targets = ("type=local,dest=file/cache", "type=local,dest=kept/cache,ignore-error=true")
    engine = shop.engine()
    built = engine.build([replace(image(shop), cache_from=(), cache_to=targets)], push=True)
    assert built.images["app"].cache == "written"
    assert (shop.folder / "kept/cache/index.json").is_file()
    [said] = [text for kind, text in shop.log.lines if kind == "warning"]
    assert said == "The cache of app is not written: file/cache: Not a directory."


@pytest.mark.parametrize("name", chosen(["classic", "containerd", "remote"]))
def test_a_whole_run_with_each_cache(
    machines: Callable[[LocalRegistry, Builder], Machine],
    builders: Callable[[str], Builder],
    place: LocalRegistry,
    project: Project,
    busybox: Path,
    tmp_path: Path,
    name: str,
) -> None:
    shop = BuildSetup(builders(name), place, tmp_path, busybox)
    machine = machines(place, shop.builder)
    steps = [script(f"echo {shop.word} {each}") for each in "ab"]
    head = ["FROM scratch", f"LABEL {MARK}", "COPY busybox /"]
    project.commit({"Dockerfile": "\n".join((*head, *steps, ""))})
    shutil.copy2(busybox, project.folder)
    project.commit()

    def publish(cache: str) -> Ran:
        shop.forget()
        given = {"FEASTFLOW_CACHE": cache, "FEASTFLOW_REUSE": "never"}
        builder = {f"FEASTFLOW_{key.upper()}": each for key, each in shop.builder.inputs.items()}
        return machine.run({**machine.runner(), **given, **builder}).ended()

    kinds = ["inline", *(["registry"] if name != "classic" else [])]
    for cache in kinds:
        first = publish(cache)
        project.commit()
        again = publish(cache)
        project.commit()
        for ran, steps_there in ((first, ""), (again, "3 of 3 steps were there")):
            [built] = json.loads(ran.outputs["images"]).values()
            note = built["note"]
            assert note.startswith("cache: ")
            assert steps_there in note
            assert note.endswith("written into the image" if cache == "inline" else "written")
            assert f"({note})" in ran.log
            assert note in ran.summary
