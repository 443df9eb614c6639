"""The command `prune` on both kinds of deletion: what goes is gone, what stays can be pulled."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.machine import Machine, Ran
from support.many_tags import ImageMaker, commit_days, docker_hub
from support.registries import USER, LocalRegistry, find_registry
from support.repositories import Project
from support.servers.docker_hub import DockerHub
from support.servers.fault_proxy import Fault, FaultProxy
from support.servers.registry import Registry
from support.servers.untagging import Untagging
from support.soak import chosen, one_in

from feastflow_registry.model.plan import Plan
from feastflow_registry.registry.delete import RegistryDeletion
from feastflow_registry.report.journal import Journal

KINDS = ("by digest", "by tag", "docker hub")
POLICIES: Mapping[str, Mapping[str, str]] = {
    "the default": {},
    "little is kept": {"keep_days": "1", "keep_last": "1"},
    "many days": {"keep_days": "250", "keep_last": "1"},
    "many tags": {"keep_days": "1", "keep_last": "15"},
    "a pattern": {"keep_days": "1", "keep_last": "1", "keep": "commit-[0-3]*,commit-*99*"},
}
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    # argoproj-labs/argocd-image-updater#1283
    "values of an environment": {
        "values.yaml": "image:\n  repository: NAME\n  tag: latest\n",
        "templates/web.yaml": "{{- if .Values.on }}\nimage: {{ .Values.image.repository }}\n",
        "values-production.yaml": "image: {tag: commit-SHORT}\n",
    },
    # argoproj-labs/argocd-image-updater#218
    "a parameter of Argo CD": {
        "app.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n"
        "    helm:\n      parameters: [{name: image.tag, value: commit-SHORT}]\n",
    },
    "an overlay": {
        "base/web.yaml": "image: web\n",
        "prod/kustomization.yaml": "images: [{name: web, newName: NAME, newTag: commit-SHORT}]\n",
    },
    # argoproj-labs/argocd-image-updater#561: a hidden file beside the chart.
    "what the updater writes": {
        "chart/.argocd-source-web.yaml": "helm:\n  parameters:\n  - {name: tag, value: SHA}\n",
    },
    # hmcts/cnp-flux-config#11553: digits within a longer tag, and a setter's comment.
    "a setter of Flux": {
        "demo.yaml": "kind: HelmRelease\nspec:\n  values:\n    image: NAME:prod-SHORT-202109150826"
        '   #{"$imagepolicy": "flux-system:web"}\n',
    },
    # alphagov/govuk-helm-charts#221: a file of the tag alone.
    "a file of one word": {"apps/web/images/production": "SHA\n"},
    # carbynestack/carbynestack#31
    "a Helmfile": {
        "helmfile.d/0100.web.yaml": 'releases:\n- tag: {{ env "TAG" | default "0.1-7-gSHORT" }}\n',
    },
    "variables of a stack": {
        "stack.yml": "services: {web: {image: 'NAME:${TAG}'}}\n",
        ".env": "TAG=commit-SHORT\r\n",
    },
}
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: %s}]}\n"
)


def when(days: float) -> str:
    """So many days ago, as an image's configuration has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86400))


@dataclass
class Shop:
    """A repository on a registry of one kind. `proxy` sees the deletions."""

    machine: Machine
    stock: ImageMaker
    host: str
    proxy: FaultProxy
    hub: DockerHub | None

    @property
    def place(self) -> LocalRegistry:
        return self.machine.place

    def environ(self, **facts: Any) -> dict[str, str]:
        given = {"command": "prune", "dry_run": "false", "registry": self.host, **facts}
        environ = self.machine.runner(**given)
        return {**environ, "FEASTFLOW_HUB_URL": self.proxy.url} if self.hub else environ

    def prune(self, **facts: Any) -> Ran:
        """Run in this process."""
        return self.machine.call(self.environ(**facts))

    def deletions(self) -> int:
        return sum(each.method == "DELETE" for each in self.proxy.requests)


@pytest.fixture
def shops(machine: Machine) -> Iterator[Callable[[str], Shop]]:
    with ExitStack() as open_:

        def give(kind: str) -> Shop:
            place = machine.place
            stock = ImageMaker(place)
            if kind == "by tag":
                untagging = open_.enter_context(Untagging(place.registry))
                proxy = open_.enter_context(FaultProxy(untagging.url))
                return Shop(machine, stock, f"localhost:{proxy.port}", proxy, None)
            if kind == "by digest":
                return Shop(machine, stock, place.host, place.proxy, None)
            hub = open_.enter_context(docker_hub(place))
            proxy = open_.enter_context(FaultProxy(hub.url))
            return Shop(machine, stock, place.host, proxy, hub)

        yield give


