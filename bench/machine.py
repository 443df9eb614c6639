"""The machine that all alternatives share: one engine, one registry behind a counting proxy."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Self

from support.act import SHIPPED
from support.servers.certificates import Authority
from support.servers.fault_proxy import FaultProxy
from support.servers.registry import Registry
from support.servers.wheel_host import WheelHost, locked_wheels

from bench import ROOT
from bench.measure import Run
from bench.project import MARK

USER = "feastflow"
SHARED = ("sprint3", "latest")

# How to reach the package index, certificates and proxies; never a cache that is there already.
_PASSED_ON = re.compile(
    r"(PIP|UV)_(?!CACHE_DIR)\w*(INDEX|LINKS|HOST|CERT|TIMEOUT|KEYRING)\w*|"
    r"SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|NODE_EXTRA_CA_CERTS|\w+_proxy",
    re.IGNORECASE,
)
_NODE_TRUSTS = "NODE_EXTRA_CA_CERTS"
_PYPI = "https://pypi.org/simple"
_AT_ONCE = 25  # The engine builds nothing while it removes.
_PROGRAMS = ("docker", "git", "node", "bash")
_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")


class Install(Enum):
    """How the packages come to a machine that kept none."""

    WHEELS = "by address"
    UV = "by uv"
    PIP = "by pip and its uv"


class BenchError(Exception):
    """What keeps a measurement from being one."""


class Machine:
    """Folders, programs and servers; everything is removed in the end."""

    def __init__(self) -> None:
        self.token = "dckr_pat_" + secrets.token_urlsafe(24)
        self.proxy = FaultProxy()
        self.proxies = [self.proxy]
        """Whatever requests are counted at, the registry's first."""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            temporary = tempfile.TemporaryDirectory(
                prefix="feastflow-bench-", ignore_cleanup_errors=True
            )
            self.folder = Path(opening.enter_context(temporary))
            self.stack = _stack()
            self.paths = {uv: self._path(uv=uv) for uv in (True, False)}
            self.authority = Authority.create(self.folder / "authority")
            self.wheels = opening.enter_context(WheelHost(self.authority, self._fetch_wheels()))
            self.action = self._copy_action()
            program = shutil.which("docker-registry", path=self.stack["PATH"])
            self.registry = Registry(users={USER: self.token}, binary=program)
            opening.enter_context(self.registry)
            opening.enter_context(self.proxy)
            self.proxy.upstream = self.registry.url
            self._cache = BuildCache(self.environ(home=self.folder / "housekeeping"))
            opening.callback(self.clear_engine)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *problem: object) -> None:
        self._open.close()

    @property
    def host(self) -> str:
        """The registry as every alternative names it."""
        return f"localhost:{self.proxy.port}"

    def busybox(self) -> Path:
        """A static program, for images that run something and pull nothing."""
        folder = self.new_folder("busybox")
        asked = [sys.executable, str(ROOT / "dev" / "stack"), "busybox", str(folder)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"there is no static busybox: {done.stderr.strip()}")
        return folder / "busybox"

    def new_folder(self, name: str) -> Path:
        """An empty folder that nobody has used."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def environ(
        self,
        *,
        home: Path,
        docker: Path | None = None,
        install: Install = Install.WHEELS,
        login: bool = False,
    ) -> dict[str, str]:
        """What a step sees of the machine. By address, as if nobody had configured an index.

        `docker`: Docker's configuration, if it is not HOME's own; `login`: whether that holds
        the registry's password.
        """
        config = self._docker_config(docker or home / ".docker", login=login)
        passed = {name: each for name, each in os.environ.items() if _PASSED_ON.fullmatch(name)}
        if install is Install.WHEELS:
            passed = {name: each for name, each in passed.items() if name == _NODE_TRUSTS}
            passed |= {"SSL_CERT_FILE": str(self._trusted())}
            passed |= {"PIP_CONFIG_FILE": os.devnull, "UV_CONFIG_FILE": os.devnull}
        else:
            passed.setdefault("UV_DEFAULT_INDEX", passed.get("PIP_INDEX_URL", _PYPI))
        return {
            **passed,
            "PATH": self.paths[install is Install.UV],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": self.stack["DOCKER_HOST"],
            "DOCKER_CONFIG": str(config),
        }

    def run(
        self, argv: Sequence[str | Path], environ: Mapping[str, str], cwd: Path
    ) -> tuple[float, str]:
        """Run a program to its end; its seconds, and what it said. It has to succeed."""
        began = time.perf_counter()
        done = subprocess.run(
            argv,
            env=environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if "::add-mask::" not in line]
            raise BenchError(f"{argv[0]} ended with {done.returncode}:\n" + "\n".join(said[-30:]))
        return seconds, done.stdout

    def watch(self, work: Callable[[], Mapping[str, float]]) -> Run:
        """Do some work, and add what the registry saw of it."""
        before = [len(each.requests) for each in self.proxies]
        laps = work()
        seen = zip(self.proxies, before, strict=True)
        requests = [request for proxy, at in seen for request in proxy.requests[at:]]
        return Run(laps, sorted(requests, key=lambda each: each.at))

    @contextmanager
    def delayed(self, milliseconds: int) -> Iterator[None]:
        """Let every request take so much longer."""
        for proxy in self.proxies:
            proxy.latency_ms = milliseconds
        try:
            yield
        finally:
            for proxy in self.proxies:
                proxy.latency_ms = 0

    def find(self, program: str) -> str:
        """A program that is needed besides."""
        found = shutil.which(program, path=self.stack["PATH"])
        if not found:
            raise BenchError(f"the program {program} is not installed")
        return found

    def check_published(self, repository: str, tags: Sequence[str]) -> None:
        """Refuse to count a run that did not set all these tags to one digest."""
        root = self.registry.storage / "docker/registry/v2/repositories" / repository
        links = [root / "_manifests/tags" / tag / "current/link" for tag in tags]
        digests = {link.read_text() if link.exists() else "" for link in links}
        if len(digests) != 1 or "" in digests:
            raise BenchError(f"{repository} does not hold {', '.join(tags)} with one digest")

    def clear_images(self) -> None:
        """Remove the images that were made here."""
        listed = self._docker("image", "ls", "--all", "--quiet", "--filter", f"label={MARK}")
        if listed:
            self._docker("image", "rm", "--force", *dict.fromkeys(listed.split()))

    def clear_engine(self) -> None:
        """Remove the images that were made here, and what the build cache did not hold before."""
        self.clear_images()
        self._cache.prune()

    def _path(self, *, uv: bool) -> str:
        """A PATH with the programs that are needed, and with uv or without any."""
        programs = self.folder / ("programs-and-uv" if uv else "programs")
        programs.mkdir()
        around = os.pathsep.join([str(Path(sys.executable).parent), self.stack["PATH"]])
        found = {name: shutil.which(name, path=self.stack["PATH"]) for name in _PROGRAMS}
        found["python3"] = str(Path(sys.base_prefix, "bin", "python3"))
        found |= {"uv": shutil.which("uv", path=around)} if uv else {}
        for name, program in found.items():
            if program:
                (programs / name).symlink_to(Path(program).resolve())
            elif name != "node":
                raise BenchError(f"the program {name} is not installed")
        system = [each for each in _SYSTEM if not Path(each, "uv").exists()]
        return os.pathsep.join([str(programs), *system])

    def _docker_config(self, folder: Path, *, login: bool) -> Path:
        """A Docker configuration of one's own; with buildx, wherever this machine has it."""
        if not (folder / "config.json").exists():
            plugins = Path(self.stack.get("DOCKER_CONFIG", Path.home() / ".docker"), "cli-plugins")
            folder.mkdir(parents=True, exist_ok=True)
            if plugins.exists():
                (folder / "cli-plugins").symlink_to(plugins)
            pair = base64.b64encode(f"{USER}:{self.token}".encode()).decode()
            auths = {self.host: {"auth": pair}} if login else {}
            (folder / "config.json").write_text(json.dumps({"auths": auths}))
        return folder

    def _copy_action(self) -> Path:
        """The action as a runner unpacks it: no bytecode, nothing that is not part of it."""
        target = self.folder / "action"
        shutil.copytree(
            ROOT / "feastflow_registry",
            target / "feastflow_registry",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for name in SHIPPED:
            shutil.copy(ROOT / name, target)
        table = target / "wheels.txt"
        table.write_text(self.wheels.move(table.read_text()))
        return target

    def _fetch_wheels(self) -> dict[str, bytes]:
        """The locked packages for this Python, by pip."""
        folder = self.new_folder("wheels")
        return locked_wheels(folder, f"{sys.base_prefix}/bin/python3")

    def _trusted(self) -> Path:
        """As many authorities as the system has, and the one that stands in for PyPI's."""
        file, system = self.folder / "trusted.pem", ssl.get_default_verify_paths().cafile
        if not file.exists():
            found = Path(system).read_bytes() if system else b""
            file.write_bytes(found + self.authority.file.read_bytes())
        return file

    def _docker(self, *arguments: str) -> str:
        return docker(self.environ(home=self.folder / "housekeeping"), *arguments)


@dataclass
class BuildCache:
    """What a builder keeps; the current one, if it is not named. `known`: what it had before."""

    environ: Mapping[str, str]
    builder: str = ""
    known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.known = self._held()

    def prune(self) -> None:
        """Remove what was not there before."""
        new = sorted(self._held() - self.known)
        for at in range(0, len(new), _AT_ONCE):
            names = f"id~=^({'|'.join(new[at : at + _AT_ONCE])})$"
            self._buildx("prune", "--all", "--force", "--filter", names)

    def _held(self) -> frozenset[str]:
        first = (line.split()[0] for line in self._buildx("du").splitlines() if line)
        found = (word.removesuffix("*") for word in first)
        return frozenset(word for word in found if re.fullmatch(r"[a-z0-9]{25}", word))

    def _buildx(self, command: str, *arguments: str) -> str:
        named = ["--builder", self.builder] if self.builder else []
        return docker(self.environ, "buildx", command, *named, *arguments)


def docker(environ: Mapping[str, str], *arguments: str) -> str:
    """What docker says; nothing, if it fails."""
    done = subprocess.run(
        ["docker", *arguments], env=environ, capture_output=True, text=True, check=False
    )
    return done.stdout


def _stack() -> dict[str, str]:
    """The development stack's variables."""
    asked = [sys.executable, str(ROOT / "dev" / "stack"), "env", "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(
            f"{done.stderr.strip()}\nStart an engine and a registry with: dev/stack up"
        )
    found: dict[str, str] = json.loads(done.stdout)
    return found
