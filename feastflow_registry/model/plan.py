"""What a run will do, as a value: what was seen on the registry, and the steps that follow.

What is only known later (a digest not built yet) is left open and filled in by who carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import TypeVar

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.history import Relation
from feastflow_registry.model.images import Published
from feastflow_registry.model.parts import Part
from feastflow_registry.model.references import (
    Commit,
    Digest,
    Reference,
    RegistryHost,
    Repository,
    Tag,
)
from feastflow_registry.model.services import Annotation, Service


class Command(StrEnum):
    """The one vocabulary of the action's ``command`` and the program's subcommands."""

    PUBLISH = "publish"
    BUILD = "build"
    PUSH = "push"
    TAGS = "tags"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    DEPLOY = "deploy"
    PRUNE = "prune"
    INIT = "init"
    DOCTOR = "doctor"

    @property
    def builds(self) -> bool:
        """Whether it is about images that are built from the checkout."""
        return self in (Command.PUBLISH, Command.BUILD, Command.PUSH, Command.DOCTOR)

    @property
    def writes(self) -> bool:
        """Whether it writes to the registry."""
        return self in _WRITING


_WRITING = (Command.PUBLISH, Command.PUSH, Command.PROMOTE, Command.ROLLBACK, Command.PRUNE)


class Latest(StrEnum):
    """How ``latest`` moves."""

    FORWARD = "forward"
    FORCE = "force"
    RELEASE = "release"
    NEVER = "never"


class Reuse(StrEnum):
    """What is not built again."""

    COMMIT = "commit"
    UNCHANGED = "unchanged"
    NEVER = "never"


class Rule(Enum):
    """How a tag may move."""

    COMMIT = "written once"
    GIT_TAG = "a git tag's name is written once"
    MILESTONE = "forward until a git tag of that name exists"
    FINAL = "set once, to the commit of its git tag"
    FORWARD = "forward only"
    BRANCH = "forward, and wherever its branch was rewritten to"
    ONE_RUN = "forward only, by runs of its own date or commit"
    RELEASE = "to the highest release that is published"
    FORCE = "wherever it is told"


@dataclass(frozen=True, slots=True)
class Line:
    """The releases that a tag is for, by their git tags, the highest first; ``own``: this run's.

    A name may be no git tag: the survey looks.
    """

    own: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """A published release: its git tag, and its image, if that is built already.

    ``is_damaged``: nobody can read the image, nor tell whether it is that release's.
    """

    name: str
    digest: Digest | None
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides one move. ``relation``: our commit's to the one now there.

    ``git_tag``: the commit of the git tag of that name; ``frozen``: its publish has been here;
    ``release``: the highest one of the tag's ``line`` that is published and not withdrawn.
    """

    current: Published | None
    relation: Relation = Relation.UNKNOWN
    git_tag: Commit | None = None
    frozen: bool = False
    withdrawn: bool = False
    line: Line | None = None
    release: Release | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether this run may push, whether tags that others share may move, and why.

    ``warning``: what has to be said aloud of it, if anything; ``fix``: what would let it push.
    """

    push: bool
    shared: bool
    reason: str
    warning: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class SharedTag:
    """A tag that this commit deserves, and the rule that it moves by, and for which releases."""

    tag: Tag
    rule: Rule
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A step about one tag of a service's repository."""

    service: Service
    tag: Tag

    @property
    def reference(self) -> Reference:
        """The tag with its repository."""
        return Reference(self.service.repository, self.tag)


@dataclass(frozen=True, slots=True)
class ReuseImage:
    """The commit's image is published: nothing is built."""

    service: Service
    reference: Reference
    image: Published


@dataclass(frozen=True, slots=True)
class CarryImage(_Tagged):
    """An ancestor's image would come out the same: it gets this commit's tag too."""

    image: Published


