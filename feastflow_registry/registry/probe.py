"""Whether a registry is there, and what it says of itself to somebody whom it does not know.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#determining-support
"""

from __future__ import annotations

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost
from feastflow_registry.transport.http import REDIRECTS, Client

_DEADLINE = 10.0
_THERE = REDIRECTS | {200, 401}


def challenge(http: Client, host: RegistryHost) -> str:
    """Ask for ``/v2/``: with what the registry challenges whoever asks; empty, if it does not.

    Raises an unreachable failure soon where no registry answers.
    """
    response = http.send("GET", f"{host.url}/v2/", deadline=_DEADLINE)
    if response.status not in _THERE:
        raise Failure(
            Kind.UNREACHABLE,
            f"{host} answers {response.status} at /v2/, so it is not a registry.",
            'Check the input "registry", and the proxy before it, if there is one.',
        )
    return response.headers.get("www-authenticate", "")
