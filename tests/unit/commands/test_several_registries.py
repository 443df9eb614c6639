"""One run, several registries: the same images on each, whatever becomes of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from support.failures import fails
from support.memory import Call, Hook
from support.runs import (
    A,
    B,
    C,
    D,
    Run,
    Turns,
    World,
    at_call,
    context,
    down,
    failing,
    image,
    refusing,
)
from support.soak import chosen, one_in

from feastflow_registry.commands import deploy, rollback, tags
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import Along
from feastflow_registry.model.plan import Action, CopyImage, MirrorImage
from feastflow_registry.model.references import (
    Commit,
    Digest,
    Reference,
    RegistryHost,
    Repository,
    Tag,
)
from feastflow_registry.report import markdown, results, text

HUB, GHCR, QUAY = "ada", "ghcr.io", "quay.io"
TWO = {"also": "ghcr.io/team/{service}"}
THREE = {"also": "ghcr.io/team/{service}, quay.io/team/{service}"}
OWN = f"commit-{B.short}"


def place(host: str, name: str = "shop") -> Repository:
    if host == HUB:
        return Repository.parse(RegistryHost("docker.io"), f"ada/{name}")
    return Repository.parse(RegistryHost(host), f"team/{name}")


GHCR_LATEST = Reference(place(GHCR), Tag("latest"))


def at(world: World, host: str, tag: str, name: str = "shop") -> Digest | None:
    return world.store.at(place(host, name), tag)


def commit_at(world: World, host: str, tag: str) -> Commit | None:
    digest = at(world, host, tag)
    return world.store.images[place(host), digest].revision if digest else None


def start(world: World, of: Commit, **options: object) -> Run:
    """Prepare a publish."""
    return world.run(of, **options)  # type: ignore[arg-type]


def holds(world: World, of: Commit, hosts: Iterable[str] = (HUB, GHCR), name: str = "shop") -> bool:
    """Whether these registries have a commit's one image, under its tag and as latest."""
    names = (f"commit-{of.short}", "latest")
    found = {at(world, host, tag, name) for host in hosts for tag in names}
    return len(found) == 1 and None not in found


def none_is_ahead(world: World) -> bool:
    """Whether each shared tag is on an image whose commit tag is on the same registry."""
    return all(
        digest == world.store.at(repository, f"commit-{revision.short}")
        for (repository, tag), digest in world.store.tagged.items()
        if tag.value in ("latest", "sprint3")
        if (revision := world.store.images[repository, digest].revision)
    )


