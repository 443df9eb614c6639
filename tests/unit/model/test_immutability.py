"""Docker Hub's rules for immutable tags: decided where RE2 and Python agree, open elsewhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.model.immutability import ImmutableTags, Verdict

NO, MAYBE, YES = Verdict.NO, Verdict.MAYBE, Verdict.YES
COMMIT = "commit-0123abc"


@pytest.mark.parametrize(
    ("rule", "tag", "verdict"),
    [
        (".*", "latest", YES),
        ("v.*", "v1.2.3", YES),
        ("v.*", "latest", NO),
        ("v.*", "dev", MAYBE),
        ("latest", "latest", YES),
        ("^latest$", "latest2", NO),
        ("latest", "latest2", MAYBE),
        (r"^[0-9]+\.[0-9]+\.[0-9]+$", "1.2.3", YES),
        (r"^[0-9]+\.[0-9]+\.[0-9]+$", "1.2", NO),
        (r"^v?\d+\.\d+(?:\.\d+)?$", "v1.2", YES),
        (r"^v?\d+\.\d+(?:\.\d+)?$", COMMIT, NO),
        ("^commit-[0-9a-f]{7}$", COMMIT, YES),
        ("^(latest|sprint[0-9])$", "sprint3", YES),
        ("^(latest|sprint[0-9])$", "sprint33", NO),
        ("((a|b)c)d", "acd", YES),
        (r"[\w.-]+", COMMIT, YES),
        (r"\W", COMMIT, MAYBE),
        (r"^\w$", "\u00e9", NO),
        (r"\.", "latest", NO),
        ("x{2,}", "xxx", YES),
        ("x{2}", "latest", NO),
        ("(ab){2}", "abab", YES),
        ("la.*?t", "latest", YES),
        ("", "latest", MAYBE),
        ("(^at)", "latest", NO),
    ],
)
def test_a_rule(rule: str, tag: str, verdict: Verdict) -> None:
    expected = (verdict, "" if verdict is NO else rule)
    assert ImmutableTags(True, (rule,)).judge(tag) == expected


@pytest.mark.parametrize(
    "rule",
    [
        "(?i)LATEST",
        "(?P<name>z)",
        "[[:digit:]]",
        r"\pN",
        r"\Qz\E",
        r"\bz",
        r"\z",
        "z\\",
        "(z",
        "z)",
        "()",
        "z|^y",
        "z**",
        "z*+",
        "z{,3}",
        "z{2}{3}",
        "[y--z]",
        "[z-y]",
        "z{3,2}",
        "[]z]",
        "é",
        "(z+)+",
        "(z|zz)*",
        "(z?)*y",
        "(z**)",
        "yz*" * 5,
        "yz?" * 9,
        "z" * 201,
    ],
)
def test_a_rule_that_is_not_decided_here(rule: str) -> None:
    assert ImmutableTags(True, (rule,)).judge("latest") == (MAYBE, rule)


def test_the_strongest_of_several_rules() -> None:
    rules = ("v.*", "(?i)x", "at", "^latest$", ".*")
    assert ImmutableTags(True, rules).judge("latest") == (YES, "^latest$")
    assert ImmutableTags(True, rules[:3]).judge("latest") == (MAYBE, "(?i)x")
    assert ImmutableTags(True, rules[:1]).judge("latest") == (NO, "")


def test_a_setting_without_rules() -> None:
    assert ImmutableTags(True).judge("latest") == (MAYBE, "")
    assert ImmutableTags(False, (".*",)).judge("latest") == (NO, "")


@given(st.text(alphabet=r"ab1.-_*+?{},()|[]^$\dwpQE:<P", max_size=12), st.sampled_from(["ab", "1"]))
def test_whatever_the_rule_there_is_an_answer(rule: str, tag: str) -> None:
    verdict, by = ImmutableTags(True, (rule,)).judge(tag)
    assert by == ("" if verdict is NO else rule)
    if verdict is YES:
        assert re.fullmatch(rule, tag, re.ASCII)


def test_a_rule_that_would_keep_python_busy() -> None:
    """Without an end; there are too many ways to match."""
    for rule in ("(a+)+b", "(a|a)*b", "(a?){30}a{30}", "(.*)*x", "(?:a{0,9}){0,9}b"):
        assert ImmutableTags(True, (rule,)).judge("a" * 128)[0] is MAYBE
