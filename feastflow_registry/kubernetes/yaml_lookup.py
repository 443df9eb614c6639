"""The values below a key of a manifest, wherever a reader of YAML may find them.

It follows aliases and ``<<``, and says why a value must not be edited in place: as something else
changes with it, or as another reader finds another value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from feastflow_registry.model.yaml_tree import Node, Shape

_NULLS = ("null", "Null", "NULL", "~")


class Doubt(NamedTuple):
    """Why a value must not be edited in place: the line, and how the value is reached."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A node, the key that it is the value of, and what is against editing it."""

    node: Node
    key: Node | None = None
    doubt: Doubt | None = None

    def get(self, *keys: str) -> Iterator[Cursor]:
        """Follow keys down, to every value that a reader may find there; the last counts most."""
        if not keys:
            yield self
            return
        pairs = self.node.pairs()
        own = [self._child(value, key) for key, value in pairs if key.value == keys[0]]
        merged: list[Cursor] = []
        for key, value in pairs:
            for mapping in value.merged() if key.is_merge else ():
                doubt = self.doubt or Doubt(key.line, "reached by <<")
                merged += Cursor(mapping, None, doubt).get(keys[0])
        found = [*reversed(merged), *own]
        twice = None
        if len(found) > 1 and (last := found[-1].key):
            twice = Doubt(last.line, "reached by a key that is there twice")
        for each in found:
            yield from replace(each, doubt=each.doubt or twice).get(*keys[1:])

    def each(self) -> Iterator[Cursor]:
        """The values of a list."""
        for value in self.node.items if self.node.shape is Shape.LIST else ():
            yield self._child(value)

    def text(self, *keys: str) -> str:
        """The text of a scalar below, as most readers take it; nothing for a null."""
        *_, last = (self, *self.get(*keys))
        null = last is self or (last.node.value in _NULLS and not last.node.style)
        return "" if null else last.node.value

    def _child(self, value: Node, key: Node | None = None) -> Cursor:
        doubt = self.doubt
        if value.target:
            doubt = doubt or Doubt(value.line, "reached by an alias")
        elif value.repeated:
            doubt = doubt or Doubt(value.repeated, "repeated by an alias")
        return Cursor(value.real, key, doubt)