class TestPublish:
    def test_is_built_once_and_copied(self) -> None:
        world = World(names=("shop", "menu"))
        run = start(world, B, **THREE).go()
        for name in world.names:
            assert holds(world, B, (HUB, GHCR, QUAY), name)
        assert run.builder.sessions == [("shop", "menu")]
        assert sorted(run.builder.pushed) == [f"ada/menu:{OWN}", f"ada/shop:{OWN}"]
        assert len(run.app.copies.copied) == 4
        assert {each.seconds for each in run.outcomes if each.action is Action.COPIED} == {1}

    def test_every_commit_tag_comes_before_every_shared_one(self) -> None:
        world = World(names=("shop", "menu"))
        start(world, B, milestone="sprint3", **THREE).go()
        written = [reference.identifier for reference, _ in world.store.writes]
        assert written[:6] == [OWN] * 6
        assert OWN not in written[6:]

    def test_a_second_run_writes_nothing(self) -> None:
        world = World()
        world.publish(B, **TWO)
        before = list(world.store.writes)
        again = start(world, B, **TWO).go()
        assert world.store.writes == before
        assert (again.builder.sessions, again.app.copies.copied) == ([], [])

    def test_each_registry_decides_by_what_it_holds(self) -> None:
        """There, a newer commit is latest; here, nothing is."""
        world = World()
        newer = world.store.add(place(GHCR), image(C), Tag("latest"), Tag(f"commit-{C.short}"))
        start(world, B, **TWO).go()
        assert commit_at(world, HUB, "latest") == B
        assert at(world, GHCR, "latest") == newer
        assert at(world, GHCR, OWN) == at(world, HUB, OWN)

    def test_what_another_repository_published_is_left_and_keeps_nobody_else(self) -> None:
        world = World()
        eve = image(B, salt="eve", source="https://github.com/eve/shop")
        world.store.add(place(GHCR), eve, Tag(OWN))
        with fails(f"ghcr.io/team/shop:{OWN} holds", kind=Kind.CONFLICT):
            start(world, B, **TWO).go()
        assert holds(world, B, [HUB])
        assert (at(world, GHCR, OWN), at(world, GHCR, "latest")) == (eve.digest, None)

    def test_nor_is_what_another_repository_publishes_meanwhile(self) -> None:
        world = World()
        eve = image(B, salt="eve", source="https://github.com/eve/shop")

        def publish() -> None:
            world.store.add(place(GHCR), eve, Tag(OWN))

        with fails(f"ghcr.io/team/shop:{OWN} holds", kind=Kind.CONFLICT):
            start(world, B, before=before_first("push", publish), **TWO).go()
        assert holds(world, B, [HUB])
        assert at(world, GHCR, OWN) == eve.digest

    def test_a_copy_is_read_back_before_a_shared_tag_moves(self) -> None:
        world = World()
        eve = image(B, salt="eve", source="https://github.com/eve/shop")

        def overwrite(call: Call) -> None:
            if (call.method, call.subject) == ("set_tag", f"{place(GHCR)}:{OWN}"):
                world.store.add(place(GHCR), eve, Tag(OWN))

        with fails(f"ghcr.io/team/shop:{OWN} holds", kind=Kind.CONFLICT):
            start(world, B, after=overwrite, **TWO).go()
        assert holds(world, B, [HUB])
        assert at(world, GHCR, "latest") is None

    def test_nor_does_a_tag_that_is_another_repositorys(self) -> None:
        world = World()
        eve = image(A, salt="eve", source="https://github.com/eve/shop")
        world.store.add(place(GHCR), eve, Tag("latest"))
        with fails("ghcr.io/team/shop:latest holds an image whose labels", kind=Kind.CONFLICT):
            start(world, B, **TWO).go()
        assert holds(world, B, [HUB])
        assert (at(world, GHCR, OWN), at(world, GHCR, "latest")) == (None, eve.digest)

    def test_a_commit_that_each_has_already_stays_as_each_has_it(self) -> None:
        """Commit tags are written once, on whatever registry."""
        world = World()
        start(world, B, salt="here").go()
        there = world.store.add(place(GHCR), image(B, salt="there"), Tag(OWN))
        start(world, B, reuse="never", **TWO).go()
        assert at(world, GHCR, OWN) == at(world, GHCR, "latest") == there

    def test_what_is_carried_forward_is_carried_everywhere(self) -> None:
        world = World(inputs={(A, "shop"): "same", (B, "shop"): "same"})
        start(world, A, reuse="unchanged").go()
        run = start(world, B, reuse="unchanged", **TWO).go()
        assert run.builder.sessions == []
        assert holds(world, B)
        assert commit_at(world, GHCR, "latest") == A

    def test_what_was_withdrawn_is_withdrawn_where_it_is_copied_to(self) -> None:
        world = World()
        for each in (A, B):
            world.publish(each, **TWO if each == A else {})
        world.start("rollback", B).go()
        start(world, B, **TWO).go()
        assert commit_at(world, GHCR, "latest") == A
        assert (GHCR_LATEST, at(world, HUB, OWN)) not in world.store.writes, "not even for a moment"
        assert (
            at(world, GHCR, f"withdrawn-{B.short}") == at(world, GHCR, OWN) == at(world, HUB, OWN)
        )
        start(world, A, **TWO).go()
        assert commit_at(world, GHCR, "latest") == A

    def test_an_ancestor_is_looked_for_on_one_registry_alone(self) -> None:
        world = World()
        world.publish(A, reuse="unchanged", **TWO)
        run = start(world, B, reuse="unchanged", **TWO).go()
        asked = run.registry.subjects("resolve")
        assert f"ada/shop:commit-{A.short}" in asked
        assert f"ghcr.io/team/shop:commit-{A.short}" not in asked

    def test_a_tag_that_moved_while_the_image_was_copied_is_looked_at_again(self) -> None:
        world = World()
        world.publish(B)
        newer = start(world, C, **TWO)
        start(world, B, before=before_first("copy to", newer.go), **TWO).go()
        written = [digest for tag, digest in world.store.writes if tag == GHCR_LATEST]
        assert written == [at(world, HUB, f"commit-{C.short}")]

    def test_what_is_withdrawn_while_it_is_copied_is_taken_back(self) -> None:
        world = World()
        world.publish(A, **TWO)
        world.publish(B)
        position = start(world.copy(), B, **TWO).go().registry.subjects("copy to")
        assert position == ["ghcr.io/team/shop"]
        rollback = world.start("rollback", B)
        run = start(world, B, before=before_first("copy from", rollback.go), **TWO).go()
        assert run.outcomes
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [A, A]

    @pytest.mark.no_cover
    @pytest.mark.parametrize("how", chosen([{}, {"from": B.sha}, {"to": A.sha}]))
    def test_at_any_moment_of_a_copy(self, how: dict[str, str]) -> None:
        """The rollback may see no image there, and the copy no mark before it."""

        def before() -> World:
            world = World()
            world.publish(A, **TWO)
            world.publish(B)
            return world

        for number in range(len(start(before(), B, **TWO).go().registry.calls)):
            world = before()
            rollback = world.start("rollback", B, **how, **TWO)
            start(world, B, before=at_call(number, rollback.go), **TWO).go()
            assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [A, A], number
            mark = f"withdrawn-{B.short}"
            assert at(world, GHCR, mark) == at(world, HUB, mark) == at(world, HUB, OWN), number

    @pytest.mark.no_cover
    @pytest.mark.parametrize("how", chosen([{}, {"from": B.sha}, {"to": A.sha}]))
    def test_at_any_moment_before_the_rollback_marks_it(self, how: dict[str, str]) -> None:
        """The other way round: a whole publish comes between what the rollback does."""

        def before() -> World:
            world = World()
            world.publish(A, **TWO)
            world.publish(B)
            return world

        def roll_back(on: World) -> Run:
            return on.start("rollback", B, **how, **TWO)

        for number in range(len(roll_back(before()).go().registry.calls)):
            world = before()
            run = roll_back(world)
            run.registry.before = at_call(number, start(world, B, **TWO).go)
            run.go()
            assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [A, A], number
            mark = f"withdrawn-{B.short}"
            assert at(world, GHCR, mark) == at(world, HUB, mark) == at(world, HUB, OWN), number

    @pytest.mark.parametrize("how", [{}, {"to": A.sha}])
    def test_it_is_marked_wherever_it_is(self, how: dict[str, str]) -> None:
        """There its publish broke off before `latest` moved: no other run is to finish that."""
        world = World()
        world.publish(A, **TWO)
        world.publish(B, **TWO)
        world.store.tagged[place(GHCR), Tag("latest")] = world.store.tagged[
            place(GHCR), Tag(f"commit-{A.short}")
        ]
        world.start("rollback", B, **how, **TWO).go()
        assert at(world, GHCR, f"withdrawn-{B.short}") == at(world, HUB, OWN)
        for each in (A, B):
            start(world, each, **TWO).go()
            assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [A, A]
        world.publish(C, **TWO)
        world.start("rollback", C, **TWO).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [A, A]

    def test_a_registry_that_has_not_the_image_has_no_mark(self) -> None:
        world = World()
        world.publish(A, **TWO)
        world.publish(B)
        run = world.start("rollback", B, **TWO).go()
        assert at(world, GHCR, f"withdrawn-{B.short}") is None
        mark = f"ghcr.io/team/shop:withdrawn-{B.short}"
        notes = [each.note for each in run.outcomes if str(each.reference) == mark]
        assert notes == ["that image is not there"]

    def test_a_mark_that_is_refused_is_told(self) -> None:
        world = World()
        world.publish(A, **TWO)
        world.publish(B, **TWO)
        run = world.start("rollback", B, **TWO)
        run.registry.before = refusing(GHCR)
        with fails("ghcr.io denied it", kind=Kind.REFUSED):
            run.go()

    def test_a_mark_that_is_there_is_not_written_again(self) -> None:
        world = World()
        world.publish(A, **TWO)
        world.publish(B)
        world.start("rollback", B).go()
        start(world, B, **TWO).go()
        written = [str(reference) for reference, _ in world.store.writes]
        assert written.count(f"ghcr.io/team/shop:withdrawn-{B.short}") == 1

    def test_what_refers_to_an_image_goes_along(self) -> None:
        world = World()
        run = start(world, B, **TWO)
        run.app.copies.along = Along(2, 500)
        run.go()
        [copied] = [each for each in run.outcomes if each.action is Action.COPIED]
        assert (copied.size, copied.note) == (1500, "with 2 that refer to it")

    def test_the_image_that_a_copy_comes_from_is_gone(self) -> None:
        world = World()
        world.publish(B)

        def lose() -> None:
            del world.store.tagged[place(HUB), Tag(OWN)]

        with fails(f"ada/shop:{OWN} is gone", kind=Kind.UNVERIFIED):
            start(world, B, before=before_first("resolve", lose, f"ada/shop:{OWN}", 1), **TWO).go()
        assert holds(world, B, [GHCR]) is False

    def test_the_last_lines_tell_each_registry(self) -> None:
        world = World(names=("shop", "menu"))
        run = start(world, B, **TWO).go()
        assert run.plan
        lines = results.closing(run.plan, results.results(run.plan, run.outcomes))
        assert lines[:3] == [
            f"✅ shop: ada/shop@{at(world, HUB, OWN)}",
            f"   {OWN}, latest",
            f"   ghcr.io/team/shop: {OWN}, latest",
        ]

    def test_the_summary_tells_each_registry(self) -> None:
        run = start(World(), B, **TWO).go()
        assert run.plan
        summary = markdown.success(run.plan, results.results(run.plan, run.outcomes), run.outcomes)
        assert f"<code>ghcr.io/team/shop:{OWN}</code>" in summary
        dry = markdown.planned(run.plan)
        assert f"| shop on ghcr.io | copy | <code>ghcr.io/team/shop:{OWN}</code> |" in dry

    def test_the_outputs_tell_each_registry(self) -> None:
        world = World()
        run = start(world, B, **TWO).go()
        assert run.plan
        [found] = results.results(run.plan, run.outcomes)
        assert [str(each) for each in found.tags] == [
            *(f"ada/shop:{OWN}", "ada/shop:latest"),
            *(f"ghcr.io/team/shop:{OWN}", "ghcr.io/team/shop:latest"),
        ]
        outputs = results.outputs(run.plan, [found], pushed=True)
        assert json.loads(outputs["images"])["shop"]["tags"] == [OWN, "latest"]
        assert json.loads(outputs["images"])["shop"]["also"] == {
            "ghcr.io/team/shop": [OWN, "latest"]
        }
        steps = json.loads(outputs["plan"])["steps"]
        assert [(each["step"], each["registry"]) for each in steps] == [
            *(("build", "docker.io"), ("push", "docker.io"), ("copy", "ghcr.io")),
            *(("tag", "docker.io"), ("tag", "ghcr.io")),
        ]
        lines = text.plan_lines(run.plan)
        assert f"copy   ada/shop:{OWN} to ghcr.io/team/shop:{OWN}" in lines


