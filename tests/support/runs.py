"""Whole runs in memory, and the parts of any command's run: what unit tests set up and start."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import cast

from feastflow_registry.commands import Command, carry_out, promote, prune, publish, rollback
from feastflow_registry.commands.app import App
from feastflow_registry.commands.inputs import Inputs
from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import places, settings
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import Outcome, Plan
from feastflow_registry.model.references import (
    Commit,
    Digest,
    Reference,
    RegistryHost,
    Repository,
    Tag,
)
from feastflow_registry.model.run import Ref, RefKind
from feastflow_registry.model.run import Run as GitHubRun
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service, select
from feastflow_registry.model.source import Source
from feastflow_registry.tags import gate
from feastflow_registry.tags.fingerprint import Fingerprint
from feastflow_registry.transport.http import Client
from support.memory import (
    Call,
    FakeBuilder,
    FakeChecker,
    FakeCopier,
    FakeDeletion,
    FakeHistory,
    FakeHub,
    FakeLedger,
    FakeLog,
    FakeRegistry,
    FakeStatuses,
    FakeWorktree,
    Hook,
    Store,
    digest_of,
)

SOURCE = "https://github.com/feastflow/shop"
OURS = Source.of(SOURCE)
MOMENT = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
HOST = RegistryHost("docker.io")
USER = Credential("ada", "dckr_pat_in_memory")


def commit(number: int) -> Commit:
    """A commit whose first seven digits tell it from the others."""
    return Commit.parse(f"{number:07x}{number:033x}")


A, B, C, D = (commit(each) for each in range(0xA, 0xE))
ELSEWHERE = commit(0xF)
TWIN = Commit(f"{B.short}{'f' * 33}")
"""Another commit than B, whose first digits are the same."""


@cache
def service(name: str = "shop") -> Service:
    """A service of user ada."""
    return Service(name, Repository.parse(HOST, f"ada/{name}"))


SHOP = service()


@cache
def _parsed(inputs: tuple[tuple[str, str], ...]) -> settings.Settings:
    """Thousands of runs have the same inputs."""
    return settings.parse(dict(inputs))


def image(at: Commit | None, *, salt: str = "", source: str = SOURCE) -> Published:
    """An image as it is on a registry."""
    return Published(digest_of(f"shop {at} {salt}"), at, source, 1000)


def context(
    at: Commit = B,
    ref: str = "main",
    kind: RefKind = RefKind.BRANCH,
    event: str = "push",
    **more: object,
) -> GitHubRun:
    """A run of an event on a ref."""
    facts: dict[str, object] = {"repository": "feastflow/shop", "actor": "ada", **more}
    return GitHubRun(event, Ref(kind, ref), at, at, MOMENT, OURS, **facts)  # type: ignore[arg-type]


@dataclass
class FakeApp(App):
    """A run on ports in memory, for the commands as they are."""

    log: FakeLog
    world: World = field(kw_only=True)
    client: FakeRegistry = field(kw_only=True)
    engine: FakeBuilder = field(kw_only=True)
    judge: FakeChecker = field(default_factory=FakeChecker)
    copies: FakeCopier = field(init=False)
    told: FakeStatuses = field(default_factory=FakeStatuses)
    remembered: FakeLedger = field(default_factory=FakeLedger)
    checkout: FakeWorktree = field(init=False)
    docker_hub: FakeHub | None = None
    challenges: dict[str, str | Failure] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    """The registries that nobody has a credential for."""
    skew: float = 0.0
    certificates: str = ""
    reached: int = 0

    def __post_init__(self) -> None:
        self.copies = FakeCopier(self.client)
        self.checkout = FakeWorktree(self.run.commit)
        self._ticks = map(float, itertools.count(1))

    def clock(self) -> float:
        return next(self._ticks)

    def now(self) -> float:
        return (MOMENT + timedelta(days=1000)).timestamp()

    @cached_property
    def registry(self) -> FakeRegistry:
        return self.client

    def challenge(self, host: RegistryHost) -> str:
        """What the test says that a registry answers."""
        found = self.challenges.get(host.name, "")
        if isinstance(found, Failure):
            raise found
        return found

    def copier(self, source: Repository, target: Repository) -> FakeCopier:
        return self.copies

    @property
    def builder(self) -> FakeBuilder:
        self.reached += 1
        return self.engine

    def checker(self) -> FakeChecker:
        return self.judge

    @cached_property
    def deletes(self) -> FakeDeletion:
        return FakeDeletion(self.world.store)

    def credential_of(self, host: RegistryHost) -> Credential | None:
        return None if host.name in self.unknown else self.credential

    def deletion(self, host: RegistryHost) -> FakeDeletion:
        return self.deletes

    def try_deletion(self, host: RegistryHost) -> FakeDeletion:
        return self.deletes

    def hub(self, host: RegistryHost) -> FakeHub | None:
        return self.docker_hub if host.is_docker_hub else None

    def revisions(self) -> list[Revision]:
        known = enumerate(reversed(self.world.history.parents))
        return [Revision(each, place, MOMENT, MOMENT, "") for place, each in known]

    def is_shallow(self) -> bool:
        return self.world.history.cut

    @property
    def worktree(self) -> FakeWorktree:
        return self.checkout

    @property
    def ledger(self) -> FakeLedger:
        return self.remembered

    @cached_property
    def history(self) -> FakeHistory:
        return self.world.history

    def _former_names(self) -> Callable[[str], bool]:
        return self.world.former_names.__contains__

    def statuses(self) -> FakeStatuses:
        return self.told

    def _fingerprint(self, service: Service) -> Fingerprint:
        return self.world.fingerprint(self.run.commit)(service)


@dataclass
class Run:
    """One run, with a registry client of its own. Its lists grow while `steps` goes on."""

    app: FakeApp
    command: Command = publish
    outcomes: list[Outcome] = field(default_factory=list)
    plan: Plan | None = None

    def steps(self) -> Iterator[Outcome]:
        """Survey, plan and carry out; each outcome as it is reached."""
        self.app.state = RunState()
        self.plan = self.command.plan(self.app)
        for outcome in carry_out(self.command, self.app, self.plan):
            self.outcomes.append(outcome)
            yield outcome

    @property
    def context(self) -> GitHubRun:
        return self.app.run

    @context.setter
    def context(self, run: GitHubRun) -> None:
        permission = gate.grant(self.app.settings, run, has_credential=True)
        self.app.inputs = replace(self.app.inputs, run=run, permission=permission)

    @property
    def registry(self) -> FakeRegistry:
        return self.app.client

    @property
    def builder(self) -> FakeBuilder:
        return self.app.engine

    @property
    def checker(self) -> FakeChecker:
        return self.app.judge

    @property
    def worktree(self) -> FakeWorktree:
        return self.app.checkout

    @property
    def attempted(self) -> set[Reference]:
        return self.app.state.attempted

    @property
    def reached(self) -> int:
        """How often the engine was reached for."""
        return self.app.reached

    def go(self) -> Run:
        """Run whole."""
        for _ in self.steps():
            pass
        return self

    def failure(self) -> Failure | None:
        """Run as far as it goes; what stopped it."""
        try:
            self.go()
        except Failure as failure:
            return failure
        return None

    def number_of(self, method: str, subject: str, nth: int = 0) -> int:
        """The position of the n-th request of a kind."""
        wanted = (method, f"ada/{subject}")
        return [c.number for c in self.registry.calls if (c.method, c.subject) == wanted][nth]

    @property
    def actions(self) -> list[tuple[str, str]]:
        """What was done to which tag."""
        return [(each.action.value, each.reference.identifier) for each in self.outcomes]


@dataclass
class World:
    """One registry and one history, which every run sees."""

    names: Sequence[str] = ("shop",)
    store: Store = field(default_factory=Store)
    history: FakeHistory = field(
        default_factory=lambda: FakeHistory(
            {A: (), B: (A,), C: (B,), D: (C,), ELSEWHERE: (A,)}, {"main": D}
        )
    )

    check: str = ""
    platforms: tuple[str, ...] = ()
    former_names: set[str] = field(default_factory=set)
    inputs: dict[tuple[Commit, str], str] = field(default_factory=dict)
    """What a service is made of at a commit; the commit itself, where it is not said."""

    def copy(self) -> World:
        """The same history, and a registry that holds the same."""
        return replace(self, store=self.store.copy())

    def fingerprint(self, at: Commit) -> Callable[[Service], Fingerprint]:
        return lambda each: Fingerprint(self.inputs.get((at, each.name), f"{each.name} {at}"))

    @property
    def services(self) -> tuple[Service, ...]:
        more = {"check": self.check, "platforms": self.platforms}
        return tuple(replace(service(name), **more) for name in self.names)  # type: ignore[arg-type]

    def run(
        self,
        at: Commit,
        *,
        git_tag: str = "",
        salt: str = "",
        by_digest: bool = False,
        before: Hook | None = None,
        after: Hook | None = None,
        attempt: int = 1,
        branch: str = "main",
        **inputs: str,
    ) -> Run:
        """Prepare a run of the push of a commit."""
        kind = RefKind.TAG if git_tag else RefKind.BRANCH
        if git_tag:
            self.history.git_tags.setdefault(git_tag, at)
        registry = FakeRegistry(self.store)
        registry.before = before or registry.before
        registry.after = after or registry.after
        run = context(at, git_tag or branch, kind, attempt=attempt)
        builder = FakeBuilder(registry, salt=salt, by_digest=by_digest)
        return Run(self.app(inputs, run=run, registry=registry, builder=builder))

    def start(self, command: str, at: Commit = D, **inputs: str) -> Run:
        """Prepare a run of `promote`, `rollback` or `prune`, at a commit of main."""
        registry = FakeRegistry(self.store)
        app = self.app({"command": command, **inputs}, run=context(at), registry=registry)
        app.deletes.before = registry.delete
        return Run(app, {"promote": promote, "rollback": rollback, "prune": prune}[command])

    def app(
        self,
        inputs: Mapping[str, str],
        *,
        run: GitHubRun | None = None,
        registry: FakeRegistry | None = None,
        builder: FakeBuilder | None = None,
        folder: Path = Path(),
    ) -> FakeApp:
        """The parts of any command's run."""
        run = run or context(D)
        registry = registry or FakeRegistry(self.store)
        parsed = _parsed(tuple(inputs.items()))
        services = select(self.services, parsed.services)
        repositories = (Repository(parsed.registry, each.repository.path) for each in services)
        placed = [
            replace(each, repository=repository)
            for each, repository in zip(services, repositories, strict=True)
        ]
        first, also = places.of(placed, parsed)
        permission = gate.grant(parsed, run, has_credential=True)
        return FakeApp(
            inputs=Inputs(parsed, run, permission, USER, first, self.services, {}, "", also=also),
            workspace=LocalWorkspace(folder, {}),
            http=cast("Client", None),
            log=FakeLog(),
            machine="x86_64",
            hostname="",
            random_word=lambda: "word",
            world=self,
            client=registry,
            engine=builder or FakeBuilder(registry),
        )

    def publish(self, at: Commit, **options: str) -> Run:
        """Run the push of a commit whole."""
        return self.run(at, **options).go()  # type: ignore[arg-type]

    def at(self, tag: str, name: str = "shop") -> Digest | None:
        return self.store.at(service(name).repository, tag)

    def commit_at(self, tag: str, name: str = "shop") -> Commit | None:
        """The commit of the image that a tag points at."""
        digest = self.at(tag, name)
        return self.store.images[service(name).repository, digest].revision if digest else None

    def own(self, at: Commit, name: str = "shop") -> Digest | None:
        """What the commit tag of a commit points at."""
        return self.at(f"commit-{at.short}", name)

    def put(self, published: Published, *tags: str, name: str = "shop") -> Digest:
        """Put an image there before a test begins."""
        return self.store.add(service(name).repository, published, *(Tag(tag) for tag in tags))


