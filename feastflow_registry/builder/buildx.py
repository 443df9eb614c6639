"""BuildKit, reached through the ``docker buildx`` program.

Children see only the environment that they are given. buildx gets the credential in the variable
``DOCKER_AUTH_CONFIG``, for build sessions only; no file ever holds it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from feastflow_registry.builder.bake import entitlements, secret_variable
from feastflow_registry.builder.build_log import BuildLog
from feastflow_registry.builder.sessions import Ended
from feastflow_registry.model.credentials import Credential, docker_config
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.ports import Log
from feastflow_registry.model.references import RegistryHost

_SESSION = {
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    "BUILDX_METADATA_PROVENANCE": "disabled",
    "BUILDX_GIT_INFO": "0",  # Or buildx runs git, which would see the credential.
}
_PR_SET_PDEATHSIG = 1
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
"""Found before any fork: to look it up takes a lock that a thread which shows progress may hold."""
_NO_PROGRAM = 127
_PATIENCE = 60.0
_PLAIN_CONTEXTS = ("", "default")
_SOCKET = "unix:///var/run/docker.sock"
_TELLS_EVENTS = (0, 13)  # https://github.com/docker/buildx/releases/tag/v0.13.0
_TAKES_WORDS = {
    "entitlements": ('the input "allow" (in a file: entitlements)', (0, 17)),
    "extra_hosts": ('the input "add-hosts" (in a file: extra_hosts)', (0, 25)),
}
"""https://github.com/docker/buildx/pull/2666 and https://github.com/docker/buildx/pull/3234"""
_TAKES_CREDENTIALS = (0, 25)  # https://github.com/docker/cli/pull/6008


@dataclass(frozen=True, slots=True)
class About:
    """How buildx is called, its version, and the Docker context that it follows."""

    program: tuple[str, ...] = ()
    version: str = ""
    context: str = ""


