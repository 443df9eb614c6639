"""The ports in memory. `tests/contract` runs one suite on `FakeRegistry` and on the real client.

Any number of `FakeRegistry` clients, one a run, share a `Store`, so that runs can be interleaved:
`before` and `after` are called around every request, and may let another run go first or fail.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import cast

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Along, Deleted, HubRepository, ListedTag, Published
from feastflow_registry.model.marks import NOTHING
from feastflow_registry.model.parts import Index, Part
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.ports import Built, BuiltImage, Status
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.model.tag_names import INPUTS_LABEL
from feastflow_registry.registry.visible import Visibility
from feastflow_registry.transport.http import Client

REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"


def digest_of(text: str) -> Digest:
    """The digest that an image of this description has."""
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


@dataclass(frozen=True)
class Call:
    """One request: `push`, or a method of the port, such as `resolve`."""

    number: int
    method: str
    subject: str


Hook = Callable[[Call], None]


Image = tuple[Repository, Digest]
Tagged = dict[tuple[Repository, Tag], Digest]


@dataclass
class Store:
    """What a registry holds.

    `corrupt`: the digests whose bytes no longer hash to them; `unlisted`: tags that are there, but
    in no list yet; `late`: tags that are shown to those alone who wait for them; `ghosts`: tags
    that are listed, but not there; `platforms`: what the parts of images are for.

    `lag`: for how many seconds reads by tag, lists and reads of new images show what was there
    before, but for the tags in `prompt`; time passes while somebody sleeps.
    """

    images: dict[tuple[Repository, Digest], Published] = field(default_factory=dict)
    tagged: dict[tuple[Repository, Tag], Digest] = field(default_factory=dict)
    writes: list[tuple[Reference, Digest]] = field(default_factory=list)
    created: dict[Digest, datetime] = field(default_factory=dict)
    corrupt: set[Digest] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    ghosts: set[Tag] = field(default_factory=set)
    readonly: bool = False
    platforms: dict[Digest, str] = field(default_factory=dict)
    lag: float = 0.0
    prompt: set[str] = field(default_factory=set)
    now: float = 0.0
    _states: list[tuple[float, Tagged, set[Image]]] = field(default_factory=list, init=False)

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._remember()
        self.now += seconds

    def shown(self) -> tuple[Tagged, set[Image] | dict[Image, Published]]:
        """What tags hold and which images there are, as far as one sees."""
        if not self.lag:
            return self.tagged, self.images
        self._remember()
        past = [each for each in self._states if each[0] <= self.now - self.lag]
        _, tagged, images = past[-1]
        old = {key: each for key, each in tagged.items() if key[1].value not in self.prompt}
        new = {key: each for key, each in self.tagged.items() if key[1].value in self.prompt}
        return old | new, images & self.images.keys()

    def _remember(self) -> None:
        tagged, images = dict(self.tagged), {*self.images}
        if not self._states:
            self._states.append((float("-inf"), tagged, images))
        elif self._states[-1][1:] != (tagged, images):
            self._states.append((self.now, tagged, images))

    def copy(self) -> Store:
        """A registry that holds the same."""
        return replace(
            self, images=self.images.copy(), tagged=self.tagged.copy(), writes=self.writes.copy()
        )

    def add(self, repository: Repository, image: Published, *tags: Tag) -> Digest:
        """Put an image there before a test begins."""
        self.images[repository, image.digest] = image
        for tag in tags:
            self.tagged[repository, tag] = image.digest
        return image.digest

    def write(self, reference: Reference, digest: Digest) -> None:
        """Point a tag at a manifest, and keep a record of it."""
        assert isinstance(reference.target, Tag)
        self.tagged[reference.repository, reference.target] = digest
        self.writes.append((reference, digest))

    def at(self, repository: Repository, tag: str) -> Digest | None:
        """What a tag points at, without a request."""
        return self.tagged.get((repository, Tag(tag)))


def _nothing(call: Call) -> None:
    """Let a request pass."""


@dataclass
class FakeRegistry:
    """One run's client of a `Store`. Like the real one, it reads an image by digest only once."""

    store: Store
    before: Hook = _nothing
    after: Hook = _nothing
    calls: list[Call] = field(default_factory=list)
    announced: set[Reference] = field(default_factory=set)
    visible: Visibility = field(init=False)
    _read: dict[tuple[Repository, Digest], Published] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.visible = Visibility(cast("Client", self.store))

    def resolve(self, reference: Reference) -> Digest | None:
        if self.store.lag:
            return self.visible.read(reference, lambda: self._resolve(reference))
        return self._resolve(reference)

    def _resolve(self, reference: Reference) -> Digest | None:
        with self.request("resolve", reference):
            tagged, images = self.store.shown()
            if isinstance(reference.target, Tag):
                if reference.identifier in self.store.late and reference not in self.announced:
                    return None
                return tagged.get((reference.repository, reference.target))
            return reference.target if (reference.repository, reference.target) in images else None

    def expect(self, reference: Reference, digest: Digest | None) -> None:
        self.visible.expect(reference, digest)

    def announce(self, reference: Reference) -> None:
        self.announced.add(reference)
        self.visible.announce(reference)

    def catch_up(self) -> None:
        self.visible.catch_up()

    def confirm(self, reference: Reference, digest: Digest) -> None:
        with self.request("confirm", reference):
            assert isinstance(reference.target, Tag)
            if self.store.shown()[0].get((reference.repository, reference.target)) != digest:
                raise Failure(Kind.UNVERIFIED, f"{reference} holds another image.", "Run again.")

    def inspect(self, repository: Repository, digest: Digest) -> Published:
        if (repository, digest) not in self._read:
            with self.request("inspect", Reference(repository, digest)):
                self._read[repository, digest] = self._published(repository, digest)
        return self._read[repository, digest]

    def part(self, repository: Repository, digest: Digest) -> Part:
        with self.request("part", Reference(repository, digest)):
            image = self._read[repository, digest] = self._published(repository, digest)
            os, _, architecture = self.store.platforms[digest].partition("/")
            system = {"os": os, "architecture": architecture.partition("/")[0]}
            return Part(image, system, {"digest": str(digest)})

    def put_index(self, reference: Reference, index: Index) -> None:
        with self.request("put_index", reference):
            self.check_writable(reference.repository)
            for each in index.manifest.content["manifests"]:  # type: ignore[attr-defined]
                assert (reference.repository, Digest(each["digest"])) in self.store.images
            self.store.images[reference.repository, index.image.digest] = index.image
            self._read[reference.repository, index.image.digest] = index.image
            self.store.write(reference, index.image.digest)
            self.expect(reference, index.image.digest)

    def size(self, repository: Repository, digest: Digest) -> int:
        with self.request("size", Reference(repository, digest)):
            image = self.store.images.get((repository, digest))
            return image.size if image and digest not in self.store.corrupt else 0

    def created(self, repository: Repository, digest: Digest) -> datetime | None:
        with self.request("created", Reference(repository, digest)):
            whole = digest not in self.store.corrupt
            return self.store.created.get(digest) if whole else None

    def set_tag(self, reference: Reference, digest: Digest) -> None:
        with self.request("set_tag", reference):
            if (reference.repository, digest) not in self._read:
                self._published(reference.repository, digest)
            self.check_writable(reference.repository)
            if isinstance(reference.target, Tag):
                self.store.write(reference, digest)
            else:
                image = self._read[reference.repository, digest]
                self.store.images[reference.repository, digest] = image
            self.expect(reference, digest)

    def tags(self, repository: Repository) -> tuple[Tag, ...]:
        with self.request("tags", repository):
            held = {tag for each, tag in self.store.shown()[0] if each == repository}
            tags = sorted(held | self.store.ghosts)
            return tuple(tag for tag in tags if tag.value not in self.store.unlisted)

    def pull_limit(self, reference: Reference) -> None:
        """Nobody counts pulls in memory."""

    def check_push(self, repository: Repository) -> None:
        with self.request("check_push", repository):
            self.check_writable(repository)

    def push(self, reference: Reference, image: Published) -> None:
        """What an engine does when it pushes an image with or without a tag."""
        with self.request("push", reference):
            self.check_writable(reference.repository)
            self.store.images[reference.repository, image.digest] = image
            if isinstance(reference.target, Tag):
                self.store.write(reference, image.digest)

    def delete(self, name: str) -> None:
        """A deletion that is about to begin, which is a request like any other."""
        call = Call(len(self.calls), "delete", name)
        self.calls.append(call)
        self.before(call)

    @property
    def counts(self) -> Counter[str]:
        """How many requests there were, by method."""
        return Counter(call.method for call in self.calls)

    def subjects(self, method: str) -> list[str]:
        """What the requests of one method were about, in their order."""
        return [call.subject for call in self.calls if call.method == method]

    @contextmanager
    def request(self, method: str, subject: Reference | Repository) -> Iterator[None]:
        call = Call(len(self.calls), method, str(subject))
        self.calls.append(call)
        self.before(call)
        yield
        self.after(call)

    def _published(self, repository: Repository, digest: Digest) -> Published:
        key = repository, digest
        for _ in chain([None], self.visible.pauses(Reference(repository, digest))):
            if key in self.store.shown()[1]:
                break
        else:
            raise Failure(Kind.UNVERIFIED, f"{digest} is not on the registry.", "Run again.")
        if digest in self.store.corrupt:
            raise Failure(Kind.UNVERIFIED, f"{digest} is not its bytes' digest.", "Look at it.")
        return self.store.images[key]

    def check_writable(self, repository: Repository) -> None:
        if self.store.readonly:
            raise Failure(Kind.REFUSED, f"denied pushing to {repository}.", "Give it push scope.")


