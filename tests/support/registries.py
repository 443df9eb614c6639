"""A registry behind a fault proxy, and crane as an independent witness of what is on it."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from support.servers.certificates import Authority
from support.servers.fault_proxy import FaultProxy
from support.servers.registry import Registry
from support.servers.serving import Request
from support.servers.token_server import TokenServer

Auth = Literal["htpasswd", "token"]

USER = "feastflow"
REPOSITORY = "feastflow/app"
OURS = "feastflow-registry"
GITHUB_TOKEN = "ghs_only_for_tests"
REMOTE_NAME = "registry.example"
"""A registry's name that does not tell that it is on this machine; the fixture `named` knows."""


class SharedProcess:
    """A registry's process, and its token server if it has one: tests use them in turn."""

    def __init__(self, auth: Auth, program: str | None) -> None:
        self.auth = auth
        self.realm = FaultProxy()
        self.tokens: TokenServer | None = None
        self.open = ExitStack()
        if auth == "token":
            self.tokens = self.open.enter_context(TokenServer({}))
            self.realm.upstream = self.tokens.url
            self.open.enter_context(self.realm)
            realm = f"{self.realm.url}/token"
            self.registry = Registry(token_server=self.tokens, realm=realm, binary=program)
        else:
            self.registry = Registry(users={}, binary=program)
        self.open.enter_context(self.registry)

    def begin(self, token: str, *, reader: bool) -> None:
        """Be as new, for a user with this token."""
        self.registry.clear()
        self.realm.forget()
        if self.tokens:
            self.tokens.admit({USER: token}, {USER: {"*": ("pull",)}} if reader else None)
        else:
            self.registry.admit({USER: token})


class RegistryProcesses:
    """The registry processes of a session. One that no test uses any more is used again."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._idle: list[SharedProcess] = []
        self._open = ExitStack()

    def take(self, auth: Auth) -> SharedProcess:
        """A process that nobody uses."""
        for process in self._idle:
            if process.auth == auth:
                self._idle.remove(process)
                return process
        process = SharedProcess(auth, find_registry(self.path))
        self._open.push(process.open)
        return process

    def give_back(self, process: SharedProcess) -> None:
        """Say that a process is used no more."""
        self._idle.append(process)

    def close(self) -> None:
        """End them all."""
        self._open.close()


def find_registry(path: str) -> str | None:
    """The registry's program on a search path."""
    names = ("docker-registry", "registry")
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