def both(*hooks: Hook) -> Hook:
    """One hook after the other."""

    def hook(call: Call) -> None:
        for each in hooks:
            each(call)

    return hook


def before_first(
    method: str, act: Callable[[], object], subject: str = "", skipped: int = 0
) -> Hook:
    """Act once, before the first request of a kind, or a later one."""
    left = [skipped]

    def hook(call: Call) -> None:
        if call.method == method and subject in call.subject:
            left[0] -= 1
            if left[0] == -1:
                act()

    return hook


class TestARegistryThatDoesNotAnswer:
    @pytest.mark.parametrize(("dead", "alive"), [(GHCR, HUB), (HUB, GHCR)])
    def test_keeps_no_other_from_being_published(self, dead: str, alive: str) -> None:
        world = World(names=("shop", "menu"))
        run = start(world, B, before=down(dead), **TWO)
        with fails(f"{dead} does not answer", kind=Kind.UNREACHABLE):
            run.go()
        assert all(holds(world, B, [alive], name) for name in world.names)
        assert not [
            each for each, _ in world.store.writes if each.repository.host == place(dead).host
        ]
        again = start(world, B, salt="other", **TWO).go()
        assert again.builder.sessions == []
        assert all(holds(world, B, name=name) for name in world.names)

    def test_all_of_them(self) -> None:
        world = World()
        run = start(world, B, before=both(down(HUB), down(GHCR)), **TWO)
        with fails("ada does not answer", "ghcr.io does not answer", kind=Kind.UNREACHABLE):
            run.go()
        assert run.builder.sessions == []

    def test_the_next_commit_catches_up(self) -> None:
        world = World()
        world.publish(A, **TWO)
        start(world, B, before=down(GHCR), **TWO).failure()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [B, A]
        world.publish(C, **TWO)
        assert holds(world, C)

    def test_a_dry_run_shows_the_plan_and_fails(self) -> None:
        world = World()
        run = start(world, B, before=down(GHCR), dry_run="true", **TWO)
        with fails("ghcr.io does not answer", kind=Kind.UNREACHABLE):
            run.go()
        assert run.plan
        assert run.plan.hosts == (place(HUB).host,)
        assert (run.outcomes, world.store.writes) == ([], [])


