"""A distribution registry on loopback, behind a password that is made on the first start."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import http.client
import os
import secrets
import socket
import subprocess

import packages
from places import BIN, MARK, STATE, StackError, give_back, say, search_path
from processes import Process

HOME = STATE / "registry"
PASSWORD = HOME / "password"
PORT = HOME / "port"
USERNAME = "feastflow"
USUAL_PORT = 5055
CONTAINER = f"feastflow-dev-registry-{MARK}"


def address() -> str | None:
    """`localhost:PORT` of the registry, if it answers to its password."""
    if PORT.exists() and PASSWORD.exists() and _answers(int(PORT.read_text())):
        return f"localhost:{PORT.read_text()}"
    return None


def start() -> None:
    """Start the registry unless it already answers."""
    if address():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    give_back(HOME)
    _stop_quietly()
    _make_password()
    port = _choose_port()
    PORT.write_text(str(port))
    if packages.are_available():
        (HOME / "config.yml").write_text(_config(port))
        _process().start(ready=lambda: _answers(port), seconds=20)
    else:
        _run_container(port)
    for path in HOME.iterdir():
        give_back(path)
    say(f"started the registry, localhost:{port}, user {USERNAME}")


def stop() -> None:
    """Stop the registry; its images and its password stay."""
    if _stop_quietly():
        say("stopped the registry")


def _process() -> Process:
    argv = [str(BIN / "docker-registry"), "serve", str(HOME / "config.yml")]
    return Process(argv, HOME / "registry.log")


def _stop_quietly() -> bool:
    stopped = _process().stop()
    if not packages.are_available():
        stopped = not _docker("rm", "--force", "--volumes", CONTAINER).returncode
    return stopped


def _run_container(port: int) -> None:
    started = _docker(
        *("run", "--detach", "--name", CONTAINER, "--publish", f"127.0.0.1:{port}:5000"),
        *("--volume", f"{HOME}:/auth:ro", "--env", "REGISTRY_AUTH=htpasswd"),
        *("--env", "REGISTRY_AUTH_HTPASSWD_REALM=feastflow"),
        *("--env", "REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd"),
        *("--env", "REGISTRY_STORAGE_DELETE_ENABLED=true", "registry:2"),
    )
    if started.returncode:
        raise StackError(
            f"The registry's container did not start: {started.stderr.strip()}",
            "Check that the engine can pull registry:2, then run this again.",
        )


def _config(port: int) -> str:
    return (
        f"version: 0.1\n"
        f"log: {{level: info, accesslog: {{disabled: false}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{HOME}/data'}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: {secrets.token_hex(16)}}}\n"
        f"auth: {{htpasswd: {{realm: feastflow, path: '{HOME}/htpasswd'}}}}\n"
    )


def _make_password() -> None:
    if not PASSWORD.exists():
        PASSWORD.touch(mode=0o600)
        PASSWORD.write_text(secrets.token_urlsafe(24))
    hashed = _bcrypt(PASSWORD.read_text())
    (HOME / "htpasswd").write_text(f"{USERNAME}:{hashed}\n")


def _bcrypt(password: str) -> str:
    """A bcrypt hash: the only kind the registry takes, and none of Python's own."""
    # The module `crypt` left Python with 3.13; the system's library is what it wrapped.
    for library in ("libcrypt.so.1", "libcrypt.so.2"):
        with contextlib.suppress(OSError):
            crypt = ctypes.CDLL(library).crypt
            crypt.restype = ctypes.c_char_p
            salt = base64.b64encode(secrets.token_bytes(17), b"./")[:21].decode() + "."
            hashed = crypt(password.encode(), f"$2b$05${salt}".encode())
            if hashed and hashed.startswith(b"$2b$"):
                return str(hashed.decode())
    done = _docker(
        *("run", "--rm", "--interactive", "httpd:2", "htpasswd", "-Bni", USERNAME), stdin=password
    )
    if done.returncode:
        raise StackError(
            "This machine's libcrypt cannot make bcrypt hashes, and httpd:2 cannot be pulled.",
            "Install libcrypt1 (libxcrypt), or check that the engine can pull images.",
        )
    return done.stdout.strip().split(":", 1)[1]


def _choose_port() -> int:
    """The port of last time or the usual one; if something else has it, a free one."""
    earlier = [int(PORT.read_text())] if PORT.exists() else []
    for port in (*earlier, USUAL_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise StackError("No port is free on 127.0.0.1.", "Stop something, then run this again.")


def _answers(port: int) -> bool:
    """Whether our registry is behind the port: it must know our password."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    login = base64.b64encode(f"{USERNAME}:{PASSWORD.read_text()}".encode()).decode()
    try:
        connection.request("GET", "/v2/", headers={"Authorization": f"Basic {login}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _docker(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PATH": search_path()}
    argv = ["docker", *arguments]
    return subprocess.run(
        argv, input=stdin, env=environ, capture_output=True, text=True, check=False
    )
