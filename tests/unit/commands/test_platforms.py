"""A job for each platform: what each builds, finds done, refuses, and leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.failures import fails
from support.memory import Call
from support.platform_jobs import JOBS, NAMES, PLATFORMS, Workflow
from support.runs import SHOP, TWIN, A, B, C, Run, World, at_call, context, down, service

from feastflow_registry.commands import publish
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted, Published
from feastflow_registry.model.plan import Action, BuildImage, DeleteTag, JoinParts
from feastflow_registry.model.references import Commit, Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Annotation
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.report import markdown, results, text

AMD, ARM, ARM7 = PLATFORMS
OWN = f"commit-{B.short}"
PART = f"{OWN}.linux-amd64"
LATEST_SHOP = Reference(SHOP.repository, LATEST)


def built(workflow: Workflow, jobs: object = JOBS) -> Workflow:
    """All jobs have ended, but for the last."""
    for each in jobs:  # type: ignore[attr-defined]
        workflow.job(each).go()
    return workflow


def held(workflow: Workflow, tag: str = PART, name: str = "shop") -> Digest:
    found = workflow.world.at(tag, name)
    assert found
    return found


class TestAPlatformsJob:
    def test_it_pushes_a_part_by_digest_and_moves_no_other_tag(self) -> None:
        workflow = Workflow()
        run = workflow.job(("shop", ARM)).go()
        assert run.actions == [
            ("built", f"{OWN}.linux-arm64"),
            ("pushed", f"{OWN}.linux-arm64"),
        ]
        (build,) = [step for step in run.plan.steps if isinstance(step, BuildImage)]  # type: ignore[union-attr]
        assert (build.service.platforms, build.is_part) == ((ARM,), True)
        assert run.builder.pushed == [], "the engine pushes nothing"
        assert run.app.told.told == [], "no status says that the image is there"
        assert [str(each) for each, _ in workflow.world.store.writes[-1:]] == [
            f"ada/shop:{OWN}.linux-arm64"
        ]

    def test_what_is_pushed_is_not_built_again(self) -> None:
        workflow = Workflow()
        workflow.job(("shop", ARM7)).go()
        again = workflow.job(("shop", ARM7)).go()
        assert again.actions == [("reused", f"{OWN}.linux-arm-v7")]
        assert not again.reached

    def test_nothing_is_built_of_an_image_that_is_there(self) -> None:
        workflow = Workflow().go(JOBS)
        again = workflow.job(("shop", ARM)).go()
        assert again.actions == [("reused", OWN)]
        assert workflow.left == []

    def test_nor_where_another_run_puts_it_together_while_this_one_looks(self) -> None:
        workflow = Workflow()
        run = workflow.job(("shop", ARM), at_call(1, lambda: workflow.go(JOBS)))
        assert run.go().actions == [("reused", OWN)]

    def test_several_services_may_share_a_job(self, whole: list[Digest | None]) -> None:
        workflow = Workflow()
        for platform in PLATFORMS:
            run = workflow.world.run(B, part=platform, by_digest=True).go()
            assert run.builder.sessions == [NAMES]
        workflow.last().go()
        assert workflow.images == whole

    def test_built_anew_where_that_is_asked_for(self) -> None:
        workflow = built(Workflow(options={"reuse": "never"}))
        assert workflow.job(("shop", ARM)).go().actions == [
            ("built", f"{OWN}.linux-arm64"),
            ("adopted", f"{OWN}.linux-arm64"),
        ]
        workflow.last().go()
        assert workflow.latest == workflow.images
        again = workflow.go(JOBS).last().go()
        assert [each for each in again.actions if each[0] == "adopted"] == [("adopted", OWN)] * 2

    def test_a_pull_request_builds_it_and_pushes_nothing(self) -> None:
        workflow = Workflow()
        run = workflow.job(("shop", ARM))
        run.context = context(B, "main", event="pull_request")
        assert run.go().actions == [("built", f"{OWN}.linux-arm64")]
        (build,) = run.plan.builds  # type: ignore[union-attr]
        assert (build.service.platforms, build.is_part) == ((ARM,), False)
        assert workflow.left == []

    def test_one_that_is_gone_and_in_no_image_is_told(self) -> None:
        workflow = Workflow()
        run = workflow.job(("shop", AMD))

        def remove(call: Call) -> None:
            if call.method == "set_tag":
                workflow.world.store.tagged.clear()

        run.registry.after = remove
        with fails(f"ada/shop:{PART} was pushed, but is not on", kind=Kind.UNVERIFIED):
            run.go()

    def test_another_run_may_have_put_the_image_together_meanwhile(self) -> None:
        """At any moment; then the part that this job brings is taken away by its own last job."""
        count = len(Workflow().job(("shop", ARM)).go().registry.calls)
        for number in range(count):
            for side in ("before", "after"):
                workflow = Workflow()
                run = workflow.job(("shop", ARM), salt="own")

                def go(workflow: Workflow = workflow) -> None:
                    workflow.go(JOBS)

                setattr(run.registry, side, at_call(number, go))
                run.go()
                workflow.last().go()
                assert workflow.latest == workflow.images
                assert workflow.left == []


class TestAServiceOfOnePlatform:
    def test_its_job_publishes_it(self) -> None:
        world = World(platforms=(ARM,))
        assert json.loads(matrix(world.run(B, matrix="platforms")))["include"] == [
            {"service": "shop", "platform": ARM, "runner": "ubuntu-24.04-arm"}
        ]
        with fails(f"ada/shop:{OWN} lacks {ARM}", kind=Kind.BUILD):
            world.run(B, matrix="platforms").go()
        run = world.run(B, part=ARM).go()
        assert run.actions == [("built", OWN), ("pushed", OWN)]
        assert not run.plan.builds[0].is_part  # type: ignore[union-attr]
        last = world.run(B, matrix="platforms").go()
        assert last.actions == [("reused", OWN), ("created", "latest")]


class TestWhatTheRegistryShowsLate:
    @pytest.fixture
    def workflow(self) -> Workflow:
        workflow = Workflow()
        workflow.options = {"built": matrix(workflow.last())}
        return built(workflow)

    def test_is_waited_for(self, workflow: Workflow) -> None:
        workflow.world.store.late = {PART, f"{OWN}.linux-arm-v7"}
        workflow.last().go()
        assert workflow.latest == workflow.images
        assert None not in workflow.images

    def test_not_if_no_job_has_said_that_it_is_there(self, workflow: Workflow) -> None:
        workflow.world.store.late = {PART}
        with fails(f"ada/shop:{OWN} lacks {AMD}: no job", kind=Kind.BUILD):
            workflow.last(built="").go()

    def test_what_is_there_costs_no_request(self, workflow: Workflow) -> None:
        other = Workflow(workflow.world.store.copy())
        run = workflow.last().go()
        assert run.registry.counts == other.last().go().registry.counts
        assert run.registry.announced == set()

    def test_nor_what_is_put_together(self, workflow: Workflow) -> None:
        workflow.last().go()
        assert workflow.left == []
        assert workflow.last().go().registry.announced == set()

    def test_another_job_puts_it_together_meanwhile(self, workflow: Workflow) -> None:
        workflow.world.store.late = {PART}
        run = workflow.last()

        def finish(call: Call) -> None:
            if call.subject == f"ada/shop:{PART}" and run.registry.announced:
                workflow.world.store.late = set()
                run.registry.before = lambda _: None
                workflow.last().go()

        run.registry.before = finish
        assert ("reused", OWN) in run.go().actions
        assert workflow.latest == workflow.images

    def test_an_image_that_is_no_part(self) -> None:
        """A matrix of services, and a service of one platform."""
        for each in ("services", "platforms"):
            world = World(platforms=(ARM,))
            due = matrix(world.run(B, matrix=each))
            world.run(B, shared_tags="false").go()
            world.store.late = {OWN}
            run = world.run(B, built=due, matrix=each).go()
            assert run.actions == [("reused", OWN), ("created", "latest")]


def matrix(run: Run) -> str:
    return results.outputs(publish.plan(run.app), (), pushed=False)["matrix"]


@pytest.fixture(scope="module")
def whole() -> list[Digest | None]:
    return Workflow().go(JOBS).images


class TestTheLastJob:
    def test_what_it_does_and_says(self) -> None:
        run = built(Workflow()).last().go()
        names = [f"{OWN}.linux-{each}" for each in ("amd64", "arm64", "arm-v7")]
        assert run.actions == [
            *(("joined", OWN) for _ in NAMES),
            *(("moved", "latest") for _ in NAMES),
            *(("deleted", each) for _ in NAMES for each in names),
        ]
        assert run.outcomes[0].note == "of linux/amd64, linux/arm64, linux/arm/v7"
        assert run.plan
        found = results.results(run.plan, run.outcomes)
        assert [(each.action, len(each.tags)) for each in found] == [(Action.BUILT, 2)] * 2
        assert not run.reached, "no engine is needed"

    def test_its_requests(self) -> None:
        """Beyond those of the parts, no more than six an image, its shared tags left out."""
        run = built(Workflow()).last(latest="never").go()
        asked = [(each.method, each.subject) for each in run.registry.calls]
        mine = [each for each in asked if each[1].startswith(f"ada/shop:{OWN}")]
        others = [each for each in mine if f"{OWN}." not in each[1]]
        assert [method for method, _ in others] == [
            *("resolve", "resolve", "put_index", "resolve", "resolve")
        ]
        for name in ("part", "inspect"):
            at = [each for each in asked if each[0] == name and each[1].startswith("ada/shop@")]
            assert len(at) == {"part": 3, "inspect": 0}[name], "each part is read once"

    def test_again_where_all_is_done(self) -> None:
        workflow = Workflow().go(JOBS)
        writes = list(workflow.world.store.writes)
        again = workflow.last().go()
        assert again.actions == [
            *(("reused", OWN) for _ in NAMES),
            *(("kept", "latest") for _ in NAMES),
        ]
        assert workflow.world.store.writes == writes

    def test_the_plan_of_a_run_that_may_not_push_has_every_platform(self) -> None:
        run = Workflow().last(dry_run="true")
        run.context = context(B, "main", event="pull_request")
        assert len(json.loads(matrix(run))["include"]) == len(JOBS)
        assert run.registry.calls == []

    def test_the_index_is_annotated_as_the_image_of_one_builder_is(self) -> None:
        app = built(Workflow()).last().app
        levels = ("", "index", "manifest", f"manifest[{ARM}]")
        given = tuple(Annotation(each, f"key{place}", each) for place, each in enumerate(levels))
        services = tuple(replace(each, annotations=given) for each in app.services)
        app.inputs = replace(app.inputs, services=services)
        annotations = dict(publish.plan(app).every(JoinParts)[0].annotations)
        assert (annotations.pop("key0"), annotations.pop("key1")) == ("", "index")
        assert annotations["org.opencontainers.image.revision"] == B.sha
        assert annotations["org.opencontainers.image.title"] == "shop"
        assert not [each for each in annotations if not each.startswith("org.opencontainers.")]

    def test_nothing_is_put_together_once_the_run_was_interrupted(self) -> None:
        run = built(Workflow()).last()

        def stop(_: Call) -> None:
            run.app.state.stopped = True

        run.registry.before = stop
        with pytest.raises(SystemExit):
            run.go()
        assert "put_index" not in run.registry.counts

    def test_what_moved_while_it_was_put_together_is_looked_at_again(self) -> None:
        workflow = built(Workflow())
        run = workflow.last()

        def publish_newer(call: Call) -> None:
            if call.method == "put_index" and "shop" in call.subject:
                World(NAMES, workflow.world.store).publish(C)

        run.registry.after = publish_newer
        run.go()
        written = [digest for each, digest in workflow.world.store.writes if each == LATEST_SHOP]
        assert written[-1] == workflow.world.own(C)
        assert workflow.images[0] not in written, "latest never went back"

    @pytest.mark.no_cover
    def test_another_run_may_do_the_same_at_any_moment(self) -> None:
        count = len(built(Workflow()).last().go().registry.calls)
        for number in range(count):
            workflow = built(Workflow())
            other = workflow.last()
            run = workflow.last(at_call(number, other.go)).go()
            assert workflow.latest == workflow.images
            assert workflow.left == []
            assert other.outcomes
            assert run.outcomes[-1].note != "is damaged"


class TestWhatIsRefused:
    """Before anything is written; no tag moves."""

    @pytest.fixture
    def workflow(self) -> Workflow:
        return built(Workflow())

    def refused(self, workflow: Workflow, *words: str) -> None:
        writes = list(workflow.world.store.writes)
        for run in (workflow.last(dry_run="true"), workflow.job(("shop", AMD)), workflow.last()):
            with fails(*words, kind=Kind.CONFLICT):
                run.go()
        assert workflow.world.store.writes == writes
        assert workflow.images == [None, None]

    def put(self, workflow: Workflow, image: Published, platform: str = AMD) -> None:
        workflow.world.put(image, PART)
        workflow.world.store.platforms[image.digest] = platform

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"revision": A}, [f"holds commit {A.sha[:12]}, not {B.sha[:12]}"]),
            ({"revision": None}, ["holds an image of no known commit"]),
            ({"source": "https://github.com/else/where"}, ["else/where", "also-known-as"]),
            ({"source": ""}, ["of no named repository"]),
        ],
    )
    def test_a_part_that_is_not_this_commits(
        self, workflow: Workflow, changes: dict[str, object], words: list[str]
    ) -> None:
        part = workflow.world.store.images[SHOP.repository, held(workflow)]
        self.put(workflow, replace(part, **changes))  # type: ignore[arg-type]
        self.refused(workflow, f"ada/shop:{PART} holds", *words)

    @pytest.mark.parametrize(("revision", "is_twin"), [(A, False), (TWIN, True)])
    def test_why_it_is_another_ones(
        self, workflow: Workflow, revision: Commit, is_twin: bool
    ) -> None:
        part = workflow.world.store.images[SHOP.repository, held(workflow)]
        self.put(workflow, replace(part, revision=revision))
        assert ('raise the input "sha-length"' in str(workflow.last().failure())) == is_twin

    @pytest.mark.parametrize("platform", [ARM, ARM7, "windows/amd64"])
    def test_two_parts_of_one_platform(self, workflow: Workflow, platform: str) -> None:
        part = workflow.world.store.images[SHOP.repository, held(workflow)]
        self.put(workflow, part, platform)
        said = "/".join(platform.split("/")[:2])
        self.refused(
            workflow,
            f"ada/shop:{PART} holds an image for {said}, not for {AMD}.",
            "Delete that tag, then run the job of its platform again.",
        )

    def test_a_variant_that_another_one_was_made_from(self, workflow: Workflow) -> None:
        part = workflow.world.store.images[SHOP.repository, held(workflow)]
        self.put(workflow, part, f"{AMD}/v2")
        workflow.last().go()
        assert workflow.latest == workflow.images

    def test_parts_that_were_made_from_other_inputs(self, workflow: Workflow) -> None:
        part = workflow.world.store.images[SHOP.repository, held(workflow)]
        self.put(workflow, replace(part, inputs="sha256:other"))
        with fails(
            f"{PART}, {OWN}.linux-arm64, {OWN}.linux-arm-v7 of ada/shop were not made from",
            "Delete these tags",
            kind=Kind.CONFLICT,
        ):
            workflow.last().go()

    def test_a_service_keeps_no_other_from_being_published(self) -> None:
        workflow = built(Workflow(), [job for job in JOBS if job != ("shop", ARM)])
        before = workflow.latest
        run = workflow.last()
        with fails(f"ada/shop:{OWN} lacks {ARM}: no job", kind=Kind.BUILD):
            run.go()
        parts = [
            ("deleted", f"{OWN}.{each}") for each in ("linux-amd64", "linux-arm64", "linux-arm-v7")
        ]
        assert run.actions[0] == ("joined", OWN)
        assert {*run.actions[1:]} <= {*parts}
        assert {each.service.name for each in run.outcomes} == {"menu"}
        assert run.plan
        left = results.standing(run.plan, run.outcomes, run.app.state)
        assert f"ada/shop:{OWN}" in left.lines[1]
        assert (workflow.images[0], workflow.latest) == (None, before)
        assert workflow.images[1]


UNCHANGED = {"reuse": "unchanged"}


class TestUnchanged:
    def start(self, changed: str) -> Workflow:
        """A is published in parts; then one service changes."""
        workflow = Workflow(options=UNCHANGED)
        store = workflow.world.store
        store.tagged.clear()
        for name in NAMES:
            workflow.world.inputs[A, name] = workflow.world.inputs[B, name] = f"{name} 1"
            for platform in PLATFORMS:
                inputs = {"services": name, "part": platform, **UNCHANGED}
                workflow.world.run(A, by_digest=True, **inputs).go()  # type: ignore[arg-type]
        inputs = {"matrix": "platforms", "runners": "linux/arm/v7=x", **UNCHANGED}
        workflow.world.run(A, **inputs).go()  # type: ignore[arg-type]
        workflow.world.inputs[B, changed] = f"{changed} 2"
        return workflow

    @pytest.mark.parametrize("changed", NAMES)
    def test_what_did_not_change_is_carried_forward(self, changed: str) -> None:
        workflow = self.start(changed)
        (other,) = {*NAMES} - {changed}
        assert workflow.due() == [(changed, each) for each in PLATFORMS]
        workflow.go(workflow.due())
        assert workflow.latest == workflow.images
        assert workflow.world.own(B, other) == workflow.world.own(A, other)
        assert workflow.world.own(B, changed) != workflow.world.own(A, changed)
        assert workflow.left == []

    def test_a_job_of_what_did_not_change_builds_nothing(self) -> None:
        workflow = self.start("shop")
        run = workflow.job(("menu", ARM)).go()
        assert run.actions == [("carried", OWN)]
        assert not run.reached

    def test_parts_of_a_run_that_was_broken_off_go_too(self) -> None:
        workflow = self.start("shop")
        Workflow(workflow.world.store).job(("menu", ARM)).go()
        assert workflow.left == [f"{OWN}.linux-arm64"]
        workflow.go(workflow.due())
        assert workflow.left == []


class TestTakingPartsAway:
    def test_where_no_tag_is_deleted_alone_they_stay(self) -> None:
        workflow = built(Workflow(by_tag=False))
        run = workflow.last().go()
        assert run.actions[-1] == ("kept", PART)
        assert "prune takes it away with its image" in run.outcomes[-1].note
        assert len(run.app.deletes.asked) == 1, "the others are not tried"
        assert len(workflow.left) == 6
        workflow.by_tag = True
        workflow.last().go()
        assert workflow.left == []

    def test_who_may_not_delete_is_told_why(self) -> None:
        workflow = built(Workflow())
        run = workflow.last()

        def refuse(_: str) -> None:
            raise Failure(Kind.REFUSED, "the token may not delete.", "Give it the right to.")

        run.app.deletes.before = refuse
        assert run.go().outcomes[-1].note == "the token may not delete."
        assert workflow.latest == workflow.images

    @pytest.mark.parametrize("answer", Deleted)
    @pytest.mark.parametrize("by_another", [False, True])
    def test_a_part_that_goes_with_its_tag_is_put_back(
        self, answer: Deleted, by_another: bool
    ) -> None:
        workflow = built(Workflow(by_tag=False))
        if by_another:
            workflow.last().go()
        run = workflow.last()
        part = (SHOP.repository, held(workflow))

        def delete(repository: Repository, tag: Tag) -> Deleted:
            digest = workflow.world.store.tagged.pop((repository, tag))
            workflow.world.store.images.pop((repository, digest))
            return answer

        run.app.deletes.delete_tag = delete  # type: ignore[method-assign]
        run.go()
        assert run.actions[-1] == ("kept", PART)
        assert run.outcomes[-1].note == "the registry deleted its image too, which is put back"
        assert part in workflow.world.store.images
        assert len(workflow.left) == 5

    def test_one_that_cannot_be_put_back_is_told(self) -> None:
        workflow = built(Workflow())
        run = workflow.last()

        def delete(repository: Repository, tag: Tag) -> Deleted:
            digest = workflow.world.store.tagged.pop((repository, tag))
            workflow.world.store.images.pop((repository, digest))
            return Deleted.DONE

        def refuse(call: Call) -> None:
            if call.method == "set_tag" and "@" in call.subject:
                raise Failure(Kind.UNREACHABLE, "no answer.", "Run again.")

        run.app.deletes.delete_tag = delete  # type: ignore[method-assign]
        run.registry.before = refuse
        with fails("no answer.", kind=Kind.UNREACHABLE):
            run.go()

    def test_one_that_is_gone_already(self) -> None:
        workflow = built(Workflow())
        run = workflow.last()

        def take(_: str) -> None:
            workflow.world.store.tagged.pop((SHOP.repository, Tag(PART)), None)

        run.app.deletes.before = take
        assert ("deleted", PART) in run.go().actions
        assert workflow.left == []


class TestWhatIsShown:
    def test_a_plan(self) -> None:
        workflow = built(Workflow(), [("shop", AMD)])
        plan = publish.plan(workflow.last(dry_run="true").app)
        lines = text.plan_lines(plan)
        assert lines[1] == (
            f"join   ada/shop:{OWN} from linux/amd64, linux/arm64 (to be built), "
            "linux/arm/v7 (to be built)"
        )
        row = f"<code>{OWN}</code> | from linux/amd64, linux/arm64 (to be built)"
        assert row in markdown.planned(plan)
        assert lines[-1] == f"delete ada/shop:{PART}: its image is put together"
        join = json.loads(text.plan_json(plan))["steps"][0]
        digest = str(held(workflow))
        parts = {AMD: digest, ARM: None, ARM7: None}
        assert join == {"step": "join", "service": "shop", "tag": OWN, "parts": parts}
        (deletion,) = plan.every(DeleteTag)
        assert deletion == DeleteTag(
            plan.services[0], Tag(PART), held(workflow), "its image is put together", Tag(OWN)
        )

    def test_steps_know_what_is_missing(self) -> None:
        step = JoinParts(service(), Tag(OWN), ((AMD, None), (ARM, None)))
        assert step.missing == (AMD, ARM)
        assert step.reference == Reference(SHOP.repository, Tag(OWN))


def test_other_registries_get_the_whole_image_and_no_part() -> None:
    workflow = Workflow(options={"also": "ghcr.io/team/{service}"})
    assert workflow.due() == list(JOBS)
    for job in JOBS:
        workflow.job(job).go()
    held = {str(where) for where, _ in workflow.world.store.tagged}
    assert not any("ghcr.io" in each for each in held), "a part goes to the first registry alone"
    workflow.last().go()
    tags = {
        (str(where), str(tag)): each for (where, tag), each in workflow.world.store.tagged.items()
    }
    for name, image in zip(NAMES, workflow.images, strict=True):
        assert tags[f"ghcr.io/team/{name}", OWN] == tags[f"ghcr.io/team/{name}", "latest"] == image
    assert workflow.left == []


def test_parts_are_looked_for_on_the_first_registry_alone() -> None:
    workflow = Workflow(options={"also": "ghcr.io/team/{service}, docker.io/team/{service}"})
    due = matrix(workflow.last())
    built(workflow)
    run = workflow.last(built=due).go()
    assert run.registry.announced == set()
    asked = {each for each in run.registry.subjects("resolve") if ".linux-" in each}
    assert {each.partition(":")[0] for each in asked} == {"ada/shop", "ada/menu"}


def test_where_the_first_registry_is_down_nothing_is_said_of_its_parts() -> None:
    workflow = built(Workflow(options={"also": "ghcr.io/team/{service}"}))
    words = ["ghcr.io/team/shop, ghcr.io/team/menu cannot be published: the parts are on docker.io"]
    with fails(*words, "ada does not answer", kind=Kind.UNREACHABLE) as caught:
        workflow.last(down("ada")).go()
    assert "lacks" not in str(caught.value)
    workflow.last().go()
    run = workflow.last(down("ada"))
    with fails("ada does not answer", kind=Kind.UNREACHABLE) as caught:
        run.go()
    assert len(caught.value.problems) == 1, "what is whole on the other one stays published there"


def test_where_a_platform_is_missing_no_registry_gets_the_image() -> None:
    workflow = Workflow(options={"also": "ghcr.io/team/{service}"})
    for job in JOBS:
        if job != ("shop", ARM):
            workflow.job(job).go()
    with fails(f"ada/shop:{OWN} lacks {ARM}: no job", kind=Kind.BUILD):
        workflow.last().go()
    tags = {(str(where), str(tag)) for where, tag in workflow.world.store.tagged}
    assert ("ghcr.io/team/shop", OWN) not in tags
    assert not any("ghcr.io" in where and tag == "latest" for where, tag in tags)
    workflow.job(("shop", ARM)).go()
    workflow.last().go()
    assert workflow.left == []
