"""A file of YAML documents, read into nodes without being loaded.

It refuses what is no YAML, no UTF-8, too large, too deep, or stands for too much by its aliases,
before that costs anything, and names the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from feastflow_registry.kubernetes.yaml_tree import Node, Shape
from feastflow_registry.model.errors import Failure, Kind

LARGEST = 4 * 1024 * 1024
MOST_VALUES = 750_000
DEEPEST = 100
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML has it: what kubectl reads with is a port of it, tabs included."""
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Stream:
    """A file's text after its byte order mark, and the documents that hold something."""

    name: str
    bom: str
    text: str
    documents: tuple[Node, ...]

    def encode(self, text: str) -> bytes:
        """The bytes of this file with another text."""
        return (self.bom + text).encode()


def parse(name: str, content: bytes) -> Stream:
    """Read a file's documents. Raises an input failure that names the line."""
    if len(content) > LARGEST:
        cause = f"{name} is larger than {LARGEST // 1024 // 1024} MiB."
        raise Failure(Kind.INPUT, cause, "Split it, or name only the files that hold images.")
    try:
        whole = content.decode()
    except UnicodeDecodeError:
        raise Failure(Kind.INPUT, f"{name} is not text in UTF-8.", "Save it as UTF-8.") from None
    text = whole.removeprefix(_BOM)
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        cause = f"{name}, line {line}: the character U+{ord(found[0]):04X} is not allowed."
        raise Failure(Kind.INPUT, cause, "Remove it; YAML is printable text.")
    documents = tuple(_Composer(name, text).documents())
    return Stream(name, whole[: len(whole) - len(text)], text, documents)


def events(text: str) -> Iterator[Any]:
    """What the parser says of a text, one event after the other."""
    yield from yaml.parse(text, Loader=_PARSER)


@dataclass(slots=True)
class _Open:
    """A list or a mapping whose end is still to come."""

    node: Node
    anchor: str | None
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class _Composer:
    """Builds nodes from events with a stack of its own, counting as it goes."""

    name: str
    text: str
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    values: int = 0

    def documents(self) -> Iterator[Node]:
        """Yield the root of each document that is not empty."""
        try:
            for index, event in enumerate(events(self.text)):
                root = self._take(index, event)
                if root and (root.items or root.value):
                    yield root
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark or error.context_mark
            last = self.text.rstrip().count("\n")
            said = " ".join(str(error.problem or error.context).split())[:200]
            raise self._no_yaml(min(mark.line, last) + 1, said) from None

    def _take(self, index: int, event: Any) -> Node | None:
        """Add one event; a document's root comes back when it is whole."""
        match event:
            case yaml.ScalarEvent():
                node = _node(Shape.SCALAR, index, event)
                node.value, node.style = event.value, event.style or ""
                return self._close(node, event.anchor)
            case yaml.CollectionStartEvent():
                mapping = isinstance(event, yaml.MappingStartEvent)
                node = _node(Shape.MAPPING if mapping else Shape.LIST, index, event)
                node.style = "{" if event.flow_style else ""
                self.open.append(_Open(node, event.anchor))
                if len(self.open) > DEEPEST:
                    raise self._too_much(f"is nested more than {DEEPEST} levels deep")
            case yaml.CollectionEndEvent():
                whole = self.open.pop()
                end: Any = event.end_mark
                whole.node.items, whole.node.end = whole.items, end.index
                return self._close(whole.node, whole.anchor)
            case yaml.AliasEvent():
                return self._close(self._alias(index, event), None)
            case yaml.DocumentStartEvent():
                self.anchors = {}
        return None

    def _alias(self, index: int, event: Any) -> Node:
        node = _node(Shape.ALIAS, index, event)
        target = node.target = self.anchors.get(event.anchor)
        if target is None:
            said = f"the alias *{event.anchor[:60]} has no anchor before it"
            raise self._no_yaml(node.line, said)
        node.value, node.size, node.height = target.value, target.size, target.height
        return node

    def _close(self, node: Node, anchor: str | None) -> Node | None:
        """Give a node that is whole to the one that holds it."""
        for key in node.items[::2] if node.shape is Shape.MAPPING else ():
            if key.real.shape is not Shape.SCALAR:
                raise self._no_yaml(key.line, "a key is no text")
        if anchor:
            self.anchors[anchor] = node
        if not self.open:
            return node
        self.open[-1].items.append(node)
        parent = self.open[-1].node
        parent.size += node.size
        if parent.height <= node.height:
            parent.height = node.height + 1
        self.values += node.size if node.target else 1
        if self.values > MOST_VALUES:
            raise self._too_much(f"stands for more than {MOST_VALUES} values")
        if len(self.open) + node.height > DEEPEST + 1:
            raise self._too_much(f"is nested more than {DEEPEST} levels deep by its aliases")
        return None

    def _too_much(self, what: str) -> Failure:
        cause = f"{self.name}, line {self.open[-1].node.line}: it {what}."
        fix = "A manifest is flat and repeats little: take out what is none."
        return Failure(Kind.INPUT, cause, fix)

    def _no_yaml(self, line: int, said: str) -> Failure:
        fix = "Correct it there: indent with spaces, and quote texts that begin with * & ! @ or {."
        if "{{" in self.text:
            fix = (
                "It looks like a Helm template: set the image in the chart's values.yaml, or give "
                "the output of `helm template`."
            )
        return Failure(Kind.INPUT, f"{self.name}, line {line}: this is not YAML: {said}.", fix)


def _node(shape: Shape, index: int, event: Any) -> Node:
    start = event.start_mark
    return Node(shape, index, start.line + 1, start.column, start.index, event.end_mark.index)
