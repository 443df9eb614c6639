"""Services from the repository's own Compose or Bake file, as ``docker buildx bake`` prints it.

A target of Bake becomes a service: what makes its image is taken over, and so are its caches,
unless a setting names others. Where the image goes and its attestations are this program's. Targets
that are one build and one image become one service. A target is refused that needs what a service
has not, as its image would be another one; so is a file whose images depend on variables that are
not set, or that git does not track.
https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from feastflow_registry.config import compose_files
from feastflow_registry.config.compose_files import (
    CARRIED,
    DEFAULT_PLATFORM,
    LARGEST,
    LIMITS,
    LISTED,
    SECRET_TARGET,
    UNSEEN,
)
from feastflow_registry.config.file import Config
from feastflow_registry.config.platforms import parse_platform
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.services import SERVICE_PREFIX
from feastflow_registry.model.wording import printable

_UNSET = re.compile(r'The \\?"([^"\\]+)\\?" variable is not set')
_REQUIRED = re.compile(r"required variable (\w+) is missing a value")
_ERROR = re.compile(r"^ERROR: ", re.MULTILINE)
_TARGET = "target:"
_OURS = frozenset({"output", "cache-from", "cache-to", "attest", "description", "tags"})
_SAME = (
    *("context", "dockerfile", "target", "args", "platforms", "labels", "ssh", "pull"),
    *("network", "ulimits", "entitlements", "annotations"),
)
_KEYS = {
    **{key: key for key in _SAME},
    "secret": "secrets",
    "contexts": "additional_contexts",
    **{key.replace("_", "-"): key for key in ("no_cache", "shm_size", "extra_hosts", *LISTED)},
}
"""Each key of a target, and that of a service."""
_REFUSED = (*UNSEEN, SECRET_TARGET)
"""What Compose honours, and neither buildx nor a service has."""
_PROBES = (40_001, 50_001)
"""Two values of a variable that is not set: both an image's tag and a port may be one."""


class Source(Protocol):
    """The working copy, and the program that resolves such a file."""

    def read(self, path: str, *, most: int) -> bytes | None:
        """Read the beginning of a file of the repository; nothing, if it is missing."""

    def tracks(self, path: str) -> bool:
        """Whether git tracks a file."""

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        """Have buildx resolve a file of a folder, with these variables alone.

        ``files``: copies of all that it may read; without any, it reads the working copy.
        """


def read(name: str, source: Source) -> Config:
    """Read the services of a file. Raises one input failure with every problem.

    As with Compose, paths in a Compose file start at its folder; in a Bake file, at the workspace.
    """
    _check(name, source)
    if name.lower().endswith((".hcl", ".json")):
        return _Resolver(name, "", source).resolve({})
    found = compose_files.gather(name, partial(source.read, most=LARGEST + 1))
    if not found.services:
        raise _empty(name)
    _refuse_alike(name, found.services)
    resolver = _Resolver(name, posixpath.dirname(name), source, found.services)
    tracked = {path: text for path, text in found.variables.items() if source.tracks(path)}
    untracked = [path for path in found.variables if path not in tracked]
    if not untracked:
        return resolver.resolve({**found.texts, **tracked})
    with_all: Config | None = None
    with suppress(Failure):
        with_all = resolver.resolve({**found.texts, **found.variables})
    try:
        config = resolver.resolve({**found.texts, **tracked})
    except Failure:
        if with_all:
            raise _untracked(name, untracked) from None
        raise
    if not with_all or with_all.services != config.services:
        raise _untracked(name, untracked)
    return config


def _check(name: str, source: Source) -> None:
    content = source.read(name, most=LARGEST + 1)
    if content is None:
        cause = f'input "services-from": there is no file {name!r}.'
        fix = "Give the path of a Compose or Bake file, relative to the repository."
        raise Failure(Kind.INPUT, cause, fix)
    if len(content) > LARGEST:
        cause = f'input "services-from": {name!r} is larger than 1 MiB.'
        raise Failure(Kind.INPUT, cause, "Write the services into a feastflow.yml instead.")


