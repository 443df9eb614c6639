"""Addresses that servers send: what is one, what is on the same host, what may be shown."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def split(url: str) -> SplitResult:
    """The parts of an address that a server sent; all of them empty, if it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # A port that is none raises only when it is asked for.
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


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


def redact(url: str) -> str:
    """A URL without user, query and fragment, which may hold secrets."""
    parts = split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