@dataclass
class Buildx:
    """One builder. ``environ``: what children see; ``credentials``: each for its registry alone.

    ``other_config``: gives a folder for what buildx keeps, where its own cannot be written.

    ``variables``: the values of secrets, by the user's names for them. Only a build session gets
    them, under names that replace none of its own; and ``cache_service``, which buildx reads.
    """

    workspace: Path
    environ: Mapping[str, str]
    log: Log
    sleep: Callable[[float], None]
    builder: str
    credentials: Mapping[RegistryHost, Credential]
    other_config: Callable[[], Path]
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    cache_service: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def release(self) -> str:
        """The version's number alone; the whole answer, if it names none.

        Raises a build failure where the program or the plugin is missing.
        """
        version = self._about.version
        found = re.search(r"\bv?(\d+\.\d+\.\d+)", version)
        return found[1] if found else version

    @property
    def driver(self) -> str:
        """The driver of the builder: ``docker``, ``docker-container``, ``remote``…; or empty."""
        found = re.search(r"^Driver:[ \t]*(\S+)", self._facts, re.MULTILINE)
        if not found and self.builder:
            raise Failure(
                Kind.BUILD,
                f"there is no builder named {self.builder!r}.",
                'Name one that `docker buildx ls` shows in the input "builder", or create it with '
                "docker/setup-buildx-action.",
            )
        return found[1] if found else ""

    @property
    def platforms(self) -> frozenset[str]:
        """The platforms whose programs it can run, emulated or not; none, if it does not say."""
        found = re.findall(r"^Platforms:(.*)", self._facts, re.MULTILINE)
        return frozenset(each.strip(" *") for line in found for each in line.split(","))

    def use(self, builder: str) -> None:
        """Build with another builder from now on."""
        self.builder = builder
        self.__dict__.pop("_facts", None)

    @cached_property
    def _facts(self) -> str:
        return self.inspect(self.builder)

    def inspect(self, builder: str) -> str:
        """What buildx says of a builder, the current one if it has no name; empty if of none."""
        return self.ask("inspect", *filter(None, [builder])).stdout

    def ask(self, *words: str, seconds: float = _PATIENCE) -> subprocess.CompletedProcess[str]:
        """Have buildx do something that is no build."""
        return self._run(*self._about.program, *words, seconds=seconds)

    def used(self) -> Mapping[str, float]:
        """When each of the builders that buildx keeps was used last, in Unix time.

        https://github.com/docker/buildx/blob/master/store/store.go
        """
        found: dict[str, float] = {}
        for kind in ("instances", "activity"):
            for file in (self._folder / kind).glob("*"):
                with suppress(OSError):  # Another run may have removed it.
                    if kind == "instances" or file.name in found:
                        found[file.name] = max(found.get(file.name, 0.0), file.stat().st_mtime)
        return found

    def check_ready(self, images: Sequence[BuildImage]) -> None:
        """Refuse a buildx that is too old to report its steps, or to take what it is given."""
        numbers = re.match(r"(\d+)\.(\d+)", self.release)
        version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        if version == (0, 0):  # A build that does not know its own version.
            return
        if version < _TELLS_EVENTS:
            raise Failure(
                Kind.BUILD,
                f"buildx {self.release} is too old: it does not report its steps.",
                "Update buildx to 0.13 or newer.",
                see="old-buildx",
            )
        services = [each for image in images for each in (image.service, *image.needs)]
        for word, (names, since) in _TAKES_WORDS.items():
            if version < since and any(getattr(each.options, word) for each in services):
                raise Failure(
                    Kind.BUILD,
                    f"buildx {self.release} is too old for {names}: buildx would ignore that "
                    "and show no error.",
                    f"Update buildx to {since[0]}.{since[1]} or newer.",
                    see="old-buildx",
                )
        pushes = self.credentials and self.driver not in ("docker", "")
        if pushes and version < _TAKES_CREDENTIALS:
            raise Failure(
                Kind.BUILD,
                f"buildx {self.release} is too old: it cannot take the credential from memory.",
                "Update buildx to 0.25 or newer; the engine's own builder needs no update.",
                see="old-buildx",
            )

    def context_host(self) -> str:
        """The engine's address in the current Docker context."""
        if self._about.context in _PLAIN_CONTEXTS:
            return _SOCKET
        inspect = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        return self._run("docker", *inspect).stdout.strip() or _SOCKET

    def bake(
        self,
        definition: str,
        metadata: Path,
        log: BuildLog,
        targets: Sequence[str],
        *,
        alone: bool,
        no_cache: bool = False,
    ) -> Ended:
        """Run one session that builds some targets of a Bake definition.

        ``alone``: whether it is to tell the fault of the only target; ``no_cache``: build that
        target without the cache.
        """
        builder = ["--builder", self.builder] if self.builder else []
        options = ["--progress=rawjson", "--metadata-file", str(metadata), "-f", "-"]
        options += [f"--allow={each}" for each in entitlements(definition)]
        without = [f"--set={target}.no-cache=true" for target in targets if no_cache]
        command = [*self._about.program, "bake", *builder, *options, *without, *targets]
        log.begin(targets, alone=alone)
        code = self._session(command, definition, log)
        log.end()
        if code < 0:
            raise Failure(
                Kind.BUILD,
                f"the program buildx was ended by the signal {-code}.",
                "See whether this machine has run out of memory (`dmesg` tells), then run again.",
            )
        if code:
            return Ended(fault=log.fault, suspects=log.suspects)
        return Ended(json.loads(metadata.read_text()))

    def _session(self, command: Sequence[str], definition: str, log: BuildLog) -> int:
        """Run one session, pass its output on, and return its exit code."""
        secrets = {secret_variable(name): value for name, value in self.variables.items()}
        environ = {**secrets, **self._environ, **self.cache_service, **_SESSION}
        # For some contexts, buildx forwards an agent to a build that asks for none.
        if not any(target.get("ssh") for target in json.loads(definition)["target"].values()):
            environ.pop("SSH_AUTH_SOCK", None)
        if self.credentials:
            environ["DOCKER_AUTH_CONFIG"] = docker_config(self.credentials)
        with subprocess.Popen(
            command,
            cwd=self.workspace,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  It takes no lock: see there.
        ) as process:
            try:
                for line in filter(str.strip, _exchange(process, definition)):
                    log.read(line)
            except BaseException:
                process.kill()
                raise
        return process.returncode

    @cached_property
    def _about(self) -> About:
        """The plugin, its version and the Docker context, by one call of docker.

        The plugin is run itself: ``docker`` would show its environment to every other plugin too.
        """
        answer = self._run("docker", "info", "--format", "{{json .ClientInfo}}")
        if answer.returncode == _NO_PROGRAM:
            raise Failure(
                Kind.BUILD,
                "the program docker is not installed.",
                "Install Docker Engine: https://docs.docker.com/get-docker/",
            )
        about = _read_about(answer.stdout)
        if about.version:
            return about
        # Some programs named docker know buildx, but no list of plugins.
        if self._run("docker", "--version").stdout.startswith("podman"):
            raise no_podman()
        answer = self._run("docker", "buildx", "version")
        if answer.returncode or self._run("docker", "buildx", "bake", "--help").returncode:
            raise Failure(
                Kind.BUILD,
                f"docker has no buildx{' that knows bake' if not answer.returncode else ''}.",
                "Install the plugin: https://github.com/docker/buildx#installing",
            )
        return About(("docker", "buildx"), answer.stdout.strip(), about.context)

    @property
    def _folder(self) -> Path:
        """Where buildx keeps what it knows of its builders.

        https://docs.docker.com/build/building/variables/#buildx_config
        """
        return _buildx_folder(self._environ)

    @cached_property
    def _environ(self) -> Mapping[str, str]:
        """What children see, with a folder in which buildx may keep its records of builds."""
        own = _buildx_folder(self.environ)
        if _is_writable(own):
            return self.environ
        other = self.other_config()
        with suppress(OSError):  # The builders that somebody has made, if we may read them.
            for file in filter(Path.is_file, own.glob("**/*")):
                copy = other / file.relative_to(own)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
        return {**self.environ, "BUILDX_CONFIG": str(other)}

    def _run(self, *command: str, seconds: float = _PATIENCE) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                preexec_fn=_end_with_parent,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, _NO_PROGRAM, "", "")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", "")


