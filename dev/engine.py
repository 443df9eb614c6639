"""Docker engines: one that already answers, or our own dockerd and containerd, one per store."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import network
import packages
from places import (
    MARK,
    RUNTIME,
    STATE,
    TOOLS,
    StackError,
    give_back,
    is_root,
    say,
    search_path,
    system_path,
)
from processes import Process, command_line, end, find_strays

STORES = ("classic", "containerd")
OLDEST = 23
LEAST_MEMORY = 6 * 1024 * 1024
"""In KiB. A run of all tests leaves an engine with 1 GiB."""
CGROUP = f"feastflow-dev-{MARK}"
SYSTEM_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers."""

    host: str
    version: str
    store: str
    ours: bool


def find(store: str | None) -> Engine | None:
    """An engine that answers now: ours first, then the machine's; `None` means any store."""
    for name in (store,) if store else STORES:
        if _dockerd(name).pid() and (version := _version_at(_socket(name))):
            return Engine(f"unix://{_socket(name)}", version, name, ours=True)
    found = _find_machines()
    return found if found and store in (None, found.store) else None


def start(store: str) -> Engine:
    """Bring up our own engine with the given image store."""
    if not Path("/proc/self/cgroup").exists() or not packages.are_available():
        raise StackError(
            "No Docker engine answers, and one can be started here on Debian and Ubuntu only.",
            f"Install and start Docker {OLDEST} or newer with buildx, then run this again.",
        )
    if not is_root():
        raise StackError(
            f"No Docker engine answers{_with_store(store)}, and starting one needs root.",
            "Start Docker, or run this again with sudo.",
        )
    packages.fetch([*packages.CLI, *packages.DAEMONS])
    packages.install()
    network.create_bridge(store)
    for folder in ("data", "containerd"):
        _keep_in_memory(_home(store) / folder)
    environ = {"PATH": system_path(), "HOME": str(_home(store)), **_proxies()}
    _configure(store)
    _containerd(store).start(ready=_containerd_socket(store).exists, seconds=30, environ=environ)
    _dockerd(store).start(
        ready=lambda: bool(_version_at(_socket(store))), seconds=60, environ=environ
    )
    give_back(_socket(store))
    engine = find(store)
    assert engine is not None
    say(f"started Docker Engine {engine.version}, {store} store, {engine.host}")
    return engine


def stop_all() -> None:
    """Stop our engines and everything they left: shims, containers, mounts, cgroups, bridges."""
    for store in STORES:
        if _dockerd(store).stop(seconds=30):
            say(f"stopped the engine with the {store} store")
        _containerd(store).stop()
    end(find_strays())
    _end_containers()
    _unmount()
    if is_root():
        network.remove()
        shutil.rmtree(RUNTIME, ignore_errors=True)


def _find_machines() -> Engine | None:
    """The engine that DOCKER_HOST or the docker CLI's context names, if it is good enough."""
    docker = shutil.which("docker", path=search_path())
    if docker is None:
        return None
    environ = {**os.environ, "PATH": search_path()}
    if environ.get("DOCKER_HOST", "").startswith(f"unix://{RUNTIME}"):
        del environ["DOCKER_HOST"]

    def ask(*arguments: str) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [docker, *arguments],
                env=environ,
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
            return done.stdout.strip() if done.returncode == 0 else ""
        return ""

    version = ask("version", "--format", "{{.Server.Version}}")
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) < OLDEST:
        return None
    host = environ.get("DOCKER_HOST") or ask(
        "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"
    )
    snapshotter = "io.containerd.snapshotter" in ask("info", "--format", "{{json .DriverStatus}}")
    return Engine(host, version, "containerd" if snapshotter else "classic", ours=False)


def has_buildx() -> bool:
    """Whether the docker command on this machine brings buildx."""
    docker = shutil.which("docker", path=search_path())
    if docker is None:
        return False
    done = subprocess.run([docker, "buildx", "version"], capture_output=True, check=False)
    return done.returncode == 0


