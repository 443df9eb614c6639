"""Each habit of a registry, with each command, plain and over TLS.

All end as they do where there is no such habit, or as the table says. What BuildKit itself does
not get along with (addresses on other ports, for one) cannot be helped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.habit_table import TABLE, Place
from support.machine import Machine
from support.registries import REPOSITORY, USER, LocalRegistry
from support.scenes import COLUMNS, MIRROR, Scene
from support.servers.certificates import Authority
from support.servers.habits import Immutable
from support.soak import soak

from integration.conftest import Builder


def cells() -> Iterator[Any]:
    """Every cell of the table; of each habit, one is part of `make test`, each time another."""
    for number, (habit, row) in enumerate(TABLE.items()):
        chosen = next(iter(row.ends), list(COLUMNS)[number % len(COLUMNS)])
        for command in COLUMNS:
            for tls in (False, True):
                marks = () if (command, tls) == (chosen, bool(number % 2)) else soak
                name = f"{habit}-{command}-{'tls' if tls else 'plain'}"
                yield pytest.param(row.auth, habit, command, tls, marks=marks, id=name)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(("place", "habit", "command", "tls"), list(cells()), indirect=["place"])
def test_a_cell(
    scenes: Callable[[str], Scene], authority: Authority, habit: str, command: str, tls: bool
) -> None:
    scene, row = scenes(command), TABLE[habit]
    places = [(scene.place, REPOSITORY), *([(scene.other, MIRROR)] if scene.other else [])]
    if tls:
        scene.variables["SSL_CERT_FILE"] = str(authority.file)
        for registry, _ in places:
            registry.speak_tls(authority)
    scene.reset()
    expected = row.ends.get(command)
    whole = None if expected else scene.state(scene.run().ended())
    scene.reset()
    with ExitStack() as open_:
        shown = authority.server() if tls else None
        for registry, repository in places[-1:] if row.target_only else places:
            at = Place(scene.machine, registry, repository, shown, open_)
            row.switch_on(at)
            if row.identity:
                scene.log_in({registry.host: at.identity()})
                scene.inputs |= {"username": "", "token": "", "namespace": USER}
        ran = scene.run()
        if expected:
            ran.ended(expected[0])
            assert expected[1] in ran.shown
            assert {tag: scene.place.tags().get(tag) for tag in scene.start} == scene.start
        else:
            assert scene.state(ran.ended()) == whole


def test_a_tag_that_is_immutable_keeps_no_other_from_moving(
    scenes: Callable[[str], Scene],
) -> None:
    scene = scenes("publish")
    scene.inputs = {"extra_tags": "1,stable"}
    scene.reset()
    message = "tag {tag} cannot be updated due to immutability settings"
    scene.place.proxy.habits = [Immutable(lambda: {"1": ""}, 403, "DENIED", message)]
    ran = scene.run().ended(6)
    assert len(ran.errors) == 1
    assert f"{scene.place.repository}:1: a rule makes it immutable" in ran.errors[0]
    tags = scene.place.tags()
    assert tags["latest"] == tags["stable"] != scene.start.get("latest")
    scene.place.proxy.habits = []
    scene.run().ended()
    assert scene.place.tags()["1"] == tags["latest"]


BUILT = [
    *(
        "uploads are not cancelled",
        "new tags appear 10 s late",
        "no login is asked for, and all may write",
    ),
    *(
        "content is redirected to another host",
        "headers of 8 KB at most",
        "the token is called access_token",
    ),
    *("immutable tags answer 400", "a repository must exist before a push"),
]
"""Habits that BuildKit meets, too, where it pushes."""


@pytest.mark.parametrize(
    ("place", "habit"),
    [
        pytest.param(TABLE[each].auth, each, id=each, marks=() if at == 0 else soak)
        for at, each in enumerate(BUILT)
    ],
    indirect=["place"],
)
def test_what_buildkit_builds_and_pushes(
    machines: Callable[..., Machine], remote: Builder, place: LocalRegistry, habit: str
) -> None:
    machine, row = machines(place, remote), TABLE[habit]
    with ExitStack() as open_:
        row.switch_on(Place(machine, place, REPOSITORY, None, open_))
        ran = machine.call(machine.runner(**remote.inputs))
        if habit == "a repository must exist before a push":
            ran.ended(3)
            assert "Create the repository first" in ran.errors[0]
            return
        ran.ended()
        first = place.tags()
        machine.project.commit()
        again = machine.call(machine.runner(**remote.inputs))
    own = f"commit-{machine.project.head[:7]}"
    moved = place.tags()
    if row.ends.get("publish"):
        again.ended(row.ends["publish"][0])
        assert moved["latest"] == first["latest"]
    else:
        again.ended()
        assert moved["latest"] == moved[own]
    assert moved[own] not in first.values()
