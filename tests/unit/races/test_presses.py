"""Whoever presses Rollback, and how often: only what came with a bad commit is marked and goes.

Services are carried from commit to commit, or published alone; publishes come between presses. What
has to be is told by the images of the commits alone, without the program's own way to find it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.memory import FakeHistory
from support.runs import World, commit, service
from support.soak import soak

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.marks import is_in_force
from feastflow_registry.model.references import Commit, Digest, Tag

NAMES = ("cart", "menu", "shop")
TAGS = ("latest", "production")
COMMITS = [commit(0x100 + number) for number in range(6)]
SOME = st.sets(st.sampled_from(NAMES))


@dataclass(frozen=True)
class Push:
    """A commit changes some services and is published; `left_out` are not published."""

    changed: set[str]
    left_out: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Promotion:
    """`production` gets what `latest` holds."""


@dataclass(frozen=True)
class Press:
    """A rollback of tags. `bad`: how many commits before the newest one is named, if any."""

    tags: tuple[str, ...]
    bad: int | None


PRESS = st.builds(
    Press,
    st.sampled_from([("latest",), ("production",), TAGS]),
    st.one_of(st.none(), st.integers(0, 3)),
)
PUSH = st.builds(Push, SOME, st.one_of(st.just(set[str]()), SOME))
STORY = given(
    releases=st.booleans(),
    first=st.lists(PUSH, min_size=1, max_size=3),
    then=st.lists(st.one_of(PRESS, PRESS, PUSH, st.just(Promotion())), min_size=1, max_size=6),
)


@dataclass
class Registry:
    """What is published, and what the tags hold. `releases`: each commit is one."""

    world: World
    releases: bool
    commits: list[Commit] = field(default_factory=list)

    def push(self, push: Push) -> None:
        if len(self.commits) == len(COMMITS):
            return
        at = COMMITS[len(self.commits)]
        before = self.commits[-1] if self.commits else None
        self.world.history.parents[at] = (before,) if before else ()
        self.world.history.branches["main"] = at
        for name in NAMES:
            old = self.world.inputs.get((before, name), "0") if before else ""
            self.world.inputs[at, name] = str(at) if name in push.changed else old
        self.commits.append(at)
        names = [name for name in NAMES if name not in push.left_out or not before]
        if names:
            world = replace(self.world, names=names)
            git_tag = f"v{len(self.commits)}.0.0" if self.releases else ""
            world.run(at, git_tag=git_tag, reuse="unchanged", latest=self.latest).go()

    @property
    def latest(self) -> str:
        return "release" if self.releases else "forward"

    def promote(self) -> None:
        for name in NAMES:
            repository = service(name).repository
            self.world.store.tagged[repository, Tag("production")] = self.held("latest", name)

    def held(self, tag: str, name: str) -> Digest:
        found = self.world.at(tag, name)
        assert found
        return found

    def came(self, name: str, image: Digest) -> int:
        """With which commit an image came."""
        return next(n for n, at in enumerate(self.commits) if self.world.own(at, name) == image)

    def marked(self, name: str) -> set[Digest]:
        marks = {self.world.at(f"withdrawn-{at.short}", name) for at in self.commits}
        return {each for each in marks if each and is_in_force(each)}

    def last(self, images: Mapping[str, Digest]) -> dict[str, Digest]:
        """Those of some images that came last."""
        came = {name: self.came(name, image) for name, image in images.items()}
        return {name: images[name] for name, at in came.items() if at == max(came.values())}

    def accused(self, press: Press) -> Mapping[str, set[Digest]]:
        """The images that a press says are bad."""
        if press.bad is not None:
            at = self.commits[self.number(press.bad)]
            owns = {name: own for name in NAMES if (own := self.world.own(at, name))}
            return {name: {image} for name, image in (self.last(owns) if owns else {}).items()}
        held = [{name: self.held(tag, name) for name in NAMES} for tag in press.tags]
        newest = max(self.came(n, image) for images in held for n, image in images.items())
        later = [self.came(n, image) > newest for n in NAMES for image in self.marked(n)]
        if any(later):
            return {}  # It was taken back already.
        found: dict[str, set[Digest]] = {}
        for images in held:
            for name, image in self.last(images).items():
                if self.came(name, image) == newest:
                    found.setdefault(name, set()).add(image)
        return found

    def good_before(self, name: str, image: Digest) -> Digest:
        """The nearest one before that nobody has marked; the same, if there is none."""
        older = self.commits[: self.came(name, image)][::-1]
        images = [own for at in older if (own := self.world.own(at, name))]
        return next((each for each in images if each not in self.marked(name)), image)

    def number(self, back: int) -> int:
        return max(0, len(self.commits) - 1 - back)

    def press(self, press: Press) -> Failure | None:
        given = {"tag": ",".join(press.tags), "latest": self.latest}
        if press.bad is not None:
            number = self.number(press.bad)
            given["from"] = f"v{number + 1}.0.0" if self.releases else self.commits[number].sha
        return self.world.start("rollback", self.commits[-1], **given).failure()


def check(on: Registry, press: Press) -> None:
    accused = on.accused(press)
    tagged = [(tag, name) for tag in TAGS for name in NAMES]
    before = {each: on.held(*each) for each in tagged}
    marks = {name: on.marked(name) for name in NAMES}
    refused = on.press(press)
    holding = [
        key for key in before if key[0] in press.tags and before[key] in accused.get(key[1], ())
    ]
    for name in NAMES:
        new = on.marked(name) - marks[name]
        assert new <= accused.get(name, set()), f"a good image of {name} is marked: {refused}"
    for key, image in before.items():
        wanted = on.good_before(key[1], image) if key in holding else image
        assert on.held(*key) == wanted, f"{key} is elsewhere: {refused}"
    if press.bad is not None and holding:
        named = {name: images - on.marked(name) for name, images in accused.items()}
        assert not any(named.values()), f"a bad image is not marked: {refused}"
    after = dict(on.world.store.tagged)
    again = on.press(press)
    assert on.world.store.tagged == after, f"a second press does more: {again}"


def play(releases: bool, first: Sequence[Push], then: Sequence[object]) -> None:
    on = Registry(World(NAMES, history=FakeHistory({}, {})), releases)
    for push in first:
        on.push(push)
    on.promote()
    for each in then:
        match each:
            case Push():
                on.push(each)
            case Promotion():
                on.promote()
            case Press():
                check(on, each)


CARRIED = example(
    releases=True,
    first=[Push(set()), Push({"cart", "menu", "shop"}), Push(set())],
    then=[Press(("latest",), None), Press(TAGS, None)],
)
"""A release only has what another one had, which is marked, and which a tag still holds."""
test_a_hundred_stories = settings(max_examples=100, deadline=None)(CARRIED(STORY(play)))
test_ten_thousand_stories = soak(settings(max_examples=10_000, deadline=None)(STORY(play)))
