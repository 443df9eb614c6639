"""Puts the locked packages into a folder.

wheels.txt names the wheel of each package, its address and its hash: they are fetched side by side
and unzipped. uv or pip installs, from requirements.txt, where somebody has told one of them where
packages come from, where this Python has no wheel, and where the addresses do not answer.
"""

from __future__ import annotations

import hashlib
import io
import os
import queue
import re
import shutil
import ssl
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from urllib import request

from bootstrap import ACTION
from environment import BAD_RUNNER, Stop, command

NO_INDEX = 5
REACH = "Run the job again, or check the runner's network, proxy and package index."
SILENT_FOR = 10
"""Seconds for which an address may say nothing."""
ALL_WITHIN = 60
"""Seconds in which all wheels have to arrive."""
TOOL_WITHIN = 600
"""Seconds in which uv or pip has to be done: an index may send a byte a second."""

# The first that is set counts, as for the program: transport/certificates.py.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

BOTH = ("index-url", "extra-index-url", "no-index", "find-links")
# https://pip.pypa.io/en/stable/topics/configuration/
PIP_SETTINGS = (*BOTH, "proxy")
PIP_ALONE = ("client-cert", "trusted-host", "keyring-provider")
"""What tells pip how to reach an index, of which uv understands nothing."""
# https://docs.astral.sh/uv/reference/settings/
UV_SETTINGS = (*BOTH, "default-index", "index", "offline")

LOCKED = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r")
# What uv and pip may see: how to reach the package index, and nothing else that a job sets.
SEEN = re.compile(
    r"PATH|HOME|TMPDIR|LANG|LC_ALL|XDG_(CACHE|CONFIG)_HOME|XDG_CONFIG_DIRS|NETRC|"
    r"(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|"
    r"PIP_(CERT|CLIENT_CERT|CONFIG_FILE|(EXTRA_)?INDEX_URL|NO_INDEX|FIND_LINKS|TRUSTED_HOST|"
    r"PROXY|(DEFAULT_)?TIMEOUT|RETRIES|CACHE_DIR|KEYRING_PROVIDER)|"
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_STRATEGY|INDEX_\w+_(USERNAME|PASSWORD)|(EXTRA_)?INDEX_URL|"
    r"NO_INDEX|FIND_LINKS|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES|CACHE_DIR|KEYRING_PROVIDER|"
    r"NATIVE_TLS|SYSTEM_CERTS|OFFLINE)",
    re.IGNORECASE,
)


class NotFetchedError(Exception):
    """Why uv or pip has to install the packages."""


@dataclass(frozen=True)
class Wheel:
    """One file of a package index."""

    address: str
    size: int
    sha256: str

    @property
    def host(self) -> str:
        """Who is asked for it."""
        return self.address.split("/")[2]

    @property
    def name(self) -> str:
        """The file's name, which begins with the package's."""
        return self.address.rpartition("/")[2]


def fill(site: str) -> None:
    """Put the locked packages into the folder `site`. Raises `Stop` where that is impossible."""
    uv_source, for_pip = _uv_source(), _pip_settings()
    places = [uv_source] if uv_source else []
    places += [each.place for name, each in for_pip.items() if name in PIP_SETTINGS]
    if places:
        why = f"{places[0]} is set"
    else:
        try:
            _fetch(_choose(), site)
        except NotFetchedError as error:
            why = str(error)
            shutil.rmtree(site, ignore_errors=True)
        else:
            return
    print(f"{why}: uv or pip installs this action's packages.", flush=True)
    # uv is much faster, but of what pip is told it understands no more than the index.
    if uv_source or for_pip.keys() <= {"index-url", "cert"}:
        _install_by_uv(site, uv_source, {} if uv_source else for_pip, why)
    else:
        _call(_pip(site, "requirements.txt"), why)


# By their addresses.


