"""Runs that are started hundreds of times, each from the same state of the registry.

Two commits of main: the first is published with all its tags, the second is about to be. No engine
takes part, so that a run costs milliseconds: the image of the second is on the registry by digest,
as a builder leaves it that pushes by digest.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from feastflow_registry.git.clone import Git
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.ports import Built, BuiltImage
from feastflow_registry.model.references import Digest, Reference
from support.machine import Machine, Ran
from support.published_pair import PublishedPair
from support.registries import OURS, LocalRegistry
from support.servers.fault_proxy import FaultProxy
from support.servers.faults import Fault

Name = Literal["first", "moving", "rerun"]

KINDS: dict[str, dict[str, Any]] = {
    "429 with Retry-After: 1": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    "429": {"kind": "status", "status": 429},
    "503": {"kind": "status", "status": 503},
    "reset_before": {"kind": "reset_before"},
    "reset_after": {"kind": "reset_after"},
    "stall": {"kind": "stall"},
    "truncate": {"kind": "truncate"},
}


_STATUSES = tuple(fault for fault in KINDS.values() if fault["kind"] == "status")
ROUNDS = (_STATUSES, *((fault,) for fault in KINDS.values() if fault not in _STATUSES))
"""What befalls each request of a run: in one round each gets one of the statuses by turns."""


def remember_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask git each question once: the same run is started hundreds of times on one checkout."""
    ask = Git._bytes
    answers: dict[tuple[Path, tuple[str, ...]], subprocess.CompletedProcess[bytes]] = {}

    def recall(git: Git, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        question = git.workspace, arguments
        if question not in answers:
            answers[question] = ask(git, *arguments)
        return answers[question]

    monkeypatch.setattr(Git, "_bytes", recall)


class Cached:
    """Stands where the engine does: what it builds is on the registry by digest already."""

    digests: ClassVar[dict[str, str]] = {}
    """By commit tag."""

    def __init__(self, buildx: object, *_: object) -> None:
        self.buildx = buildx

    def check_ready(self, images: Sequence[BuildImage]) -> None:
        """Be ready."""

    def build(self, images: Sequence[BuildImage], *, push: bool) -> Built:
        """Find it in the cache."""
        assert push
        found = {
            each.service.name: BuiltImage("", Digest(self.digests[each.tags[0].identifier]))
            for each in images
        }
        return Built(found)

    def push(self, image: BuiltImage, reference: Reference) -> Digest:
        """Never needed by a builder that pushes by digest."""
        raise AssertionError(reference)


@dataclass
class PreparedRun:
    """What `run` starts from: `first` builds, `moving` finds its image there, `rerun` all."""

    name: Name
    machine: Machine
    old: Mapping[str, str]
    own: str
    new: str
    inputs: Mapping[str, str]

    @classmethod
    def prepare(
        cls,
        name: Name,
        machine: Machine,
        pair: PublishedPair,
        monkeypatch: pytest.MonkeyPatch,
        shallow: Path | None = None,
        **more: str,
    ) -> PreparedRun:
        """Start from the pair, with the second commit checked out. `more`: inputs of `run`."""
        pair.lay_out(machine.place)
        own = f"commit-{pair.second[:7]}"
        old = machine.place.tags()
        new = old.pop(own)
        monkeypatch.setattr(Cached, "digests", machine.place.tags())
        monkeypatch.setattr("feastflow_registry.builder.engine.Engine", Cached)
        if shallow:  # Where it is GitHub that has to say what is newer.
            machine.workspace = machine.project.clone(shallow, "--depth=1")
        remember_git(monkeypatch)
        return cls(name, machine, old, own, new, more)

    @property
    def shared(self) -> tuple[str, ...]:
        """The tags that the second commit takes over."""
        if self.inputs.get("shared_tags") == "false":
            return ()
        milestone = self.inputs.get("milestone", "")
        return (*([milestone] if milestone else []), "latest")

    @property
    def place(self) -> LocalRegistry:
        """The registry."""
        return self.machine.place

    def reset(self) -> None:
        """Take back what the last run did."""
        self.place.proxy.clear()
        self.place.realm.clear()
        shared = dict.fromkeys(self.shared, self.new) if self.name == "rerun" else {}
        self.place.retag({**self.old, **shared, self.own: self.new})
        if self.name == "first":
            self.place.untag(self.own)

    def run(self, *, timeout: float = 300.0) -> Ran:
        """Run once, in this process."""
        return self.machine.call(
            self.machine.runner(**dict[str, Any](self.inputs)), timeout=timeout
        )

    def failing(
        self, way: FaultProxy, faults: Sequence[Mapping[str, Any]], *, first: int = 1
    ) -> Iterator[Ran]:
        """Fail each of our requests on a way in turn; ends when a run makes no more of them."""
        for nth in range(first, 100):
            self.reset()
            facts: dict[str, Any] = {"match": is_ours, **faults[nth % len(faults)], "nth": nth}
            rule = Fault(**facts)
            way.add(rule)
            ran = self.run(timeout=0.5 if rule.kind == "stall" else 300.0)
            way.clear()
            if not rule.fired:
                assert nth > first, "the run asked nothing on this way"
                return
            yield ran
        raise AssertionError("a run of a hundred requests")

    def check_done(self, ran: Ran) -> None:
        """Green and verified: every tag is where it belongs, and the outputs say so."""
        ran.ended()
        tags = self.place.tags()
        assert {tags[each] for each in (self.own, *self.shared)} == {self.new}, ran.shown
        assert ran.outputs["digest"] == self.new
        assert len(ran.outputs["tags"].split()) == 1 + len(self.shared)

    def check_truth(self, ran: Ran, *, in_doubt: bool = False) -> None:
        """Whatever failed: what the log says of each tag is what the registry holds.

        `in_doubt`: but for the tag that was being written, which nobody can know.
        """
        assert ran.errors, ran.shown
        tags = self.place.tags()
        parts = ("Written before", "Written, not", "Not done", "In doubt")
        said = {part: _references(ran.shown, part) for part in parts}
        written = said["Written before"] + said["Written, not"]
        for tag in written:
            assert tags.get(tag) == self.new, f"{tag} is not written:\n{ran.shown}"
        for tag in said["Not done"][in_doubt:]:
            assert tags.get(tag) == self.old.get(tag), f"{tag} was written:\n{ran.shown}"
        ours = [self.own, *self.shared] if self.name == "first" else self.shared
        for tag in ours:
            if tags.get(tag) != self.old.get(tag) and self.name != "rerun":
                told = written + said["In doubt"] + said["Not done"][:in_doubt]
                assert tag in told, f"{tag} moved in silence:\n{ran.shown}"
        for tag in (self.own, *self.shared):
            assert tags.get(tag) in (None, self.new, self.old.get(tag))


def is_ours(request: object) -> bool:
    """Whether a request is the program's own and not an engine's."""
    return OURS in getattr(request, "agent", "")


def _references(log: str, part: str) -> list[str]:
    found = re.search(rf"^{part}[^:\n]*: (.*)\.$", log, re.MULTILINE)
    return re.findall(r":([\w.-]+)(?:,|$)", found[1]) if found else []
