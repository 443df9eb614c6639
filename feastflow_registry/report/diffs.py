"""What a change of a file looks like: a unified diff that is safe to print.

Nothing in a file can command a terminal or a runner: every line has a mark before it, and what is
not printable is spelled out.
https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby

_CONTEXT = 3
_UNFINISHED = "\\ No newline at end of file"

Block = tuple[int, int, int, int]
"""Lines that differ: where they begin and end in the old text, and in the new one."""


def unified(name: str, before: bytes, after: bytes) -> str:
    """Compare two texts in UTF-8; nothing, if they are the same."""
    old, new = _lines(before), _lines(after)
    blocks = _blocks(old, new)
    if not blocks:
        return ""
    lines = [f"--- a/{_shown(name)}", f"+++ b/{_shown(name)}"]
    for hunk in _hunks(blocks):
        lines += _write(old, new, hunk)
    return "".join(f"{line}\n" for line in lines)


def _blocks(old: Sequence[str], new: Sequence[str]) -> list[Block]:
    if len(old) != len(new):
        codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        return [(i, j, k, m) for tag, i, j, k, m in codes if tag != "equal"]
    # Most edits keep every line in its place; difflib takes minutes for thousands of them.
    found: list[Block] = []
    pairs = enumerate(zip(old, new, strict=True))
    for differs, run in groupby(pairs, key=lambda each: each[1][0] != each[1][1]):
        places = [place for place, _ in run] if differs else []
        found += [(places[0], places[-1] + 1, places[0], places[-1] + 1)] if places else []
    return found


def _hunks(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Put together what is so close that its context would overlap."""
    hunk = [blocks[0]]
    for block in blocks[1:]:
        if block[0] - hunk[-1][1] > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(block)
    yield hunk


def _write(old: Sequence[str], new: Sequence[str], hunk: Sequence[Block]) -> Iterator[str]:
    begin = max(0, hunk[0][0] - _CONTEXT)
    end = min(len(old), hunk[-1][1] + _CONTEXT)
    shift, growth = hunk[0][2] - hunk[0][0], hunk[-1][3] - hunk[-1][1]
    yield f"@@ -{begin + 1},{end - begin} +{begin + shift + 1},{end + growth - begin - shift} @@"
    done = begin
    for i, j, k, m in hunk:
        yield from (f" {line}" for line in old[done:i])
        yield from (f"-{line}" for line in old[i:j])
        yield from (f"+{line}" for line in new[k:m])
        done = j
    yield from (f" {line}" for line in old[done:end])


def _lines(content: bytes) -> list[str]:
    *lines, last = content.decode().split("\n")
    lines = [_shown(line.removesuffix("\r")) for line in lines]
    return [*lines, f"{_shown(last)}\n{_UNFINISHED}"] if last else lines


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode()
        for each in text
    )
