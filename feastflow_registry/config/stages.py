"""On which platforms a Dockerfile runs programs: those need emulation where the machine is another.

What stays in doubt, as a base image that nobody can tell from a stage, counts as running none: the
build itself tells then.
https://docs.docker.com/build/building/multi-platform/#cross-compilation
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from feastflow_registry.config.dockerfile import instructions

_SYNTAX = re.compile(r"\A(?:#.*\n)*?#\s*syntax\s*=\s*(\S+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}$]*))?\})")
_FROM_STAGE = re.compile(r"--from=(.+)|--mount=(?:.*,)?from=([^,]+)")
_TARGET = "$TARGETPLATFORM"
_DOUBT = "$"


@dataclass(slots=True)
class _Stage:
    """``platform``: where its programs run; one of a variable if nobody can tell."""

    name: str
    base: str
    platform: str
    sources: list[str] = field(default_factory=list)
    runs: bool = False


def platforms_run(
    text: str, target: str, arguments: Mapping[str, str], platforms: Sequence[str]
) -> tuple[str, ...]:
    """The platforms whose programs a build for some platforms runs, as far as that is certain.

    ``target``: the stage that is built, the last if it is empty; ``arguments``: the build's.
    """
    syntax = _SYNTAX.match(text)
    if syntax and "docker/dockerfile" not in syntax[1]:
        return ()
    stages = _stages(text, arguments)
    found: dict[str, None] = {}
    for stage in _needed(stages, target):
        if stage.runs:
            found |= dict.fromkeys(platforms if stage.platform == _TARGET else [stage.platform])
    return tuple(each for each in found if _DOUBT not in each)


def _stages(text: str, arguments: Mapping[str, str]) -> list[_Stage]:
    """The stages in their order. Only what stands before the first one has a say in a ``FROM``."""
    stages: list[_Stage] = []
    known: dict[str, str] = {}
    for instruction, rest in instructions(text):
        if instruction == "FROM":
            stages.append(_begin(_expanded(rest, known), stages))
        elif instruction == "ARG" and not stages:
            for name, _, default in (each.partition("=") for each in rest.split()):
                known[name] = arguments.get(name, _expanded(default.strip("\"'"), known))
        elif stages:
            stages[-1].runs |= instruction == "RUN"
            flags = takewhile(lambda word: word.startswith("--"), rest.split())
            matches = filter(None, map(_FROM_STAGE.match, flags))
            stages[-1].sources += [each[1] or each[2] for each in matches]
    return stages


def _begin(rest: str, stages: Sequence[_Stage]) -> _Stage:
    """A stage runs where it is told, else where the one that it continues does."""
    words = rest.split()
    flags = dict(each.partition("=")[::2] for each in words if each.startswith("--"))
    base, *others = [each for each in words if not each.startswith("--")] or [_DOUBT]
    name = others[1].lower() if len(others) > 1 else ""
    before = next((each for each in reversed(stages) if each.name == base.lower()), None)
    platform = flags.get("--platform", before.platform if before else _TARGET)
    if _DOUBT in base and "--platform" not in flags:
        platform = _DOUBT
    return _Stage(name, base.lower(), platform.replace("{", "").replace("}", ""))


def _needed(stages: Sequence[_Stage], target: str) -> Iterator[_Stage]:
    """Yield the stage that is built, and all that it is built from, each once."""
    waiting = [target.lower() or str(len(stages) - 1)]
    seen: set[int] = set()
    while waiting:
        name = waiting.pop()
        for number, stage in enumerate(stages):
            if name in (stage.name, str(number)) and number not in seen:
                seen.add(number)
                waiting += [stage.base, *(each.lower() for each in stage.sources)]
                yield stage


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """A text with the values of its variables, where they are known."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return known.get(name) or found[3] or found[0]

    return _VARIABLE.sub(value, text)
