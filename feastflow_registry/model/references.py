"""Names of things on a registry and in git, parsed once and never strings again.

The grammars are those of the OCI distribution specification and of the
``distribution/reference`` library that Docker uses:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
https://pkg.go.dev/github.com/distribution/reference
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from feastflow_registry.model.errors import Failure, Kind

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::([0-9]{{1,5}}))?")
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
NO_NAMESPACE = "/"
_LONGEST_REPOSITORY = 255


def _shown(text: str) -> str:
    """Quote untrusted text on one line, shortened: it may be a whole file."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def is_loopback(name: str) -> bool:
    """Tell whether a host name or address, with or without brackets, is this machine."""
    bare = name.strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def split_host(name: str) -> tuple[str, str]:
    """Split the name of an image into its registry, or nothing, and the rest.

    Docker takes a first part without dot or port, but ``localhost``, for a user of Docker Hub.
    """
    first, slash, rest = name.partition("/")
    is_host = slash and (re.search(r"[.:]", first) or first.lower() == "localhost")
    return (first, rest) if is_host else ("", name)


@dataclass(frozen=True, slots=True, order=True)
class RegistryHost:
    """A registry: ``host[:port]``. Every alias of Docker Hub is ``docker.io``.

    ``insecure``: somebody has said that it is spoken with over plain HTTP.
    """

    name: str
    insecure: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> RegistryHost:
        """Read ``host[:port]``. Raises an input failure on a scheme, a path or a bad port."""
        match = _HOST.fullmatch(text)
        is_user = not split_host(f"{text}/image")[0]
        if match is None or is_user or int(match[2] or 443) not in range(1, 65536):
            raise Failure(
                Kind.INPUT,
                f"registry {_shown(text)} is not a host name with an optional port.",
                'Write it as "docker.io" or "registry.example.com:5000", without https://.',
            )
        name = text.lower()
        return cls("docker.io" if name in _HUB_NAMES else name)

    def as_in(self, named: Iterable[RegistryHost]) -> RegistryHost:
        """The same registry as it is named among others, with what is said of it there."""
        return next((each for each in named if each == self), self)

    @property
    def is_docker_hub(self) -> bool:
        """Whether this is Docker Hub, whose familiar names leave the host out."""
        return self.name == "docker.io"

    @property
    def is_loopback(self) -> bool:
        """Whether this is a registry on this machine, which is reached over plain HTTP unasked."""
        return is_loopback(self._host)

    @property
    def _host(self) -> str:
        """The host without its port."""
        match = _HOST.fullmatch(self.name)
        return match[1] if match else ""

    def allows_plain(self, host: str) -> bool:
        """Whether plain HTTP may be spoken with a host that this registry names."""
        same = self.insecure and host == self._host.strip("[]")
        return same or (self.is_loopback and is_loopback(host))

    @property
    def url(self) -> str:
        """The base URL of the registry's API, with no slash at its end."""
        if self.is_docker_hub:
            return "https://registry-1.docker.io"
        return f"{'http' if self.insecure or self.is_loopback else 'https'}://{self.name}"

    @property
    def credential_key(self) -> str:
        """The name under which Docker's configuration keeps this registry's credential."""
        return "https://index.docker.io/v1/" if self.is_docker_hub else self.name

    def __str__(self) -> str:
        return self.name


