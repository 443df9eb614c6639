"""The token server of a registry with `auth: token`: who may do what, for how long.

Follows https://distribution.github.io/distribution/spec/auth/token/ (GET with Basic credentials),
https://distribution.github.io/distribution/spec/auth/oauth/ (POST) and
https://distribution.github.io/distribution/spec/auth/jwt/ (the token itself, signed with ES256).

Like Docker Hub's, it grants fewer scopes than were asked for without calling that an error.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import fnmatch
import json
import secrets
import tempfile
import time
import urllib.parse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from support.servers.serving import Call, Server

Grants = Mapping[str, Mapping[str, Collection[str]]]

REGISTRY_LEEWAY = 60
"""distribution 2.8 and 3 accept a token for this many seconds after its `exp`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """One token that was handed out: to whom (empty: anonymous), and what it allows."""

    account: str
    asked: tuple[str, ...]
    granted: tuple[str, ...]


class TokenServer(Server):
    """`users` is name → password, `grants` is name → repository glob → actions.

    The name `""` in `grants` is the anonymous client, who otherwise gets an empty token. Without
    `grants` every user may pull, push and delete everywhere. `users`, `grants`, `lifetime` and
    `expires_in` may be changed while it runs.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        grants: Grants | None = None,
        *,
        service: str = "test-registry",
        issuer: str = "test-issuer",
        lifetime: int = 300,
        expires_in: int | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.admit(users, grants)
        self.service = service
        self.issuer = issuer
        self.lifetime = lifetime
        """Seconds after which the registry refuses a token, its own leeway taken into account."""
        self.expires_in = expires_in
        """What the client is told. `None`: the truth, `lifetime`; 0: nothing, so 60 by the spec."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _self_signed(self._key, issuer)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def admit(self, users: Mapping[str, str], grants: Grants | None = None) -> None:
        """Begin anew: with these users, these grants, and no token handed out."""
        everything = {"*": ("pull", "push", "delete")}
        self.users = dict(users)
        self.grants: Grants = dict.fromkeys(users, everything) if grants is None else grants
        self._issued: list[Issued] = []
        self._refresh: dict[str, str] = {}

    @property
    def realm(self) -> str:
        """The address a registry names in `WWW-Authenticate`."""
        return f"{self.url}/token"

    @property
    def bundle(self) -> Path:
        """The certificate file for the registry's `rootcertbundle`; it lives while we run."""
        if self._folder is None:
            raise RuntimeError("TokenServer is not running")
        return Path(self._folder.name, "bundle.pem")

    @property
    def issued(self) -> tuple[Issued, ...]:
        """Every token handed out, in order."""
        return tuple(self._issued)

    def start(self) -> Self:
        """Write the certificate bundle and serve."""
        self._folder = tempfile.TemporaryDirectory(prefix="token-server-")
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return super().start()

    def stop(self) -> None:
        """Stop serving and remove the bundle."""
        super().stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def respond(self, call: Call) -> None:
        """`GET /token` and `POST /token`."""
        url = urllib.parse.urlsplit(call.path)
        form = b"".join(call.body).decode()
        if url.path != "/token":
            _refuse(call, 404, "NOT_FOUND", "the only address here is /token")
        elif call.command == "GET":
            self._get(call, urllib.parse.parse_qs(url.query))
        elif call.command == "POST":
            self._post(call, urllib.parse.parse_qs(form))
        else:
            _refuse(call, 405, "UNSUPPORTED", "GET or POST")

    def sign(self, account: str, granted: Collection[str]) -> str:
        """A token for scopes as `repository:team/app:pull,push`, valid for `lifetime` seconds."""
        now = int(time.time())
        header = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [base64.b64encode(_der(self._certificate)).decode()],
        }
        claims = {
            "iss": self.issuer,
            "sub": account,
            "aud": self.service,
            "exp": now + self.lifetime - REGISTRY_LEEWAY,
            "nbf": now - 1,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": [_access(scope) for scope in granted],
        }
        signed = f"{_base64url(_compact(header))}.{_base64url(_compact(claims))}"
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(signature)
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _get(self, call: Call, query: dict[str, list[str]]) -> None:
        account = self._basic(call.headers.get("Authorization"))
        if account is None:
            _refuse(call, 401, "UNAUTHORIZED", "incorrect username or password")
        elif query.get("service", [""])[0] != self.service:
            _refuse(call, 400, "UNSUPPORTED", f"the service here is {self.service}")
        else:
            answer = self._issue(account, query.get("scope", []))
            if query.get("offline_token") == ["true"]:
                answer["refresh_token"] = self.remember(account)
            _send(call, 200, {**answer, "token": answer["access_token"]})

    def _post(self, call: Call, form: dict[str, list[str]]) -> None:
        field = {name: values[0] for name, values in form.items()}
        account: str | None = None
        if field.get("grant_type") == "password":
            account = self._check(field.get("username", ""), field.get("password", ""))
        elif field.get("grant_type") == "refresh_token":
            account = self._refresh.get(field.get("refresh_token", ""))
        else:
            return _refuse(call, 400, "UNSUPPORTED", "grant_type is password or refresh_token")
        if account is None:
            return _refuse(call, 401, "UNAUTHORIZED", "incorrect username or password")
        if field.get("service") != self.service or not field.get("client_id"):
            return _refuse(call, 400, "UNSUPPORTED", "service and client_id are required")
        answer = self._issue(account, form.get("scope", []))
        if field["grant_type"] == "refresh_token":
            answer["refresh_token"] = field["refresh_token"]
        elif field.get("access_type") == "offline":
            answer["refresh_token"] = self.remember(account)
        return _send(call, 200, answer)

    def _basic(self, header: str | None) -> str | None:
        """The account of a Basic header: empty without one, `None` when it is wrong."""
        if header is None:
            return ""
        scheme, _, value = header.partition(" ")
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self._check(name, password) if scheme.lower() == "basic" else None

    def _check(self, name: str, password: str) -> str | None:
        known = self.users.get(name)
        return name if known is not None and secrets.compare_digest(known, password) else None

    def remember(self, account: str) -> str:
        """A new refresh token of an account, as it is kept by who logs in for longer."""
        token = secrets.token_urlsafe(32)
        self._refresh[token] = account
        return token

    def _issue(self, account: str, scopes: Collection[str]) -> dict[str, Any]:
        asked = tuple(scope for several in scopes for scope in several.split())
        granted = tuple(scope for one in asked if (scope := self._grant(account, one)))
        self._issued.append(Issued(account, asked, granted))
        answer: dict[str, Any] = {
            "access_token": self.sign(account, granted),
            "scope": " ".join(granted),
            "issued_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        told = self.lifetime if self.expires_in is None else self.expires_in
        return answer | ({"expires_in": told} if told else {})

    def _grant(self, account: str, scope: str) -> str:
        """The part of a scope that the account may have; empty for none of it."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        allowed: set[str] = set()
        for pattern, some in self.grants.get(account, {}).items():
            if fnmatch.fnmatchcase(name, pattern):
                allowed.update(some)
        kept = [action for action in actions.split(",") if action in allowed]
        return f"{kind}:{name}:{','.join(kept)}" if kind == "repository" and kept else ""


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256())


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _access(scope: str) -> dict[str, Any]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _send(call: Call, status: int, answer: dict[str, Any]) -> None:
    call.answer(status, _compact(answer), [("Content-Type", "application/json")])


def _refuse(call: Call, status: int, code: str, message: str) -> None:
    """An error in the registry's shape and, beside it, in Docker Hub's (`details`)."""
    errors = [{"code": code, "message": message, "detail": None}]
    _send(call, status, {"errors": errors, "details": message})