@dataclass
class FakeBuilder:
    """An engine. `salt` makes this run's digests its own: no two builds are alike, bit by bit."""

    registry: FakeRegistry
    salt: str = ""
    by_digest: bool = False
    failing: str = ""
    broken: tuple[str, ...] = ()
    cache: str = ""
    sessions: list[tuple[str, ...]] = field(default_factory=list)
    checked: int = 0
    pushed: list[str] = field(default_factory=list)
    _images: dict[str, Published] = field(default_factory=dict)

    def describe(self) -> str:
        return "Docker in memory"

    def describe_builder(self, images: Sequence[BuildImage]) -> str:
        return "buildx in memory"

    def check_ready(self, images: Sequence[BuildImage]) -> None:
        self.checked += 1
        if self.failing == "check_ready":
            raise Failure(Kind.BUILD, "Cannot connect to the Docker daemon.", "Start it.")

    def build(self, images: Sequence[BuildImage], *, push: bool) -> Built:
        self.sessions.append(tuple(each.service.name for each in images))
        if self.failing == "build":
            raise Failure(Kind.BUILD, "The build failed.", "Read its output.")
        names = [each.service.name for each in images if each.service.name in self.broken]
        failures = {n: Failure(Kind.BUILD, f"{n} does not build.", "Mend it.") for n in names}
        whole = [each for each in images if each.service.name not in failures]
        return Built({each.service.name: self._build(each, push=push) for each in whole}, failures)

    def push(self, image: BuiltImage, reference: Reference) -> Digest:
        published = self._images[image.image_id]
        self.pushed.append(str(reference))
        self.registry.push(reference, published)
        return published.digest

    def _build(self, image: BuildImage, *, push: bool) -> BuiltImage:
        labels = dict(image.labels)
        platform = image.service.platforms[0] if image.is_part else ""
        digest = digest_of(f"{image.service.name} {labels[REVISION]} {self.salt}{platform}")
        if platform:
            self.registry.store.platforms[digest] = platform
        inputs = labels.get(INPUTS_LABEL, "")
        revision = Commit.read(labels[REVISION])
        published = Published(digest, revision, labels.get(SOURCE, ""), 1000, inputs)
        if self.by_digest and push:
            self.registry.push(Reference(image.service.repository, digest), published)
            return BuiltImage("", digest, 1000, self.cache)
        self._images[digest.value] = published
        return BuiltImage(digest.value, None, 1000, self.cache)


