"""Every command, each of its requests, every kind of bad answer: survived, or red and finished.

Never green and wrong: a run that ends well has done and said what it does where nothing fails;
one that does not is finished by running it again.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from support.scenes import COMMANDS, Scene
from support.soak import soak

MEGABYTE = 1024 * 1024
STALE = "sha256:" + "5" * 64
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "500": {"status": 500},
    "404": {"status": 404},
    "a list": {"status": 200, "body": b"[]"},
    "a page": {"status": 200, "body": b"<html>", "headers": {"Content-Type": "text/html"}},
    "another digest": {"status": 200, "headers": {"Docker-Content-Digest": STALE}, "body": b""},
    "too much": {"status": 200, "body": bytes(9 * MEGABYTE)},
    "a bomb": {
        "status": 200,
        "body": gzip.compress(bytes(100 * MEGABYTE), 1),
        "headers": {"Content-Encoding": "gzip"},
    },
}
KINDS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"kind": "status", **facts} for name, facts in ANSWERS.items()},
    **{kind: {"kind": kind} for kind in ("reset_before", "reset_after", "stall", "truncate")},
}
RED = (2, 3, 5, 6, 7)
BELIEVED = {"404", "another digest"}
"""What `tags` shows if a registry says it time and again: it writes nothing."""


def check(scene: Scene, kind: str, times: int | None, others: Sequence[str] = ()) -> None:
    facts = KINDS[kind]
    if scene.command == "tags" and kind in BELIEVED and (times != 1 or kind != "404"):
        pytest.skip("nothing else tells, and nothing is written")
    scene.reset()
    whole = scene.state(scene.run().ended())
    for nth, ran in scene.failing(facts, times, [KINDS[each] for each in others]):
        assert "Traceback" not in ran.log, (nth, ran.shown)
        if ran.code == 0:
            assert scene.state(ran) == whole, (nth, ran.shown)
            continue
        assert ran.code in RED, (nth, ran.shown)
        assert ran.errors, (nth, ran.shown)
        again = scene.run()
        assert scene.state(again.ended()) == whole, (nth, ran.shown, again.shown)


FIRST = {
    *(("publish", "reset_after"), ("promote", "404"), ("rollback", "500")),
    *(("deploy", "another digest"), ("tags", "a page")),
}
"""What `make test` proves: each sort of answer. `test_prune` has its own bad moments."""


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        pytest.param(command, kind, marks=() if (command, kind) in FIRST else soak)
        for command in COMMANDS
        for kind in KINDS
    ],
)
def test_one_bad_answer(scenes: Callable[[str], Scene], command: str, kind: str) -> None:
    check(scenes(command), kind, 1)


@soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_two_in_a_row(scenes: Callable[[str], Scene], command: str, kind: str) -> None:
    check(scenes(command), kind, 2)


@soak
@pytest.mark.parametrize("start", range(3))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_two_that_differ(
    scenes: Callable[[str], Scene], command: str, kind: str, start: int
) -> None:
    """One after the other; at each request another second one, of which `start` is the first."""
    believed = BELIEVED if command == "tags" else set[str]()
    others = [each for each in KINDS if each != kind and each not in believed]
    check(scenes(command), kind, 1, others[start:] + others[:start])


@soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_from_then_on(scenes: Callable[[str], Scene], command: str, kind: str) -> None:
    check(scenes(command), kind, None)
