"""The job summary: what it shows, and that no text from outside can forge any of it."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import A, B, Run, World, context, failing

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import Command, Permission, Plan
from feastflow_registry.model.run import RefKind
from feastflow_registry.report import markdown, results

HOSTILE = "a|b`c`<img src=x onerror=1>[x](https://evil)\n| forged | row |\n# heading\x1b[31m~@*_\\"


def published(**inputs: str) -> Run:
    return World().publish(B, **inputs)


def success(run: Run) -> str:
    assert run.plan
    return markdown.success(run.plan, results.results(run.plan, run.outcomes), run.outcomes)


def remains(run: Run) -> str:
    assert run.plan
    found = results.results(run.plan, run.outcomes)
    return markdown.remains(run.plan, found, run.outcomes, run.attempted)


def rows(text: str) -> list[list[str]]:
    """The cells of the table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)
    return [[each.strip() for each in line[1:-1].split("|")] for line in lines[2:]]


class TestCell:
    @given(st.text())
    def test_nothing_can_be_forged_and_nothing_is_lost(self, text: str) -> None:
        safe = markdown.cell(text)
        assert not set(safe) & set("|`<>*_[]\\~@$\n\r\"'")
        assert "://" not in safe
        assert re.sub(r"&(#x?[0-9a-fA-F]+|[a-z]+);", "", safe).count("&") == 0
        flat = "".join(each if each.isprintable() else " " for each in text)
        assert html.unescape(safe) == flat

    @pytest.mark.parametrize("mark", "|`*_[]\\~@$<>&")
    def test_each_mark_is_written_as_an_entity(self, mark: str) -> None:
        assert re.fullmatch(r"&(#\d+|lt|gt|amp);", markdown.cell(mark))


def test_a_publish() -> None:
    run = published(milestone="sprint3")
    text = success(run)
    digest = run.outcomes[-1].digest
    assert digest
    assert text.startswith(f"### Published: commit {B.short}\n\nPush on branch main.\n")
    ((name, tags, short, size, action, seconds),) = rows(text)
    assert (name, short, size, action) == (
        "shop",
        f"<code>{digest.short}</code>",
        "1.0 kB",
        "built",
    )
    assert float(seconds) > 0
    assert tags.split("<br>") == [
        f"[<code>{tag}</code>](https://hub.docker.com/r/ada/shop/tags?name={tag})"
        for tag in (f"commit-{B.short}", "sprint3", "latest")
    ]
    assert f"docker pull ada/shop:commit-{B.short}\n" in text
    assert f"docker run --rm -P ada/shop:commit-{B.short}\n" in text
    assert text.endswith("```\n\n")


def test_a_tag_that_was_kept_says_why() -> None:
    world = World()
    for each in (A, B):
        world.publish(each)
    text = success(world.publish(A))
    assert f"- ada/shop:latest: commit {B.short} is there, which is newer than {A.short}" in text
    ((_, tags, *_, action, _),) = rows(text)
    assert "latest" not in tags
    assert action == "reused"


def test_a_tag_that_is_there_already_is_not_said_to_be_kept() -> None:
    world = World()
    world.publish(B)
    assert "\n- ada/shop" not in success(world.publish(B))


@pytest.mark.parametrize(
    ("command", "push", "done", "title"),
    [
        (Command.PUBLISH, True, True, "Published"),
        (Command.PUSH, True, True, "Published"),
        (Command.BUILD, True, True, "Built, not pushed"),
        (Command.PUBLISH, False, True, "Built, not pushed"),
        (Command.PUBLISH, True, False, "Planned"),
        (Command.BUILD, False, False, "Planned"),
    ],
)
def test_titles(command: Command, push: bool, done: bool, title: str) -> None:
    plan = Plan(command, B, Permission(push, push, "why"), ())
    outcomes = published().outcomes if done else ()
    text = markdown.success(plan, (), outcomes)
    assert text.startswith(f"### {title}: commit {B.short}\n\nWhy.\n")


def test_a_build_that_pushes_nothing_shows_each_services_own_tag_without_a_link() -> None:
    world = World(names=("one", "two"))
    run = world.run(B)
    run.context = context(B, "feature")
    text = success(run.go())
    assert "Branch feature is not among the branches that may push (input branches: main)." in text
    assert [(name, tags) for name, tags, *_ in rows(text)] == [
        (name, f"<code>commit-{B.short}</code>") for name in world.names
    ]
    assert "docker pull" not in text


class TestFailure:
    def test_every_problem_is_shown_with_its_fix(self) -> None:
        problems = [Problem("one | bad.", "Fix `it`."), Problem("two.", "And it.")]
        assert markdown.failure(Failure.of(Kind.INPUT, problems)) == (
            "### Failed\n\n**One &#124; bad.** Fix &#96;it&#96;.\n\n**Two.** And it.\n\n"
        )

    def test_what_it_leaves_behind(self) -> None:
        run = World().run(B)
        run.registry.after = failing(run_to(run, "set_tag"))
        assert run.failure()
        text = remains(run)
        assert f"- Written before the failure: ada/shop:commit-{B.short}.\n" in text
        assert "- In doubt, for it was not read back: ada/shop:latest.\n" in text
        assert text.index("- Not done") < text.index("- What is published stays")
        ((name, tags, *_),) = rows(text)
        assert (name, "latest" in tags) == ("shop", False)
        assert "docker run" not in text
        assert "#" not in text.replace("&#", "")

    def test_nothing_is_said_of_tags_that_nobody_wanted_to_write(self) -> None:
        run = World().run(B)
        run.context = context(B, "feature", RefKind.BRANCH)
        assert remains(run.go()).strip() == ""

    def test_a_service_that_got_no_tag_has_no_row(self) -> None:
        run = World(names=("one", "two")).run(B, before=failing(11))
        assert run.failure()
        assert [each.action for each in run.outcomes] == ["built", "built", "pushed"]
        assert [name for name, *_ in rows(remains(run))] == ["one"]


def run_to(run: Run, method: str) -> int:
    """The number of the first request of a kind, as an undisturbed run sends it."""
    calls = World().run(run.context.commit).go().registry.calls
    return next(each.number for each in calls if each.method == method)


def test_hostile_text_forges_nothing() -> None:
    run = published()
    assert run.plan
    run.plan = replace(run.plan, permission=replace(run.plan.permission, reason=HOSTILE))
    run.outcomes = [replace(each, note=HOSTILE) for each in run.outcomes]
    kept = World()
    for each in (A, B):
        kept.publish(each)
    older = kept.publish(A)
    older.outcomes = [replace(each, note=HOSTILE) for each in older.outcomes]
    failed = markdown.failure(Failure(Kind.BUILD, HOSTILE, HOSTILE))
    for text, count in ((success(run), 1), (success(older), 1), (remains(run), 1), (failed, 0)):
        assert len(rows(text)) == count
        assert "<img" not in text
        assert "evil" not in text or "https&#58;//evil" in text
        assert "](https://evil" not in text
        assert "\x1b" not in text
        heads = [line for line in text.splitlines() if line.startswith("#")]
        assert heads == ([] if text == remains(run) else [text.splitlines()[0]])
