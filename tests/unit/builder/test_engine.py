"""What an engine says before it builds: without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.memory import FakeLog
from support.runs import service

from feastflow_registry.builder.engine import Engine, _moved
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.services import Service
from unit.builder.test_buildx import DRIVER, PLUGIN, about, docker

ARM, S390X = "linux/arm64", "linux/s390x"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            [{"current": 5000, "total": 20_000}, {"current": 0, "total": 5000}],
            "5.0 kB of 25.0 kB",
        ),
        ([{"current": 700}], "700 B of 700 B"),
        ([{"current": 800, "total": 600}], "800 B of 800 B"),
    ],
)
def test_how_much_of_a_push_has_gone(layers: list[dict[str, int]], said: str) -> None:
    assert _moved(layers) == said


def test_what_a_service_runs_for_any_of_those_that_are_built_from_it_is_told() -> None:
    base = service("base")
    built = [
        BuildImage(replace(service(name), platforms=(platform,)), (), (), needs=(base,))
        for name, platform in (("menu", ARM), ("shop", S390X), ("till", "linux/amd64"))
    ]

    def runs(of: Service, platforms: Sequence[str]) -> Sequence[str]:
        return platforms if of == base else ()

    said = f"{DRIVER.format('remote')}Platforms: linux/amd64\n"
    buildx = docker({"docker info": about(), f"{PLUGIN} inspect": said})
    Engine(buildx, None, runs).check_ready(built)
    assert isinstance(buildx.log, FakeLog)
    told = [text for kind, text in buildx.log.lines if kind == "warning"]
    assert [each.partition(": base. ")[0] for each in told] == [
        f"{ARM} needs emulation here",
        f"{S390X} needs emulation here",
    ]
    assert all("BuildKit's own emulation" in each for each in told)
