"""What one run remembers: each part of it writes its own, and whoever tells reads all of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import Digest, Reference, RegistryHost
from feastflow_registry.model.services import Service


@dataclass(slots=True)
class RunState:
    """What one run has done so far, for whoever has to say where it stands.

    ``attempted``: the tags that were written, whether or not the answer arrived;
    ``answered``: those of them whose write the registry has taken;
    ``proven``: the image of each service, which is on the registry;
    ``current``: what each shared tag held when this run looked last;
    ``given``: tags, each with an image that this run wrote;
    ``declined``: tags, each with an image that it was decided not to get;
    ``conflicts``: what keeps a tag from what was asked for;
    ``origins``: where the image of a service, by its name, is copied from: a tag or a digest;
    ``missed``: registries that were left out of the plan, as they did not answer, or refused;
    ``stopped``: whether the run was interrupted, after which no write begins.
    """

    attempted: set[Reference] = field(default_factory=set)
    answered: set[Reference] = field(default_factory=set)
    proven: dict[Service, Digest] = field(default_factory=dict)
    current: dict[Reference, Digest] = field(default_factory=dict)
    given: set[tuple[Reference, Digest]] = field(default_factory=set)
    declined: set[tuple[Reference, Digest]] = field(default_factory=set)
    conflicts: dict[Reference, Failure] = field(default_factory=dict)
    origins: dict[str, Reference] = field(default_factory=dict)
    missed: dict[RegistryHost, Failure] = field(default_factory=dict)
    stopped: bool = False
