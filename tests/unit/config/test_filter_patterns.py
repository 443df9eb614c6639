from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failures import fails

from feastflow_registry.config.filter_patterns import is_literal, matches, parse_pattern
from feastflow_registry.model.errors import Failure


# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#patterns-to-match-branches-and-tags
@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        (
            "feature/*",
            ["feature/my-branch", "feature/your-branch"],
            ["feature", "feature/a/b", "my/feature/a"],
        ),
        (
            "feature/**",
            ["feature/beta-a/my-branch", "feature/your-branch", "feature/mona/the/octocat"],
            ["feature", "features/a"],
        ),
        ("main", ["main"], ["mains", "a/main", "Main", "main\n"]),
        ("releases/mona-the-octocat", ["releases/mona-the-octocat"], ["releases/mona"]),
        ("*", ["main", "releases"], ["all/the", "a/"]),
        ("**", ["all/the/branches", "every/tag", "main"], []),
        ("*feature", ["mona-feature", "feature", "ver-10-feature"], ["a/feature", "features"]),
        ("v2*", ["v2", "v2.0", "v2.9"], ["v1", "v2/a"]),
        ("v[12].[0-9]+.[0-9]+", ["v1.10.1", "v2.0.0"], ["v3.0.0", "v1.10", "v1x10x1"]),
        # The other characters of the cheat sheet.
        ("*.jsx?", ["page.js", "page.jsx"], ["page.jsxx", "pageXjs"]),
        ("v1+", ["v1", "v111"], ["v"]),
        ("[CDc-d]x", ["Cx", "cx"], ["ex", "-x"]),
        (r"\*star", ["*star"], ["xstar"]),
        (r"a\!b", ["a!b"], ["ab"]),
        ("a.b", ["a.b"], ["axb"]),
        ("(a|b)", ["(a|b)"], ["a"]),
        (r"\*+", ["*", "**"], ["", "*x"]),
        ("ab?c+", ["ac", "abcc"], ["abbc", "ab"]),
    ],
)
def test_githubs_examples(pattern: str, names: list[str], others: list[str]) -> None:
    assert [name for name in names if not matches(name, [pattern])] == []
    assert [name for name in others if matches(name, [pattern])] == []


@pytest.mark.parametrize(
    ("patterns", "name", "answer"),
    [
        (["releases/**", "!releases/**-alpha"], "releases/10", True),
        (["releases/**", "!releases/**-alpha"], "releases/10-alpha", False),
        (["releases/**", "!releases/**-alpha", "releases/9-alpha"], "releases/9-alpha", True),
        (["!main"], "other", False),
        ([], "main", False),
        (["main", "main"], "main", True),
    ],
)
def test_order_counts(patterns: list[str], name: str, answer: bool) -> None:
    assert matches(name, patterns) is answer


@pytest.mark.parametrize(
    "pattern", ["?", "+a", "a++", "a?+", "*?", "[", "[z-a]", "a]", "a!b", "[^a]", "a\\", "[]"]
)
def test_refuses_what_github_would(pattern: str) -> None:
    with fails(repr(pattern), "on.push.branches"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [("main", True), ("release/1.0", True), ("rel*", False), ("!a", False), ("v[1]", False)],
)
def test_is_literal(pattern: str, answer: bool) -> None:
    assert is_literal(pattern) is answer


@given(st.text(alphabet="abc/.-_()|^${}", min_size=1))
def test_a_literal_matches_itself_alone(name: str) -> None:
    assert is_literal(name)
    assert matches(name, [name])
    assert not matches(name + "x", [name])


@settings(max_examples=50)
@given(st.text())
def test_any_pattern_is_compiled_or_refused(pattern: str) -> None:
    with suppress(Failure):
        parse_pattern(pattern)


@given(
    st.lists(st.sampled_from(["a", "b", "/", "a?", "b+", "/+", "a*", "b**", "[ab]", "[ab]+"])),
    st.text(alphabet="ab/\n", max_size=8),
)
def test_it_matches_what_a_regular_expression_does(pieces: list[str], name: str) -> None:
    meaning = {"a*": "a[^/]*", "b**": "b.*"}
    expected = re.fullmatch("".join(meaning.get(each, each) for each in pieces), name, re.DOTALL)
    assert matches(name, ["".join(pieces)]) is bool(expected)


@pytest.mark.parametrize("piece", ["a+", "*", "**", "[a-z]+", "a?", "a+*"])
def test_no_pattern_takes_long(piece: str) -> None:
    """With a regular expression it took hours: a step for each way to share the name out."""
    many = piece * 60
    assert matches("a" * 400, [f"{many}**"])
    assert not matches("a" * 400 + "!", [f"{many}b"])
