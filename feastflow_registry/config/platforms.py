"""What a platform may be: what Go or a builder can make an image for, in the one way to write it.

And which runner builds one, where each has a job of its own.

A builder takes any word for an architecture, and labels an image ``FROM scratch`` with it.
https://github.com/containerd/platforms and https://go.dev/wiki/MinimumRequirements
"""

from __future__ import annotations

import difflib
import json
from enum import StrEnum

from feastflow_registry.config import grammar
from feastflow_registry.config.grammar import refusal

_ARCHITECTURES = {
    "linux": "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x",
    "windows": "386 amd64 arm arm64",
    "darwin": "amd64 arm64",
    "freebsd": "386 amd64 arm arm64 riscv64",
    "netbsd": "386 amd64 arm arm64",
    "openbsd": "386 amd64 arm arm64 ppc64 riscv64",
    "android": "386 amd64 arm arm64",
    "ios": "amd64 arm64",
    "plan9": "386 amd64 arm",
    "aix": "ppc64",
    **dict.fromkeys(("dragonfly", "illumos", "solaris"), "amd64"),
    **dict.fromkeys(("js", "wasi", "wasip1"), "wasm"),
}
"""Those of ``go tool dist list``, and ``wasi/wasm``, which Docker takes."""
_VARIANTS = {
    "amd64": ("v1", "v2", "v3", "v4"),
    "arm": ("v5", "v6", "v7", "v8"),
    "arm64": ("v8", *(f"v8.{n}" for n in range(10)), "v9", *(f"v9.{n}" for n in range(6))),
    "ppc64": ("power8", "power9", "power10"),
    "ppc64le": ("power8", "power9", "power10"),
    "riscv64": ("rva20u64", "rva22u64", "rva23u64"),
}
"""Those of ``GOAMD64``, ``GOARM`` and so on: https://pkg.go.dev/cmd/go#hdr-Environment_variables"""
_SYSTEMS = {"macos": "darwin"}
_SAME = {
    "i386": ("386", ""),
    **dict.fromkeys(("x86_64", "x86-64"), ("amd64", "")),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other names of an architecture, each with the variant that it stands for."""
_BASE = {("amd64", "v1"), *(("arm64", each) for each in ("v8", "v8.0"))}
"""Variants that are what is meant without one."""
_PAIRS = [f"{os}/{arch}" for os, archs in _ARCHITECTURES.items() for arch in archs.split()]
_SUGGESTED = [*_PAIRS, *(f"linux/{arch}/{each}" for arch in _VARIANTS for each in _VARIANTS[arch])]


RUNNERS = {"linux/amd64": ("ubuntu-24.04",), "linux/arm64": ("ubuntu-24.04-arm",)}
"""GitHub's own: https://docs.github.com/en/actions/reference/runners/github-hosted-runners"""


class Matrix(StrEnum):
    """What has a job of its own: a service, or each of its platforms."""

    SERVICES = "services"
    PLATFORMS = "platforms"


def parse_runners(given: grammar.TextOrList) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read ``platform=label``, or several labels that a runner must all have, with commas.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idruns-on
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, value in grammar.entries(given, "=", grammar.split_lines):
        platform = parse_platform(name)
        labels = grammar.split_items(value if isinstance(value, str | list) else "")
        if platform in found:
            raise grammar.given_twice(platform)
        if not labels or not all(map(str.isprintable, labels)):
            fix = "Write the label of a runner, as in linux/arm64=ubuntu-24.04-arm."
            raise refusal(name, "has no label of a runner.", fix)
        found[platform] = labels
    return tuple(found.items())


def parse_matrix(text: str) -> tuple[tuple[str, str], ...]:
    """Read the output ``matrix``: services, each with one of its platforms, or with an empty text.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrix
    """
    try:
        match json.loads(text):
            case {"service": [*services]} if all(isinstance(each, str) for each in services):
                return tuple((each, "") for each in services)
            case {"include": [*jobs]}:
                return tuple((each["service"], parse_platform(each["platform"])) for each in jobs)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        pass
    raise refusal(text, "is no matrix.", "Give it the output matrix of the job that planned.")


def parse_platform(text: str) -> str:
    """Read ``os/architecture[/variant]``, and write it as an image's index does."""
    system, _, rest = text.lower().partition("/")
    architecture, _, variant = rest.partition("/")
    system = _SYSTEMS.get(system, system)
    architecture, implied = _SAME.get(architecture, (architecture, ""))
    if variant[:1].isdigit():
        variant = f"v{variant}"
    variant = variant or implied or ("v7" if architecture == "arm" else "")
    pair = f"{system}/{architecture}"
    if pair not in _PAIRS or (variant and variant not in _VARIANTS.get(architecture, ())):
        close = difflib.get_close_matches(text.lower()[:40], _SUGGESTED, n=1)
        fix = "Write os/architecture[/variant], such as linux/amd64."
        if rest and close:
            fix = f"Perhaps you meant {close[0]}."
        raise refusal(text, "is not a platform that Go or a builder knows.", fix)
    return pair if not variant or (architecture, variant) in _BASE else f"{pair}/{variant}"
