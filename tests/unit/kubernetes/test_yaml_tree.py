from __future__ import annotations

import pytest
import yaml
from support.failures import fails

from feastflow_registry.kubernetes import streams
from feastflow_registry.kubernetes.streams import LARGEST, Stream, parse
from feastflow_registry.kubernetes.yaml_tree import Cursor, Shape, uses

NINES = ", ".join(["x"] * 9)
BOMB = f"a: &a [{NINES}]\n" + "".join(
    f"{letter}: &{letter} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, letter in zip("abcdefgh", "bcdefghi", strict=True)
)


def read(text: str) -> Stream:
    return parse("f.yaml", text.encode())


def cursor(text: str) -> Cursor:
    (document,) = read(text).documents
    return Cursor(document)


def test_a_node_knows_where_it_stands() -> None:
    stream = parse(
        "f.yaml", "\ufeff# é😀\r\na: [b, 'c'] # d\r\n---\r\n...\r\n---\r\ne: |\r\n  f\r\n".encode()
    )
    first, second = stream.documents
    (key, value) = first.pairs()[0]
    assert (first.shape, key.shape, value.shape) == (Shape.MAPPING, Shape.SCALAR, Shape.LIST)
    assert (key.line, key.column, value.line, value.column) == (2, 0, 2, 3)
    assert stream.text[value.start : value.end] == "[b, 'c']"
    assert [stream.text[each.start : each.end] for each in value.items] == ["b", "'c'"]
    assert [each.style for each in (value, *value.items, second.items[1])] == ["{", "", "'", "|"]
    assert second.items[1].line == 6
    assert stream.encode(stream.text).startswith(b"\xef\xbb\xbf# ")


def test_nothing_is_no_document() -> None:
    for text in ("", "\n", "# a\n", "---\n", "---\n...\n---\n# b\n", "''", "{}", "[]"):
        assert read(text).documents == ()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: b: c", 1, "mapping values are not allowed in this context"),
        ("a:\n\tb: c\n", 2, "found character that cannot start any token"),
        ("a: [\n\n\n", 1, "did not find expected node content"),
        ("a: *b\n", 1, "the alias *b has no anchor before it"),
        ("a: &a [*a]\n", 1, "the alias *a has no anchor before it"),
        ("a: &a b\n---\nc: *a\n", 3, "the alias *a has no anchor before it"),
        ("a:\n  {b: c}: d\n", 2, "a key is no text"),
        ("? [a]\n: b\n", 1, "a key is no text"),
        ("a: &a {b: c}\n*a : d\n", 2, "a key is no text"),
        ("{a: b}\n{c: d}\n", 2, "did not find expected <document start>"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with fails(f"f.yaml, line {line}: this is not YAML: {said}.", "Correct it there"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.enabled }}\nkind: Pod\n{{- end }}\n",
        "kind: Pod\nspec:\n  image: {{ .Values.image }}\n",
        "kind: Pod\nmetadata:\n  {{- include 'labels' . | nindent 4 }}\n",
    ],
)
def test_a_template_is_told_from_a_mistake(text: str) -> None:
    with fails("this is not YAML", "Helm template", "values.yaml", "`helm template`"):
        read(text)


def test_what_is_no_text_is_refused() -> None:
    with fails("f.yaml is not text in UTF-8", "Save it as UTF-8"):
        parse("f.yaml", "kind: Pod\n".encode("utf-16"))
    with fails("f.yaml is not text in UTF-8"):
        parse("f.yaml", b"a: \xff\n")
    with fails("f.yaml, line 3: the character U+001B is not allowed", "Remove it"):
        read("a: b\n\nc: \x1b[31m\n")
    with fails("f.yaml is larger than 4 MiB", "Split it"):
        parse("f.yaml", b"#" * (LARGEST + 1))
    assert parse("f.yaml", b"#" * LARGEST).documents == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5000, "line 1: it is nested more than 100 levels deep"),
        ("a:\n" + "- " * 5000, "line 2: it is nested more than 100 levels deep"),
        (BOMB, "line 7: it stands for more than 750000 values"),
        (
            "x0: &x0 [1]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 500)),
            "line 100: it is nested more than 100 levels deep by its aliases",
        ),
    ],
    ids=["flow", "block", "bomb", "chain"],
)
def test_what_is_too_much_is_refused(text: str, said: str) -> None:
    with fails(f"f.yaml, {said}", "take out what is none"):
        read(text)


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_VALUES", 6)
    read("a: [b, c]\n---\nd: e\n")
    with fails("f.yaml, line 3: it stands for more than 6 values"):
        read("a: [b, c]\n---\nd: {e: f}\n")


