"""Whose image is it: a repository of source code, and every name that it goes by.

It decides what an address of git names, and whether a label of an image names this repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from feastflow_registry.model.wording import lower_ascii

GITHUB = "github.com"
_OWNER_AND_NAME = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9_.-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}")
_URL = re.compile(
    r"(?P<scheme>(?i:(?:git\+)?ssh|git|https?))://(?P<user>[^/\s]*@)?(?P<host>[^-/\s][^/\s]*)/(?P<path>\S+)"
)
_SCP = re.compile(
    r"(?P<user>[^@/\s]+@)?(?P<host>[A-Za-z0-9][\w.-]*):(?!//)/?(?P<path>\S+)", re.ASCII
)
"""Both forms of an address: https://git-scm.com/docs/git-clone#_git_urls"""
_DNS_NAME = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})(?::[0-9]{1,5})?"
)
_SSH_HOSTS = {
    "ssh.github.com": GITHUB,
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}
"""Where forges take SSH on port 443.

https://docs.github.com/en/authentication/troubleshooting-ssh/using-ssh-over-the-https-port
https://about.gitlab.com/blog/2016/02/18/gitlab-dot-com-now-supports-an-alternate-git-plus-ssh-port/
https://support.atlassian.com/bitbucket-cloud/docs/troubleshoot-ssh-issues/
"""
_DEFAULT_PORTS = {"https": ":443", "http": ":80", "git": ":9418"}
FORGES = frozenset(_SSH_HOSTS.values())
"""Hosts that nobody's SSH configuration makes another host's."""


class Address(NamedTuple):
    """A repository by its host, in lower case, and the path of its page.

    ``ssh``: the host as it is written, where git connects by SSH; else empty.
    """

    host: str
    path: str
    ssh: str = ""

    @classmethod
    def read(cls, text: str) -> Address | None:
        """Read what git calls an address, or that of a page; nothing for a path on this machine."""
        found = _URL.fullmatch(text) or _SCP.fullmatch(text)
        if found is None:
            return None
        scheme = found.groupdict().get("scheme", "ssh").lower()
        ssh = found["host"].partition(":")[0] if scheme.endswith("ssh") else ""
        host = lower_ascii(ssh or found["host"].removesuffix(_DEFAULT_PORTS.get(scheme, "")))
        path = found["path"].rstrip("/").removesuffix(".git")
        return cls(_SSH_HOSTS.get(host, host), path, ssh) if path else None

    @property
    def is_known(self) -> bool:
        """Whether the host is a name that is the same everywhere, and no alias or number."""
        return _DNS_NAME.fullmatch(self.host) is not None

    @property
    def url(self) -> str:
        """The repository's page."""
        return f"https://{self.host}/{self.path}"

    @property
    def name(self) -> str:
        """The one spelling by which repositories are compared."""
        return f"{self.host}/{lower_ascii(self.path)}"

    @property
    def owner_and_name(self) -> str:
        """``owner/name``, if the path is that; else empty."""
        return self.path if _OWNER_AND_NAME.fullmatch(self.path) else ""


@dataclass(frozen=True, slots=True)
class Source:
    """One repository of source code. ``url``: its page, as labels name it.

    ``names``: every spelling that is it; ``is_known``: whether images may be published under it;
    ``written``: the remote's address as it was given, without a credential; ``is_former``: whether
    the host says that ``owner/name`` was this repository's, which may raise.
    """

    url: str
    names: frozenset[str] = frozenset()
    is_known: bool = True
    written: str = field(default="", compare=False)
    is_former: Callable[[str], bool] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, url: str) -> Source:
        """The repository whose page somebody who knows it names."""
        address = Address.read(url)
        return cls(url, frozenset([address.name]) if address else frozenset())

    @classmethod
    def behind(cls, remotes: Iterable[str]) -> Source:
        """The repository behind a remote, of whose addresses the first known one is the page."""
        remotes = tuple(remotes)
        addresses = [each for each in map(Address.read, remotes) if each]
        known = [each for each in addresses if each.is_known]
        names = frozenset(each.name for each in known)
        bare = re.sub(r"://[^/]*@", "://", next(iter(remotes), ""))
        url = bare.removesuffix("/").removesuffix(".git")
        if addresses:
            url = (known or addresses)[0].url
        return cls(url, names, is_known=bool(known), written=bare)

    @property
    def address(self) -> Address | None:
        """Where its page is; nothing for a path on this machine."""
        return Address.read(self.url)

    @property
    def is_folder(self) -> bool:
        """Whether the remote is a path on this machine.

        https://git-scm.com/docs/git-clone#_git_urls
        """
        is_path = "://" not in self.written or self.written.startswith("file://")
        return bool(self.written) and self.address is None and is_path

    @property
    def repository(self) -> str:
        """``owner/name``; empty for what is called otherwise."""
        return self.address.owner_and_name if self.address else ""

    @property
    def is_on_github(self) -> bool:
        """Whether github.com has it."""
        return bool(self.repository and self.address and self.address.host == GITHUB)

    def also(self, names: Iterable[str]) -> Source:
        """The same repository, under more names: ``owner/name`` on the same host, or addresses."""
        host = self.address.host if self.is_known and self.address else GITHUB
        more = (Address.read(each) or Address(host, each) for each in names)
        return replace(self, names=self.names | {each.name for each in more})

    def owns(self, label: str) -> bool:
        """Whether the label of an image names this repository, as it is or as it was called.

        Raises a failure where only the host could tell, and does not.
        """
        named, own = Address.read(label), self.address
        if named is None or own is None:
            return bool(label) and label == self.url
        if named.name in self.names or named.name == own.name:
            return True
        if self.is_former is None or named.host != own.host or not named.owner_and_name:
            return False
        return self.is_former(lower_ascii(named.owner_and_name))


def is_name(text: str) -> bool:
    """Whether this can be a repository's name: ``owner/name``, or an address."""
    return bool(_OWNER_AND_NAME.fullmatch(text) or Address.read(text))
