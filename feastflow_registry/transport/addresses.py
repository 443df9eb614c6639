"""Addresses that servers send: what is one, what is on the same host, what may be shown."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from feastflow_registry.model.references import is_loopback

_NOTHING = SplitResult("", "", "", "", "")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def split(url: str) -> SplitResult:
    """The parts of an address that a server sent; all of them empty, if it is none.

    Nor is one whose host ends elsewhere for others: for urllib3 at a backslash.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # A port that is none raises only when it is asked for.
    except ValueError:
        return _NOTHING
    return _NOTHING if "\\" in parts.netloc else parts


def same_origin(base: str, target: str) -> str:
    """An address on the host of another one; empty if it is elsewhere.

    A registry that does not know what stands before it may name another scheme, and default ports:
    what is known is kept.
    """
    here, there = split(base), split(target)
    if not there.hostname or there.hostname != here.hostname or "@" in there.netloc:
        return ""
    ports = {"http": 80, "https": 443}
    named = there.port or ports.get(there.scheme)
    hides_tls = there.scheme != here.scheme and named == ports.get(there.scheme)
    if named != (here.port or ports.get(here.scheme)) and not hides_tls:
        return ""
    return there._replace(scheme=here.scheme, netloc=here.netloc).geturl()


def is_inside(name: str) -> bool:
    """Whether a host is given as an address of this machine or of a private network.

    Resolvers take ``127.1``, ``0x7f000001`` and the like for addresses, and an address of IPv6 may
    hold one of IPv4. What any other name leads to is not asked.
    https://datatracker.ietf.org/doc/html/rfc6761#section-6.3
    """
    name = name.removesuffix(".")
    if is_loopback(name) or name.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(socket.inet_aton(name)).is_global
    except OSError:
        pass
    try:
        address = ipaddress.IPv6Address(name)
    except ValueError:
        return False
    last = ipaddress.IPv4Address(int(address) % 2**32) if address in _NAT64 else None
    return not (address.ipv4_mapped or address.sixtofour or last or address).is_global


def redact(url: str) -> str:
    """A URL without user, query and fragment, which may hold secrets."""
    parts = split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