@dataclass
class FakeChecker:
    """Judges images; those of `broken` services fail."""

    broken: tuple[str, ...] = ()
    interrupting: tuple[str, ...] = ()
    ended: bool = False
    alone: list[bool] = field(default_factory=list)
    checked: list[tuple[str, str]] = field(default_factory=list)

    def check(
        self, service: Service, image: BuiltImage, reference: Reference, *, alone: bool
    ) -> None:
        self.checked.append((service.name, image.image_id or str(image.digest)))
        self.alone.append(alone)
        if service.name in self.broken:
            raise Failure(Kind.BUILD, f"{service.name} did not pass.", "Mend it.")
        if service.name in self.interrupting:
            raise KeyboardInterrupt

    def end(self) -> None:
        self.ended = True


@dataclass
class FakeCopier:
    """Copies between the repositories of one store, by the requests of a run's client.

    `lost`: whether nothing arrives; `along`: what goes along with every image.
    """

    client: FakeRegistry
    lost: bool = False
    copied: list[str] = field(default_factory=list)
    along: Along = field(default_factory=Along)

    @property
    def store(self) -> Store:
        return self.client.store

    def clear(self, mark: Reference) -> None:
        self.store.images[mark.repository, NOTHING] = Published(NOTHING, None, "")
        self.store.write(mark, NOTHING)
        self.client.expect(mark, NOTHING)

    def copy(self, source: Repository, digest: Digest, target: Repository) -> int:
        self.copied.append(f"{source} {target}")
        if self.lost:
            return 0
        with self.client.request("copy from", source), self.client.request("copy to", target):
            self.client.check_writable(target)
            known = (target, digest) in self.store.images
            self.store.images[target, digest] = self.store.images[source, digest]
        return 0 if known else 1000

    def bring_along(self, source: Repository, digest: Digest, target: Repository) -> Along:
        return self.along


