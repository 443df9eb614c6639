"""What each kind of builder can do. What it cannot do is refused before anything starts.

``tests/integration/test_capabilities.py`` proves every cell of the table on the real builders.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum, StrEnum

from feastflow_registry.model.errors import Problem
from feastflow_registry.model.plan import BuildImage


class BuilderKind(StrEnum):
    """The kinds of builders: what one can do depends on where BuildKit runs and exports to."""

    CLASSIC = "the docker driver with the classic image store"
    CONTAINERD = "the docker driver with the containerd image store"
    OTHER = "a builder of its own"

    @classmethod
    def of(cls, driver: str, *, containerd: bool) -> BuilderKind:
        """The kind of a driver, and of the engine's image store where it is the engine's own."""
        if driver != "docker":
            return cls.OTHER
        return cls.CONTAINERD if containerd else cls.CLASSIC


class Feature(Enum):
    """Features that not every builder has; the value is the reason for a refusal."""

    PLATFORMS = "cannot keep several platforms"
    ATTEST = "cannot keep attestations"
    CACHE = "cannot export a cache"
    ANNOTATIONS = "cannot keep annotations"
    REPRODUCIBLE = "cannot rewrite timestamps, as a reproducible build needs"
    BY_DIGEST = "cannot push by digest"


CAPABILITIES: Mapping[BuilderKind, frozenset[Feature]] = {
    BuilderKind.CLASSIC: frozenset(),
    BuilderKind.CONTAINERD: frozenset(
        {Feature.PLATFORMS, Feature.ATTEST, Feature.CACHE, Feature.ANNOTATIONS}
    ),
    BuilderKind.OTHER: frozenset(Feature),
}
"""https://docs.docker.com/build/builders/drivers/"""

EMULATED = "Until then BuildKit's own emulation is tried, which not every program survives."
"""Its image brings emulators, but an engine does not.

https://github.com/moby/buildkit/blob/master/docs/multi-platform.md says that they mostly do;
https://github.com/docker/docs/pull/24750 that they are a fallback.
"""
_BUILDER = 'leave the input "builder" empty, or name the one of docker/setup-buildx-action in it'
_STORE = "turn on the engine's containerd image store (https://docs.docker.com/engine/storage/containerd/)"
_LACKING = re.compile(
    r"attestations? (?:is|are) not supported|cache export is not supported|"
    r"exporting manifest lists|multi-platform build is not supported|"
    r"push-by-digest is currently not implemented|conflicts with \"unpack\"|"
    r"rewrite-timestamp.{0,40}not supported|exporter is not supported|"
    r"granting entitlement \S+ is not allowed|host-gateway is not supported",
    re.IGNORECASE,
)
_REMEDIES = {
    "granting entitlement": "Make a builder that grants it: docker/setup-buildx-action with "
    "`buildkitd-flags: --allow-insecure-entitlement NAME`; for the engine's own, daemon.json has "
    "builder.entitlements.",
    "host-gateway": "Write the host's own address.",
}
"""What to do about some errors, by what they hold."""


def needed(image: BuildImage) -> Iterator[Feature]:
    """Yield what a build asks of its builder beyond what all of them can do."""
    if len(image.service.platforms) > 1:
        yield Feature.PLATFORMS
    if image.attest:
        yield Feature.ATTEST
    # An inline cache travels in the image itself, which every builder can write.
    if any("type=inline" not in each.split(",") for each in image.cache_to):
        yield Feature.CACHE
    # Those of the labels come where they can; who names one means it.
    if image.service.annotations:
        yield Feature.ANNOTATIONS
    if image.epoch is not None:
        yield Feature.REPRODUCIBLE
    if image.is_part:  # Then it is what the builder of all platforms would make.
        yield Feature.BY_DIGEST


def check(images: Sequence[BuildImage], kind: BuilderKind) -> Iterator[Problem]:
    """Yield a problem for each feature that a builder lacks, with the services that need it."""
    missing = [each for each in Feature if each not in CAPABILITIES[kind]]
    for feature in missing:
        names = [image.service.name for image in images if feature in needed(image)]
        if names:
            yield Problem(
                f"{kind} {feature.value}; needed by {', '.join(names)}.",
                remedy(feature),
                see="builder",
            )


def remedy(feature: Feature | None = None) -> str:
    """Say which builder has a feature: the engine's own with another store, or only another."""
    if feature and feature not in CAPABILITIES[BuilderKind.CONTAINERD]:
        return f"{_BUILDER[0].upper()}{_BUILDER[1:]}."
    return f"{_STORE[0].upper()}{_STORE[1:]}, or {_BUILDER}."


def remedy_for(error: str) -> str:
    """Say what would do what a builder could not."""
    return next((fix for said, fix in _REMEDIES.items() if said in error), remedy())


def check_platforms(runs: Mapping[str, Sequence[str]], able: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each platform whose programs builds run, and the builder cannot.

    ``runs``: the platforms by the service's name; ``able``: the builder's; empty if it tells none.
    Of one architecture, a variant may well run where another one does.
    """
    known = {_architecture(each) for each in able}
    wanted = dict.fromkeys(each for platforms in runs.values() for each in platforms)
    for platform in wanted if known else ():
        if _architecture(platform) not in known:
            names = [name for name, platforms in runs.items() if platform in platforms]
            yield Problem(
                f"{platform} needs emulation here: {', '.join(names)}.",
                "Run docker/setup-qemu-action before this step, or build each platform on its own "
                'runner (the input "matrix").',
                see="emulation",
            )


def _architecture(platform: str) -> str:
    """A platform without the variant."""
    return "/".join(platform.split("/")[:2])


def is_lacking(error: str) -> bool:
    """Whether BuildKit or buildx says that this builder cannot do what it was asked for."""
    return _LACKING.search(error) is not None
