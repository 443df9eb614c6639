"""BuildKit, reached through the ``docker buildx`` program.

Children see only the environment they are given. The credential reaches buildx in one variable,
``DOCKER_AUTH_CONFIG``, for the one session that needs it; no file ever holds it.
"""

from __future__ import annotations

import ctypes
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from feastflow_registry.credentials import Credential
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.ports import Log
from feastflow_registry.references import RegistryHost

DENIED = re.compile(
    r"(?<!permission )denied|unauthorized|authentication required|insufficient_scope|"
    r"incorrect username|"
    r"\b40[13]\b|forbidden",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"(?:unexpected status|status code|response).{0,80}\b(?:408|429|5\d\d)\b|toomanyrequests|"
    r"connection reset|unexpected EOF|\bEOF$|i/o timeout|TLS handshake timeout|broken pipe",
    re.IGNORECASE,
)
_SESSION = {
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    "BUILDX_METADATA_PROVENANCE": "disabled",
    "BUILDX_GIT_INFO": "0",  # Or buildx runs git, which would see the credential.
}
_PUSHING = "failed to push"
_STEP_FAILED = "did not complete successfully"
_PR_SET_PDEATHSIG = 1
_TRIES = 4
_TAKES_CREDENTIALS = (0, 25)  # https://github.com/docker/cli/pull/6008


@dataclass
class Buildx:
    """One builder. ``environ``: what children see; ``credential``: for ``host`` alone."""

    workspace: Path
    environ: Mapping[str, str]
    log: Log
    sleep: Callable[[float], None]
    builder: str
    host: RegistryHost
    credential: Credential | None

    @cached_property
    def version(self) -> str:
        """The buildx version. Raises a build failure where the program or plugin is missing."""
        answer = self._docker("buildx", "version")
        if answer.returncode == 127:
            raise Failure(
                Kind.BUILD,
                "the program docker is not installed.",
                "Install Docker Engine: https://docs.docker.com/get-docker/",
            )
        if answer.returncode:
            raise Failure(
                Kind.BUILD,
                "docker has no buildx.",
                "Install the plugin: https://github.com/docker/buildx#installing",
            )
        return answer.stdout.strip()

    @property
    def release(self) -> str:
        """The version's number alone; the whole answer, if it names none."""
        found = re.search(r"\bv?(\d+\.\d+\.\d+)", self.version)
        return found[1] if found else self.version

    @cached_property
    def driver(self) -> str:
        """The driver of the builder: ``docker``, ``docker-container``, ``remote``…; or empty."""
        answer = self._docker("buildx", "inspect", *([self.builder] if self.builder else []))
        found = re.search(r"^Driver:[ \t]*(\S+)", answer.stdout, re.MULTILINE)
        if not found and self.builder:
            raise Failure(
                Kind.BUILD,
                f"there is no builder named {self.builder!r}.",
                "See `docker buildx ls`, or create it with docker/setup-buildx-action.",
            )
        return found[1] if found else ""

    def check_ready(self) -> None:
        """Refuse a builder that would push without being able to take the credential."""
        numbers = re.match(r"(\d+)\.(\d+)", self.release)
        version = (int(numbers[1]), int(numbers[2])) if numbers else _TAKES_CREDENTIALS
        pushes = self.credential and self.driver not in ("docker", "")
        if pushes and version < _TAKES_CREDENTIALS:
            raise Failure(
                Kind.BUILD,
                f"buildx {self.release} cannot be handed a credential without a file.",
                "Update buildx to 0.25 or newer, or leave the input builder empty.",
            )

    def context_host(self) -> str:
        """The engine's address in the current Docker context."""
        answer = self._docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        return answer.stdout.strip() or "unix:///var/run/docker.sock"

    def bake(self, definition: str, metadata: Path, *, push: bool) -> None:
        """Run one Bake session, again from the cache after a registry's passing failure."""
        builder = ["--builder", self.builder] if self.builder else []
        options = ["--progress=plain", "--metadata-file", str(metadata), "-f", "-"]
        command = [*self._program, "bake", *builder, *options]
        tries = _TRIES if push else 1
        for attempt in range(tries):
            code, error = self._session(command, definition)
            if code == 0:
                return
            if _STEP_FAILED in error:
                break  # What a step of the Dockerfile says of itself is no registry's word.
            if DENIED.search(error):
                raise Failure(
                    Kind.REFUSED,
                    f"a registry denied the build: {error}",
                    "Give the token read and write scope; for a private base image of another "
                    "registry, run `docker login` for it first.",
                )
            passing = _PUSHING in error or _PASSING.search(error)
            if not passing or attempt == tries - 1:
                break
            self.log.say("a registry failed for a moment, building again from the cache")
            self.sleep(2.0**attempt)
        if _PUSHING in error:
            raise Failure(
                Kind.UNREACHABLE,
                f"the push of what was built failed {tries} times: {error}",
                "Check the registry's status, then run again: what is built is in the cache.",
            )
        raise Failure(
            Kind.BUILD,
            f"the build failed: {error or 'see the log above'}",
            "The log above names the step; `feastflow-registry build` runs it by hand.",
        )

    def _session(self, command: Sequence[str], definition: str) -> tuple[int, str]:
        """Run one session; its exit code, and the error that BuildKit ends with."""
        environ = {**self.environ, **_SESSION}
        if self.credential:
            environ["DOCKER_AUTH_CONFIG"] = self.credential.docker_config(self.host)
        error = ""
        with subprocess.Popen(
            command,
            cwd=self.workspace,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  This program has one thread.
        ) as process:
            try:
                for line in filter(str.strip, _exchange(process, definition)):
                    self.log.quote(line)
                    error = _cause(line) if line.startswith("ERROR:") else error
            except BaseException:
                process.kill()
                raise
        return process.returncode, error

    @cached_property
    def _program(self) -> list[str]:
        """The plugin itself: ``docker`` would show its environment to every other plugin too."""
        form = '{{range .ClientInfo.Plugins}}{{if eq .Name "buildx"}}{{.Path}}{{end}}{{end}}'
        path = self._docker("info", "--format", form).stdout.strip()
        return [path] if path else ["docker", "buildx"]

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", *arguments]
        try:
            return subprocess.run(
                command,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60,
                check=False,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, "", "")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", "")


def _end_with_parent() -> None:
    """Ask the kernel to end the child with us, SIGKILL included: it holds the credential.

    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _exchange(process: subprocess.Popen[bytes], text: str) -> Iterator[str]:
    """Write a child's input, then yield its lines; only a line feed ends one."""
    if process.stdin and process.stdout:
        with suppress(BrokenPipeError):  # It ended early, and says why on its output.
            process.stdin.write(text.encode())
            process.stdin.close()
        for line in process.stdout:
            yield line.decode("utf-8", "replace").rstrip("\n")


def _cause(line: str) -> str:
    """What BuildKit's closing line says, without the way it took to get there."""
    said = line.removeprefix("ERROR:").strip().removeprefix("failed to solve: ")
    return clean(re.sub(r"failed to calculate checksum of ref \S+: ", "", said))


def clean(text: str) -> str:
    """Shorten another program's message to one printable line."""
    return "".join(each if each.isprintable() else " " for each in text.strip())[:400]