@dataclass
class FakeDeletion:
    """Deletes by tag, or whole images only, or nothing. `indexes`: what these list.

    `before` hears what is about to be deleted, by its tag or its short digest.
    """

    store: Store = field(default_factory=Store)
    by_tag: bool = True
    whole: bool = True
    indexes: dict[Digest, frozenset[Digest]] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _: None
    asked: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    _removed: dict[tuple[Repository, Digest], Published] = field(default_factory=dict)

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        self.asked.append(str(Reference(repository, tag)))
        self.before(str(tag))
        if not self.by_tag:
            return Deleted.UNSUPPORTED
        self.deleted.append(str(tag))
        return Deleted.DONE if self.store.tagged.pop((repository, tag), None) else Deleted.GONE

    def delete_manifest(self, repository: Repository, digest: Digest) -> Deleted:
        self.asked.append(str(Reference(repository, digest)))
        self.before(digest.short)
        if not self.whole:
            raise Failure(Kind.REFUSED, "it does not delete images.", "Start it anew.")
        self.deleted.append(digest.short)
        image = self.store.images.pop((repository, digest), None)
        if image:
            self._removed[repository, digest] = image
        for key, there in tuple(self.store.tagged.items()):
            if (key[0], there) == (repository, digest):
                del self.store.tagged[key]
        return Deleted.DONE if image else Deleted.GONE

    def restore(self, repository: Repository, digest: Digest) -> None:
        listed = {(repository, part) for part in self.children(repository, digest)}
        assert listed <= self.store.images.keys(), "an index is refused before what it lists"
        self.store.images[repository, digest] = self._removed.pop((repository, digest))

    def children(self, repository: Repository, digest: Digest) -> frozenset[Digest]:
        return self.indexes.get(digest, frozenset())


@dataclass
class FakeHub:
    """Docker Hub's own API, with the same facts of every repository; `failing`: whether it listens.

    `checked`: the repositories of which it was asked whether the token may delete.
    """

    facts: HubRepository | None
    listed: Sequence[ListedTag] = ()
    failing: bool = False
    store: Store = field(default_factory=Store)
    deleted: list[str] = field(default_factory=list)
    checked: list[Repository] = field(default_factory=list)

    def tags(self, repository: Repository) -> Sequence[ListedTag]:
        return self.listed

    def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
        self.deleted.append(str(Reference(repository, tag)))
        return Deleted.DONE if self.store.tagged.pop((repository, tag), None) else Deleted.GONE

    def about(self, repository: Repository) -> HubRepository | None:
        if self.failing:
            raise Failure(Kind.UNREACHABLE, "Docker Hub does not answer.", "Run again.")
        return self.facts

    def check_delete(self, repository: Repository, absent: Tag) -> None:
        self.checked.append(repository)


