"""What prune reads before it decides, and that it deletes what it planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.failures import fails
from support.memory import FakeDeletion, FakeHub, digest_of
from support.runs import MOMENT, SHOP, SOURCE, A, B, C, FakeApp, World, context, image, service

from feastflow_registry.commands import prune
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import HubRepository, ImmutableTags, ListedTag, Published
from feastflow_registry.model.plan import DeleteTag, KeepTag, Plan
from feastflow_registry.model.references import Digest, Tag

PART = digest_of("a part of an index")


def prepare(world: World, folder: Path = Path(), **inputs: str) -> FakeApp:
    given = {"command": "prune", "keep_days": "1", "keep_last": "1", "dry_run": "false", **inputs}
    return world.app(given, run=context(C), folder=folder)


def going(plan: Plan) -> list[str]:
    return [each.tag.value for each in plan.steps if isinstance(each, DeleteTag)]


@pytest.fixture
def world() -> World:
    """A, B and C are published; the newest is kept."""
    world = World()
    for each in (A, B, C):
        world.publish(each)
    return world


def needed(plan: Plan) -> dict[str, Tag | None]:
    return {each.tag.value: each.needed for each in plan.steps if isinstance(each, DeleteTag)}


def own(*commits: object) -> list[str]:
    return [f"commit-{each.short}" for each in commits]  # type: ignore[attr-defined]


def test_what_is_planned_goes_and_nothing_else(world: World) -> None:
    app = prepare(world)
    plan = prune.plan(app)
    assert going(plan) == own(A, B)
    assert not app.client.counts["size"]
    done = list(prune.carry_out(app, plan))
    assert [each.reference.identifier for each in done] == own(A, B)
    assert app.deletes.asked == [f"ada/shop:{tag}" for tag in own(A, B)]
    assert (world.own(A), world.own(B)) == (None, None)
    assert world.own(C) == world.at("latest")


@pytest.mark.parametrize("by_tag", [True, False])
def test_a_repository_that_refuses_keeps_no_other_from_being_pruned(*, by_tag: bool) -> None:
    """And what was to stay is looked for in each, however far that came."""
    world = World(names=("frontend", "pricing"))
    for each in (A, B, C):
        world.publish(each)
    app = prepare(world)
    app.deletes.by_tag = by_tag
    kept = world.own(C, "frontend")
    assert kept

    def refuse(_: str) -> None:
        if "frontend" in app.deletes.asked[-1]:
            world.store.images.pop((service("frontend").repository, kept), None)
            raise Failure(Kind.REFUSED, "denied.", "Give it the right to delete.")

    app.deletes.before = refuse
    plan = prune.plan(app)
    with pytest.raises(Failure) as failure:
        list(prune.carry_out(app, plan))
    assert failure.value.kind is Kind.UNVERIFIED
    causes = [each.cause for each in failure.value.problems]
    assert causes[0] == "denied."
    assert "is not on the registry any more" in causes[1]
    assert (world.own(A, "pricing"), world.own(B, "pricing")) == (None, None)
    assert world.own(A, "frontend")


@pytest.mark.parametrize("by_tag", [True, False])
@pytest.mark.parametrize("others", [0, 1, 2])
def test_what_is_about_itself_goes_with_itself(world: World, others: int, *, by_tag: bool) -> None:
    """As a tag of its own digest has it, or several images about each other in a circle."""
    old = world.own(A)
    assert old
    circle = [old, *(digest_of(f"about {number}") for number in range(others))]
    for number, digest in enumerate(circle):
        held = Published(digest, A if digest == old else None, SOURCE)
        world.store.add(SHOP.repository, held, about(circle[number - 1]))
    app = prepare(world)
    app.deletes.by_tag = by_tag
    list(prune.carry_out(app, prune.plan(app)))
    assert {tag for _, tag in world.store.tagged} == {Tag(own(C)[0]), Tag("latest")}


def test_what_is_about_itself_stays_if_another_run_moves_it_there(world: World) -> None:
    """So that the tag is not lost with the image: it was not planned to hold it."""
    old = world.own(A)
    assert old
    tag = about(old)
    world.store.add(SHOP.repository, Published(digest_of("a signature"), None, ""), tag)
    app = prepare(world)
    app.deletes.by_tag = False
    plan = prune.plan(app)
    world.store.tagged[SHOP.repository, tag] = old
    with pytest.raises(Failure) as failure:
        list(prune.carry_out(app, plan))
    assert failure.value.kind is Kind.CONFLICT
    assert world.at(tag.value) == world.own(A) == old


def test_parts_go_and_those_that_a_file_names_stay(world: World, tmp_path: Path) -> None:
    parts = [f"commit-{each.short}.linux-arm64" for each in (B, C, A)]
    for tag, each in zip(parts, (B, C, A), strict=True):
        world.put(Published(digest_of(tag), each, SOURCE, 1), tag)
    assert going(prune.plan(prepare(world))) == [*own(A, B), parts[2], parts[0], parts[1]]
    (tmp_path / "pod.yaml").write_text(f"image: ada/shop:{parts[2]}\n")
    kept = prepare(world, tmp_path, manifests="pod.yaml")
    assert going(prune.plan(kept)) == [*own(B), parts[0], parts[1]]
    for tag in own(A, B, C):
        world.store.tagged.pop((SHOP.repository, Tag(tag)))
    alone = prepare(world, tmp_path, manifests="pod.yaml", keep_days="1")
    assert going(prune.plan(alone)) == [parts[0], parts[1]]


def test_where_nothing_may_be_written_nothing_is_listed(world: World) -> None:
    app = world.app({"command": "prune", "dry_run": "false"}, run=context(C, "feature"))
    with fails("this run may not write to the registry"):
        prune.plan(app)
    assert not app.client.calls


def test_a_repository_without_tags_is_said() -> None:
    app = prepare(World())
    app.docker_hub = FakeHub(None, failing=True)  # It is not asked about one.
    assert prune.plan(app).steps == ()
    assert [how for how, _ in app.log.lines] == ["warning"]


def test_an_image_made_later_than_its_commit_is_young(world: World) -> None:
    app = prepare(world, keep_days="999")
    digest = world.own(A)
    assert digest
    world.store.created[digest] = MOMENT.replace(year=2027)
    assert going(prune.plan(app)) == own(B)


@pytest.mark.parametrize(
    ("keep", "warned"),
    [(A.short, False), (f"commit-{A.short}", False), ("v9", True), ("sha256:" + "7" * 64, True)],
)
def test_what_keep_names_stays_and_is_said_if_it_is_not_there(
    world: World, keep: str, warned: bool
) -> None:
    app = prepare(world, keep=keep)
    assert going(prune.plan(app)) == own(*([A, B] if warned else [B]))
    warning = ("warning", f'input "keep": {keep!r} names nothing that is there.')
    assert app.log.lines == ([warning] if warned else [])


@pytest.mark.parametrize("form", ["{}", "sha256:{}"])
def test_keep_names_an_image_by_the_first_digits_of_its_digest(world: World, form: str) -> None:
    digest = world.own(A)
    assert digest
    keep = form.format(digest.short)
    app = prepare(world, keep=keep)
    assert f"commit-{A.short}" not in map(str, going(prune.plan(app)))
    assert app.log.lines == []


def test_keep_refuses_digits_that_two_images_begin_with(world: World) -> None:
    twins = [Digest(f"sha256:abcdef12{last * 56}") for last in "34"]
    for digest, tag in zip(twins, ("one", "two"), strict=True):
        world.store.images[SHOP.repository, digest] = replace(image(A), digest=digest)
        world.store.tagged[SHOP.repository, Tag(tag)] = digest
    with fails("beginning of the digests of 2 images", *map(str, twins)):
        prune.plan(prepare(world, keep="abcdef1"))


def test_a_digest_without_a_tag_that_keep_names_is_there(world: World) -> None:
    """It is an index that lists the image of A."""
    digest, held = digest_of("an index"), world.own(A)
    assert held
    world.store.add(SHOP.repository, Published(digest, None, SOURCE))
    app = prepare(world, keep=str(digest))
    app.deletes.indexes = {digest: frozenset({held})}
    assert going(prune.plan(app)) == own(B)
    assert app.log.lines == []


def test_an_image_that_lists_what_is_kept_stays(world: World) -> None:
    world.store.add(SHOP.repository, Published(PART, None, SOURCE))
    held = world.own(A)
    assert held
    app = prepare(world, keep=str(PART))
    app.deletes.indexes = {held: frozenset({PART})}
    assert going(prune.plan(app)) == own(B)


def test_what_manifests_name_stays(world: World, tmp_path: Path) -> None:
    pod = "kind: Pod\napiVersion: v1\nspec: {{containers: [{{image: ada/{}}}]}}\n"
    (tmp_path / "pod.yaml").write_text(pod.format(f"shop:commit-{A.short}"))
    assert going(prune.plan(prepare(world, tmp_path, manifests="pod.yaml"))) == own(B)
    (tmp_path / "pod.yaml").write_text(pod.format("other:1"))
    app = prepare(world, tmp_path, manifests="pod.yaml")
    assert going(prune.plan(app)) == own(A, B)
    assert app.log.lines == [("notice", "No file of the manifests names an image that is there.")]


def test_what_docker_hub_makes_immutable_stays(world: World) -> None:
    app = prepare(world)
    rules = ImmutableTags(True, (f"commit-{A.short}",))
    listed = [
        ListedTag(Tag(f"commit-{each.short}"), world.own(each), pushed=MOMENT) for each in (C, B, A)
    ]
    app.docker_hub = FakeHub(HubRepository(False, rules), listed, store=world.store)
    plan = prune.plan(app)
    assert going(plan) == own(B)
    list(prune.carry_out(app, plan))
    assert (app.docker_hub.deleted, app.deletes.asked) == ([f"ada/shop:{own(B)[0]}"], [])
    assert not app.client.counts["tags"]


def test_an_image_that_has_a_tag_is_not_asked_for_by_its_digest(world: World) -> None:
    app = prepare(world, keep=str(world.own(A)))
    assert going(prune.plan(app)) == own(B)
    assert not any("@" in subject for subject in app.client.subjects("resolve"))


SIGNATURE = digest_of("a signature")


def about(digest: Digest | None) -> Tag:
    """The tag of a signature."""
    return Tag(f"{str(digest).replace(':', '-')}.sig")


def test_what_the_deletion_hangs_on_is_looked_up_before(world: World) -> None:
    """A is a part of the image of C, and B shares one with it."""
    held, newest = world.own(A), world.own(C)
    assert held
    assert newest
    world.store.tagged[SHOP.repository, Tag(f"commit-{B.short}")] = newest
    world.store.tagged[SHOP.repository, Tag("latest")] = PART
    world.store.add(SHOP.repository, Published(PART, None, SOURCE))
    app = prepare(world)
    app.deletes.indexes = {newest: frozenset({held})}
    plan = prune.plan(app)
    last = Tag(f"commit-{C.short}")
    assert needed(plan) == {f"commit-{A.short}": last, f"commit-{B.short}": last}
    app.docker_hub = FakeHub(
        None, [ListedTag(tag, digest) for (_, tag), digest in world.store.tagged.items()]
    )
    hub = prepare(world)
    hub.docker_hub = app.docker_hub
    hub.deletes.indexes = app.deletes.indexes
    assert set(needed(prune.plan(hub)).values()) <= {None}


def test_where_nothing_goes_no_image_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Digest] = []

    def children(*args: Digest) -> frozenset[Digest]:
        asked.append(args[2])
        return frozenset()

    monkeypatch.setattr(FakeDeletion, "children", children)
    assert going(prune.plan(prepare(world, keep_last="3"))) == []
    assert asked == []
    assert going(prune.plan(prepare(world))) == own(A, B)
    assert len(asked) == 3


@pytest.mark.parametrize("kind", Kind)
def test_what_cannot_be_read_as_an_image_lists_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    def fail(*_: object) -> frozenset[Digest]:
        raise Failure(kind, "it has the type x.", "Mend it.")

    monkeypatch.setattr(FakeDeletion, "children", fail)
    if kind is Kind.UNVERIFIED:
        assert going(prune.plan(prepare(world))) == own(A, B)
        return
    with fails("it has the type x", kind=kind):
        prune.plan(prepare(world))


def test_what_is_about_images_goes_and_stays_with_them(world: World) -> None:
    world.store.add(SHOP.repository, Published(SIGNATURE, None, SOURCE))
    untagged = world.store.add(SHOP.repository, Published(digest_of("untagged"), None, SOURCE))
    gone = digest_of("an image that is gone")
    for each in (world.own(A), world.own(C), PART, untagged, gone):
        world.store.tagged[SHOP.repository, about(each)] = SIGNATURE
    app = prepare(world)
    held = world.own(B)
    assert held
    app.deletes.indexes = {held: frozenset({PART})}
    plan = prune.plan(app)
    wanted = {about(each).value for each in (world.own(A), PART, gone)}
    assert {*going(plan)[2:]} == wanted
    asked = [each for each in app.client.subjects("resolve") if "@" in each]
    assert sorted(asked) == sorted(f"ada/shop@{each}" for each in (gone, gone, untagged))


def test_what_is_about_a_platform_that_stays_on_docker_hub(world: World) -> None:
    """A goes and C stays, and both have it; the image that ``keep`` names has no tag."""
    going_index, kept_index = world.own(A), world.own(C)
    assert going_index
    assert kept_index
    untagged = world.store.add(SHOP.repository, Published(digest_of("untagged"), None, SOURCE))
    world.store.add(SHOP.repository, Published(SIGNATURE, None, SOURCE))
    world.store.tagged[SHOP.repository, about(PART)] = SIGNATURE
    app = prepare(world, keep=str(untagged))
    app.docker_hub = FakeHub(
        None, [ListedTag(tag, digest) for (_, tag), digest in world.store.tagged.items()]
    )
    app.deletes.indexes = dict.fromkeys((going_index, kept_index), frozenset({PART}))
    assert going(prune.plan(app)) == own(A, B)


@pytest.mark.parametrize("text", ["ada/shop@{}", "digest: {}", "{:.71}x", "helm: {}.json"])
@pytest.mark.parametrize("alone", [False, True], ids=["with its algorithm", "alone"])
def test_the_digest_of_an_image_that_has_a_tag(
    world: World, tmp_path: Path, text: str, alone: bool
) -> None:
    digest = str(world.own(A)).removeprefix("sha256:" if alone else "")
    (tmp_path / "notes").write_text(text.format(digest))
    app = prepare(world, tmp_path, manifests="notes")
    assert going(prune.plan(app)) == own(*([A, B] if text.endswith("x") else [B]))
    assert not [each for each in app.client.subjects("resolve") if "@" in each]


@pytest.mark.parametrize("text", [str(digest_of("an index")), f"nginx@{digest_of('an index')}\n"])
def test_a_digest_without_a_tag_that_a_file_names(world: World, tmp_path: Path, text: str) -> None:
    held = world.own(A)
    assert held
    digest = world.store.add(SHOP.repository, Published(digest_of("an index"), None, SOURCE))
    (tmp_path / "notes").write_text(f"\n{text} {digest_of('another')}")
    app = prepare(world, tmp_path, manifests="notes")
    app.deletes.indexes = {digest: frozenset({held})}
    plan = prune.plan(app)
    assert going(plan) == own(B)
    reasons = {each.tag.value: each.reason for each in plan.steps if isinstance(each, KeepTag)}
    assert reasons[f"commit-{A.short}"] == "notes:2 names it"


@pytest.mark.parametrize("told", [False, True])
def test_a_template_is_refused_where_no_file_tells(
    world: World, tmp_path: Path, told: bool
) -> None:
    pod = "kind: Pod\napiVersion: v1\nspec: {containers: [{image: 'ada/shop:{{ .tag }}'}]}\n"
    (tmp_path / "pod.yaml").write_text(pod)
    (tmp_path / "tag").write_text(A.sha if told else "latest")
    app = prepare(world, tmp_path, manifests="pod.yaml,tag")
    if told:
        assert going(prune.plan(app)) == own(B)
        return
    with fails("pod.yaml, line 3: ", "Add the file that sets it"):
        prune.plan(app)


def test_a_trial_without_days(world: World) -> None:
    app = prepare(world, keep_days="0")
    assert going(prune.plan(app)) == own(A, B)