def test_depth_and_aliases_within_the_limits_are_read() -> None:
    read("[" * 100 + "]" * 100)
    read(f"a: &a [{NINES}]\n" + "b: [" + "*a, " * 1000 + "]\n")


def test_keys_lead_to_values() -> None:
    at = cursor("a: {b: [c, {d: e}]}\nf: ~\ng: 'null'\nh:\n")
    assert [each.node.value for each in at.get("a", "b")] == [""]
    (values,) = at.get("a", "b")
    (first, second) = values.each()
    assert (first.node.value, first.path) == ("c", ("a", "b", 0))
    assert (second.text("d"), second.text("x"), first.text("d")) == ("e", "", "")
    assert list(first.each()) == list(first.get("x")) == []
    assert (at.text("f"), at.text("g"), at.text("h")) == ("", "null", "")


@pytest.mark.parametrize(
    ("text", "found", "doubt"),
    [
        ("a: 1\n", ["1"], 0),
        ("a: 1\na: 2\n", ["1", "2"], 2),
        ("<<: {a: 1}\nb: 2\n", ["1"], 0),
        ("<<: {a: 1}\na: 2\n", ["2"], 0),
        ("a: 2\n<<: {a: 1}\n", ["2", "1"], 2),
        ("a: 2\n<<: {b: 1}\n", ["2"], 0),
        ("<<: [{b: 3}, {a: 1}, {a: 2}]\n", ["1"], 0),
        ("<<: {a: 1}\n<<: {a: 2}\n", ["1", "2"], 2),
        ("<<: {<<: {a: 1}, b: 2}\n", ["1"], 0),
        ("<<: a\n", [], 0),
        ("'<<': {a: 1}\n", [], 0),
        ("b: &b {a: 1}\n<<: *b\n", ["1"], 0),
    ],
)
def test_merged_keys_are_found_and_what_is_ambiguous_is_said(
    text: str, found: list[str], doubt: int
) -> None:
    values = list(cursor(text).get("a"))
    assert [each.node.value for each in values] == found
    assert {each.doubt for each in values} <= {doubt}


def test_doubt_is_handed_down() -> None:
    at = cursor("a: {b: [c]}\nd: [e]\na: {b: [c]}\n")
    assert [each.doubt for value in at.get("a", "b") for each in value.each()] == [3, 3]
    assert [each.doubt for value in at.get("d") for each in value.each()] == [0]


def test_every_use_of_a_node_is_found() -> None:
    text = """\
x-held: &held v
.held: [*held]
a: &a v
b: [*a, {c: *a}]
d: &d {e: 1, f: *a}
g: {<<: *d, e: 2}
h: {<<: [*d, {e: 3}]}
i: {<<: [{e: 3}, *d]}
*a : i
"""
    (document,) = read(text).documents
    values = {key.value: value.real for key, value in document.pairs()}
    ways = {
        (path, line)
        for node, path, line in uses(document, [values["x-held"], values["a"]])
        if node is values["a"]
    }
    assert ways == {
        (("a",), 3),
        (("b", 0), 4),
        (("b", 1, "c"), 4),
        (("d", "f"), 5),
        (("g", "f"), 5),
        (("h", "f"), 5),
        (("i", "f"), 5),
        ((-1, "v"), 9),
    }
    assert not [node for node, _, _ in uses(document, [values["x-held"]])]
    one = values["d"].items[1]
    assert [path for _, path, _ in uses(document, [one])] == [("d", "e"), ("h", "e")]


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# é\r\na: &a [b, 'c']\r\nd: |\r\n  e\r\nf: *a\r\n"

    def shown() -> list[tuple[object, ...]]:
        (document,) = read(text).documents
        return [
            (
                each.shape,
                each.line,
                each.column,
                each.value,
                each.style,
                text[each.start : each.end].rstrip(),
            )
            for each in document.items
        ]

    fast = shown()
    monkeypatch.setattr(streams, "_PARSER", yaml.SafeLoader)
    assert shown() == fast
