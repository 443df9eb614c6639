"""YAML as it stands in a text: nodes, where each begins and ends, and the ways to them.

It decides what a reader comes upon when it follows keys, aliases and ``<<``, and says where
readers differ. It knows no key but ``<<``, and gives no value another type than text.
https://yaml.org/spec/1.1/ and https://yaml.org/type/merge.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

_MERGE = "<<"
_KEY = -1
_NULLS = ("null", "Null", "NULL", "~")

Path = tuple[str | int, ...]
"""Keys and positions in lists; -1 before a key that is itself meant."""


class Shape(Enum):
    """What a node is."""

    SCALAR = "scalar"
    LIST = "list"
    MAPPING = "mapping"
    ALIAS = "alias"


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, a list, a mapping or an alias, compared by identity.

    ``index``: the ordinal of its event in the stream; ``line``, from 1; ``column``, ``start`` and
    ``end``: characters of the text; ``style``: a scalar's quote, ``|`` or ``>``, a bracket, or
    nothing; ``items``: a list's values, or the keys and values of a mapping in turn;
    ``size`` and ``height``: with all that aliases stand for.
    """

    shape: Shape
    index: int
    line: int
    column: int
    start: int
    end: int
    value: str = ""
    style: str = ""
    items: Sequence[Node] = ()
    target: Node | None = None
    size: int = 1
    height: int = 1

    @property
    def real(self) -> Node:
        """What an alias stands for; any other node is itself."""
        return self.target or self

    def pairs(self) -> list[tuple[Node, Node]]:
        """The keys and values of a mapping as they are written."""
        return list(zip(self.items[::2], self.items[1::2], strict=True))

    def lookup(self, key: str) -> list[tuple[Node, Node]]:
        """Every key and value that a reader may take for a mapping's ``key``; more is ambiguous.

        A key that stands before a ``<<`` which has it too is the mapping's own to the
        specification and to kustomize, and the merged one to kubectl.
        """
        found: list[tuple[Node, Node]] = []
        own = False
        for name, value in self.pairs():
            if _is_merge(name):
                merged = (each.lookup(key) for each in _merged(value))
                found += next(filter(None, merged), [])
            elif name.value == key:
                found = [*found, (name, value)] if own else [(name, value)]
                own = True
        return found


@dataclass(frozen=True, slots=True)
class Cursor:
    """A node and the way to it.

    ``quote``: what its key is written in; ``doubt``: the line where the way became ambiguous, or 0.
    """

    node: Node
    path: Path = ()
    quote: str = ""
    doubt: int = 0

    def get(self, *keys: str) -> Iterator[Cursor]:
        """Follow keys down, to every value that a reader may find there."""
        if not keys:
            yield self
        elif self.node.shape is Shape.MAPPING:
            found = self.node.lookup(keys[0])
            doubt = found[-1][0].line if len(found) > 1 else self.doubt
            for key, value in found:
                yield from Cursor(value.real, (*self.path, keys[0]), key.style, doubt).get(
                    *keys[1:]
                )

    def each(self) -> Iterator[Cursor]:
        """The values of a list."""
        if self.node.shape is Shape.LIST:
            for index, value in enumerate(self.node.items):
                yield Cursor(value.real, (*self.path, index), "", self.doubt)

    def text(self, *keys: str) -> str:
        """The text of a scalar below, as most readers take it; nothing for a null."""
        *_, last = (self, *self.get(*keys))
        null = last is self or (last.node.value in _NULLS and not last.node.style)
        return "" if null else last.node.value


def every(documents: Iterable[Node]) -> Iterator[Node]:
    """Yield every node as it is written; what an alias stands for, where that is."""
    waiting = list(documents)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.items


def uses(document: Node, targets: Iterable[Node]) -> Iterator[tuple[Node, Path, int]]:
    """Yield each way by which a reader comes upon some nodes, and the line where it does.

    What is below a document's keys that begin with ``x-`` or a dot is used by its aliases alone.
    """
    wanted = set(targets)

    def visit(node: Node, path: Path, line: int) -> Iterator[tuple[Node, Path, int]]:
        line = node.line if node.target else line
        node = node.real
        if node in wanted:
            yield node, path, line or node.line
        for index, value in enumerate(node.items if node.shape is Shape.LIST else ()):
            yield from visit(value, (*path, index), line)
        for key, value in _effective(node) if node.shape is Shape.MAPPING else ():
            if path or not key.value.startswith(("x-", ".")):
                yield from visit(key, (*path, _KEY, key.value), line)
                yield from visit(value, (*path, key.value), line)

    yield from visit(document, (), 0)


def _effective(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield a mapping's own pairs, then of what it merges those that it does not have itself."""
    own = [(key, value) for key, value in node.pairs() if not _is_merge(key)]
    yield from own
    seen = {key.value for key, _ in own}
    for key, value in node.pairs():
        for each in _merged(value) if _is_merge(key) else ():
            fresh = [pair for pair in _effective(each) if pair[0].value not in seen]
            yield from fresh
            seen |= {pair[0].value for pair in fresh}


def _is_merge(key: Node) -> bool:
    return key.value == _MERGE and not key.style


def _merged(value: Node) -> list[Node]:
    """The mappings that ``<<`` names, the one that counts most first."""
    found = value.real.items if value.real.shape is Shape.LIST else (value,)
    return [each.real for each in found if each.real.shape is Shape.MAPPING]
