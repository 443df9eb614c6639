"""What an image is made from, as one digest: equal digests mean that no other image would come out.

It decides from the tracked files and from the service's definition, and refuses to name a digest
as soon as something that git does not track could get into the image. Base images are not among
the inputs: like a layer cache, it takes ``FROM node:22`` for the same as long as it is so written.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from feastflow_registry.services import LINK, Service, linked

_LINK_MODE = "120000"
_SUBMODULE_MODE = "160000"
_REMOTE = ("docker-image://", LINK)


@dataclass(frozen=True, slots=True)
class TrackedFile:
    """A file as git's index has it. ``assumed``: git was told not to look at the working copy."""

    mode: str
    blob: str
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a working copy whose tracked files are those of the commit.

    ``untracked``: ignored ones too, a folder with a slash at its end; ``filtered``: tracked
    files that git changes on their way to the working copy.
    """

    files: Mapping[str, TrackedFile]
    untracked: tuple[str, ...] = ()
    filtered: frozenset[str] = frozenset()


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
        return Fingerprint("", str(doubt))
    text = json.dumps([1, dict(options), parts], sort_keys=True)
    return Fingerprint(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def _describe(service: Service, tree: Tree) -> Mapping[str, object]:
    """One service's definition, with every file that it names."""
    dockerfile = posixpath.join(service.context, service.dockerfile)
    folders = [service.context, *service.watch]
    for _, value in service.contexts:
        if ("://" in value and not value.startswith(_REMOTE)) or value.startswith("git@"):
            raise _Doubt(f"the context {value[:80]} is kept elsewhere")
        if not value.startswith(_REMOTE):
            folders.append(value)
    files: dict[str, TrackedFile] = {}
    for folder in folders:
        files |= _within(folder, tree)
    for path in (dockerfile, f"{dockerfile}.dockerignore"):
        files |= _one(path, tree, needed=path == dockerfile)
    files |= {
        secret.file: tree.files[secret.file]
        for secret in service.secrets
        if secret.file in tree.files
    }
    files |= _attributes(files, tree)
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
        "files": sorted([path, each.mode, each.blob] for path, each in files.items()),
    }


def _within(folder: str, tree: Tree) -> Mapping[str, TrackedFile]:
    """Every file of a folder, or a file itself."""
    path = _resolved(folder, tree)
    if path == ".":
        raise _Doubt("a context that is the whole repository holds .git too")
    found = {
        name: each
        for name, each in tree.files.items()
        if name == path or name.startswith(f"{path}/")
    }
    if not found:
        raise _Doubt(f"{path} holds no tracked file")
    for name, each in found.items():
        _check(name, each, tree)
    for name in tree.untracked:
        if f"{name.rstrip('/')}/".startswith(f"{path}/"):
            raise _Doubt(f"{name} is not tracked")
    return found


def _one(path: str, tree: Tree, *, needed: bool) -> Mapping[str, TrackedFile]:
    """A file that must be a tracked one, if it is there at all."""
    name = _resolved(path, tree)
    each = tree.files.get(name)
    if each is None:
        if needed or name in tree.untracked:
            raise _Doubt(f"{name} is not tracked")
        return {}
    _check(name, each, tree)
    return {name: each}


def _check(name: str, each: TrackedFile, tree: Tree) -> None:
    if each.mode == _SUBMODULE_MODE:
        raise _Doubt(f"{name} is a submodule")
    if each.assumed:
        raise _Doubt(f"git was told not to look at {name}")
    if name in tree.filtered:
        raise _Doubt(f"a git filter makes {name} another file")


def _resolved(path: str, tree: Tree) -> str:
    """A path without detours. A link in it would lead where its text does not say."""
    for each in _steps(path):
        found = tree.files.get(posixpath.normpath(each))
        if found and found.mode == _LINK_MODE:
            raise _Doubt(f"{each} is a symbolic link")
    return posixpath.normpath(path)


def _steps(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _attributes(files: Mapping[str, TrackedFile], tree: Tree) -> Mapping[str, TrackedFile]:
    """The .gitattributes above the files, which say how git writes them: line ends, say."""
    folders = {posixpath.dirname(step) for path in files for step in _steps(path)}
    names = {posixpath.join(folder, ".gitattributes") for folder in folders}
    return {name: tree.files[name] for name in names if name in tree.files}