@dataclass
class FakeStatuses:
    """What GitHub was told of commits; `failing`: whether it listens."""

    failing: bool = False
    told: list[tuple[Commit, Status]] = field(default_factory=list)

    def set(self, commit: Commit, status: Status) -> None:
        if self.failing:
            raise Failure(Kind.REFUSED, "GitHub answered 403.", "Allow it.")
        self.told.append((commit, status))


@dataclass
class FakeHistory:
    """Commits by their parents, the first parent first; `branches` and `git_tags` by name."""

    parents: dict[Commit, tuple[Commit, ...]] = field(default_factory=dict)
    branches: dict[str, Commit] = field(default_factory=dict)
    git_tags: dict[str, Commit] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    cut: bool = False

    def is_shallow(self) -> bool:
        return self.cut

    def relation(self, base: Commit, head: Commit) -> Relation:
        self.asked.append(("relation", base.sha, head.sha))
        if base == head:
            return Relation.SAME
        if base not in self.parents or head not in self.parents:
            return Relation.UNKNOWN
        if base in self._ancestors(head):
            return Relation.AHEAD
        return Relation.BEHIND if head in self._ancestors(base) else Relation.DIVERGED

    def newer(self, commit: Commit, branch: str) -> list[Commit]:
        self.asked.append(("newer", commit.sha, branch))
        tip = self.branches.get(branch)
        if tip is None or commit not in self._ancestors(tip):
            return []
        # As `git rev-list --first-parent commit..tip`: a side branch's own commits may be listed.
        known = self._ancestors(commit) | {commit}
        found: list[Commit] = []
        each: Commit | None = tip
        while each is not None and each not in known:
            found.append(each)
            each = next(iter(self.parents.get(each, ())), None)
        return found

    def ancestors(self, commit: Commit) -> list[Commit]:
        self.asked.append(("ancestors", commit.sha))
        found: list[Commit] = []
        while self.parents.get(commit):
            commit = self.parents[commit][0]
            found.append(commit)
        return found

    def git_tag(self, name: str) -> Commit | None:
        self.asked.append(("git_tag", name))
        return self.git_tags.get(name)

    def git_tag_names(self) -> list[str]:
        self.asked.append(("git_tag_names",))
        return list(self.git_tags)

    def resolve(self, abbreviation: str) -> Commit | None:
        self.asked.append(("resolve", abbreviation))
        found = [each for each in self.parents if each.sha.startswith(abbreviation)]
        return found[0] if len(found) == 1 else None

    def _ancestors(self, commit: Commit) -> set[Commit]:
        found: set[Commit] = set()
        todo = [*self.parents.get(commit, ())]
        while todo:
            each = todo.pop()
            if each not in found:
                found.add(each)
                todo += self.parents.get(each, ())
        return found


@dataclass
class FakeWorktree:
    """A working copy at one commit, unchanged. ``others``: what is in no commit."""

    head: Commit
    others: Sequence[str] = ()
    by_content: list[bool] = field(default_factory=list)

    def ensure(self, commit: Commit, *, by_content: bool = False) -> None:
        self.by_content.append(by_content)
        if commit != self.head:
            raise Failure(Kind.INPUT, f"HEAD is {self.head.short}.", "Check it out.")

    def untracked(self, folders: Sequence[str]) -> Sequence[str]:
        return [each for each in self.others if "." in folders or each.startswith(tuple(folders))]


@dataclass
class FakeLedger:
    """The memory of the last build alone, of which only what is in the engine lasts."""

    commit: Commit | None = None
    images: Mapping[str, BuiltImage] = field(default_factory=dict)

    def write(self, commit: Commit, images: Mapping[str, BuiltImage]) -> None:
        self.commit = commit
        self.images = {name: replace(each, digest=None) for name, each in images.items()}

    def read(self, commit: Commit) -> Mapping[str, BuiltImage]:
        return self.images if commit == self.commit else {}


@dataclass
class FakeLog:
    """Every line, with what it was written as; `depth` is that of the groups that are open."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    depth: int = 0
    awaited: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(("say", text))

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        self.lines.append(("group", title))
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def quote(self, line: str) -> None:
        self.lines.append(("quote", line))

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        self.awaited.append(text)
        yield self.awaited.append

    def notice(self, text: str) -> None:
        self.lines.append(("notice", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def fail(self, cause: str, fix: str, more: str = "") -> None:
        self.lines.append(("fail", " ".join(filter(None, (cause, fix, more)))))
