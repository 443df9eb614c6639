from __future__ import annotations

import pytest

from feastflow_registry.kubernetes.yaml_lookup import Cursor
from feastflow_registry.model.yaml_tree import Limits, parse

ALIAS, REPEATED = "reached by an alias", "repeated by an alias"
MERGE, TWICE = "reached by <<", "reached by a key that is there twice"


def cursor(text: str) -> Cursor:
    (document,) = parse("f.yaml", text.encode(), Limits(1000, 1000, 10, "")).documents
    return Cursor(document)


def test_keys_lead_to_values() -> None:
    at = cursor("a: {b: [c, {'d': e}]}\nf: ~\ng: 'null'\nh:\n")
    (values,) = at.get("a", "b")
    (first, second) = values.each()
    assert (first.node.value, first.key, first.doubt) == ("c", None, None)
    assert [each.key.style for each in second.get("d") if each.key] == ["'"]
    assert (second.text("d"), second.text("x"), first.text("d")) == ("e", "", "")
    assert list(first.each()) == list(first.get("x")) == []
    assert (at.text("f"), at.text("g"), at.text("h")) == ("", "null", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\n", [("1", None)]),
        ("a: &a 1\n", [("1", None)]),
        ("a: 1\na: 2\n", [("1", (2, TWICE)), ("2", (2, TWICE))]),
        ("b: &b 1\na: *b\n", [("1", (2, ALIAS))]),
        ("a: &a 1\nb: *a\nc: *a\n", [("1", (2, REPEATED))]),
        ("<<: {a: 1}\nb: 2\n", [("1", (1, MERGE))]),
        ("<<: {a: 1}\na: 2\n", [("1", (1, MERGE)), ("2", (2, TWICE))]),
        ("a: 2\n<<: {a: 1}\n", [("1", (2, MERGE)), ("2", (1, TWICE))]),
        ("a: 2\n<<: {b: 1}\n", [("2", None)]),
        ("<<: [{b: 3}, {a: 1}, {a: 2}]\n", [("2", (1, MERGE)), ("1", (1, MERGE))]),
        ("<<: {<<: {a: 1}, b: 2}\n", [("1", (1, MERGE))]),
        ("b: &b {a: &c 1, d: *c}\n\n<<: *b\n", [("1", (3, MERGE))]),
        ("<<: a\n", []),
        ("'<<': {a: 1}\n", []),
    ],
)
def test_every_value_is_found_and_what_is_against_editing_it(
    text: str, found: list[tuple[str, object]]
) -> None:
    assert [(each.node.value, each.doubt) for each in cursor(text).get("a")] == found


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("a: {b: [c]}\n", None),
        ("a: {b: [d]}\na: {b: [c]}\n", (2, TWICE)),
        ("d: &d {b: [c]}\n\na: *d\n", (3, ALIAS)),
        ("a: &a {b: [c]}\nd: *a\n", (2, REPEATED)),
        ("a: {b: &b [c]}\nd: *b\n", (2, REPEATED)),
        ("d: &d c\na: {b: [*d]}\n", (2, ALIAS)),
        ("a: {b: [&c c]}\nd: *c\n", (2, REPEATED)),
        ("a: {<<: {b: [c]}}\n", (1, MERGE)),
    ],
)
def test_a_doubt_is_handed_down(text: str, doubt: object) -> None:
    doubts = [each.doubt for values in cursor(text).get("a", "b") for each in values.each()]
    assert set(doubts) == {doubt}
