"""What is told of a run as it goes, and in the end: of promotions, rollbacks and prunes too."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.memory import FakeLog
from support.runs import HOST, SHOP, A, B, image, service

from feastflow_registry.model.errors import HELP, Failure, Kind, Problem
from feastflow_registry.model.plan import (
    Action,
    Command,
    CopyImage,
    DeleteTag,
    EditFile,
    KeepTag,
    MoveTag,
    Outcome,
    Permission,
    Plan,
    ReuseImage,
    Rule,
    WithdrawImage,
)
from feastflow_registry.model.references import Reference, RegistryHost, Repository, Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.model.services import Service
from feastflow_registry.report import text
from feastflow_registry.report.journal import Journal
from feastflow_registry.report.results import RunReport
from feastflow_registry.tags.rules import THERE

GOOD, BAD = image(A), image(B)
LATEST = Reference(SHOP.repository, Tag("latest"))
OWN = Reference(SHOP.repository, Tag(f"commit-{A.short}"))
MARK = Reference(SHOP.repository, Tag(f"withdrawn-{B.short}"))
REUSE = ReuseImage(SHOP, OWN, GOOD)
MARKING = WithdrawImage(SHOP, Tag(f"withdrawn-{B.short}"), BAD.digest)
MOVE = MoveTag(SHOP, Tag("latest"), Rule.FORCE, BAD.digest)
WEB = ("Deployment/shop", "web", "ada/shop:1", "ada/shop:2")
EDIT = EditFile(SHOP, Tag(f"commit-{A.short}"), GOOD.digest, "k8s/shop.yaml", 7, *WEB)


def plan(*steps: object, command: Command = Command.ROLLBACK, may: bool = True) -> Plan:
    permission = Permission(may, may, "by hand")
    names = {GOOD.digest: A.short, BAD.digest: B.short}
    return Plan(command, B, permission, steps, names=names)  # type: ignore[arg-type]


def done(action: Action, reference: Reference, digest: object, note: str = "") -> Outcome:
    return Outcome(SHOP, action, reference, digest, note=note)  # type: ignore[arg-type]


def said(journal: Journal) -> list[str]:
    assert isinstance(journal.log, FakeLog)
    return [text for _, text in journal.log.lines]


def roll_back() -> Journal:
    """A rollback that went well."""
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(REUSE, MARKING, MOVE))
    for outcome in (
        done(Action.REUSED, OWN, GOOD.digest),
        done(Action.MARKED, MARK, BAD.digest),
        done(Action.MOVED, LATEST, GOOD.digest),
    ):
        journal.note(outcome)
    journal.pushed = True
    return journal


def test_a_rollback_is_told_as_it_goes() -> None:
    assert said(roll_back()) == [
        "rollback writes: by hand",
        f"reuse  ada/shop:commit-{A.short} ({GOOD.digest.short}), published already",
        f"mark   ada/shop:withdrawn-{B.short} ({BAD.digest.short})",
        f"tag    ada/shop:latest: {B.short} → {A.short}",
        f"♻️  reused  ada/shop:commit-{A.short}  {GOOD.digest.short}",
        f"⛔ marked  ada/shop:withdrawn-{B.short}  {BAD.digest.short}",
        f"🏷️  moved   ada/shop:latest  {GOOD.digest.short}",
    ]


def test_the_bad_image_is_not_what_came_of_it() -> None:
    answer = roll_back().report(dry_run=False)
    assert answer.outputs["digest"] == str(GOOD.digest)
    assert answer.outputs["tags"].split() == [f"ada/shop:commit-{A.short}", "ada/shop:latest"]
    assert answer.outputs["pushed"] == "true"
    head = f"<code>latest</code>: <code>{B.short}</code> → <code>{A.short}</code>"
    assert answer.markdown.startswith(f"### ✅ Rolled back: {head}\n")
    assert f"<code>{B.short}</code> is withdrawn: no publish moves a tag to it." in answer.markdown
    assert json.loads(answer.json)["steps"] == [
        {
            "step": "reuse",
            "service": "shop",
            "tag": f"commit-{A.short}",
            "digest": str(GOOD.digest),
        },
        {
            "step": "mark",
            "service": "shop",
            "tag": f"withdrawn-{B.short}",
            "digest": str(BAD.digest),
        },
        {
            "step": "tag",
            "service": "shop",
            "tag": "latest",
            "replaces": str(BAD.digest),
            "rule": Rule.FORCE.value,
        },
    ]


def test_a_dry_run_says_that_it_was_one() -> None:
    for command, what in ((Command.PUBLISH, "built or pushed"), (Command.ROLLBACK, "written")):
        journal = Journal(FakeLog(), RunState())
        journal.begin(plan(REUSE, command=command))
        answer = journal.report(dry_run=True)
        assert answer.lines[-1] == f"This was a dry run: nothing was {what}."
        assert answer.outputs["reason"] == "a dry run pushes nothing"
        assert answer.outputs["pushed"] == "false"


def test_what_was_done_is_told_to_other_programs() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(REUSE))
    journal.note(Outcome(SHOP, Action.BUILT, OWN, None, 5))
    journal.note(done(Action.MOVED, LATEST, GOOD.digest, "it is newer"))
    found = json.loads(journal.report(dry_run=False).json)
    assert (found["dry_run"], found["outcomes"]) == (
        False,
        [
            {
                "action": "built",
                "service": "shop",
                "reference": str(OWN),
                "digest": None,
                "size": 5,
                "note": "",
            },
            {
                "action": "moved",
                "service": "shop",
                "reference": str(LATEST),
                "digest": str(GOOD.digest),
                "size": None,
                "note": "it is newer",
            },
        ],
    )
    planned = json.loads(journal.report(dry_run=True).json)
    assert (planned["dry_run"], planned["outcomes"]) == (True, [])


def test_each_service_goes_to_its_own_image() -> None:
    other = service("other")
    bad = ReuseImage(other, Reference(other.repository, Tag("a")), BAD)
    steps = (REUSE, bad, MOVE, replace(MOVE, service=other, expect=GOOD.digest))
    assert text.plan_lines(plan(*steps))[-2:] == [
        f"tag    ada/shop:latest: {B.short} → {A.short}",
        f"tag    ada/other:latest: {A.short} → {B.short}",
    ]


@pytest.mark.parametrize(("host", "named"), [(HOST.name, {}), ("ghcr.io", {"registry": "ghcr.io"})])
def test_of_several_registries_each_step_names_its_own(host: str, named: dict[str, str]) -> None:
    there = Service("shop", Repository(RegistryHost(host), "ada/shop"))
    steps = json.loads(text.plan_json(plan(MOVE, replace(MOVE, service=there))))["steps"]
    assert {key: value for key, value in steps[1].items() if key == "registry"} == named


def test_where_it_may_not_write_the_plan_says_so() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(MOVE, may=False))
    assert said(journal)[0] == "rollback writes nothing: by hand"


def test_what_was_there_already_is_not_worth_a_line() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(KeepTag(SHOP, Tag("latest"), GOOD.digest, THERE)))
    before = len(said(journal))
    journal.note(done(Action.KEPT, LATEST, GOOD.digest, THERE))
    assert len(said(journal)) == before


def test_a_copy_is_told_with_both_ends() -> None:
    target = Repository.parse(HOST, "team/shop")
    source = Reference(SHOP.repository, GOOD.digest)
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(CopyImage(SHOP, source, target), command=Command.PROMOTE))
    assert said(journal)[1] == f"copy   ada/shop@{GOOD.digest} to team/shop"
    step = {"step": "copy", "service": "shop", "digest": str(GOOD.digest)}
    assert json.loads(journal.report(dry_run=True).json)["steps"] == [step]


def test_a_run_that_was_broken_off_says_what_is_done_and_what_is_not() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(REUSE, MARKING, MOVE))
    journal.state.attempted |= {MARK, LATEST}
    journal.note(done(Action.MARKED, MARK, BAD.digest))
    remains = journal.remains()
    assert remains.lines == [
        f"Written before the failure: {MARK}.",
        f"In doubt, for it was not read back: {LATEST}.",
        "Run the same again: what is done stays done.",
    ]
    assert remains.outputs["pushed"] == "false"
    failure = Failure(Kind.UNREACHABLE, "it broke.", "Run again.")
    assert "### ❌ Rollback failed: 1 tag written, 1 tag in doubt\n" in (
        journal.failed(failure).markdown
    )


@pytest.mark.parametrize(
    ("code", "what"), [(1, "failed"), (max(Kind), "failed"), (130, "was cancelled")]
)
def test_a_run_without_an_end_says_so_in_every_form(code: int, what: str) -> None:
    journal = Journal(FakeLog(), RunState(), "rollback")
    journal.begin(plan(REUSE, MARKING, MOVE))
    journal.note(done(Action.MARKED, MARK, BAD.digest))
    problems = [Problem("it stopped.", "Run it again."), Problem("a.", "b.", see="lacks")]
    report = journal.broken_off(problems, code)
    assert report.lines[0] == f"Written before the failure: {MARK}."
    assert report.markdown.startswith(f"### ❌ Rollback {what}: 1 tag written")
    assert (report.outputs["pushed"], report.outputs["reason"]) == ("false", "it stopped.")
    assert json.loads(report.json) == {
        "command": "rollback",
        "exit_code": code,
        "problems": [
            {"cause": "it stopped.", "fix": "Run it again.", "help": None},
            {"cause": "a.", "fix": "b.", "help": f"{HELP}#lacks"},
        ],
        "standing": {
            "written": [str(MARK)],
            "not_yet_visible": [],
            "in_doubt": [],
            "not_done": [str(LATEST)],
        },
    }


def test_bad_input_says_nothing_of_the_registry() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(REUSE, MARKING, MOVE))
    bad = Failure(Kind.INPUT, "it is bad.", "Mend it.")
    assert (journal.failed(bad).lines, journal.failed(bad).outputs["reason"]) == ((), "it is bad.")


def test_without_a_plan_there_is_nothing_to_say() -> None:
    journal = Journal(FakeLog(), RunState())
    assert journal.report(dry_run=False) == journal.remains() == RunReport()


def test_a_prune_counts() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(
        plan(
            DeleteTag(SHOP, Tag(f"commit-{A.short}"), GOOD.digest, "100 days old"),
            command=Command.PRUNE,
        )
    )
    assert "1 of 1 tag" in said(journal)[0]
    journal.note(done(Action.DELETED, OWN, GOOD.digest, "100 days old"))
    answer = journal.report(dry_run=False)
    assert "Deleted 1 tag" in "\n".join(answer.lines)


def test_a_deletion_among_other_steps() -> None:
    found = plan(DeleteTag(SHOP, Tag(f"commit-{A.short}"), GOOD.digest, "100 days old"))
    assert text.plan_lines(found)[1] == f"delete ada/shop:commit-{A.short}: 100 days old"


def test_marks_and_copies_are_named_where_they_are_not_done() -> None:
    target = Repository.parse(HOST, "team/shop")
    copy = CopyImage(SHOP, Reference(SHOP.repository, GOOD.digest), target)
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(MARKING, copy, MOVE))
    assert journal.remains().lines[1:] == [
        f"Not done: {MARK}, team/shop@{GOOD.digest}, {LATEST}.",
        "Run the same again: what is done stays done.",
    ]


def test_a_rollback_tells_of_its_edits_and_of_what_is_left_to_do() -> None:
    command = "kubectl set image deployment/shop web=ada/shop:2"
    journal = Journal(FakeLog(), RunState())
    advice = ("Revert it.",)
    left_out = ("It is left out.",)
    whole = replace(plan(REUSE, MOVE, EDIT), left_out=left_out, advice=advice, kubectl=(command,))
    journal.begin(whole)
    assert "edit   k8s/shop.yaml:7: web in Deployment/shop" in said(journal)
    journal.note(done(Action.MOVED, LATEST, GOOD.digest))
    journal.note(Outcome(SHOP, Action.EDITED, OWN, GOOD.digest, note="k8s/shop.yaml"))
    report = journal.report(dry_run=False)
    assert report.lines[-6:] == [
        *left_out,
        "📝 k8s/shop.yaml:7  web in Deployment/shop",
        "   ada/shop:1 → ada/shop:2",
        *advice,
        "Tell the cluster:",
        f"  {command}",
    ]
    planned = journal.report(dry_run=True).lines
    assert not {*advice, f"  {command}"} & {*planned}, "nobody is to do what was not done"
    assert f"```bash\n{command}\n```" in report.markdown
    assert report.outputs["changed-files"] == "k8s/shop.yaml"
    assert json.loads(report.json)["steps"][-1] == {
        "step": "edit",
        "service": "shop",
        "file": "k8s/shop.yaml",
        "line": 7,
    }


def test_a_deploy_is_told_in_the_end_alone() -> None:
    journal = Journal(FakeLog(), RunState())
    journal.begin(plan(REUSE, EDIT, command=Command.DEPLOY))
    journal.note(Outcome(SHOP, Action.EDITED, OWN, GOOD.digest, note="k8s/shop.yaml"))
    assert said(journal) == []
    assert journal.report(dry_run=False).lines[-1] == "1 image in 1 file changed."
