"""What became of the caches of a build, read from BuildKit's events, as one sentence.

BuildKit goes on without a cache that it cannot read, and with ``ignore-error`` without one that it
cannot write. Which of two caches had a step, or whether the builder itself had it, it does not say.
https://docs.docker.com/build/cache/backends/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from feastflow_registry.builder.diagnosis import clean

_IMPORT = "importing cache manifest from "
EXPORTS = ("exporting cache to ", "exporting to GitHub Actions Cache")
_STEP = re.compile(r"\[(?:\S+ )*\d+/\d+\] (?!FROM )")
_MISSING = re.compile(r"failed to configure \w+ cache importer: .*: not found$")
_NOISE = re.compile(r"^(?:failed to configure \w+ cache importer|error writing \w+ blob): ")
_LONGEST_REASON = 200


@dataclass(slots=True)
class CacheUse:
    """The caches of one target. ``steps``: by their names, whether each was there.

    ``sources``: by their names, why each could not be read; ``targets``: by the digests of their
    steps, why each could not be written; ``broken``: the error of a build by what a cache held.
    """

    steps: dict[str, bool] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    broken: str = ""

    def begin(self) -> None:
        """Start another session. What an earlier one has built was not there."""
        self.sources.clear()
        self.targets.clear()

    def read(self, digest: str, name: str, error: str, *, cached: bool) -> None:
        """Take a step that is completed."""
        if name.startswith(_IMPORT):
            self.sources[name.removeprefix(_IMPORT)] = error
        elif name.startswith(EXPORTS):
            self.targets[digest] = error
        elif _STEP.match(name) and not error:
            self.steps.setdefault(name, cached)

    def tell(self, sources: Sequence[str], targets: Sequence[str]) -> str:
        """Say what became of them; nothing, if there are none. Each is as buildx takes it."""
        parts = [self._read()] if sources else []
        parts += [self._written(targets)] if targets else []
        return ", ".join(parts)

    def _read(self) -> str:
        if self.broken:
            return f"not read, so that all was built: {_reason(self.broken)}"
        failed = {name: error for name, error in self.sources.items() if error}
        unread = [
            f"not read: {_reason(error)}"
            for error in dict.fromkeys(failed.values())
            if not _MISSING.match(error)
        ]
        there = sum(self.steps.values())
        if there or (not unread and len(failed) < len(self.sources)):
            found = f"{there} of {len(self.steps)} steps were there"
        else:
            found = "" if unread else "nothing found (first run?)"
        return ", ".join(filter(None, (found, *unread)))

    def _written(self, targets: Sequence[str]) -> str:
        errors = [each for each in self.targets.values() if each]
        if errors:
            return ", ".join(f"not written: {_reason(each)}" for each in dict.fromkeys(errors))
        apart = [each for each in targets if "type=inline" not in each.split(",")]
        if len(self.targets) < len(apart):
            return "not written: the builder does not say why"
        return "written" if apart else "written into the image"


def is_about(name: str) -> bool:
    """Whether a step reads or writes a cache, so that its failure is none of the build."""
    return name.startswith((_IMPORT, *EXPORTS))


def _reason(error: str) -> str:
    return clean(_NOISE.sub("", error), _LONGEST_REASON)
