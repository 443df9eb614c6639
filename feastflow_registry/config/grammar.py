"""The grammar of each input: text in, value out, or a failure that names the rule and the fix.

A parser of numbers, booleans or lists also takes what YAML makes of them in a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TypeVar

from feastflow_registry.config.filter_patterns import is_literal, parse_pattern
from feastflow_registry.model.errors import Failure, Kind, nearest
from feastflow_registry.model.references import (
    HUB,
    NO_NAMESPACE,
    RegistryHost,
    Repository,
    Tag,
)
from feastflow_registry.model.registries import kind_of
from feastflow_registry.model.services import SERVICE_PLACEHOLDER, Secret, SmokeTest, output_parts
from feastflow_registry.model.source import is_name
from feastflow_registry.model.tag_names import OF_OTHER_TOOLS, OWNED_LABELS, RESERVED

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
TextOrList = str | Iterable[str]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_RUNNERS = ("ACTIONS_", "GITHUB_", "RUNNER_", "INPUT_")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LONGEST_NAME = 255
"""Bytes that file systems take as the name of a file or a branch."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TEMPLATE_VARIABLE = re.compile(r"\{[^{}]*\}")
_VARIABLES = ("version", "major", "minor", "branch", "date", "timestamp", "sha", "run")
_SMOKE_TEST = re.compile(r"([0-9]{1,5})(/[!-~]*)?")
_CREDENTIALS = re.compile(r"//[^/]*@")
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
"""https://pkg.go.dev/github.com/distribution/reference"""
_SPEC = re.compile(r"type=[a-z0-9]+(?:,[a-z0-9_.-]+=[^,\s\"]*)*")
_CACHES = ("registry", "inline", "local", "gha", "s3", "azblob")
_CREDENTIAL = re.compile(r"token|passw|secret|credential|private|(?:^|_)(?:key|pat|auth)(?:_|$)")


def refusal(text: str, cause: str, fix: str) -> Failure:
    """Bad input: the text, shortened as it may be a whole file, and what is wrong with it."""
    return Failure(Kind.INPUT, f"{text[:80]!r} {cause}", fix)


def choice(kind: type[E]) -> Callable[[str], E]:
    """One of the values of an enumeration."""

    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise refusal(text, "is not known.", nearest(text, list(kind))) from None

    return parse


def flag(given: str | bool) -> bool:
    """``true`` or ``false``."""
    text = str(given).lower()
    if text not in ("true", "false"):
        raise refusal(text, "is not a boolean.", "Use true or false.")
    return text == "true"


def number(least: int, most: int) -> Callable[[str | int], int]:
    """A whole number in decimal digits."""

    def parse(given: str | int) -> int:
        text = str(given)
        if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= most:
            cause = "is out of range, or not a whole number."
            raise refusal(text, cause, f"Use a number from {least} to {most}.")
        return int(text)

    return parse


def matching(grammar: re.Pattern[str], what: str, fix: str) -> Callable[[str], str]:
    """Text that a pattern matches as a whole."""

    def parse(text: str) -> str:
        if grammar.fullmatch(text) is None:
            raise refusal(text, f"is not {what}.", fix)
        return text

    return parse


def split_items(given: TextOrList) -> tuple[str, ...]:
    """Items separated by commas or line breaks."""
    return tuple(
        item.strip() for line in split_lines(given) for item in line.split(",") if item.strip()
    )


def split_lines(given: TextOrList) -> tuple[str, ...]:
    """Items that may hold commas, one a line."""
    text = given if isinstance(given, str) else "\n".join(given)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def list_of(
    parse: Callable[[str], T], split: Callable[[TextOrList], tuple[str, ...]] = split_items
) -> Callable[[TextOrList], tuple[T, ...]]:
    """Items, each of which a parser reads."""
    return lambda given: tuple(parse(item) for item in split(given))


def patterns(given: TextOrList) -> tuple[str, ...]:
    """Patterns as in ``on.push``."""
    items = split_items(given)
    for pattern in items:
        parse_pattern(pattern.removeprefix("!"))
    return items


