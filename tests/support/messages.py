"""Every message of the program that ends a run, or is advice: found in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
N = TypeVar("N", ast.Assign, ast.Call, ast.FunctionDef)
_MOST = 8
"""How many forms of one text are told; of more, none is."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, in each of its forms; what the source does not tell is `…`."""

    file: str
    causes: tuple[str, ...]
    fixes: tuple[str, ...]
    see: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Every sentence of it."""
        return self.causes + self.fixes

    def __str__(self) -> str:
        cause, fix = (" / ".join(each) for each in (self.causes, self.fixes))
        return f"{self.see or '-'} | {self.file} | {cause} | {fix}"


@dataclass(frozen=True, slots=True)
class _Maker:
    """A function that makes a message of its parameters `cause` and `fix`."""

    parameters: Sequence[str]
    causes: Sequence[str] = ("{cause}",)
    fixes: Sequence[str] = ("{fix}",)
    see: str = ""


_FIRST = {"Failure": _Maker(("kind", "cause", "fix")), "Problem": _Maker(("cause", "fix"))}


class _Module:
    """A file of the program, and what each of its nodes is in."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(ROOT).as_posix().partition("/")[2]
        self.nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        self._above: dict[ast.AST, tuple[ast.AST, str]] = {}
        for node in self.nodes:
            for part, value in ast.iter_fields(node):
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, ast.AST):
                        self._above[each] = (node, part)

    def messages(self, makers: Mapping[str, _Maker]) -> Iterator[tuple[Message, ast.Call]]:
        """Yield all of them in their order, with the calls that make them."""
        for call in self._in_order(ast.Call):
            if maker := makers.get(self.local(_name(call.func))):
                given = dict(zip(maker.parameters, call.args, strict=False))
                given |= {each.arg: each.value for each in call.keywords if each.arg}
                found = {name: self.texts(node) for name, node in given.items()}
                causes = _filled("{cause}", maker.causes, found.get("cause", ()))
                fixes = _filled("{fix}", maker.fixes, found.get("fix", ()))
                yield Message(self.name, causes, fixes, found.get("see", [maker.see])[0]), call

    def makers(self, known: Mapping[str, _Maker]) -> Iterator[tuple[str, _Maker]]:
        """Yield the functions that make messages by those that are known to."""
        for message, call in self.messages(known):
            function = next(self._functions(call), None)
            if function and any("{cause}" in each for each in message.causes):
                names = [each.arg for each in function.args.args]
                names = names[names[0] in ("self", "cls") :]
                found = _Maker(names, message.causes, message.fixes, message.see)
                yield self.local(function.name), found

    def local(self, name: str) -> str:
        """The name of a function among those of all files."""
        return f"{self.name} {name}" if name.startswith("_") else name

    def texts(self, node: ast.expr) -> tuple[str, ...]:
        """Every form of a text, as far as the source has it."""
        found = dict.fromkeys(re.sub(r"…+", "…", each) for each in self._texts(node))
        return tuple(found) if 0 < len(found) <= _MOST else ("…",)

    def _texts(self, node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(str(text)):
                yield text
            case ast.JoinedStr():
                yield from map("".join, product(*map(self.texts, node.values)))
            case ast.BinOp(left, ast.Add(), right):
                yield from map("".join, product(self.texts(left), self.texts(right)))
            case ast.FormattedValue(value):
                yield from self.texts(value)
            case _:
                values = self._values(node)
                yield from (text for each in values for text in self.texts(each))
                yield from () if values else "…"

    def _values(self, node: ast.expr) -> Sequence[ast.expr]:
        """What may stand for an expression, as far as this file tells."""
        match node:
            case ast.IfExp():
                return [node.body, node.orelse]
            case ast.BoolOp(ast.Or()):
                return node.values
            case ast.Name():
                return self._assigned(node)
            case ast.Call(ast.Name(name)):
                named = [each for each in self._in_order(ast.FunctionDef) if each.name == name]
                every = [each for function in named for each in ast.walk(function)]
                return [each.value for each in every if isinstance(each, ast.Return) and each.value]
        return []

    def _assigned(self, name: ast.Name) -> list[ast.expr]:
        """What a name may hold where it is used: what it was surely given last, and what since."""
        around, own = list(self._around(name)), next(self._functions(name), None)
        found = _given(own, name.id) if own else []
        for each in self._in_order(ast.Assign):
            [target, *_] = each.targets
            names = [e.id for e in ast.walk(target) if isinstance(e, ast.Name)]
            is_before = name.id in names and each.lineno < name.lineno
            if is_before and next(self._functions(each), own) is own:
                found = [*(() if self._above[each] in around else found), each.value]
        return [each for each in found if ast.unparse(each) != "''"] or found

    def _in_order(self, kind: type[N]) -> list[N]:
        found = [each for each in self.nodes if isinstance(each, kind)]
        return sorted(found, key=lambda each: (each.lineno, each.col_offset))

    def _functions(self, node: ast.AST) -> Iterator[ast.FunctionDef]:
        """What functions a node is in, from the inside out."""
        return (each for each, _ in self._around(node) if isinstance(each, ast.FunctionDef))

    def _around(self, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        """What a node is in, and in which part of that, from the inside out."""
        while node in self._above:
            yield self._above[node]
            node = self._above[node][0]


def _given(function: ast.FunctionDef, name: str) -> list[ast.expr]:
    """What a parameter may be: its default, and what a message is made of."""
    every = function.args
    pairs = [*zip(reversed(every.args), reversed(every.defaults), strict=False)]
    found = [default for each, default in pairs if each.arg == name]
    is_part = name in ("cause", "fix") and "cause" in [each.arg for each in every.args]
    return [*found, ast.Constant(f"{{{name}}}")] if is_part else found


def _filled(place: str, forms: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The forms of a text with what is given for a parameter, and without where nothing is."""
    taking = [each for each in forms if place in each]
    filled = [each.replace(place, text) for each in taking for text in given if text]
    if not filled or "" in given:
        filled += [each for each in forms if each and each not in taking]
    return tuple(filled)


def _name(function: ast.expr) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


@cache
def messages() -> tuple[Message, ...]:
    """All of them, in the order of the files."""
    modules = [_Module(path) for path in sorted((ROOT / "feastflow_registry").rglob("*.py"))]
    makers = dict(_FIRST)
    for _ in range(2):  # Some are made by a function that calls another one.
        makers |= {name: each for module in modules for name, each in module.makers(makers)}
    found = [message for module in modules for message, _ in module.messages(makers)]
    return tuple(dict.fromkeys(e for e in found if e.causes and "{cause}" not in "".join(e.causes)))


def literals() -> list[str]:
    """Every text in the source, in each of its forms; and what runs before the program is there."""
    texts = [(ROOT / "action.yml").read_text(encoding="utf-8")]
    for path in (*(ROOT / "feastflow_registry").rglob("*.py"), *ROOT.glob("*.py")):
        module = _Module(path)
        strings = (e for e in module.nodes if isinstance(e, ast.Constant | ast.JoinedStr))
        texts += [text for each in strings for text in module.texts(each)]
    return texts


def rows() -> dict[str, str]:
    """What the page says of each of its places: the message as it is shown there."""
    page = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r'(?m)^\| <a id="([^"]+)"></a>(.*?) \| ', page))


def listing() -> str:
    """All messages, with the place that says more, if one does."""
    return "".join(f"{each}\n" for each in messages())
