from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from support.failures import fails
from support.memory import FakeHub
from support.runs import SOURCE, A, B, FakeApp, World, context

from feastflow_registry.commands import doctor
from feastflow_registry.commands.doctor import Check, Finding, examine
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import HubRepository, ImmutableTags, PullLimit
from feastflow_registry.model.plan import Permission
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import LAPTOP
from feastflow_registry.model.source import Source

LATEST, SPRINT, OWN = Tag("latest"), Tag("sprint3"), Tag("commit-000000b")
ADVICE = Problem("It is private.", "Make it public.")


def test_every_question_is_asked_whatever_the_others_answer() -> None:
    def broken() -> str:
        raise Failure(Kind.BUILD, "There is no engine.", "Start it.")

    checks = [Check("engine", broken), Check("names", lambda: "ada/shop"), Check("git", broken)]
    problems = (Problem("There is no engine.", "Start it."),)
    found = list(examine([each] for each in checks))
    assert found == [
        Finding("engine", kind=Kind.BUILD, problems=problems),
        Finding("names", "ada/shop"),
        Finding("git", "the same as engine", kind=Kind.BUILD, problems=problems),
    ]
    assert [line for each in found for line in each.lines()] == [
        *("✗ engine: There is no engine.", "    Start it."),
        *("✓ names: ada/shop", "✗ git: the same as engine"),
    ]


def test_batches_are_asked_one_after_the_other() -> None:
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return "yes"

    names = ("one", "two")
    answers = examine([Check(each, partial(ask, each))] for each in names)
    assert next(answers) == Finding("one", "yes")
    assert asked == ["one"]


def test_equal_answers_are_one_finding() -> None:
    def ask(number: int) -> str:
        if number % 4 == 1:
            raise Failure(Kind.REFUSED, "It is denied.", "Ask for it.")
        return "granted"

    batch = [Check("push to", partial(ask, number), f"a{number}") for number in range(8)]
    granted, denied = examine([batch])
    assert granted.lines() == ["✓ push to a0, a2, a3 and 3 more: granted"]
    assert denied.lines() == ["✗ push to a1, a5: It is denied.", "    Ask for it."]
    failure = doctor.verdict([granted, denied])
    assert failure
    assert failure.problems[0].cause == "a publish would fail: push to a1, a5."


@pytest.mark.parametrize("width", [80, 120, 20])
def test_lines_end_before_the_edge_of_a_terminal(width: int) -> None:
    problem = Problem(" ".join(["cause"] * 40), " ".join(["fix"] * 60))
    finding = Finding("registry", problems=(problem,))
    lines = finding.lines(width)
    assert max(map(len, lines)) < max(width, 42)
    assert lines[0].startswith("! registry: cause")
    assert all(each.startswith("    ") and each[4] != " " for each in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(" ".join(finding.lines()).split())
    assert len(finding.lines()) == 2
    name = "registry.example.com/" + "x-" * 60
    assert Finding("names", name).lines(width)[-1].endswith(name), "a name stays whole"


def repository(*rules: str, private: bool = False, enabled: bool = True) -> HubRepository:
    return HubRepository(private, ImmutableTags(enabled, rules))


def said(found: str | Problem | None) -> str:
    return str(found)


def test_advice_fails_nothing() -> None:
    def broken() -> str:
        raise Failure(Kind.REFUSED, "It may not delete.", "Give it the scope.")

    found = list(
        examine([[Check("prune", broken, needed=False)], [Check("visibility", lambda: ADVICE)]])
    )
    assert found == [
        Finding("prune", problems=(Problem("It may not delete.", "Give it the scope."),)),
        Finding("visibility", problems=(ADVICE,)),
    ]
    assert doctor.verdict([*found, Finding("names", "ada/shop")]) is None


def test_each_problem_has_its_fix_below_it() -> None:
    twice = (ADVICE, Problem("It is old.", "Renew it."))
    assert Finding("names", "ada/shop").lines() == ["✓ names: ada/shop"]
    assert Finding("token", problems=twice).lines() == [
        *("! token: It is private.", "    Make it public."),
        *("! token: It is old.", "    Renew it."),
    ]
    assert Finding("token", kind=Kind.INPUT, problems=(ADVICE,)).lines() == [
        *("✗ token: It is private.", "    Make it public.")
    ]


def test_the_verdict_names_what_failed_and_repeats_nothing() -> None:
    found = [
        Finding("names", "ada/shop"),
        Finding("git", kind=Kind.INPUT, problems=(ADVICE,)),
        Finding("visibility", problems=(ADVICE,)),
        Finding("push", kind=Kind.REFUSED, problems=(ADVICE,)),
    ]
    failure = doctor.verdict(found)
    assert failure
    assert failure.kind is Kind.INPUT
    assert str(failure) == "a publish would fail: git, push. Mend what is marked ✗ above."


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (None, "not there yet: the first push makes it"),
        (repository(), "public"),
        (repository(private=True), "images pushed but not visible: the repository is private. "),
        (repository(private=True), "Settings → Make public (if appropriate)."),
    ],
)
def test_who_may_see_a_repository(known: HubRepository | None, words: str) -> None:
    found = doctor.visibility(known)
    assert words in said(found)
    assert isinstance(found, Problem) is bool(known and known.private)


