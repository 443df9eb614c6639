"""What names an image as its subject goes with it, whoever lists it, and a list is not believed.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.habit_table import TABLE
from support.many_tags import INDEX, ImageMaker
from support.registries import REPOSITORY, LocalRegistry
from support.scenes import ELSEWHERE, MIRROR, Scene
from support.servers.fault_proxy import Fault
from support.servers.habits import ListsReferrers
from support.servers.images import MANIFEST
from support.servers.serving import Call, Server
from support.soak import chosen

from feastflow_registry.registry import copy

Scenes = Callable[[str], Scene]
OWN_LIST = TABLE["referrers are listed by the registry"]


def lists(place: LocalRegistry) -> ListsReferrers:
    """Have a registry list referrers itself."""
    habit = ListsReferrers(lambda: place.registry.storage)
    place.proxy.habits = [habit]
    return habit


def list_tag(digest: str) -> str:
    return digest.replace(":", "-")


def content(place: LocalRegistry, name: str, repository: str) -> Any:
    return json.loads(place.crane("manifest", place.at(name, repository)))


def listed(place: LocalRegistry, digest: str, repository: str = MIRROR) -> set[str]:
    """What the list under the tag says."""
    found = content(place, list_tag(digest), repository)["manifests"]
    return {each["digest"] for each in found}


@dataclass
class Signed:
    """An image with two SBOMs, one of them signed, and none of these has a tag."""

    scene: Scene
    maker: ImageMaker
    image: str
    sboms: list[str]
    signature: str

    @classmethod
    def prepare(cls, scene: Scene) -> Signed:
        maker, image = ImageMaker(scene.place), scene.start["latest"]
        sboms = [maker.image(name, subject=image) for name in ("one", "two")]
        signed = cls(scene, maker, image, sboms, maker.image("a signature", subject=sboms[0]))
        scene.remember()
        return signed

    @property
    def all(self) -> set[str]:
        return {*self.sboms, self.signature}

    def keep_lists(self) -> None:
        """Keep the lists under tags, as their makers do where the registry keeps none."""
        lists = {self.image: self.sboms, self.sboms[0]: [self.signature]}
        indexes = {list_tag(name): self.maker.index(*each) for name, each in lists.items()}
        self.maker.tag(indexes)
        self.scene.remember()

    def arrived(self, place: LocalRegistry, repository: str = MIRROR) -> set[str]:
        folder = place.registry.storage / "docker/registry/v2/repositories" / repository
        links = folder.glob("_manifests/revisions/sha256/*/link")
        return {link.read_text() for link in links} & self.all


@pytest.fixture
def signed(scenes: Scenes) -> Signed:
    """To be promoted to another registry."""
    return Signed.prepare(scenes(ELSEWHERE))


@pytest.mark.parametrize("target", chosen([True, False]))
@pytest.mark.parametrize("source", [True, False])
def test_they_go_to_another_registry_and_are_listed_there(
    signed: Signed, source: bool, target: bool
) -> None:
    scene, other = signed.scene, signed.scene.other
    assert other
    if not source:
        signed.keep_lists()
    scene.reset()
    if source:
        lists(scene.place)
    if target:
        lists(other)
    assert "with 3 that refer to it" in scene.run().ended().log
    assert other.tags(MIRROR)["production"] == signed.image
    assert signed.arrived(other) == signed.all
    if target:
        assert set(other.tags(MIRROR)) == {"production"}, "the registry keeps its lists"
    else:
        assert listed(other, signed.image) == {*signed.sboms}
        assert listed(other, signed.sboms[0]) == {signed.signature}
    before = len(other.proxy.requests)
    scene.run().ended()
    assert {each.method for each in other.proxy.requests[before:]} <= {"GET", "HEAD"}


def test_they_go_to_another_repository(scenes: Scenes) -> None:
    signed = Signed.prepare(scenes("promote"))
    scene = signed.scene
    scene.inputs = {"tag": f"{scene.place.host}/{MIRROR}:production"}
    scene.reset()
    lists(scene.place)
    assert "with 3 that refer to it" in scene.run().ended().log
    assert signed.arrived(scene.place, MIRROR) == signed.all


def test_a_list_at_the_target_is_added_to(signed: Signed) -> None:
    scene, other = signed.scene, signed.scene.other
    assert other
    scene.reset()
    lists(scene.place)
    maker = ImageMaker(other)
    theirs = maker.image("theirs", subject=signed.image, repository=MIRROR)
    known = {list_tag(signed.image): maker.index(theirs, repository=MIRROR)}
    maker.tag(known, repository=MIRROR)
    scene.run().ended()
    assert listed(other, signed.image) == {theirs, *signed.sboms}


@pytest.mark.parametrize(
    "holds", chosen(["an image", "a list that cannot be read", "what is gone"])
)
def test_what_is_no_list_at_the_target_is_left(signed: Signed, holds: str) -> None:
    scene, other = signed.scene, signed.scene.other
    assert other
    scene.reset()
    lists(scene.place)
    maker = ImageMaker(other)
    theirs = maker.image("theirs", repository=MIRROR)
    if holds == "a list that cannot be read":
        theirs = maker.index(theirs, repository=MIRROR)
        other.proxy.add(Fault("corrupt", method="GET", path=f"manifests/{theirs}", times=None))
    if holds == "what is gone":
        other.proxy.add(Fault("status", method="GET", path=theirs, status=404, times=None))
    maker.tag({list_tag(signed.image): theirs}, repository=MIRROR)
    ran = scene.run().ended()
    assert f"left: {other.host}/{MIRROR}:{list_tag(signed.image)}: " in ran.log
    assert other.tags(MIRROR)[list_tag(signed.image)] == theirs
    assert signed.arrived(other) == signed.all


def test_a_registry_that_fails_does_not_lose_the_list_of_the_target(signed: Signed) -> None:
    scene, other = signed.scene, signed.scene.other
    assert other
    scene.reset()
    lists(scene.place)
    maker = ImageMaker(other)
    theirs = maker.index(maker.image("theirs", repository=MIRROR), repository=MIRROR)
    maker.tag({list_tag(signed.image): theirs}, repository=MIRROR)
    other.proxy.add(Fault("status", method="GET", path=theirs, status=503, times=None))
    scene.run().ended(5)
    assert other.tags(MIRROR) == {list_tag(signed.image): theirs}


@pytest.mark.parametrize("tag", chosen(["sha256-", r"sha256-\w+\.sig"]))
def test_a_tag_that_is_not_written_is_told(signed: Signed, tag: str) -> None:
    """The registry says that it has taken it, and has not."""
    scene, other = signed.scene, signed.scene.other
    assert other
    signed.maker.tag({f"{list_tag(signed.image)}.sig": signed.signature})
    scene.remember()
    scene.reset()
    lists(scene.place)
    other.proxy.add(Fault("status", method="PUT", path=f"/{tag}", status=201, times=None))
    ran = scene.run().ended(7)
    assert "was written, but does not hold" in ran.errors[0]
    assert "production" not in other.tags(MIRROR)


def test_prune_leaves_what_refers_to_images_that_stay(scenes: Scenes) -> None:
    signed = Signed.prepare(scenes("prune"))
    scene = signed.scene
    scene.reset()
    lists(scene.place)
    scene.run().ended()
    assert len(scene.place.tags()) < len(scene.start)
    assert signed.arrived(scene.place, REPOSITORY) == signed.all
    signed.maker.pulls([signed.image, *signed.all])


@dataclass
class Saying:
    """Answers the requests for one list with one page after the other, the last time and again."""

    path: str
    pages: Sequence[object]
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    asked: int = 0

    def meets(self, call: Call) -> bool:
        if not re.search(self.path, call.path) or not call.headers.get("Authorization"):
            return False
        page = self.pages[min(self.asked, len(self.pages) - 1)]
        self.asked += 1
        body = page if isinstance(page, bytes) else json.dumps(page).encode()
        headers = {"Content-Type": INDEX, **self.headers}
        call.answer(self.status if self.asked == 1 or page else 404, body, headers.items())
        return True


def page(*digests: str) -> dict[str, object]:
    entries = [{"mediaType": MANIFEST, "digest": each, "size": 500} for each in digests]
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}


NEXT = {"Link": '</v2/feastflow/app/referrers/sha256:next>; rel="next"'}


def say(signed: Signed, *pages: object, **options: Any) -> Saying:
    """Have the source list what a test makes up."""
    signed.scene.reset()
    saying = Saying("/referrers/", pages, **options)
    signed.scene.place.proxy.habits = [saying]
    return saying


class TestHostileLists:
    def test_a_next_page_on_another_host(self, signed: Signed) -> None:
        class Thief(Server):
            def respond(self, call: Call) -> None:
                call.answer(200, json.dumps(page()).encode(), [("Content-Type", INDEX)])

        with Thief() as thief:
            say(signed, page(), headers={"Link": f'<{thief.url}/v2/x>; rel="next"'})
            ran = signed.scene.run().ended(5)
            assert thief.requests == ()
        assert "continues at another address" in ran.errors[0]
        self.check_not_promoted(signed)

    def test_pages_without_end(self, signed: Signed) -> None:
        saying = say(signed, page(), headers=NEXT)
        ran = signed.scene.run().ended(5)
        assert "without end" in ran.errors[0]
        assert saying.asked == 100
        self.check_not_promoted(signed)

    @pytest.mark.parametrize("second", chosen([b"", b"<html>", page() | {"mediaType": MANIFEST}]))
    def test_a_list_that_does_not_go_on(self, signed: Signed, second: object) -> None:
        say(signed, page(signed.sboms[0]), second, headers=NEXT)
        assert signed.scene.run().code in (5, 7)
        self.check_not_promoted(signed)

    @pytest.mark.parametrize("pages", chosen([1, 64]))
    def test_a_list_of_64_mib(self, signed: Signed, pages: int) -> None:
        """In one page or many: no more than 4 MiB are taken."""
        filled = page() | {"annotations": {"x": "x" * (64 // pages * 2**20)}}
        saying = say(signed, filled, headers=NEXT)
        ran = signed.scene.run().ended(5)
        assert "sent more than" in ran.errors[0]
        assert saying.asked <= 4
        self.check_not_promoted(signed)

    def test_a_list_of_thousands(self, signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each costs requests, and a line of what the runner takes: they hold up no promotion."""
        monkeypatch.setattr(copy, "_MOST", 20)
        say(signed, page(*(f"sha256:{number:064x}" for number in range(50))))
        scene = signed.scene
        ran = scene.run().ended()
        made_up = f"manifests/sha256:{0:060x}"  # An image's own digest may begin with a zero.
        asked = [each for each in scene.place.proxy.requests if made_up in each.path]
        assert len(asked) == 20
        assert "left: 30 of them, as there are more than 20; left: sha256:0" in ran.log
        assert "; and 11 more" in ran.log
        assert scene.other
        assert scene.other.tags(MIRROR)["production"] == signed.image

    def check_not_promoted(self, signed: Signed) -> None:
        other = signed.scene.other
        assert other
        assert "production" not in other.tags(MIRROR)

    @pytest.mark.parametrize("damage", chosen(["corrupt", "status"]))
    def test_one_that_is_damaged_or_gone(self, signed: Signed, damage: Any) -> None:
        scene, other = signed.scene, signed.scene.other
        assert other
        scene.reset()
        lists(scene.place)
        bad = signed.sboms[1]
        scene.place.proxy.add(
            Fault(damage, method="GET", path=f"manifests/{bad}", status=404, times=None)
        )
        ran = scene.run().ended()
        assert f"left: {bad}: " in ran.log
        assert other.tags(MIRROR)["production"] == signed.image
        assert signed.arrived(other) == signed.all - {bad}
        assert listed(other, signed.image) == {signed.sboms[0]}

    def test_one_answer_that_is_wrong_leaves_nothing_behind(self, signed: Signed) -> None:
        """A server of several that does not know the list yet."""

        class Stale:
            asked = 0

            def meets(self, call: Call) -> bool:
                if "/referrers/" not in call.path or not call.headers.get("Authorization"):
                    return False
                self.asked += 1
                if self.asked == 1:
                    call.answer(404, b"", ())
                return self.asked == 1

        scene, other = signed.scene, signed.scene.other
        assert other
        scene.reset()
        lists(scene.place)
        scene.place.proxy.habits.insert(0, Stale())
        scene.run().ended()
        assert signed.arrived(other) == signed.all

    @pytest.mark.parametrize("lie", chosen(["itself", "a circle", "another image", "no manifest"]))
    def test_what_does_not_name_the_image_is_left(self, signed: Signed, lie: str) -> None:
        """Nor is there a circle of what does: a digest is of bytes that name the other."""
        scene, other = signed.scene, signed.scene.other
        assert other
        bad = signed.maker.image("another")
        scene.remember()
        lies = {"itself": signed.image, "a circle": signed.signature, "another image": bad}
        named = lies.get(lie, f"sha256:{'0' * 64}")
        saying = say(signed, page(named))
        ran = scene.run().ended()
        assert f"left: {named}: " in ran.log
        assert saying.asked == 1
        assert set(other.tags(MIRROR)) == {"production"}
        assert signed.arrived(other) == set()

    @pytest.mark.parametrize(
        ("status", "answer", "kind"),
        chosen(
            [
                (404, {"errors": []}, "application/json"),
                (400, {"errors": []}, "application/json"),
                (405, b"", "text/plain"),
                (302, b"", "text/html"),
                (200, b"<html>Welcome</html>", "text/html"),
                (200, {}, "application/json"),
                (200, page() | {"mediaType": MANIFEST, "manifests": [{}]}, MANIFEST),
                (200, page() | {"manifests": [{"digest": "x"}]}, INDEX),
            ],
            2,
        ),
    )
    def test_what_keeps_no_list_is_asked_twice_for_the_first_image_alone(
        self, signed: Signed, status: int, answer: object, kind: str
    ) -> None:
        """Neither at the source nor at the target: the list under the tag counts."""
        scene, other = signed.scene, signed.scene.other
        assert other
        signed.keep_lists()
        headers = {"Content-Type": kind, "Location": "/login"}
        saying = say(signed, answer, status=status, headers=headers)
        other.proxy.habits = [Saying("/referrers/", [answer], headers, status)]
        scene.run().ended()
        assert saying.asked == 2
        assert listed(other, signed.image) == {*signed.sboms}
