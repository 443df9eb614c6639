"""Debian packages unpacked beside the system: fetched by the machine's own apt, verified by it.

apt runs with private folders, so the machine's sources, lists and cache stay as they are; its
proxy and login settings still apply. Only `install` changes the machine, and only as root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from places import BIN, DOCKER_CONFIG, STATE, TOOLS, StackError, give_back, say, system_path

SUITE = "forky"
FALLBACK_MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT = STATE / "apt"
STAMPS = TOOLS / "packages"

CLIENTS = ("crane", "docker-registry", "busybox-static")
# Independent judges of what `deploy` writes into manifests.
JUDGES = ("kubectl", "kustomize")
CLI = ("docker-cli", "docker-buildx")
DAEMONS = ("docker.io", "containerd", "tini-static")
# What a daemon needs from the machine's own distribution: command → package.
SYSTEM = {"runc": "runc", "iptables": "iptables", "ip": "iproute2"}

COMMANDS = {
    "docker-cli": "docker",
    "crane": "crane",
    "docker-registry": "docker-registry",
    "kubectl": "kubectl",
    "kustomize": "kustomize",
}


def are_available() -> bool:
    """Whether this machine can fetch Debian packages at all."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg"))


def fetch(names: Iterable[str]) -> None:
    """Unpack the named packages under `.dev/tools`, skipping those already there."""
    missing = [name for name in names if not (STAMPS / name).exists()]
    if missing:
        if not are_available():
            raise StackError(
                f"{', '.join(missing)} cannot be fetched: apt-get is not on this machine.",
                "Use Debian or Ubuntu, or install and start Docker (23 or newer) and crane.",
            )
        say(f"fetching {', '.join(missing)}, once")
        _download(missing)
        say(f"unpacked {', '.join(missing)} from Debian {SUITE}")
    _link_commands()


def install(commands: Iterable[str] = SYSTEM) -> None:
    """Install what the daemons need from the machine's own distribution, where it is missing."""
    missing = [SYSTEM[name] for name in commands if not shutil.which(name, path=system_path())]
    if not missing:
        return
    install_them = ["apt-get", "install", "-qq", "--no-install-recommends", *missing]
    if _run(install_them, check=False).returncode:
        _run(["apt-get", "update", "-qq"])
        _run(install_them)
    say(f"installed {', '.join(missing)} from the machine's own distribution")


def _download(names: list[str]) -> None:
    downloads = APT / "downloads"
    shutil.rmtree(downloads, ignore_errors=True)
    for folder in (downloads, STAMPS, APT / "lists/partial", APT / "cache/archives/partial"):
        folder.mkdir(parents=True, exist_ok=True)
    download = [*_apt_get(), "download", *names]
    # The lists of an earlier time will do, unless the mirror no longer has what they name.
    if _run(download, cwd=downloads, check=False).returncode:
        _update()
        _run(download, cwd=downloads)
    archives = sorted(downloads.glob("*.deb"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda archive: _run(["dpkg", "-x", str(archive), str(TOOLS)]), archives))
    for archive in archives:
        (STAMPS / archive.name.split("_")[0]).write_text(archive.name + "\n")
    shutil.rmtree(downloads)


def _update() -> None:
    """Fetch the package lists from the first mirror that has the suite."""
    keyring = _find_keyring()
    failure = None
    for mirror in _mirrors():
        _configure(mirror, keyring)
        failure = _run([*_apt_get(), "update"], check=False)
        if failure.returncode == 0:
            return
    raise StackError(
        f"No mirror gave the package lists of Debian {SUITE}:\n{_last_lines(failure)}",
        "Check the network and the proxy that apt is configured with, then run this again.",
    )


def _mirrors() -> Iterator[str]:
    """The mirrors to try: those the machine's apt is configured with, likeliest first."""
    description = Path("/etc/os-release").read_text()
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', description, re.MULTILINE))
    if release.get("ID") == "debian":
        listed = _run(["apt-get", "update", "--print-uris"], check=False).stdout
        found = re.findall(r"^'([^']+?)/dists/([^/']+)/InRelease'", listed, re.MULTILINE)
        # The archive itself is the one that also serves "-updates"; third parties do not.
        with_updates = [base for base, suite in found if suite.endswith("-updates")]
        named_debian = [base for base, _ in found if base.endswith("/debian")]
        yield from dict.fromkeys([*with_updates, *named_debian])
    yield FALLBACK_MIRROR


def _find_keyring() -> Path:
    """The Debian archive's keys; where they are not installed, from the distribution's package."""
    private = APT / "keyring"
    if KEYRING.exists():
        return KEYRING
    if not (private / KEYRING.relative_to("/")).exists():
        private.mkdir(parents=True, exist_ok=True)
        download = ["apt-get", "download", "debian-archive-keyring"]
        if _run(download, cwd=private, check=False).returncode:
            raise StackError(
                "The keys of the Debian archive are not on this machine.",
                "Run: sudo apt-get update && sudo apt-get install debian-archive-keyring",
            )
        _run(["dpkg", "-x", str(next(private.glob("*.deb"))), str(private)])
    return private / KEYRING.relative_to("/")


def _configure(mirror: str, keyring: Path) -> None:
    (APT / "status").touch()
    sources = APT / "sources.list.d"
    sources.mkdir(exist_ok=True)
    architecture = _run(["dpkg", "--print-architecture"]).stdout.strip()
    (sources / "stack.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nTargets: Packages\n"
        f"Architectures: {architecture}\nSigned-By: {keyring}\n"
    )
    # Read with -c, after the machine's settings: its update hooks write outside our folders.
    (APT / "apt.conf").write_text(
        "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::preferences "/dev/null";\n'
        'Dir::Etc::preferencesparts "/dev/null";\nAPT::Update::Error-Mode "any";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        f'Dir::Etc::sourceparts "{sources}";\nDir::State "{APT}";\n'
        f'Dir::State::status "{APT}/status";\nDir::Cache "{APT}/cache";\n'
    )


def _apt_get() -> list[str]:
    return ["apt-get", "-q", "-c", str(APT / "apt.conf")]


def _link_commands() -> None:
    """Put the unpacked commands, and nothing else of the packages, on the developer's PATH."""
    links = {
        BIN / command: TOOLS / "usr/bin" / command
        for package, command in COMMANDS.items()
        if (STAMPS / package).exists()
    }
    if (STAMPS / "docker-buildx").exists():
        plugin = TOOLS / "usr/libexec/docker/cli-plugins/docker-buildx"
        links[DOCKER_CONFIG / "cli-plugins/docker-buildx"] = plugin
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(target)
    if DOCKER_CONFIG.exists():
        give_back(DOCKER_CONFIG)  # docker login and buildx write there


def _run(
    argv: list[str], *, cwd: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise StackError(
            f"{' '.join(argv)} failed:\n{_last_lines(done)}",
            "Check the network and the space on the disk, then run this again.",
        )
    return done


def _last_lines(done: subprocess.CompletedProcess[str] | None) -> str:
    return "\n".join(done.stdout.splitlines()[-20:]) if done else ""
