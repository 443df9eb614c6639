"""What token servers do otherwise than distribution's, each switched on before a real one.

https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from support.servers.habits import refuse
from support.servers.serving import Call

if TYPE_CHECKING:
    from support.servers.fault_proxy import FaultProxy


@dataclass
class NoDelete:
    """A scope that names `delete` is refused; who wants to delete asks for `*`.

    Quay: https://github.com/quay/quay/blob/master/endpoints/v2/v2auth.py
    """

    def meets(self, call: Call) -> bool:
        """Know pull, push and `*`."""
        scopes = _scopes(call)
        actions = {each for scope in scopes for each in scope.rpartition(":")[2].split(",")}
        if not actions <= {"pull", "push", "*"}:
            refuse(call, 400, "INVALID_REQUEST", "Unable to decode repository and actions")
            return True
        _ask(call, [scope.replace(":*", ":pull,push,delete") for scope in scopes])
        return False


@dataclass
class FirstScope:
    """Of several scopes, the first one is granted.

    https://github.com/google/go-containerregistry/blob/main/pkg/v1/remote/transport/bearer.go
    """

    def meets(self, call: Call) -> bool:
        """Overlook the others."""
        _ask(call, _scopes(call)[:1])
        return False


@dataclass
class OneScope:
    """More than one scope is refused.

    https://github.com/artifact-keeper/artifact-keeper/issues/2277
    """

    def meets(self, call: Call) -> bool:
        """Refuse a parameter that is repeated."""
        if len(_scopes(call)) <= 1:
            return False
        refuse(call, 400, "INVALID_REQUEST", "duplicate field `scope`")
        return True


@dataclass
class AccessToken:
    """The token has its name of OAuth 2 alone, and nothing says when it expires.

    ACR: https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
    """

    proxy: FaultProxy

    def meets(self, call: Call) -> bool:
        """Give the token its other name."""
        status, headers, body = self.proxy.fetch(call)
        if status == 200:
            body = json.dumps({"access_token": json.loads(body)["access_token"]}).encode()
        call.answer(status, body, headers.items())
        return True


def _scopes(call: Call) -> list[str]:
    query = parse_qsl(urlsplit(call.path).query)
    return [value for name, value in query if name == "scope"]


def _ask(call: Call, scopes: list[str]) -> None:
    """Have the token server see other scopes than those that were asked for."""
    url = urlsplit(call.path)
    others = [pair for pair in parse_qsl(url.query) if pair[0] != "scope"]
    query = urlencode([*others, *(("scope", each) for each in scopes)])
    call.path = url._replace(query=query).geturl()