@pytest.mark.parametrize("rule", ["latest", "^latest$", "latest.*"])
def test_a_rule_that_blocks_latest_fails(rule: str) -> None:
    with fails("latest can never move", repr(rule), "leave latest out", kind=Kind.CONFLICT):
        doctor.movable(repository(rule), [SPRINT, LATEST])


@pytest.mark.parametrize(
    ("known", "words", "advice"),
    [
        (None, "latest, sprint3 may move", False),
        (repository(), "latest may be immutable by the setting.", True),
        (repository("late"), "latest may be immutable by the rule 'late'.", True),
        (repository("print3"), "sprint3 may be immutable by the rule", True),
        (repository("v[0-9]+"), "latest, sprint3 may move", False),
        (repository("latest", enabled=False), "latest, sprint3 may move", False),
    ],
)
def test_a_rule_that_may_block_a_tag_is_advice(
    known: HubRepository | None, words: str, advice: bool
) -> None:
    found = doctor.movable(known, [LATEST, SPRINT])
    assert words in said(found)
    assert isinstance(found, Problem) is advice


def test_without_shared_tags_none_is_blocked() -> None:
    assert doctor.movable(repository("latest"), []) == "no shared tag may move"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (repository("latest"), "None"),
        (repository("commit-[0-9a-f]+"), "which is immutable, by the rule 'commit-[0-9a-f]+'."),
        (repository("commit-"), "which may be immutable, by the rule 'commit-'."),
        (
            repository(),
            "prune cannot delete commit-000000b, which may be immutable, by the setting.",
        ),
    ],
)
def test_a_rule_that_would_stop_prune(known: HubRepository, words: str) -> None:
    assert words in said(doctor.prunable(known, OWN))


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (None, "not limited, or the registry does not say"),
        (PullLimit(187, 200, 21600), "187 of 200 are left in 6 hours"),
        (PullLimit(5, 100, 0), "5 of 100 are left"),
        (PullLimit(0, 100, 21600), "0 of 100 are left in 6 hours. Wait until"),
    ],
)
def test_how_many_pulls_are_left(limit: PullLimit | None, words: str) -> None:
    found = doctor.pulls(limit)
    assert said(found).startswith(words)
    assert isinstance(found, Problem) is bool(limit and not limit.remaining)


def prepare(**inputs: str) -> FakeApp:
    return World().app({"command": "doctor", **inputs}, run=context(A))


def found(app: FakeApp) -> list[str]:
    """The lines of a run; it fails where something is wrong."""
    report = doctor.run(app)
    findings = json.loads(report.json)["findings"]
    assert bool(report.failure) is any(each["verdict"] == "wrong" for each in findings)
    if report.failure:
        raise report.failure
    return [line for _, line in app.log.lines]


REFUSED = Failure(Kind.UNREACHABLE, "nobody answers.", "Look at the network.")
ECR = "1.dkr.ecr.eu-west-1.amazonaws.com"