def at_call(number: int, act: Callable[[], object]) -> Hook:
    """Act once, just before (or after) the n-th request."""

    def hook(call: Call) -> None:
        if call.number == number:
            act()

    return hook


def down(host: str, since: int = 0) -> Hook:
    """Break every request to a registry, from the n-th of a run on; Docker Hub's is ``ada``."""

    def hook(call: Call) -> None:
        if call.number >= since and call.subject.startswith(f"{host}/"):
            raise Failure(Kind.UNREACHABLE, f"{host} does not answer.", "Run again.")

    return hook


def refusing(host: str) -> Hook:
    """Refuse everything that is written to a registry."""

    def hook(call: Call) -> None:
        writes = call.method in ("check_push", "push", "set_tag", "copy to")
        if writes and call.subject.startswith(f"{host}/"):
            raise Failure(Kind.REFUSED, f"{host} denied it.", "Give it push scope.")

    return hook


def failing(number: int) -> Hook:
    """Break the n-th request."""

    def fail() -> None:
        raise Failure(Kind.UNREACHABLE, "the connection broke.", "Run again.")

    return at_call(number, fail)


@dataclass
class Turns:
    """Lets runs go on by turns, a turn being one request and what follows up to the next one.

    `order` says whose turn it is; when it is used up, each run goes on to its end, the first first.
    """

    order: list[int]
    live: set[int] = field(default_factory=set)
    _turn: int | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def hook(self, number: int) -> Hook:
        """Hold each request of a run until it is its turn."""

        def wait(_: Call) -> None:
            with self._changed:
                self._turn = None if self._turn == number else self._turn
                if not self._is_due(number):
                    self._changed.notify_all()
                    assert self._changed.wait_for(lambda: self._is_due(number), 60)
                self.order = self.order[1:]
                self._turn = number

        return wait

    def go(self, runs: Sequence[Run]) -> list[Exception]:
        """Carry all runs out to their ends; what they raised."""
        raised: list[Exception] = []

        def carry(number: int, run: Run) -> None:
            try:
                run.go()
            except Exception as error:  # noqa: BLE001  The test looks at all of them.
                raised.append(error)
            with self._changed:
                self.live.discard(number)
                self._end_turn(number)

        threads = []
        for number, run in enumerate(runs):
            run.registry.before = self.hook(number)
            self.live.add(number)
            threads.append(threading.Thread(target=carry, args=(number, run)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return raised

    def _end_turn(self, number: int) -> None:
        if self._turn == number:
            self._turn = None
        self._changed.notify_all()

    def _is_due(self, number: int) -> bool:
        while self.order and self.order[0] not in self.live:
            self.order = self.order[1:]
        wanted = self.order[0] if self.order else min(self.live)
        return self._turn is None and wanted == number
