"""The repository's own Compose or Bake file, resolved by the ``docker buildx`` program.

The program reads the file and its folder, with the ``.env`` that Compose reads there, and nothing
of the environment, so that a template cannot print a secret. A file that is missing or lies outside
the workspace is refused, and so is one that takes too long or prints too much.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Printed

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LARGEST = 1024 * 1024
_MOST_FILES = 100
_DEEPEST = 100
_MEMORY = 8 * 1024**3
# A socket's path has 107 bytes at most, and a runner's temporary folder may have more.
_SHORT = "/tmp"  # noqa: S108  The folder in it has a random name and is ours alone.
_PLUGIN = '{{range .ClientInfo.Plugins}}{{if eq .Name "buildx"}}{{.Path}}{{end}}{{end}}'


@dataclass(frozen=True, slots=True)
class BakeFile:
    """A workspace, and the environment in which ``docker`` finds its plugins."""

    workspace: Path
    environ: Mapping[str, str]
    seconds: float = 60.0

    def print(self, file: str, folder: str, variables: Mapping[str, str]) -> Printed:
        """Print a file of a folder as one Bake definition. Raises an input failure."""
        here = self.workspace / folder
        self._check(here / file)
        self._check_references(here / file, set())
        with TemporaryDirectory(dir=_SHORT) as name:
            private = Path(name)
            environ = {
                **variables,
                "DOCKER_CONFIG": name,
                "SSH_AUTH_SOCK": str(_agent(private)),
            }
            command = [self._program(), "bake", "--progress=quiet", "--print", "-f", f"./{file}"]
            output, errors = private / "output", private / "errors"
            with output.open("wb") as stdout, errors.open("wb") as stderr:
                try:
                    ended = subprocess.run(
                        command,
                        cwd=here,
                        env=environ,
                        stdin=subprocess.DEVNULL,
                        stdout=stdout,
                        stderr=stderr,
                        timeout=self.seconds,
                        check=False,
                        preexec_fn=_write_little,
                    )
                except subprocess.TimeoutExpired:
                    raise self._refused(here / file, "takes too long to be resolved") from None
            if max(output.stat().st_size, errors.stat().st_size) >= _LARGEST:
                raise self._refused(here / file, "prints more than 1 MiB")
            return Printed(
                ended.returncode,
                output.read_text(encoding="utf-8", errors="replace"),
                errors.read_text(encoding="utf-8", errors="replace"),
            )

    def _check(self, path: Path) -> None:
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # It is missing, or a loop of links.
            real = None
        if real is None or not real.is_file():
            raise Failure(
                Kind.INPUT,
                f"services-from: there is no file {self._shown(path)}.",
                "Give the path of a Compose or Bake file, relative to the repository.",
            )
        if not real.is_relative_to(self.workspace.resolve()):
            raise Failure(
                Kind.INPUT,
                f"services-from: {self._shown(path)} lies outside the repository.",
                "Give a file inside it; a symbolic link must not lead out of it.",
            )

    def _check_references(self, path: Path, seen: set[Path]) -> None:
        """Refuse a Compose file that has another file read, outside the workspace."""
        real = path.resolve()
        if real in seen or len(seen) > _MOST_FILES:
            return
        seen.add(real)
        if path.suffix == ".hcl":
            return
        try:
            with real.open("rb") as file:
                data = _load(file.read(_LARGEST + 1))
        except (OSError, ValueError):
            # What is not understood here may be understood by buildx, and lead out.
            raise self._refused(path, "is no Compose file of up to 1 MiB and 100 levels") from None
        for name, is_compose in _references(data):
            target = path.parent / name
            try:
                lies_within = target.resolve().is_relative_to(self.workspace.resolve())
            except (OSError, RuntimeError, ValueError):  # A loop of links, or no path at all.
                lies_within = False
            if not lies_within:
                raise self._refused(path, f"reads {name[:80]!r}, which lies outside the repository")
            if is_compose and target.is_file():
                self._check_references(target, seen)

    def _refused(self, path: Path, what: str) -> Failure:
        fix = "Write the services into a feastflow.yml instead."
        return Failure(Kind.INPUT, f"services-from: {self._shown(path)} {what}.", fix)

    def _shown(self, path: Path) -> str:
        return repr(os.path.relpath(path, self.workspace))

    def _program(self) -> str:
        """The path of the buildx plugin, which is run itself, as ``docker`` reads other files."""
        command = ["docker", "info", "--format", _PLUGIN]
        plugin = ""
        with suppress(FileNotFoundError, subprocess.TimeoutExpired):
            plugin = subprocess.run(
                command,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=self.seconds,
                check=False,
            ).stdout.strip()
        if not plugin:
            raise Failure(
                Kind.BUILD,
                "docker with buildx is not installed, and services-from needs it.",
                "Install Docker Engine and the plugin: https://docs.docker.com/get-docker/.",
            )
        return plugin


class _AnyTag(_PARSER):  # type: ignore[misc]  # Either of the safe loaders.
    """Reads a value of any tag as a plain one: Compose has tags of its own, such as ``!reset``."""


def _construct(loader: Any, _: str, node: Any) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_AnyTag.add_multi_constructor("!", _construct)


def _load(text: bytes) -> object:
    """Read a Compose file. Raises a ValueError for what is none, or is more than is read here."""
    if len(text) > _LARGEST:
        raise ValueError
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:  # The loader would crash.
                raise ValueError
        return yaml.load(text, Loader=_AnyTag)  # noqa: S506  It makes plain values alone.
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise ValueError from error


def _references(data: object) -> Iterator[tuple[str, bool]]:
    """Yield the files that a Compose file names, and whether each is such a file itself.

    https://docs.docker.com/reference/compose-file/include/
    """
    data = data if isinstance(data, dict) else {}
    for each in _listed(data.get("include")):
        long = each if isinstance(each, dict) else {"path": each}
        yield from ((name, True) for name in _texts(long.get("path")))
        yield from ((name, False) for name in _texts(long.get("env_file")))
        yield from ((f"{name}/.env", False) for name in _texts(long.get("project_directory")))
    services = data.get("services")
    for service in services.values() if isinstance(services, dict) else ():
        if isinstance(service, dict):
            extended = service.get("extends")
            extended = extended.get("file") if isinstance(extended, dict) else None
            yield from ((name, True) for name in _texts(extended))
            for each in _listed(service.get("env_file")):
                name = each.get("path") if isinstance(each, dict) else each
                yield from ((text, False) for text in _texts(name))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _texts(value: object) -> list[str]:
    return [each for each in _listed(value) if isinstance(each, str)]


def _agent(folder: Path) -> Path:
    """A socket without a server: buildx needs one to print a build that uses SSH."""
    path = folder / "agent"
    with closing(socket.socket(socket.AF_UNIX)) as agent:
        agent.bind(str(path))
    return path


def _write_little() -> None:
    """Let the kernel end a child that writes too much, or takes too much memory."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST))
    with suppress(ValueError):  # macOS bounds no memory.
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
