"""Where `latest`, `1` and `1.2` end is told by the set of releases, not by their runs' order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failures import fails
from support.memory import Call, FakeHistory
from support.runs import Run, Turns, World, commit, image
from support.soak import soak

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Commit, Digest, Reference, Tag
from feastflow_registry.model.tag_names import CommitTags

TEMPLATES = "{version},{major},{major}.{minor}"
NUMBER = st.integers(0, 3)
NAMES = st.builds(
    "{}{}.{}.{}{}".format,
    st.sampled_from(["v", ""]),
    NUMBER,
    NUMBER,
    NUMBER,
    st.sampled_from(["", "", "", "-rc.1"]),
)


STABLE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def world(names: Iterable[str]) -> tuple[World, dict[str, Commit]]:
    """A commit for each git tag, none of which has anything to do with another."""
    commits = {name: commit(0x100 + place) for place, name in enumerate(names)}
    parents: dict[Commit, tuple[Commit, ...]] = dict.fromkeys(commits.values(), ())
    return World(history=FakeHistory(parents, {}, dict(commits))), commits


def release(on: World, commits: Mapping[str, Commit], name: str) -> Run:
    return on.run(commits[name], git_tag=name, latest="release", extra_tags=TEMPLATES)


def expected(names: Iterable[str]) -> dict[str, str]:
    """The git tag whose image each tag has to hold: the highest of those that make it."""
    ends: dict[str, tuple[tuple[int, int, int], str]] = {}
    for name in names:
        found = STABLE.fullmatch(name)
        if not found:
            continue
        major, minor, patch = map(int, found.groups())
        exact = f"{major}.{minor}.{patch}"
        for tag in ("latest", str(major), f"{major}.{minor}", exact):
            ends[tag] = max(ends.get(tag, ((-1, -1, -1), "")), ((major, minor, patch), name))
    return {tag: name for tag, (_, name) in ends.items()}


def check(on: World, commits: Mapping[str, Commit], names: Iterable[str]) -> None:
    # A tag that is a git tag's own name is that one's, and none of a line.
    found = {tag: on.at(tag) for tag in expected(names) if tag not in commits}
    wanted: dict[str, Digest | None] = {
        tag: on.own(commits[name]) for tag, name in expected(names).items() if tag not in commits
    }
    assert found == wanted


ORDERS = given(names=st.lists(NAMES, min_size=1, max_size=6, unique=True), data=st.data())


def one_after_the_other(names: list[str], data: st.DataObject) -> None:
    """In any order, some of them twice: a run that is started again moves nothing back."""
    on, commits = world(names)
    again = data.draw(st.lists(st.sampled_from(names), max_size=3))
    for name in data.draw(st.permutations([*names, *again])):
        release(on, commits, name).go()
    check(on, commits, names)


test_one_after_the_other = settings(max_examples=40)(ORDERS(one_after_the_other))
test_ten_thousand_one_after_the_other = soak(
    settings(max_examples=10_000)(ORDERS(one_after_the_other))
)


TURNS = given(
    names=st.lists(NAMES, min_size=2, max_size=3, unique=True),
    before=st.lists(NAMES, max_size=2, unique=True),
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=9),
)


def at_the_same_time(names: list[str], before: list[str], turns: list[tuple[int, int]]) -> None:
    on, commits = world([*names, *(each for each in before if each not in names)])
    for name in commits:
        if name not in names:
            release(on, commits, name).go()
    runs = [release(on, commits, name) for name in names]
    order = [number % len(runs) for number, count in turns for _ in range(count)]
    assert not Turns(order).go(runs)
    check(on, commits, commits)


test_at_the_same_time = settings(max_examples=40)(TURNS(at_the_same_time))
test_three_thousand_at_the_same_time = soak(settings(max_examples=3000)(TURNS(at_the_same_time)))


# Of two git tags of one version, that is another's name which was there first: `test_histories`.
MEANWHILE = given(
    names=st.lists(NAMES, min_size=2, max_size=4, unique_by=lambda name: name.removeprefix("v")),
    places=st.lists(st.integers(0, 60), min_size=3, max_size=3),
)


def tagged_meanwhile(names: list[str], places: list[int]) -> None:
    """Each of the others is tagged, and published whole, just before some request of the first."""
    on, commits = world(names)
    on.history.git_tags.clear()
    run = release(on, commits, names[0])
    others = sorted(zip(places, names[1:], strict=False), reverse=True)

    def meanwhile(call: Call) -> None:
        while others and others[-1][0] <= call.number:
            release(on, commits, others.pop()[1]).go()

    run.registry.before = meanwhile
    run.go()
    tagged = on.history.git_tags
    check(on, tagged, tagged)


test_tagged_meanwhile = settings(max_examples=40)(MEANWHILE(tagged_meanwhile))
test_ten_thousand_tagged_meanwhile = soak(
    settings(max_examples=10_000)(MEANWHILE(tagged_meanwhile))
)


@pytest.mark.parametrize("late", [1, 3])
def test_the_lower_one_s_run_ends_last(late: int) -> None:
    """Tagged within seconds of each other; `late`: the digit that differs."""
    names = ["v1.18.0", "v1.19.0"] if late == 1 else ["v1.18.0", "v1.18.1"]
    on, commits = world(names)
    lower, higher = (release(on, commits, name) for name in names)
    probe, same = world(names)
    position = release(probe, same, names[0]).go().number_of("set_tag", "shop:latest")
    hook = lower.registry.before

    def meanwhile(call: object) -> None:
        hook(call)  # type: ignore[arg-type]
        if getattr(call, "number", 0) == position:
            higher.go()

    lower.registry.before = meanwhile
    lower.go()
    assert on.at("latest") == on.at("1") == on.own(commits[names[1]])


def test_a_hotfix_of_an_older_line_leaves_the_newer_one() -> None:
    on, commits = world(["v1.1.0", "v1.2.0", "v1.1.1"])
    for name in commits:
        run = release(on, commits, name).go()
    own = {name: on.own(each) for name, each in commits.items()}
    assert on.at("1.1.1") == on.at("1.1") == on.at("v1.1.1") == own["v1.1.1"]
    assert on.at("1") == on.at("latest") == on.at("1.2") == own["v1.2.0"]
    kept = {each.reference.identifier: each.note for each in run.outcomes if each.action == "kept"}
    assert kept == dict.fromkeys(("1", "latest"), "v1.2.0 is a higher release")


@pytest.mark.parametrize(
    ("names", "ends"),
    [
        # https://github.com/prometheus/prometheus/issues/11310
        (
            ["v2.37.0", "v2.38.0", "v2.37.1"],
            {"latest": "v2.38.0", "2": "v2.38.0", "2.37": "v2.37.1", "2.38": "v2.38.0"},
        ),
        # https://github.com/metabase/metabase/pull/32071: a pre-release held latest up
        (["v1.46.5", "v1.47.0-RC1", "v1.46.6"], {"latest": "v1.46.6", "1": "v1.46.6"}),
        # https://github.com/grafana/loki/issues/10990: eleven minutes after each other
        (["v2.9.2", "v2.8.6"], {"latest": "v2.9.2", "2": "v2.9.2", "2.8": "v2.8.6"}),
        # https://github.com/temporalio/docker-builds/pull/139
        (
            ["1.20.3", "1.21.1", "1.20.4"],
            {"latest": "1.21.1", "1": "1.21.1", "1.20": "1.20.4", "1.21": "1.21.1"},
        ),
    ],
)
@pytest.mark.no_cover
def test_the_releases_of_others(names: list[str], ends: dict[str, str]) -> None:
    for order in itertools.permutations(names):
        on, commits = world(names)
        for name in order:
            release(on, commits, name).go()
        found = {tag: on.at(tag) for tag in ends}
        assert found == {tag: on.own(commits[name]) for tag, name in ends.items()}, order


def test_a_registry_that_never_lets_latest_move_gets_the_rest() -> None:
    """https://github.com/grafana/tempo/pull/7428: a repository whose tags are immutable."""
    on, commits = world(["v1.0.0", "v2.0.0"])
    release(on, commits, "v1.0.0").go()
    run = release(on, commits, "v2.0.0")

    def refuse() -> None:
        raise Failure(Kind.REFUSED, "the repository has enabled tag immutability.", "Allow it.")

    at_the_write(run, "latest", refuse)
    with fails("tag immutability", kind=Kind.REFUSED):
        run.go()
    own = on.own(commits["v2.0.0"])
    assert own == on.at("v2.0.0") == on.at("2.0.0") == on.at("2") == on.at("2.0")
    assert on.at("latest") == on.own(commits["v1.0.0"])


