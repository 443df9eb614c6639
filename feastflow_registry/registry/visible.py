"""Written, and not yet visible: registries that show a write only after some seconds.

What a registry has accepted is asked for again, with growing pauses, as long as it answers what was
there before: an answer that is late is nobody's write. Another image is believed once it stays.
What another run is known to have written is asked for until it is there. On a registry that shows
writes at once, no question is asked twice.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from feastflow_registry.model.references import Digest, Reference
from feastflow_registry.transport.http import Client

LONGEST = 30.0
"""Seconds after which a write that is not visible is taken for lost."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 4.0
_STAYS = 5
"""How often another image than the one that was written is asked for before it is believed."""


class _Unknown(Enum):
    UNKNOWN = "unknown"


_Held = Digest | None | _Unknown


@dataclass(frozen=True, slots=True)
class _Write:
    """What a tag is to show (nothing, if it was deleted), what it showed before, and since when."""

    wanted: _Held
    before: _Held
    at: float

    def is_shown(self, found: Digest | None) -> bool:
        """Whether an answer is not from before the write."""
        return found is not None if self.wanted is _Unknown.UNKNOWN else found == self.wanted


@dataclass(slots=True)
class Visibility:
    """One run's writes to one registry, for all threads. ``lag``: the longest delay so far."""

    http: Client
    lag: float = 0.0
    _seen: dict[Reference, Digest | None] = field(default_factory=dict)
    _writes: dict[Reference, _Write] = field(default_factory=dict)

    def expect(self, reference: Reference, digest: Digest | None) -> None:
        """Take note of a write that the registry has accepted."""
        before = self._seen.get(reference, _Unknown.UNKNOWN)
        self._writes[reference] = _Write(digest, before, self.http.clock())

    def announce(self, reference: Reference) -> None:
        """Take note that another run has written a tag, whatever it holds."""
        self._writes[reference] = _Write(_Unknown.UNKNOWN, None, self.http.clock())

    def read(self, reference: Reference, ask: Callable[[], Digest | None]) -> Digest | None:
        """Ask what a reference holds, again as long as a write of ours may not be visible yet."""
        found = ask()
        write = self._writes.get(reference)
        if write and not write.is_shown(found):
            stayed = 1
            for _ in self.pauses(reference):
                last, found = found, ask()
                stayed = stayed + 1 if found == last else 1
                if write.is_shown(found):
                    self.lag = max(self.lag, self.http.clock() - write.at)
                    break
                if found not in (write.before, None) and stayed >= _STAYS:
                    break
        self._seen[reference] = found
        return found

    def pauses(self, reference: Reference) -> Iterator[None]:
        """Wait longer and longer, as long as a write of a reference may not be visible."""
        write = self._writes.get(reference)
        pause = _FIRST_PAUSE
        while write and self.http.clock() - write.at < LONGEST:
            self.http.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            yield

    def catch_up(self) -> None:
        """Wait until what others wrote before now is visible too, as long as our own took."""
        if self.lag:
            self.http.sleep(self.lag)
