"""The command ``init``: a first ``feastflow.yml``, written from the Dockerfiles of a repository.

It decides what a service is called: as the folder of its Dockerfile, or as the nearest folder above
whose name says more than ``app`` or ``src``; where two would be called the same, both get more of
their paths. The context is where the Dockerfile finds what it copies: its own folder, the nearest
above it, or the only other one. Every Dockerfile that git tracks is taken; which of them are
examples, a person knows better. What is guessed or left out, the file says.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePosixPath

from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import dockerfile, file, grammar
from feastflow_registry.config.file import NAME
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Log
from feastflow_registry.model.source import Source
from feastflow_registry.model.wording import printable
from feastflow_registry.report.results import RunReport

SCHEMA = "https://raw.githubusercontent.com/feastflow/registry-action/main/feastflow.schema.json"
_GENERIC = frozenset({"app", "build", "container", "deploy", "docker", "src"})
_LONGEST_NAME = 60
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|\.")
_YAML_WORDS = frozenset({"false", "n", "no", "null", "off", "on", "true", "y", "yes"})
_FILE_NAME = re.compile(
    r"(?:Dockerfile|Containerfile)(?:[.-](.+))?|(.+)\.(?:[Dd]ockerfile|[Cc]ontainerfile)"
    r"|dockerfile|containerfile"
)
_LARGEST = 1024 * 1024
_MOST_PLACES = 100
_MOST_SAID = 20
_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA}
# The services of this repository: look over the names and the contexts, and take out what is not
# to be published. The policy of the action (milestone, reuse, branches) can be said here, too.
"""
_DESCRIBING = (
    *("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"),
    *("docker-bake.hcl", "docker-bake.json"),
)
"""Files that describe services, too: https://docs.docker.com/build/bake/reference/#file-lookup"""


Read = Callable[[str], bytes | None]
"""Reads a file of the repository; nothing, if it is missing. Raises where a link leads out."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A Dockerfile. ``notes``: what has to be said of its service."""

    path: str
    variant: str
    context: str
    contexts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def names(self, repository: str) -> list[str]:
        """What its service may be called, the shortest first; without words, as the repository."""
        parts = [_word(each) for each in (*PurePosixPath(self.path).parent.parts, self.variant)]
        whole = [each for each in parts if each]
        telling = [each for each in whole if each not in _GENERIC] or [repository]
        sizes = range(1, len(telling) + 1)
        return [_word("-".join(each)) for each in (*(telling[-n:] for n in sizes), whole) if each]


@dataclass(slots=True)
class _Tree:
    """The files and folders that git tracks."""

    children: dict[str, dict[str, None]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    known: dict[tuple[str, str], bool] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[str]) -> _Tree:
        """Index paths by their folders and their names."""
        tree = cls()
        for path in paths:
            for each in (path, *map(str, PurePosixPath(path).parents[:-1])):
                folder, name = posixpath.split(each)
                names = tree.children.setdefault(folder or ".", {})
                if name in names:
                    break
                names[name] = None
                tree.places.setdefault(name, []).append(each)
        return tree

    def has(self, folder: str, source: str) -> bool:
        """Whether a context has a path, which may be a pattern as in Go's filepath.Match."""
        key = (folder, source)
        if key not in self.known:
            self.known[key] = self._find(folder, source)
        return self.known[key]

    def _find(self, folder: str, source: str) -> bool:
        heads = [folder]
        for part in _parts(source):
            if part == "**":  # https://docs.docker.com/reference/dockerfile/#copy---parents
                break
            heads = [
                posixpath.normpath(posixpath.join(head, name))
                for head in heads
                for name in self._named(head, part)
            ]
        return bool(heads)

    def _named(self, folder: str, part: str) -> list[str]:
        names = self.children.get(folder, {})
        if not re.search(r"[*?[]", part):
            return [part] if part in names else []
        return [each for each in names if fnmatchcase(each, part)]

    def contexts(self, sources: Sequence[str]) -> list[str]:
        """The folders that have all of some paths, if these are not everywhere."""
        for source in sources:
            parts = _parts(source)
            places = self.places.get(parts[-1], []) if parts else []
            if 0 < len(places) <= _MOST_PLACES:
                tail = "/".join(parts)
                folders = [
                    each[: -len(tail)].rstrip("/") or "."
                    for each in places
                    if f"/{each}".endswith(f"/{tail}")
                ]
                return [each for each in folders if all(self.has(each, one) for one in sources)]
        return []


def _parts(source: str) -> list[str]:
    """The parts of a path; what leads out of a context stays at its top."""
    return [each for each in posixpath.normpath(f"/{source}").split("/") if each]


def run(workspace: LocalWorkspace, log: Log) -> RunReport:
    """Write a first configuration from the Dockerfiles that are tracked."""
    checkout = workspace.checkout("")
    remote = Source.behind(checkout.remotes).url
    name = remote.rpartition("/")[2] or workspace.folder.resolve().name
    text = draft(name, sorted(workspace.tracked()), partial(workspace.read, most=_LARGEST))
    if not workspace.create(NAME, text):
        raise Failure(
            Kind.INPUT,
            f"there is a {NAME} already.",
            "Edit it; or delete it, then run init again.",
        )
    log.say(f"✅ Wrote {NAME}. Look it over, then try: feastflow-registry publish --dry-run")
    branch = checkout.default_branch or "main"
    log.say(f"   Workflows push from {branch} and from git tags: `branches` names other branches.")
    return RunReport(json=json.dumps({"command": "init", "file": NAME}))


