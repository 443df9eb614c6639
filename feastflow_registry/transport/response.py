"""An answer, and what its headers say: where to go on, and how long to wait."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import json_object
from feastflow_registry.model.wording import printable
from feastflow_registry.transport.addresses import redact, same_origin, split

_LONGEST_LIST = 600.0
_LINK = re.compile(r"<([^<>]*)>([^<]*)")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def json(self) -> Mapping[str, object]:
        """The body as a JSON object; an empty one if it is anything else."""
        try:
            return json_object(self.body)
        except Failure:
            return {}

    @property
    def explanation(self) -> str:
        """What the server says of a refusal, as `` ("…")``; empty if it says nothing.

        A registry sends a list of ``errors``, Docker Hub a ``message`` or a ``detail``.
        """
        data = self.json
        errors = data.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else None
        if isinstance(first, dict):
            text = f"{first.get('code', '')}: {first.get('message', '')}"
        else:
            text = str(data.get("message") or data.get("detail") or "")
        return f' ("{printable(text, 200)}")' if text else ""


def address(response: Response, name: str) -> str:
    """The whole address that a header names; empty, if it names none."""
    location = response.headers.get(name, "")
    try:
        target = urljoin(response.url, location) if location else ""
    except ValueError:
        return ""
    return target if split(target).hostname else ""


def server_time(headers: Mapping[str, str], now: float) -> float:
    """Unix time by the server's clock, which its other times go by; ``now`` if it sends none."""
    try:
        return email.utils.parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return now


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait: ``Retry-After`` in seconds or as a date, Docker Hub's or GitHub's unix time.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    now = server_time(headers, now)
    text = headers.get("retry-after", "")
    stamp = headers.get("x-retry-after", "")
    if not text and not stamp and headers.get("x-ratelimit-remaining") == "0":
        stamp = headers.get("x-ratelimit-reset", "")
    if stamp.isascii() and stamp.isdigit():
        return max(0.0, int(stamp[:12]) - now)
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def next_page(response: Response) -> str:
    """The next page's address, from ``Link: <…>; rel="next"``; empty after the last one.

    It may have another path: Artifactory and Nexus name one of their own. Raises an unreachable
    failure, if it is on another host.
    https://www.rfc-editor.org/rfc/rfc8288#section-3
    """
    for link, parameters in _LINK.findall(response.headers.get("link", "")):
        if "next" not in parameters:
            continue
        try:
            found = same_origin(response.url, urljoin(response.url, link))
        except ValueError:
            found = ""
        if not found:
            raise misbehaving(f"{redact(response.url)} continues at another address")
        return found
    return ""


def pages(clock: Callable[[], float], most: int, endless: Failure) -> Iterator[int]:
    """Number the pages of a list. Raises ``endless`` after too many, or after ten minutes.

    ``clock``: in seconds. Each page may be slow, and all of them together must not be.
    """
    until = clock() + _LONGEST_LIST
    for page in range(most):
        if clock() > until:
            break
        yield page
    raise endless


def misbehaving(cause: str) -> Failure:
    """A server answered what its protocol does not know."""
    return Failure(Kind.UNREACHABLE, f"{cause}.", "Check the registry's status, then run again.")