HUB = RegistryHost("docker.io")
"""Docker Hub, where a name without a registry leads."""


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository on a registry: ``docker.io/feastflow/feastflow-frontend``."""

    host: RegistryHost
    path: str

    @classmethod
    def parse(cls, host: RegistryHost, path: str) -> Repository:
        """Read ``namespace/name``. Raises an input failure that says which rule it breaks."""
        if path != path.lower():
            raise Failure(
                Kind.INPUT,
                f"repository name {_shown(path)} must be lowercase.",
                f"Write it as {_shown(path.lower())}.",
                see="lowercase",
            )
        if len(path) > _LONGEST_REPOSITORY or _PATH.fullmatch(path) is None:
            raise Failure(
                Kind.INPUT,
                f"repository name {_shown(path)} is not valid.",
                "Use lowercase letters and digits, separated by single '.', '_', '/' or by '-'; "
                f"at most {_LONGEST_REPOSITORY} characters.",
            )
        return cls(host, path)

    @classmethod
    def below(cls, host: RegistryHost, namespace: str, name: str) -> Repository:
        """The repository of a namespace; ``NO_NAMESPACE`` is that of registries without any."""
        return cls.parse(host, name if namespace == NO_NAMESPACE else f"{namespace}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def page(self) -> str | None:
        """Where a person looks at it, if its registry is known to have such a page."""
        if self.host.is_docker_hub:
            return f"https://hub.docker.com/r/{self.path}"
        return f"https://quay.io/repository/{self.path}" if self.host.name == "quay.io" else None

    def tag_page(self, tag: Tag) -> str | None:
        """Where a person looks at one tag, if its registry is known to have such a page."""
        if self.page and self.host.is_docker_hub:
            return f"{self.page}/tags?name={tag}"
        return f"{self.page}?tab=tags" if self.page else None

    def __str__(self) -> str:
        return self.path if self.host.is_docker_hub else f"{self.host}/{self.path}"


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A tag: ``[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}``."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Tag:
        """Read a tag. Raises an input failure that offers the nearest valid one."""
        if _TAG.fullmatch(text) is None:
            raise Failure(
                Kind.INPUT,
                f"{_shown(text)} is not a valid image tag.",
                f'The nearest valid one is "{cls.near(text)}": letters, digits, "_", "." and "-", '
                "at most 128, not starting with '.' or '-'.",
            )
        return cls(text)

    @classmethod
    def near(cls, text: str) -> Tag:
        """Turn any text into the valid tag most like it."""
        cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip(".-")[:128]
        return cls(cleaned or "_")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest: ``sha256:`` and 64 hexadecimal digits, or ``sha512:`` and 128."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read a digest. Raises an input failure on an unknown algorithm or a wrong length."""
        if _DIGEST.fullmatch(text) is None:
            raise Failure(
                Kind.INPUT,
                f"{_shown(text)} is not a digest.",
                "A digest is sha256: and 64 lowercase hexadecimal digits.",
            )
        return cls(text)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest that what we make ourselves has."""
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The name of the hash: ``sha256`` or ``sha512``."""
        return self.value.partition(":")[0]

    @property
    def short(self) -> str:
        """The first twelve digits, as Docker shows them."""
        return self.value.partition(":")[2][:12]

    def begins(self, start: str) -> bool:
        """Whether its digits begin so; the algorithm may stand before them."""
        return self.value.startswith(start) or self.value.partition(":")[2].startswith(start)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, order=True)
class Commit:
    """A git commit by its whole object name, 40 (SHA-1) or 64 (SHA-256) digits."""

    sha: str

    @classmethod
    def parse(cls, text: str) -> Commit:
        """Read a whole object name. Raises an input failure on an abbreviation."""
        if _COMMIT.fullmatch(text) is None:
            raise Failure(
                Kind.INPUT,
                f"{_shown(text)} is not the full name of a git commit.",
                "A commit is 40 lowercase hexadecimal digits (64 in a SHA-256 repository).",
            )
        return cls(text)

    @classmethod
    def read(cls, text: object) -> Commit | None:
        """Read an untrusted value, such as a label: a commit, or nothing."""
        return cls(text) if isinstance(text, str) and _COMMIT.fullmatch(text) else None

    @property
    def short(self) -> str:
        """The first seven digits, as people write them."""
        return self.sha[:7]

    def __str__(self) -> str:
        return self.sha


@dataclass(frozen=True, slots=True)
class Reference:
    """One tag, or one manifest by digest, in a repository. They are ordered as they are written."""

    repository: Repository
    target: Tag | Digest

    @property
    def identifier(self) -> str:
        """What the registry's API calls ``<reference>``: the tag or the digest."""
        return str(self.target)

    def __str__(self) -> str:
        return f"{self.repository}{'@' if isinstance(self.target, Digest) else ':'}{self.target}"

    def __lt__(self, other: Reference) -> bool:
        return str(self) < str(other)