def no_podman() -> Failure:
    """Refuse Podman, which takes the place of docker and of its engine, but has no BuildKit."""
    return Failure(
        Kind.BUILD,
        "the command docker is Podman here, and Podman has no BuildKit.",
        "Install Docker Engine, as https://docs.docker.com/engine/install/ says.",
        see="podman",
    )


def _buildx_folder(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or Path.home()
    docker = Path(environ.get("DOCKER_CONFIG") or Path(home, ".docker"))
    return Path(environ.get("BUILDX_CONFIG") or docker / "buildx")


def _is_writable(folder: Path) -> bool:
    """Whether a folder can be written, or made."""
    places = (folder, *folder.absolute().parents)
    there = next(each for each in places if os.path.lexists(each))
    return os.access(f"{there}/.", os.W_OK | os.X_OK)  # Nothing but a folder has a `.` in it.


def _end_with_parent() -> None:
    """Ask the kernel to end the child with us, SIGKILL included.

    It holds the credential, or makes a builder that nobody waits for. Only Linux knows this.
    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    if _PRCTL:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _exchange(process: subprocess.Popen[bytes], text: str) -> Iterator[str]:
    """Write a child's input, then yield its lines; only a line feed ends one."""
    if process.stdin and process.stdout:
        with suppress(BrokenPipeError):  # It ended early, and says why on its output.
            process.stdin.write(text.encode())
            process.stdin.close()
        for line in process.stdout:
            yield line.decode("utf-8", "replace").rstrip("\n")


def _read_about(text: str) -> About:
    try:
        found = json.loads(text)
        plugins = {each["Name"]: each for each in found.get("Plugins") or []}
        plugin = plugins["buildx"]
        return About((plugin["Path"],), plugin["Version"], found.get("Context", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return About()