def _refuse_alike(name: str, services: Iterable[str]) -> None:
    """Refuse services whose names Bake takes for one: it would build one and forget the other."""
    targets: dict[str, list[str]] = {}
    for service in services:
        targets.setdefault(_target_name(service), []).append(service[:60])
    problems = [
        Problem(
            f"{name}: Bake reads the services {' and '.join(alike)} as one service.",
            "Give one of them another name.",
        )
        for alike in targets.values()
        if len(alike) > 1
    ]
    if problems:
        raise Failure.of(Kind.INPUT, problems)


def _target_name(service: str) -> str:
    return service.replace(".", "_")


def _untracked(name: str, paths: Sequence[str]) -> Failure:
    return Failure(
        Kind.INPUT,
        f"{name} takes variables from {' and '.join(paths)}, which git does not track.",
        "Commit it, or move it away: what is built must come from the commit.",
    )


def _empty(name: str) -> Failure:
    cause = f"{name} describes nothing to build."
    return Failure(
        Kind.INPUT, cause, "Give one of its services a build section, or write a feastflow.yml."
    )


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Has a file resolved. ``services``: those that may have a build, if it is a Compose file."""

    name: str
    folder: str
    source: Source
    services: Sequence[str] | None = None

    def resolve(self, files: Mapping[str, bytes]) -> Config:
        """Resolve it without any variable, or refuse it if the services depend on one."""
        required: list[str] = []
        while True:
            printed = self._print(files, _probes(required, 0))
            missing = set(_REQUIRED.findall(printed.errors)) - set(required)
            if not printed.code or not missing:
                break
            required += sorted(missing)
        unset = sorted({*required, *_UNSET.findall(printed.errors)})
        config = self._interpret(printed, unset)
        if not unset:
            return config
        # A variable that only running containers see does no harm: it changes no service.
        probes = _probes(unset, 1)
        probed = self._interpret(self._print(files, probes), unset)
        if probed.services != config.services:
            services = str(probed.services)
            seen = [variable for variable, probe in probes.items() if probe in services]
            raise Failure.of(Kind.INPUT, _unset(self.name, seen or unset))
        return config.keep_caches_of(probed)

    def _print(self, files: Mapping[str, bytes], variables: Mapping[str, str]) -> Printed:
        file = posixpath.relpath(self.name, self.folder or ".")
        return self.source.print_bake(files, file, self.folder, variables)

    def _interpret(self, printed: Printed, unset: Iterable[str]) -> Config:
        try:
            if printed.code:
                raise _unreadable(self.name, printed.errors)
            return from_bake(self.name, printed, self.folder, self.services)
        except Failure as failure:
            raise Failure.of(Kind.INPUT, [*_unset(self.name, unset), *failure.problems]) from None


def _probes(variables: Iterable[str], which: int) -> dict[str, str]:
    first = _PROBES[which]
    return {variable: str(first + place) for place, variable in enumerate(variables)}


def _unset(name: str, variables: Iterable[str]) -> list[Problem]:
    return [
        Problem(
            f"{name}: the variable {_clean(variable)} has no value: the environment is not read.",
            f"Write a value in its place, or a default: ${{{_clean(variable)}:-default}}.",
        )
        for variable in variables
    ]


def _unreadable(name: str, errors: str) -> Failure:
    reason = _clean(_ERROR.split(errors)[-1]).rstrip(".")
    if reason == "failed to find target default":
        cause = f"{name} does not say which targets to publish."
        return Failure(Kind.INPUT, cause, 'Name them: group "default" { targets = […] }.')
    fix = f"See it with `docker buildx bake --print -f {_clean(name)}`."
    return Failure(
        Kind.INPUT, f"{name}: buildx cannot read it: {reason or 'no reason given'}.", fix
    )


def _clean(text: str) -> str:
    """Shorten another program's words to one printable line."""
    return " ".join(printable(text).split())[:300]


