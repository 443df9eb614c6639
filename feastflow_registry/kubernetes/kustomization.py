"""The ``images`` of a kustomization: what each entry makes of an image, and how to pin it.

An entry with ``newTag`` and ``digest`` gives ``repository:tag@digest``, as ``kustomize edit set
image`` writes it. Where ``newName`` leads to is the repository that counts.
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/
"""

from __future__ import annotations

from collections.abc import Iterator

from feastflow_registry.kubernetes.image_names import LONGEST_SHOWN, FoundImage, Pin, parse_image
from feastflow_registry.kubernetes.yaml_edit import Insertion, Replacement, TextEdit
from feastflow_registry.kubernetes.yaml_lookup import Cursor
from feastflow_registry.model.wording import printable
from feastflow_registry.model.yaml_tree import Node

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""What kustomize looks for in a folder."""
KINDS = ("Kustomization", "Component")
GROUPS = ("kustomize.config.k8s.io", "")
_READ = ("newTag", "digest", "newName", "name")


def find(document: Node) -> Iterator[FoundImage]:
    """Yield each entry of a kustomization's images."""
    for images in Cursor(document).get("images"):
        for entry in images.each():
            name = entry.text("name")
            target = entry.text("newName") or name
            tag, digest = entry.text("newTag"), entry.text("digest")
            text = f"{target}{tag and f':{tag}'}{digest and f'@{digest}'}"
            image = parse_image(target)
            doubts = (each.doubt for key in _READ for each in entry.get(key))
            yield FoundImage(
                place=entry,
                resource="Kustomization",
                container=printable(name, LONGEST_SHOWN),
                text=text,
                image=image,
                can_pin=image is not None and not image.rest,
                doubt=next(filter(None, doubts), None),
            )


def text_edits(found: FoundImage, pin: Pin) -> list[TextEdit]:
    """Say what of an entry is to be written anew; nothing, if it is right."""
    entry = found.place
    edits: list[TextEdit] = []
    missing: list[tuple[str, str]] = []
    for key, value in (("newTag", str(pin.tag)), ("digest", str(pin.digest))):
        current = next(entry.get(key), None)
        if current is None:
            missing.append((key, value))
        elif current.node.value != value:
            # Where keys are quoted, as in JSON, texts are.
            quote = current.key.style if current.key else ""
            edits.append(Replacement(current.node, value, quote))
    if missing:
        pairs = {key.value: (key, value) for key, value in entry.node.pairs()}
        near = next(pairs[each] for each in _READ if each in pairs)
        edits.append(Insertion(entry.node, *near, tuple(missing)))
    return edits
