"""Which build sessions it takes to build all services, and which services are to blame.

All services are built in one session, which ends with the first failure. BuildKit's messages do
not say reliably whose failure it is, so every service that may be to blame is then built in a
session of its own: its exit code decides. The rest is built in one session again. What an earlier
session has built is in BuildKit's cache. Nothing is canceled in a session of one service because
another one fails, which is what tears the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from feastflow_registry.builder import diagnosis
from feastflow_registry.builder.diagnosis import Fault
from feastflow_registry.builder.tries import tries
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.ports import Log
from feastflow_registry.model.wording import some


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended: what buildx tells of each target that it built, or a fault.

    ``suspects``: the targets in whose steps something failed.
    """

    built: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fault: Fault | None = None
    suspects: Collection[str] = ()


class RunSession(Protocol):
    """Runs one session of some targets."""

    def __call__(self, targets: Sequence[str], *, alone: bool, no_cache: bool = False) -> Ended:
        """``alone``: whether the session is to tell the fault of its only target."""


@dataclass
class Sessions:
    """Builds targets. ``needs``: each target, and what it is built from, the farthest first.

    ``services``: the service of each target, and of each that others are built from.
    ``finish``: called with targets of which no session will tell any more; ``importing``: the
    targets that read a cache; ``broken``: those that one broke, each with the error.
    """

    run: RunSession
    finish: Callable[[Sequence[str]], None]
    log: Log
    sleep: Callable[[float], None]
    services: Mapping[str, str]
    needs: Mapping[str, Sequence[str]]
    importing: Collection[str] = ()
    broken: dict[str, str] = field(default_factory=dict)
    built: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def build(self) -> None:
        """Build all targets: each is in ``built`` or in ``failures`` afterwards.

        Raises what is no single service's failure.
        """
        rest = list(self.needs)
        while rest:
            suspects: Sequence[str] = rest
            if len(rest) > 1 or self.needs[rest[0]]:
                ended = self.run(rest, alone=False)
                if not ended.fault:
                    self.built |= {target: ended.built.get(target, {}) for target in rest}
                    return
                suspects = self._suspects(rest, ended.suspects)
                names = some([self.services[target] for target in suspects])
                self.log.say(f"the build failed, building {names} alone")
            for target in suspects:
                self._settle(target)
            failed = [target for target in rest if target in self.failures]
            done = [target for target in rest if target in self.built]
            rest = [target for target in rest if target not in (*failed, *done)]
            if failed and rest:
                names = some([self.services[target] for target in failed])
                self.log.say(f"{names} failed, going on with the others")
            self.finish([*failed, *done])

    def _suspects(self, rest: Sequence[str], reported: Collection[str]) -> Sequence[str]:
        """The targets that may be to blame, as far as is reported; at least one."""
        return [
            target for target in rest if {target, *self.needs[target]}.intersection(reported)
        ] or rest[:1]

    def _settle(self, target: str) -> None:
        """Build a target in a session of its own, after each that it is built from."""
        for each in (*self.needs[target], target):
            if each not in self.built and each not in self.failures:
                self._build_alone(each)
            if each in self.failures:
                if each != target:
                    self.failures[target] = diagnosis.follows(
                        self.services[target], self.services[each], self.failures[each]
                    )
                return

    def _build_alone(self, target: str) -> None:
        """Build a target in a session of its own, again after what may pass.

        A snapshot that is lost stays lost: what is torn twice is built without the cache. So is, at
        once, what a cache from elsewhere broke.
        """
        fault = Fault("")
        for number in tries(self.sleep):
            torn = diagnosis.is_torn(fault.error)
            without = (torn and number > 1) or target in self.broken
            if number:
                who = "the builder" if torn else "a registry"
                who = "a cache" if target in self.broken else who
                how = "without" if without else "from"
                self.log.say(f"{who} failed for a moment, building again {how} the cache")
            ended = self.run([target], alone=True, no_cache=without)
            if not ended.fault:
                self.built[target] = ended.built.get(target, {})
                return
            fault = ended.fault
            if target in self.importing and diagnosis.is_unread(fault.error):
                self.broken.setdefault(target, fault.error)
            elif not (diagnosis.is_torn(fault.error) or diagnosis.is_passing(fault.error)):
                break
        diagnosis.refuse(fault.error)
        self.failures[target] = diagnosis.explain(self.services[target], fault)