def at_the_write(run: Run, tag: str, action: Callable[[], object], *, after: bool = False) -> None:
    """Do something just before a run writes a tag for the first time, or just after."""
    done: list[object] = []

    def meanwhile(call: Call) -> None:
        if (call.method, call.subject) == ("set_tag", f"ada/shop:{tag}") and not done:
            done.append(call)
            action()

    setattr(run.registry, "after" if after else "before", meanwhile)


@pytest.mark.parametrize("after", [False, True])
def test_a_release_that_is_tagged_and_published_meanwhile_takes_over(after: bool) -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    del on.history.git_tags["v2.0.0"]
    run = release(on, commits, "v1.0.0")
    at_the_write(run, "latest", lambda: release(on, commits, "v2.0.0").go(), after=after)
    run.go()
    assert on.at("latest") == on.own(commits["v2.0.0"])


def test_what_was_declined_already_is_not_asked_again_at_the_last_look() -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    run = release(on, commits, "v1.0.0")

    def publish_and_decline() -> None:
        tags = str(CommitTags(7).of(commits["v2.0.0"])), "v2.0.0"
        newer = on.put(image(commits["v2.0.0"]), *tags)
        latest = Reference(on.services[0].repository, Tag("latest"))
        run.app.state.declined.add((latest, newer))

    at_the_write(run, "latest", publish_and_decline, after=True)
    run.go()
    assert on.at("latest") == on.own(commits["v1.0.0"])