def branches(given: TextOrList) -> tuple[str, ...]:
    """Patterns of branches, of which the first is a plain name."""
    items = patterns(given)
    if not items or not is_literal(items[0]):
        cause = "the first branch is the main one, and must be a name without pattern characters."
        raise Failure(Kind.INPUT, cause, 'Write it first, as in "main, release/**".')
    return items


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``KEY=value`` lines; the value is everything after the first ``=``."""
    values: dict[str, str] = {}
    for line in split_lines(text):
        key, equals, value = line.partition("=")
        if not equals or KEY.fullmatch(key) is None or CONTROL.search(value):
            cause = f"the line that starts with {key[:40]!r} is not of the form KEY=value."
            fix = "Write one KEY=value on each line; a key holds letters, digits, '_', '.' and '-'."
            raise Failure(Kind.INPUT, cause, fix)
        if key in values:
            raise given_twice(key)
        values[key] = value
    return tuple(values.items())


def given_twice(key: str) -> Failure:
    """Refuse a key that is there twice."""
    return Failure(Kind.INPUT, f"the key {key[:40]!r} is given twice.", "Remove one.")


def entries(
    given: object, separators: str, split: Callable[[TextOrList], tuple[str, ...]]
) -> Iterator[tuple[str, object]]:
    """Yield names with their values, from a text or a list of texts, or from a mapping of a file.

    ``separators``: the characters of which the first in a text ends the name.
    """
    if isinstance(given, Mapping):
        yield from ((str(key), value) for key, value in given.items())
        return
    items = split(given) if isinstance(given, str) else given
    for item in items if isinstance(items, list | tuple) else [""]:
        found = re.fullmatch(rf"([^{separators}]+)[{separators}](.*)", str(item), re.DOTALL)
        if not found or not isinstance(item, str):
            shown = f"NAME{separators[0]}VALUE"
            cause = f"is not of the form {shown}."
            raise refusal(str(item), cause, f"Write {shown}, one a line.")
        yield found[1].strip(), found[2].strip(" \t")


def labels(text: str) -> tuple[tuple[str, str], ...]:
    """``key=value`` lines, without the labels that prove an image's origin."""
    given = pairs(text)
    for key, _ in given:
        if key in OWNED_LABELS:
            cause = f"the label {key} proves where an image comes from, and this program sets it."
            raise Failure(Kind.INPUT, cause, "Remove it.")
    return given


def other_name(text: str) -> str:
    """A name that this repository had: ``owner/name`` on the same host, or a whole address."""
    if not is_name(text):
        fix = "Write it as owner/name, or with its host as in https://github.com/owner/name."
        raise refusal(text, "names no repository.", fix)
    return text


def relative_path(text: str) -> str:
    """Check a relative path by its text alone; links are followed where files can be seen.

    With a colon, or an ``@`` in front, a builder may take it for an address.
    """
    path = PurePosixPath(text)
    long = any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in path.parts)
    if not text.isprintable() or path.is_absolute() or ":" in text or long or text[:4] == "git@":
        fix = "Give a path inside the repository, relative to its top folder, without a colon."
        raise refusal(text, "is not a relative path.", fix)
    return str(path)


def context(text: str) -> str:
    """The folder that an image is built from, which is never an address."""
    if re.match(r"[A-Za-z0-9+.-]+://|git@|github\.com/", text):
        cause = "is an address: what is published is built from the commit that is checked out."
        fix = "Check it out by actions/checkout, and name the folder."
        raise refusal(_CREDENTIALS.sub("//", text), cause, fix)
    return relative_path(text)


def folder_below(text: str) -> str:
    """A folder of the workspace, or of one of its folders."""
    path = relative_path(text)
    if ".." in PurePosixPath(path).parts:
        raise refusal(text, "leads out of the workspace.", "Give a folder inside it.")
    return path


