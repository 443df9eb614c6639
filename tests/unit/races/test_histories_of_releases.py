"""Where a release's tags end is told by what is released and published, whatever came before.

A history is what people, registries and other runs do before the run of a release, and within it.
Each guard of the rules has a history below that ends otherwise without it, so that the property
dies when any of them is deleted; random histories look for what nobody thought of.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.memory import Call, FakeHistory
from support.runs import Run, World, commit, image
from support.soak import soak

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.marks import is_in_force
from feastflow_registry.model.references import Commit, Digest, Tag
from feastflow_registry.model.tag_names import CommitTags
from feastflow_registry.tags import survey

TEMPLATES = "{version},{major},{major}.{minor}"
NAMES = ("v1.9.0", "v1.9.1", "v1.10.0", "v2.0.0-rc.1", "v2.0.0", "2.0.0")
COMMITS = {name: commit(0x100 + place) for place, name in enumerate(NAMES)}
VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
ASKED = 2
"""How many of the highest names are asked for here: what is below them is found in the list."""
UNKNOWN = image(None, source="").digest


@dataclass
class Story:
    """What happens to the releases of one repository, an event a method.

    ``listed``: the git tags that a list shows which is late; ``gone``: those that were deleted, and
    that no run gives back; ``locked``: the tags of images that the registry lets nobody move;
    ``is_named``: whether a person has said what ``latest`` is to hold.
    """

    own: str
    on: World = field(
        default_factory=lambda: World(history=FakeHistory(dict.fromkeys(COMMITS.values(), ())))
    )
    listed: list[str] | None = None
    gone: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    is_named: bool = False

    def happen(self, event: str) -> None:
        what, name = event.split()
        getattr(self, what)(self.own if name == "own" else name)

    def tag(self, name: str) -> None:
        self.gone.discard(name)
        self.git_tags.setdefault(name, COMMITS[name])

    def publish(self, name: str) -> None:
        listed, self.listed = self.listed, None
        self.run(name).failure()
        self.listed = listed

    def retract(self, name: str) -> None:
        self.gone.add(name)
        self.git_tags.pop(name, None)

    def move(self, name: str) -> None:
        """Give the git tag to the commit of another one."""
        self.git_tags[name] = COMMITS[NAMES[NAMES.index(name) - 1]]

    def withdraw(self, name: str) -> None:
        self.on.put(image(COMMITS[name]), self.mark(COMMITS[name]))

    def rollback(self, name: str) -> None:
        """Say that a release is bad."""
        sha = COMMITS[name].sha
        self.on.start("rollback", COMMITS[name], latest="release", **{"from": sha}).failure()

    def unmark(self, name: str) -> None:
        """Go to a release all the same."""
        sha = COMMITS[name].sha
        run = self.on.start("rollback", latest="release", to=sha, unmark="true")
        self.is_named |= run.failure() is None

    def damage(self, name: str) -> None:
        self.on.store.corrupt.add(image(COMMITS[name]).digest)

    def delay(self, _: str) -> None:
        """The run's list of git tags shows what is there now."""
        self.listed = list(self.git_tags)

    def hide(self, name: str) -> None:
        """The registry's list does not show a release."""
        self.on.store.unlisted.add(name)

    def lose(self, name: str) -> None:
        for tag in self.tags(name):
            self.on.store.tagged.pop((self.on.services[0].repository, Tag(tag)), None)

    def foreign(self, name: str) -> None:
        """Nobody knows what a release's tags hold now."""
        self.on.put(image(None, source=""), *self.tags(name))

    def lock(self, name: str) -> None:
        """https://docs.docker.com/docker-hub/repos/manage/hub-images/immutable-tags/"""
        self.locked.add(name.removeprefix("v")[0])

    @property
    def git_tags(self) -> dict[str, Commit]:
        return self.on.history.git_tags

    def git_tag_names(self) -> list[str]:
        return list(self.git_tags) if self.listed is None else self.listed

    def run(self, name: str) -> Run:
        run = self.on.run(COMMITS[name], git_tag=name, latest="release", extra_tags=TEMPLATES)
        if name in self.gone:
            del self.git_tags[name]
        run.registry.before = self.refuse
        return run

    def refuse(self, call: Call) -> None:
        if call.method == "set_tag" and call.subject.split(":")[1] in self.locked:
            raise Failure(Kind.REFUSED, "the tag is immutable.", "Allow it.")

    def mark(self, at: Commit) -> str:
        return str(CommitTags(7).withdrawn(at))

    def tags(self, name: str) -> set[str]:
        """The tags that a release makes, besides its own name."""
        found = VERSION.fullmatch(name)
        if not found:
            return {name.removeprefix("v")}
        return {"latest", name.removeprefix("v"), found[1], f"{found[1]}.{found[2]}"} - {name}

    def ends(self, tag: str, held: Digest | None) -> set[Digest | None]:
        """What a tag may hold in the end.

        Whether a name is asked for that the registry's list does not show may depend on what else
        is there that looks like a version.
        """
        return {self.wanted(tag, held, hides=hides) for hides in (False, True)}

    def wanted(self, tag: str, held: Digest | None, *, hides: bool) -> Digest | None:
        """What a tag has to hold in the end: the image of the highest release that makes it."""
        hidden = self.on.store.unlisted
        known = {*self.git_tag_names(), *({self.own} & self.git_tags.keys())}
        shown = {name for name in self.git_tags if self.on.at(name) and name not in hidden}
        names = (name for name in known | shown if tag in self.tags(name))
        line = [tag] if tag in known else sorted(names, key=_order, reverse=True)
        sure = 1 if self.listed is None and not self.gone else 0
        for place, name in enumerate(line):
            at, found = self.git_tags.get(name), self.on.at(name)
            if name == self.own:
                image_of_own = image(COMMITS[name]).digest
                found = self.on.own(COMMITS[name]) if found in (None, image_of_own) else None
            elif name in hidden and (place >= ASKED or (hides and place >= sure)):
                continue
            if found in self.on.store.corrupt and at:
                return held
            if at and found == image(at).digest and not is_in_force(self.on.at(self.mark(at))):
                return held if tag in self.locked else found
        return held


