"""Each habit of a registry, with each command, plain and over TLS.

All end as they do where there is no such habit, or as the table says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.habit_table import TABLE, Place
from support.registries import REPOSITORY
from support.scenes import COLUMNS, MIRROR, Scene
from support.servers.certificates import Authority
from support.soak import soak


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
            row.switch_on(Place(scene, registry, repository, shown, open_))
        ran = scene.run()
        if expected:
            ran.ended(expected[0])
            assert expected[1] in ran.shown
            assert {tag: scene.place.tags().get(tag) for tag in scene.start} == scene.start
        else:
            assert scene.state(ran.ended()) == whole