def insecure_registry(text: str) -> RegistryHost:
    """A registry that is spoken with over plain HTTP."""
    host = RegistryHost.parse(text)
    name = host.name.partition(":")[0]
    is_hubs = name.endswith((".docker.io", ".docker.com"))
    if kind_of(host).hosts or is_hubs:
        whose = "Docker Hub" if is_hubs else kind_of(host).name
        cause = f"is {whose}, which is never spoken with over plain HTTP."
        raise refusal(text, cause, "Remove it.")
    return replace(host, insecure=True)


def unreserved(tag: Tag) -> Tag:
    """Refuse a tag whose meaning this program owns, or another tool."""
    for name in RESERVED:
        if tag.value == name or (name.endswith("-") and tag.value.startswith(name)):
            shown = f"{name}*" if name.endswith("-") else name
            cause = f'the tag "{tag}" is reserved: this program gives "{shown}" its meaning.'
            raise Failure(Kind.INPUT, cause, "Choose another name.")
    if OF_OTHER_TOOLS.fullmatch(tag.value):
        cause = f'the tag "{tag}" is reserved for signatures and what else belongs to an image.'
        raise Failure(Kind.INPUT, cause, "Choose another name.")
    return tag


def milestone(text: str) -> Tag:
    """A tag that this program does not own."""
    return unreserved(Tag.parse(text))


def username(text: str) -> str:
    """A user name that HTTP Basic can carry. RFC 7617."""
    if not text.isascii() or not text.isprintable() or re.search(r"[\s:]", text):
        raise Failure(
            Kind.INPUT,
            "the user name holds a space, a colon, a line break or a character beyond ASCII.",
            "Give the bare name; a secret often ends in a line break that was pasted with it.",
        )
    return text


def namespace(text: str) -> str:
    """What stands before the name of every repository, if anything does."""
    return text if text == NO_NAMESPACE else repository_path(text)


def repository_path(text: str) -> str:
    """A repository's path or a part of it."""
    return Repository.parse(HUB, text).path


def tag_template(text: str) -> str:
    """A tag with ``{variables}``."""
    for variable in _TEMPLATE_VARIABLE.findall(text):
        if variable[1:-1] not in _VARIABLES:
            known = ", ".join(f"{{{name}}}" for name in _VARIABLES)
            raise refusal(variable, "is not known.", f"Use {known}.")
    unreserved(Tag.parse(_TEMPLATE_VARIABLE.sub("0", text)))
    return text


def secret(text: str) -> Secret:
    """A build secret as buildx writes it: ``id=npm,src=.npmrc`` or ``id=npm,env=NPM_TOKEN``.

    https://docs.docker.com/reference/cli/docker/buildx/build/#secret
    """
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    kind = parts.pop("type", "")
    name = parts.pop("id", "")
    file = parts.pop("src", parts.pop("source", ""))
    variable = parts.pop("env", "")
    if kind == "env" and file:
        file, variable = "", file
    if parts or bool(file) == bool(variable) or not NAME.fullmatch(name):
        fix = "Write id=NAME,src=FILE or id=NAME,env=VARIABLE; the value itself is never an input."
        raise refusal(text, "is not a build secret.", fix)
    if variable and not KEY.fullmatch(variable):
        raise refusal(
            variable, "is not the name of a variable.", "Write the name alone, without a $."
        )
    return Secret(name, relative_path(file) if file else "", variable)


def offered(text: str) -> str:
    """A variable that builds may be given: never one of the runner's own.

    https://docs.github.com/en/actions/reference/workflows-and-actions/variables
    """
    if not KEY.fullmatch(text):
        raise refusal(text, "is not the name of a variable.", "Write the name alone, without a $.")
    if is_runners(text):
        fix = f"Set another one in the step's env: MY_TOKEN: ${{{{ env.{text} }}}}, say."
        raise refusal(text, "is a variable of the runner itself, which no build may have.", fix)
    return text


def is_runners(variable: str) -> bool:
    """Whether a variable is one of the runner's own."""
    return variable.upper().startswith(_RUNNERS)


def ssh(text: str) -> str:
    """An SSH agent for the build: ``default``, or a name and its socket or key.

    https://docs.docker.com/reference/cli/docker/buildx/build/#ssh
    """
    name, _, path = text.partition("=")
    if not NAME.fullmatch(name) or not path.isprintable() or "," in path:
        raise refusal(text, "is not an SSH agent.", "Write default, or NAME=SOCKET.")
    return text