def _choose() -> list[Wheel]:
    """Choose each package's wheel for this Python and machine."""
    python = f"{sys.implementation.cache_tag}{sys.abiflags}".replace("cpython-", "cp")
    here = {"any", python, os.uname().machine, *_libcs()}
    chosen: dict[str, Wheel | None] = {}
    for line in Path(ACTION, "wheels.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            *where, size, sha256, address = line.split()
            wheel = Wheel(address, int(size), sha256)
            package = wheel.name.partition("-")[0]
            chosen[package] = chosen.get(package) or (wheel if here.issuperset(where) else None)
    for package, each in chosen.items():
        if not each:
            raise NotFetchedError(f"{package} has no locked wheel for {python} on this system")
    return [wheel for wheel in chosen.values() if wheel]


def _libcs() -> list[str]:
    """Name the C libraries that a wheel may have been made for."""
    try:
        minor = int((os.confstr("CS_GNU_LIBC_VERSION") or "").split(".")[1])  # "glibc 2.36"
    except (OSError, ValueError, IndexError):
        return ["musl"]
    return [f"glibc2.{each}" for each in range(minor + 1)]


def _fetch(wheels: Sequence[Wheel], site: str) -> None:
    """Fetch wheels side by side, and unzip each as it arrives."""
    opener = _opener()
    arrived: queue.Queue[bytes | Exception] = queue.Queue()
    for wheel in wheels:
        # A daemon: nothing waits for one that hangs.
        threading.Thread(target=_try, args=(opener, wheel, arrived.put), daemon=True).start()
    ends = time.monotonic() + ALL_WITHIN
    for _ in wheels:
        try:
            content = arrived.get(timeout=max(0, ends - time.monotonic()))
        except queue.Empty:
            raise NotFetchedError(f"The packages did not arrive within {ALL_WITHIN} s") from None
        if isinstance(content, Exception):
            raise content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(site)  # It leaves `..` and `/` out of names.


def _opener() -> request.OpenerDirector:
    """A client that speaks https alone, by the job's proxy if it has one, and is not redirected."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPSHandler(context=_trust()),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _trust() -> ssl.SSLContext:
    """Trust whom this machine's owner trusts."""
    name = next(filter(os.environ.get, CERTIFICATES), None)
    if not name:
        return ssl.create_default_context()
    place = os.environ[name]
    try:
        if Path(place).is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError:
        raise Stop(
            BAD_RUNNER,
            f"The variable {name} names {place!r}, which holds no certificate.",
            "Name a file of certificates in PEM form, or leave the variable out.",
        ) from None


def _try(
    opener: request.OpenerDirector, wheel: Wheel, put: Callable[[bytes | Exception], None]
) -> None:
    """Read one wheel, and put its bytes, or what came of it instead."""
    try:
        put(_read(opener, wheel))
    except (NotFetchedError, Stop) as error:
        put(error)
    except (OSError, HTTPException, ValueError) as error:
        # The others quote what they cannot read, such as a proxy's address with its password.
        said = " ".join(str(error).split()) if isinstance(error, OSError) else type(error).__name__
        put(NotFetchedError(f"{wheel.host} did not give {wheel.name} ({said})"))


def _read(opener: request.OpenerDirector, wheel: Wheel) -> bytes:
    with opener.open(wheel.address, timeout=SILENT_FOR) as answer:
        content: bytes = answer.read(wheel.size + 1)
    # A proxy that has something to say, and a line that breaks, say it in other sizes.
    if len(content) != wheel.size:
        raise NotFetchedError(f"{wheel.host} gave {wheel.name} in another size")
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise Stop(
            NO_INDEX,
            f"What {wheel.host} gave as {wheel.name} is not what this action is locked to.",
            "Nothing was installed: find out who changes what this runner fetches.",
        )
    return content


# By uv or pip.


@dataclass(frozen=True)
class Setting:
    """What somebody has told pip, and where that stands: a variable or a file."""

    value: str
    place: str


def _uv_source() -> str:
    """The variable or the file that tells uv where packages come from; empty, if none does."""
    for setting in UV_SETTINGS:
        if os.environ.get(name := _variable("UV", setting)):
            return name
    own = os.environ.get("UV_CONFIG_FILE")
    files = [Path(own)] if own else [each / "uv/uv.toml" for each in [*_configs(), Path("/etc")]]
    for path in files:
        if text := _text(path):
            import tomllib

            with suppress(ValueError):
                found = tomllib.loads(text)
                pip = found.get("pip")
                if {*found, *(pip if isinstance(pip, dict) else ())}.intersection(UV_SETTINGS):
                    return str(path.absolute())
    return ""


def _pip_settings() -> dict[str, Setting]:
    """What pip is told of where packages come from, as far as anything is said."""
    known = (*PIP_SETTINGS, *PIP_ALONE, "cert")
    own = os.environ.get("PIP_CONFIG_FILE")
    files = [*(each / "pip/pip.conf" for each in reversed(_configs())), Path("/etc/pip.conf")]
    files += [_home() / ".pip/pip.conf", _configs()[0] / "pip/pip.conf"]
    files += [Path(sys.executable).parents[1] / "pip.conf", *([Path(own)] if own else [])]
    found: dict[str, Setting] = {}
    for path in [] if own == os.devnull else files:
        if text := _text(path):
            import configparser

            parser = configparser.RawConfigParser()
            with suppress(configparser.Error):
                parser.read_string(text)
                for section in filter(parser.has_section, ("global", "install")):
                    for name, value in parser[section].items():
                        found[name.replace("_", "-")] = Setting(value, str(path))
    for name in known:
        if given := os.environ.get(variable := _variable("PIP", name)):
            found[name] = Setting(given, variable)
    return {name: each for name, each in found.items() if each.value and name in known}


def _text(path: Path) -> str:
    """A file of configuration; one that cannot be read says nothing."""
    with suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8")
    return ""


def _configs() -> list[Path]:
    """The folders of configuration: https://specifications.freedesktop.org/basedir-spec/latest/."""
    own = os.environ.get("XDG_CONFIG_HOME") or _home() / ".config"
    system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    return [Path(own), *map(Path, system.split(os.pathsep))]


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111  Which does without one, too.


def _variable(tool: str, setting: str) -> str:
    return f"{tool}_{setting.upper().replace('-', '_')}"


def _install_by_uv(site: str, source: str, for_pip: Mapping[str, Setting], why: str) -> None:
    """Install by the runner's uv, or by the one that pip brings for this once.

    ``for_pip``: what pip is told, if uv is told nothing.
    """
    tools = Path(site).with_name("tools")
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    environ = {names[name]: each.value for name, each in for_pip.items()}
    uv = shutil.which("uv")
    if not uv:
        told = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
        _call(_pip(str(tools), "requirements-uv.txt"), why, {"PIP_INDEX_URL": told} if told else {})
        uv = str(tools / "bin/uv")
        # Nobody else has a use for this cache; beside the target, files are linked, not copied.
        environ["UV_CACHE_DIR"] = str(tools / "cache")
    config = ["--config-file", source] if Path(source).is_absolute() else ["--no-config"]
    how = ["--quiet", *config, "--python", sys.executable, "--target", site]
    _call([uv, "pip", "install", *how, *LOCKED, "requirements.txt"], why, environ)
    shutil.rmtree(tools, ignore_errors=True)


def _pip(target: str, requirements: str) -> list[str]:
    how = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-compile"]
    pip = [sys.executable, "-I", "-m", "pip", "install", *how, "--target", target]
    return [*pip, *LOCKED, requirements]


def _call(argv: Sequence[str], why: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a tool, and show what it says only if it fails."""
    import subprocess

    environ = {name: each for name, each in os.environ.items() if SEEN.fullmatch(name)}
    # The action's own folder: a workspace can hold configuration that steers these tools.
    name = "pip" if argv[0] == sys.executable else "uv"
    try:
        done = subprocess.run(
            argv,
            cwd=ACTION,
            env={**environ, **more, "UV_PYTHON_DOWNLOADS": "never"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TOOL_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Stop(
            NO_INDEX,
            f"{name} did not install this action's packages within {TOOL_WITHIN} s.",
            REACH,
        ) from None
    if done.returncode == 0:
        return
    if b"No module named pip" in done.stdout:
        raise Stop(
            BAD_RUNNER,
            f"{why}, but {sys.executable} has no pip to install this action's packages with.",
            "Install python3-pip on the runner, or put astral-sh/setup-uv before this step.",
        )
    command("group", f"What {name} said")
    word = os.urandom(16).hex()
    command("stop-commands", word)
    print(done.stdout.decode("utf-8", "replace"), flush=True)
    print(f"::{word}::", flush=True)
    command("endgroup", "")
    raise Stop(
        NO_INDEX,
        f"{name} could not install this action's packages; the log shows what it said.",
        REACH,
    )
