"""A real distribution registry as a child process: its configuration, its start and its end.

Configuration: https://distribution.github.io/distribution/about/configuration/
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bcrypt

from support.servers.token_server import TokenServer

THRIFT = {"GOMAXPROCS": "1", "GOGC": "400"}
"""Several of them share the machine: https://pkg.go.dev/runtime#hdr-Environment_Variables."""
START_TIMEOUT = 300.0
STOP_TIMEOUT = 5.0


def htpasswd(users: Mapping[str, str]) -> str:
    """The text of an htpasswd file; the registry reads bcrypt only.

    https://distribution.github.io/distribution/about/configuration/#htpasswd
    """
    # The least cost there is: the registry hashes the password at every single request.
    hashes = {u: bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode() for u, p in users.items()}
    return "".join(f"{user}:{hashed}\n" for user, hashed in hashes.items())


def find_binary(binary: str | None = None) -> str:
    """The registry's program: `binary`, else `docker-registry` or `registry` on PATH."""
    for name in [binary] if binary else ["docker-registry", "registry"]:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("no distribution registry on PATH (Debian package docker-registry)")


class Registry:
    """A registry on 127.0.0.1, ready when the context is entered, gone when it is left.

    With `users` it asks for Basic credentials, with `token_server` (running) for tokens; `realm`
    then replaces the token server's own address, for one that is reached through a proxy.
    `storage` is kept if it is given, otherwise it is a temporary folder.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        token_server: TokenServer | None = None,
        realm: str | None = None,
        delete: bool = True,
        storage: Path | None = None,
        binary: str | None = None,
        port: int = 0,
    ) -> None:
        if users is not None and token_server is not None:
            raise ValueError("a registry has one kind of auth: users or token_server")
        self.users = users
        self.token_server = token_server
        self.realm = realm
        self.delete = delete
        self.port = port
        self._given_storage = storage
        self._binary = binary
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """`127.0.0.1:<port>`, the registry's part of an image reference."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a slash at the end."""
        return f"http://{self.host}"

    @property
    def storage(self) -> Path:
        """The root of its files: `docker/registry/v2/{blobs,repositories}` lies below."""
        return self._given_storage or self._home / "storage"

    @property
    def pid(self) -> int:
        """The process of the registry."""
        if self._process is None:
            raise RuntimeError("Registry is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self._home / "log").read_text(errors="replace")

    @property
    def _home(self) -> Path:
        if self._folder is None:
            raise RuntimeError("Registry is not running")
        return Path(self._folder.name)

    def configuration(self) -> dict[str, Any]:
        """The configuration as it is written for the process."""
        return {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": self.delete},
            },
            "http": {"addr": self.host, "secret": "only-for-tests"},
            **self._auth(),
        }

    def _auth(self) -> dict[str, Any]:
        if self.users is not None:
            self.admit(self.users)
            path = str(self._home / "htpasswd")
            return {"auth": {"htpasswd": {"realm": "test", "path": path}}}
        if self.token_server is not None:
            token = {
                "realm": self.realm or self.token_server.realm,
                "service": self.token_server.service,
                "issuer": self.token_server.issuer,
                "rootcertbundle": str(self.token_server.bundle),
            }
            return {"auth": {"token": token}}
        return {}

    def admit(self, users: Mapping[str, str]) -> None:
        """Accept these users and no others from now on; it reads a changed htpasswd file anew."""
        draft = self._home / "htpasswd.new"
        draft.write_text(htpasswd(users))
        draft.replace(self._home / "htpasswd")

    def clear(self) -> None:
        """Forget every image. It keeps nothing in memory, so it is as new."""
        old = self._home / f"old-{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            (self.storage / "docker").rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def start(self) -> Self:
        """Start the process and wait until `/v2/` answers."""
        self._folder = tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True)
        try:
            self._launch()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self) -> None:
        self.storage.mkdir(parents=True, exist_ok=True)
        config = self._home / "config.yml"
        config.write_text(json.dumps(self.configuration()))
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [find_binary(self._binary), "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Nothing else: any REGISTRY_* variable overrides the configuration.
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._home), **THRIFT},
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the process, by force if it must be, and remove what was temporary."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            # With port 0 the kernel chooses, and the log tells: no port is ever guessed.
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log)
            if found:
                self.port = int(found[1])
                if self._answers():
                    return
            time.sleep(0.01)
        raise RuntimeError(f"the registry did not start:\n{self.log[-2000:]}")

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/v2/", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == 401
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
