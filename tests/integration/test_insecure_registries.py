"""A registry that speaks plain HTTP, on a host that is not this machine by its name.

`127.1` is one: the system's resolver knows it as 127.0.0.1, and no rule of loopback does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.machine import Machine
from support.published_pair import PublishedPair
from support.registries import USER, LocalRegistry
from support.soak import one_in

from feastflow_registry.model.references import is_loopback
from integration.conftest import Builder

PLACE = "127.0.0.1"


@pytest.fixture
def host(place: LocalRegistry) -> str:
    return f"127.1:{place.proxy.port}"


@pytest.fixture
def name(place: LocalRegistry) -> str:
    """The same by a name that engines and builders know too: Go's resolver reads /etc/hosts."""
    lines = (line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines())
    names = [name for address, *names in filter(None, lines) if address == PLACE for name in names]
    found = next((each for each in names if not is_loopback(each)), "")
    if not found:
        pytest.skip("this machine has no name of its own")
    return f"{found}:{place.proxy.port}"


@pytest.mark.parametrize(("builder", "cache"), [("classic", "none"), ("remote", "registry")])
def test_it_is_published_to_where_an_input_names_it(
    machines: Callable[[LocalRegistry, Builder], Machine],
    builders: Callable[[str], Builder],
    place: LocalRegistry,
    name: str,
    builder: str,
    cache: str,
) -> None:
    """An engine takes what resolves to this machine for one; a builder is told."""
    chosen = builders(builder)
    machine = machines(place, chosen)
    inputs = chosen.inputs | {
        "registry": name,
        "insecure_registries": f"other:5000, {name}",
        "cache": cache,
    }
    ran = machine.call(machine.runner(**inputs)).ended()
    assert {"latest", *["buildcache"][: cache == "registry"]} <= set(place.tags())
    assert name in ran.outputs["image"]


def test_else_the_input_is_named(machine: Machine, place: LocalRegistry, host: str) -> None:
    for named in ("", "127.1:1"):
        environ = machine.runner(registry=host, insecure_registries=named)
        ran = machine.call(environ).ended(5)
        [error] = ran.errors
        assert f"https://{host}/v2/" in error
        assert "speaks plain HTTP instead of HTTPS" in error
        assert 'name it in the input "insecure-registries"' in error
    assert place.requests() == [], "nothing was sent but a handshake"


def test_a_file_of_the_checkout_cannot_name_it(machine: Machine, host: str) -> None:
    machine.project.commit({"feastflow.yml": f"insecure-registries: ['{host}']\n"})
    ran = machine.call(machine.runner(registry=host)).ended(2)
    assert "insecure-registries" in ran.errors[0]


def test_an_image_is_promoted_to_one(
    pair: PublishedPair, machine: Machine, place: LocalRegistry, host: str, tmp_path: Path
) -> None:
    pair.lay_out(place)
    word = base64.b64encode(f"{USER}:{place.token}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": word}}}))
    tag = f"{host}/feastflow/other:production"
    environ = machine.runner(command="promote", tag=tag, insecure_registries=host)
    machine.call(environ | {"DOCKER_CONFIG": str(tmp_path)}).ended()
    assert "production" in place.tags("feastflow/other")


@pytest.mark.parametrize(
    ("entry", "words"),
    one_in(
        4,
        [
            ("docker.io", "is Docker Hub"),
            ("registry:5000,Index.Docker.io", "is Docker Hub"),
            ("registry-1.docker.io", "is Docker Hub"),
            ("ghcr.io", "is GitHub"),
            ("http://registry:5000", "without https://"),
            ("registry:5000/team", "without https://"),
            ("*", "without https://"),
            ("*.example.com", "without https://"),
            ("10.0.0.0/8", "without https://"),
            (":5000", "without https://"),
            ("registry:0", "without https://"),
        ],
    ),
)
def test_what_is_no_host_of_its_own_is_refused(
    machine: Machine, place: LocalRegistry, entry: str, words: str
) -> None:
    ran = machine.call(machine.runner(insecure_registries=entry)).ended(2)
    [error] = ran.errors
    assert error.startswith('input "insecure-registries": ')
    assert words in error
    assert place.requests() == []