class LocalRegistry:
    """One registry of a test's own. Runs reach it by `host`, and so through `proxy`."""

    def __init__(
        self,
        auth: Auth,
        processes: RegistryProcesses,
        *,
        home: Path,
        token: str = "",
        reader: bool = False,
    ) -> None:
        self.token = token or "dckr_pat_" + secrets.token_urlsafe(24)
        self.home = home
        self.path = processes.path
        self.proxy = FaultProxy()
        self.name, self.auth = "localhost", auth
        self._processes = processes
        self._process = processes.take(auth)
        self._process.begin(self.token, reader=reader)
        self.registry, self.realm = self._process.registry, self._process.realm
        self.tokens = self._process.tokens

    def __enter__(self) -> Self:
        self.proxy.upstream = self.registry.url
        self.proxy.start()
        self._write_login()
        return self

    def __exit__(self, *problem: object) -> None:
        self.realm.clear()
        self.realm.habits, self.realm.tls = [], None
        self.proxy.__exit__(None, None, None)
        self._processes.give_back(self._process)

    @property
    def host(self) -> str:
        """The registry as a run names it."""
        return f"{self.name}:{self.proxy.port}"

    def sign(self, scopes: Sequence[str]) -> str:
        """A token for scopes as `repository:team/app:pull,push`, if it asks for tokens."""
        assert self.tokens
        return self.tokens.sign(USER, scopes)

    @property
    def login(self) -> dict[str, str]:
        """What `docker login` keeps for it."""
        return {"auth": base64.b64encode(f"{USER}:{self.token}".encode()).decode()}

    def speak_tls(self, authority: Authority) -> None:
        """Be reached by https from now on, by `REMOTE_NAME`; its token server, too."""
        self.name = REMOTE_NAME
        self.proxy.tls = self.realm.tls = authority.server(REMOTE_NAME)
        if self.tokens:
            old = f"http://127.0.0.1:{self.realm.port}/"
            self.proxy.renamed = {old: f"https://{REMOTE_NAME}:{self.realm.port}/"}

    @property
    def repository(self) -> str:
        """The repository as a run names it."""
        return f"{self.host}/{REPOSITORY}"

    def tags(self, repository: str = REPOSITORY) -> dict[str, str]:
        """Tag → digest, as the registry keeps them in its own files."""
        folder = self.registry.storage / "docker/registry/v2/repositories" / repository
        links = folder.glob("_manifests/tags/*/current/link")
        return {link.parent.parent.name: link.read_text() for link in links}

    def untag(self, *tags: str, repository: str = REPOSITORY) -> None:
        """Forget tags, as if they had never been set."""
        folder = self.registry.storage / "docker/registry/v2/repositories" / repository
        for tag in tags:
            link = folder / "_manifests/tags" / tag / "current/link"
            link.unlink(missing_ok=True)

    def retag(self, tags: Mapping[str, str], repository: str = REPOSITORY) -> None:
        """Point tags at digests, as if somebody else had."""
        folder = self.registry.storage / "docker/registry/v2/repositories" / repository
        for tag, digest in tags.items():
            link = folder / "_manifests/tags" / tag / "current/link"
            link.parent.mkdir(parents=True, exist_ok=True)
            # Whole at once: an empty link would stop whoever lists the tags at this moment.
            draft = link.with_name("draft")
            draft.write_text(digest)
            draft.replace(link)

    def requests(self, agent: str = OURS) -> list[Request]:
        """What the proxies saw so far of one client; the token server's requests among them."""
        both = [*self.proxy.requests, *(self.realm.requests if self.tokens else ())]
        return sorted((each for each in both if agent in each.agent), key=lambda each: each.at)

    def since(self, before: int, agent: str = OURS) -> list[str]:
        """The requests after the first `before` ones, as short lines."""
        return [shorten(each) for each in self.requests(agent)[before:]]

    def crane(self, *arguments: str) -> str:
        """What crane says, asking the registry itself and not the proxy."""
        done = subprocess.run(
            ["crane", *arguments],
            env={"PATH": self.path, "DOCKER_CONFIG": str(self.home), "HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def at(self, target: str, repository: str = REPOSITORY) -> str:
        """How crane names a tag or a digest."""
        joint = "@" if target.startswith("sha256:") else ":"
        return f"127.0.0.1:{self.registry.port}/{repository}{joint}{target}"

    def digest(self, tag: str, repository: str = REPOSITORY) -> str:
        """The digest that crane reads for a tag."""
        return self.crane("digest", self.at(tag, repository))

    def listed(self, repository: str = REPOSITORY) -> set[str]:
        """The tags that crane lists."""
        return set(self.crane("ls", self.at("", repository).removesuffix(":")).split())

    def labels(self, tag: str, platform: str = "") -> Mapping[str, str]:
        """The labels of the image behind a tag."""
        options = ["--platform", platform] if platform else []
        config: Any = json.loads(self.crane("config", *options, self.at(tag)))
        labels: Mapping[str, str] = config["config"]["Labels"]
        return labels

    def _write_login(self) -> None:
        auths = {f"127.0.0.1:{self.registry.port}": self.login}
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.json").write_text(json.dumps({"auths": auths}))


def shorten(request: Request) -> str:
    """A request as `HEAD manifests/latest 200`, digests and upload numbers cut."""
    url = urllib.parse.urlsplit(request.path)
    path = url.path.removeprefix(f"/v2/{REPOSITORY}/")
    path = re.sub(r"(?<=sha256:)[0-9a-f]{64}", "…", path)
    path = re.sub(r"(?<=uploads/)[0-9a-f-]{36}", "…", path)
    return f"{request.method} {path} {request.status}"
