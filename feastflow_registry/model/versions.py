"""Versions that git tags are named after: what is one, and which of two is higher."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"[0-9]{1,100}"
_VERSION = re.compile(
    rf"v?(?P<core>{_NUMBER}(?:\.{_NUMBER}){{1,3}})(?P<pre>-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)
_PREFIX = re.compile(r"([^*?+\[\]!\\]*?)(?:(?<![A-Za-z])v)?[0-9.]*[*?+\[\]!\\].*")


@dataclass(frozen=True, slots=True)
class Version:
    """A version as people write it: ``1.2``, ``v1.2.3-rc.1+build.5``, or a date, ``2024.06.01``.

    ``name``: the git tag; ``parts``: the numbers as they are written; ``pre``: what makes it one
    before the release, with its hyphen. What follows a plus says nothing about the order.
    https://semver.org/#spec-item-11, https://calver.org/
    """

    name: str
    parts: tuple[str, ...]
    pre: str = ""

    @classmethod
    def read(cls, name: str, prefix: str = "") -> Version | None:
        """Read the name of a git tag; nothing, if what follows the prefix is no version."""
        found = _VERSION.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None
        return cls(name, tuple(found["core"].split(".")), found["pre"] or "") if found else None

    @property
    def is_stable(self) -> bool:
        """Whether it is a release, and nothing before one."""
        return not self.pre

    @property
    def order(self) -> tuple[tuple[int, ...], tuple[str, ...], str]:
        """What releases are sorted by: ``1.2`` and ``1.2.0`` are one, and the name decides."""
        numbers = [int(part) for part in self.parts]
        while numbers and not numbers[-1]:
            numbers.pop()
        return tuple(numbers), self.parts, self.name

    @property
    def values(self) -> dict[str, str]:
        """What templates may use; a pre-release is of no line."""
        values = {"version": ".".join(self.parts) + self.pre}
        if self.is_stable:
            values |= {"major": self.parts[0], "minor": self.parts[1]}
        return values


def prefix_of(pattern: str) -> str:
    """What a pattern has before the version: ``web/`` of ``web/v*`` and of ``web/v1.*``."""
    found = _PREFIX.fullmatch(pattern)
    return found[1] if found else ""
