"""Every habit of a registry, who has it, and what each command does there.

A command ends as it does on any other registry, unless the row says how else: by which exit code,
and with which sentence. Then nothing that was there has changed.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from support.machine import Machine
from support.registries import USER, Auth, LocalRegistry
from support.scenes import COLUMNS, ELSEWHERE
from support.servers import habits, token_habits
from support.servers.habits import Habit, Storage, Tags

Ends = Mapping[str, tuple[int, str]]
"""By the command: the exit code, and the sentence."""


@dataclass(frozen=True)
class Place:
    """A registry that a run meets, and what its habits may need to know. `open`: for servers."""

    machine: Machine
    registry: LocalRegistry
    repository: str
    shown: ssl.SSLContext | None
    open: ExitStack

    def tags(self) -> Tags:
        """What its repository holds."""
        return self.registry.tags(self.repository)

    def identity(self) -> dict[str, str]:
        """What a login keeps that is no password: `az acr login`, for one."""
        assert self.registry.tokens
        pair = f"{'0' * 8}-0000-0000-0000-{'0' * 12}:".encode()
        token = self.registry.tokens.remember(USER)
        return {"auth": base64.b64encode(pair).decode(), "identitytoken": token}

    def waited(self) -> float:
        """Seconds that runs would have waited so far."""
        return self.machine.waited

    def storage(self) -> Storage:
        """Another server that holds the same."""
        server = Storage(lambda: self.registry.registry.storage, self.shown)
        return self.open.enter_context(server)


@dataclass(frozen=True)
class Row:
    """One habit. `who`: has it; `make` and `tokens`: before the registry and its token server."""

    who: str
    make: Callable[[Place], Habit] | None = None
    tokens: Callable[[Place], Habit] | None = None
    ends: Ends = field(default_factory=dict)
    target_only: bool = False
    """Whether it is a habit of the registry that is written to, where there are two."""
    identity: bool = False
    """Whether the login keeps an identity token."""
    auth: Auth = "htpasswd"
    """What the registry asks for."""

    def switch_on(self, at: Place) -> None:
        """Have a registry behave so from now on."""
        at.registry.proxy.habits = [self.make(at)] if self.make else []
        at.registry.realm.habits = [self.tokens(at)] if self.tokens else []


IMMUTABLE: Ends = dict.fromkeys(("publish", "rollback"), (6, "a rule makes it immutable"))
UNMADE: Ends = {
    "publish": (3, "Create the repository first"),
    "re-run": (3, "Create the repository first"),
    "promote": (2, "publish first"),
    ELSEWHERE: (3, "Create the repository first"),
    "rollback": (2, "publish first"),
    "deploy": (2, "publish first"),
    "prune": (0, "holds no tags"),
    "tags": (0, "holds no tags"),
}
CANNOT: Ends = {"prune": (3, "does not delete images")}

TABLE: Mapping[str, Row] = {
    "new tags appear 1 s late": Row("GHCR", lambda at: habits.Late(1, at.tags, at.waited)),
    "new tags appear 10 s late": Row(
        "GHCR, at times Docker Hub and geo-replicated ACR",
        lambda at: habits.Late(10, at.tags, at.waited),
    ),
    "the registry asks to wait a minute": Row("Docker Hub, GHCR", lambda _: habits.Busy()),
    "uploads are not cancelled": Row("Harbor's robots", lambda _: habits.NoCancelling()),
    "writes answer 200": Row("gateways", lambda at: habits.WritesAnswer(at.registry.proxy, 200)),
    "writes answer 202": Row("gateways", lambda at: habits.WritesAnswer(at.registry.proxy, 202)),
    "no header has the digest": Row("gateways", lambda at: habits.NoDigests(at.registry.proxy)),
    "addresses have the other scheme and a port": Row(
        "registries behind a load balancer", lambda at: habits.OtherAddresses(at.registry.proxy)
    ),
    "manifests are redirected": Row("gateways, load balancers", lambda _: habits.Redirecting()),
    "content is redirected to another host": Row(
        "ECR, ACR, Google, gateways", lambda at: habits.KeptElsewhere(at.tags, at.storage())
    ),
    "pages of lists have other paths": Row(
        "Artifactory, Nexus", lambda at: habits.PagesElsewhere(at.tags)
    ),
    "lists have more than tags": Row("Google", lambda at: habits.ListingMore(at.tags)),
    "lists shrink during the reading": Row(
        "all, while others prune", lambda at: habits.ShrinkingLists(at.tags)
    ),
    "several challenges": Row("Gitea, Forgejo", lambda _: habits.TwoChallenges()),
    "Basic before Bearer in one header": Row(
        "Gitea, Forgejo",
        lambda at: habits.SideBySide(at.registry.proxy, joined=True),
        auth="token",
    ),
    "Basic before Bearer in two headers": Row(
        "Gitea, Forgejo",
        lambda at: habits.SideBySide(at.registry.proxy, joined=False),
        auth="token",
    ),
    "without a login, all answers are 404": Row("zot", lambda _: habits.Unprompted()),
    "no login is asked for, and all may write": Row(
        "distribution without auth", lambda at: habits.Open(f"Basic {at.registry.login['auth']}")
    ),
    "after a token expires, the challenge is Basic": Row(
        "Harbor",
        lambda at: habits.ExpiringToBasic(at.registry.sign),
        auth="token",
    ),
    "headers of 8 KB at most": Row(
        "nginx in front of any", lambda _: habits.ShortHeaders(), auth="token"
    ),
    "the scope delete is refused, * is granted": Row(
        "Quay", tokens=lambda _: token_habits.NoDelete(), auth="token"
    ),
    "of several scopes, the first is granted": Row(
        "some token servers", tokens=lambda _: token_habits.FirstScope(), auth="token"
    ),
    "several scopes at once are refused": Row(
        "some token servers", tokens=lambda _: token_habits.OneScope(), auth="token"
    ),
    "the token is called access_token": Row(
        "ACR", tokens=lambda at: token_habits.AccessToken(at.registry.realm), auth="token"
    ),
    "the login keeps an identity token": Row(
        "ACR, after `az acr login`", identity=True, auth="token"
    ),
    "immutable tags answer 400": Row(
        "ECR",
        lambda at: habits.Immutable(
            at.tags,
            400,
            "TAG_INVALID",
            "The image tag '{tag}' already exists in the 'app' repository and cannot be "
            "overwritten because the tag is immutable.",
        ),
        ends=IMMUTABLE,
    ),
    "immutable tags answer 412": Row(
        "Harbor",
        lambda at: habits.Immutable(
            at.tags, 412, "PRECONDITION", "Failed to process request due to 'app:{tag}'"
        ),
        ends=IMMUTABLE,
    ),
    "immutable tags answer 403": Row(
        "Docker Hub",
        lambda at: habits.Immutable(
            at.tags, 403, "DENIED", "tag {tag} cannot be updated due to immutability settings"
        ),
        ends=IMMUTABLE,
    ),
    "a repository must exist before a push": Row(
        "ECR", lambda _: habits.NoRepositories(), ends=UNMADE, target_only=True
    ),
    "nothing is deleted: 405": Row(
        "GHCR, ECR, Docker Hub's registry",
        lambda _: habits.NoDeletion(405, "UNSUPPORTED"),
        ends=CANNOT,
    ),
    "nothing is deleted: 404": Row(
        "gateways", lambda _: habits.NoDeletion(404, "NOT_FOUND"), ends=CANNOT
    ),
    "nothing is deleted: 403": Row(
        "ACR, GitLab, without that right",
        lambda _: habits.NoDeletion(403, "DENIED"),
        ends={"prune": (3, "denied the deletion")},
    ),
    "tags are deleted, images are not": Row(
        "Google", lambda at: habits.DeletingTags(lambda: at.registry.registry.storage)
    ),
    "referrers are listed by the registry": Row(
        "ACR, ECR, Google, Quay, zot",
        lambda at: habits.ListsReferrers(lambda: at.registry.registry.storage),
    ),
}


def render() -> str:
    """The table as the page of registries shows it."""
    head = ["habit", "who has it", *COLUMNS]
    rows = [head, ["---"] * len(head)]
    for habit, row in TABLE.items():
        rows.append([habit, row.who, *(_shown(row.ends.get(command)) for command in COLUMNS)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _shown(end: tuple[int, str] | None) -> str:
    if end is None:
        return "✓"
    code, sentence = end
    return f"✓ ({sentence})" if code == 0 else f"exit {code}: “{sentence}”"
