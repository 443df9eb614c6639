"""The one filter that stands before everything this program writes for others to read.

A server may echo what it was sent, and a builder what it was given, in any encoding. ``Secrets``
learns every secret of a run, from whoever comes to know it, and hides all forms of it.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from threading import Lock

SHORTEST = 8
"""Characters. A shorter secret is part of many words: hiding it would tell where it is not."""
HIDDEN = "***"
CUT = "…"
"""What ends a text that was shortened."""
_WIDTHS = (60, 64, 76)
"""Characters of a line, as xxd, openssl and base64 break what they encode."""
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}|\\[u/]|&#|[0-9A-Fa-f]{2}[: ][0-9A-Fa-f]{2}[: ]")
_TELLING = 3
_BEGINNING = 12
"""Characters of a secret that give it away, wherever they stand."""


@dataclass(slots=True)
class Secrets:
    """The secrets of one run, and text without them. Threads may share it."""

    _forms: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Each form, the longest first, and the longest part of it that every encoding keeps."""
    _learning: Lock = field(default_factory=Lock)

    def learn(self, texts: Iterable[str]) -> None:
        """Hide these from now on, line by line, in every form; short ones are left out."""
        lines = {line for text in texts for line in text.splitlines() if len(line) >= SHORTEST}
        with self._learning:
            if lines <= self._forms.keys():
                return
            # Made anew: another thread may be looking through the old ones.
            known = set(self._forms).union(*(_wrapped(f) for line in lines for f in forms(line)))
            self._forms = {each: _kept(each) for each in sorted(known, key=len, reverse=True)}

    def learn_header(self, value: str) -> None:
        """Hide the credential of an ``Authorization`` header. RFC 9110, section 11.4."""
        scheme, _, credential = value.partition(" ")
        texts = [credential]
        if scheme.lower() == "basic":
            texts.append(_password(credential))
        self.learn(texts)

    def hide(self, text: str) -> str:
        """The text with three stars for each form of each secret, whole or cut off."""
        for form, kept in self._forms.items():
            if kept in text:  # Nearly never: an expression takes its time to be compiled.
                text = re.sub(_escaped(form), HIDDEN, text)
        text = self._hide_beginnings(self._hide_decoded(text))
        if CUT not in text:
            return text
        *parts, last = text.split(CUT)
        return CUT.join([*map(self._hide_end, parts), last])

    def _hide_decoded(self, text: str) -> str:
        """Hide whole lines that hold a secret encoded character by character, or twice."""
        if not _ENCODED.search(text):
            return text
        return "".join(
            HIDDEN + line[len(line.rstrip("\r\n")) :] if self._is_told(_decoded(line)) else line
            for line in text.splitlines(keepends=True)
        )

    def _is_told(self, text: str) -> bool:
        return any(form in text for form in self._forms)

    def _hide_beginnings(self, text: str) -> str:
        """Hide as much as is there of forms that were cut off somewhere."""
        long = (form for form in self._forms if len(form) > _BEGINNING)
        spans = sorted(span for form in long for span in _find(form, text))
        parts, last = [], 0
        for start, end in spans:
            if start >= last:
                parts += [text[last:start], HIDDEN]
            last = max(last, end)
        return "".join([*parts, text[last:]])

    def _hide_end(self, text: str) -> str:
        """Hide what a text ends with, if a form of a secret begins so."""
        for size in range(min(len(text), max(map(len, self._forms), default=0)), _TELLING, -1):
            end = text[-size:]
            if any(form.startswith(end) for form in self._forms):
                return text[:-size] + HIDDEN
        return text


def forms(secret: str) -> Iterator[str]:
    """Every text that gives a secret away: as it is, in JSON, in a URL, in hexadecimal, in base64.

    In base64, what stands before the secret shifts it by 0 to 2 bytes: the characters that are made
    of it alone are yielded. https://datatracker.ietf.org/doc/html/rfc4648#section-4
    """
    escaped = json.dumps(secret)[1:-1]
    quoted = urllib.parse.quote(secret, safe="")
    lower = re.sub("%..", lambda found: found[0].lower(), quoted)
    yield from {secret, escaped, quoted, quoted.replace("%20", "+"), lower}
    yield urllib.parse.quote(secret)
    data = secret.encode("utf-8", "surrogateescape")
    yield from (data.hex(), data.hex().upper())
    for text in {data, escaped.encode(), base64.b64encode(data)}:
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + text).decode()
            inner = encoded[-(-offset * 4 // 3) : (offset + len(text)) * 4 // 3 - 1]
            yield from (inner, inner.replace("+", "-").replace("/", "_"))


def _wrapped(form: str) -> Iterator[str]:
    """A form, and the lines that tools break it into."""
    yield form
    for width in _WIDTHS:
        lines = (form[start : start + width] for start in range(0, len(form), width))
        yield from (line for line in lines if len(line) >= SHORTEST)


def _decoded(line: str) -> str:
    """A line without escapes: of URLs, twice, of JSON, of HTML, of bytes in pairs of digits."""
    plain = html.unescape(urllib.parse.unquote(urllib.parse.unquote(line)))
    plain = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), plain)
    plain = plain.replace("\\/", "/")
    pairs = re.sub(
        r"[0-9A-Fa-f]{2}(?:[: ][0-9A-Fa-f]{2}){7,}",
        lambda found: bytes.fromhex(re.sub("[: ]", "", found[0])).decode("latin-1"),
        line,
    )
    return f"{plain}\n{pairs}"


def _find(form: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a form begins in a text, and where it ends or goes on otherwise, each time."""
    start = text.find(form[:_BEGINNING])
    while start >= 0:
        pairs = zip(form, text[start : start + len(form)], strict=False)
        end = start + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        yield start, end
        start = text.find(form[:_BEGINNING], start + _BEGINNING)


def _kept(form: str) -> str:
    """The longest run of letters and digits, which no encoding of a text changes."""
    runs: list[str] = re.findall("[A-Za-z0-9]*", form)
    return max(runs, key=len)


def _escaped(form: str) -> str:
    """An expression for a form, also as Markdown and HTML write it."""

    def one(sign: str) -> str:
        entity = re.escape(html.escape(sign))
        return sign if sign.isalnum() else f"(?:{re.escape(sign)}|{entity}|&#{ord(sign)};)"

    return "".join(map(one, form))


def _password(credential: str) -> str:
    """The password of a Basic credential. RFC 7617."""
    try:
        pair = base64.b64decode(credential, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]
