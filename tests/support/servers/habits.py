"""What registries do otherwise than distribution, each switched on by itself before a real one.

A habit sees every request first. It answers it, changes it, or lets it go on to the registry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from support.servers.serving import Call

Tags = Mapping[str, str]
_MANIFEST = re.compile(r"(/v2/.+/manifests/)([\w.-]+)")
_LIST = re.compile(r"/v2/(.+)/tags/list")


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
            body = json.dumps({"name": listing[1], "tags": sorted(shown)}).encode()
            call.answer(200, body, [("Content-Type", "application/json")])
            return True
        if by_tag and by_tag[2] not in shown:
            call.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
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
        body = json.dumps({"name": "app", "tags": left[:1]}).encode()
        call.answer(200, body, [("Content-Type", "application/json"), *more])
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
        names = [*sorted(self.tags()), "../..", "sha256:abc", 7, None]
        body = json.dumps({"name": "app", "tags": names, "manifest": {}, "child": []}).encode()
        call.answer(200, body, [("Content-Type", "application/json")])
        return True