def _order(name: str) -> tuple[list[int], str]:
    found = VERSION.fullmatch(name)
    return [int(number) for number in found.groups()] if found else [], name


@patch.object(survey, "_MOST_NAMES_ASKED", ASKED)
def histories(
    before: Sequence[str], own: str, meanwhile: Sequence[str], write: int, *, after: bool
) -> None:
    """``meanwhile``: events just before (or ``after``) the run's writes, from the n-th one on."""
    story = Story(own)
    on = story.on
    on.history.git_tag_names = story.git_tag_names  # type: ignore[method-assign]
    for event in before:
        story.happen(event)
    on.store.corrupt.discard(image(COMMITS[own]).digest)  # Its own run refuses that.
    run = story.run(own)
    story.is_named = False
    held = {tag: on.at(tag) for tag in (own, *story.tags(own))}
    begun = len(on.store.writes)
    at_the_writes(run, write, [partial(story.happen, each) for each in meanwhile], after=after)
    failure = run.failure()
    is_taken = {held[own], on.at(own)} - {None, image(COMMITS[own]).digest}
    assert not failure or is_taken or UNKNOWN in held.values() or story.locked, failure
    if not meanwhile:
        is_marked = is_in_force(on.at(story.mark(COMMITS[own])))
        assert failure or is_marked or not is_taken, "a name that is another's is told"
        names = {each.identifier for each, _ in on.store.writes[begun:]}
        assert names <= {own, f"commit-{COMMITS[own].short}", *story.tags(own)}
        assert held[own] in (None, on.at(own))
    for tag in sorted(story.tags(own)):
        written = [d for each, d in on.store.writes[begun:] if each.identifier == tag]
        if held[tag] == UNKNOWN and not (story.is_named and tag == "latest"):
            assert not written, tag
        elif meanwhile:
            # Where nothing is released, a tag stays at what it was given before. What others see
            # in their lists may stay, too.
            ends = story.ends(tag, None) | replace(story, listed=None).ends(tag, None)
            assert None in ends or on.at(tag) in ends, tag
        else:
            ends = story.ends(tag, held[tag])
            assert written in [[] if each == held[tag] else [each] for each in ends], tag


def at_the_writes(
    run: Run, first: int, actions: Sequence[Callable[[], object]], *, after: bool
) -> None:
    """Act at the writes of a run, from one on."""
    numbers = itertools.count(-first)
    refuse = run.registry.before

    def hook(call: Call) -> None:
        if call.method in ("push", "set_tag"):
            number = next(numbers)
            if 0 <= number < len(actions):
                actions[number]()
        if not after:
            refuse(call)

    setattr(run.registry, "after" if after else "before", hook)