def smoke_test(text: str) -> SmokeTest:
    """A port and a path, ``3000/health``."""
    parts = _SMOKE_TEST.fullmatch(text)
    if not parts or not 1 <= int(parts[1]) <= 65535:
        fix = "Write the container's port, then the path, as in 3000/ or 8080/health."
        raise refusal(text, "is not a port and a path.", fix)
    return SmokeTest(int(parts[1]), parts[2] or "/")


def cache(text: str) -> str:
    """Where layers are kept: nowhere (empty), ``registry``, ``inline``, ``gha``, or a buildx spec.

    https://docs.docker.com/build/cache/backends/
    """
    if text == "none":
        return ""
    if text in ("registry", "inline", "gha"):
        return text
    fix = (
        "Use none, registry, inline, gha, or what buildx takes, as in "
        "type=local,dest=.cache/{service}."
    )
    if not _SPEC.fullmatch(text):
        raise refusal(text, "is not a cache.", fix)
    return _checked_cache(text, ("src", "dest"), fix)


def cache_source(text: str) -> str:
    """Where layers are looked for: a buildx spec, or the name of an image.

    https://docs.docker.com/reference/cli/docker/buildx/build/#cache-from
    """
    return _cache_spec(text, "src")


def cache_target(text: str) -> str:
    """Where layers are left: a buildx spec, or the name of an image.

    https://docs.docker.com/reference/cli/docker/buildx/build/#cache-to
    """
    return _cache_spec(text, "dest")


def _cache_spec(text: str, path: str) -> str:
    fix = f"Write an image, or what buildx takes, as in type=local,{path}=.cache/{{service}}."
    if _IMAGE.fullmatch(text.replace(SERVICE_PLACEHOLDER, "x")):
        text = f"type=registry,ref={text}"
    if not _SPEC.fullmatch(text):
        raise refusal(text, "is not a cache.", fix)
    return _checked_cache(text, (path,), fix)


def _checked_cache(text: str, paths: tuple[str, ...], fix: str) -> str:
    """Refuse what no build would begin with. ``paths``: which of them a local one may have."""
    parts = output_parts(text)
    if parts["type"] not in _CACHES:
        raise refusal(parts["type"], "is not a type of cache.", nearest(parts["type"], _CACHES))
    if parts["type"] == "registry":
        image = parts.get("ref", "").replace(SERVICE_PLACEHOLDER, "x")
        if not _IMAGE.fullmatch(image):
            raise refusal(text, "names no image.", fix)
    if parts["type"] == "local" and not any(parts.get(each) for each in paths):
        raise refusal(text, "names no folder.", fix)
    return text


def attest(given: TextOrList | bool) -> tuple[str, ...]:
    """Attestations as buildx takes them: none, provenance and SBOM, or the given ones.

    https://docs.docker.com/build/metadata/attestations/
    """
    if isinstance(given, bool) or (isinstance(given, str) and given.lower() in ("true", "false")):
        return ("type=provenance,mode=min", "type=sbom") if flag(given) else ()
    specs = split_lines(given)
    for spec in specs:
        if not _SPEC.fullmatch(spec) or not re.match(r"type=(?:provenance|sbom)\b", spec):
            fix = "Use true, false, or one buildx spec a line, such as type=provenance,mode=max."
            raise refusal(spec, "is not an attestation.", fix)
    return specs


def looks_secret(key: str) -> bool:
    """Whether a build argument is named as a credential would be."""
    return _CREDENTIAL.search(key.lower()) is not None


service_name = matching(NAME, "a service", "A name holds letters, digits, '_', '.' and '-'.")
builder = matching(NAME, "the name of a builder", "See the names in `docker buildx ls`.")
target = matching(NAME, "a build stage", "Name a stage as the Dockerfile does after AS.")
buildkit_image = matching(
    _IMAGE, "an image", "Write [host/]repository[:tag][@sha256:digest], as `docker pull` takes it."
)