def test_one_that_is_withdrawn_meanwhile_gives_way_to_the_one_before() -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    release(on, commits, "v1.0.0").go()
    run = release(on, commits, "v2.0.0")
    marker = str(CommitTags(7).withdrawn(commits["v2.0.0"]))
    at_the_write(run, "latest", lambda: on.put(image(commits["v2.0.0"]), marker))
    run.go()
    assert on.at("latest") == on.own(commits["v1.0.0"])


def test_a_tag_that_was_lost_goes_to_the_highest_at_once() -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    for name in commits:
        release(on, commits, name).go()
    del on.store.tagged[on.services[0].repository, Tag("latest")]
    run = release(on, commits, "v1.0.0").go()
    assert on.at("latest") == on.own(commits["v2.0.0"])
    written = [call for call in run.registry.calls if call.subject == "ada/shop:latest"]
    assert [call.method for call in written].count("set_tag") == 1


def test_what_nobody_knows_is_left_alone_and_told() -> None:
    on, commits = world(["v1.0.0"])
    run = release(on, commits, "v1.0.0")
    unknown = image(None, source="")
    at_the_write(run, "1", lambda: on.put(unknown, "latest"))
    with fails("labels name no commit", "delete that tag", kind=Kind.CONFLICT):
        run.go()
    assert on.at("latest") == unknown.digest
    assert on.at("v1.0.0") == on.at("1") == on.own(commits["v1.0.0"])


def test_a_list_of_git_tags_that_is_late_hides_no_release_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    monkeypatch.setattr(on.history, "git_tag_names", lambda: ["v1.0.0"])
    release(on, commits, "v2.0.0").go()
    assert on.at("latest") == on.own(commits["v2.0.0"])


