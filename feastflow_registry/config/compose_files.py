"""The Compose files that one has read, cut down to what makes images.

buildx resolves a copy of them. What only running containers see is not in it, as a missing
``env_file``, or a variable that a port needs, keeps no image from being built. What buildx leaves
aside though Compose honours it is carried through its merging, as a label of the build.
What leads out of the repository, or where a variable says, is refused.
https://docs.docker.com/reference/compose-file/include/
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from feastflow_registry.config import grammar
from feastflow_registry.config.file import CachesOfFile
from feastflow_registry.model import yaml_tree
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.yaml_tree import Limits, Node, Shape

CARRIED = "feastflow.compose."
"""How a label begins that carries a key of Compose."""
DEFAULT_PLATFORM = "default-platform"
"""Compose's ``DOCKER_DEFAULT_PLATFORM``; every service that has a build carries it."""
UNSEEN = ("isolation", "privileged")
"""What Compose has below ``build``, and neither buildx nor a service has."""
LISTED = ("entitlements", "no_cache_filter")
"""What Compose has there as a list, and buildx does not read."""
LIMITS = "ulimits"
"""Limits, of which buildx reads a number that stands alone as nought."""
SECRET_TARGET = "secrets.target"  # noqa: S105  It is the name of a key.
"""By which name a build has a secret: to buildx it is always the secret's own."""
LARGEST = 1024 * 1024
_KEPT = ("image", "platform", "extends", "build")
"""What a service has that makes its image."""
_MOST_FILES = 100
_FIX = "Write the services into a feastflow.yml instead."
_LIMITS = Limits(size=LARGEST, values=100_000, depth=100, advice=_FIX, single=True)
_PLAIN = re.compile(r"-?[A-Za-z0-9_.+~][A-Za-z0-9_.+-]*")
"""What is written without quotes here: all that YAML may take for something else than a text."""
_DEFAULTED = re.compile(r"\$\{\w+:?-([^${}]*)\}")
_NOTHING = ("", "~", "null", "Null", "NULL")

Read = Callable[[str], bytes | None]
"""Reads a file of the repository; nothing, if it is missing. Raises where a link leads out."""


@dataclass(frozen=True, slots=True)
class ComposeFiles:
    """What buildx is given: Compose files, files of variables by their paths; secrets are empty.

    ``services``: the names of those that may have a build, in the order of the files.
    """

    texts: Mapping[str, bytes]
    variables: Mapping[str, bytes]
    services: tuple[str, ...]


def gather(name: str, read: Read) -> ComposeFiles:
    """Read a Compose file and those that it names. Raises an input failure."""
    walk = _Walk(read)
    folder = posixpath.dirname(name)
    walk.read_variables(name, posixpath.join(folder, ".env"))
    walk.visit(name, folder, (), includes=True)
    services = [
        (path, service, _entries(path, node))
        for path, top in walk.documents.items()
        for service, node in _entries(path, top.get("services")).items()
    ]
    extended = {_text(_extends(path, keys).get("service")) for path, _, keys in services}
    kept = dict.fromkeys(
        service
        for _, service, keys in services
        if service in extended or {"build", "extends"} & keys.keys()
    )
    secrets = {secret for path, _, keys in services for secret, _ in _secrets(path, keys)}
    texts = dict.fromkeys(_secret_files(walk, secrets), b"")
    texts |= {path: _cut(path, top, kept, secrets) for path, top in walk.documents.items()}
    return ComposeFiles(texts, walk.variables, tuple(kept))


def _secret_files(walk: _Walk, secrets: set[str]) -> Iterator[str]:
    """Yield the files of build secrets: buildx asks whether they are there, and no more."""
    for path, folder, _ in walk.seen:
        for name, secret in _entries(path, walk.documents[path].get("secrets")).items():
            file = _DEFAULTED.sub(r"\1", _text(_entries(path, secret).get("file")))
            if name in secrets and file:
                with suppress(Failure):  # It is outside, which is said of the service.
                    yield _place(path, folder, file)


