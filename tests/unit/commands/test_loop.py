"""The loop that carries every planned command out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from support.memory import digest_of
from support.runs import SHOP, A, B, C, FakeApp, World, context

from feastflow_registry import commands
from feastflow_registry.commands import Command, promote, publish, rollback
from feastflow_registry.commands.app import App
from feastflow_registry.model.plan import Outcome, Plan
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.report.journal import Journal
from feastflow_registry.tags.move import Tagger


@dataclass
class Spy:
    """A command, with a record of what is asked of it; `stopping`: after its first outcome."""

    command: Command = publish
    stopping: bool = False
    asked: list[str] = field(default_factory=list)

    def plan(self, app: App) -> Plan:
        self.asked.append("plan")
        return self.command.plan(app)

    def carry_out(self, app: App, plan: Plan) -> Iterator[Outcome]:
        self.asked.append("carry_out")
        for outcome in self.command.carry_out(app, plan):
            yield outcome
            if self.stopping:
                raise KeyboardInterrupt


def run_on(**inputs: str) -> tuple[FakeApp, Journal]:
    app = World().app(inputs, run=context(A))
    return app, Journal(app.log, app.state)


def test_a_plan_is_shown_and_carried_out() -> None:
    app, journal = run_on()
    found = commands.run(publish, app, journal)
    assert found.outputs["pushed"] == "true"
    assert app.log.lines[0][0] == "group"
    assert journal.plan
    assert {each.reference.identifier for each in journal.outcomes} == {
        f"commit-{A.short}",
        "latest",
    }


def test_what_is_waited_for_is_shown() -> None:
    app, journal = run_on()
    commands.run(publish, app, journal)
    looking, *carrying = app.log.awaited
    assert looking == "publish: looking at docker.io"
    done = [f", {number} done" for number in range(1, len(journal.outcomes) + 1)]
    assert carrying == [f"publish: carrying out the plan{each}" for each in ("", *done)]


def test_a_dry_run_ends_with_the_plan() -> None:
    app, journal = run_on(dry_run="true")
    spy = Spy()
    found = commands.run(spy, app, journal)
    assert spy.asked == ["plan"]
    assert found.outputs["reason"] == "a dry run pushes nothing"
    assert not app.world.store.writes
    assert "This was a dry run: nothing was built or pushed." in found.lines


@pytest.mark.parametrize(
    ("command", "event", "ends"),
    [
        ("publish", "push", " publish would fail: see the warning above."),
        ("push", "push", " push would fail: see the warning above."),
        ("publish", "pull_request", ""),
        ("build", "push", ""),
    ],
)
def test_a_dry_run_says_in_the_end_that_the_run_would_fail(
    command: str, event: str, ends: str
) -> None:
    app = World().app({"command": command, "dry_run": "true"}, run=context(A, event=event))
    app.inputs = replace(app.inputs, doubts=("Origin names nobody.",))
    found = commands.run(Spy(), app, Journal(app.log, app.state))
    assert found.lines[-1] == f"This was a dry run: nothing was built or pushed.{ends}"


@pytest.mark.parametrize("inputs", [{"command": "build"}, {}], ids=["build", "no right"])
def test_nothing_counts_as_pushed_where_nothing_may_be(inputs: dict[str, str]) -> None:
    event = "push" if inputs else "pull_request"
    app = World().app(inputs, run=context(A, event=event))
    found = commands.run(publish, app, Journal(app.log, app.state))
    assert found.outputs["pushed"] == "false"
    assert not app.world.store.writes


def test_what_has_to_be_said_of_a_permission_is_said_first() -> None:
    app, journal = run_on()
    permission = replace(app.permission, push=False, shared=False, warning="No secrets.")
    app.inputs = replace(app.inputs, permission=permission)
    commands.run(publish, app, journal)
    assert app.log.lines[0] == ("warning", "No secrets.")


@pytest.mark.parametrize(
    ("command", "inputs"),
    [
        (publish, {}),
        (promote, {"command": "promote", "tag": "production"}),
        (rollback, {"command": "rollback"}),
    ],
    ids=["publish", "promote", "rollback"],
)
def test_an_interrupted_run_begins_no_other_write(command: Command, inputs: dict[str, str]) -> None:
    world = World()
    for each in (A, B):
        world.publish(each)
    app = world.app(inputs, run=context(B if inputs else C))
    journal = Journal(app.log, app.state)
    before = dict(world.store.tagged)
    with pytest.raises(KeyboardInterrupt):
        commands.run(Spy(command, stopping=True), app, journal)
    assert [each.action.value for each in journal.outcomes] == ["reused" if inputs else "built"]
    assert not journal.pushed
    tagger = Tagger(app.surveyor, B, app.clock, app.state)
    with pytest.raises(SystemExit):
        tagger.write(Reference(SHOP.repository, Tag("latest")), digest_of("x"))
    assert world.store.tagged == before
    assert app.state.attempted == set()
