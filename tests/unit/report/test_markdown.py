"""The job summaries of publish, promote and rollback, of dry runs and of failures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.memory import FakeLog, digest_of
from support.runs import HOST, SHOP, A, B, C, Run, World, context, failing, image, service
from support.summaries import RUN_URL, summary

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import (
    Action,
    BuildImage,
    Command,
    CopyImage,
    DeleteTag,
    EditFile,
    JoinParts,
    KeepTag,
    MoveTag,
    Outcome,
    Permission,
    Plan,
    PushImage,
    ReuseImage,
    Rule,
    UnmarkImage,
)
from feastflow_registry.model.references import Commit, Reference, Repository, Tag
from feastflow_registry.model.run import RefKind
from feastflow_registry.model.run_state import RunState
from feastflow_registry.report import markdown, results
from feastflow_registry.report.journal import Journal
from unit.report.test_summary import HOSTILE, rows


def published(*commits: Commit, names: tuple[str, ...] = ("shop",)) -> World:
    world = World(names)
    for each in commits:
        world.publish(each)
    return world


def success(run: Run) -> str:
    assert run.plan
    return markdown.success(run.plan, results.results(run.plan, run.outcomes), run.outcomes)


class TestPublish:
    def test_says_what_became_of_it_with_links(self) -> None:
        run = published(A).run(B, milestone="sprint3")
        text = summary(run)
        digest = run.app.world.own(B)
        assert digest
        moved = f"<code>latest</code>: <code>{A.short}</code> → <code>{B.short}</code>"
        assert text.startswith(f"### ✅ Published commit <code>{B.short}</code>; {moved}\n")
        page = f"https://github.com/feastflow/shop/commit/{B.sha}"
        assert f"Commit [<code>{B.short}</code>]({page}) · [This run]({RUN_URL}) · Push" in text
        ((name, image, tags, short, size, time),) = rows(text)
        assert name == "[shop](https://hub.docker.com/r/ada/shop)"
        assert (image, short, size) == ("built", f"<code>{digest.short}</code>", "1.0&nbsp;kB")
        assert time.endswith("&nbsp;s")
        assert tags.split() == [
            f"[<code>{tag}</code>](https://hub.docker.com/r/ada/shop/tags?name={tag})"
            for tag in (f"commit-{B.short}", "sprint3", "latest")
        ]
        assert f"```text\nada/shop@{digest}\n```" in text
        pull = f"docker pull ada/shop:commit-{B.short}"
        assert f"{pull}\ndocker run --rm -P ada/shop:commit-{B.short}\n```" in text
        assert "What to do next" not in text

    def test_the_first_one_moves_nothing(self) -> None:
        assert summary(World().run(B)).startswith(
            f"### ✅ Published commit <code>{B.short}</code>\n"
        )

    def test_a_tag_that_was_kept_says_why(self) -> None:
        text = summary(published(A, B).run(A))
        why = f"commit {B.short} is there, which is newer than {A.short}"
        assert f"- <code>ada/shop:latest</code> stays: {why}\n" in text
        ((_, image, tags, *_),) = rows(text)
        assert "latest" not in tags
        assert image == "reused"

    def test_a_tag_that_is_there_already_is_not_said_to_be_kept(self) -> None:
        assert " stays: " not in summary(published(B).run(B))

    def test_what_has_no_place_in_the_run_is_left_to_do(self) -> None:
        run = World().run(B, git_tag="docker-1", extra_tags="{version}")
        why = "{version} is left out, as git tag docker-1 has no {version}."
        named = "input <code>extra-tags</code>"
        assert f"**What to do next**\n\n- {named}: {why}\n" in summary(run)

    def test_one_service_is_run_and_several_are_only_pulled(self) -> None:
        text = summary(World(("one", "two")).run(B))
        assert f"docker pull ada/one:commit-{B.short}\ndocker pull ada/two" in text
        assert "docker run" not in text

    def test_ways_that_are_too_many_are_left_to_the_table(self) -> None:
        names = tuple("abcd")
        world = World(names)
        for name, digits in zip(names, "1234", strict=True):
            world.put(image(A, salt=digits), "latest", name=name)
        text = summary(world.run(C, latest="force"))
        assert text.startswith(f"### ✅ Published commit <code>{C.short}</code>\n")

    @pytest.mark.parametrize("ref", ["feature", "menu"])
    def test_that_pushes_nothing_says_which_input_would_change_it(self, ref: str) -> None:
        run = World(("one", "two")).run(B)
        run.context = context(B, ref)
        text = summary(run)
        assert text.startswith("### ✅ Built and not pushed: commit ")
        named = "the input <code>branches</code>"
        why = f"Branch {ref} is not among the branches that may push ({named}: main)."
        assert why in text
        assert f"- Merge it into main, or name the branch in {named}.\n" in text
        own = f"<code>commit-{B.short}</code>"
        assert [row[:3] for row in rows(text)] == [["one", "built", own], ["two", "built", own]]
        assert "docker pull" not in text

    @pytest.mark.parametrize(
        ("kind", "event", "fix"),
        [
            (RefKind.TAG, "push", "in the input <code>git-tags</code>."),
            (RefKind.PULL, "pull_request", "A push to main publishes, as merging it does."),
        ],
    )
    def test_what_would_let_other_runs_push(self, kind: RefKind, event: str, fix: str) -> None:
        run = World().run(B, git_tags="v*")
        run.context = context(B, "x", kind, event)
        assert f"{fix}\n" in summary(run)

    @pytest.mark.parametrize(
        ("command", "push", "title"),
        [
            (Command.PUBLISH, True, "Published commit "),
            (Command.PUSH, True, "Published commit "),
            (Command.BUILD, True, "Built and not pushed: commit "),
            (Command.PUBLISH, False, "Built and not pushed: commit "),
        ],
    )
    def test_titles(self, command: Command, push: bool, title: str) -> None:
        plan = Plan(command, B, Permission(push, push, "why"), ())
        text = markdown.success(plan, (), ())
        assert text == (
            f"### ✅ {title}<code>{B.short}</code>\n\nCommit <code>{B.short}</code> · Why.\n\n"
        )

    def test_a_picture_where_images_are_of_several_commits(self) -> None:
        world = World(("new", "old"))
        world.inputs = {(at, "old"): "same" for at in (B, C)}
        world.publish(B, reuse="unchanged")
        text = summary(world.run(C, reuse="unchanged"))
        own, carried = world.own(C, "new"), world.own(C, "old")
        assert own
        assert carried
        picture = text.partition("```mermaid\n")[2].partition("\n```")[0].split("\n")
        assert picture[0] == "flowchart LR"
        commits = {line.split("(")[0].strip(): line for line in picture if "commit 0" in line}
        made = [line for line in picture if f'["old {carried.short}"]' in line]
        assert B.short in commits[made[0].split()[0]]
        assert "mermaid" not in summary(World().run(C))

    @pytest.mark.parametrize(
        ("count", "is_drawn"), [(1, False), (2, True), (12, True), (13, False)]
    )
    def test_no_picture_of_too_many_images(self, count: int, is_drawn: bool) -> None:
        digests = [digest_of(f"s{number}") for number in range(count)]
        tagged = [
            Outcome(SHOP, Action.PUSHED, Reference(SHOP.repository, Tag(each.short)), each)
            for each in digests
        ]
        nothing = Outcome(SHOP, Action.KEPT, Reference(SHOP.repository, Tag("a")), None)
        copy = Reference(SHOP.repository, digest_of("x"))
        copied = Outcome(SHOP, Action.COPIED, copy, digest_of("x"))
        assert bool(markdown._life([*tagged, nothing, copied], {})) == is_drawn

    def test_what_is_built_alone_has_one_name_and_no_size(self) -> None:
        own, latest = (Reference(SHOP.repository, Tag(each)) for each in ("commit-1", "latest"))
        plan = Plan(
            Command.BUILD,
            B,
            Permission(False, False, "why"),
            (BuildImage(SHOP, (own, latest), ()),),
        )
        built = [Outcome(SHOP, Action.BUILT, own, None, seconds=0.05)]
        text = markdown.success(plan, results.results(plan, built), built)
        assert "| service | image | tags | time |" in text
        assert rows(text) == [["shop", "built", "<code>commit-1</code>", "0.1&nbsp;s"]]


class TestDryRun:
    def test_shows_the_plan_with_verbs(self) -> None:
        world = published(A, names=("one", "two"))
        text = summary(world.run(B, milestone="sprint3", dry_run="true"))
        steps = "build and push 2 images, create 2 tags, move 2 tags"
        assert text.startswith(f"### ✅ Dry run, nothing is changed: {steps}\n")
        found = rows(text)
        own = f"<code>commit-{B.short}</code>"
        assert found[0] == ["one", "build and push", own, "from ."]
        way = f"<code>{A.short}</code> → <code>{B.short}</code>"
        assert [row[1:2] + row[3:] for row in found[2:4]] == [
            ["create", f"<code>{B.short}</code>"],
            ["move", way],
        ]
        assert "- To do it, run this without <code>dry-run: true</code>.\n" in text

    def test_of_a_run_that_may_not_push_says_what_would_let_it(self) -> None:
        run = World().run(B, dry_run="true")
        run.context = context(B, "feature")
        text = summary(run)
        assert [row[1] for row in rows(text)] == ["build"]
        assert "in the input <code>branches</code>.\n" in text
        assert "dry-run: true" not in text

    @pytest.mark.parametrize(
        ("command", "push", "shared", "may"),
        [
            (Command.PUBLISH, True, False, True),
            (Command.PUBLISH, False, True, False),
            (Command.ROLLBACK, True, False, False),
            (Command.ROLLBACK, False, True, True),
        ],
    )
    def test_says_how_to_do_it_where_that_is_allowed(
        self, command: Command, push: bool, shared: bool, may: bool
    ) -> None:
        text = markdown.planned(
            Plan(command, B, Permission(push, shared, "why", fix="Fix it."), ())
        )
        assert ("- To do it, " in text) == may
        assert ("- Fix it." in text) != may

    def test_an_image_that_no_commit_tag_names_is_called_by_its_digest(self) -> None:
        good = image(A)
        steps = (
            ReuseImage(SHOP, Reference(SHOP.repository, good.digest), good),
            MoveTag(SHOP, Tag("a"), Rule.FORCE, None),
        )
        text = markdown.planned(Plan(Command.PROMOTE, C, Permission(True, True, "why"), steps))
        assert rows(text)[1][3] == f"<code>{good.digest.short}</code>"

    def test_with_nothing_to_do(self) -> None:
        plan = Plan(Command.PUSH, B, Permission(False, False, "why"), ())
        text = markdown.planned(plan)
        assert text.startswith("### ✅ Dry run, nothing is changed: nothing to do\n")
        assert "What to do next" not in text

    def test_every_step_has_a_verb(self) -> None:
        good, bad = image(A), image(B)
        latest = Tag("latest")
        target = Repository.parse(HOST, "team/shop")
        other = service("other")
        steps = (
            BuildImage(other, (Reference(other.repository, Tag("b")),), (), why="a is new"),
            PushImage(SHOP, Tag("commit-1")),
            JoinParts(SHOP, Tag("commit-1"), (("linux/amd64", None), ("linux/arm64", None))),
            CopyImage(SHOP, Reference(SHOP.repository, good.digest), target),
            UnmarkImage(SHOP, Tag(f"withdrawn-{A.short}"), good.digest),
            DeleteTag(SHOP, Tag("old"), bad.digest, "400 days old"),
            KeepTag(SHOP, latest, bad.digest, "it is final"),
            MoveTag(SHOP, latest, Rule.FORWARD, bad.digest, "it is newer"),
            EditFile(SHOP, latest, good.digest, "a.yaml", 7, "Pod/a", "b", "old", "new"),
        )
        plan = Plan(Command.PROMOTE, C, Permission(True, True, "why"), steps)
        page = "https://hub.docker.com/r/ada/shop/tags?name"
        assert rows(markdown.planned(plan)) == [
            ["other", "build", "<code>b</code>", "from .; a is new"],
            ["shop", "push", "<code>commit-1</code>", "as it was built"],
            [
                "shop",
                "join",
                "<code>commit-1</code>",
                "from linux/amd64 (to be built), linux/arm64 (to be built)",
            ],
            ["shop", "copy", f"<code>ada/shop&#64;{good.digest}</code>", "to team/shop"],
            [
                *("shop", "unmark", f"<code>{good.digest.short}</code>"),
                f"by the tag withdrawn-{A.short}",
            ],
            ["shop", "delete", f"[<code>old</code>]({page}=old)", "400 days old"],
            ["shop", "keep", f"[<code>latest</code>]({page}=latest)", "it is final"],
            ["shop", "keep", f"[<code>latest</code>]({page}=latest)", "it is newer"],
            ["shop", "edit", "<code>a.yaml:7</code>", "b in Pod/a"],
        ]

    def test_an_image_that_is_carried_says_since_when(self) -> None:
        world = World()
        world.inputs = {(at, "shop"): "same" for at in (A, B)}
        world.publish(A, reuse="unchanged")
        text = summary(world.run(B, reuse="unchanged", dry_run="true"))
        assert rows(text)[0][1:] == [
            "carry",
            f"<code>commit-{B.short}</code>",
            f"unchanged since {A.short}",
        ]


class TestRollback:
    def test_names_both_commits_and_not_its_own(self) -> None:
        text = summary(published(A, B).start("rollback", C))
        way = f"<code>latest</code>: <code>{B.short}</code> → <code>{A.short}</code>"
        assert text.startswith(f"### ✅ Rolled back: {way}\n\n[This run]({RUN_URL}) · Push")
        assert C.short not in text
        assert f"<code>{B.short}</code> is withdrawn: no publish moves a tag to it." in text
        assert f"- Revert {B.short} on the branch" in text
        page = "https://hub.docker.com/r/ada/shop/tags?name=latest"
        assert rows(text) == [
            [
                *("shop", f"[<code>ada/shop:latest</code>]({page})"),
                *(f"<code>{B.short}</code>", f"<code>{A.short}</code>"),
            ]
        ]

    def test_without_manifests_the_names_in_a_cluster_are_shown_first(self) -> None:
        text = summary(published(A, B).start("rollback"))
        show = "kubectl get deployments,statefulsets,daemonsets,cronjobs --all-namespaces"
        command = "kubectl set image deployment/shop shop=ada/shop"
        assert (
            f"```bash\n{show} --output wide | grep -e NAMESPACE -e ada/shop\n{command}:commit-"
            in text
        )
        assert "if its names differ from those below, change them, and add -n:" in text

    def test_other_tags_that_hold_the_bad_image_come_last(self) -> None:
        world = published(A, B)
        summary(world.start("promote", tag="production,a", to=B.sha))
        text = summary(world.start("rollback"))
        assert [row[2:] for row in rows(text)] == [
            [f"<code>{B.short}</code>", f"<code>{A.short}</code>", "rolled back"],
            *[
                [
                    *(f"<code>{B.short}</code>", f"<code>{B.short}</code>"),
                    f"it still holds the bad image of {B.short}",
                ]
            ]
            * 2,
        ]
        assert text.startswith("### ⚠️ Rolled back")
        assert "- Still bad: ada/shop:a, ada/shop:production." in text

    def test_that_moves_nothing_says_so(self) -> None:
        world = published(A, B)
        summary(world.start("rollback"))
        text = summary(world.start("rollback"))
        assert text.startswith("### ✅ Nothing rolled back: each tag stays\n")
        assert "kubectl set image deployment/shop shop=ada/shop:commit-" in text

    def test_a_mark_that_is_taken_off(self) -> None:
        world = published(A, B)
        summary(world.start("rollback"))
        text = summary(world.start("rollback", to=B.sha, unmark="true"))
        assert f"<code>{B.short}</code> is not withdrawn any more." in text

    @pytest.mark.parametrize("names", ["abc", "abcd"])
    def test_ways_that_are_too_many_are_counted(self, names: str) -> None:
        steps = [
            MoveTag(service(name), Tag("latest"), Rule.FORCE, digest_of(name)) for name in names
        ]
        outcomes = [
            Outcome(step.service, Action.MOVED, step.reference, digest_of("new")) for step in steps
        ]
        marks = [Reference(SHOP.repository, Tag(f"withdrawn-{each.short}")) for each in (A, B)]
        outcomes += [Outcome(SHOP, Action.MARKED, each, None) for each in marks]
        known = {digest_of(name): name for name in (*names, "new")}
        allowed = Permission(True, True, "why")
        plan = Plan(Command.ROLLBACK, C, allowed, tuple(steps), names=known)
        text = markdown.success(plan, results.results(plan, outcomes), outcomes)
        said = "4 tags of 4 services"
        if names == "abc":
            ways = (
                f"<code>latest</code>: <code>{name}</code> → <code>new</code>" for name in names
            )
            said = "; ".join(ways)
        assert text.startswith(f"### ✅ Rolled back: {said}\n")
        bad = (
            f"<code>{each.short}</code> is withdrawn: no publish moves a tag to it."
            for each in (A, B)
        )
        assert " ".join(bad) in text


class TestPromote:
    def test_to_a_new_tag_and_then_on(self) -> None:
        world = published(A, B)
        text = summary(world.start("promote", tag="production", to=A.sha))
        assert text.startswith("### ✅ Promoted: 1 tag of 1 service\n")
        assert rows(text)[0][2:] == ["new", f"<code>{A.short}</code>"]
        text = summary(world.start("promote", tag="production", to=B.sha))
        way = f"<code>production</code>: <code>{A.short}</code> → <code>{B.short}</code>"
        assert text.startswith(f"### ✅ Promoted: {way}\n")

    def test_tags_of_one_way_share_it(self) -> None:
        world = published(A, B)
        summary(world.start("promote", tag="one,two", to=A.sha))
        text = summary(world.start("promote", tag="one,two", to=B.sha))
        assert text.startswith("### ✅ Promoted: <code>one</code>, <code>two</code>: <code>")


class TestFailure:
    def test_before_there_is_a_plan(self) -> None:
        problems = [Problem("one | bad.", "Fix `it`."), Problem("two.", "And it.")]
        journal = Journal(FakeLog(), RunState())
        assert journal.failed(Failure.of(Kind.INPUT, problems)).markdown == (
            "### ❌ This run failed: nothing was written\n\n"
            "**What to do next**\n\n"
            "- **One &#124; bad.** Fix &#96;it&#96;.\n"
            "- **Two.** And it.\n\n"
        )

    def test_what_it_leaves_behind(self) -> None:
        run = World().run(B)
        run.registry.after = failing(run_to(run, "set_tag"))
        text = summary(run)
        assert text.startswith("### ❌ Publish failed: 1 tag written, 1 tag in doubt\n")
        assert [state for _, state in rows(text)] == [
            "written",
            "in doubt: sent, but not read back",
        ]
        assert "ada/shop:latest" in rows(text)[1][0]
        assert text.index("**The connection broke.** Run again.") < text.index("What is published")

    def test_what_is_not_done_is_no_change(self) -> None:
        steps = (PushImage(SHOP, Tag("commit-1")),)
        plan = Plan(Command.PUBLISH, B, Permission(True, True, "why"), steps)
        standing = results.standing(plan, [], RunState())
        text = markdown.failed(plan, [Problem("it broke.", "Mend it.")], standing)
        assert text.startswith("### ❌ Publish failed: nothing was written\n")
        assert [state for _, state in rows(text)] == ["not done"]
        assert results.standing(replace(plan, steps=()), [], RunState()).again == ""


def run_to(run: Run, method: str) -> int:
    """The number of the first request of a kind, as an undisturbed run sends it."""
    calls = World().run(run.context.commit).go().registry.calls
    return next(each.number for each in calls if each.method == method)


def test_hostile_text_forges_nothing() -> None:
    run = World().publish(B)
    assert run.plan
    run.plan = replace(run.plan, permission=replace(run.plan.permission, reason=HOSTILE))
    run.outcomes = [replace(each, note=HOSTILE) for each in run.outcomes]
    older = published(A, B).publish(A)
    older.outcomes = [replace(each, note=HOSTILE) for each in older.outcomes]
    journal = Journal(FakeLog(), RunState())
    failed = journal.failed(Failure(Kind.BUILD, HOSTILE, HOSTILE)).markdown
    for text, count in ((success(run), 1), (success(older), 1), (failed, 0)):
        assert len(rows(text)) == count
        assert "<img" not in text
        assert "https&#58;//evil" in text
        assert "](https://evil" not in text
        assert "\x1b" not in text
        assert [line for line in text.splitlines() if line.startswith("#")] == [
            text.splitlines()[0]
        ]
