"""As in the unit tests: no socket, no process, and a run's requests in one order."""

from __future__ import annotations

from unit.conftest import offline, one_after_the_other

__all__ = ["offline", "one_after_the_other"]