class TestExamination:
    def test_what_is_in_no_commit_is_advice(self) -> None:
        app = prepare()
        app.checkout.others = ["notes.txt"]
        assert "! git: files that are in no commit may get into the images: notes.txt." in found(
            app
        )

    def test_a_registry_that_deletes(self) -> None:
        app = prepare(registry="reg.example.com")
        assert found(app) == [
            "✓ engine: Docker in memory",
            "✓ builder: buildx in memory",
            "✓ names: reg.example.com/ada/shop, below the user ada",
            f"✓ git: commit {A.short}, nothing modified, history whole",
            (
                "✓ registry: reg.example.com is a registry, over TLS, checked against the "
                "certificates of certifi"
            ),
            f"✓ repository: {SOURCE}",
            "✓ main branch: main, not compared: the default branch is unknown",
            "✓ this run: pushes: push on branch main",
            "✓ clock: within 1 s of the registry's",
            "✓ credentials: accepted by reg.example.com as ada",
            "✓ push to reg.example.com/ada/shop: granted",
            "✓ prune of reg.example.com/ada/shop: the registry deletes by tag",
        ]
        assert app.client.counts == {"resolve": 1, "check_push": 1}
        assert app.world.history.asked == [("newer", A.sha, "main")]
        findings = json.loads(doctor.run(app).json)["findings"]
        assert findings[-2] == {
            "name": "push to",
            "about": ["reg.example.com/ada/shop"],
            "verdict": "good",
            "detail": "granted",
            "problems": [],
        }
        shop = "reg.example.com/ada/shop"
        assert app.deletes.asked[:2] == [f"{shop}@sha256:{'0' * 64}", f"{shop}:doctor-word"]
        app.deletes.by_tag = False
        assert "deletes by digest" in found(app)[-1]

    def test_other_names_of_the_repository(self) -> None:
        app = prepare(also_known_as="old/shop,https://git.example/old/shop")
        others = "old/shop, https://git.example/old/shop"
        assert f"✓ repository: {SOURCE}, also known as {others}" in found(app)

    def test_a_repository_that_nobody_knows(self) -> None:
        app = prepare()
        app.inputs = replace(app.inputs, run=replace(app.run, source=Source.behind(["gh:a/b"])))
        with fails("a publish would fail: repository"):
            found(app)
        assert "✗ repository: the git remote origin is 'gh:a/b'" in str(app.log.lines)

    def test_docker_hub_tells_more(self) -> None:
        app = prepare(milestone="sprint3")
        app.docker_hub = FakeHub(repository("v[0-9]+"))
        assert found(app)[-5:] == [
            "✓ pulls: not limited, or the registry does not say",
            "✓ push to ada/shop: granted",
            "✓ visibility of ada/shop: public",
            "✓ tags of ada/shop: latest, sprint3 may move",
            "✓ prune of ada/shop: the token may delete",
        ]
        assert app.deletes.asked == []
        assert [each.path for each in app.docker_hub.checked] == ["ada/shop"]

    def test_a_repository_that_is_not_there_yet_has_nothing_to_delete(self) -> None:
        app = prepare(latest="never")
        app.docker_hub = FakeHub(None)
        assert found(app)[-2:] == [
            "✓ tags of ada/shop: no shared tag may move",
            "✓ prune of ada/shop: nothing to delete",
        ]
        assert app.docker_hub.checked == []

    def test_a_docker_hub_that_does_not_answer_is_asked_once_and_fails_nothing(self) -> None:
        app = prepare()
        app.docker_hub = FakeHub(None, failing=True)
        assert found(app)[-2].startswith("! visibility of ada/shop: Docker Hub does not answer.")

    @pytest.mark.parametrize("hub", [None, FakeHub(repository())], ids=["other", "Docker Hub"])
    def test_what_this_run_may_not_do_is_not_tried(self, hub: FakeHub | None) -> None:
        app = World().app({"command": "doctor"}, run=context(A, event="pull_request"))
        app.docker_hub = hub
        lines = found(app)
        assert "✓ this run: pushes nothing: the event pull_request never pushes" in lines
        why = "not tried, as this run pushes nothing"
        assert f"✓ push to ada/shop: {why}" in lines
        assert lines[-1] == f"✓ prune of ada/shop: {why}"
        assert app.deletes.asked == []

    def test_a_branch_that_moves_no_shared_tag_is_told_with_its_input(self) -> None:
        given = {"command": "doctor", "branches": "main,topic"}
        app = World().app(given, run=context(A, "topic"))
        [line] = [each for each in found(app) if "this run" in each]
        assert line.startswith("✓ this run: pushes commit tags alone: push on branch topic")
        assert line.endswith('not main (the input "branches": main)')

    @pytest.mark.parametrize(
        ("more", "on_main", "line"),
        [
            ({}, False, "! this run: latest stays where it is: "),
            (
                {"milestone": "sprint3", "extra-tags": "{branch}"},
                False,
                "! this run: sprint3, {branch}, latest stay where they are: ",
            ),
            ({"latest": "never"}, False, "✓ this run: pushes commit tags alone: by hand"),
            ({"shared-tags": "false"}, False, "✓ this run: pushes commit tags alone: by hand"),
            ({}, True, "✓ this run: pushes: by hand, from a commit of main"),
        ],
    )
    def test_by_hand_it_warns_of_what_a_publish_would_leave(
        self, more: dict[str, str], line: str, *, on_main: bool
    ) -> None:
        run = context(A, event=LAPTOP, on_remote_main=on_main)
        lines = found(World().app({"command": "doctor", **more}, run=run))
        place = next(number for number, each in enumerate(lines) if "this run" in each)
        assert lines[place].startswith(line)
        if line.startswith("!"):
            assert lines[place].endswith(f": {A.short} is not on the remote's main.")
            assert lines[place + 1] == "    Push it, then run again."

    @pytest.mark.parametrize(
        ("default", "line"),
        [
            ("main", "✓ main branch: main, the default branch"),
            ("trunk", "! main branch: shared tags follow main, and the default branch is trunk."),
        ],
    )
    def test_the_main_branch(self, default: str, line: str) -> None:
        app = prepare()
        app.inputs = replace(app.inputs, run=replace(app.run, default_branch=default))
        lines = found(app)
        assert line in lines
        assert ('name trunk first in the input "branches"' in "\n".join(lines)) == (
            default != "main"
        )

    def test_each_registry_is_asked_for_itself(self) -> None:
        app = prepare(also="reg.example.com/team/{service}, down.example.com/team/{service}")
        app.docker_hub = FakeHub(repository("v[0-9]+"))
        app.challenges["down.example.com"] = REFUSED
        with fails("a publish would fail: registry down.example.com.", kind=Kind.UNREACHABLE):
            found(app)
        lines = [line for _, line in app.log.lines]
        assert "✓ names: ada/shop, below the user ada; also reg.example.com/team/shop, " in lines[2]
        assert "✗ registry down.example.com: nobody answers." in lines
        assert [each for each in lines if each[0] == "✓"][-8:] == [
            "✓ credentials: accepted by docker.io as ada",
            "✓ credentials: accepted by reg.example.com as ada",
            "✓ pulls: not limited, or the registry does not say",
            "✓ push to ada/shop, reg.example.com/team/shop: granted",
            "✓ visibility of ada/shop: public",
            "✓ tags of ada/shop: latest may move",
            "✓ prune of ada/shop: the token may delete",
            "✓ prune of reg.example.com/team/shop: the registry deletes by tag",
        ]

    def test_a_registry_without_a_credential(self) -> None:
        app = prepare(also="reg.example.com/team/{service}")
        app.unknown = ("reg.example.com",)
        with fails("a publish would fail: credentials, push to reg.example.com/team/shop"):
            found(app)
        lines = "\n".join(line for _, line in app.log.lines)
        assert "docker login reg.example.com" in lines
        assert "prune of reg.example.com/team/shop: not tried" in lines

    def test_what_is_known_of_a_registry(self) -> None:
        app = prepare(registry=ECR, namespace="team")
        app.certificates = "/etc/company.pem"
        [line] = [each for each in found(app) if "registry: " in each]
        assert line == (
            f"✓ registry: {ECR} is Amazon ECR, over TLS, checked against /etc/company.pem; needs a "
            "repository (`aws ecr create-repository`) before the first push; deletes only by "
            "Amazon's own API"
        )
        app = prepare(registry="registry:5000", insecure_registries="registry:5000")
        app.challenges["registry:5000"] = 'Bearer realm="http://registry/service/token"'
        [line] = [each for each in found(app) if "registry: " in each]
        assert line.startswith(
            "✓ registry: registry:5000 is Harbor, over plain HTTP, which an engine"
        )
        assert "daemon.json too; needs the project before the first push; deletes" in line
        app = prepare(registry="localhost:5000")
        assert "✓ registry: localhost:5000 is a registry, over plain HTTP" in found(app)

    def test_every_registry_that_a_tag_names_is_asked(self) -> None:
        app = prepare(tag="ghcr.io/ada/shop,quay.io/ada/shop,docker.io/ada/other,production")
        app.challenges["quay.io"] = REFUSED
        lines = found(app)
        assert lines[-3].startswith("✓ promotion to ghcr.io: ghcr.io is GitHub, over TLS")
        assert lines[-2:] == ["! promotion to quay.io: nobody answers.", "    Look at the network."]

    @pytest.mark.parametrize("event", ["push", LAPTOP])
    def test_where_there_is_no_network_it_is_said_once(self, event: str) -> None:
        app = prepare()
        run = replace(app.run, event=event)
        left = Permission(True, False, "by hand, from a commit that is not there")
        app.inputs = replace(app.inputs, run=run, permission=left)
        app.docker_hub = FakeHub(None)
        app.challenges["docker.io"] = REFUSED
        with fails("a publish would fail: registry.", kind=Kind.UNREACHABLE):
            found(app)
        lines = [line for _, line in app.log.lines]
        assert lines[-4:] == [
            *("✗ registry: nobody answers.", "    Look at the network."),
            *(
                f"✓ repository: {SOURCE}",
                "✓ main branch: main, not compared: the default branch is unknown",
            ),
        ]
        assert (app.client.counts, app.world.history.asked) == ({}, [])

    def test_everything_is_asked_before_the_run_fails(self) -> None:
        app = prepare()
        app.inputs = replace(app.inputs, credential=None)
        app.checkout.head = B
        app.world.history.cut = True
        with fails("a publish would fail: git, credentials, push to ada/shop."):
            found(app)
        lines = [line for _, line in app.log.lines]
        assert "✓ names: ada/shop, below the owner of the repository" in lines
        assert lines[-1].startswith("✓ prune of ada/shop: not tried")
        app.checkout.head = A
        with fails("a publish would fail: credentials, push to ada/shop."):
            found(app)
        assert any("history cut off, so the remote is asked" in line for _, line in app.log.lines)
