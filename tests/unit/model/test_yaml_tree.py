from __future__ import annotations

import pytest
import yaml
from support.failures import fails

from feastflow_registry.model import yaml_tree
from feastflow_registry.model.yaml_tree import Limits, Shape, YamlFile, parse

LIMITS = Limits(
    size=64 * 1024, values=6000, depth=100, advice="Less.", template_advice="Helm template."
)
NINES = ", ".join(["x"] * 9)
BOMB = f"a: &a [{NINES}]\n" + "".join(
    f"{letter}: &{letter} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, letter in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "x0: &x0 [1]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 500))


def read(text: str, limits: Limits = LIMITS) -> YamlFile:
    return parse("f.yaml", text.encode(), limits)


def test_a_node_knows_where_it_stands() -> None:
    file = read("\ufeff# é😀\r\na: [b, 'c'] # d\r\n---\r\n...\r\n---\r\ne: |\r\n  f\r\n")
    first, empty, last = file.documents
    (key, value) = first.pairs()[0]
    assert (first.shape, key.shape, value.shape) == (Shape.MAPPING, Shape.SCALAR, Shape.LIST)
    assert (key.line, key.column, value.line, value.column) == (2, 0, 2, 3)
    assert file.text[value.start : value.end] == "[b, 'c']"
    assert [file.text[each.start : each.end] for each in value.items] == ["b", "'c'"]
    assert [each.style for each in (value, *value.items, last.items[1])] == ["{", "", "'", "|"]
    assert (empty.value, last.items[1].line) == ("", 6)
    assert (value.pairs(), empty.pairs()) == ([], [])
    assert file.encode(file.text).startswith(b"\xef\xbb\xbf# ")


def test_an_alias_is_a_node_of_its_own() -> None:
    (root,) = read("a: &a !x [b]\nc: *a\n<<: [*a, {d: e}]\n'<<': f\n!!str <<: g\n").documents
    pairs = root.pairs()
    target, alias = pairs[0][1], pairs[1][1]
    assert (alias.shape, alias.line, alias.real, target.real) == (Shape.ALIAS, 2, target, target)
    assert (target.tag, target.items[0].tag) == ("!x", "")
    assert [key.is_merge for key, _ in pairs] == [False, False, True, False, False]
    assert pairs[2][1].merged() == [target, pairs[2][1].items[1]]
    assert pairs[2][1].items[0].merged() == [target.items[0]]
    assert pairs[3][1].merged() == [pairs[3][1]]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: b: c", 1, "mapping values are not allowed in this context"),
        ("k" * 2000 + ": 1", 1, "mapping values are not allowed in this context"),
        ("a:\n\tb: c\n", 2, "found character that cannot start any token"),
        ("a: @x", 1, "found character that cannot start any token"),
        ('a: "x', 1, "found unexpected end of stream"),
        ("a: [b\nc: d\n", 2, "did not find expected ',' or ']'"),
        ("a: [\n\n\n", 1, "did not find expected node content"),
        ("a: *b\n", 1, "the alias *b has no anchor before it"),
        ("a: &a [*a]\n", 1, "the alias *a has no anchor before it"),
        ("a: &a {<<: *a}\n", 1, "the alias *a has no anchor before it"),
        ("a: &a b\n---\nc: *a\n", 3, "the alias *a has no anchor before it"),
        ("a:\n  {b: c}: d\n", 2, "a key is no text"),
        ("? [a]\n: b\n", 1, "a key is no text"),
        ("a: &a {b: c}\n*a : d\n", 2, "a key is no text"),
        ("{a: b}\n{c: d}\n", 2, "did not find expected <document start>"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with fails(f"f.yaml, line {line}: this is not YAML: {said}.", "Correct it there", "quote a"):
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
    with fails("this is not YAML", "Helm template."):
        read(text)


def test_what_is_no_text_is_refused() -> None:
    for content in ("kind: Pod\n".encode("utf-16"), b"a: \xff\n"):
        with fails("f.yaml is not text in UTF-8", "Save it as UTF-8"):
            parse("f.yaml", content, LIMITS)
    with fails(
        "f.yaml, line 3: the character U+001B is not allowed", "Remove this control character"
    ):
        read("a: b\n\nc: \x1b[31m\n")


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#" * (LIMITS.size + 1), " is larger than 64 KiB"),
        ("[" * 900, ", line 1: it is nested more than 100 levels deep"),
        ("{a: " * 5000, ", line 1: it is nested more than 100 levels deep"),
        ("a:\n" + "- " * 5000, ", line 2: it is nested more than 100 levels deep"),
        (CHAIN, ", line 100: it is nested more than 100 levels deep"),
        (BOMB, ", line 4: it stands for more than 6000 values"),
        ("- a\n" * 7000, ", line 6000: it stands for more than 6000 values"),
        (
            f"- &a {'a' * 50_000}\n" + "- *a\n" * 500,
            ", line 462: it stands for more than 6000 values",
        ),
        ("- a\n---\n" * 3100, ", line 6001: it stands for more than 6000 values"),
    ],
    ids=["large", "list", "mapping", "block", "chain", "bomb", "flat", "long", "documents"],
)
def test_what_is_too_much_is_refused(text: str, said: str) -> None:
    with fails(f"f.yaml{said}. Less."):
        read(text)


def test_what_is_within_the_limits_is_read() -> None:
    read("#" * LIMITS.size)
    read("[" * 100 + "]" * 100)
    read("- a\n" * 5999)
    read(f"a: &a [{NINES}]\n" + "b: [" + "*a, " * 490 + "]\n")


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# é\r\na: &a [b, 'c']\r\nd: |\r\n  e\r\nf: *a\r\n"

    def described() -> list[tuple[object, ...]]:
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

    fast = described()
    monkeypatch.setattr(yaml_tree, "_PARSER", yaml.SafeLoader)
    assert described() == fast
