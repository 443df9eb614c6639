"""Where the remote ``origin`` is: what git and ssh make of its address. No network is asked."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping

from feastflow_registry.model.source import FORGES, Address

_SECONDS = 10
"""A ``Match exec`` of the user's own configuration may hang."""

_PLAIN = re.compile(r"[\w.:%+\[\]-]+")
"""A host without signs that mean something to a shell: ``Match exec`` and the like may hand it one,
and before 9.6 ssh let them pass. https://www.openssh.com/txt/release-9.6
"""


def addresses(configured: str, resolved: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses that are the same repository, the one to be called by first.

    ``configured``: as ``.git/config`` has it; ``resolved``: after ``insteadOf``, which may lead
    from a forge to a mirror, or from a short form to a forge. Both may name an alias of ssh's.
    https://git-scm.com/docs/git-config#Documentation/git-config.txt-urlltbasegtinsteadOf
    """
    written = filter(None, (configured, resolved))
    return tuple(dict.fromkeys(each for one in written for each in _followed(one, environ)))


def _followed(written: str, environ: Mapping[str, str]) -> Iterator[str]:
    """An address, after the one that ssh's configuration makes of it."""
    address = Address.read(written)
    if address and _PLAIN.fullmatch(address.ssh) and address.host not in FORGES:
        host = _host_name(address.ssh, environ)
        if host not in ("", address.host):
            yield f"ssh://{host}/{address.path}"
    yield written


def _host_name(alias: str, environ: Mapping[str, str]) -> str:
    """The host behind an alias; empty, if ssh does not tell.

    Looking for a canonical name would ask the network. https://man.openbsd.org/ssh#G
    """
    command = ["ssh", "-G", "-o", "CanonicalizeHostname=no", "--", alias]
    try:
        answer = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = answer.stdout.decode(errors="replace").splitlines()
    names = (line.removeprefix("hostname ") for line in lines if line.startswith("hostname "))
    return next(names, "")