@dataclass(frozen=True, slots=True)
class BuildImage:
    """Build a service. ``tags`` are the names that the local engine gives the image.

    ``needs``: the services that it is built from; ``cache_from``, ``cache_to``, ``attest``: as
    buildx takes them; ``annotations``: each with its level; ``epoch``: the seconds since 1970 that
    every file and layer is to carry; ``pull``: look base images up again; ``why``: why it is not
    carried forward; ``is_part``: whether others make it an image of several platforms.
    """

    service: Service
    tags: tuple[Reference, ...]
    labels: tuple[tuple[str, str], ...]
    needs: tuple[Service, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    attest: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    epoch: int | None = None
    pull: bool = False
    why: str = ""
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class PushImage(_Tagged):
    """Push what was built under its own tag, and read it back."""


@dataclass(frozen=True, slots=True)
class JoinParts(_Tagged):
    """Put an image together from its parts. ``parts``: by platform, in the order of the index."""

    parts: tuple[tuple[str, Part | None], ...]
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The platforms that nobody has pushed yet."""
        return tuple(platform for platform, part in self.parts if part is None)


@dataclass(frozen=True, slots=True)
class MirrorImage(_Tagged):
    """Give the commit's image of another registry its commit tag here, too: it is copied.

    ``source``: where it comes from; if that fails, from the first registry that has it.
    """

    source: Reference


@dataclass(frozen=True, slots=True)
class Since:
    """What was there when the move of a tag was planned: the rest happened meanwhile.

    ``commit``: what is published after it takes the tag over, but for what was ``known`` to be
    published; none, if the tag follows no branch. ``release``: the same of what is higher than it,
    but for those ``releases``. ``withdrawn``: the image was withdrawn already.
    """

    commit: Commit | None = None
    known: frozenset[Commit] = frozenset()
    release: str = ""
    releases: frozenset[str] = frozenset()
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class MoveTag(_Tagged):
    """Point a tag at the service's image, replacing ``expect`` and nothing else.

    ``keep``: why the tag stays as it is, as long as it holds ``expect``; ``conflict``: what is
    said in the end, if the rule forbids what was asked for.
    """

    rule: Rule
    expect: Digest | None
    keep: str = ""
    conflict: Failure | None = field(default=None, compare=False)
    line: Line | None = None
    since: Since = field(default_factory=Since)


@dataclass(frozen=True, slots=True)
class KeepTag(_Tagged):
    """Leave a tag where it is, and say why. ``current``: the image that it holds."""

    current: Digest | None
    reason: str


@dataclass(frozen=True, slots=True)
class CopyImage:
    """Bring an image, with all that it lists, into another repository or registry."""

    service: Service
    source: Reference
    target: Repository


@dataclass(frozen=True, slots=True)
class WithdrawImage(_Tagged):
    """Give an image the tag that says that it is bad."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class UnmarkImage(_Tagged):
    """Take off the mark that says that an image is bad."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class DeleteTag(_Tagged):
    """Delete a tag. ``digest``: the image that it is expected to hold.

    ``needed``: a tag that stays and needs that image, so that this one goes only where a tag can be
    deleted without its image; ``dated``: the date that decided, and of what it is.
    """

    digest: Digest | None
    reason: str
    needed: Tag | None = None
    dated: str = ""


@dataclass(frozen=True, slots=True)
class EditFile(_Tagged):
    """Give a container the image of a tag, at a line of a Kubernetes manifest."""

    digest: Digest
    file: str
    line: int
    resource: str
    container: str
    old: str
    new: str


Step = (
    ReuseImage
    | CarryImage
    | BuildImage
    | PushImage
    | JoinParts
    | MirrorImage
    | MoveTag
    | KeepTag
    | CopyImage
    | WithdrawImage
    | UnmarkImage
    | DeleteTag
    | EditFile
)
StepT = TypeVar("StepT")
Imaging = PushImage | CarryImage | ReuseImage | JoinParts | MirrorImage
"""The steps that settle what a service's own tag holds on one registry."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one run, in order, and what they are about.

    ``advice``: what is left for a person to do; ``is_left_bad``: tags that nobody asked about hold
    a bad image; ``kubectl``: the commands that put the images to work in a cluster; ``guessed``:
    whether a name in them is a guess; ``left_out``: what was asked for and has no place in this
    run; ``names``: what people call the images that tags hold; ``run_url``: the page of the run;
    ``runners``: the labels of the one that builds a platform, where each has a job of its own.
    """

    command: Command
    commit: Commit
    permission: Permission
    steps: tuple[Step, ...]
    advice: tuple[str, ...] = ()
    is_left_bad: bool = False
    kubectl: tuple[str, ...] = ()
    guessed: bool = False
    left_out: tuple[str, ...] = ()
    names: Mapping[Digest, str] = field(default_factory=dict, compare=False)
    run_url: str = ""
    runners: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, service: Service) -> tuple[Step, ...]:
        """The steps of one service."""
        return tuple(step for step in self.steps if step.service == service)

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of the plan, once, in order; on each registry it is one of its own."""
        return tuple(dict.fromkeys(step.service for step in self.steps))

    @property
    def hosts(self) -> tuple[RegistryHost, ...]:
        """Every registry of the plan, once, in order."""
        return tuple(dict.fromkeys(each.repository.host for each in self.services))

    def on(self, host: RegistryHost) -> Plan:
        """What there is to do on one registry."""
        steps = tuple(step for step in self.steps if step.service.repository.host == host)
        return replace(self, steps=steps)

    def every(self, kind: type[StepT]) -> tuple[StepT, ...]:
        """The steps of a kind, in their order."""
        return tuple(step for step in self.steps if isinstance(step, kind))

    @property
    def builds(self) -> tuple[BuildImage, ...]:
        """The images that have to be built."""
        return self.every(BuildImage)

    @property
    def images(self) -> tuple[Imaging, ...]:
        """What each service's own tag is or will be."""
        return tuple(step for step in self.steps if isinstance(step, Imaging))

    @property
    def moves(self) -> tuple[MoveTag, ...]:
        """The tags that have to be moved, or kept as long as nobody else moves them."""
        return self.every(MoveTag)


class Action(StrEnum):
    """What came of one step."""

    BUILT = "built"
    REUSED = "reused"
    CARRIED = "carried"
    ADOPTED = "adopted"
    PUSHED = "pushed"
    JOINED = "joined"
    CREATED = "created"
    MOVED = "moved"
    KEPT = "kept"
    COPIED = "copied"
    MARKED = "marked"
    UNMARKED = "unmarked"
    DELETED = "deleted"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that was done and proven. ``seconds``: how long it took. ``size``: bytes."""

    service: Service
    action: Action
    reference: Reference
    digest: Digest | None = None
    size: int = 0
    seconds: float = 0.0
    note: str = ""
