"""What an image is made from, as one digest: equal digests mean that no other image would come out.

It decides from the tracked files, as a build would find them, and from the service's definition,
and refuses to name a digest as soon as something that git does not track could get into the image.
Base images are not among the inputs: like a layer cache, it takes ``FROM node:22`` for the same as
long as it is so written.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass

from feastflow_registry.model.history import SUBMODULE, Tree
from feastflow_registry.model.references import Digest
from feastflow_registry.model.services import SERVICE_PREFIX, Service, linked

_SYMLINK = "12"
_CREDENTIAL = re.compile(r"//[^/]*@")
_KNOWN = ("docker-image://", SERVICE_PREFIX)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a service's inputs, or the reason why there is none."""

    digest: str
    doubt: str = ""


class _Doubt(Exception):
    """Something other than tracked files could get into the image."""


def fingerprint(
    service: Service, known: Mapping[str, Service], tree: Tree, options: Mapping[str, str]
) -> Fingerprint:
    """Sum up all that makes a service's image. ``options``: what else the builder was told."""
    try:
        parts = [_describe(each, tree) for each in (service, *linked(service, known))]
    except _Doubt as doubt:
        shown = "".join(each if each.isprintable() else "?" for each in str(doubt))
        return Fingerprint("", shown)
    text = json.dumps([3, dict(options), parts], sort_keys=True)
    return Fingerprint(Digest.of(text.encode()).value)


def _describe(service: Service, tree: Tree) -> Mapping[str, object]:
    """One service's definition, with every file that it names."""
    dockerfile = posixpath.join(service.context, service.dockerfile)
    for _, value in service.contexts:
        if value not in service.folders and not value.startswith(_KNOWN):
            raise _Doubt(f"the context {_CREDENTIAL.sub('//', value)[:80]} is kept elsewhere")
    names: set[str] = set()
    for folder in (service.context, *service.folders, *service.watch):
        names |= _within(folder, tree)
    for path in (dockerfile, f"{dockerfile}.dockerignore"):
        names |= _one(path, tree, needed=path == dockerfile)
    names |= {each.file for each in service.secrets if each.file in tree.files}
    return {
        "name": service.name,
        "context": service.context,
        "dockerfile": service.dockerfile,
        "target": service.target,
        "args": sorted(service.args),
        "platforms": service.platforms,
        "labels": sorted(service.labels),
        "secrets": sorted([each.id, each.file, each.variable] for each in service.secrets),
        "ssh": sorted(service.ssh),
        "contexts": sorted(service.contexts),
        "options": asdict(service.options),
        "annotations": sorted(map(astuple, service.annotations)),
        # Who asks for another judgement wants it passed on the image that is to be published.
        "smoke_test": asdict(service.smoke_test) if service.smoke_test else None,
        "check": service.check,
        "files": [_facts(name, tree) for name in sorted(names)],
    }


def _within(folder: str, tree: Tree) -> set[str]:
    """All that a folder holds, or a file itself."""
    path = _resolved(folder, tree)
    if path == ".":
        raise _Doubt("a context that is the whole repository holds .git too")
    found = {
        name for name in (*tree.files, *tree.folders) if name == path or name.startswith(f"{path}/")
    }
    if not found:
        raise _Doubt(f"{path} holds no tracked file")
    for name in tree.untracked:
        if f"{name}/".startswith(f"{path}/"):
            raise _Doubt(f"{name} is not tracked")
    return found


def _one(path: str, tree: Tree, *, needed: bool) -> set[str]:
    """A file that must be a tracked one, if it is there at all."""
    name = _resolved(path, tree)
    if name in tree.files:
        return {name}
    if needed or name in tree.untracked:
        raise _Doubt(f"{name} is not tracked")
    return set()


def _facts(name: str, tree: Tree) -> list[str]:
    """What the image could have from a file or folder."""
    if name in tree.folders:
        return [name, tree.folders[name], ""]
    if tree.files[name] == SUBMODULE:
        raise _Doubt(f"{name} is a submodule")
    digest = tree.digest(name)
    if not digest:
        raise _Doubt(f"{name} cannot be read")
    return [name, tree.files[name], digest]


def _resolved(path: str, tree: Tree) -> str:
    """A path without detours. A link in it would lead where its text does not say."""
    for each in _steps(path):
        if tree.files.get(posixpath.normpath(each), "").startswith(_SYMLINK):
            raise _Doubt(f"{each} is a symbolic link")
    return posixpath.normpath(path)


def _steps(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
