"""What a Dockerfile takes from its context, and from contexts with a name.

It is read as far as that needs; the builder alone knows what it means.
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ESCAPE = re.compile(r"\A(?:#.*\n)*?#\s*escape\s*=\s*`", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?[\"']?([A-Za-z_][A-Za-z0-9_.]*)")
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")
_REMOTE = re.compile(r"[a-z]+://|git@")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
"""A stage, or a context; an image may be called so, too."""


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """``sources``: paths and patterns in the context; ``names``: what is copied from, and no stage.

    ``is_template``: whether another program makes the Dockerfile from it.
    """

    sources: tuple[str, ...]
    names: tuple[str, ...]
    has_stages: bool
    is_template: bool


def read(text: str) -> Dockerfile:
    """Read the text of a Dockerfile."""
    sources: dict[str, None] = {}
    names: dict[str, None] = {}
    stages: set[str] = set()
    bases: list[str] = []
    for instruction, rest in instructions(text):
        words = rest.split()
        if instruction == "FROM":
            bases.append(rest)
            stages |= {words[-1].lower()} if words[-2:-1] and words[-2].lower() == "as" else set()
            continue
        for origin, paths in _taken(instruction, rest, words):
            if origin is None:
                sources |= dict.fromkeys(paths)
            elif _NAME.fullmatch(origin) and origin.lower() not in stages:
                names[origin] = None
    is_template = any("{{" in each or "<%" in each for each in bases)
    return Dockerfile(tuple(sources), tuple(names), bool(bases), is_template)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in capitals and what follows, without what here-documents hold."""
    escape = "`" if _ESCAPE.match(text) else "\\"
    lines = iter(text.splitlines())
    begun = ""
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            continue
        if stripped.endswith(escape):
            begun += stripped[:-1] + " "
            continue
        word, *others = (begun + stripped).split(maxsplit=1)
        begun, rest = "", others[0] if others else ""
        yield word.upper(), rest
        for end in _HEREDOC.findall(rest) if word.upper() in _WITH_HEREDOCS else ():
            next((each for each in lines if each.strip() == end), None)


def _taken(
    instruction: str, rest: str, words: Sequence[str]
) -> Iterator[tuple[str | None, list[str]]]:
    """Yield what an instruction takes paths from, where that is not the context, and the paths."""
    flags = [each for each in words if each.startswith("--")]
    if instruction == "RUN":
        for flag in flags:
            if flag.startswith("--mount="):
                fields = [each.partition("=")[::2] for each in flag[8:].split(",")]
                mount = dict(fields)
                path = mount.get("source", mount.get("src", ""))
                if mount.get("type", "bind") == "bind":
                    yield mount.get("from"), [path] if path else []
    elif instruction in ("ADD", "COPY"):
        values = dict(each.partition("=")[::2] for each in flags)
        yield values.get("--from"), [each for each in _sources(rest) if not _REMOTE.match(each)]


def _sources(rest: str) -> list[str]:
    """The paths of ``COPY`` or ``ADD``, without the last, which is where they go."""
    while rest.startswith("--"):
        rest = "".join(rest.split(maxsplit=1)[1:])
    paths = rest.split()
    if rest.startswith("["):
        try:
            paths = [str(each) for each in json.loads(rest)]
        except (ValueError, TypeError):
            paths = []
    return [each for each in paths[:-1] if not each.startswith("<<")]