@pytest.fixture(params=chosen(KINDS))
def shop(request: pytest.FixtureRequest, shops: Callable[[str], Shop]) -> Shop:
    return shops(request.param)


def fill(shop: Shop) -> dict[str, str]:
    """26 tags on 5 images, of which kept and old tags share; by tag, their digests."""
    ages = [400, 350, 300, 250, 200, 180, 170, 160, 150, 140, 130, 120, 110, 100, 95, 80]
    ages += [60, 40, 20, 10, 5, 1]
    names = commit_days(shop.machine.project, *ages)
    images = [shop.stock.image(f"image {number}") for number in range(4)]
    images.append(shop.stock.index(images[1], images[3]))
    for number, (name, age) in enumerate(zip(names, ages, strict=True)):
        # The first and the fourth image have old tags alone; the index lists the fourth.
        held = images[number % 4] if number < 16 else images[2 + number % 2 * 2]
        shop.stock.tag({f"commit-{name}": held}, age=age)
    shop.stock.tag({"latest": images[4], "sprint1": images[1]}, age=1)
    shop.stock.tag({"frozen-sprint1": images[1], f"withdrawn-{names[20]}": images[2]}, age=300)
    tags = shop.place.tags()
    assert (len(tags), len(set(tags.values()))) == (26, 5)
    return tags


def planned(log: str, verb: str) -> set[str]:
    """The tags that the plan deletes, or keeps."""
    lines = re.findall(rf"^{verb} +\S+: ([^:]*): .*$", log, re.MULTILINE)
    return {tag for line in lines for tag in line.split(", ")}


def check(shop: Shop, before: Mapping[str, str], kept: set[str]) -> None:
    """Every kept tag is where it was, and crane pulls its image whole, layers and all."""
    tags = shop.place.tags()
    assert {tag: tags.get(tag) for tag in kept} == {tag: before[tag] for tag in kept}
    assert shop.place.listed() >= kept
    shop.stock.pulls(sorted({before[tag] for tag in kept}))


class TestPolicies:
    @pytest.mark.parametrize("shop", KINDS, indirect=True)
    @pytest.mark.parametrize("policy", chosen(POLICIES))
    def test_every_kept_tag_can_be_pulled(self, shop: Shop, policy: str) -> None:
        before = fill(shop)
        ran = shop.prune(**POLICIES[policy]).ended()
        going, kept = planned(ran.log, "delete"), planned(ran.log, "keep")
        assert going | kept == set(before)
        assert not going & kept
        assert {"latest", "sprint1", "frozen-sprint1"} <= kept
        assert going
        check(shop, before, kept)
        left = set(shop.place.tags()) - kept
        if shop.host == shop.place.host and not shop.hub:
            # Here an image goes whole, or not at all: what is needed keeps all of its tags.
            index = json.loads(shop.place.crane("manifest", shop.place.at("latest")))
            needed = {each["digest"] for each in index["manifests"]}
            needed |= {before[tag] for tag in kept}
            assert left == {tag for tag in going if before[tag] in needed}
            assert ran.log.count("  (images are deleted whole here, and ") == len(left)
        else:
            assert left == set()
        last = re.search(r"^Deleted (\d+) tags?, kept (\d+)\.$", ran.log, re.MULTILINE)
        assert last
        assert [int(each) for each in last.groups()] == [26 - len(kept | left), len(kept | left)]

    def test_a_dry_run_deletes_nothing(self, shop: Shop) -> None:
        before = fill(shop)
        ran = shop.prune(dry_run="").ended()
        assert shop.place.tags() == before
        methods = {each.method for each in (*shop.proxy.requests, *shop.place.proxy.requests)}
        assert methods <= {"GET", "HEAD", "POST"}
        assert "This was a dry run: nothing was deleted." in ran.log
        assert planned(ran.log, "delete")
        assert "### ✅ Dry run, nothing is changed: " in ran.summary

    def test_an_empty_repository(self, shop: Shop) -> None:
        ran = shop.prune().ended()
        assert f"{shop.host}/feastflow/app holds no tags" in ran.log
        assert "Deleted 0 tags, kept 0." in ran.log


