"""`reuse: unchanged` on random repositories: what is carried forward would come out the same.

Each history is a repository and a few edits of it. Where a service has one fingerprint at two
points of a history, BuildKit builds it at both, and the images must hold the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from support.image_contents import Wanted, build, difference
from support.random_histories import HISTORIES, Change, State, replay
from support.random_trees import Command, Define, Edit, Link, Mode, Remove, Write
from support.soak import chosen, one_in

from integration.conftest import Builder

Ends = tuple[Wanted, Wanted]
"""A service at the first and the last point at which its fingerprint is the same."""


def unchanged(states: Sequence[State]) -> list[Ends]:
    """What would be carried forward."""
    groups: dict[tuple[str, str], list[Wanted]] = defaultdict(list)
    for state in states:
        for name, found in state.prints.items():
            if found.digest:
                wanted = Wanted(state.folder, state.services[name], state.services)
                groups[name, found.digest].append(wanted)
    return [(group[0], group[-1]) for group in groups.values() if len(group) > 1]


def differences(pairs: Sequence[Ends], remote: Builder, home: Path) -> dict[str, set[str]]:
    """In what the images of each pair differ, by the service's name."""
    both = [each for pair in pairs for each in pair]
    images = iter(build(both, remote, home) if both else [])
    found = {pair[0].service.name: difference(next(images), next(images)) for pair in pairs}
    return {name: each for name, each in found.items() if each}


@pytest.mark.parametrize("stories", chosen([5, 60]))
def test_what_is_carried_forward_would_come_out_the_same(
    remote: Builder, tmp_path_factory: pytest.TempPathFactory, stories: int
) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=stories,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(HISTORIES)
    def check(history: tuple[list[Edit], list[Change]]) -> None:
        home = tmp_path_factory.mktemp("history")
        states = replay(home, *history)
        for name in states[0].prints if states else ():
            prints = [each.prints[name].digest for each in states]
            seen["doubtful"] += prints.count("")
            seen["changed"] += len({*prints} - {""}) > 1
        pairs = unchanged(states)
        seen["unchanged"] += len(pairs)
        for one, other in pairs:
            note(f"{one.service.name} has one fingerprint in {one.folder} and {other.folder}")
        assert differences(pairs, remote, home / "images") == {}

    check()
    # Nothing was proven unless much was carried forward, and much was not.
    assert seen["unchanged"] > 2 * stories, seen
    assert seen["changed"] > stories / 2, seen
    assert seen["doubtful"] > stories / 2, seen


@pytest.mark.parametrize(
    "edit",
    one_in(
        3,
        [
            Write("web/a", b"other"),
            Mode("web/a", 0o600),
            Remove("web/b.txt"),
            Link("web/a", "b.txt"),
            Write("web/.dockerignore", b"a"),
            Define("web", {"args": (("A", "1"),)}),
            Define("web", {"labels": (("team", "x"),)}),
            Define("web", {"platforms": ("linux/arm64",)}),
        ],
    ),
    ids=str,
)
def test_another_image_is_known_for_one(remote: Builder, tmp_path: Path, edit: Edit) -> None:
    """What the property rests on: where it matters, images and fingerprints differ."""
    states = replay(tmp_path, [], [Change((edit,))])
    one, other = (Wanted(each.folder, each.services["web"], each.services) for each in states)
    assert differences([(one, other)], remote, tmp_path / "images") != {}
    assert len({each.prints["web"].digest for each in states} - {""}) == 2


def test_what_does_not_concern_a_service_leaves_it_unchanged(
    remote: Builder, tmp_path: Path
) -> None:
    elsewhere = (
        Write("api/a", b"other"),
        Write("other/new", b"untracked"),
        Write("node_modules/x", b"ignored"),
        Command(("config", "core.eol", "crlf")),
        Define("api", {"target": "one"}),
    )
    later = replay(tmp_path, [], [Change(elsewhere, everything=False), Change((), umask=0o022)])
    pairs = unchanged(later)
    assert {one.service.name for one, _ in pairs} >= {"web", "deep", "job"}
    assert differences(pairs, remote, tmp_path / "images") == {}
