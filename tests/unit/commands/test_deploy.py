"""Which images manifests are pointed at, what is written, and where a deploy refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.failures import fails
from support.runs import A, B, FakeApp, World, context, image

from feastflow_registry.commands import deploy, manifests
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.plan import EditFile, Plan

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  template:
    spec:
      containers:
      - name: web
        image: ada/{name}:old  # by hand
"""


@pytest.fixture
def world() -> World:
    """A and B are published."""
    world = World()
    for each in (A, B):
        world.publish(each)
    return world


def write(folder: Path, *names: str, text: str = DEPLOYMENT) -> None:
    """A manifest for each service."""
    for name in names:
        (folder / f"{name}.yaml").write_text(text.format(name=name))


def prepare(world: World, folder: Path, **inputs: str) -> FakeApp:
    given = {"command": "deploy", "manifests": "*.yaml", **inputs}
    return world.app(given, run=context(B), folder=folder)


def carry_out(app: FakeApp, plan: Plan) -> list[tuple[str, str, str]]:
    done = deploy.carry_out(app, plan)
    return [(each.action.value, each.reference.identifier, each.note) for each in done]


def pinned(world: World, tag: str, name: str = "shop") -> str:
    text = DEPLOYMENT.format(name=name)
    return text.replace(":old", f":{tag}@{world.at(tag, name)}")


@pytest.mark.parametrize(
    ("inputs", "tag"),
    [
        ({}, f"commit-{B.short}"),
        ({"tag": "latest"}, f"commit-{B.short}"),
        ({"to": A.short, "tag": "latest"}, f"commit-{A.short}"),
    ],
    ids=["this commit", "tag", "to"],
)
def test_a_manifest_names_the_image_by_tag_and_digest(
    world: World, tmp_path: Path, inputs: dict[str, str], tag: str
) -> None:
    write(tmp_path, "shop")
    app = prepare(world, tmp_path, **inputs)
    plan = deploy.plan(app)
    assert (plan.permission.push, plan.permission.shared) == (False, False)
    assert (tmp_path / "shop.yaml").read_text() == DEPLOYMENT.format(name="shop")
    assert carry_out(app, plan) == [("reused", tag, ""), ("edited", tag, "shop.yaml")]
    assert (tmp_path / "shop.yaml").read_text() == pinned(world, tag)
    assert carry_out(app, deploy.plan(app)) == [("reused", tag, "")]


def test_a_dry_run_shows_the_difference(world: World, tmp_path: Path) -> None:
    write(tmp_path, "shop")
    app = prepare(world, tmp_path, dry_run="true")
    deploy.plan(app)
    shown = [line for how, line in app.log.lines if how == "quote"]
    assert "-        image: ada/shop:old  # by hand" in shown
    assert "--- a/shop.yaml" in shown


def test_manifests_must_be_named(world: World, tmp_path: Path) -> None:
    with fails('input "manifests": deploy needs to know which files to edit'):
        deploy.plan(prepare(world, tmp_path, manifests=""))


def test_all_that_is_wrong_with_manifests_is_said_before_a_request(
    world: World, tmp_path: Path
) -> None:
    write(tmp_path, "shop")
    (tmp_path / "bad.yaml").write_text("a: [")
    app = prepare(world, tmp_path, manifests="*.yaml, nowhere.yaml")
    with fails("there is no 'nowhere.yaml'", "bad.yaml"):
        deploy.plan(app)
    assert not app.client.calls


def test_what_was_withdrawn_is_deployed_by_its_name_alone(world: World, tmp_path: Path) -> None:
    write(tmp_path, "shop")
    world.put(image(B), f"withdrawn-{B.short}")
    with fails("was withdrawn by a rollback", kind=Kind.CONFLICT):
        deploy.plan(prepare(world, tmp_path))
    app = prepare(world, tmp_path, to=B.short)
    assert len(deploy.plan(app).every(EditFile)) == 1
    assert [how for how, _ in app.log.lines] == ["warning"]


def test_an_image_that_nothing_names_is_not_deployed(world: World, tmp_path: Path) -> None:
    write(tmp_path, "shop")
    digest = world.put(image(None, salt="x", source="https://github.com/else/where"))
    with fails("no commit tag holds", "give it one with promote"):
        deploy.plan(prepare(world, tmp_path, to=str(digest)))


class TestServicesAndFiles:
    NAMES = ("shop", "cart")

    @pytest.fixture
    def world(self) -> World:
        world = World(self.NAMES)
        world.publish(B)
        return world

    def test_one_that_no_manifest_names_is_left_out_unless_asked_for(
        self, world: World, tmp_path: Path
    ) -> None:
        write(tmp_path, "shop")
        app = prepare(world, tmp_path)
        assert [each.service.name for each in deploy.plan(app).every(EditFile)] == ["shop"]
        [(how, notice)] = app.log.lines
        assert how == "notice"
        assert notice.startswith("cart is not deployed: no manifest names the image")
        with fails("no manifest names the image ada/cart"):
            deploy.plan(prepare(world, tmp_path, services="shop,cart"))

    def test_a_kind_that_is_not_known_is_left_as_it_is(self, world: World, tmp_path: Path) -> None:
        write(tmp_path, *self.NAMES)
        rollout = DEPLOYMENT.format(name="shop").replace("apps/v1", "argoproj.io/v1alpha1")
        (tmp_path / "rollout.yaml").write_text(rollout)
        app = prepare(world, tmp_path)
        assert {each.file for each in deploy.plan(app).every(EditFile)} == {
            "shop.yaml",
            "cart.yaml",
        }
        assert app.log.lines == [
            ("notice", "rollout.yaml, line 9: web in Deployment/shop is left as it is.")
        ]

    def test_a_file_of_something_else_is_refused_if_it_is_named(
        self, world: World, tmp_path: Path
    ) -> None:
        write(tmp_path, *self.NAMES)
        (tmp_path / "values.yaml").write_text("replicas: 3\n")
        app = prepare(world, tmp_path)
        deploy.plan(app)
        assert app.log.lines == [
            ("notice", "values.yaml, line 1: this is not a Kubernetes object.")
        ]
        with fails("values.yaml, line 1: this is not a Kubernetes object"):
            deploy.plan(prepare(world, tmp_path, manifests="*.yaml, values.yaml"))


def test_a_file_that_was_changed_since_the_plan_is_left_alone(world: World, tmp_path: Path) -> None:
    write(tmp_path, "shop")
    app = prepare(world, tmp_path)
    plan = deploy.plan(app)
    changed = DEPLOYMENT.format(name="shop").replace(":old", ":other")
    (tmp_path / "shop.yaml").write_text(changed)
    with fails("changed by someone else while this ran; nothing was", kind=Kind.CONFLICT):
        list(manifests.write(app, plan))
    assert (tmp_path / "shop.yaml").read_text() == changed