class TestInterrupted:
    def test_killed_in_the_middle_and_run_again(self, shop: Shop) -> None:
        before = fill(shop)
        plan = shop.prune(dry_run="", keep_days="1", keep_last="1")
        kept = planned(plan.log, "keep")
        done = shop.deletions()
        fault = Fault("hold", method="DELETE", nth=2)
        shop.proxy.add(fault)
        inputs = {"keep_days": "1", "keep_last": "1"}
        running = shop.machine.start(shop.environ(**inputs))
        assert fault.arrived.wait(300)
        running.kill()
        fault.release()
        shop.proxy.clear()
        assert shop.deletions() > done
        check(shop, before, kept)
        ran = shop.prune(**inputs).ended()
        check(shop, before, kept)
        assert planned(ran.log, "keep") == kept
        assert "Deleted 0 tags" in shop.prune(**inputs).ended().log

    def test_cancelled_it_begins_no_other_deletion(self, shop: Shop) -> None:
        fill(shop)
        fault = Fault("hold", method="DELETE", nth=2, times=None)
        shop.proxy.add(fault)
        running = shop.machine.start(shop.environ(keep_days="1", keep_last="1"))
        assert fault.arrived.wait(300)
        running.process.terminate()
        ran = running.end()
        assert ran.code == 143
        assert "Deleted before the failure: " in ran.log
        done = shop.deletions()
        assert done <= 1 + 8, "what was under way"
        shop.proxy.clear()
        assert shop.deletions() == done

    def test_what_was_deleted_is_told_when_it_fails(self, shop: Shop) -> None:
        fill(shop)
        status = {"status": 403, "times": None}
        shop.proxy.add(Fault("status", method="DELETE", nth=2, **status))  # type: ignore[arg-type]
        ran = shop.prune(keep_days="1", keep_last="1").ended(3)
        assert "denied the deletion" in ran.errors[0]
        assert re.search(r"Deleted before the failure: \d+ tags?\. Not known to be: \d+", ran.log)

    @pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
    def test_one_bad_moment_is_survived(self, shop: Shop, kind: Any) -> None:
        before = fill(shop)
        shop.proxy.add(Fault(kind, method="DELETE", nth=2))
        ran = shop.prune(keep_days="1", keep_last="1").ended()
        check(shop, before, planned(ran.log, "keep"))