def _version_at(path: Path) -> str:
    """The version of the engine behind a unix socket, or nothing."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        connection.sock.connect(str(path))
        connection.request("GET", "/version")
        return str(json.load(connection.getresponse())["Version"])
    except PermissionError:
        raise StackError(
            f"{path} belongs to another user.", "Run this again with sudo, as the engine was."
        ) from None
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _keep_in_memory(folder: Path) -> None:
    """Keep a folder in memory, if there is enough: an engine waits for the disk at every build.

    It is empty again when the engine is stopped. https://docs.kernel.org/filesystems/tmpfs.html
    """
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    if int(facts["MemAvailable"].split()[0]) < LEAST_MEMORY or folder.is_mount():
        return
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    subprocess.run(argv, capture_output=True, check=False)


def _configure(store: str) -> None:
    run, home = _run(store), _home(store)
    run.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "data-root": str(home / "data"),
        "exec-root": str(run / "exec"),
        "pidfile": str(run / "dockerd.pid"),
        "hosts": [f"unix://{_socket(store)}"],
        "containerd": str(_containerd_socket(store)),
        "bridge": network.bridge_name(store),
        # Where a port is published unless `-p` names an address: on the default network, on others.
        "ip": "127.0.0.1",
        "default-network-opts": {
            "bridge": {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}
        },
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "ip-masq": False,
        "default-address-pools": [{"base": network.address_pool(store), "size": 24}],
        "cgroup-parent": f"/{CGROUP}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "features": {"containerd-snapshotter": store == "containerd"},
        "shutdown-timeout": 5,
    }
    (home / "daemon.json").write_text(json.dumps(settings, indent=2))
    # Kubernetes' and NRI's plugins would listen on sockets that another containerd uses.
    (home / "containerd.toml").write_text(
        f'version = 3\nroot = "{home}/containerd"\nstate = "{run}/containerd"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",'
        ' "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri",'
        ' "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\naddress = "{_containerd_socket(store)}"\n'
    )
    # Left by a kill: dockerd refuses to start if the pid in it is alive, as anything.
    if _dockerd(store).pid() is None:
        (run / "dockerd.pid").unlink(missing_ok=True)
    if _containerd(store).pid() is None:
        _containerd_socket(store).unlink(missing_ok=True)


def _dockerd(store: str) -> Process:
    home = _home(store)
    program = str(TOOLS / "usr/sbin/dockerd")
    return Process(
        [program, "--config-file", str(home / "daemon.json")],
        home / "dockerd.log",
    )


def _containerd(store: str) -> Process:
    home = _home(store)
    program = str(TOOLS / "usr/bin/containerd")
    return Process(
        [program, "--config", str(home / "containerd.toml")],
        home / "containerd.log",
    )


def _home(store: str) -> Path:
    return STATE / store


def _run(store: str) -> Path:
    return RUNTIME / store


def _socket(store: str) -> Path:
    return _run(store) / "docker.sock"


def _containerd_socket(store: str) -> Path:
    return _run(store) / "containerd.sock"


def _with_store(store: str) -> str:
    return " with the containerd image store" if store == "containerd" else ""


def _proxies() -> dict[str, str]:
    """The proxy settings of the caller: pulls go through them, as the docker package's would."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {key: value for key, value in os.environ.items() if key.lower() in names}


def _cgroups() -> list[Path]:
    """The stack's cgroup folders, innermost first: one per hierarchy on cgroup v1."""
    roots = [Path("/sys/fs/cgroup") / CGROUP, *Path("/sys/fs/cgroup").glob(f"*/{CGROUP}")]
    found = {path for root in roots if root.is_dir() for path in (root, *root.glob("**/"))}
    return sorted(found, reverse=True)


def _end_containers() -> None:
    """End what still runs in the stack's cgroups: containers whose daemons were killed."""
    procs = [path / "cgroup.procs" for path in _cgroups()]
    pids = {int(pid) for path in procs if path.exists() for pid in path.read_text().split()}
    end([pid for pid in pids if command_line(pid)], seconds=1)
    for path in _cgroups():
        with contextlib.suppress(OSError):
            path.rmdir()


def _unmount() -> None:
    """Unmount what the daemons mounted under the stack's folders, innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = (f"{RUNTIME}/", f"{STATE}/")
    for mount in reversed([point for point in mounts if point.startswith(ours)]):
        argv = ["umount", "--lazy", mount.replace("\\040", " ")]
        subprocess.run(argv, capture_output=True, check=False)
