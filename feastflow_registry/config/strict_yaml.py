"""YAML from a repository, read strictly: every value with its line, no surprise, no bomb.

It decides what is too large, too deep or ambiguous to be configuration, and refuses custom tags,
keys that are there twice or are no text, and a second document. It knows no key.
https://yaml.org/spec/1.1/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from feastflow_registry.model.errors import Failure, Kind, Problem

Path = tuple[str | int, ...]
LARGEST = 256 * 1024
_DEEPEST = 32
_MOST_VALUES = 10_000
_LONGEST_NUMBER = 40
_CORE = "tag:yaml.org,2002:"
_TIMESTAMP = f"{_CORE}timestamp"
_MERGE = f"{_CORE}merge"
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
    lines: dict[Path, int] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a value, or of the closest one that holds it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def place(self, path: Path) -> str:
        """Name the file and, where lines are known, that of a value."""
        return f"{self.name}, line {self.line(path)}" if self.lines else self.name

    def value(self, path: Path) -> object:
        """The value at a path, if the data has one there."""
        found = self.data
        for each in path:
            try:
                found = found[each]  # type: ignore[index]  # What has no items says so below.
            except (LookupError, TypeError):
                return None
        return found


def read(name: str, content: bytes) -> Document:
    """Read one YAML document. Raises an input failure if the file as a whole cannot be read."""
    if len(content) > LARGEST:
        cause = f"{name} is larger than {LARGEST // 1024} KiB."
        raise Failure(Kind.INPUT, cause, "A configuration is small: take out what is not one.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Failure(Kind.INPUT, f"{name} is not text in UTF-8.", "Save it as UTF-8.") from None
    if not text.endswith(("\n", "\r")):
        text += "\n"  # The scanner then names the line where a value ends, not the one after.
    document = Document(name)
    try:
        composer = _Composer(text)
        root = composer.get_node() if composer.check_node() else None
        second = composer.next_line if composer.check_node() else None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        cause = f"{name}, line {line}: the character U+{int(error.character):04X} is not allowed."
        raise Failure(Kind.INPUT, cause, "Remove it; YAML is printable text.") from None
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(name, error) from None
    except _TooMuch as error:
        fix = "A configuration is small and flat: take out what is not one."
        raise Failure(Kind.INPUT, f"{name}, line {error.line}: it {error}.", fix) from None
    if second is not None:
        cause = f"{name}, line {second}: a second document begins."
        raise Failure(Kind.INPUT, cause, "Keep one, without a line of three dashes.")
    if root is None:
        cause = f"{name} is empty."
        raise Failure(Kind.INPUT, cause, "Run `feastflow-registry init` to write a first one.")
    try:
        document.data = _Reader(document).build(root, ())
    except _TooMuch:
        cause = f"{name} stands for too many values, as its aliases multiply them."
        raise Failure(Kind.INPUT, cause, "Write them out instead of using *aliases.") from None
    return document


class _TooMuch(Exception):
    def __init__(self, cause: str, line: int = 0) -> None:
        self.line = line
        super().__init__(cause)


def _not_yaml(name: str, error: yaml.MarkedYAMLError) -> Failure:
    mark = error.problem_mark or error.context_mark
    said = " ".join(str(error.problem or error.context).split())[:200]
    where = f", line {mark.line + 1}" if mark else ""
    fix = (
        "Correct it there; indent with spaces, and quote a text that begins with * & ! % @ [ or {."
    )
    return Failure(Kind.INPUT, f"{name}{where}: this is not YAML: {said}.", fix)


class _Composer(yaml.SafeLoader):
    """Composes nodes, and gives up before depth or number costs anything."""

    depth = 0
    values = 0

    @property
    def next_line(self) -> int:
        """The line of what comes next."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's own.
        return int(event.start_mark.line) + 1

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Count, then compose as PyYAML does."""
        self.values += 1
        if self.values > _MOST_VALUES:
            raise _TooMuch(f"holds more than {_MOST_VALUES} values", self.next_line)
        if self.depth > _DEEPEST:
            raise _TooMuch(f"is nested more than {_DEEPEST} levels deep", self.next_line)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass(slots=True)
class _Reader:
    document: Document
    plain: SafeConstructor = field(default_factory=SafeConstructor)
    values: int = 0

    def build(self, node: yaml.Node, path: Path) -> object:
        """Turn a node into data; an alias counts for all that it stands for."""
        self.values += 1
        if self.values > _MOST_VALUES or len(path) > _DEEPEST:
            raise _TooMuch("multiplies")
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_CORE}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_CORE}seq":
            return [self.build(each, (*path, index)) for index, each in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._unknown(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in self._entries(node):
            self.document.lines[*path, key.value] = key.start_mark.line + 1
            found[key.value] = self.build(value, (*path, key.value))
        return found

    def _entries(
        self, node: yaml.MappingNode, depth: int = 0
    ) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """Give each key once: its own ones first, then those of ``<<`` in their order."""
        own: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        merged: list[yaml.MappingNode] = []
        for key, value in node.value:
            shown = repr(key.value[:60]) if isinstance(key, yaml.ScalarNode) else "of this mapping"
            if key.tag == _MERGE:
                merged += self._merged(value)
            elif key.tag != f"{_CORE}str" or not isinstance(key, yaml.ScalarNode):
                self._refuse(key, f"the key {shown} is no text to YAML.", "Quote it.")
            elif key.value in own:
                self._refuse(key, f"the key {shown} is there twice.", "Remove one of them.")
            else:
                own[key.value] = (key, value)
        for each in merged:
            self.values += len(each.value)
            if self.values > _MOST_VALUES or depth > _DEEPEST:
                raise _TooMuch("multiplies")
            for key, value in self._entries(each, depth + 1):
                own.setdefault(key.value, (key, value))
        return list(own.values())

    def _merged(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        """Yield what ``<<`` names: one mapping or a list of them. https://yaml.org/type/merge.html."""
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(each, yaml.MappingNode):
                yield each
            else:
                self._refuse(each, "<< takes a mapping.", "Give it an *alias of one, or a list.")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        """Resolve a plain scalar as YAML 1.1 does."""
        if node.tag == f"{_CORE}str":
            return node.value
        self.document.texts[path] = node.value
        if node.tag == _TIMESTAMP:
            return Date(node.value)
        if node.tag not in _PLAIN:
            return self._unknown(node)
        try:
            if len(node.value) <= _LONGEST_NUMBER:
                return _PLAIN[node.tag](self.plain, node)
        except (ValueError, LookupError):  # 0x_ is a number to the grammar alone; !!bool x.
            pass
        self._refuse(node, f"{node.value[:60]!r} is no value that YAML can read.", "Quote it.")
        return ""

    def _unknown(self, node: yaml.Node) -> object:
        tag = node.tag.replace(_CORE, "!!")
        self._refuse(node, f"the tag {tag[:60]!r} has no meaning here.", "Remove it.")
        return None

    def _refuse(self, node: yaml.Node, cause: str, fix: str) -> None:
        line = node.start_mark.line + 1
        problem = Problem(f"{self.document.name}, line {line}: {cause}", fix)
        self.document.findings.append(Finding(line, problem))