class TestChanged:
    def test_a_tag_that_moved_is_kept_and_the_others_go(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, third = commit_days(shop.machine.project, 400, 300, 1)
        one, two, three = (shop.stock.image(each) for each in "123")
        shop.stock.tag({f"commit-{first}": one}, age=400)
        shop.stock.tag({f"commit-{second}": two}, age=300)
        begin = Journal.begin

        def act(journal: Journal, plan: Plan) -> None:
            begin(journal, plan)
            shop.place.retag({f"commit-{first}": three})

        monkeypatch.setattr(Journal, "begin", act)
        stays = {f"commit-{third}": three, "latest": three}
        shop.stock.tag(stays, age=1)
        ran = shop.prune(keep_last="1").ended(6)
        assert f"commit-{first} holds {three[7:19]} now instead of {one[7:19]}" in ran.errors[0]
        assert shop.place.tags() == {f"commit-{first}": three, **stays}

    def test_latest_moved_onto_an_old_image(
        self, shops: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = shops("by digest")
        old, new = commit_days(shop.machine.project, 400, 1)
        one, two = (shop.stock.image(each) for each in "12")
        shop.stock.tag({f"commit-{old}": one, f"commit-{new}": two, "latest": two})
        begin = Journal.begin

        def act(journal: Journal, plan: Plan) -> None:
            begin(journal, plan)
            shop.place.retag({"latest": one})

        monkeypatch.setattr(Journal, "begin", act)
        ran = shop.prune(keep_last="1").ended(6)
        assert "latest now needs" in ran.errors[0]
        assert shop.place.tags()["latest"] == one
        shop.stock.pulls([one, two])

    def test_a_tag_that_is_set_between_two_images(
        self, shops: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = shops("by digest")
        names = commit_days(shop.machine.project, *range(420, 400, -1), 1)
        found = {f"commit-{name}": shop.stock.image(name) for name in names}
        shop.stock.tag(found)
        victim = found[f"commit-{names[18]}"]
        delete = RegistryDeletion.delete_manifest
        first = iter([True])

        def promote(self: RegistryDeletion, *args: Any, **options: Any) -> Any:
            if next(first, False):
                shop.place.retag({"production": victim})
            return delete(self, *args, **options)

        monkeypatch.setattr(RegistryDeletion, "delete_manifest", promote)
        ran = shop.prune(keep_last="1").ended(6)
        assert "production now needs" in ran.errors[0]
        assert set(shop.place.tags()) == {
            *("production", f"commit-{names[18]}", f"commit-{names[-1]}")
        }
        shop.stock.pulls([victim])

    @pytest.mark.parametrize("listed", chosen([False, True]), ids=["itself", "in an index"])
    def test_latest_is_given_an_image_that_is_just_deleted(
        self, shops: Callable[[str], Shop], listed: bool
    ) -> None:
        shop = shops("by digest")
        old, new = commit_days(shop.machine.project, 400, 1)
        one, two = (shop.stock.image(each) for each in "12")
        given = shop.stock.index(one, two) if listed else one
        shop.stock.tag({f"commit-{old}": one, f"commit-{new}": two, "latest": two})
        fault = Fault("hold", method="DELETE", path="manifests/sha256")
        shop.proxy.add(fault)
        running = shop.machine.start(shop.environ(keep_last="1"))
        assert fault.arrived.wait(300)
        shop.place.retag({"latest": given})
        fault.release()
        ran = running.end()
        assert ran.code == 6
        assert (
            f"latest came to need {one[7:19]} while that was deleted: it was put back." in ran.log
        )
        assert shop.place.tags() == {
            f"commit-{old}": one,
            f"commit-{new}": two,
            "latest": given,
        }
        shop.stock.pulls([given, one, two])


UNNAMED = {
    "another kind": "kind: WorkflowTemplate\n"
    "spec: {{templates: [{{container: {{image: {image}}}}}]}}\n",
    "values": "web:\n  image: {image}\n",
    "a variable": "kind: ConfigMap\ndata: {{RUNNER: '{image}'}}\n",
    "two keys": "web: {{image: {{repository: {name}, tag: {tag}}}}}\n",
}


class TestInUse:
    @pytest.mark.parametrize(
        "keep",
        one_in(
            3,
            [
                *("commit-{old}", "commit-{old}*", "{digest}", "{host}/feastflow/app:commit-{old}"),
                *("x/y@{digest}", "app:commit-{old}", "feastflow/app:commit-{whole}", "{old}"),
                *("COMMIT-{old}", "{whole}"),
            ],
        ),
    )
    def test_what_keep_names(self, shop: Shop, keep: str) -> None:
        old, _ = self.lay(shop)
        digest = shop.place.tags()[f"commit-{old}"]
        whole = shop.machine.project.git("rev-parse", old)
        names = {"old": old, "whole": whole, "digest": digest, "host": shop.host}
        ran = shop.prune(keep=keep.format(**names), keep_last="1").ended()
        assert shop.place.tags()[f"commit-{old}"] == digest
        assert f'commit-{old}: the input "keep" names it' in ran.log
        assert "names nothing" not in ran.log

    def test_what_keep_names_in_vain(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("by digest")
        old, _ = self.lay(shop)
        part = shop.stock.image("no tag")
        digest = f"sha256:{'0' * 64}"
        ran = shop.prune(keep=f"sha-*,{digest},{part},pricing:v1,!v1,{old}", dry_run="").ended()
        found = re.findall(r"input \"keep\": '(.*)' names nothing that is there", ran.log)
        assert list(dict.fromkeys(found)) == ["sha-*", digest, "pricing:v1"]

    @pytest.mark.parametrize("text", chosen(UNNAMED.values()), ids=UNNAMED)
    def test_what_is_named_by_no_workload(self, shop: Shop, text: str) -> None:
        old, _ = self.lay(shop)
        name, tag = f"{shop.host}/feastflow/app", f"commit-{old}"
        folder = shop.machine.project.folder / "k8s"
        folder.mkdir()
        (folder / "x.yaml").write_text(text.format(image=f"{name}:{tag}", name=name, tag=tag))
        ran = shop.prune(manifests="k8s", keep_last="1").ended()
        assert tag in shop.place.tags()
        assert re.search(rf"{tag}: k8s/x\.yaml:\d names it", ran.log)
        assert "No file of the manifests" not in ran.log

    @pytest.mark.parametrize("layout", chosen(LAYOUTS, 3))
    def test_a_tag_that_stands_alone(self, shop: Shop, layout: str) -> None:
        old, _ = self.lay(shop)
        name = f"{shop.host}/feastflow/app"
        whole = shop.machine.project.git("rev-parse", old)
        for file, text in LAYOUTS[layout].items():
            path = shop.machine.project.folder / "k8s" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            data = text.replace("NAME", name).replace("SHA", whole).replace("SHORT", old)
            path.write_text(data)
        ran = shop.prune(manifests="k8s", keep_last="1").ended()
        assert f"commit-{old}" in shop.place.tags()
        file = list(LAYOUTS[layout])[-1]
        assert re.search(rf"commit-{old}: k8s/{re.escape(file)}:\d+ names it", ran.log)

    def test_a_plan_is_what_happens(self, shops: Callable[[str], Shop]) -> None:
        """An image that only a kept index lists, where images are deleted whole."""
        shop = shops("by digest")
        old, new = commit_days(shop.machine.project, 400, 1)
        part, other = shop.stock.image("arm64"), shop.stock.image("amd64")
        shop.stock.tag({f"commit-{old}": part})
        shop.stock.tag({f"commit-{new}": shop.stock.index(part, other)})
        plan = shop.prune(keep_last="1", dry_run="").ended().log
        assert f"unless the registry also deletes the image: commit-{new} needs that image" in plan
        shop.prune(keep_last="1").ended()
        assert set(shop.place.tags()) == {f"commit-{old}", f"commit-{new}"}

    def test_a_trial_without_days(self, shop: Shop) -> None:
        first, second = commit_days(shop.machine.project, 0.02, 0.01)
        for name in (first, second):
            shop.stock.tag({f"commit-{name}": shop.stock.image(name, created=when(0.02))})
        shop.prune(keep_days="0", keep_last="1").ended()
        assert set(shop.place.tags()) == {f"commit-{second}"}

    def test_files_that_name_nothing(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("by digest")
        self.deploy(shop, "ghcr.io/team/other:v1")
        ran = shop.prune(manifests="k8s", dry_run="").ended()
        assert "No file of the manifests names an image that is there." in ran.log

    @pytest.mark.parametrize("spelling", [":commit-{old}", "@{digest}", ":v9@{digest}"])
    def test_what_a_manifest_names(self, shop: Shop, spelling: str) -> None:
        old, _ = self.lay(shop)
        digest = shop.place.tags()[f"commit-{old}"]
        image = f"{shop.host}/feastflow/app{spelling}".format(old=old, digest=digest)
        self.deploy(shop, image)
        ran = shop.prune(manifests="k8s", keep_last="1").ended()
        assert shop.place.tags()[f"commit-{old}"] == digest
        assert f"commit-{old}: k8s/web.yaml:4 names it" in ran.log

    def test_a_platform_that_a_manifest_names_keeps_its_index(self, shop: Shop) -> None:
        old, new = commit_days(shop.machine.project, 400, 1)
        part, other = shop.stock.image("arm64"), shop.stock.image("amd64")
        shop.stock.tag({f"commit-{old}": shop.stock.index(part, other)}, age=400)
        shop.stock.tag({f"commit-{new}": other}, age=1)
        self.deploy(shop, f"{shop.host}/feastflow/app@{part}")
        ran = shop.prune(manifests="k8s", keep_last="1").ended()
        assert f"commit-{old}: k8s/web.yaml:4 names it" in ran.log
        assert f"commit-{old}" in shop.place.tags()

    def test_an_index_without_a_tag_that_a_manifest_names_keeps_its_platforms(
        self, shop: Shop
    ) -> None:
        old, new = commit_days(shop.machine.project, 400, 1)
        part, other = shop.stock.image("arm64"), shop.stock.image("amd64")
        index = shop.stock.index(part, other)
        shop.stock.tag({f"commit-{old}": part}, age=400)
        shop.stock.tag({f"commit-{new}": shop.stock.image("new")}, age=1)
        self.deploy(shop, f"{shop.host}/feastflow/app@{index}")
        ran = shop.prune(manifests="k8s", keep_last="1").ended()
        assert f"commit-{old}: k8s/web.yaml:4 names it" in ran.log
        shop.stock.pulls([index])

    @pytest.mark.parametrize("has_tag", chosen([True, False]), ids=["tagged", "untagged"])
    @pytest.mark.parametrize(
        ("kind", "method"), [("status", "GET"), ("status", "HEAD"), ("corrupt", "GET")]
    )
    def test_one_bad_answer_loses_no_image_in_use(
        self, shop: Shop, has_tag: bool, kind: Any, method: str
    ) -> None:
        """What tells that an index lists a platform, or the other way round."""
        old, new = commit_days(shop.machine.project, 400, 1)
        part, other = shop.stock.image("arm64"), shop.stock.image("amd64")
        index = shop.stock.index(part, other)
        used = part if has_tag else index
        shop.stock.tag({f"commit-{old}": index if has_tag else part}, age=400)
        shop.stock.tag({f"commit-{new}": shop.stock.image("new")}, age=1)
        self.deploy(shop, f"{shop.host}/feastflow/app@{used}")
        shop.proxy.add(Fault(kind, method=method, path=f"manifests/{index}", status=404))
        shop.prune(manifests="k8s", keep_last="1").ended()
        assert f"commit-{old}" in shop.place.tags()
        shop.stock.pulls([index])

    def test_a_manifest_that_does_not_tell_is_refused_if_nothing_else_tells(
        self, shop: Shop
    ) -> None:
        old, _ = self.lay(shop)
        before = shop.place.tags()
        self.deploy(shop, f"'{shop.host}/feastflow/app:{{{{ .Values.tag }}}}'")
        ran = shop.prune(manifests="k8s", keep_last="1").ended(2)
        assert "does not say which image c in Pod/web uses" in ran.errors[0]
        assert (shop.place.tags(), shop.deletions()) == (before, 0)
        (shop.machine.project.folder / "k8s" / "values.yaml").write_text(f"tag: commit-{old}\n")
        ran = shop.prune(manifests="k8s", keep_last="1").ended()
        assert f"commit-{old}: k8s/values.yaml:1 names it" in ran.log
        assert shop.place.tags() == before

    def lay(self, shop: Shop) -> Sequence[str]:
        """An old commit, and a new one."""
        names = commit_days(shop.machine.project, 400, 1)
        for name, age in zip(names, (400, 1), strict=True):
            shop.stock.tag({f"commit-{name}": shop.stock.image(name)}, age=age)
        return names

    def deploy(self, shop: Shop, image: str) -> None:
        folder = shop.machine.project.folder / "k8s"
        folder.mkdir()
        (folder / "web.yaml").write_text(POD % image)


class TestAge:
    """Where the registry tells no push date, nothing goes that may be young."""

    @pytest.mark.parametrize(
        ("days", "said"),
        chosen([(400, "400 days ahead of"), (-0.2, "5 hours behind"), (0.05, "an hour ahead of")]),
    )
    def test_a_clock_that_is_wrong_judges_nothing(self, shop: Shop, days: float, said: str) -> None:
        before = fill(shop)
        ran = shop.machine.call(shop.environ(), ahead=days * 86400).ended(2)
        assert f"this machine's clock is {said} the registry's" in ran.errors[0]
        assert (shop.place.tags(), shop.deletions()) == (before, 0)

    def test_where_no_history_tells_it_is_not_known(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("by digest")
        (mine,) = commit_days(shop.machine.project, 1)
        old, new = shop.stock.image("old", created=when(200)), shop.stock.image("new")
        shop.stock.tag({"commit-abcdef0": old, f"commit-{mine}": new, "latest": new})
        before = shop.place.tags()
        ran = shop.prune(keep_last="1").ended()
        assert shop.place.tags() == before
        assert "commit-abcdef0: its age is not known" in ran.log

    def test_an_old_commit_that_was_built_lately(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("by digest")
        first, second, third = commit_days(shop.machine.project, 400, 300, 1)
        fix = shop.stock.image("fix", created=when(0.1))
        shop.stock.tag({f"commit-{first}": shop.stock.image("old", created=when(400))})
        shop.stock.tag({f"commit-{second}": fix, f"commit-{third}": shop.stock.image("new")})
        ran = shop.prune(keep_last="1").ended()
        assert set(shop.place.tags()) == {f"commit-{second}", f"commit-{third}"}
        assert f"commit-{second}: it is among the newest 1" in ran.log
        assert f"commit-{third}: it is younger than 90 days" in ran.log

    def test_what_loses_its_place_among_the_newest_is_looked_at_too(
        self, shops: Callable[[str], Shop]
    ) -> None:
        shop = shops("by digest")
        first, second, third = commit_days(shop.machine.project, 400, 300, 200)
        shop.stock.tag({f"commit-{first}": shop.stock.image("1", created=when(100))})
        shop.stock.tag({f"commit-{second}": shop.stock.image("2", created=when(300))})
        shop.stock.tag({f"commit-{third}": shop.stock.image("3", created=when(0.1))})
        shop.prune(keep_last="1").ended()
        assert set(shop.place.tags()) == {f"commit-{third}"}

    def test_a_clone_that_is_cut_off(self, shop: Shop, tmp_path: Path) -> None:
        names = commit_days(shop.machine.project, 200, 20, 10, 1)
        old, new = shop.stock.image("old", created=when(200)), shop.stock.image("new")
        for name, age in zip(names, (200, 20, 10, 1), strict=True):
            shop.stock.tag({f"commit-{name}": new if age == 1 else old}, age=age)
        origin, clone = shop.machine.project.origin, tmp_path / "clone"
        shop.machine.project.git("clone", "-q", "--depth=1", f"file://{origin}", str(clone))
        shop.machine.workspace = clone
        shop.prune(keep_last="1").ended()
        assert {f"commit-{each}" for each in names[1:]} <= set(shop.place.tags())


class TestRefused:
    @pytest.mark.parametrize(
        ("facts", "words"),
        chosen(
            [
                ({"event": "pull_request"}, "the event pull_request never pushes"),
                ({"ref": "refs/heads/feature"}, "not among the branches that may push"),
                ({"shared_tags": "false"}, "this run may not write to the registry"),
                ({"username": "", "token": "", "namespace": USER}, "there are no credentials"),
            ]
        ),
    )
    def test_a_run_that_may_not_write(
        self, shops: Callable[[str], Shop], facts: Mapping[str, Any], words: str
    ) -> None:
        shop = shops("by digest")
        before = fill(shop)
        ran = shop.prune(**facts).ended(2)
        assert words in ran.errors[0]
        assert (ran.sent, shop.place.tags()) == (0, before)

    def test_a_dry_run_may_be_made_anywhere(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("by digest")
        fill(shop)
        ran = shop.prune(event="pull_request", dry_run="").ended()
        assert "Would delete" in ran.log

    @pytest.mark.parametrize("value", ["-1", "0.5", "many"])
    def test_a_policy_that_is_none(self, machine: Machine, value: str) -> None:
        ran = machine.call(machine.runner(command="prune", keep_days=value)).ended(2)
        assert 'input "keep-days"' in ran.errors[0]
        assert ran.sent == 0

    def test_a_registry_that_does_not_delete(self, machine: Machine) -> None:
        name, other = commit_days(machine.project, 400, 300)
        program = find_registry(machine.place.path)
        place = machine.place
        with Registry(
            binary=program, delete=False, storage=place.registry.storage, users={USER: place.token}
        ) as registry:
            stock = ImageMaker(place)
            stock.tag({f"commit-{name}": stock.image("1")})
            stock.tag({f"commit-{other}": stock.image("2")})
            environ = machine.runner(command="prune", dry_run="false", registry=registry.host)
            ran = machine.call({**environ, "FEASTFLOW_KEEP_LAST": "1"}).ended(3)
        assert "does not delete images" in ran.errors[0]
        assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in ran.errors[0]
        assert len(place.tags()) == 2

    def test_a_token_that_may_only_read(
        self, places: Callable[..., LocalRegistry], machines: Callable[..., Machine], classic: Any
    ) -> None:
        place = places("token", reader=True)
        machine = machines(place, classic)
        commit_days(machine.project, 400)
        ran = machine.call(machine.runner(command="prune", dry_run="false")).ended()
        assert "holds no tags" in ran.log


class TestDockerHub:
    def lay(self, shop: Shop, *ages: int) -> list[str]:
        names = [f"commit-{number:07x}" for number in range(len(ages))]
        digest = shop.stock.image("1")
        for name, age in zip(names, ages, strict=True):
            shop.stock.tag({name: digest}, age=age)
        return names

    def test_a_token_without_the_scope_to_delete(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("docker hub")
        self.lay(shop, 400, 1)
        assert shop.hub
        account = shop.hub.accounts[USER]
        shop.hub.accounts[USER] = type(account)(account.secret, "repo:write", account.owns)
        ran = shop.prune(keep_last="1").ended(3)
        assert "Read, Write & Delete scope" in ran.errors[0]
        assert len(shop.place.tags()) == 2

    def test_a_token_without_the_scope_for_deletion_may_be_answered_by_500(
        self, shops: Callable[[str], Shop]
    ) -> None:
        """https://github.com/docker/hub-feedback/issues/2398: it is final, not a bad moment."""
        shop = shops("docker hub")
        self.lay(shop, 400, 300, 1)
        inner = b'{"message": "unexpected status: 401 Unauthorized", "errinfo": {}}'
        fault = {"status": 500, "body": inner, "times": None}
        shop.proxy.add(Fault("status", method="DELETE", **fault))  # type: ignore[arg-type]
        ran = shop.prune(keep_last="1").ended(3)
        assert "Docker Hub denied the deletion" in ran.errors[0]
        assert "Read, Write & Delete scope" in ran.errors[0]
        assert (shop.deletions(), len(shop.place.tags())) == (1, 3)
        assert ran.slept < 1

    def test_immutable_tags_are_kept(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("docker hub")
        first, *_ = self.lay(shop, 400, 300, 1)
        assert shop.hub
        shop.hub.immutable["feastflow/app"] = [f"{first}"]
        ran = shop.prune(keep_last="1").ended()
        assert f"{first}: it is immutable on Docker Hub by the rule '{first}'" in ran.log
        assert len(shop.place.tags()) == 2

    def test_one_that_turns_out_to_be_immutable_is_kept_and_reported(
        self, shops: Callable[[str], Shop]
    ) -> None:
        shop = shops("docker hub")
        first, second, _ = self.lay(shop, 400, 300, 1)
        assert shop.hub
        shop.hub.immutable["feastflow/app"] = [f"(?s:^{first}$)"]
        ran = shop.prune(keep_last="1").ended(6)
        assert f"{first} is immutable on Docker Hub by the rule" in ran.errors[0]
        assert second not in shop.place.tags()
        assert len(shop.place.tags()) == 2

    def test_a_list_that_is_late_names_what_has_gone(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("docker hub")
        first, second, _ = self.lay(shop, 400, 300, 1)
        assert shop.hub
        shop.hub.late = {}
        shop.prune(keep_last="1").ended()
        again = shop.prune(keep_last="1").ended()
        assert again.log.count("it was gone already") == 2
        assert not {first, second} & set(shop.place.tags())
        assert len(shop.hub.deleted) == 2

    def test_it_waits_as_it_is_told(self, shops: Callable[[str], Shop]) -> None:
        shop = shops("docker hub")
        self.lay(shop, *range(120, 100, -1), 1)
        waited: list[float] = []
        assert shop.hub
        shop.hub.clock = lambda: time.time() + sum(waited)
        shop.hub.delete_limit = 8
        ran = shop.machine.call(shop.environ(keep_last="1"), sleep=waited.append).ended()
        assert len(shop.place.tags()) == 1
        assert sum(waited) > 60
        assert "Deleted 20 tags, kept 1." in ran.log

    def test_the_tags_that_were_listed_are_those_that_go(
        self, shops: Callable[[str], Shop]
    ) -> None:
        """Deleting while listing would shift the pages, so that tags are missed."""
        shop = shops("docker hub")
        digest = shop.stock.image("1")
        shop.stock.tag({f"commit-{number:07x}": digest for number in range(110)}, age=400)
        ran = shop.prune(keep_last="1").ended()
        assert len(shop.place.tags()) == 1
        methods = [each.method for each in shop.proxy.requests]
        assert methods == ["POST", *["GET"] * 3, *["DELETE"] * 109]
        assert "Deleted 109 tags, kept 1." in ran.log


def test_by_hand_on_several_services(machine: Machine, project: Project) -> None:
    services = "services:\n  web: {image: web, context: .}\n  api: {image: api, context: .}\n"
    project.commit({"feastflow.yml": services})
    (old,) = commit_days(project, 400)
    stock = ImageMaker(machine.place)
    for name in ("web", "api"):
        repository = f"{USER}/{name}"
        stock.tag(
            {f"commit-{old}": stock.image(name, repository=repository)}, repository=repository
        )
        stock.tag({"latest": stock.image("new", repository=repository)}, repository=repository)
    host = f"--registry={machine.place.host}"
    ran = machine.run(machine.laptop(), "prune", host, "--dry-run=false", "--keep=x").ended()
    assert "Deleted 0 tags, kept 4." in ran.log