@dataclass(slots=True)
class _Walk:
    """Follows the files that Compose files name, as Compose does.

    ``documents``: the keys of each file; ``variables``: the files of variables.
    """

    read: Read
    documents: dict[str, Mapping[str, Node]] = field(default_factory=dict)
    variables: dict[str, bytes] = field(default_factory=dict)
    seen: set[tuple[str, str, bool]] = field(default_factory=set)

    def visit(self, path: str, folder: str, chain: tuple[str, ...], *, includes: bool) -> None:
        """Read a file whose paths start at a folder. ``chain``: the files that include it."""
        if path in chain:
            raise _refused(chain[-1], f"includes {path!r}, which includes it")
        if (path, folder, includes) in self.seen:
            return
        self.seen.add((path, folder, includes))
        top = self._document(path, chain[-1] if chain else path)
        for each in _listed(top.get("include") if includes else None):
            self._include(path, folder, each, chain)
        for service in _entries(path, top.get("services")).values():
            keys = _entries(path, service)
            file = _extends(path, keys).get("file")
            if file and _text(file):
                extended = _place(path, folder, _text(file))
                self.visit(extended, posixpath.dirname(extended), (), includes=False)

    def _include(self, path: str, folder: str, node: Node, chain: tuple[str, ...]) -> None:
        keys = _entries(path, node) or {"path": node}
        found = [_place(path, folder, each) for each in _texts(keys.get("path"))]
        project = posixpath.dirname(found[0]) if found else folder
        for each in _texts(keys.get("project_directory")):
            project = _place(path, folder, each)
        named = [each for each in _texts(keys.get("env_file")) if each != "/dev/null"]
        for each in named:
            self.read_variables(path, _place(path, folder, each))
        if "env_file" not in keys:
            self.read_variables(path, posixpath.join(project, ".env"))
        for each in found:
            self.visit(each, project, (*chain, path), includes=True)

    def read_variables(self, origin: str, path: str) -> None:
        """Read a file of variables, if it is there."""
        content = self._read(origin, path)
        if content is not None:
            self.variables[path] = content

    def _document(self, path: str, origin: str) -> Mapping[str, Node]:
        if path not in self.documents:
            if len(self.documents) == _MOST_FILES:
                raise _refused(origin, f"reads more than {_MOST_FILES} files")
            content = self._read(origin, path)
            if content is None:
                raise _refused(origin, f"reads {path!r}, which is not there")
            found = yaml_tree.parse(path, content, _LIMITS).documents
            self.documents[path] = _entries(path, found[0]) if found else {}
        return self.documents[path]

    def _read(self, origin: str, path: str) -> bytes | None:
        try:
            content = self.read(path)
        except Failure:
            cause = f"reads {path!r}, which lies outside the repository or is no file"
            raise _refused(origin, cause) from None
        if content is not None and len(content) > LARGEST:
            raise _refused(origin, f"reads {path!r}, which is larger than 1 MiB")
        return content


def _refused(path: str, cause: str) -> Failure:
    return Failure(Kind.INPUT, f'input "services-from": {path!r} {cause}.', _FIX)


def _place(origin: str, folder: str, text: str) -> str:
    """Say a path of a file as one of the repository."""
    try:
        path = posixpath.normpath(posixpath.join(folder, grammar.relative_path(text)))
    except Failure:
        path = ".."
    if "$" in text:
        raise _refused(origin, f"reads {text[:80]!r}, whose path holds a variable")
    if path == ".." or path.startswith("../"):
        raise _refused(origin, f"reads {text[:80]!r}, which lies outside the repository")
    return path


def _entries(path: str, node: Node | None) -> dict[str, Node]:
    """The keys of a mapping that have a value; none of anything else."""
    return {key: each for key, each in _pairs(path, node).items() if not _is_nothing(each)}


def _pairs(path: str, node: Node | None) -> dict[str, Node]:
    """The keys of a mapping; its own beat those of ``<<``, of which the first counts most."""
    own: dict[str, Node] = {}
    merged: list[Node] = []
    for key, value in node.real.pairs() if node else ():
        if key.is_merge:
            merged += value.merged()
        elif key.real.value in own:
            cause = f"{path}, line {key.line}: the key {key.real.value[:60]!r} is there twice."
            raise Failure(Kind.INPUT, cause, "Remove one of them.")
        else:
            own[key.real.value] = value
    for each in merged:
        own = {**_pairs(path, each), **own}
    return own


def _is_nothing(node: Node) -> bool:
    real = node.real
    plain = real.shape is Shape.SCALAR and not real.style and not real.tag
    return plain and real.value in _NOTHING


def _listed(node: Node | None) -> list[Node]:
    real = node.real if node else None
    if real and real.shape is Shape.LIST:
        return [each.real for each in real.items]
    return [real] if real else []


def _texts(node: Node | None) -> list[str]:
    return [each.value for each in _listed(node) if each.shape is Shape.SCALAR]


def _text(node: Node | None) -> str:
    return next(iter(_texts(node)), "")


def _extends(path: str, keys: Mapping[str, Node]) -> Mapping[str, Node]:
    """What a service extends, in the long form."""
    node = keys.get("extends")
    if node is None or node.real.shape is not Shape.SCALAR:
        return _entries(path, node)
    return {"service": node}


