"""A Compose or Bake file, resolved by the ``docker buildx`` program.

The program sees nothing of the environment, so that a template cannot print a secret; of a Compose
file, which may have others read, it sees the given copies alone. A file is refused that takes too
long or prints too much.
"""

from __future__ import annotations

import resource
import socket
import subprocess
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Printed

_LARGEST = 1024 * 1024
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

    def print(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        """Print a file of a folder as one Bake definition.

        ``files``: those that are copied; without any, the file is that of the workspace.
        """
        with TemporaryDirectory(dir=_SHORT) as name:
            private = Path(name).resolve()
            top = private / "copy" if files else self.workspace.resolve()
            for path, content in files.items():
                (top / path).parent.mkdir(parents=True, exist_ok=True)
                (top / path).write_bytes(content)
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
                        cwd=top / folder,
                        env=environ,
                        stdin=subprocess.DEVNULL,
                        stdout=stdout,
                        stderr=stderr,
                        timeout=self.seconds,
                        check=False,
                        preexec_fn=_write_little,
                    )
                except subprocess.TimeoutExpired:
                    raise _refused(file, "takes buildx too long to read") from None
            if max(output.stat().st_size, errors.stat().st_size) >= _LARGEST:
                raise _refused(file, "prints more than 1 MiB")
            said = errors.read_text(encoding="utf-8", errors="replace")
            return Printed(
                ended.returncode,
                output.read_text(encoding="utf-8", errors="replace"),
                said.replace(f"{top}/", ""),
                str(top),
            )

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
                'docker with buildx is not installed, and the input "services-from" needs it.',
                "Install Docker Engine and the plugin: https://docs.docker.com/get-docker/.",
            )
        return plugin


def _refused(file: str, cause: str) -> Failure:
    fix = "Write the services into a feastflow.yml instead."
    return Failure(Kind.INPUT, f'input "services-from": {file!r} {cause}.', fix)


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
