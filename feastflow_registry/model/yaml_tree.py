"""A YAML file from a repository as a tree of nodes, each with its place in the text.

It refuses what is no text, no YAML, or more than the reader's limits allow, and names the line.
An alias stays a node of its own, so that nothing is copied; the limits count what it stands for.
https://yaml.org/spec/1.1/ and https://yaml.org/type/merge.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import yaml

from feastflow_registry.model.errors import Failure, Kind

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML has it: what kubectl reads with is a port of it, tabs included."""
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
_LONG = 4096
"""Characters of a text that count as one value more."""
_BOM = "\ufeff"
_FIX = "Correct it there: indent with spaces, and quote a text that begins with * & ! % @ [ or {."


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may hold.

    ``advice``: the fix for one that holds more; ``template_advice``: the fix for one that is no
    YAML but has ``{{`` in it; ``single``: whether a second document is refused.
    """

    size: int
    values: int
    depth: int
    advice: str
    template_advice: str = _FIX
    single: bool = False


class Shape(Enum):
    """What a node is."""

    SCALAR = "scalar"
    LIST = "list"
    MAPPING = "mapping"
    ALIAS = "alias"


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, a list, a mapping or an alias, compared by identity.

    ``index``: the ordinal of its event in the file; ``line``, from 1; ``column``, ``start`` and
    ``end``: characters of the text; ``value``: a scalar's text, an alias' too; ``style``: a
    scalar's quote, ``|`` or ``>``, a bracket, or nothing; ``tag``: one that is written;
    ``items``: a list's values, or the keys and values of a mapping in turn; ``target``: what an
    alias stands for; ``repeated``: the line of the first alias of this; ``count`` and ``height``:
    the values and the levels of all that this holds, aliases written out.
    """

    shape: Shape
    index: int
    line: int
    column: int
    start: int
    end: int
    value: str = ""
    style: str = ""
    tag: str = ""
    items: Sequence[Node] = ()
    target: Node | None = None
    repeated: int = 0
    count: int = 1
    height: int = 0

    @property
    def real(self) -> Node:
        """What an alias stands for; any other node is itself."""
        return self.target or self

    @property
    def is_merge(self) -> bool:
        """Whether this, as a key, brings the keys of other mappings in."""
        return self.value == "<<" and not self.style and not self.real.tag

    def pairs(self) -> list[tuple[Node, Node]]:
        """The keys and values of a mapping as they are written; none for anything else."""
        items = self.items if self.shape is Shape.MAPPING else ()
        return list(zip(items[::2], items[1::2], strict=True))

    def merged(self) -> list[Node]:
        """What ``<<`` names, if this is its value; the first counts most."""
        whole = self.real
        return [each.real for each in (whole.items if whole.shape is Shape.LIST else [whole])]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file's text after its byte order mark, and the root of each document."""

    name: str
    bom: str
    text: str
    documents: tuple[Node, ...]

    def encode(self, text: str) -> bytes:
        """The bytes of this file with another text."""
        return (self.bom + text).encode()


def parse(name: str, content: bytes, limits: Limits) -> YamlFile:
    """Read a file's documents. Raises an input failure that names the line."""
    if len(content) > limits.size:
        cause = f"{name} is larger than {limits.size // 1024} KiB."
        raise Failure(Kind.INPUT, cause, limits.advice)
    try:
        decoded = content.decode()
    except UnicodeDecodeError:
        raise Failure(Kind.INPUT, f"{name} is not text in UTF-8.", "Save it as UTF-8.") from None
    text = decoded.removeprefix(_BOM)
    if match := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, match.start()) + 1
        cause = f"{name}, line {line}: the character U+{ord(match[0]):04X} is not allowed."
        raise Failure(Kind.INPUT, cause, "Remove this control character.")
    documents = tuple(_Composer(name, text, limits, enumerate(events(text))).documents())
    return YamlFile(name, decoded[: len(decoded) - len(text)], text, documents)


def events(text: str) -> Iterator[Any]:
    """What the parser says of a text, one event after the other."""
    yield from yaml.parse(text, Loader=_PARSER)


@dataclass(slots=True)
class _Composer:
    """Builds nodes from events, and gives up before their number or depth costs anything."""

    name: str
    text: str
    limits: Limits
    events: Iterator[tuple[int, Any]]
    anchors: dict[str, Node] = field(default_factory=dict)
    values: int = 0

    def documents(self) -> Iterator[Node]:
        """Yield the root of each document."""
        starts = 0
        try:
            for _, event in self.events:
                if isinstance(event, yaml.DocumentStartEvent):
                    starts += 1
                    if self.limits.single and starts > 1:
                        mark: Any = event.start_mark
                        cause = f"{self.name}, line {mark.line + 1}: a second document begins."
                        fix = "Keep one, without a line of three dashes."
                        raise Failure(Kind.INPUT, cause, fix)
                    self.anchors = {}
                    yield self._compose(*next(self.events), 1)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            last = self.text.rstrip().count("\n")
            reason = " ".join(str(error.problem or error.context).split())[:200]
            raise self._not_yaml(min(mark.line, last) + 1, reason) from None

    def _compose(self, index: int, event: Any, level: int) -> Node:
        """Build the node that begins with an event, and all that it holds."""
        start, end = event.start_mark, event.end_mark
        node = Node(Shape.SCALAR, index, start.line + 1, start.column, start.index, end.index)
        if isinstance(event, yaml.AliasEvent):
            self._follow(node, event.anchor or "")
        elif isinstance(event, yaml.ScalarEvent):
            node.value, node.style, node.tag = event.value, event.style or "", event.tag or ""
            node.count += len(event.value) // _LONG  # An alias may repeat it a thousand times.
        else:
            node.shape = Shape.MAPPING if isinstance(event, yaml.MappingStartEvent) else Shape.LIST
            node.style, node.tag = "{" if event.flow_style else "", event.tag or ""
            node.height = 1
        self._check(node, level)
        if node.height and not node.target:
            self._fill(node, level)
        if event.anchor and not node.target:
            self.anchors[event.anchor] = node
        return node

    def _follow(self, node: Node, anchor: str) -> None:
        """Make a node an alias of what has an anchor."""
        target = self.anchors.get(anchor)
        if target is None:
            reason = f"the alias *{anchor[:60]} has no anchor before it"
            raise self._not_yaml(node.line, reason)
        node.shape, node.target, node.value = Shape.ALIAS, target, target.value
        node.count, node.height = target.count, target.height
        target.repeated = target.repeated or node.line

    def _fill(self, node: Node, level: int) -> None:
        """Take the nodes up to the end of a list or mapping."""
        items: list[Node] = []
        index, event = next(self.events)
        while not isinstance(event, yaml.CollectionEndEvent):
            items.append(item := self._compose(index, event, level + 1))
            node.count += item.count
            node.height = max(node.height, item.height + 1)
            index, event = next(self.events)
        end: Any = event.end_mark
        node.items, node.end = items, end.index
        for key, _ in node.pairs():
            if key.real.shape is not Shape.SCALAR:
                raise self._not_yaml(key.line, "a key is no text")

    def _check(self, node: Node, level: int) -> None:
        """Refuse a file that is too deep or too much with a node."""
        excess = ""
        if level + node.height - 1 > self.limits.depth:
            excess = f"is nested more than {self.limits.depth} levels deep"
        self.values += node.count
        if self.values > self.limits.values:
            excess = f"stands for more than {self.limits.values} values"
        if excess:
            cause = f"{self.name}, line {node.line}: it {excess}."
            raise Failure(Kind.INPUT, cause, self.limits.advice)

    def _not_yaml(self, line: int, reason: str) -> Failure:
        fix = self.limits.template_advice if "{{" in self.text else _FIX
        cause = f"{self.name}, line {line}: this is not YAML: {reason}."
        return Failure(Kind.INPUT, cause, fix)
