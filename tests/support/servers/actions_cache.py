"""GitHub's cache, version 2, as far as BuildKit speaks with it.

What is asked: https://github.com/tonistiigi/go-actions-cache (cache_v2.go), the client of BuildKit.
Layers lie in Azure's block blobs: https://learn.microsoft.com/rest/api/storageservices/put-block-list.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.servers.serving import Call, Server

_TWIRP = "/twirp/github.actions.results.api.v1.CacheService/"


class ActionsCache(Server):
    """Holds what one repository has cached. `status`: what it answers instead, if not 0."""

    def __init__(self) -> None:
        super().__init__()
        self.token = _token()
        self.entries: dict[str, bytes] = {}
        """What is cached, by its key."""
        self.status = 0
        self._keys: list[str] = []
        self._blocks: dict[tuple[str, str], bytes] = {}
        self._held = threading.Lock()

    @property
    def service(self) -> dict[str, str]:
        """What the runner tells a step that is JavaScript."""
        return {
            "ACTIONS_RUNTIME_TOKEN": self.token,
            "ACTIONS_RESULTS_URL": f"{self.url}/",
            "ACTIONS_CACHE_SERVICE_V2": "True",
        }

    def scopes(self) -> set[str]:
        """The parts of the cache in which an index lies."""
        found = (re.fullmatch(r"index-(.+)-1-[0-9a-f]{8}#\d+", each) for each in self.entries)
        return {each[1] for each in found if each}

    def respond(self, call: Call) -> None:
        """Answer a question about an entry, or store and give its bytes."""
        body = b"".join(call.body)
        if not call.path.startswith(_TWIRP):
            with self._held:
                self._blob(call, body)
        elif self.status:
            self._say(call, self.status, {"code": "unknown", "msg": "told to fail"})
        elif call.headers.get("Authorization") != f"Bearer {self.token}":
            self._say(call, 401, {"code": "unauthenticated", "msg": "no such token"})
        else:
            with self._held:
                self._ask(call, json.loads(body))

    def _ask(self, call: Call, asked: dict[str, Any]) -> None:
        key = asked["key"]
        match call.path.removeprefix(_TWIRP):
            case "CreateCacheEntry" if key in self._keys:
                self._say(call, 409, {"code": "already_exists", "msg": "it is there"})
            case "CreateCacheEntry":
                self._keys.append(key)
                self._say(call, 200, {"ok": True, "signed_upload_url": self._address(key)})
            case "FinalizeCacheEntryUpload":
                self._say(call, 200, {"ok": key in self.entries, "entry_id": "1"})
            case "GetCacheEntryDownloadURL":
                wanted = [key, *asked["restore_keys"]]
                fits = [k for k in reversed(self._keys) if k in self.entries]
                found = next((k for each in wanted for k in fits if k.startswith(each)), "")
                address = self._address(found) if found else ""
                known = {"signed_download_url": address, "matched_key": found}
                self._say(call, 200, {"ok": bool(found), **known})

    def _address(self, key: str) -> str:
        return f"{self.url}/blobs/{self._keys.index(key)}?sig=signed"

    def _blob(self, call: Call, body: bytes) -> None:
        address = urlsplit(call.path)
        key = self._keys[int(address.path.rpartition("/")[2])]
        query = parse_qs(address.query)
        kind = query.get("comp", [""])[0]
        headers = [("x-ms-request-id", "1"), ("ETag", '"1"'), ("Date", _date())]
        if call.command == "GET":
            first = int((call.headers.get("x-ms-range") or "bytes=0-")[6:].partition("-")[0])
            found = self.entries[key][first:]
            last, whole = first + len(found) - 1, len(self.entries[key])
            placed = ("Content-Range", f"bytes {first}-{last}/{whole}")
            call.answer(206, found, [*headers, placed])
            return
        if kind == "block":
            self._blocks[key, query["blockid"][0]] = body
        elif kind == "blocklist":
            order = re.findall(rb"<Latest>(.*?)</Latest>", body)
            self.entries[key] = b"".join(self._blocks[key, each.decode()] for each in order)
        else:
            self.entries[key] = body
        call.answer(201, b"", [*headers, ("Last-Modified", _date())])

    @staticmethod
    def _say(call: Call, status: int, body: dict[str, Any]) -> None:
        call.answer(status, json.dumps(body).encode(), [("Content-Type", "application/json")])


def _date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())


def _token() -> str:
    """A token as GitHub's are: it may write in main's part, and read there."""
    scopes = json.dumps([{"Scope": "refs/heads/main", "Permission": 3}])
    claims = {"ac": scopes, "nbf": int(time.time()) - 60, "exp": int(time.time()) + 3600}
    parts = [json.dumps(each).encode() for each in ({"alg": "HS256", "typ": "JWT"}, claims)]
    encoded = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts]
    return ".".join((*encoded, secrets.token_urlsafe(32)))
