"""Services from the repository's own Compose or Bake file, as ``docker buildx bake`` prints it.

A target of Bake becomes a service: what makes its image is taken over; where the image goes, its
caches and its attestations are this program's. A target is refused that needs what a service has
not, as its image would be another one; so is a file whose images depend on variables that are not
set. https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from feastflow_registry.config.file import Config
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.ports import Print
from feastflow_registry.model.services import SERVICE_PREFIX
from feastflow_registry.model.wording import printable

_UNSET = re.compile(r'The \\?"([^"\\]+)\\?" variable is not set')
_ERROR = re.compile(r"^ERROR: (.+)$", re.MULTILINE)
_TARGET = "target:"
_OURS = frozenset({"output", "cache-from", "cache-to", "attest", "description", "tags"})
_SAME = ("context", "dockerfile", "target", "args", "platforms", "labels", "ssh", "pull")
_KEYS = {
    **{key: key for key in _SAME},
    "secret": "secrets",
    "contexts": "additional_contexts",
    "no-cache": "no_cache",
}
"""Each key of a target, and that of a service."""
_FIRST_PROBE = 40_001


def refuse_alike(name: str, content: bytes) -> None:
    """Refuse services whose names Bake takes for one: it would build one and forget the other."""
    from feastflow_registry.config import strict_yaml

    try:
        data: Any = strict_yaml.read(name, content).data
    except Failure:
        return  # It is no YAML, or more than is read here: Bake says what is wrong with it.
    services = data.get("services") if isinstance(data, dict) else None
    targets: dict[str, list[str]] = {}
    for service in services if isinstance(services, dict) else ():
        targets.setdefault(service.replace(".", "_"), []).append(service[:60])
    problems = [
        Problem(
            f"{name}: Bake takes the services {' and '.join(alike)} for one.",
            "Give one of them another name.",
        )
        for alike in targets.values()
        if len(alike) > 1
    ]
    if problems:
        raise Failure.of(Kind.INPUT, problems)


def read(name: str, workspace: str, print_file: Print) -> Config:
    """Read the services of a file; name and folder are relative to the workspace's whole path.

    As with Compose, paths in a Compose file start at its folder; in a Bake file, at the workspace.
    Raises one input failure with every problem.
    """
    is_compose = name.endswith((".yml", ".yaml"))
    folder = posixpath.dirname(name) if is_compose else ""
    file = posixpath.basename(name) if is_compose else name

    def resolve(variables: Mapping[str, str]) -> tuple[Config, list[str]]:
        printed = print_file(file, folder, variables)
        unset = sorted(set(_UNSET.findall(printed.errors)))
        try:
            if printed.code:
                raise _unreadable(name, printed.errors)
            return from_bake(name, printed.text, workspace, folder), unset
        except Failure as failure:
            raise Failure.of(Kind.INPUT, [*_unset(name, unset), *failure.problems]) from None

    config, unset = resolve({})
    # A variable that only running containers see does no harm: it changes no service.
    probes = {variable: str(_FIRST_PROBE + place) for place, variable in enumerate(unset)}
    probed = resolve(probes)[0].services if unset else config.services
    if probed != config.services:
        seen = [variable for variable, probe in probes.items() if probe in str(probed)]
        raise Failure.of(Kind.INPUT, _unset(name, seen or unset))
    return config


def _unset(name: str, variables: Iterable[str]) -> list[Problem]:
    return [
        Problem(
            f"{name}: the variable {_clean(variable)} is not set, as the environment is not seen.",
            f"Write a value in its place, or a default: ${{{_clean(variable)}:-default}}.",
        )
        for variable in variables
    ]


def _unreadable(name: str, errors: str) -> Failure:
    reason = _clean((_ERROR.findall(errors) or [errors])[-1]).rstrip(".")
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


def from_bake(name: str, text: str, workspace: str, folder: str = "") -> Config:
    """Read what ``bake --print`` wrote; relative paths start at a folder of the workspace."""
    from feastflow_registry.config import schema, strict_yaml

    try:
        bake = json.loads(text)
        groups, targets = bake["group"], bake["target"]
        chosen = {target: targets[target] for target in _members("default", groups, set())}
        services = {each: _service(target, workspace, folder) for each, target in chosen.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        cause = f"{name}: what buildx printed is no Bake definition."
        raise Failure(Kind.INPUT, cause, "Update buildx.") from None
    if not services:
        cause = f"{name} describes nothing to build."
        raise Failure(Kind.INPUT, cause, "Give a service of it a build, or write a feastflow.yml.")
    document = strict_yaml.Document(name, {"services": services})
    problems = [problem for target in chosen for problem in _left_out(name, target, chosen)]
    models, complaints = schema.check(document, document.data)
    problems += [each.problem for each in complaints]
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    return Config(document, policy={}, services=models)


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
        if key not in _KEYS and key not in _OURS:
            yield Problem(
                f"{where}: {_clean(key)} is not supported, and makes another image where it is.",
                "Take it out, or say it in the Dockerfile.",
            )
    for context in chosen[target].get("contexts", {}).values():
        base = str(context).removeprefix(_TARGET)
        if str(context).startswith(_TARGET) and base not in chosen:
            yield Problem(
                f"{where}: it is built from {base[:80]!r}, which is not among what is published.",
                'Add that to the group "default".',
            )


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
