"""A YAML file of configuration as plain data, with the line of each value.

It decides which type YAML 1.1 gives a value, and refuses custom tags, keys that are there twice or
are no text, and a second document. It knows no key but ``<<``.
https://yaml.org/spec/1.1/ and https://yaml.org/type/merge.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from feastflow_registry.model import yaml_tree
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.yaml_tree import Limits, Node, Shape

KeyPath = tuple[str | int, ...]
"""The keys, and the positions in lists, that lead to a value."""
LARGEST = 256 * 1024
_LIMITS = Limits(
    size=LARGEST,
    values=10_000,
    depth=32,
    advice="Keep nothing in it but services and policy.",
    single=True,
)
_LONGEST_NUMBER = 40
_CORE = "tag:yaml.org,2002:"
_TIMESTAMP = f"{_CORE}timestamp"
_RESOLVER: Any = yaml.resolver.Resolver()
_NODES = {
    Shape.SCALAR: yaml.ScalarNode,
    Shape.LIST: yaml.SequenceNode,
    Shape.MAPPING: yaml.MappingNode,
}
_PLAIN = {
    f"{_CORE}bool": SafeConstructor.construct_yaml_bool,
    f"{_CORE}int": SafeConstructor.construct_yaml_int,
    f"{_CORE}float": SafeConstructor.construct_yaml_float,
    f"{_CORE}null": SafeConstructor.construct_yaml_null,
}


@dataclass(frozen=True, slots=True)
class Date:
    """What YAML takes for a date; nothing here is one, so that it keeps its text alone."""

    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and the line where it stands."""

    line: int
    problem: Problem


@dataclass(slots=True)
class Document:
    """Plain data, with the line (from 1) of each value and the text of each that is no string.

    ``findings``: what is wrong but did not keep the rest from being read.
    """

    name: str
    data: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    texts: dict[KeyPath, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """The line of a value, or of the closest one that holds it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def place(self, path: KeyPath) -> str:
        """Name the file and, where lines are known, that of a value."""
        return f"{self.name}, line {self.line(path)}" if self.lines else self.name

    def value(self, path: KeyPath) -> object:
        """The value at a path, if the data has one there."""
        value = self.data
        for key in path:
            try:
                value = value[key]  # type: ignore[index]  # What has no items says so below.
            except (LookupError, TypeError):
                return None
        return value


def read(name: str, content: bytes) -> Document:
    """Read one YAML document. Raises an input failure if the file as a whole cannot be read."""
    documents = yaml_tree.parse(name, content, _LIMITS).documents
    if not documents:
        cause = f"{name} is empty."
        raise Failure(Kind.INPUT, cause, "Run `feastflow-registry init` to write a first one.")
    document = Document(name)
    document.data = _Reader(document).build(documents[0], ())
    return document


@dataclass(slots=True)
class _Reader:
    document: Document
    constructor: SafeConstructor = field(default_factory=SafeConstructor)

    def build(self, node: Node, path: KeyPath) -> object:
        """Turn a node into data."""
        self.document.lines.setdefault(path, node.line)
        node = node.real
        tag = _tag(node)
        if node.shape is Shape.SCALAR:
            return self._scalar(node, tag, path)
        if node.shape is Shape.MAPPING and tag == f"{_CORE}map":
            return self._mapping(node, path)
        if node.shape is Shape.LIST and tag == f"{_CORE}seq":
            return [self.build(each, (*path, index)) for index, each in enumerate(node.items)]
        return self._unknown(node, tag)

    def _mapping(self, node: Node, path: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        for key, value in self._entries(node):
            self.document.lines[*path, key.value] = key.line
            data[key.value] = self.build(value, (*path, key.value))
        return data

    def _entries(self, node: Node) -> list[tuple[Node, Node]]:
        """Give each key once: its own ones first, then those of ``<<`` in their order."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: list[Node] = []
        for key, value in node.pairs():
            if key.is_merge:
                merged += value.merged()
            elif _tag(key.real) != f"{_CORE}str":
                self._refuse(key, f"the key {key.value[:60]!r} is not a text to YAML.", "Quote it.")
            elif key.value in own:
                cause = f"the key {key.value[:60]!r} is there twice."
                self._refuse(key, cause, "Remove one of them.")
            else:
                own[key.value] = (key, value)
        for each in merged:
            if each.shape is not Shape.MAPPING:
                self._refuse(
                    each,
                    "<< must be followed by a mapping.",
                    "Give it an *alias of a mapping, or a list of such.",
                )
            for key, value in self._entries(each):
                own.setdefault(key.value, (key, value))
        return list(own.values())

    def _scalar(self, node: Node, tag: str, path: KeyPath) -> object:
        """Resolve a plain scalar as YAML 1.1 does."""
        if tag == f"{_CORE}str":
            return node.value
        self.document.texts[path] = node.value
        if tag == _TIMESTAMP:
            return Date(node.value)
        if tag not in _PLAIN:
            return self._unknown(node, tag)
        try:
            if len(node.value) <= _LONGEST_NUMBER:
                return _PLAIN[tag](self.constructor, yaml.ScalarNode(tag, node.value))
        except (ValueError, LookupError):  # 0x_ is a number to the grammar alone; !!bool x.
            pass
        self._refuse(node, f"{node.value[:60]!r} is not a value that YAML can read.", "Quote it.")
        return ""

    def _unknown(self, node: Node, tag: str) -> object:
        tag = tag.replace(_CORE, "!!")
        self._refuse(node, f"the tag {tag[:60]!r} has no meaning here.", "Remove it.")
        return None

    def _refuse(self, node: Node, cause: str, fix: str) -> None:
        problem = Problem(f"{self.document.name}, line {node.line}: {cause}", fix)
        self.document.findings.append(Finding(node.line, problem))


def _tag(node: Node) -> str:
    """The tag that is written, or the one that YAML gives to what has none."""
    if node.tag not in ("", "!"):
        return node.tag
    return str(_RESOLVER.resolve(_NODES[node.shape], node.value, (not node.style, False)))
