"""Two and three real registries: the same bytes on each, one that fails on its own, two secrets."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import token_search
from support.machine import Machine, Ran
from support.published_pair import PublishedPair
from support.registries import REPOSITORY, USER, LocalRegistry
from support.repositories import MARK
from support.servers.actions_cache import ActionsCache
from support.servers.faults import Fault, Kind
from support.soak import chosen, one_in, soak
from support.token_search import Watch

from integration.conftest import Builder
from integration.test_copying import LAYERS

MIRROR = "mirror/app"


@pytest.fixture
def there(places: Callable[..., LocalRegistry]) -> LocalRegistry:
    """Another registry, which wants tokens."""
    return places("token")


def inputs(*others: LocalRegistry, given: bool = True) -> dict[str, Any]:
    """What a workflow says to publish to more registries."""
    also = ", ".join(f"{each.host}/{MIRROR}" for each in others)
    lines = "\n".join(f"{each.host} {USER} {each.token}" for each in others)
    return {"also": also, **({"also_credentials": lines} if given else {})}


def own(machine: Machine) -> str:
    """The commit tag of what is checked out."""
    return f"commit-{machine.project.head[:7]}"


def same(machine: Machine, there: LocalRegistry) -> bool:
    """Whether two registries have this commit's image under the same tags, whole for crane."""
    tags = {own(machine), "latest"}
    here = {tag: machine.place.tags().get(tag) for tag in tags}
    found = {tag: there.tags(MIRROR).get(tag) for tag in tags}
    if None in here.values() or here != found or len({*here.values()}) != 1:
        return False
    there.crane("validate", "--remote", there.at("latest", MIRROR))
    return True


def test_one_build_is_on_every_registry(
    machine: Machine, there: LocalRegistry, places: Callable[..., LocalRegistry]
) -> None:
    third = places("htpasswd")
    ran = machine.publish(**inputs(there, third)).ended()
    assert same(machine, there)
    assert same(machine, third)
    images = json.loads(ran.outputs["images"])["app"]
    assert images["also"] == {
        f"{each.host}/{MIRROR}": [own(machine), "latest"] for each in (there, third)
    }
    assert f"{there.host}/{MIRROR}:latest" in ran.outputs["tags"].split()
    assert f"{there.host}/{MIRROR}:latest" in ran.summary
    before = len(there.proxy.requests)
    machine.publish(**inputs(there, third)).ended()
    written = {each.method for each in there.proxy.requests[before:]} - {"GET", "HEAD"}
    assert not written, "a second run writes nothing"


def test_only_the_layers_that_it_lacks_travel(machine: Machine, there: LocalRegistry) -> None:
    steps = f"FROM scratch\nLABEL {MARK}\nCOPY large /\nCOPY page.html /\n"
    machine.project.commit({"Dockerfile": steps, "large": secrets.token_hex(20_000)})
    machine.publish(**inputs(there)).ended()
    first = there.proxy.uploaded(LAYERS)
    machine.project.commit({"page.html": "another page"})
    machine.publish(**inputs(there)).ended()
    assert same(machine, there)
    assert 0 < there.proxy.uploaded(LAYERS) - first < 5_000 < 20_000 < first


def test_docker_login_serves_too(machine: Machine, there: LocalRegistry) -> None:
    environ = machine.runner(**inputs(there, given=False))
    ran = machine.run(environ).ended(2)
    assert f"no credentials to push to {there.host}" in ran.shown
    assert f"docker login {there.host}" in ran.shown
    folder = machine.folder / "docker"
    shutil.copytree(machine.variables["DOCKER_CONFIG"], folder, symlinks=True)
    (folder / "config.json").write_text(json.dumps({"auths": {there.host: there.login}}))
    machine.run({**environ, "DOCKER_CONFIG": str(folder)}).ended()
    assert same(machine, there)


@pytest.mark.parametrize("dead", chosen(["there", "here"], 2))
def test_one_that_is_down_keeps_no_other_from_it(
    machine: Machine, there: LocalRegistry, dead: str
) -> None:
    alive, lost = (machine.place, there) if dead == "there" else (there, machine.place)
    lost.proxy.add(Fault("status", status=503, times=None))
    ran = machine.call(machine.runner(**inputs(there))).ended(5)
    lost.proxy.clear()
    assert lost.host in ran.shown
    name = REPOSITORY if dead == "there" else MIRROR
    assert alive.tags(name).keys() == {own(machine), "latest"}
    lost_name = MIRROR if dead == "there" else REPOSITORY
    assert lost.tags(lost_name) == {}
    machine.call(machine.runner(**inputs(there))).ended()
    assert same(machine, there)


