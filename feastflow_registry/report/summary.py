"""The one form of every job summary: what is true now, a table, what to do next, details. Pure.

Names of branches, commits and repositories come from anywhere. Whatever is no ``Markup`` is escaped
where it is shown, so that none of them can break a table, make a link or call somebody.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from feastflow_registry.model.references import Commit, Repository, Tag
from feastflow_registry.model.wording import printable

_MOST_BYTES = 900_000
"""Of the 1 MiB that GitHub shows of a step: the rest is for what other steps write there."""
_WORD = re.compile(r"[a-z]+[,.:;]?(?: |$)")
_NO_LABEL = re.compile(r"[^A-Za-z0-9 .,_:/-]")
EMPTY = "–"  # noqa: RUF001  It is meant: no cell is empty.


class Markup(str):
    """A text that is Markdown already, made by the functions below."""

    __slots__ = ()


def cell(text: str) -> Markup:
    """Make a text safe inside a Markdown table: no cell, link, tag or line can be forged."""
    if isinstance(text, Markup):
        return text
    escaped = html.escape(printable(text))
    for mark in "|`*_[]\\~@$":
        escaped = escaped.replace(mark, f"&#{ord(mark)};")
    return Markup(escaped.replace("://", "&#58;//").replace("www.", "www&#46;"))


def join(*parts: str, by: str = "") -> Markup:
    """Put texts together, each escaped unless it is Markdown."""
    return Markup(by.join(map(cell, parts)))


def code(text: str) -> Markup:
    """A name, an image or a digest as it is typed; nothing, if it is empty."""
    return Markup(f"<code>{cell(text)}</code>" if text else "")


def bold(text: str) -> Markup:
    """What must not be overlooked."""
    return Markup(f"**{cell(text)}**")


def link(text: str, address: str | None) -> Markup:
    """A text that leads somewhere, if an address is known. The address is one of ours."""
    return Markup(f"[{cell(text)}]({address})" if address else cell(text))


def tag_link(repository: Repository, tag: Tag) -> Markup:
    """A tag, with its page on the registry."""
    return link(code(tag.value), repository.tag_page(tag))


def commit_link(commit: Commit, run_url: str) -> Markup:
    """A commit, with its page on the GitHub where this runs."""
    page = f"{run_url.partition('/actions/runs/')[0]}/commit/{commit.sha}" if run_url else ""
    return link(code(commit.short), page)


def sentence(text: str) -> str:
    """Begin with a capital, unless a name or an address comes first, and end with a point."""
    text = text[:1].upper() + text[1:] if _WORD.match(text) else text
    return text if text.endswith(".") else f"{text}."


def counted(count: int, noun: str) -> str:
    """``1 tag``, ``2 tags``."""
    return f"{count} {noun}{'s'[: count != 1]}"


DRY_RUN = "Dry run, nothing is changed"
NOT_DRY = join("To do it, run this without ", code("dry-run: true"), ".")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; a column that is empty is left out. ``right``: the columns of numbers."""

    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    right: frozenset[str] = frozenset()

    def lines(self, room: int) -> list[str]:
        """As many rows as there is room for, in bytes, and how many there are beyond."""
        used = [name for place, name in enumerate(self.head) if any(r[place] for r in self.rows)]
        places = [place for place, name in enumerate(self.head) if name in used]
        if not used:
            return []
        found = [_row(used), _row(["--:" if name in self.right else "---" for name in used])]
        for done, row in enumerate(self.rows):
            line = _row([self._cell(row, place) or EMPTY for place in places])
            room -= len(line.encode("utf-8", "replace")) + 1
            if room < 0:
                rest = f"and {len(self.rows) - done} more, in the log"
                return [*found, _row([rest, *[EMPTY] * (len(used) - 1)])]
            found.append(line)
        return found

    def _cell(self, row: Sequence[str], place: int) -> str:
        """One cell; a number stays on one line with its unit."""
        text = cell(row[place])
        return text.replace(" ", "&nbsp;") if self.head[place] in self.right else text


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines to copy, or a picture's description, as they are."""

    language: str
    content: Sequence[str]

    def lines(self, _: int) -> list[str]:
        """The lines between their fences, which none of them can close."""
        inside = [printable(each).replace("`", "'") for each in self.content]
        return [f"```{self.language}", *inside, "```"] if inside else []


@dataclass(frozen=True, slots=True)
class Summary:
    """What a job summary says. ``failed``: whether the run did not do what it was to do.

    ``warns``: it did, and something is left bad; ``facts``: what else is true, above the table;
    ``notes``: what the table does not say; ``todo``: what a person has to do next, and ``commands``
    to copy for it; ``details``: folded, by their titles.
    """

    headline: str
    facts: Sequence[str] = ()
    table: Table = field(default_factory=Table)
    notes: Sequence[str] = ()
    todo: Sequence[str] = ()
    commands: Sequence[str] = ()
    details: Mapping[str, Table | Block] = field(default_factory=dict)
    failed: bool = False
    warns: bool = False

    def markdown(self) -> str:
        """The summary as GitHub takes it, cut to what it shows."""
        without = "\n".join(self._lines(0))
        room = _MOST_BYTES - len(without.encode("utf-8", "replace"))
        return "\n".join(self._lines(max(0, room // (1 + len(self.details))))) + "\n\n"

    def _lines(self, room: int) -> Iterator[str]:
        icon = "❌" if self.failed else "⚠️" if self.warns else "✅"
        yield f"### {icon} {cell(self.headline)}"
        yield from _apart(cell(each) for each in self.facts)
        yield from _apart(["\n".join(self.table.lines(room))])
        yield from _apart(["\n".join(f"- {cell(each)}" for each in self.notes)])
        if self.todo or self.commands:
            yield from _apart([bold("What to do next")])
            yield from _apart(["\n".join(f"- {cell(each)}" for each in self.todo)])
            yield from _apart(["\n".join(Block("bash", self.commands).lines(room))])
        for title, body in self.details.items():
            lines = "\n".join(body.lines(room))
            if lines:
                head = f"<details><summary>{cell(title)}</summary>"
                yield from _apart([head, lines, "</details>"])


def _apart(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs that are no empty ones, each after an empty line."""
    for each in filter(None, paragraphs):
        yield f"\n{each}"


def label(text: str) -> str:
    """What a picture's node may be called, whatever the text.

    https://mermaid.js.org/syntax/flowchart.html#special-characters-that-break-syntax
    """
    return f'"{_NO_LABEL.sub("", text)}"'
