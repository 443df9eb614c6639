"""The ``images`` of a kustomization: what each entry makes of an image, and how to pin it.

An entry with ``newTag`` and ``digest`` gives ``repository:tag@digest``, as ``kustomize edit set
image`` writes it. Where ``newName`` leads to is the repository that counts.
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/
"""

from __future__ import annotations

from collections.abc import Iterator

from feastflow_registry.kubernetes.image_names import Found, Pin, shown, spell
from feastflow_registry.kubernetes.yaml_edit import Insertion, Replacement, Step
from feastflow_registry.kubernetes.yaml_tree import Cursor, Node

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""What kustomize looks for in a folder."""
KINDS = ("Kustomization", "Component")
GROUPS = ("kustomize.config.k8s.io", "")
_READ = ("newTag", "digest", "newName", "name")


def find(document: Node) -> Iterator[Found]:
    """Yield each entry of a kustomization's images."""
    for images in Cursor(document).get("images"):
        for entry in images.each():
            name = entry.text("name")
            target = entry.text("newName") or name
            tag, digest = entry.text("newTag"), entry.text("digest")
            text = f"{target}{tag and f':{tag}'}{digest and f'@{digest}'}"
            spelling = spell(target)
            yield Found(
                document=document,
                place=entry,
                resource="Kustomization",
                container=shown(name),
                text=text,
                spelling=spelling,
                can_pin=spelling is not None and not spelling.rest,
                doubt=max((each.doubt for key in _READ for each in entry.get(key)), default=0),
            )


def steps(found: Found, pin: Pin) -> list[tuple[Cursor, Step]]:
    """Say what of an entry is to be written anew, and where; nothing, if it is right."""
    entry = found.place
    wanted: list[tuple[Cursor, Step]] = []
    missing: list[tuple[str, str]] = []
    for key, value in (("newTag", str(pin.tag)), ("digest", str(pin.digest))):
        there = next(entry.get(key), None)
        if there is None:
            missing.append((key, value))
        elif there.node.value != value:
            # Where keys are quoted, as in JSON, texts are.
            wanted.append((there, Replacement(there.node, value, there.quote)))
    if missing:
        known = {pair[0].value: pair for pair in entry.node.pairs()}
        near = next((known[each] for each in _READ if each in known), [*known.values()][-1])
        wanted.append((entry, Insertion(entry.node, *near, tuple(missing))))
    return wanted
