"""What the user asked for: every input, checked before anything is sent.

It decides the grammar of each input and reports all problems at once, each naming the input,
the rule and the fix. It never sees the registry token, and pydantic never prints a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from feastflow_registry.errors import Failure, Kind, Problem, nearest
from feastflow_registry.patterns import compile_pattern, is_literal
from feastflow_registry.references import RegistryHost, Repository, Tag

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
RESERVED = ("latest", "commit-", "withdrawn-", "frozen-")
OWNED_LABELS = ("org.opencontainers.image.revision", "org.opencontainers.image.source")
_VARIABLE = re.compile(r"\{[^{}]*\}")
_KNOWN_VARIABLES = ("{version}", "{major}", "{minor}", "{branch}", "{date}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Command(StrEnum):
    """The one vocabulary of the action's ``command`` and the program's subcommands."""

    PUBLISH = "publish"
    BUILD = "build"
    PUSH = "push"
    DOCTOR = "doctor"


class Latest(StrEnum):
    """How ``latest`` moves."""

    FORWARD = "forward"
    FORCE = "force"
    NEVER = "never"


class Reuse(StrEnum):
    """What is not built again."""

    COMMIT = "commit"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Service:
    """One image to build: where its files are (relative to the workspace), where it goes."""

    name: str
    repository: Repository
    context: str = "."
    dockerfile: str = "Dockerfile"
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()
    platforms: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def _wrong(cause: str, fix: str) -> PydanticCustomError:
    escaped = {"cause": cause, "fix": fix}
    return PydanticCustomError("input", "{cause} {fix}", escaped)


def _parsed(parse: Callable[[str], T]) -> PlainValidator:
    """Turn a parser that raises a failure into one that pydantic can collect."""

    def validate(text: object) -> T:
        try:
            return parse(str(text))
        except Failure as failure:
            raise _wrong(failure.problems[0].cause, failure.problems[0].fix) from None

    return PlainValidator(validate)


def _word(kind: type[E]) -> Callable[[str], E]:
    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise Failure(
                Kind.INPUT, f"{text[:80]!r} is not known.", nearest(text, list(kind))
            ) from None

    return parse


def _flag(text: str) -> bool:
    known = {"true": True, "false": False}
    if text.lower() not in known:
        raise Failure(Kind.INPUT, f"{text[:80]!r} is not a boolean.", "Use true or false.")
    return known[text.lower()]


def _matching(grammar: re.Pattern[str], what: str, fix: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if grammar.fullmatch(text) is None:
            raise Failure(Kind.INPUT, f"{text[:80]!r} is not {what}.", fix)
        return text

    return parse


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in re.split(r"[,\n]", text) if item.strip())


def _each(parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    return lambda text: tuple(parse(item) for item in _items(text))


def _branches(text: str) -> tuple[str, ...]:
    found = _patterns(text)
    if not found or not is_literal(found[0]):
        raise Failure(
            Kind.INPUT,
            "the first branch is the main one, and must be a name without pattern characters.",
            'Write it first, as in "main, release/**".',
        )
    return found


def _patterns(text: str) -> tuple[str, ...]:
    found = _items(text)
    for pattern in found:
        compile_pattern(pattern.removeprefix("!"))
    return found


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``KEY=value`` lines; the value is everything after the first ``=``."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not key and not equals:
            continue
        if not equals or _KEY.fullmatch(key) is None or _CONTROL.search(value):
            raise Failure(
                Kind.INPUT,
                f"the line that starts with {key[:40]!r} is not of the form KEY=value.",
                "Write one KEY=value on each line; a key holds letters, digits, '_', '.' and '-'.",
            )
        if key in found:
            raise Failure(Kind.INPUT, f"the key {key[:40]!r} is given twice.", "Remove one.")
        found[key] = value
    return tuple(found.items())


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    found = _pairs(text)
    for key, _ in found:
        if key in OWNED_LABELS:
            raise Failure(
                Kind.INPUT,
                f"the label {key} is what proves an image's origin and is set from the commit.",
                "Remove it.",
            )
    return found


def _inside(text: str) -> str:
    """Check a relative path by its text alone; links are followed where files can be seen."""
    path = PurePosixPath(text)
    if _CONTROL.search(text) or path.is_absolute() or "://" in text or text.startswith("git@"):
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} is not a relative path.",
            "Give a path inside the repository, relative to its top folder.",
        )
    return str(path)


def unreserved(tag: Tag) -> Tag:
    """Refuse a tag whose meaning this program owns."""
    for word in RESERVED:
        if tag.value == word or (word.endswith("-") and tag.value.startswith(word)):
            raise Failure(
                Kind.INPUT,
                f'the tag "{tag}" is reserved: "{word}{"*" if word.endswith("-") else ""}" '
                "has a meaning of its own.",
                "Choose another name.",
            )
    return tag


def _milestone(text: str) -> Tag | None:
    return unreserved(Tag.parse(text)) if text else None


def _username(text: str) -> str:
    if not text.isascii() or not text.isprintable() or re.search(r"[\s:]", text):
        raise Failure(
            Kind.INPUT,
            "the user name holds a space, a colon, a line break or a character beyond ASCII.",
            "Give the bare name; a secret often ends in a line break that was pasted with it.",
        )
    return text


def _path(text: str) -> str:
    return Repository.parse(RegistryHost("docker.io"), text).path


def _template(text: str) -> str:
    for variable in _VARIABLE.findall(text):
        if variable not in _KNOWN_VARIABLES:
            known = ", ".join(_KNOWN_VARIABLES)
            raise Failure(Kind.INPUT, f"{variable[:40]!r} is not known.", f"Use {known}.")
    unreserved(Tag.parse(_VARIABLE.sub("0", text)))
    return text


def _sha_length(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 7 <= int(text[:3]) <= 40:
        raise Failure(Kind.INPUT, f"{text[:80]!r} is not a length.", "Use a number from 7 to 40.")
    return int(text)


Words = Annotated[tuple[str, ...], _parsed(_patterns)]
Pairs = tuple[tuple[str, str], ...]
_builder = _matching(_NAME, "the name of a builder", "See the names in `docker buildx ls`.")
_target = _matching(_NAME, "a build stage", "Name a stage as the Dockerfile does after AS.")
_platform = _matching(
    _PLATFORM, "a platform", "Write os/architecture[/variant], such as linux/amd64."
)


class Settings(BaseModel):
    """Every input of ``action.yml`` but the two secrets, typed; the descriptions are the manual."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    command: Annotated[Command, _parsed(_word(Command))] = Field(
        Command.PUBLISH, description="What to do: publish, build, push or doctor."
    )
    registry: Annotated[RegistryHost, _parsed(RegistryHost.parse)] = Field(
        RegistryHost("docker.io"),
        description="The registry, as host[:port]. Plain HTTP only on this machine.",
    )
    username: Annotated[str, _parsed(_username)] = Field(
        "", description="The registry's user. Empty where nothing is pushed."
    )
    namespace: Annotated[str, _parsed(_path)] = Field(
        "", description="The owner of the repositories. Default: username."
    )
    image: Annotated[str, _parsed(_path)] = Field(
        "", description="The image's name. Default: the repository's name."
    )
    context: Annotated[str, _parsed(_inside)] = Field(
        ".", description="The build context, relative to the top of the repository."
    )
    dockerfile: Annotated[str, _parsed(_inside)] = Field(
        "Dockerfile", description="The Dockerfile, relative to the context."
    )
    target: Annotated[str, _parsed(_target)] = Field("", description="The stage to build.")
    build_args: Annotated[Pairs, _parsed(_pairs)] = Field(
        (), description="Build arguments, one KEY=value a line. Never a secret."
    )
    platforms: Annotated[tuple[str, ...], _parsed(_each(_platform))] = Field(
        (), description="Platforms, such as linux/amd64,linux/arm64. Default: the builder's own."
    )
    labels: Annotated[Pairs, _parsed(_labels)] = Field(
        (), description="More image labels, one key=value a line."
    )
    branches: Annotated[tuple[str, ...], _parsed(_branches)] = Field(
        ("main",),
        description="Branches that may push, the main one first; patterns as in on.push.branches.",
    )
    git_tags: Words = Field(
        ("*",), description="Git tags that may push; patterns as in on.push.tags."
    )
    milestone: Annotated[Tag | None, _parsed(_milestone)] = Field(
        None, description="A tag such as sprint3 that follows the main branch until it is tagged."
    )
    latest: Annotated[Latest, _parsed(_word(Latest))] = Field(
        Latest.FORWARD, description="How latest moves: forward, force or never."
    )
    extra_tags: Annotated[tuple[str, ...], _parsed(_each(_template))] = Field(
        (), description="More tags: names, {version}, {major}, {minor}, {branch}, {date}."
    )
    shared_tags: Annotated[bool, _parsed(_flag)] = Field(
        True, description="Whether tags other than the commit tag move at all."
    )
    sha_length: Annotated[int, _parsed(_sha_length)] = Field(
        7, description="How many digits of the commit its tag has."
    )
    reuse: Annotated[Reuse, _parsed(_word(Reuse))] = Field(
        Reuse.COMMIT,
        description="commit: build nothing that this commit published; never: always build.",
    )
    builder: Annotated[str, _parsed(_builder)] = Field(
        "", description="The buildx builder. Default: the current one."
    )
    dry_run: Annotated[bool, _parsed(_flag)] = Field(
        False, description="Stop after printing the plan."
    )

    @property
    def main(self) -> str:
        """The branch from which shared tags move."""
        return self.branches[0]

    def service(self, *, namespace: str, image: str) -> Service:
        """The one service that the inputs describe, with defaults for what they leave out."""
        name = self.image or image.lower()
        path = f"{self.namespace or namespace}/{name}"
        return Service(
            name=name.rpartition("/")[2],
            repository=Repository.parse(self.registry, path),
            context=self.context,
            dockerfile=self.dockerfile,
            target=self.target,
            args=self.build_args,
            platforms=self.platforms,
            labels=self.labels,
        )


def option(name: str) -> str:
    """Spell a setting as an input and an option: ``build_args`` is ``build-args``."""
    return name.replace("_", "-")


def parse(inputs: Mapping[str, str]) -> Settings:
    """Check all inputs. Raises one input failure with every problem. Empty means default."""
    given = {key.replace("-", "_"): value for key, value in inputs.items() if value.strip()}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        problems = [_problem(each["loc"], each) for each in error.errors(include_input=False)]
    raise Failure.of(Kind.INPUT, problems)


def _problem(location: tuple[int | str, ...], error: Mapping[str, object]) -> Problem:
    name = option(str(location[0]))
    context = error.get("ctx")
    if isinstance(context, dict) and "fix" in context:
        return Problem(f'input "{name}": {context["cause"]}', str(context["fix"]))
    known = [option(field) for field in Settings.model_fields]
    return Problem(f'"{name}" is not an input of this action.', nearest(name, known))