class TestWhatIsSaidAtTheCommit:
    @pytest.mark.parametrize("breaks", [down, refusing])
    @pytest.mark.parametrize(("lame", "alive"), [(GHCR, HUB), (HUB, GHCR)])
    def test_an_image_that_one_registry_lacks(
        self, breaks: Callable[[str], Hook], lame: str, alive: str
    ) -> None:
        world = World()
        run = start(world, B, before=breaks(lame), **TWO)
        assert run.failure()
        [(at_commit, status)] = run.app.told.told
        assert (at_commit, status.context, status.is_whole) == (B, "registry/shop", False)
        assert f"shop:{OWN}" in status.description
        assert f"not proven on {place(lame).host}" in status.description
        assert run.plan
        [found] = results.results(run.plan, run.outcomes)
        assert found.image == f"{place(alive)}@{at(world, alive, OWN)}"
        assert [each.repository for each in found.tags] == [place(alive)] * 2
        healed = start(world, B, **TWO).go()
        assert [each.is_whole for _, each in healed.app.told.told] == [True]

    def test_images_that_differ_are_all_there(self) -> None:
        world = World()
        start(world, B, salt="here").go()
        world.store.add(place(GHCR), image(B, salt="there"), Tag(OWN))
        run = start(world, B, **TWO).go()
        assert [each.is_whole for _, each in run.app.told.told] == [True]

    def test_what_is_published_beside_a_service_that_fails(self) -> None:
        run = start(World(names=("shop", "menu")), B, **TWO)
        run.builder.broken = ("menu",)
        assert run.failure()
        [(_, status)] = run.app.told.told
        assert (status.context, status.is_whole) == ("registry/shop", True)


