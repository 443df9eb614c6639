"""One session for all services, on real builders: folds, faults, secrets, and pushes at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.builds import BuildSetup, script
from support.memory import FakeLog
from support.registries import LocalRegistry
from support.soak import chosen

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.services import Secret
from integration.conftest import BUILDERS, Builder


@pytest.fixture
def shop(builder: Builder, place: LocalRegistry, busybox: Path, tmp_path: Path) -> BuildSetup:
    """Each way to build in turn."""
    return BuildSetup(builder, place, tmp_path, busybox)


@dataclass
class Folds(FakeLog):
    """A log that knows what was written in which fold, and that no fold is inside another."""

    found: dict[str, list[str]] = field(default_factory=dict)
    title: str = ""

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        assert not self.title, f"{title} is inside {self.title}"
        assert title not in self.found, f"{title} is there twice"
        self.title = title
        self.found[title] = []
        yield
        self.title = ""

    def quote(self, line: str) -> None:
        self.found[self.title].append(line)

    def say(self, text: str) -> None:
        self.found.setdefault(self.title, []).append(text)


NOISE = re.compile(r"sha256:|transferring|resolve|\[internal\]|\[auth\]|^\s*$")


def test_each_service_has_its_fold_and_each_line_is_there_once(shop: BuildSetup) -> None:
    names = ["pricing", "menu", "or.der", "or_der"]
    count = "for i in 1 2 3 4 5; do echo {0} $i; /busybox sleep 0.1; done"
    images = [shop.image(name, script(count.format(name))) for name in names]
    log = Folds()
    built = shop.engine(log).build(images, push=True)
    assert set(built.images) == set(names)
    assert list(log.found) == [f"Building {name}" for name in names]
    for name in names:
        lines = log.found[f"Building {name}"]
        assert [each for each in lines if each.startswith("  ")] == [
            f"  {name} {i}" for i in range(1, 6)
        ]
        assert len([each for each in lines if "COPY page" in each]) == 1
        assert not [each for each in lines if NOISE.search(each)]


def test_a_second_build_says_cached(shop: BuildSetup) -> None:
    image = shop.image("app", script(f"echo {shop.word}"))
    shop.engine(Folds()).build([image], push=True)
    log = Folds()
    shop.engine(log).build([image], push=True)
    # A step that was begun before its result was found has its CACHED on a line of its own.
    steps = [each for each in log.found["Building app"] if each.startswith("[")]
    begun = {each.partition("]")[0] for each in steps}
    assert {each.partition("]")[0] for each in steps if each.endswith(" CACHED")} == begun
    assert len(begun) == 3, steps


def test_a_failing_service_keeps_no_other_from_being_built(shop: BuildSetup) -> None:
    word = shop.word
    images = [
        shop.image("slow", script(f"echo {word}; /busybox sleep 2; echo slow is done")),
        shop.image(
            "bad", script(f"echo {word}; /busybox sleep 0.3; echo no such dish >&2; exit 3")
        ),
        shop.image("worse", "COPY nothing /"),
        shop.image("quick", script(f"echo quick {word}")),
    ]
    base = images[1].service
    dish = shop.image("dish", base="bad", contexts=(("bad", "service:bad"),), needs=(base,))
    log = Folds()
    built = shop.engine(log).build([*images, dish], push=True)
    assert set(built.images) == {"slow", "quick"}
    for name in ("slow", "quick"):
        assert built.images[name].image_id or built.images[name].digest
    said = {name: each.problems[0].cause for name, each in built.failures.items()}
    assert {each.kind for each in built.failures.values()} == {Kind.BUILD}
    assert said.keys() == {"bad", "worse", "dish"}
    assert said["bad"].startswith("the build of bad failed: in [3/3] RUN ")
    assert said["bad"].endswith("exit code: 3 (it said: no such dish).")
    assert said["worse"].startswith("the build of worse failed: in [2/2] COPY nothing /: ")
    assert said["worse"].endswith('"/nothing": not found.')
    assert said["dish"] == f"dish is built from bad, and {said['bad']}"
    assert "  no such dish" in log.found["Building bad"]
    assert "[3/3] failed: exit code: 3" in log.found["Building bad"]
    assert log.found["Building slow"].count("  slow is done") == 1


def test_a_service_that_is_reused_is_built_from_and_published_nowhere(shop: BuildSetup) -> None:
    base = shop.image("base", platforms=())
    image = shop.image(
        "app",
        "COPY --from=files thing /thing",
        base="base",
        contexts=(("base", "service:base"), ("files", "shared/${PATH}")),
        needs=(base.service,),
    )
    (shop.folder / "shared/${PATH}").mkdir(parents=True)
    (shop.folder / "shared/${PATH}/thing").write_text("a thing")
    digest = shop.publish(image)
    files = shop.place.crane("export", shop.at(image, digest), "-")
    assert f"base {shop.word}" in files
    assert "a thing" in files
    repositories = shop.place.crane("catalog", f"127.0.0.1:{shop.place.registry.port}")
    assert repositories.split() == ["feastflow/app"]


def test_secrets_are_what_they_name_and_replace_nothing_of_ours(shop: BuildSetup) -> None:
    (shop.folder / "a,b").write_text("of a file")
    shop.variables = {"DOCKER_AUTH_CONFIG": "mine", "BUILDX_GIT_INFO": "yours"}
    secrets = (
        Secret("file", file="a,b"),
        Secret("auth", variable="DOCKER_AUTH_CONFIG"),
        Secret("info", variable="BUILDX_GIT_INFO"),
    )
    mounts = " ".join(f"--mount=type=secret,id={each.id}" for each in secrets)
    show = script("cd /run/secrets; for i in file auth info; do /busybox cat $i; echo; done")
    step = show.replace("RUN ", f"RUN {mounts} ")
    image = shop.image("app", step, secrets=secrets, no_cache=True)
    log = Folds()
    built = shop.engine(log).build([image], push=True)
    assert not built.failures, built.failures
    assert shop.push(shop.engine(), image, built.images["app"])
    told = [each for each in log.found["Building app"] if each.startswith("  ")]
    assert told == ["  of a file", "  mine", "  yours"]


@pytest.mark.parametrize("name", chosen(["classic", "containerd"]))
def test_pushes_at_once_have_a_fold_each(
    builders: Callable[[str], Builder],
    place: LocalRegistry,
    busybox: Path,
    tmp_path: Path,
    name: str,
) -> None:
    shop = BuildSetup(builders(name), place, tmp_path, busybox)
    images = [shop.image(f"app{i}", script(f"echo {i} > /{i}")) for i in range(6)]
    built = shop.engine(Folds()).build(images, push=True)
    log, engine = Folds(), shop.engine()
    engine.buildx = replace(engine.buildx, log=log)
    begin = threading.Barrier(len(images))

    def push(number: int) -> str:
        begin.wait(10)
        image = images[number]
        return str(engine.push(built.images[image.service.name], image.tags[0]))

    with ThreadPoolExecutor(len(images)) as pool:
        digests = list(pool.map(push, range(len(images))))
    assert set(log.found) == {f"Pushing {each.tags[0]}" for each in images}
    for image, digest in zip(images, digests, strict=True):
        assert shop.place.crane("digest", shop.at(image, image.tags[0].identifier)) == digest
        lines = log.found[f"Pushing {image.tags[0]}"]
        assert lines
        assert len(lines) == len(set(lines))


@pytest.mark.parametrize("name", BUILDERS)
def test_docker_is_asked_twice(
    builders: Callable[[str], Builder],
    place: LocalRegistry,
    busybox: Path,
    tmp_path: Path,
    name: str,
) -> None:
    """One question for the plugin, its version and the context; one for the driver."""
    shop = BuildSetup(builders(name), place, tmp_path, busybox)
    engine = shop.engine()
    asked: list[str] = []
    run = engine.buildx._run

    def count(*command: str, **options: float) -> object:
        asked.append(" ".join(command[1:3]))
        return run(*command, **options)

    engine.buildx.__dict__["_run"] = count
    engine.check_ready([shop.image("app")])
    assert engine.describe_builder([]).startswith(f"buildx {engine.buildx.release}, driver ")
    assert asked == ["info --format", " ".join(("inspect", engine.buildx.builder)).strip()]
