"""What may be shown of an address, and how long to wait: the pure parts of `http`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.registry.addresses import redact, split
from feastflow_registry.registry.http import Response, address, retry_after

WORDS = st.text(alphabet="abcXYZ019-._~%:@$+", min_size=1)


@given(WORDS, WORDS, WORDS, WORDS)
def test_a_url_is_shown_without_what_may_be_secret(
    user: str, password: str, query: str, fragment: str
) -> None:
    url = f"https://{user}:{password}@registry.example.com:5000/v2/a/b"
    shown = "https://registry.example.com:5000/v2/a/b"
    assert redact(f"{url}?token={query}#{fragment}") == redact(url) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:50 GMT"}, 10.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"x-retry-after": "105"}, 5.0),
        ({"x-retry-after": "99", "retry-after": "7"}, 0.0),
        ({"retry-after": "9" * 50}, 999999999.0),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "\u0667"}, None),
        ({}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 100.0) == seconds


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        (
            b'{"errors": [{"code": "DENIED", "message": "no\\n\\u001b[1mway"}]}',
            ' ("DENIED: no  [1mway")',
        ),
        (b'{"message": "no way", "detail": "why"}', ' ("no way")'),
        (b'{"errors": [], "detail": "why"}', ' ("why")'),
        (b'{"errors": ["x"]}', ""),
        (b'{"errors": {}}', ""),
        (b'["x"]', ""),
        (b"<html>", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_what_a_server_says_of_a_refusal(body: bytes, explanation: str) -> None:
    assert Response(403, {}, body, "").explanation == explanation


NO_ADDRESSES = [
    *("", "http://[::1", "//[", "http://host:99999/x", "http://host:x/", "http:///x"),
    *("http://[::1]:-1/", "https://]/"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_told_from_one(text: str) -> None:
    answer = Response(307, {"location": text}, b"", "https://registry.example.com/v2/a")
    assert address(answer, "location") == ""
    assert split(text).hostname is None
    assert "@" not in redact(text)


def test_an_address_may_be_written_in_part() -> None:
    answer = Response(307, {"location": "../b?x=1"}, b"", "https://registry.example.com/v2/a/")
    assert address(answer, "location") == "https://registry.example.com/v2/b?x=1"
    assert address(answer, "link") == ""