class TestARegistryThatRefuses:
    @pytest.mark.parametrize("by_digest", [False, True])
    @pytest.mark.parametrize(("strict", "alive"), [(GHCR, HUB), (HUB, GHCR)])
    def test_keeps_no_other_from_being_published(
        self, strict: str, alive: str, *, by_digest: bool
    ) -> None:
        world = World()
        run = start(world, B, before=refusing(strict), by_digest=by_digest, **THREE)
        with fails(f"{strict} denied it", kind=Kind.REFUSED):
            run.go()
        assert len(run.builder.sessions) == 1
        assert run.outcomes[0].reference == Reference(
            place(alive if strict == HUB else HUB), Tag(OWN)
        )
        assert holds(world, B, [alive, QUAY])
        assert at(world, strict, OWN) is None
        start(world, B, **THREE).go()
        assert holds(world, B, [HUB, GHCR, QUAY])

    def test_what_has_arrived_there_is_copied_though_it_gets_no_tag(self) -> None:
        def hook(call: Call) -> None:
            if call.method == "set_tag":
                refusing(HUB)(call)

        world = World()
        with fails("ada denied it", kind=Kind.REFUSED):
            start(world, B, before=hook, by_digest=True, **TWO).go()
        assert holds(world, B, [GHCR])

    def test_nobody_asks_for_a_right_where_nothing_is_written(self) -> None:
        world = World()
        start(world, B, **TWO).go()
        start(world, B, before=refusing(GHCR), reuse="never", **TWO).go()

    def test_what_is_carried_forward_goes_to_the_others(self) -> None:
        world = World(inputs={(A, "shop"): "same", (B, "shop"): "same"})
        start(world, A, reuse="unchanged").go()
        run = start(world, B, before=refusing(HUB), reuse="unchanged", **THREE)
        with fails("ada denied it", kind=Kind.REFUSED):
            run.go()
        assert run.builder.sessions == []
        assert holds(world, B, [GHCR, QUAY])

    @pytest.mark.parametrize("strict", [[HUB], [HUB, GHCR]])
    def test_an_engine_pushes_to_the_next_one_where_a_push_fails(self, strict: list[str]) -> None:
        world = World()

        def hook(call: Call) -> None:
            if call.method == "push":
                both(*map(refusing, strict))(call)

        run = start(world, B, before=hook, **THREE)
        with fails(*(f"{each} denied it" for each in strict), kind=Kind.REFUSED):
            run.go()
        places = [f"{place(each)}:{OWN}" for each in (HUB, GHCR, QUAY)]
        assert run.builder.pushed == places[: len(strict) + 1]
        assert holds(world, B, [GHCR, QUAY][len(strict) - 1 :])

    def test_what_was_pushed_by_digest_alone_is_copied_from_there(self) -> None:
        """A rule of immutability, or of names, refuses its tag."""
        world = World()

        def hook(call: Call) -> None:
            if call.method == "set_tag":
                refusing(HUB)(call)

        with fails("ada denied it", kind=Kind.REFUSED):
            start(world, B, before=hook, by_digest=True, **TWO).go()
        assert holds(world, B, [GHCR])

    def test_nobody_takes_it(self) -> None:
        world = World()

        run = start(world, B, before=both(refusing(HUB), refusing(GHCR)), **TWO)
        with fails("ada denied it", "ghcr.io denied it", kind=Kind.REFUSED):
            run.go()
        assert run.builder.sessions == []
        assert world.store.writes == []

    def test_what_does_not_build_goes_nowhere(self) -> None:
        world = World(names=("shop", "menu"))
        world.publish(A, **TWO)
        run = start(world, B, **TWO)
        run.builder.broken = ("menu",)
        with fails("menu does not build", kind=Kind.BUILD) as caught:
            run.go()
        assert len(caught.value.problems) == 1
        assert at(world, GHCR, OWN, "shop") == at(world, HUB, OWN, "shop")
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [A, A]

    def test_what_does_not_pass_its_check_goes_nowhere(self) -> None:
        world = World(check="false")
        run = start(world, B, **TWO)
        run.checker.broken = ("shop",)
        with fails("shop did not pass", kind=Kind.BUILD):
            run.go()
        assert world.store.writes == []


def requests(**inputs: str) -> list[int]:
    """The places of a run's requests."""
    return [each.number for each in start(World(), B, **inputs, **TWO).go().registry.calls]


EACH, EACH_OF_A_MILESTONE = requests(), requests(milestone="sprint3")


@pytest.mark.no_cover
@pytest.mark.parametrize("later", [B, C])
@pytest.mark.parametrize("by_digest", [False, True])
@pytest.mark.parametrize("number", one_in(3, EACH_OF_A_MILESTONE))
@pytest.mark.parametrize("kind", ["before", "after", "killed", HUB, GHCR])
def test_every_fault_at_every_request(
    kind: str, number: int, later: Commit, *, by_digest: bool
) -> None:
    """None is ahead on shared tags, and one later run makes all of them whole."""
    world = World()
    hooks: dict[str, dict[str, Hook]] = {
        "before": {"before": failing(number)},
        "after": {"after": failing(number)},
        "killed": {"before": both(down(HUB, number), down(GHCR, number))},
    }
    hook = hooks.get(kind) or {"before": down(kind, number)}
    inputs = {"milestone": "sprint3", **TWO}
    failure = start(world, B, by_digest=by_digest, **hook, **inputs).failure()
    assert none_is_ahead(world)
    if kind == GHCR:
        assert holds(world, B, [HUB])
    if failure is None:
        assert holds(world, B)
    start(world, later, salt="other", by_digest=by_digest, **inputs).go()
    assert none_is_ahead(world)
    assert holds(world, later)


