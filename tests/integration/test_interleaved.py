"""Two runs at once, stopped at the worst moment of each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.fault_scenes import Cached
from support.machine import Machine, Ran
from support.registries import LocalRegistry
from support.servers.faults import Fault
from support.soak import one_in, soak

from integration.conftest import Builder


@contextmanager
def _held(machine: Machine, fault: Fault, **facts: Any) -> Iterator[list[Ran]]:
    """A run that waits inside one of its requests while the test does something else."""
    found: list[Ran] = []
    environ = machine.runner(**facts)
    thread = threading.Thread(target=lambda: found.append(machine.call(environ)))
    machine.place.proxy.add(fault)
    thread.start()
    try:
        assert fault.arrived.wait(300), "the run never made that request"
        yield found
    finally:
        fault.release()
        thread.join(300)


@pytest.fixture
def other(machine: Machine, tmp_path: Path) -> Machine:
    """A second machine, with a working copy of its own."""
    folder = machine.project.clone(tmp_path / "other")
    return Machine(
        tmp_path / "machine-2",
        machine.project,
        machine.place,
        machine.variables,
        machine.api_url,
        folder,
    )


MOMENTS: dict[str, dict[str, Any]] = {
    "latest is written": {"method": "PUT", "path": "manifests/latest"},
    "the milestone is written": {"method": "PUT", "path": "manifests/sprint3"},
    "latest is read back": {"method": "HEAD", "path": "manifests/latest", "nth": 3},
    "the commit tag is written": {"method": "PUT", "path": "manifests/commit-"},
    "the plan is made": {"method": "HEAD", "path": "manifests/latest"},
    "the commit tag is read back": {"method": "HEAD", "path": "manifests/commit-", "nth": 4},
}


def _interleave(held: Machine, quick: Machine, moment: dict[str, Any], **inputs: str) -> None:
    """Run one to its end while the other waits, then that one too."""
    facts: dict[str, Any] = {"milestone": "sprint3", **inputs}
    with _held(held, Fault("hold", **moment), sha=_head(held), **facts) as found:
        quick.call(quick.runner(sha=_head(quick), **facts)).ended()
    found[0].ended()


def _head(machine: Machine) -> str:
    return machine.project.git("rev-parse", "HEAD", at=machine.workspace)


def _check_newest(place: LocalRegistry, older: str, newer: str) -> None:
    tags = place.tags()
    assert tags["latest"] == tags["sprint3"] == tags[f"commit-{newer[:7]}"]
    assert tags["latest"] != tags[f"commit-{older[:7]}"]


@pytest.mark.parametrize("first", ["older", "newer"])
def test_latest_ends_on_the_newer_commit(
    machine: Machine, other: Machine, place: LocalRegistry, first: str
) -> None:
    older = machine.project.head
    newer = machine.project.commit()  # In `machine`; the older one is in `other`.
    held, quick = (other, machine) if first == "older" else (machine, other)
    _interleave(held, quick, MOMENTS["latest is written"])
    _check_newest(place, older, newer)


@soak
def test_so_it_does_at_every_other_moment(
    machine: Machine,
    other: Machine,
    place: LocalRegistry,
    remote: Builder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = machine.project.head
    newer = machine.project.commit()
    for each in (machine, other):
        each.call(each.runner(sha=_head(each), **remote.inputs, shared_tags="false")).ended()
    monkeypatch.setattr(Cached, "digests", place.tags())
    monkeypatch.setattr("feastflow_registry.builder.engine.Engine", Cached)
    for moment in (fault for name, fault in MOMENTS.items() if name != "latest is written"):
        for held, quick in ((other, machine), (machine, other)):
            place.proxy.clear()
            place.untag(*place.tags())
            _interleave(held, quick, moment)
            _check_newest(place, older, newer)


@pytest.mark.parametrize(
    "moment",
    one_in(
        2,
        [
            {"method": "PUT", "path": "manifests/commit-"},
            {"method": "PUT", "path": "manifests/latest"},
            {"method": "POST", "path": "blobs/uploads/", "nth": 2},
            {"method": "HEAD", "path": "manifests/commit-", "nth": 4},
        ],
    ),
)
def test_two_runs_of_one_commit_end_with_one_digest(
    machine: Machine,
    other: Machine,
    place: LocalRegistry,
    builders: Callable[[str], Builder],
    moment: dict[str, Any],
) -> None:
    """Two stores make two manifests of one commit: whichever the registry has, all tags share."""
    other.variables = builders("containerd").variables
    with _held(machine, Fault("hold", **moment)) as found:
        other.call(other.runner()).ended()
    found[0].ended()
    tags = place.tags()
    assert len(set(tags.values())) == 1, tags
    assert found[0].outputs["digest"] == tags["latest"]
