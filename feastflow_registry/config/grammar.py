"""The grammar of each input: text in, value out, or a failure that names the rule and the fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TypeVar

from feastflow_registry.config.filter_patterns import compile_pattern, is_literal
from feastflow_registry.model.errors import Failure, Kind, nearest
from feastflow_registry.model.references import RegistryHost, Repository, Tag
from feastflow_registry.model.services import Secret, SmokeTest
from feastflow_registry.model.tag_names import OWNED_LABELS, RESERVED

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
_VARIABLE = re.compile(r"\{[^{}]*\}")
_KNOWN_VARIABLES = ("{version}", "{major}", "{minor}", "{branch}", "{date}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SMOKE_TEST = re.compile(r"([0-9]{1,5})(/[!-~]*)?")
_SPEC = re.compile(r"type=[a-z0-9]+(?:,[a-z0-9_.-]+=[^,\s\"]*)*")
_CREDENTIAL = re.compile(r"token|passw|secret|credential|private|(?:^|_)(?:key|pat|auth)(?:_|$)")


def choice(kind: type[E]) -> Callable[[str], E]:
    """One of the values of an enumeration."""

    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise Failure(
                Kind.INPUT, f"{text[:80]!r} is not known.", nearest(text, list(kind))
            ) from None

    return parse


def flag(given: str | bool) -> bool:
    """``true`` or ``false``; a file may hold the boolean itself."""
    text = str(given).lower()
    if text not in ("true", "false"):
        raise Failure(Kind.INPUT, f"{text[:80]!r} is not a boolean.", "Use true or false.")
    return text == "true"


def number(least: int, most: int) -> Callable[[str | int], int]:
    """A whole number in decimal digits; a file may hold the number itself."""

    def parse(given: str | int) -> int:
        text = str(given)
        if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= most:
            cause = f"{text[:80]!r} is out of range, or not a whole number."
            raise Failure(Kind.INPUT, cause, f"Use a number from {least} to {most}.")
        return int(text)

    return parse


def matching(grammar: re.Pattern[str], what: str, fix: str) -> Callable[[str], str]:
    """Text that a pattern matches as a whole."""

    def parse(text: str) -> str:
        if grammar.fullmatch(text) is None:
            raise Failure(Kind.INPUT, f"{text[:80]!r} is not {what}.", fix)
        return text

    return parse


def split_items(given: str | Iterable[str]) -> tuple[str, ...]:
    """Items separated by commas or line breaks; a file may hold the list itself."""
    pieces = re.split(r"[,\n]", given) if isinstance(given, str) else given
    return tuple(piece.strip() for piece in pieces if piece.strip())


def split_lines(given: str | Iterable[str]) -> tuple[str, ...]:
    """Items that may hold commas, one a line; a file may hold the list itself."""
    pieces = given.splitlines() if isinstance(given, str) else given
    return tuple(piece.strip() for piece in pieces if piece.strip())


def list_of(
    parse: Callable[[str], T], split: Callable[[str | Iterable[str]], tuple[str, ...]] = split_items
) -> Callable[[str | Iterable[str]], tuple[T, ...]]:
    """Items, each of which a parser reads."""
    return lambda given: tuple(parse(item) for item in split(given))


def branches(given: str | Iterable[str]) -> tuple[str, ...]:
    """Patterns of branches, of which the first is a plain name."""
    names = patterns(given)
    if not names or not is_literal(names[0]):
        raise Failure(
            Kind.INPUT,
            "the first branch is the main one, and must be a name without pattern characters.",
            'Write it first, as in "main, release/**".',
        )
    return names


def patterns(given: str | Iterable[str]) -> tuple[str, ...]:
    """Patterns as in ``on.push``."""
    found = split_items(given)
    for pattern in found:
        compile_pattern(pattern.removeprefix("!"))
    return found


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``KEY=value`` lines; the value is everything after the first ``=``."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not key and not equals:
            continue
        if not equals or KEY.fullmatch(key) is None or CONTROL.search(value):
            raise Failure(
                Kind.INPUT,
                f"the line that starts with {key[:40]!r} is not of the form KEY=value.",
                "Write one KEY=value on each line; a key holds letters, digits, '_', '.' and '-'.",
            )
        if key in found:
            raise Failure(Kind.INPUT, f"the key {key[:40]!r} is given twice.", "Remove one.")
        found[key] = value
    return tuple(found.items())


def labels(text: str) -> tuple[tuple[str, str], ...]:
    """``key=value`` lines, without the labels that prove an image's origin."""
    found = pairs(text)
    for key, _ in found:
        if key in OWNED_LABELS:
            raise Failure(
                Kind.INPUT,
                f"the label {key} is what proves an image's origin and is set from the commit.",
                "Remove it.",
            )
    return found


def relative_path(text: str) -> str:
    """Check a relative path by its text alone; links are followed where files can be seen."""
    path = PurePosixPath(text)
    if not text.isprintable() or path.is_absolute() or "://" in text or text.startswith("git@"):
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
                f'the tag "{tag}" is reserved: this program gives '
                f'"{word}{"*" if word.endswith("-") else ""}" its meaning.',
                "Choose another name.",
            )
    return tag