class TestTwoRunsOfOneCommit:
    @pytest.mark.parametrize("by_digest", [False, True])
    @pytest.mark.parametrize("number", one_in(3, EACH))
    def test_end_with_one_digest_everywhere(self, number: int, *, by_digest: bool) -> None:
        world = World()
        other = start(world, B, salt="other", by_digest=by_digest, **TWO)
        hook = at_call(number, other.go)
        start(world, B, before=hook, by_digest=by_digest, **TWO).go()
        assert holds(world, B)

    def test_a_copy_that_comes_late_is_made_again(self) -> None:
        """The other run pushes last, and its copy comes before that of what it has replaced."""
        alone = start(World(), B, **TWO).go().registry
        writing = ("set_tag", f"ghcr.io/team/shop:{OWN}")
        pushing = next(each.number for each in alone.calls if each.method == "push")
        copying = next(c.number for c in alone.calls if (c.method, c.subject) == writing)
        world = World()
        runs = [start(world, B, salt="one", **TWO), start(world, B, salt="other", **TWO)]
        everything = 2 * len(alone.calls)
        assert Turns([1] * pushing + [0] * copying + [1] * everything).go(runs) == []
        assert runs[1].builder.pushed == [f"ada/shop:{OWN}"]
        assert holds(world, B)

    @pytest.mark.parametrize("number", one_in(3, EACH))
    def test_of_main_and_of_a_git_tag(self, number: int) -> None:
        world = World()
        other = start(world, B, salt="other", git_tag="v1", **TWO)
        hook = at_call(number, other.go)
        start(world, B, before=hook, **TWO).go()
        assert holds(world, B)
        assert len({at(world, host, "v1") for host in (HUB, GHCR)}) == 1

    def test_a_copy_stays_one_where_a_final_tag_holds_another_image(self) -> None:
        """There, the commit tag takes what is final only where it is not a copy."""
        world = World()
        inputs = {"milestone": "sprint3", **TWO}
        start(world, B, salt="one", git_tag="sprint3", **inputs).go()
        world.store.tagged = {
            (where, tag): digest
            for (where, tag), digest in world.store.tagged.items()
            if str(where.host) == GHCR and str(tag) != OWN
        }
        start(world, B, salt="other").go()
        start(world, B, salt="third", **inputs).go()
        assert at(world, GHCR, OWN) == at(world, HUB, OWN) != at(world, GHCR, "sprint3")

    @pytest.mark.parametrize("number", one_in(3, EACH_OF_A_MILESTONE[2:]))
    def test_of_main_and_of_a_milestones_git_tag(self, number: int) -> None:
        world = World()
        inputs = {"milestone": "sprint3", **TWO}
        other = start(world, B, salt="other", git_tag="sprint3", **inputs)
        hook = at_call(number, other.go)
        start(world, B, before=hook, **inputs).go()
        assert {at(world, host, "latest") for host in (HUB, GHCR)} == {at(world, HUB, OWN)}
        assert none_is_ahead(world)


@pytest.mark.parametrize("number", one_in(3, EACH))
def test_two_commits_end_at_the_newer_one_everywhere(number: int) -> None:
    world = World()
    other = start(world, C, **TWO)
    start(world, B, before=at_call(number, other.go), **TWO).go()
    assert holds(world, C)


def killed() -> None:
    raise KeyboardInterrupt