def draft(repository: str, paths: Iterable[str], read: Read) -> str:
    """Write the file's text. Raises an input failure where no path is that of a Dockerfile."""
    tracked = sorted(set(paths))
    tree = _Tree.of(tracked)
    left_out: list[str] = []
    found = [each for path in tracked for each in _dockerfiles(path, tree, read, left_out)]
    if not found:
        raise Failure(
            Kind.INPUT,
            "there is no Dockerfile among the files that git tracks.",
            "Write one, `git add` it, and run this again.",
        )
    known = _word(repository.rpartition("/")[2]) or "image"
    single = len(found) == 1 and posixpath.dirname(found[0].path) == ""
    lines = [_HEAD.rstrip("\n")]
    if other := next((each for each in _DESCRIBING if each in tracked), ""):
        lines.append(f"# {other} describes services, too. To take them from there, write instead:")
        lines.append(f"# services-from: {other}")
    lines.append("services:")
    for each, name in zip(found, _names(found, known), strict=True):
        image = known if single or name == known else f"{known}-{name}"
        lines += _described(each, name, image)
    lines += [f"# Left out: {each}." for each in left_out[:_MOST_SAID]]
    if len(left_out) > _MOST_SAID:
        lines.append(f"# Left out, too: {len(left_out) - _MOST_SAID} more.")
    text = "\n".join(lines) + "\n"
    try:
        file.read(NAME, text.encode())
    except Failure:
        cause = f"there are {len(found)} Dockerfiles, more than one {NAME} may describe."
        fix = f"Write a {NAME} with those that are to be published."
        raise Failure(Kind.INPUT, cause, fix) from None
    return text


def _described(found: _Found, name: str, image: str) -> list[str]:
    lines = [f"  {_scalar(name)}:", *(f"    # {each}" for each in found.notes)]
    lines += [f"    image: {_scalar(image)}", f"    context: {_scalar(found.context)}"]
    relative = posixpath.relpath(found.path, found.context)
    if relative != "Dockerfile":
        lines += [f"    dockerfile: {_scalar(relative)}"]
    if found.contexts:
        lines += ["    additional_contexts:"]
        lines += [f"      {_scalar(key)}: {_scalar(value)}" for key, value in found.contexts]
    return lines


def _dockerfiles(path: str, tree: _Tree, read: Read, left_out: list[str]) -> Iterator[_Found]:
    """Yield what a path is, if that is a Dockerfile which a configuration can name."""
    named = _FILE_NAME.fullmatch(posixpath.basename(path))
    if not named or path.endswith(".dockerignore"):
        return
    try:
        grammar.relative_path(path)
        content = read(path) or b""
    except Failure:
        left_out.append(f"{_said(path)}, which no configuration can name or read")
        return
    parsed = dockerfile.read(content.decode("utf-8", "replace"))
    if not parsed.has_stages or parsed.is_template:
        why = "a template" if parsed.is_template else "which has no FROM"
        left_out.append(f"{_said(path)}, {why}")
        return
    folder = posixpath.dirname(path) or "."
    above = [folder, *map(str, PurePosixPath(folder).parents)] if folder != "." else ["."]
    sources = [each for each in parsed.sources if "$" not in each]
    context, missing = _context(above, sources, tree)
    notes = [f"A guess, as git does not track all of it: {_said(missing)}"] if missing else []
    if len(sources) < len(parsed.sources):
        unknown = [each for each in parsed.sources if "$" in each]
        notes.append(f"Only the build knows where this is: {_said(unknown)}")
    places = {
        name: next((each for each in above if name in tree.children.get(each, {})), None)
        for name in parsed.names
    }
    contexts = {
        name: posixpath.normpath(posixpath.join(place, name))
        for name, place in places.items()
        if place
    }
    folders = tuple((name, each) for name, each in contexts.items() if each in tree.children)
    notes += [f"A folder, if {name} is no image: {_said(each)}" for name, each in folders]
    yield _Found(path, named[1] or named[2] or "", context, folders, tuple(notes))


def _context(
    above: Sequence[str], sources: Sequence[str], tree: _Tree
) -> tuple[str, Sequence[str]]:
    """The folder where paths are found, and those that are not. ``above``: the nearest first."""
    missing = {each: [one for one in sources if not tree.has(each, one)] for each in above}
    best = min(above, key=lambda each: len(missing[each]))
    others = tree.contexts(sources) if missing[best] else []
    return (others[0], []) if len(others) == 1 else (best, missing[best])


def _said(text: str | Sequence[str]) -> str:
    """Write paths into a comment."""
    texts = [text] if isinstance(text, str) else text
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return ", ".join(printable(each)[:100] for each in texts[:3]) + more


def _names(found: Sequence[_Found], repository: str) -> list[str]:
    """Name each by its nearest word; where two would be alike, both by more of them."""
    choices = [each.names(repository) for each in found]
    sizes = [0] * len(found)
    while True:
        names = [choices[n][size] for n, size in enumerate(sizes)]
        counts = Counter(names)
        longer = [
            n for n, name in enumerate(names) if counts[name] > 1 and sizes[n] + 1 < len(choices[n])
        ]
        if not longer:
            break
        for n in longer:
            sizes[n] += 1
    taken = set(names)
    seen: set[str] = set()
    for n, name in enumerate(names):
        number = 1
        while names[n] in seen:
            number += 1
            candidate = f"{name}-{number}"
            names[n] = name if candidate in taken else candidate
        seen.add(names[n])
    return names


def _word(text: str) -> str:
    """Turn any text into what a repository's name may hold, or nothing."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_NAME].strip("-")


def _scalar(text: str) -> str:
    """Write a text so that YAML reads it as that."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