def milestone(text: str) -> Tag | None:
    """A tag that this program does not own, or none."""
    return unreserved(Tag.parse(text)) if text else None


def username(text: str) -> str:
    """A user name that HTTP Basic can carry. RFC 7617."""
    if not text.isascii() or not text.isprintable() or re.search(r"[\s:]", text):
        raise Failure(
            Kind.INPUT,
            "the user name holds a space, a colon, a line break or a character beyond ASCII.",
            "Give the bare name; a secret often ends in a line break that was pasted with it.",
        )
    return text


def repository_path(text: str) -> str:
    """A repository's path or a part of it."""
    return Repository.parse(RegistryHost("docker.io"), text).path


def tag_template(text: str) -> str:
    """A tag with ``{variables}``."""
    for variable in _VARIABLE.findall(text):
        if variable not in _KNOWN_VARIABLES:
            known = ", ".join(_KNOWN_VARIABLES)
            raise Failure(Kind.INPUT, f"{variable[:40]!r} is not known.", f"Use {known}.")
    unreserved(Tag.parse(_VARIABLE.sub("0", text)))
    return text


def secret(text: str) -> Secret:
    """A build secret as buildx writes it: ``id=npm,src=.npmrc`` or ``id=npm,env=NPM_TOKEN``.

    https://docs.docker.com/reference/cli/docker/buildx/build/#secret
    """
    found = dict(each.partition("=")[::2] for each in text.split(","))
    kind = found.pop("type", "")
    name = found.pop("id", "")
    file = found.pop("src", found.pop("source", ""))
    variable = found.pop("env", "")
    if kind == "env" and file:
        file, variable = "", file
    if found or bool(file) == bool(variable) or not NAME.fullmatch(name):
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} is not a build secret.",
            "Write id=NAME,src=FILE or id=NAME,env=VARIABLE; the value itself is never an input.",
        )
    if variable and not KEY.fullmatch(variable):
        raise Failure(Kind.INPUT, f"{variable[:80]!r} is no variable.", "Name it without a $.")
    return Secret(name, relative_path(file) if file else "", variable)


def ssh(text: str) -> str:
    """An SSH agent for the build: ``default``, or a name and its socket or key.

    https://docs.docker.com/reference/cli/docker/buildx/build/#ssh
    """
    name, _, path = text.partition("=")
    if not NAME.fullmatch(name) or not path.isprintable() or "," in path:
        raise Failure(
            Kind.INPUT, f"{text[:80]!r} is not an SSH agent.", "Write default, or NAME=SOCKET."
        )
    return text


def smoke_test(text: str) -> SmokeTest | None:
    """A port and a path, ``3000/health``; nothing, if it is empty."""
    found = _SMOKE_TEST.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 65535:
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} is not a port and a path.",
            "Write the container's port, then the path, as in 3000/ or 8080/health.",
        )
    return SmokeTest(int(found[1]), found[2] or "/")


def cache(text: str) -> str:
    """Where layers are kept between runs: nowhere (empty), ``registry``, or a buildx spec.

    https://docs.docker.com/build/cache/backends/
    """
    if text == "none":
        return ""
    if text != "registry" and not _SPEC.fullmatch(text):
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} is not a cache.",
            "Use none, registry, or what buildx takes, as in type=local,dest=.cache/{service}.",
        )
    return text


def attest(given: str | bool | Iterable[str]) -> tuple[str, ...]:
    """Attestations as buildx takes them: none, provenance and SBOM, or the given ones.

    https://docs.docker.com/build/metadata/attestations/
    """
    specs = split_lines(str(given) if isinstance(given, bool) else given)
    if [each.lower() for each in specs] in (["true"], ["false"]):
        return ("type=provenance,mode=min", "type=sbom") if flag(specs[0]) else ()
    for spec in specs:
        if not _SPEC.fullmatch(spec) or not re.match(r"type=(?:provenance|sbom)\b", spec):
            raise Failure(
                Kind.INPUT,
                f"{spec[:80]!r} is not an attestation.",
                "Use true, false, or one buildx spec a line, such as type=provenance,mode=max.",
            )
    return specs


def is_host(first: str) -> bool:
    """Whether the first part of an image's name is its registry, as Docker decides it."""
    return bool(re.search(r"[.:]", first)) or first == "localhost"


def looks_secret(key: str) -> bool:
    """Whether a build argument is named as a credential would be."""
    return _CREDENTIAL.search(key.lower()) is not None


service_name = matching(NAME, "a service", "A name holds letters, digits, '_', '.' and '-'.")
builder = matching(NAME, "the name of a builder", "See the names in `docker buildx ls`.")
target = matching(NAME, "a build stage", "Name a stage as the Dockerfile does after AS.")
platform = matching(
    _PLATFORM, "a platform", "Write os/architecture[/variant], such as linux/amd64."
)