GUARDS: Mapping[str, tuple[str, ...]] = {
    # What has to be deleted for the history to end otherwise: what comes before, the release;
    # what comes meanwhile, at which write.
    "its own release counts": ("", "v1.9.0"),
    "but not one whose git tag has moved": ("publish v1.9.0, tag v1.9.1, move own", "v1.9.1"),
    "nor one that is withdrawn": ("publish v1.9.0, publish own, withdraw own", "v1.9.1"),
    "nor one that is retracted": ("publish own, retract own, lose own", "v1.9.1"),
    "another one counts, and is given at once": ("publish v2.0.0, lose v2.0.0", "v1.9.0"),
    "not one that is retracted": (
        "publish v2.0.0, delay own, retract v2.0.0, damage v2.0.0",
        "v1.9.0",
    ),
    "not one that has moved": ("publish v1.9.1, move v1.9.1", "v1.9.0"),
    "not one that is withdrawn, either": ("publish v1.9.1, withdraw v1.9.1", "v1.9.0"),
    "a damaged one keeps its tags": ("publish v2.0.0, damage v2.0.0", "v1.9.0"),
    "and gets none": ("publish v2.0.0, damage v2.0.0, lose v2.0.0", "v1.9.0"),
    "what nobody knows stays": ("foreign own", "v1.9.0"),
    "a late list of git tags": ("delay own, hide own", "v1.9.0"),
    "what is on the registry is tagged": ("delay own, publish v1.10.0", "v1.9.0"),
    "a name that is another's is not published": ("publish v2.0.0, withdraw v2.0.0", "2.0.0"),
    "a late list of the registry": ("publish v1.10.0, hide v1.10.0", "v1.9.0"),
    "the rest is in the list": ("tag v2.0.0, tag v1.10.0, publish v1.9.1", "v1.9.0"),
    "but its own need not be": ("tag v2.0.0, tag v1.10.0, hide own", "v1.9.0"),
    "pre-releases are of no line": ("publish v2.0.0-rc.1", "v2.0.0"),
    "nor latest": ("publish v2.0.0-rc.1", "v1.9.0"),
    "and do not move it": ("publish v1.9.0, lose v1.9.0", "v2.0.0-rc.1"),
    "numbers are numbers": ("publish v1.10.0", "v1.9.0"),
    "of two of one version": ("publish v2.0.0", "2.0.0"),
    "the name decides": ("publish 2.0.0", "v2.0.0"),
    "the name of a git tag is that one's": ("tag 2.0.0", "v2.0.0"),
    "and is given once": ("publish v2.0.0", "2.0.0"),
    "the last look": ("", "v1.9.0", "publish v1.9.1", "5"),
    "at what is released by then": ("publish v1.9.1", "v1.9.0", "retract v1.9.1", "1"),
    "and withdrawn, be it its own": ("publish v1.9.0", "v1.9.1", "withdraw own", "5"),
    "and again": ("", "v1.9.0", "publish v1.9.1, publish v1.10.0", "5"),
    "though one tag cannot move": ("lock own", "v1.9.0", "publish v1.9.1", "5"),
    "be it one that was to stay": (
        "publish v1.9.1, lock v1.9.0",
        "v1.9.0",
        "publish v1.10.0",
        "0",
    ),
}


def guarded(test: Callable[..., None]) -> Callable[..., None]:
    """Try the history of each guard, too, with what comes meanwhile before and after the write."""
    for before, own, *rest in GUARDS.values():
        meanwhile, write = rest or ("", "0")
        for after in (False, True) if meanwhile else (False,):
            test = example(
                before=before.split(", ") if before else [],
                own=own,
                meanwhile=meanwhile.split(", ") if meanwhile else [],
                write=int(write),
                after=after,
            )(test)
    return test


def events(*words: str) -> st.SearchStrategy[str]:
    return st.builds(
        "{} {}".format, st.sampled_from(words), st.sampled_from([*NAMES, "own", "own"])
    )


PUBLISHED = ["publish"] * 4
BEFORE = events(
    *PUBLISHED,
    *("rollback", "unmark", "tag", "retract", "move", "withdraw", "damage", "delay", "hide"),
    *("lose", "foreign", "lock"),
)
MEANWHILE = events(*PUBLISHED, "rollback", "unmark", "tag", "retract", "move", "withdraw")
HISTORIES = given(
    before=st.lists(BEFORE, max_size=7),
    own=st.sampled_from(NAMES),
    meanwhile=st.lists(MEANWHILE, max_size=2),
    write=st.integers(0, 6),
    after=st.booleans(),
)


test_histories = settings(max_examples=40)(guarded(HISTORIES(histories)))
test_ten_thousand_histories = soak(settings(max_examples=10_000)(HISTORIES(histories)))
