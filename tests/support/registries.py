"""A registry behind a fault proxy, and crane as an independent witness of what is on it."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import urllib.parse
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from support.servers.fault_proxy import FaultProxy
from support.servers.registry import Registry
from support.servers.serving import Request
from support.servers.token_server import TokenServer

Auth = Literal["htpasswd", "token"]

USER = "feastflow"
REPOSITORY = "feastflow/app"
OURS = "feastflow-registry"


class Place:
    """One registry of a test's own. Runs reach it by `host`, and so through `proxy`."""

    def __init__(self, auth: Auth, *, home: Path, path: str, reader: bool = False) -> None:
        self.auth = auth
        self.token = "dckr_pat_" + secrets.token_urlsafe(24)
        self.home = home
        self.path = path
        self.reader = reader
        self.proxy, self.realm = FaultProxy(), FaultProxy()
        self.tokens: TokenServer | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        users = {USER: self.token}
        names = ("docker-registry", "registry")
        program = next(filter(None, (shutil.which(name, path=self.path) for name in names)), None)
        self._open.enter_context(self.proxy)
        if self.auth == "token":
            grants = {USER: {"*": ("pull",)}} if self.reader else None
            self.tokens = self._open.enter_context(TokenServer(users, grants))
            self.realm.upstream = self.tokens.url
            self._open.enter_context(self.realm)
            realm = f"{self.realm.url}/token"
            self.registry = Registry(token_server=self.tokens, realm=realm, binary=program)
        else:
            self.registry = Registry(users=users, binary=program)
        self._open.enter_context(self.registry)
        self.proxy.upstream = self.registry.url
        self._write_login()
        return self

    def __exit__(self, *problem: object) -> None:
        self.proxy.clear()
        self.realm.clear()
        self._open.close()

    @property
    def host(self) -> str:
        """The registry as a run names it."""
        return f"localhost:{self.proxy.port}"

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
        pair = base64.b64encode(f"{USER}:{self.token}".encode()).decode()
        auths = {f"127.0.0.1:{self.registry.port}": {"auth": pair}}
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.json").write_text(json.dumps({"auths": auths}))


def shorten(request: Request) -> str:
    """A request as `HEAD manifests/latest 200`, digests and upload numbers cut."""
    url = urllib.parse.urlsplit(request.path)
    path = url.path.removeprefix(f"/v2/{REPOSITORY}/")
    path = re.sub(r"(?<=sha256:)[0-9a-f]{64}", "…", path)
    path = re.sub(r"(?<=uploads/)[0-9a-f-]{36}", "…", path)
    return f"{request.method} {path} {request.status}"
