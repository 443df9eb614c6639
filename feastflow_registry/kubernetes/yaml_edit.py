"""Rewriting a YAML file in places, every other character kept.

A new text is written in its scalar's own quotes, a new key in the manner of its neighbour. The
result is read again: what does not say exactly what was asked for is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.yaml_tree import Node, YamlFile, events

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
# Texts that every reader of YAML, of whatever version, takes for text without quotes.
_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9]*[-:/].*|.*@.*")


@dataclass(frozen=True, slots=True)
class Replacement:
    """Another text for a scalar. ``quote``: what is put around it where it had no quotes."""

    node: Node
    value: str
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Insertion:
    """Keys and their texts for a mapping (``node``), after a key and value that it has."""

    node: Node
    key: Node
    value: Node
    pairs: tuple[tuple[str, str], ...]


TextEdit = Replacement | Insertion


def rewrite(file: YamlFile, edits: Collection[TextEdit]) -> bytes:
    """Give the bytes of the file with all that is asked for, and nothing else, changed."""
    text = file.text
    replacements = [each for each in edits if isinstance(each, Replacement)]
    insertions = [each for each in edits if isinstance(each, Insertion)]
    splices = [_replace(text, each) for each in replacements]
    splices += [_insert(text, each) for each in insertions]
    pieces, done = [], 0
    for start, end, piece in sorted(splices, key=lambda each: each[:2]):
        pieces += [text[done:start], piece]
        done = end
    result = "".join([*pieces, text[done:]])
    values = {each.node.index: each.value for each in replacements}
    added = {each.value.index: each.pairs for each in insertions}
    if line := _difference(text, result, values, added):
        raise Failure(
            Kind.INPUT,
            f"{file.name}, line {line}: this is written in a way that cannot be edited in place.",
            "Write it as key: value lines, each on its own, and run this again.",
        )
    return file.encode(result)


def _replace(text: str, wanted: Replacement) -> tuple[int, int, str]:
    """Find the characters of a scalar between its quotes, after its anchor, tag and header."""
    node, value = wanted.node, wanted.value
    if not node.style:
        quote = _quote(value, wanted.quote)
        gap = "" if node.value or text[node.end - 1].isspace() else " "
        return node.end - len(node.value), node.end, f"{gap}{quote}{value}{quote}"
    if node.style in "'\"":
        return text.rindex(node.style, node.start, node.end - 1) + 1, node.end - 1, value
    line = re.compile(rf"[\r\n\x85\u2028\u2029] *({re.escape(node.value.strip())})")
    spans = [each.span(1) for each in line.finditer(text, node.start, node.end)]
    return (*spans[-1], value) if spans else (node.end, node.end, value)


def _quote(value: str, preferred: str) -> str:
    """Choose the quotes of a text; without any, YAML would read some as another type."""
    return preferred or ("" if _TEXT.fullmatch(value) else '"')


def _insert(text: str, wanted: Insertion) -> tuple[int, int, str]:
    key, mark = wanted.key, wanted.key.style
    pairs = []
    for name, value in wanted.pairs:
        quote = _quote(value, mark)
        pairs.append(f"{mark}{name}{mark}: {quote}{value}{quote}")
    if wanted.node.style:
        begin = len(text[: key.start].rstrip(" \t"))
        before = list(_BREAK.finditer(text, max(0, begin - 2), begin))
        alone = before and before[-1].end() == begin
        glue = f",{before[-1][0]}{text[begin : key.start]}" if alone else ", "
        return wanted.value.end, wanted.value.end, "".join(f"{glue}{each}" for each in pairs)
    indent = " " * key.column
    # A text in lines of its own ends after the break of its last one.
    end = len(text[: wanted.value.end].rstrip("\r\n"))
    if line_break := _BREAK.search(text, end):
        lines = "".join(f"{indent}{each}{line_break[0]}" for each in pairs)
        return line_break.end(), line_break.end(), lines
    last = [each[0] for each in _BREAK.finditer(text)][-1:] or ["\n"]
    return end, end, "".join(f"{last[0]}{indent}{each}" for each in pairs)


def _difference(
    old: str, new: str, values: Mapping[int, str], added: Mapping[int, tuple[tuple[str, str], ...]]
) -> int:
    """Read both texts, and give the line of the old one from which on they differ, or 0."""

    def wanted_events() -> Iterator[tuple[int, object]]:
        for index, event in enumerate(events(old)):
            line = event.start_mark.line + 1
            yield line, _meaning(event, values.get(index))
            for pair in added.get(index, ()):
                yield from ((line, ("ScalarEvent", each, None, None)) for each in pair)

    line = 1
    try:
        # Only the last event of a text ends it, so that none is left over unseen.
        for (line, wanted), event in zip(wanted_events(), events(new), strict=False):
            if wanted != _meaning(event):
                return line
    except yaml.YAMLError:
        return line
    return 0


def _meaning(event: Any, value: str | None = None) -> tuple[object, ...]:
    """What an event says, with another value if one is given."""
    own = getattr(event, "value", None) if value is None else value
    return type(event).__name__, own, getattr(event, "anchor", None), getattr(event, "tag", None)
