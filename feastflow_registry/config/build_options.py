"""The grammar of how a build is run, and of where one goes that is not pushed.

Each parser takes the text of an input, or what YAML makes of Compose's key: a list or a mapping.
https://docs.docker.com/reference/compose-file/build/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import PurePosixPath

from feastflow_registry.config import grammar
from feastflow_registry.config.grammar import given_twice, refusal, split_items
from feastflow_registry.model.errors import Problem, nearest
from feastflow_registry.model.plan import Command
from feastflow_registry.model.services import Service, Where, output_parts

NETWORK_HOST = "network.host"
"""The entitlement that the network ``host`` needs."""
_ENTITLEMENT = re.compile(r"network\.host|security\.insecure|device(?:=[A-Za-z0-9_./:*=-]{1,200})?")
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = " kmgt"
_LIMIT = re.compile(r"(-1|[0-9]{1,18})(?::(-1|[0-9]{1,18}))?")
_LIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "rttime", "sigpending", "stack"),
)
"""https://man7.org/linux/man-pages/man2/getrlimit.2.html"""
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_HOST_GATEWAY = "host-gateway"
_OUTPUTS = ("local", "tar", "oci", "docker")
_OF_OUTPUTS = frozenset(
    {
        *("type", "dest", "tar", "compression", "compression-level", "force-compression"),
        *("oci-mediatypes", "platform-split"),
    }
)
_OUTPUT = re.compile(r"[a-z-]+=[^,\"\s]+(?:,[a-z-]+=[^,\"\s]+)*")
_OUTPUT_FIX = "Write type=local, tar, oci or docker, and dest=PATH, as in type=local,dest=out."


def network(text: str) -> str:
    """Which network the steps of a build are in; empty for the builder's own."""
    if text not in ("default", "none", "host"):
        fix = "Use default, none or host; a builder is given a network by its driver-opts."
        raise refusal(text, "is not a network that BuildKit knows.", fix)
    return "" if text == "default" else text


def shm_size(given: object) -> int:
    """Bytes of ``/dev/shm``: a number of bytes, or a text such as ``2gb``."""
    found = _SIZE.fullmatch(str(given))
    size = int(float(found[1]) * 1024 ** _UNITS.index(found[2].lower() or " ")) if found else 0
    if not 0 < size < 2**63:
        raise refusal(str(given), "is not a size.", "Write bytes, or 64m, 2gb or the like.")
    return size


def ulimits(given: object) -> tuple[str, ...]:
    """Limits of processes, each as ``name=soft:hard``; one number is both.

    https://docs.docker.com/reference/compose-file/build/#ulimits
    """
    limits: dict[str, str] = {}
    for name, value in grammar.entries(given, "=", split_items):
        if name not in _LIMITS:
            raise refusal(name, "is not a limit.", nearest(name[:60], _LIMITS))
        if name in limits:
            raise given_twice(name)
        text = str(value)
        if isinstance(value, Mapping) and value.keys() == {"soft", "hard"}:
            text = f"{value['soft']}:{value['hard']}"
        limits[name] = f"{name}={_numbers(name, text)}"
    return tuple(sorted(limits.values()))


def _numbers(name: str, text: str) -> str:
    """The soft and the hard limit, of which -1 is none at all."""
    found = _LIMIT.fullmatch(text)
    if found:
        soft, hard = found[1], found[2] or found[1]
        if hard == "-1" or 0 <= int(soft) <= int(hard):
            return f"{soft}:{hard}"
    fix = "Write one number, or the soft and the hard one, as in nofile=1024:2048."
    raise refusal(f"{name}={text}", "is not of the form LIMIT=NUMBER.", fix)


def extra_hosts(given: object) -> tuple[tuple[str, str], ...]:
    """Names with their addresses, of which one may have several.

    https://docs.docker.com/reference/compose-file/build/#extra_hosts
    """
    hosts: dict[str, dict[str, None]] = {}
    for name, value in grammar.entries(given, "=:", split_items):
        if not _HOST.fullmatch(name):
            fix = "Write HOST=ADDRESS, one a line; an IPv6 address may stand in brackets."
            raise refusal(name, "is not the name of a host.", fix)
        texts = value if isinstance(value, list) else str(value).split(",")
        hosts.setdefault(name, {}).update(dict.fromkeys(_address(str(each)) for each in texts))
    return tuple(sorted((name, ",".join(addresses)) for name, addresses in hosts.items()))


def _address(text: str) -> str:
    if text == _HOST_GATEWAY:
        return text
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    with suppress(ValueError):
        if "%" not in bare:  # A zone means something on one machine alone.
            return str(ipaddress.ip_address(bare))
    fix = f"Write an IPv4 or IPv6 address, or {_HOST_GATEWAY}."
    raise refusal(text, "is not the address of a host.", fix)


entitlement = grammar.matching(
    _ENTITLEMENT,
    "an entitlement of BuildKit",
    f"Use {NETWORK_HOST}, security.insecure, device or device=NAME.",
)
"""https://docs.docker.com/reference/cli/docker/buildx/build/#allow"""


def output(text: str) -> str:
    """Where a build that is not pushed goes, as buildx takes it: to files of the repository.

    https://docs.docker.com/build/exporters/
    """
    parts = output_parts(text)
    known = parts.get("type") in _OUTPUTS and parts.keys() <= _OF_OUTPUTS
    # "-" is the program's own standard output.
    if not _OUTPUT.fullmatch(text) or not known or parts.get("dest", "-") == "-":
        raise refusal(text, "is not an output that the command build can write.", _OUTPUT_FIX)
    place = PurePosixPath(grammar.folder_below(parts["dest"]))
    if not place.parts or ".git" in [part.lower() for part in place.parts]:
        raise refusal(text, "would write over the repository itself.", _OUTPUT_FIX)
    return text


def check(services: Iterable[Service], command: Command, where: Where) -> Iterator[Problem]:
    """Yield what a service's options forbid each other, or the command."""
    for service in services:
        if service.options.network == "host" and NETWORK_HOST not in service.options.entitlements:
            yield Problem(
                f"{where(service.name, 'network')}: the network host needs the entitlement "
                f"{NETWORK_HOST}, with which a build reaches every service of this machine.",
                'Grant it in the input "allow", or in entitlements of feastflow.yml.',
            )
        if service.outputs and command is Command.PUBLISH:
            yield Problem(
                f"{where(service.name, 'outputs')}: publish pushes what it builds, and writes no "
                "outputs.",
                "Use the command build, or remove the outputs.",
            )