class TestRollback:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        for each in (A, B, C):
            world.publish(each, **TWO)
        return world

    def test_is_all_registries(self, world: World) -> None:
        world.start("rollback", C, **TWO).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [B, B]
        assert at(world, GHCR, f"withdrawn-{C.short}") == at(world, GHCR, f"commit-{C.short}")

    @pytest.mark.parametrize(("dead", "alive"), [(GHCR, HUB), (HUB, GHCR)])
    def test_one_that_fails_says_so_and_pressing_again_finishes(
        self, world: World, dead: str, alive: str
    ) -> None:
        run = world.start("rollback", C, **TWO)
        run.registry.before = down(dead)
        with fails(f"{dead} does not answer", kind=Kind.UNREACHABLE):
            run.go()
        assert [commit_at(world, host, "latest") for host in (alive, dead)] == [B, C]
        world.start("rollback", C, **TWO).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [B, B]

    @pytest.mark.no_cover
    def test_every_request(self, world: World) -> None:
        whole = world.copy().start("rollback", C, **TWO).go()
        for host in (HUB, GHCR):
            for number in range(len(whole.registry.calls)):
                place = world.copy()
                run = place.start("rollback", C, **TWO)
                run.registry.before = down(host, number)
                run.failure()
                place.start("rollback", C, **TWO, to=B.sha).go()
                found = [commit_at(place, each, "latest") for each in (HUB, GHCR)]
                assert found == [B, B], (host, number)

    @pytest.mark.no_cover
    @pytest.mark.parametrize("wanted", chosen([{"to": A.sha}, {"from": C.sha}, {}]))
    @pytest.mark.parametrize("missing", [HUB, GHCR])
    def test_killed_anywhere_and_pressed_again(self, missing: str, wanted: dict[str, str]) -> None:
        """One registry has missed the last commit, so that another image is bad on each."""
        world = World()
        for each in (A, B):
            world.publish(each, **TWO)
        start(world, C, before=down(missing), **TWO).failure()

        def press(place: World) -> Run:
            return place.start("rollback", D, **TWO, **wanted)

        whole = world.copy()
        requests = len(press(whole).go().registry.calls)
        for number in range(requests):
            place = world.copy()
            run = press(place)
            run.registry.before = at_call(number, killed)
            with pytest.raises(KeyboardInterrupt):
                run.go()
            press(place).go()
            assert place.store.tagged == whole.store.tagged, number

    def test_from_what_one_has_missed(self, world: World) -> None:
        start(world, D, before=down(GHCR), **TWO).failure()
        world.start("rollback", D, **{"from": D.sha, **TWO}).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [C, C]

    def test_to_what_one_has_not(self, world: World) -> None:
        world.store.tagged.pop((place(GHCR), Tag(f"commit-{A.short}")))
        with fails(
            "ghcr.io/team/shop has no image", 'name them in the input "registries": docker.io'
        ):
            world.start("rollback", C, to=A.sha, **TWO).go()

    def test_to_nothing_on_one_that_has_the_bad_one_alone(self, world: World) -> None:
        for each in (A, B):
            world.store.tagged.pop((place(GHCR), Tag(f"commit-{each.short}")))
        with fails("ghcr.io/team/shop:latest still holds a bad image", kind=Kind.CONFLICT):
            world.start("rollback", C, **TWO).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [B, C]
        assert at(world, GHCR, f"withdrawn-{C.short}")

    def test_names_one(self, world: World) -> None:
        world.start("rollback", C, registries="ghcr.io", **TWO).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [C, B]

    def test_one_that_missed_the_last_commit_stays(self, world: World) -> None:
        start(world, D, before=down(GHCR), **TWO).failure()
        run = world.start("rollback", D, **TWO).go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [C, C]
        assert run.app.log.lines == []

    def test_a_mark_that_one_refuses_is_told_and_its_tag_stays(self, world: World) -> None:
        run = world.start("rollback", C, **TWO)

        def hook(call: Call) -> None:
            if "withdrawn" in call.subject:
                refusing(GHCR)(call)

        run.registry.before = hook
        with fails("ghcr.io denied it", kind=Kind.REFUSED):
            run.go()
        assert [commit_at(world, host, "latest") for host in (HUB, GHCR)] == [B, C]

    def test_a_tag_that_one_lacks(self, world: World) -> None:
        world.store.tagged.pop((place(GHCR), Tag("latest")))
        run = world.start("rollback", C, **TWO).go()
        assert commit_at(world, HUB, "latest") == B
        notice = "shop has no tag latest on ghcr.io: it is left out."
        assert ("notice", notice) in run.app.log.lines

    def test_a_cluster_is_told_one_image_of_each_service(self, world: World) -> None:
        run = world.start("rollback", C, **TWO).go()
        assert run.plan
        images = [each for each in run.plan.kubectl if " set image " in each]
        assert len(images) == 1
        assert "ada/shop" in images[0]


