"""What registries do otherwise than distribution, each switched on by itself before a real one.

A habit sees every request first. It answers it, changes it, or lets it go on to the registry.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, urlsplit

from support.servers.serving import Call, Headers, Server

if TYPE_CHECKING:
    from support.servers.fault_proxy import FaultProxy

Tags = Mapping[str, str]
_MANIFEST = re.compile(r"(/v2/.+/manifests/)([\w.-]+)")
_LIST = re.compile(r"/v2/(.+)/tags/list")
_CONTENT = re.compile(r"/v2/.+/(?:manifests|blobs)/([\w.:-]+)")


class Habit(Protocol):
    """One habit of a registry."""

    def meets(self, call: Call) -> bool:
        """Take a request; true, if it was answered."""


@dataclass
class Late:
    """Reads by tag, and lists, show what was true some seconds ago; reads by digest are right.

    GHCR, at times Docker Hub and geo-replicated ACR: metadist/synaplan#1613,
    NVIDIA-AI-Blueprints/video-search-and-summarization#1990.
    `tags`: what the registry holds; `clock`: in seconds.
    """

    seconds: float
    tags: Callable[[], Tags]
    clock: Callable[[], float]
    states: list[tuple[float, Tags]] = field(default_factory=list)

    def meets(self, call: Call) -> bool:
        """Answer from a copy that is behind."""
        now, held = self.clock(), dict(self.tags())
        if not self.states:
            self.states.append((float("-inf"), held))
        elif self.states[-1][1] != held:
            self.states.append((now, held))
        shown = [tags for at, tags in self.states if at <= now - self.seconds][-1]
        by_tag, listing = _MANIFEST.fullmatch(call.path), _LIST.match(call.path)
        if call.command not in ("GET", "HEAD"):
            return False
        if listing:
            _list(call, sorted(shown))
            return True
        if by_tag and by_tag[2] not in shown:
            refuse(call, 404, "MANIFEST_UNKNOWN", "manifest unknown")
            return True
        if by_tag:
            call.path = by_tag[1] + shown[by_tag[2]]
        return False


@dataclass
class NoCancelling:
    """Who may push may not cancel an upload: that needs the right to delete.

    Harbor: https://github.com/goharbor/harbor/blob/main/src/server/middleware/v2auth/access.go
    """

    refused: int = 0

    def meets(self, call: Call) -> bool:
        """Refuse what a robot with push and pull may not do."""
        if call.command != "DELETE" or "/blobs/uploads/" not in call.path:
            return False
        self.refused += 1
        call.answer(401, b"{}", [("WWW-Authenticate", 'Basic realm="harbor"')])
        return True


@dataclass
class PagesElsewhere:
    """Lists come in pages of one, and the next one has another path on the same host.

    Artifactory and Nexus: renovate#15030, sonatype/nexus-public#1011.
    """

    tags: Callable[[], Tags]

    def meets(self, call: Call) -> bool:
        """Answer one tag, and where the next one is."""
        url = urlsplit(call.path)
        if call.command != "GET" or not url.path.endswith("/tags/list"):
            return False
        if not call.headers.get("Authorization"):
            return False
        last = parse_qs(url.query).get("last", [""])[0]
        left = sorted(each for each in self.tags() if each > last)
        path = f"/repository/docker{url.path.removeprefix('/repository/docker')}"
        more = [("Link", f'<{path}?last={left[0]}&n=1>; rel="next"')] if len(left) > 1 else []
        _list(call, left[:1], more)
        return True


@dataclass
class Redirecting:
    """Manifests are answered by 307 with another path of the same host.

    Gateways and load balancers: https://github.com/google/go-containerregistry/issues/2333
    """

    seen: int = 0

    def meets(self, call: Call) -> bool:
        """Send on to where it is, once."""
        if call.path.startswith("/elsewhere/"):
            call.path = call.path.removeprefix("/elsewhere")
            return False
        if call.command not in ("GET", "HEAD") or "/manifests/" not in call.path:
            return False
        if not call.headers.get("Authorization"):
            return False
        self.seen += 1
        call.answer(307, b"", [("Location", f"/elsewhere{call.path}")])
        return True


@dataclass
class TwoChallenges:
    """Every challenge offers more than one scheme, in one header.

    Gitea, Forgejo: https://github.com/go-gitea/gitea/issues/36920
    """

    def meets(self, call: Call) -> bool:
        """Challenge whoever sends nothing."""
        if call.headers.get("Authorization"):
            return False
        offered = 'Negotiate, Digest realm="x, y", BASIC realm="gitea"'
        call.answer(401, b"{}", [("WWW-Authenticate", offered)])
        return True


@dataclass
class ListingMore:
    """A list holds more than tags.

    Google: https://github.com/google/go-containerregistry/blob/main/pkg/v1/google/list.go
    """

    tags: Callable[[], Tags]

    def meets(self, call: Call) -> bool:
        """List more than tags."""
        if call.command != "GET" or not _LIST.match(call.path):
            return False
        if not call.headers.get("Authorization"):
            return False
        _list(call, [*sorted(self.tags()), "../..", "sha256:abc", 7, None], manifest={}, child=[])
        return True


@dataclass
class ShrinkingLists:
    """A list comes in pages; what one of them names is gone soon after, and one names it again.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags promises no
    more than pages, and others publish and delete meanwhile.
    """

    tags: Callable[[], Tags]

    def meets(self, call: Call) -> bool:
        """Answer a page with what is not there any more, then one that overlaps with it."""
        url = urlsplit(call.path)
        if call.command != "GET" or not _LIST.match(url.path):
            return False
        if not call.headers.get("Authorization"):
            return False
        names = sorted(self.tags())
        if "last=" in url.query:
            _list(call, names[:1])
        else:
            more = [("Link", f'<{url.path}?last=zzz&n=1000>; rel="next"')]
            _list(call, [*names, "commit-0000000", "gone"], more)
        return True


@dataclass
class KeptElsewhere:
    """Manifests and layers are answered by 307 with an address of another host.

    That has a signature of its own, and refuses a request that brings a credential as well. Layers:
    ECR, ACR, Google; manifests: https://github.com/google/go-containerregistry/issues/2333.
    """

    tags: Callable[[], Tags]
    storage: Storage

    def meets(self, call: Call) -> bool:
        """Send on to the storage."""
        found = _CONTENT.fullmatch(call.path)
        if call.command not in ("GET", "HEAD") or not found:
            return False
        if not call.headers.get("Authorization"):
            return False
        digest = self.tags().get(found[1], found[1])
        if not self.storage.holds(digest):
            return False
        call.answer(307, b"", [("Location", f"{self.storage.url}/{digest}?signature=x")])
        return True


class Storage(Server):
    """What a registry's files hold, for whoever has a signed address."""

    def __init__(self, folder: Callable[[], Path], tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self.folder, self.tls = folder, tls

    def holds(self, digest: str) -> bool:
        """Whether it has what a digest names."""
        return self._file(digest).is_file()

    def _file(self, digest: str) -> Path:
        algorithm, _, digits = digest.partition(":")
        blobs = self.folder() / "docker/registry/v2/blobs"
        return blobs / algorithm / digits[:2] / digits / "data"

    def respond(self, call: Call) -> None:
        """Answer as S3 does.

        https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
        """
        if call.headers.get("Authorization"):
            call.answer(400, b"<Code>InvalidArgument</Code>: Only one auth mechanism allowed")
            return
        data = self._file(urlsplit(call.path).path.removeprefix("/")).read_bytes()
        kind = "application/octet-stream"
        if data.startswith(b"{"):
            kind = json.loads(data).get("mediaType", kind)
        call.answer(200, data, [("Content-Type", kind)])


@dataclass
class SideBySide:
    """Bearer and Basic are offered at once, in one header or in two; only a token is taken.

    Gitea, Forgejo: https://github.com/go-gitea/gitea/issues/36920, 37290.
    """

    proxy: FaultProxy
    joined: bool

    def meets(self, call: Call) -> bool:
        """Offer more than the registry does."""
        if call.headers.get("Authorization", "").startswith("Bearer "):
            return False
        status, headers, body = self.proxy.fetch(call)
        offered = ['basic Realm="gitea"', headers.pop("www-authenticate", "")]
        lines = [", ".join(offered)] if self.joined else offered
        challenges = [("WWW-Authenticate", each) for each in lines if status == 401]
        call.answer(status, body, [*headers.items(), *challenges])
        return True


@dataclass
class Unprompted:
    """Nobody is asked for a password: whoever sends none is told that there is nothing.

    zot with an anonymous policy: https://github.com/project-zot/zot/issues/3869
    """

    def meets(self, call: Call) -> bool:
        """Hide everything from strangers."""
        if call.headers.get("Authorization"):
            return False
        refuse(call, 404, "NAME_UNKNOWN", "repository name not known to registry")
        return True


@dataclass
class Open:
    """Nobody is asked for a password, and whatever comes is taken: a registry without `auth`.

    https://distribution.github.io/distribution/about/configuration/#auth
    """

    header: str

    def meets(self, call: Call) -> bool:
        """Let everybody in."""
        del call.headers["Authorization"]
        call.headers["Authorization"] = self.header
        return False


@dataclass
class ExpiringToBasic:
    """A token is good for three requests; then the challenge is Basic, and passwords do.

    Harbor: https://github.com/goharbor/harbor/blob/main/src/server/middleware/v2auth/access.go
    """

    sign: Callable[[Sequence[str]], str]
    uses: dict[str, int] = field(default_factory=dict)

    def meets(self, call: Call) -> bool:
        """Count the uses of a token; a password stands for one."""
        kind, _, value = call.headers.get("Authorization", "").partition(" ")
        found = re.match(r"/v2/(.+)/(?:manifests|blobs|tags)/", call.path)
        if kind == "Basic" and found:
            token = self.sign([f"repository:{found[1]}:pull,push,delete"])
            call.headers.replace_header("Authorization", f"Bearer {token}")
        elif kind == "Bearer":
            self.uses[value] = self.uses.get(value, 0) + 1
            if self.uses[value] > 3:
                challenge = [("WWW-Authenticate", 'Basic realm="harbor"')]
                call.answer(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', challenge)
                return True
        return False


@dataclass
class ShortHeaders:
    """A request whose headers are longer than 8 KB is refused.

    nginx, and what stands on it: https://nginx.org/en/docs/http/ngx_http_core_module.html
    """

    limit: int = 8192
    longest: int = 0

    def meets(self, call: Call) -> bool:
        """Measure."""
        self.longest = max(self.longest, len(str(call.headers)))
        if len(str(call.headers)) <= self.limit:
            return False
        call.answer(400, b"<html>400 Request Header Or Cookie Too Large</html>")
        return True


@dataclass
class WritesAnswer:
    """A write is answered by another status than 201.

    crane takes 200 and 202 as well:
    https://github.com/google/go-containerregistry/blob/main/pkg/v1/remote/write.go
    """

    proxy: FaultProxy
    status: int

    def meets(self, call: Call) -> bool:
        """Write, and answer otherwise."""
        if call.command != "PUT":
            return False
        status, headers, body = self.proxy.fetch(call)
        call.answer(self.status if status == 201 else status, body, headers.items())
        return True


@dataclass
class NoDigests:
    """No answer names a digest: the header is none that a registry must send.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
    """

    proxy: FaultProxy

    def meets(self, call: Call) -> bool:
        """Leave the header out."""
        status, headers, body = self.proxy.fetch(call)
        headers.pop("docker-content-digest", None)
        call.answer(status, body, headers.items())
        return True


@dataclass
class OtherAddresses:
    """Addresses have the other scheme and a default port, as where a proxy ends TLS.

    https://distribution.github.io/distribution/about/configuration/#http (`host`, `relativeurls`)
    """

    proxy: FaultProxy

    def meets(self, call: Call) -> bool:
        """Name another scheme."""
        status, headers, body = self.proxy.fetch(call)
        here = urlsplit(f"//{call.headers['Host']}").hostname
        other = f"http://{here}" if self.proxy.tls else f"https://{here}:443"
        for name in {"location", "link"} & headers.keys():
            headers[name] = re.sub(r"https?://[^/]+", other, headers[name])
        call.answer(status, body, headers.items())
        return True


@dataclass
class Busy:
    """The first requests of a run are answered by 429, and a wait of a minute.

    Docker Hub: https://docs.docker.com/docker-hub/usage/; GitHub's packages.
    """

    left: int = 2

    def meets(self, call: Call) -> bool:
        """Ask to wait."""
        if not self.left:
            return False
        self.left -= 1
        call.answer(429, b'{"errors": [{"code": "TOOMANYREQUESTS"}]}', [("Retry-After", "60")])
        return True


@dataclass
class Immutable:
    """A tag that is there is never written again.

    ECR (400): https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
    Harbor (412): https://github.com/goharbor/harbor/blob/main/src/server/middleware/immutable/
    Docker Hub (403): https://docs.docker.com/docker-hub/repos/manage/hub-images/immutable-tags/
    """

    tags: Callable[[], Tags]
    status: int
    code: str
    message: str

    def meets(self, call: Call) -> bool:
        """Refuse a second write."""
        found = _MANIFEST.fullmatch(call.path)
        if call.command != "PUT" or not found or found[2] not in self.tags():
            return False
        refuse(call, self.status, self.code, self.message.format(tag=found[2]))
        return True


@dataclass
class NoRepositories:
    """A repository has to be made before anything is pushed, and nobody has made it.

    ECR: https://docs.aws.amazon.com/AmazonECR/latest/userguide/docker-push-ecr-image.html
    """

    def meets(self, call: Call) -> bool:
        """Know no repository."""
        if not call.headers.get("Authorization"):
            return False
        refuse(call, 404, "NAME_UNKNOWN", "The repository does not exist in the registry")
        return True


@dataclass
class NoDeletion:
    """Nothing is deleted by this protocol, though it is there.

    405: GHCR (https://github.com/podman-container-tools/skopeo/issues/1880), ECR, Docker Hub;
    403: ACR and GitLab to a token without that right; 404: gateways that know no such method.
    """

    status: int
    code: str

    def meets(self, call: Call) -> bool:
        """Refuse a deletion."""
        if call.command != "DELETE" or "/manifests/" not in call.path:
            return False
        refuse(call, self.status, self.code, "the operation is unsupported")
        return True


@dataclass
class DeletingTags:
    """A tag is deleted alone, and an image is not while it has one.

    Google: https://cloud.google.com/artifact-registry/docs/docker/manage-images; distribution 3.
    """

    place: Callable[[], Path]

    def meets(self, call: Call) -> bool:
        """Delete a tag."""
        found = re.fullmatch(r"/v2/(.+)/manifests/(.+)", call.path)
        if call.command != "DELETE" or not found or not call.headers.get("Authorization"):
            return False
        folder = self.place() / "docker/registry/v2/repositories" / found[1]
        tag = folder / "_manifests/tags" / found[2]
        if ":" in found[2]:
            refuse(call, 400, "GOOGLE_MANIFEST_DANGLING_TAG", "it is still referenced by tag")
        elif tag.exists():
            shutil.rmtree(tag)
            call.answer(202)
        else:
            refuse(call, 404, "MANIFEST_UNKNOWN", "manifest unknown")
        return True


@dataclass
class ListsReferrers:
    """What names an image as its subject is listed by the registry itself, in pages of one.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
    """

    place: Callable[[], Path]

    def meets(self, call: Call) -> bool:
        """List what refers to an image; nothing, if nobody knows of it."""
        url = urlsplit(call.path)
        found = re.fullmatch(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})", url.path)
        if call.command != "GET" or not found:
            return False
        if not call.headers.get("Authorization"):
            call.path = f"/v2/{found[1]}/tags/list"  # The registry says what it wants.
            return False
        known = self._about(found[1], found[2])
        at = int(parse_qs(url.query).get("at", ["0"])[0])
        index = "application/vnd.oci.image.index.v1+json"
        content = {"schemaVersion": 2, "mediaType": index, "manifests": known[at : at + 1]}
        more = [("Link", f'<{url.path}?at={at + 1}>; rel="next"')] if at + 1 < len(known) else []
        call.answer(200, json.dumps(content).encode(), [("Content-Type", index), *more])
        return True

    def _about(self, repository: str, digest: str) -> list[dict[str, object]]:
        """The descriptors of all manifests with this subject, in the order of their digests."""
        storage = self.place() / "docker/registry/v2"
        links = storage.glob(f"repositories/{repository}/_manifests/revisions/sha256/*/link")
        known = []
        for name in sorted(link.read_text() for link in links):
            digits = name.partition(":")[2]
            data = (storage / f"blobs/sha256/{digits[:2]}/{digits}/data").read_bytes()
            manifest = json.loads(data)
            if manifest.get("subject", {}).get("digest") == digest:
                kind = {"artifactType": manifest.get("artifactType", "")}
                size = {"digest": name, "size": len(data)}
                known.append({"mediaType": manifest["mediaType"], **size, **kind})
        return known


def refuse(call: Call, status: int, code: str, message: str) -> None:
    """Answer with an error as registries do.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
    """
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    call.answer(status, body, [("Content-Type", "application/json")])


def _list(call: Call, names: Sequence[object], headers: Headers = (), **more: object) -> None:
    body = json.dumps({"name": "app", "tags": names, **more}).encode()
    call.answer(200, body, [("Content-Type", "application/json"), *headers])