@pytest.mark.parametrize("prefix", ["", "web/", "@web/app@"])
def test_nor_one_that_is_published(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """And one that was retracted since counts no more, though its image is there."""
    names = [f"{prefix}v1.0.0", f"{prefix}v2.0.0", f"{prefix}v3.0.0"]
    on, commits = world(names)

    def publish(name: str) -> None:
        on.run(commits[name], git_tag=name, latest="release", git_tags=f"{prefix}v*").go()

    publish(names[2])
    publish(names[1])
    del on.history.git_tags[names[2]]
    monkeypatch.setattr(on.history, "git_tag_names", lambda: names[:1])
    publish(names[0])
    assert on.at("latest") == on.own(commits[names[1]])


def test_a_name_that_holds_an_earlier_build_of_its_commit_is_its_own() -> None:
    on, commits = world(["v1.0.0"])
    on.put(image(commits["v1.0.0"], salt="earlier"), "v1.0.0")
    release(on, commits, "v1.0.0").go()
    own = on.own(commits["v1.0.0"])
    assert (
        on.at("latest") == own == on.at("v1.0.0") != image(commits["v1.0.0"], salt="earlier").digest
    )


def test_what_nobody_knows_is_not_replaced_by_a_higher_release_either() -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    run = release(on, commits, "v1.0.0")

    def meanwhile() -> None:
        on.put(image(commits["v2.0.0"]), "v2.0.0")
        on.put(image(None, source=""), "latest")

    at_the_write(run, "latest", meanwhile, after=True)
    with fails("labels name no commit", kind=Kind.CONFLICT):
        run.go()
    assert on.at("latest") == image(None, source="").digest


@pytest.mark.parametrize("place", [2, 30])
def test_the_highest_that_is_published_is_found_below_many_that_are_not(place: int) -> None:
    names = [f"v2.{number}.0" for number in range(40)]
    on, commits = world(["v1.0.0", *names])
    release(on, commits, names[place]).go()
    release(on, commits, "v1.0.0").go()
    assert on.at("latest") == on.own(commits[names[place]])


def test_many_releases_that_were_never_published_cost_a_bounded_number_of_questions() -> None:
    names = [f"v2.{number}.0" for number in range(140)]
    on, commits = world(["v1.0.0", *names])
    run = release(on, commits, "v1.0.0").go()
    assert on.at("latest") == on.own(commits["v1.0.0"])
    asked = {call.subject for call in run.registry.calls if ":v2." in call.subject}
    assert asked == {f"ada/shop:v2.{number}.0" for number in range(40, 140)}


def test_the_highest_one_alone_costs_one_question() -> None:
    on, commits = world(["v1.0.0", *(f"v2.{number}.0" for number in range(9))])
    release(on, commits, "v2.8.0").go()
    run = release(on, commits, "v1.0.0").go()
    asked = {call.subject for call in run.registry.calls if ":v2." in call.subject}
    assert asked == {"ada/shop:v2.8.0"}


@pytest.mark.parametrize("above", [3, 4, 99])
@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_release_that_no_list_shows_yet_counts(above: int, *, meanwhile: bool) -> None:
    """Below git tags that were never published; found by the plan, and by the last look."""
    higher = [f"v3.{number}.0" for number in range(above)]
    on, commits = world(["v1.0.0", "v2.0.0", *higher])
    on.store.unlisted.add("v2.0.0")
    run = release(on, commits, "v1.0.0")
    if meanwhile:
        at_the_write(run, "latest", release(on, commits, "v2.0.0").go)
    else:
        release(on, commits, "v2.0.0").go()
    run.go()
    assert on.at("latest") == on.own(commits["v2.0.0"])
    assert on.at("1") == on.own(commits["v1.0.0"])


@pytest.mark.parametrize("holds", ["the damaged image", "another release", "nothing"])
def test_a_damaged_image_of_a_higher_release_keeps_its_tags(holds: str) -> None:
    """And keeps no hotfix of an older line from its own."""
    on, commits = world(["v1.0.0", "v2.0.0", "v1.0.1"])
    for name in ("v1.0.0", "v2.0.0"):
        release(on, commits, name).go()
    damaged = on.own(commits["v2.0.0"])
    assert damaged
    on.store.corrupt.add(damaged)
    latest = on.services[0].repository, Tag("latest")
    if holds == "another release":
        on.store.tagged[latest] = on.own(commits["v1.0.0"]) or damaged
    elif holds == "nothing":
        del on.store.tagged[latest]
    before = on.at("latest")
    run = release(on, commits, "v1.0.1").go()
    hotfix = on.own(commits["v1.0.1"])
    assert hotfix == on.at("v1.0.1") == on.at("1.0.1") == on.at("1.0") == on.at("1")
    assert on.at("latest") == before
    notes = {each.reference.identifier: each.note for each in run.outcomes}
    assert notes["latest"] == "v2.0.0 is a higher release, whose image is damaged"


def test_a_damaged_image_gives_way_to_a_higher_release() -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    release(on, commits, "v1.0.0").go()
    damaged = on.own(commits["v1.0.0"])
    assert damaged
    on.store.corrupt.add(damaged)
    release(on, commits, "v2.0.0").go()
    assert on.at("latest") == on.own(commits["v2.0.0"])


def test_a_registry_that_does_not_answer_is_no_damaged_image() -> None:
    on, commits = world(["v1.0.0", "v2.0.0", "v1.0.1"])
    for name in ("v1.0.0", "v2.0.0"):
        release(on, commits, name).go()
    run = release(on, commits, "v1.0.1")

    def break_down(call: Call) -> None:
        if call.method == "inspect" and str(on.own(commits["v2.0.0"])) in call.subject:
            raise Failure(Kind.UNREACHABLE, "the connection broke.", "Run again.")

    run.registry.before = break_down
    with fails("the connection broke", kind=Kind.UNREACHABLE):
        run.go()


@pytest.mark.parametrize("order", [("v1.2.3", "1.2.3"), ("1.2.3", "v1.2.3")])
def test_the_name_of_a_git_tag_is_that_ones_alone(order: tuple[str, str]) -> None:
    """Though another one of the same version would make it, too."""
    on, commits = world(order)
    for name in order:
        release(on, commits, name).go()
    assert on.at("1.2.3") == on.own(commits["1.2.3"])
    assert on.at("v1.2.3") == on.own(commits["v1.2.3"])
    run = release(on, commits, "v1.2.3").go()
    assert on.at("1.2.3") == on.own(commits["1.2.3"])
    notes = {each.reference.identifier: each.note for each in run.outcomes}
    assert notes["1.2.3"] == "it is the name of the git tag 1.2.3"


def test_a_name_that_holds_another_image_is_no_release() -> None:
    """A git tag that was not published, and whose nearest name is another's."""
    on, commits = world(["v1.2.3-a", "v1.2.3+a", "v2.0.0", "v1.0.0"])
    release(on, commits, "v1.2.3-a").go()
    on.put(image(commits["v1.2.3-a"]), "v2.0.0")
    release(on, commits, "v1.0.0").go()
    assert on.at("latest") == on.own(commits["v1.0.0"])


def test_a_git_tag_that_moved_is_no_release_of_its_old_commit() -> None:
    on, commits = world(["v1.0.0", "v2.0.0"])
    release(on, commits, "v1.0.0").go()
    release(on, commits, "v2.0.0").go()
    on.history.git_tags["v2.0.0"] = commits["v1.0.0"]
    release(on, commits, "v2.0.0").go()
    assert on.at("latest") == on.own(commits["v1.0.0"])


@pytest.mark.parametrize("how", ["withdrawn", "retracted"])
def test_a_higher_one_that_is_gone_after_the_plan_gives_way(how: str) -> None:
    on, commits = world(["v1.5.0", "v1.9.0"])
    release(on, commits, "v1.9.0").go()
    run = release(on, commits, "v1.5.0")

    def meanwhile() -> None:
        if how == "retracted":
            del on.history.git_tags["v1.9.0"]
        else:
            marker = str(CommitTags(7).withdrawn(commits["v1.9.0"]))
            on.put(image(commits["v1.9.0"]), marker)

    at_the_write(run, "v1.5.0", meanwhile)
    run.go()
    assert on.at("latest") == on.at("1") == on.own(commits["v1.5.0"])


def test_what_is_of_one_run_moves_with_its_run() -> None:
    on, commits = world(["v1.0.0"])
    on.run(commits["v1.0.0"], git_tag="v1.0.0", extra_tags="{version}-{sha}").go()
    assert on.at(f"1.0.0-{commits['v1.0.0'].short}") == on.own(commits["v1.0.0"])