def _secrets(path: str, keys: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """Yield each build secret's name, and the one that the build has it by."""
    for each in _listed(_entries(path, keys.get("build")).get("secrets")):
        secret = _entries(path, each) or {"source": each}
        name = _text(secret.get("source"))
        yield name, _text(secret.get("target")) or name


def _cut(path: str, top: Mapping[str, Node], kept: Iterable[str], secrets: set[str]) -> bytes:
    """Write a file anew, with nothing but what makes images."""
    keys = {key: _written(top[key]) for key in ("name", "include") if key in top}
    services = _entries(path, top.get("services"))
    shown = {name: services[name] for name in kept if name in services}
    keys["services"] = _mapping({name: _service(path, each) for name, each in shown.items()})
    known = _entries(path, top.get("secrets"))
    used = {name: _written(known[name]) for name in known if name in secrets}
    keys |= {"secrets": _mapping(used)} if used else {}
    return _mapping(keys).encode()


def _service(path: str, node: Node) -> str:
    keys = _entries(path, node)
    build = _entries(path, keys.get("build"))
    for each in (node, *map(keys.get, _KEPT), build.get("labels")):
        _refuse_tag(path, each)
    carried = {key: _text(keys.get(key)) for key in ("image", "platform")}
    whole = _build(path, keys, carried)
    written = {key: _written(each) for key, each in keys.items() if key in ("image", "extends")}
    if whole:
        written["build"] = _mapping(whole)
    return _mapping(written)


def _build(path: str, keys: Mapping[str, Node], carried: dict[str, str]) -> dict[str, str]:
    """A service's build in the long form, with what has to be carried; nothing, if it has none."""
    node = keys.get("build")
    build = _entries(path, node)
    if node and node.real.shape is Shape.SCALAR:
        build = {"context": node}
    if node:
        carried[DEFAULT_PLATFORM] = "${DOCKER_DEFAULT_PLATFORM-}"
        carried |= {key: _text(build[key]) or key for key in UNSEEN if key in build}
        for key in LISTED:
            carried |= {f"{key}.{each}": each for each in _all_texts(path, key, build)}
        limits = _limits(path, build.get(LIMITS))
        carried |= {f"{LIMITS}.{limit}": f"{limit}={text}" for limit, text in limits}
        others = [target for name, target in _secrets(path, keys) if target != name]
        carried[SECRET_TARGET] = next(iter(others), "")
    ours = (*UNSEEN, *LISTED, LIMITS)
    written = {key: _written(each) for key, each in build.items() if key not in ours}
    labels = {f"{CARRIED}{key}": each for key, each in carried.items() if each}
    own = build.get("labels")
    if labels and own and own.real.shape is Shape.LIST:
        items = [_written(each) for each in own.real.items]
        items += [json.dumps(f"{key}={each}") for key, each in labels.items()]
        written["labels"] = f"[{', '.join(items)}]"
    elif labels:
        texts = {key: json.dumps(each) for key, each in labels.items()}
        texts |= {key: _written(each) for key, each in _pairs(path, own).items()}
        written["labels"] = _mapping(texts)
    return written


def _all_texts(path: str, key: str, build: Mapping[str, Node]) -> list[str]:
    """The texts of a list, which holds nothing else."""
    texts = _texts(build.get(key))
    if len(texts) != len(_listed(build.get(key))):
        raise _refused(path, f"has {key} that is not a list of texts")
    return texts


def _limits(path: str, node: Node | None) -> Iterator[tuple[str, str]]:
    """Yield each limit with its number, or with both."""
    for name, limit in _entries(path, node).items():
        both = _entries(path, limit)
        texts = [_text(both.get(key)) for key in ("soft", "hard")]
        yield name, ":".join(texts) if both else _text(limit)


def _refuse_tag(path: str, node: Node | None) -> None:
    """Refuse ``!reset`` and ``!override`` where what is carried would not obey them."""
    if node and node.real.tag.startswith("!"):
        cause = f"{path}, line {node.line}: {node.real.tag[:20]} is not supported at this place."
        raise Failure(Kind.INPUT, cause, _FIX)


def _mapping(texts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in texts.items()) + "}"


def _written(node: Node) -> str:
    """Write a node on one line; a plain scalar keeps the type that it had."""
    real = node.real
    tag = f"!<{real.tag}> " if real.tag else ""
    if real.shape is Shape.LIST:
        return f"{tag}[{', '.join(_written(each) for each in real.items)}]"
    if real.shape is Shape.MAPPING:
        pairs = [
            ("<<" if key.is_merge else _written(key), _written(value))
            for key, value in real.pairs()
        ]
        return f"{tag}{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
    if real.style or (real.value and not _PLAIN.fullmatch(real.value)):
        return tag + json.dumps(real.value)
    return tag + (real.value or "null")


def caches_of(target: Mapping[str, Any]) -> CachesOfFile:
    """The caches that a target of Bake names, which buildx 0.20 began to print as mappings."""
    sources, targets = (target.get(key) or [] for key in ("cache-from", "cache-to"))
    return tuple(map(_spec, sources)), tuple(map(_spec, targets))


def _spec(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return ",".join(f"{key}={entry[key]}" for key in sorted(entry, key="type".__ne__))
