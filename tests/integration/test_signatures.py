"""What other tools keep beside an image lives and dies with it, and goes where it goes.

Lists of referrers (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)
and cosign's tags (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.many_tags import ImageMaker
from support.scenes import COLUMNS, ELSEWHERE, MIRROR, Scene
from support.servers.habits import DeletingTags
from support.soak import chosen

ENDS = ("", ".sig", ".att", ".sbom")


def sign(scene: Scene) -> dict[str, str]:
    """Keep something beside every image; the tags, and what they hold."""
    stock, found = ImageMaker(scene.place), dict[str, str]()
    for digest in {*scene.start.values()}:
        names = [f"sha256-{digest.partition(':')[2]}{end}" for end in ENDS]
        images = [stock.image(name, subject=digest) for name in names[1:]]
        found |= zip(names, [stock.index(*images), *images], strict=True)
    stock.tag(found, age=1000)
    scene.remember()
    return found


@pytest.mark.parametrize("by_tag", chosen([False, True]))
@pytest.mark.parametrize("command", chosen(["prune", *COLUMNS]))
def test_what_is_kept_beside_images_stays_and_goes_with_them(
    scenes: Callable[[str], Scene], command: str, by_tag: bool
) -> None:
    scene = scenes(command)
    kept = sign(scene)
    scene.reset()
    if by_tag:
        scene.place.proxy.habits = [DeletingTags(lambda: scene.place.registry.storage)]
    scene.run().ended()
    tags = scene.place.tags()
    if command != "prune":
        assert {tag: tags.get(tag) for tag in kept} == kept
        return
    gone = [each for each in scene.start if each not in tags and each not in kept]
    assert len(gone) == 3, "the old commits"
    about = {scene.start[each].replace(":", "-") for each in gone}
    stays = {tag: held for tag, held in kept.items() if tag.partition(".")[0] not in about}
    assert len(kept) - len(stays) == 3 * len(ENDS)
    assert {tag: held for tag, held in tags.items() if tag in kept} == stays
    ImageMaker(scene.place).pulls([*stays.values(), tags["latest"]])


def test_they_are_copied_with_their_image_and_once(scenes: Callable[[str], Scene]) -> None:
    scene = scenes(ELSEWHERE)
    kept = sign(scene)
    scene.reset()
    ran = scene.run().ended()
    assert scene.other
    there = scene.other.tags(MIRROR)
    name = there["production"].replace(":", "-")
    assert set(there) == {"production", *(f"{name}{end}" for end in ENDS)}
    ends = [f"{name}{end}" for end in ENDS if end]
    assert {each: there[each] for each in ends} == {each: kept[each] for each in ends}
    assert "with 3 that refer to it" in ran.log
    index = scene.other.crane("manifest", scene.other.at(name, MIRROR))
    assert {each["digest"] for each in json.loads(index)["manifests"]} == {
        kept[each] for each in ends
    }
    before = len(scene.other.proxy.requests)
    scene.run().ended()
    later = scene.other.proxy.requests[before:]
    assert {each.method for each in later} <= {"GET", "HEAD"}, "nothing is written twice"


def test_a_signature_that_is_another_one_there_is_left(scenes: Callable[[str], Scene]) -> None:
    scene = scenes(ELSEWHERE)
    kept = sign(scene)
    scene.reset()
    scene.run().ended()
    assert scene.other
    tags = scene.other.tags(MIRROR)
    name = f"{tags['production'].replace(':', '-')}.sig"
    scene.other.retag({name: tags["production"]}, MIRROR)
    ran = scene.run().ended()
    assert f"left: {name} holds something else there" in ran.log
    assert scene.other.tags(MIRROR)[name] == tags["production"] != kept[name]