def test_the_tokens_of_both_and_of_the_runner_are_nowhere(
    machine: Machine, there: LocalRegistry, remote: Builder
) -> None:
    machine.variables = remote.variables
    first = Fault("hold", path="manifests/")
    there.proxy.add(first)
    watch = Watch()
    with ActionsCache() as github:
        given = {**inputs(there), **remote.inputs, "cache": "gha", "check": "env | sort"}
        running = machine.start(machine.runner(**given, cache_token=json.dumps(github.service)))
        assert first.arrived.wait(300)
        with watch:
            first.release()
            ran = running.end().ended()
    assert github.scopes() == {"app"}
    assert "PATH=" in ran.shown, "the check did look at its environment"
    image = machine.place.at("latest")
    texts = {
        **{each: machine.place.crane(each, image).encode() for each in ("manifest", "config")},
        "argv": b"\n".join(watch.argv),
        "log": ran.shown.encode(),
        "summary": ran.summary.encode(),
        **{f"output {name}": value.encode() for name, value in ran.outputs.items()},
        **token_search.files(machine.folder, machine.project.folder, machine.project.origin),
    }
    handed = {
        machine.place.token: "DOCKER_AUTH_CONFIG",
        there.token: "DOCKER_AUTH_CONFIG",
        github.token: "ACTIONS_RUNTIME_TOKEN",
    }
    for token, variable in handed.items():
        sought = token_search.forms(token, USER)
        assert token_search.in_texts(texts, sought) == []
        holders = watch.holders(sought)
        assert set().union(*holders.values()) == {variable}
        assert [each for each in holders if "buildx" not in each] == []
    assert f"::add-mask::{there.token}" not in ran.shown
    assert same(machine, there)


@soak
@pytest.mark.parametrize("moment", ["the upload", "the copy"])
def test_nor_are_they_in_a_file_when_it_is_killed(
    machine: Machine, there: LocalRegistry, remote: Builder, moment: str
) -> None:
    machine.variables = remote.variables
    held = Fault("hold", method="PATCH|PUT", path="blobs/uploads")
    (machine.place if moment == "the upload" else there).proxy.add(held)
    with ActionsCache() as github:
        given = {**inputs(there), **remote.inputs, "cache": "gha"}
        running = machine.start(machine.runner(**given, cache_token=json.dumps(github.service)))
        assert held.arrived.wait(300)
        environ = Path(f"/proc/{running.process.pid}/environ").read_bytes()
        folders = (machine.folder, machine.project.folder, machine.project.origin)
        texts = {"environ": environ, **token_search.files(*folders)}
        running.kill()
        held.release()
        texts |= {f"{name} afterwards": each for name, each in token_search.files(*folders).items()}
    assert b"FEASTFLOW_REGISTRY=" in environ
    for token in (machine.place.token, there.token, github.token):
        assert token_search.in_texts(texts, token_search.forms(token, USER)) == []


def failing(machine: Machine, there: LocalRegistry, way: str, kind: Kind, nth: int) -> Ran | None:
    """One run in which one request goes wrong; nothing, if it makes no more of them."""
    place = machine.place if way == "here" else there
    rule = Fault(kind, nth=nth, match=lambda request: "feastflow-registry" in request.agent)
    place.proxy.add(rule)
    ran = machine.call(machine.runner(**inputs(there)))
    place.proxy.clear()
    return ran if rule.fired else None


@pytest.fixture
def published(
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
) -> Machine:
    """A commit that is on one registry: each run has to bring it to the other."""
    machine = machines(places("htpasswd"), remote)
    pair.lay_out(machine.place)
    return machine


@pytest.mark.parametrize("kind", ["reset_after", "truncate"])
@pytest.mark.parametrize("way", ["here", "there"])
@pytest.mark.parametrize("nth", one_in(9, range(1, 28)))
def test_one_bad_moment_at_any_request(
    published: Machine, there: LocalRegistry, way: str, kind: Kind, nth: int
) -> None:
    """Tried again, or told; none is ahead on shared tags alone, and a later run makes it whole."""
    ran = failing(published, there, way, kind, nth)
    tags = there.tags(MIRROR)
    if "latest" in tags:
        assert tags["latest"] == tags[own(published)]
    if ran is None or ran.code:
        published.call(published.runner(**inputs(there))).ended()
    assert same(published, there)
