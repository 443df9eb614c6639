"""Rolling back and promoting on a real registry: tags move, layers do not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.fault_scenes import ROUNDS, is_ours, remember_git
from support.machine import Machine, Ran
from support.many_tags import docker_hub
from support.published_pair import MILESTONE, PublishedPair
from support.registries import REPOSITORY, USER, Auth, LocalRegistry
from support.servers.faults import Fault
from support.servers.untagging import Untagging
from support.soak import chosen, soak

from feastflow_registry.model.marks import NOTHING
from integration.conftest import Builder

BACK = [
    "HEAD manifests/frozen-latest 401",
    "HEAD manifests/frozen-latest 404",
    "HEAD manifests/latest 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/commit-bad 200",
    "HEAD manifests/commit-good 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/withdrawn-good 404",
    # Which other tags hold the bad image: the registry lists this one, which is gone.
    "GET tags/list 200",
    "HEAD manifests/sprint3 404",
    "HEAD manifests/withdrawn-bad 404",
    "PUT manifests/withdrawn-bad 201",
    "HEAD manifests/withdrawn-bad 200",
    "HEAD manifests/latest 200",
    "PUT manifests/latest 201",
    "HEAD manifests/latest 200",
    "HEAD manifests/withdrawn-good 404",
]
PROMOTED = [
    "HEAD manifests/commit-bad 401",
    "HEAD manifests/commit-bad 200",
    "GET manifests/sha256:… 200",
    "GET blobs/sha256:… 200",
    "HEAD manifests/withdrawn-bad 404",
    "HEAD manifests/production 404",
    "HEAD manifests/frozen-production 404",
    "HEAD manifests/production 404",
    "PUT manifests/production 201",
    "HEAD manifests/production 200",
    "HEAD manifests/withdrawn-bad 404",
]


@dataclass
class Shop:
    """Two commits that are published, the second of which is bad."""

    machine: Machine
    good: str
    bad: str

    @property
    def place(self) -> LocalRegistry:
        return self.machine.place

    @property
    def tags(self) -> dict[str, str]:
        return self.place.tags()

    def digest(self, sha: str) -> str:
        return self.tags[f"commit-{sha[:7]}"]

    def run(self, command: str, **inputs: Any) -> Ran:
        """Run a command as somebody does who presses a button on GitHub."""
        environ = self.machine.runner(event="workflow_dispatch", command=command, **inputs)
        return self.machine.call(environ, timeout=inputs.pop("timeout", 300.0))

    def shortened(self, lines: list[str]) -> list[str]:
        names = {self.good[:7]: "good", self.bad[:7]: "bad"}
        for sha, name in names.items():
            lines = [line.replace(sha, name) for line in lines]
        return lines


@pytest.fixture
def shop(
    place: LocalRegistry,
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
) -> Shop:
    pair.lay_out(place)
    shop = Shop(machines(place, remote), pair.first, pair.second)
    place.untag(MILESTONE)
    place.retag({"latest": shop.digest(shop.bad)})
    return shop


@pytest.mark.parametrize("auth", chosen(["htpasswd", "token"]))
def test_back_and_forth_moves_tags_and_no_layer(
    auth: Auth,
    places: Callable[..., LocalRegistry],
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    tmp_path: Path,
) -> None:
    """An index of two platforms with attestations stays as it is, to the byte."""
    inputs = {**remote.inputs, "platforms": "linux/amd64,linux/arm64"}
    inputs["attest"] = "type=provenance,mode=min"
    place = places(auth)
    machine = machines(place, remote)
    machine.call(machine.runner(**inputs)).ended()
    shop = Shop(machine, machine.project.head, machine.project.commit())
    machine.call(machine.runner(**inputs)).ended()
    good, bad = shop.digest(shop.good), shop.digest(shop.bad)
    manifests = {each: place.crane("manifest", place.at(each)) for each in (good, bad)}
    listed = json.loads(manifests[good])["manifests"]
    assert len([each for each in listed if each["platform"]["os"] == "unknown"]) == 2
    assert len(listed) == 4
    for to, wanted in (("", good), (shop.bad, bad), (shop.good, good), (shop.bad[:7], bad)):
        before = len(place.requests())
        ran = shop.run("rollback", to=to).ended()
        assert place.digest("latest") == wanted
        assert ran.outputs["digest"] == wanted
        asked = [line for line in place.since(before) if not line.startswith("GET /token")]
        assert not [line for line in asked if "uploads" in line or line.startswith("PATCH")]
        writes = [line.split()[1] for line in asked if line.startswith("PUT")]
        assert set(writes) <= {"manifests/latest", *_marks(shop)}
        assert place.crane("manifest", place.at("latest")) == manifests[wanted]
    place.crane("pull", "--format=oci", place.at("latest"), str(tmp_path / "pulled"))


def _marks(shop: Shop) -> set[str]:
    return {f"manifests/withdrawn-{each[:7]}" for each in (shop.good, shop.bad)}


def test_a_rollback_asks_so_much_and_no_more(shop: Shop) -> None:
    before = len(shop.place.requests())
    ran = shop.run("rollback").ended()
    assert shop.shortened(shop.place.since(before)) == BACK
    assert shop.tags["latest"] == shop.digest(shop.good)
    assert shop.tags[f"withdrawn-{shop.bad[:7]}"] == shop.digest(shop.bad)
    assert ran.outputs["pushed"] == "true"
    assert ran.outputs["image"] == f"{shop.place.repository}@{shop.digest(shop.good)}"
    assert "### ✅ Rolled back: " in ran.summary


def test_a_promotion_asks_so_much_and_no_more(shop: Shop) -> None:
    before = len(shop.place.requests())
    shop.run("promote", to=shop.bad, tag="production").ended()
    assert shop.shortened(shop.place.since(before)) == PROMOTED
    assert shop.tags["production"] == shop.digest(shop.bad)


def test_twenty_tags_cost_three_requests_each_and_no_more(shop: Shop) -> None:
    names = [f"region-{number}" for number in range(20)]
    before = len(shop.place.requests())
    shop.run("promote", to=shop.bad, tag=",".join(names)).ended()
    asked = shop.place.since(before)
    assert {shop.tags[each] for each in names} == {shop.digest(shop.bad)}
    assert len([line for line in asked if line.startswith("GET")]) == 2
    # Before a tag moves, its plan asks what it holds and whether it is final; in the end, somebody
    # may have withdrawn the image.
    assert len([line for line in asked if not line.endswith(" 500")]) == 5 + 20 * 5 + 1


def test_a_promotion_is_of_this_runs_commit_unless_told(shop: Shop) -> None:
    shop.run("promote", tag="production").ended()
    assert shop.tags["production"] == shop.digest(shop.bad)
    shop.run("promote", to="latest", tag="staging").ended()
    assert shop.tags["staging"] == shop.digest(shop.bad)
    shop.run("promote", to=shop.digest(shop.good), tag="canary").ended()
    assert shop.tags["canary"] == shop.digest(shop.good)


def test_a_promotion_to_another_repository_and_another_registry(
    shop: Shop, places: Callable[..., LocalRegistry]
) -> None:
    other = places("token")
    before = len(shop.place.requests())
    shop.run("promote", tag="prod/{service}:production").ended()
    asked = shop.place.since(before)
    assert not [line for line in asked if line.startswith("PATCH")], "a layer travelled"
    assert shop.place.tags("prod/app")["production"] == shop.digest(shop.bad)
    facts: dict[str, Any] = {"command": "promote", "tag": f"{other.host}/far/app"}
    environ = shop.machine.runner(event="workflow_dispatch", **facts)
    ran = shop.machine.run({**environ, "DOCKER_CONFIG": _log_in(shop.machine, other)}).ended()
    own = f"commit-{shop.bad[:7]}"
    assert other.tags("far/app") == {own: shop.digest(shop.bad)}
    assert ran.outputs["tags"].split() == [f"{other.host}/far/app:{own}"]
    other.crane("validate", "--remote", other.at(own, "far/app"))
    assert other.token not in ran.log


def _log_in(machine: Machine, place: LocalRegistry) -> str:
    """Where `docker login` has left a credential."""
    folder = machine.folder / "login"
    folder.mkdir()
    pair = base64.b64encode(f"{USER}:{place.token}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {place.host: {"auth": pair}}}))
    return str(folder)


def failing(
    shop: Shop, command: str, faults: Sequence[Mapping[str, Any]], first: int = 1
) -> Iterator[Ran]:
    """Run a command from the same state time and again, each of its requests failing in turn."""
    inputs = {"tag": "production"} if command == "promote" else {}
    start = shop.tags
    for nth in range(first, 40):
        rule = shop.place.proxy.add(Fault(match=is_ours, nth=nth, **faults[nth % len(faults)]))
        ran = shop.run(command, timeout=0.5 if rule.kind == "stall" else 300.0, **inputs)
        shop.place.proxy.clear()
        if rule.fired:
            yield ran
        shop.place.untag(*(shop.tags.keys() - start.keys()))
        shop.place.retag(start)
        if not rule.fired:
            assert nth > 8, "a rollback and a promotion ask more than that"
            return
    raise AssertionError("a run of forty requests")


@soak
@pytest.mark.parametrize("command", ["rollback", "promote"])
def test_one_bad_moment_at_any_request_is_survived(
    shop: Shop, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_git(monkeypatch)
    tag = "production" if command == "promote" else "latest"
    wanted = shop.digest(shop.bad if command == "promote" else shop.good)
    for faults in ROUNDS:
        for ran in failing(shop, command, faults):
            ran.ended()
            assert shop.tags[tag] == wanted
            if command == "rollback":
                assert shop.tags[f"withdrawn-{shop.bad[:7]}"] == shop.digest(shop.bad)


@soak
def test_refused_anywhere_it_says_what_is_done_and_running_again_finishes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_git(monkeypatch)
    for ran in failing(shop, "rollback", [{"kind": "status", "status": 403}], first=2):
        if ran.code == 0:  # What was refused is not needed, or was looked at again in the end.
            assert shop.tags["latest"] == shop.digest(shop.good)
            assert shop.tags[f"withdrawn-{shop.bad[:7]}"] == shop.digest(shop.bad)
        ran.ended(ran.code and 3)
        for name in ("latest", f"withdrawn-{shop.bad[:7]}"):
            if f"Written before the failure: {shop.place.repository}:{name}" in ran.log:
                assert name in shop.tags
        if "Written before" in ran.log:
            assert "Run the same again: what is done stays done." in ran.log
        shop.run("rollback", to=shop.good).ended()
        assert shop.tags["latest"] == shop.digest(shop.good)
        assert f"withdrawn-{shop.good[:7]}" not in shop.tags


@pytest.mark.parametrize("attempt", chosen(["1", "2"]))
def test_pressed_twice_it_goes_back_once(shop: Shop, attempt: str) -> None:
    """By two people, or as the second try of a run that was broken off."""
    environ = shop.machine.runner(event="workflow_dispatch", command="rollback")
    shop.machine.call(environ).ended()
    after = shop.tags
    assert after["latest"] == shop.digest(shop.good)
    again = shop.machine.runner(event="workflow_dispatch", command="rollback")
    ran = shop.machine.call({**again, "GITHUB_RUN_ATTEMPT": attempt}).ended()
    assert f"{shop.bad[:7]} is marked already, and the tag is at {shop.good[:7]}" in ran.log
    assert shop.tags == after


def test_a_second_try_takes_a_tag_that_follows_no_branch_no_further(shop: Shop) -> None:
    """Nothing tells whether it was ever at what is marked: then who presses has to say."""
    shop.place.retag({"production": shop.digest(shop.bad)})
    environ = shop.machine.runner(event="workflow_dispatch", command="rollback", tag="production")
    second = {**environ, "GITHUB_RUN_ATTEMPT": "2"}
    shop.machine.call(second).ended()
    assert shop.tags["production"] == shop.digest(shop.good)
    ran = shop.machine.call(second).ended(6)
    assert "it may have been taken back already" in ran.errors[0]
    assert shop.tags["production"] == shop.digest(shop.good)


def test_latest_never_is_never_taken_back(shop: Shop) -> None:
    before = shop.tags
    ran = shop.run("rollback", latest="never").ended(2)
    assert 'the input "latest" says never' in ran.errors[0]
    assert shop.tags == before


def test_manifests_that_fail_after_the_tags_say_so(shop: Shop) -> None:
    """Somebody edits the manifest while the tags move."""
    manifest = shop.machine.project.folder / "k8s.yaml"
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec:\n  containers:\n"
        f"    - {{name: app, image: {shop.place.repository}:latest}}\n"
    )
    manifest.write_text(text)

    def edit(_: object) -> bool:
        manifest.write_text(f"# mine\n{text}")
        return False

    shop.place.proxy.add(Fault(match=edit, kind="status", status=500))
    ran = shop.run("rollback", manifests="k8s.yaml").ended(6)
    assert shop.tags["latest"] == shop.digest(shop.good)
    assert "the tags are moved, the manifests are not" in ran.errors[0]
    assert "run deploy with `tag: latest` and the same manifests" in ran.errors[0]
    assert "Written before the failure" in ran.log
    assert manifest.read_text() == f"# mine\n{text}"


def test_one_service_in_two_repositories_is_one(shop: Shop) -> None:
    ran = shop.run("promote", tag="production,team/app:production").ended()
    assert ran.outputs["digest"] == shop.digest(shop.bad)
    own = f"commit-{shop.bad[:7]}"
    names = [f"feastflow/app:{own}", "feastflow/app:production", "team/app:production"]
    assert ran.outputs["tags"].split() == [f"{shop.place.host}/{each}" for each in names]


def test_doctor_asks_the_same_in_a_dry_run(shop: Shop) -> None:
    ran = shop.run("doctor", dry_run="true").ended()
    assert "granted" in ran.log


@pytest.mark.parametrize("command", ["rollback", "promote"])
@pytest.mark.parametrize(
    ("event", "ref"),
    chosen([("pull_request", "refs/pull/1/merge"), ("push", "refs/heads/feature")]),
)
def test_what_may_not_push_may_not_move_a_tag(
    shop: Shop, command: str, event: str, ref: str
) -> None:
    before, asked = shop.tags, len(shop.place.requests())
    inputs = {"command": command, "tag": "production" if command == "promote" else ""}
    head = {"pull_request": {"head": {"sha": shop.bad, "repo": {"full_name": REPOSITORY}}}}
    facts: dict[str, Any] = {"event": event, "ref": ref, "payload": head, **inputs}
    ran = shop.machine.call(shop.machine.runner(**facts)).ended(2)
    assert "this run may not write to the registry" in ran.errors[0]
    assert len(shop.place.requests()) == asked
    assert ran.outputs["pushed"] == "false"
    shop.machine.call(shop.machine.runner(**facts, dry_run="true")).ended()
    assert shop.tags == before


def test_a_dry_run_changes_nothing_and_shows_the_plan(shop: Shop) -> None:
    before = shop.tags
    ran = shop.run("rollback", dry_run="true").ended()
    assert shop.tags == before
    steps = json.loads(ran.outputs["plan"])["steps"]
    assert [each["step"] for each in steps] == ["reuse", "mark", "tag"]
    assert ran.outputs["pushed"] == "false"
    assert "nothing was written" in ran.log


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ({"tag": "production", "to": "0123456"}, 2, "has no image of commit 0123456"),
        ({"tag": "production", "to": f"sha256:{'0' * 64}"}, 2, "holds no image sha256:000"),
        ({"tag": "production", "to": "lates"}, 2, 'Perhaps you meant "latest"'),
        ({}, 2, "promote needs to know which tag"),
        ({"tag": "latest", "latest": "never"}, 2, '"latest" says never'),
        ({"tag": "commit-0123456"}, 2, "reserved"),
        ({"tag": "localhost:1/x/y"}, 5, "localhost:1"),
    ],
    ids=["commit", "digest", "tag", "no tag", "never", "reserved", "dead registry"],
)
def test_a_promotion_that_cannot_be(
    shop: Shop, inputs: dict[str, str], code: int, words: str
) -> None:
    before = shop.tags
    ran = shop.run("promote", **inputs).ended(code)
    assert words in ran.errors[0]
    assert len(ran.errors) == 1
    assert shop.tags == before


def test_few_digits_that_two_commits_begin_with(shop: Shop) -> None:
    shop.place.retag({f"commit-{shop.good[:4]}fff": shop.digest(shop.good)})
    ran = shop.run("promote", to=shop.good[:4], tag="production").ended(2)
    assert "is the beginning of 2 published commits" in ran.errors[0]


def test_by_hand(shop: Shop) -> None:
    project, url = shop.machine.project, f"https://github.com/{REPOSITORY}"
    project.git("config", f"url.{project.origin}.insteadOf", url)
    project.git("remote", "set-url", "origin", url)
    environ = shop.machine.laptop(FEASTFLOW_REGISTRY=shop.place.host)
    ran = shop.machine.run(environ, "rollback").ended()
    assert shop.tags["latest"] == shop.digest(shop.good)
    assert "moved" in ran.log
    ran = shop.machine.run(environ, "promote", "--to", shop.good[:7], "--tag", "demo").ended()
    assert shop.tags["demo"] == shop.digest(shop.good)


def test_a_tag_that_is_missing_for_a_moment_sends_nobody_one_too_far(shop: Shop) -> None:
    """A registry of several replicas: one of them does not have the image yet."""
    path = f"manifests/commit-{shop.good[:7]}"
    gone: dict[str, Any] = {"status": 404, "method": "HEAD", "path": path}
    shop.place.proxy.add(Fault("status", **gone))
    ran = shop.run("rollback").ended()
    assert shop.tags["latest"] == shop.digest(shop.good), ran.shown
    shop.place.retag({"latest": shop.digest(shop.bad)})
    shop.place.untag(f"withdrawn-{shop.bad[:7]}")
    before = shop.tags
    shop.place.proxy.add(Fault("status", times=None, **gone))
    ran = shop.run("rollback").ended(5)
    assert f"commit-{shop.good[:7]} is in the list of tags, but is not there" in ran.errors[0]
    assert shop.tags == before


@pytest.fixture
def third(shop: Shop, remote: Builder) -> str:
    """A commit after the two, which is published too."""
    sha = shop.machine.project.commit()
    shop.machine.call(shop.machine.runner(**remote.inputs)).ended()
    assert shop.tags["latest"] == shop.digest(sha)
    return sha


@soak
def test_rollback_twice(shop: Shop, third: str) -> None:
    """CASES.md 16: commits 1, 2, 3; `rollback`, `rollback`. Then who means it names the bad one."""
    shop.run("rollback").ended()
    after = shop.tags
    assert after["latest"] == shop.digest(shop.bad)
    ran = shop.run("rollback").ended()
    said = f"{third[:7]} is marked already, and the tag is at {shop.bad[:7]}"
    assert said in ran.log
    assert said in ran.summary
    assert f"If {shop.bad[:7]} is bad too: " in ran.log
    assert shop.tags == after
    ran = shop.run("rollback", **{"from": third}).ended()
    assert said in ran.log
    assert shop.tags == after
    shop.run("rollback", **{"from": shop.bad[:7]}).ended()
    assert shop.tags["latest"] == shop.digest(shop.good)
    assert _marks(shop) & {f"manifests/{each}" for each in shop.tags} == {
        f"manifests/withdrawn-{shop.bad[:7]}"
    }


@soak
def test_two_people_name_two_bad_ones(shop: Shop, third: str) -> None:
    """The one who names the older one comes first, and is told that a newer one is there."""
    ran = shop.run("rollback", **{"from": shop.bad}).ended()
    assert shop.tags["latest"] == shop.digest(third)
    [warning] = [line for line in ran.log.splitlines() if line.startswith("::warning::")]
    assert f"{shop.bad[:7]} is marked. If {third[:7]} is bad too" in warning
    shop.run("rollback", **{"from": third}).ended()
    assert shop.tags["latest"] == shop.digest(shop.good)
    assert {f"withdrawn-{each[:7]}" for each in (shop.bad, third)} <= shop.tags.keys()


def test_from_that_the_tag_never_held(shop: Shop) -> None:
    before = shop.tags
    ran = shop.run("rollback", **{"from": "0123456"}).ended(2)
    assert "has no image of commit 0123456" in ran.errors[0]
    shop.place.retag({"production": shop.digest(shop.good)})
    ran = shop.run("rollback", tag="production", **{"from": shop.bad}).ended(2)
    assert f"there is no sign that it was ever at {shop.bad[:7]}" in ran.errors[0]
    assert shop.tags == {**before, "production": shop.digest(shop.good)}


def test_several_tags_go_back_and_those_that_do_not_are_told(shop: Shop) -> None:
    bad = shop.digest(shop.bad)
    shop.place.retag({"production": bad, "staging": bad, "v1.2.0": bad})
    before = len(shop.place.requests())
    ran = shop.run("rollback", tag="latest,production").ended()
    assert {shop.tags[each] for each in ("latest", "production")} == {shop.digest(shop.good)}
    writes = [line.split()[1] for line in shop.place.since(before) if line.startswith("PUT")]
    assert sorted(shop.shortened(writes)) == [
        "manifests/latest",
        "manifests/production",
        "manifests/withdrawn-bad",
    ]
    said = f"it still holds the bad image of {shop.bad[:7]}"
    steps = json.loads(ran.outputs["plan"])["steps"]
    kept = {each["tag"]: each["reason"] for each in steps if each["step"] == "keep"}
    assert kept == {"staging": said, "v1.2.0": said}
    assert ran.log.count(said) >= 1
    assert ran.summary.count(said) == 2
    assert "Still bad: " in ran.log
    assert "Still bad: " in ran.summary
    names = [each.rpartition(":")[2] for each in ran.outputs["tags"].split()]
    assert {"latest", "production"} <= set(names)


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ("sprint2", 6, "is final, and is never moved"),
        ("commit-0123456", 2, "reserved"),
    ],
)
def test_of_several_tags_one_cannot_go_back(shop: Shop, wrong: str, code: int, words: str) -> None:
    bad = shop.digest(shop.bad)
    shop.place.retag({"production": bad, "sprint2": bad, "frozen-sprint2": bad})
    before = shop.tags
    ran = shop.run("rollback", tag=f"latest,production,{wrong}").ended(code)
    assert words in ran.errors[0]
    assert shop.tags == before


@pytest.mark.parametrize("kind", chosen(["by digest", "by tag", "docker hub"]))
def test_a_mark_is_taken_off(shop: Shop, kind: str) -> None:
    """Deleting it by its digest would delete the image that it marks, with all of its tags.

    https://github.com/distribution/distribution/issues/2317: "Which deletes the image and all tags
    associated with it, while in many cases I just want to remove one tag."
    """
    shop.run("rollback").ended()
    mark, image = f"withdrawn-{shop.bad[:7]}", shop.digest(shop.bad)
    assert shop.tags[mark] == image
    inputs: dict[str, Any] = {"event": "workflow_dispatch", "command": "rollback"}
    with ExitStack() as open_:
        environ = {}
        if kind == "by tag":
            untagging = open_.enter_context(Untagging(shop.place.registry))
            inputs["registry"] = f"{untagging.url.removeprefix('http://')}"
        if kind == "docker hub":
            hub = open_.enter_context(docker_hub(shop.place))
            environ["FEASTFLOW_HUB_URL"] = hub.url
        given = shop.machine.runner(**inputs, to=shop.bad, unmark="true")
        ran = shop.machine.call({**given, **environ}).ended()
        assert shop.tags["latest"] == image
        assert f"unmarked {inputs.get('registry', shop.place.host)}" in ran.log
        left = shop.tags.get(mark)
        assert left == (NOTHING.value if kind == "by digest" else None)
        # Nobody is told that it is bad, and a publish goes on to it.
        again = shop.machine.runner(**{**inputs, "command": "tags"})
        listed = shop.machine.call({**again, **environ}).ended().log
        assert "mark taken off" in listed if left else "withdrawn" not in listed
        twice = shop.machine.runner(**inputs, to=shop.bad, unmark="true")
        ran = shop.machine.call({**twice, **environ}).ended()
        assert f"No rollback has marked {shop.bad} as bad, or not any more." in ran.log
    shop.place.crane("validate", "--remote", shop.place.at("latest"))
    # It is bad after all.
    shop.run("rollback").ended()
    assert shop.tags[mark] == image
    assert shop.tags["latest"] == shop.digest(shop.good)


@soak
def test_a_bad_moment_at_any_request_of_taking_a_mark_off(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_git(monkeypatch)
    shop.run("rollback").ended()
    start = shop.tags
    for nth in range(1, 40):
        rule = shop.place.proxy.add(Fault(match=is_ours, nth=nth, **ROUNDS[0][nth % 2]))
        ran = shop.run("rollback", to=shop.bad, unmark="true")
        shop.place.proxy.clear()
        if not rule.fired:
            assert nth > 12
            break
        ran.ended()
        assert shop.tags["latest"] == shop.digest(shop.bad)
        assert shop.tags[f"withdrawn-{shop.bad[:7]}"] == NOTHING.value
        shop.place.retag(start)
