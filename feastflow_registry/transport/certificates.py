"""Whose signature under a server's certificate counts: those that this machine's owner trusts.

curl, git and Docker look there; requests would trust its own list alone.
https://docs.openssl.org/master/man3/SSL_CTX_load_verify_locations/
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from feastflow_registry.model.errors import Failure, Kind

_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def find(environ: Mapping[str, str]) -> str:
    """The file or folder of the trusted certificates; empty, where nobody has set one up.

    The first variable that is set counts, then the system's own place. Raises an input failure for
    a variable that names no certificates.
    """
    for name in _VARIABLES:
        if place := environ.get(name):
            if not _holds_any(Path(place)):
                raise Failure(
                    Kind.INPUT,
                    f"the variable {name} names {place!r}, which holds no certificate.",
                    "Name a file of certificates in PEM form, or leave the variable out.",
                )
            return place
    system = ssl.get_default_verify_paths()
    places = (each for each in (system.cafile, system.capath) if each)
    return next((each for each in places if _holds_any(Path(each))), "")


def _holds_any(place: Path) -> bool:
    try:
        return any(place.iterdir()) if place.is_dir() else b"-----BEGIN " in place.read_bytes()
    except OSError:
        return False
