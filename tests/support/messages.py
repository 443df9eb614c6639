"""Every message of the program that ends a run, or is advice: found in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
_MADE_BY = {"Failure": (1, 3), "Problem": (0, 2), "refuse": (0, 2), "refusal": (1, 2)}
"""What makes a message, and which of its arguments are its cause and its fix, the latter last."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as its source has it; what differs from case to case is `…`."""

    file: str
    cause: str
    fix: str
    see: str

    def __str__(self) -> str:
        return f"{self.see or '-'} | {self.file} | {self.cause} | {self.fix}"


def messages() -> list[Message]:
    """All of them, in the order of the files."""
    found = []
    for path in sorted((ROOT / "feastflow_registry").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(ROOT / "feastflow_registry").as_posix()
        calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
        for call in sorted(calls, key=lambda each: (each.lineno, each.col_offset)):
            found += list(_read(call, name))
    return found


def _read(call: ast.Call, file: str) -> Iterator[Message]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    first, last = _MADE_BY.get(name, (0, 0))
    texts = [_text(each) for each in call.args[first : last + 1]]
    if last and len(call.args) > first:
        see = next((_text(each.value) for each in call.keywords if each.arg == "see"), "")
        yield Message(file, texts[0], texts[1] if len(texts) > 1 else "", see)


def _text(node: ast.expr) -> str:
    """A text as far as the source has it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return re.sub(r"…+", "…", "".join(_text(each) for each in node.values))
    return "…"


def literals() -> list[str]:
    """Every text in the source, as `_text` has it; and what runs before the program is there."""
    texts = [(ROOT / "action.yml").read_text(encoding="utf-8")]
    for path in (*(ROOT / "feastflow_registry").rglob("*.py"), *ROOT.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = (
            each for each in ast.walk(tree) if isinstance(each, ast.Constant | ast.JoinedStr)
        )
        texts += [_text(each) for each in strings]
    return texts


def rows() -> dict[str, str]:
    """What the page says of each of its places: the message as it is shown there."""
    page = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r'(?m)^\| <a id="([^"]+)"></a>(.*?) \| ', page))


def listing() -> str:
    """All messages, with the place that says more, if one does."""
    return "".join(f"{each}\n" for each in messages())
