"""What other tools keep beside an image is theirs: no command deletes it or writes it.

Lists of referrers (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)
and cosign's tags (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
"""

from __future__ import annotations

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
        images = [stock.image(name) for name in names[1:]]
        found |= zip(names, [stock.index(*images), *images], strict=True)
    stock.tag(found, age=1000)
    scene.remember()
    return found


@pytest.mark.parametrize("by_tag", [False, True])
@pytest.mark.parametrize("command", chosen(["prune", *COLUMNS]))
def test_what_is_kept_beside_images_stays(
    scenes: Callable[[str], Scene], command: str, by_tag: bool
) -> None:
    scene = scenes(command)
    kept = sign(scene)
    scene.reset()
    if by_tag:
        scene.place.proxy.habits = [DeletingTags(lambda: scene.place.registry.storage)]
    scene.run().ended()
    tags = scene.place.tags()
    assert {tag: tags.get(tag) for tag in kept} == kept
    if command == "prune":
        assert len(scene.start) - len(tags) == 3, "the old commits, and nothing else"
        ImageMaker(scene.place).pulls([*kept.values(), tags["latest"]])


def test_they_are_not_copied(scenes: Callable[[str], Scene]) -> None:
    scene = scenes(ELSEWHERE)
    sign(scene)
    scene.reset()
    scene.run().ended()
    assert scene.other
    assert set(scene.other.tags(MIRROR)) == {"production"}
