"""Whether Docker Hub's rules forbid that a tag is changed or deleted.

The rules are regular expressions of Go's RE2. Where Python's mean the same they are decided here;
a rule that uses more, or that could keep Python busy without end, leaves the answer open.
https://docs.docker.com/docker-hub/repos/manage/hub-images/immutable-tags/
https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_LONGEST = 200
_MOST_LOOPS, _MOST_REPEATS = 4, 8
_REPEAT = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})"
_ESCAPE = re.compile(r"\\(?:[dDwW]|[^\sA-Za-z0-9])")
_CLASS = re.compile(r"\[\^?(?!\])[A-Za-z0-9_.-]+\]")
_GROUP = re.compile(rf"\((?:\?:)?([^()?][^()]*)\)({_REPEAT}?)")
_FLAT = re.compile(rf"\^?(?:(?:[A-Za-z0-9_./:,=@|-]){_REPEAT}?\??)*\$?")


class Verdict(Enum):
    """Whether a tag is immutable, as far as can be told from here."""

    NO = "may be changed"
    MAYBE = "may be immutable"
    YES = "is immutable"


@dataclass(frozen=True, slots=True)
class ImmutableTags:
    """A repository's setting. ``rules``: any of them makes the tags that match it immutable."""

    enabled: bool = False
    rules: tuple[str, ...] = ()

    def judge(self, tag: str) -> tuple[Verdict, str]:
        """Say whether a tag is immutable, and by which rule.

        Docker does not say whether a rule must match the whole tag: if only a part matches, or
        if there is no rule at all, the tag may be immutable.
        """
        if not self.enabled:
            return Verdict.NO, ""
        found = [(_judge(rule, tag), rule) for rule in self.rules]
        for verdict in (Verdict.YES, Verdict.MAYBE):
            for each, rule in found:
                if each is verdict:
                    return verdict, rule
        return (Verdict.NO if self.rules else Verdict.MAYBE), ""


def _judge(rule: str, tag: str) -> Verdict:
    try:
        pattern = re.compile(rule, re.ASCII) if _is_common(rule) else None
    except re.error:
        pattern = None
    if pattern is None:
        return Verdict.MAYBE
    if pattern.fullmatch(tag):
        return Verdict.YES
    return Verdict.MAYBE if pattern.search(tag) else Verdict.NO


def _is_common(rule: str) -> bool:
    """Whether a rule means the same to RE2 and to Python, and is decided soon.

    Escapes, classes and groups are replaced by a letter from the inside out, until what is left
    is a row of letters, each repeated at most once. No repeated group may repeat or choose.
    """
    # "--" in a class means a difference of sets to Python one day.
    if len(rule) > _LONGEST or not rule.isascii() or "--" in rule:
        return False
    text = _CLASS.sub("x", _ESCAPE.sub("x", rule))
    loops, repeats = (len(re.findall(each, text)) for each in (r"[*+{]", r"[*+{?]"))
    while group := _GROUP.search(text):
        inner, repeat = group.groups()
        if repeat not in ("", "?") and re.search(r"[*+?{|]", inner):
            return False
        if any(_FLAT.fullmatch(each) is None for each in inner.split("|")):
            return False
        text = text[: group.start()] + "x" + repeat + text[group.end() :]
    soon = loops <= _MOST_LOOPS and repeats <= _MOST_REPEATS
    return soon and _FLAT.fullmatch(text) is not None