def from_bake(
    name: str, printed: Printed, folder: str = "", services: Sequence[str] | None = None
) -> Config:
    """Read what ``bake --print`` wrote; relative paths start at a folder of the workspace.

    ``services``: of a Compose file, those that may have a build, in their order.
    """
    from feastflow_registry.config import schema, strict_yaml

    try:
        bake = json.loads(printed.text)
        groups, targets = bake["group"], bake["target"]
        chosen = {target: targets[target] for target in _members("default", groups, set())}
        if services is not None:
            chosen = dict(_built(chosen, services))
        described = {
            each: _service(found, printed.folder, folder) for each, found in chosen.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        cause = f"{name}: what buildx printed is no Bake definition."
        raise Failure(Kind.INPUT, cause, "Update buildx.") from None
    if not described:
        raise _empty(name)
    problems = [problem for target in chosen for problem in _left_out(name, target, chosen)]
    same = _join(described)
    document = strict_yaml.Document(name, {"services": described})
    models, complaints = schema.check(document, document.data)
    problems += [each.problem for each in complaints]
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    caches = {each: compose_files.caches_of(chosen[each]) for each in described}
    named = {each: found for each, found in caches.items() if any(found)}
    return Config(document, policy={}, services=models, same=same, caches=named)


def _built(chosen: Mapping[str, Any], services: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the targets that are services with a build, and say in Bake's words what they carry."""
    for name in map(_target_name, services):
        labels = chosen.get(name, {}).get("labels") or {}
        if f"{CARRIED}{DEFAULT_PLATFORM}" not in labels:
            continue
        own = {key: value for key, value in labels.items() if not key.startswith(CARRIED)}
        carried = {
            key.removeprefix(CARRIED): value
            for key, value in labels.items()
            if key.startswith(CARRIED)
        }
        target = {**chosen[name], "labels": own}
        if image := carried.get("image"):
            target["tags"] = [image]
        if platform := carried.get("platform") or carried[DEFAULT_PLATFORM]:
            target["platform"] = platform
        target |= {key: carried[key] for key in _REFUSED if carried.get(key, "false") != "false"}
        for key in (*LISTED, LIMITS):
            items = [value for each, value in carried.items() if each.startswith(f"{key}.")]
            if items:
                bakes = key.replace("_", "-")
                target[bakes] = [*target.get(bakes, []), *items]
        yield name, target


def _join(services: dict[str, dict[str, object]]) -> dict[str, tuple[str, ...]]:
    """Take services out that are the image of another; give the names of each one's."""
    first: dict[str, str] = {}
    same: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for name, service in services.items():
        key = json.dumps(service, sort_keys=True) if "image" in service else name
        owners[name] = owner = first.setdefault(key, name)
        if owner != name:
            same[owner] = (*same.get(owner, ()), name)
    for name, owner in owners.items():
        if owner != name:
            del services[name]
    for service in services.values():
        contexts = service.get("additional_contexts")
        if isinstance(contexts, dict):
            renamed = {
                f"{SERVICE_PREFIX}{each}": f"{SERVICE_PREFIX}{owners[each]}" for each in owners
            }
            service["additional_contexts"] = {
                key: renamed.get(value, value) for key, value in contexts.items()
            }
    return same


def _members(group: str, groups: Mapping[str, Any], seen: set[str]) -> list[str]:
    """The targets of a group and of the groups in it, each once."""
    targets: dict[str, None] = {}
    seen.add(group)
    for member in groups[group]["targets"] or []:
        if member not in groups or member == group:
            targets[member] = None
        elif member not in seen:
            targets |= dict.fromkeys(_members(member, groups, seen))
    return list(targets)


def _left_out(name: str, target: str, chosen: Mapping[str, Any]) -> Iterable[Problem]:
    """Yield what a target needs and a service has not."""
    where = f"{name}: services.{_clean(target)}"
    for key in chosen[target]:
        if key not in _KEYS and key not in _OURS and key != "platform":
            yield Problem(
                f"{where}: {_clean(key)} is not supported, and it would change the image.",
                "Remove it, or write what it does into the Dockerfile.",
            )
    yield from _platforms(where, chosen[target])
    for context in chosen[target].get("contexts", {}).values():
        base = str(context).removeprefix(_TARGET)
        if str(context).startswith(_TARGET) and base not in chosen:
            yield Problem(
                f"{where}: it is built from {base[:80]!r}, which is not among what is published.",
                'Add that to the group "default".',
            )


def _platforms(where: str, target: Mapping[str, Any]) -> Iterable[Problem]:
    """Yield what Compose says of a service whose own platform is not in platforms of its build.

    https://docs.docker.com/reference/compose-file/build/#platforms
    """
    own, all_of_build = target.get("platform"), target.get("platforms")
    if own and all_of_build and _spelled(own) not in map(_spelled, all_of_build):
        yield Problem(
            f"{where}: its platform {_clean(own)} is not in platforms of its build.",
            "Add it there, or remove it.",
        )


def _spelled(platform: str) -> str:
    with suppress(Failure):  # The schema says what is wrong with one of the build.
        return parse_platform(platform)
    return platform


def _service(target: Any, workspace: str, folder: str) -> dict[str, object]:
    """Describe a target with a service's keys. Raises what Python does where it is no target."""
    service = {ours: target[bakes] for bakes, ours in _KEYS.items() if bakes in target}

    def place(path: object) -> object:
        return _placed(path, workspace, folder)

    for key, spell in (
        ("args", _unescaped),
        ("labels", _unescaped),
        ("additional_contexts", place),
    ):
        if key in service:
            service[key] = {name: spell(value) for name, value in service[key].items()}
    service["context"] = place(service.get("context", "."))
    dockerfile = service.get("dockerfile")
    if isinstance(dockerfile, str) and posixpath.isabs(dockerfile):
        start = posixpath.join(workspace, service["context"])
        service["dockerfile"] = posixpath.relpath(dockerfile, start)
    if "secrets" in service:
        service["secrets"] = [_secret(each, place) for each in service["secrets"]]
    if "ssh" in service:
        service["ssh"] = [_ssh(each) for each in service["ssh"]]
    if "platform" in target and not service.get("platforms"):
        service["platforms"] = [target["platform"]]
    for tag in target.get("tags", [])[:1]:
        service["image"] = str(tag).partition("@")[0].rpartition("/")[2].partition(":")[0]
    return service


def _placed(path: object, workspace: str, folder: str) -> object:
    """Say a local path as one of the workspace, and a target as a service."""
    if not isinstance(path, str) or "://" in path or path.startswith("git@"):
        return path
    if path.startswith(_TARGET):
        return f"{SERVICE_PREFIX}{path.removeprefix(_TARGET)}"
    whole = posixpath.normpath(posixpath.join(workspace, folder, path))
    outside = whole != workspace and not whole.startswith(f"{workspace}/")
    return path if outside and posixpath.isabs(path) else posixpath.relpath(whole, workspace)


def _unescaped(value: object) -> object:
    """Undo what ``--print`` does to arguments and labels, so that Bake can read them again."""
    if not isinstance(value, str):
        return value
    return value.replace("$${", "${").replace("%%{", "%{")


def _secret(secret: object, place: Callable[[object], object]) -> object:
    """Write a secret as buildx takes it; so did ``--print`` before buildx 0.20."""
    if not isinstance(secret, dict):
        return secret
    parts = {key: place(value) if key == "src" else value for key, value in secret.items()}
    return ",".join(f"{key}={value}" for key, value in parts.items())


def _ssh(ssh: object) -> object:
    """Write an SSH agent as buildx takes it."""
    if not isinstance(ssh, dict):
        return ssh
    paths = ",".join(str(each) for each in ssh.get("paths", []))
    return f"{ssh['id']}={paths}" if paths else ssh["id"]