class TestPromote:
    def test_a_tag_alone_is_given_on_every_registry(self) -> None:
        world = World()
        world.publish(B, **TWO)
        world.start("promote", B, tag="production", **TWO).go()
        assert {at(world, host, "production") for host in (HUB, GHCR)} == {at(world, HUB, OWN)}

    def test_the_commit_tag_comes_before_it_where_the_image_is_missing(self) -> None:
        world = World()
        world.publish(B)
        world.store.writes.clear()
        run = world.start("promote", B, tag="production, staging", **TWO).go()
        written = [each for each, _ in world.store.writes if each.repository == place(GHCR)]
        first, *others = [each.identifier for each in written]
        assert (first, sorted(others)) == (OWN, ["production", "staging"])
        assert at(world, GHCR, "production") == at(world, HUB, OWN)
        assert run.plan
        assert len(run.plan.every(MirrorImage)) == 1

    def test_a_commit_tag_that_holds_another_image_of_it_stays(self) -> None:
        world = World()
        world.publish(B, salt="here")
        there = world.store.add(place(GHCR), image(B, salt="there"), Tag(OWN))
        run = world.start("promote", B, tag="production", **TWO).go()
        assert run.plan
        assert not [each for each in run.plan.steps if isinstance(each, MirrorImage)]
        assert [each for each in run.plan.steps if isinstance(each, CopyImage)]
        assert at(world, GHCR, OWN) == there
        assert at(world, GHCR, "production") == at(world, HUB, OWN)

    def test_a_repository_that_is_named_is_that_one(self) -> None:
        world = World()
        world.publish(B, **TWO)
        world.start("promote", B, tag="quay.io/team/shop:production", **TWO).go()
        assert at(world, QUAY, "production") == at(world, HUB, OWN)
        assert at(world, GHCR, "production") is at(world, HUB, "production") is None

    @pytest.mark.parametrize(("dead", "alive"), [(GHCR, HUB), (HUB, GHCR)])
    def test_one_that_does_not_answer_is_told(self, dead: str, alive: str) -> None:
        world = World()
        world.publish(B, **TWO)
        run = world.start("promote", B, tag="production", **TWO)
        run.registry.before = down(dead)
        with fails(f"{dead} does not answer", kind=Kind.UNREACHABLE):
            run.go()
        assert (at(world, alive, "production") is None, at(world, dead, "production")) == (
            False,
            None,
        )
        world.start("promote", B, tag="production", **TWO).go()
        assert at(world, dead, "production") == at(world, HUB, OWN)

    def test_one_that_fails_on_the_way_keeps_no_other_from_it(self) -> None:
        world = World()
        world.publish(B)
        run = world.start("promote", B, tag="production", **TWO)
        run.registry.before = refusing(GHCR)
        with fails("ghcr.io denied it", kind=Kind.REFUSED):
            run.go()
        assert at(world, HUB, "production") == at(world, HUB, OWN)
        assert at(world, GHCR, "production") is None

    def test_a_newer_commit_there_keeps_latest(self) -> None:
        world = World()
        for each in (B, C):
            world.publish(each, **TWO)
        world.store.tagged.pop((place(HUB), Tag(f"commit-{C.short}")))
        world.store.tagged.pop((place(HUB), Tag("latest")))
        with fails("ghcr.io/team/shop:latest is not moved", kind=Kind.CONFLICT):
            world.start("promote", B, to=B.sha, tag="latest", **TWO).go()


def test_prune_goes_over_every_registry() -> None:
    world = World()
    for each in (A, B, C):
        world.publish(each, **TWO)
    inputs = {"keep_days": "0", "keep_last": "1", "dry_run": "false", **TWO}
    run = world.start("prune", C, **inputs).go()
    gone = {str(each.reference) for each in run.outcomes if each.action is Action.DELETED}
    assert gone == {f"{place(host)}:commit-{each.short}" for host in (HUB, GHCR) for each in (A, B)}


def test_prune_of_the_others_goes_on() -> None:
    world = World()
    for each in (A, B, C):
        world.publish(each, **TWO)
    run = world.start("prune", C, keep_days="0", keep_last="1", dry_run="false", **TWO)
    run.registry.before = down(HUB)
    run.app.deletes.before = lambda _: None
    with fails("ada does not answer", kind=Kind.UNREACHABLE):
        run.go()
    assert at(world, GHCR, f"commit-{A.short}") is None
    assert at(world, HUB, f"commit-{A.short}") is not None


def test_tags_lists_each_registry() -> None:
    world = World()
    world.publish(A, **TWO)
    report = tags.run(world.app({"command": "tags", **TWO}))
    titles = [line.partition(":")[0] for line in report.lines if "2 tags on 1 image" in line]
    assert titles == ["ada/shop", "ghcr.io/team/shop"]
    assert [each["repository"] for each in json.loads(report.json)["services"]] == titles
    assert "2 tags of 1 service" not in report.markdown
    assert "4 tags of 1 service" in report.markdown
    assert "| ghcr.io/team/shop | 2 |" in report.markdown


class TestManifests:
    """They say which registry a cluster pulls from."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: shop}\nspec:\n  containers:\n"
        pod += "  - name: shop\n    image: ghcr.io/team/shop:old\n"
        (tmp_path / "pod.yaml").write_text(pod)
        return tmp_path

    def test_deploy_names_the_image_of_that_registry(self, folder: Path) -> None:
        world = World()
        world.publish(B, **TWO)
        given = {"command": "deploy", "manifests": "pod.yaml", **TWO}
        app = world.app(given, run=context(B), folder=folder)
        for _ in deploy.carry_out(app, deploy.plan(app)):
            pass
        digest = at(world, GHCR, OWN)
        assert f"image: ghcr.io/team/shop:{OWN}@{digest}" in (folder / "pod.yaml").read_text()

    def test_a_rollback_tells_the_cluster_of_that_one_alone(self, folder: Path) -> None:
        world = World()
        for each in (A, B):
            world.publish(each, **TWO)
        given = {"command": "rollback", "manifests": "pod.yaml", **TWO}
        app = world.app(given, run=context(B), folder=folder)
        [line] = [each for each in rollback.plan(app).kubectl if " set image " in each]
        assert f"ghcr.io/team/shop:commit-{A.short}@" in line
