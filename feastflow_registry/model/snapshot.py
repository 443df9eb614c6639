"""What the registries hold of the services of a run, as far as a publish is planned from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from feastflow_registry.model.images import Published
from feastflow_registry.model.parts import Part
from feastflow_registry.model.plan import Facts
from feastflow_registry.model.references import Commit, Digest, Tag
from feastflow_registry.model.services import Service


@dataclass(frozen=True, slots=True)
class Seen:
    """What one service's repository holds: the commit's image, and what decides each move.

    ``unchanged``: an ancestor's image that was made from the same ``inputs`` (their digest);
    ``why``: why there is none; ``held``: what the tags of its parts hold, by their platforms;
    ``parts``: those that it can be put together from, as long as there is no image;
    ``bad``: the ancestor whose image would be ``unchanged``, had it not been withdrawn.
    """

    image: Published | None = None
    facts: Mapping[Tag, Facts] = field(default_factory=dict)
    unchanged: Published | None = None
    inputs: str = ""
    why: str = ""
    held: Mapping[str, Digest] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    bad: Commit | None = None


Snapshot = Mapping[Service, Seen]
"""By the service, with its repository."""
