from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails

from feastflow_registry.config.strict_yaml import LARGEST, Date, Document, read
from feastflow_registry.model.errors import Failure


def test_every_value_has_its_line() -> None:
    found = read("f.yml", b"# first\na:\n  b: [x,\n    y]\nc: >\n  one\n  two\n")
    assert found.data == {"a": {"b": ["x", "y"]}, "c": "one two\n"}
    assert found.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("c",): 5,
    }
    assert found.line(("a", "b", 7, "z")) == 3
    assert found.place(("c",)) == "f.yml, line 5"
    assert found.value(("a", "b", 1)) == "y"
    assert found.value(("a", "z")) is None
    assert found.value(("c", "z")) is None


def test_what_was_not_read_from_a_file_has_no_lines() -> None:
    assert Document("compose.yaml").place(("services",)) == "compose.yaml"
    assert Document("compose.yaml").line(()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.10", 1.1),
        ("0012345", 5349),
        ("22:22", 1342),
        ("no", False),
        ("On", True),
        ("~", None),
        ("", None),
        ("!!null x", None),
        ("2024-01-01", Date("2024-01-01")),
        ("2024-13-45", Date("2024-13-45")),
    ],
)
def test_what_yaml_takes_for_something_else_keeps_its_text(text: str, value: object) -> None:
    found = read("f.yml", f"a: {text}\n".encode())
    assert found.data == {"a": value}
    assert found.texts == {("a",): text.removeprefix("!!null ")}
    assert found.findings == []


@pytest.mark.parametrize("text", ['"1.10"', "'1.10'", "!!str 1.10"])
def test_a_quoted_value_is_a_text(text: str) -> None:
    assert read("f.yml", f"a: {text}\n".encode()).data == {"a": "1.10"}


@pytest.mark.parametrize(
    "content",
    [b"a: b\r\nc: d\r\n", b"\xef\xbb\xbfa: b\nc: d\n", b"%YAML 1.1\n---\na: b\nc: d\n...\n"],
    ids=["CRLF", "BOM", "directive"],
)
def test_files_as_editors_write_them(content: bytes) -> None:
    assert read("f.yml", content).data == {"a": "b", "c": "d"}


def test_merged_keys_yield_to_those_of_the_mapping_and_to_earlier_ones() -> None:
    text = """\
one: &one {a: one, b: one}
two: &two {b: two, c: two}
all: {<<: [*one, *two], c: own}
single: {<<: *one}
"""
    found = read("f.yml", text.encode())
    assert isinstance(found.data, dict)
    assert found.data["all"] == {"a": "one", "b": "one", "c": "own"}
    assert found.data["single"] == {"a": "one", "b": "one"}
    assert found.line(("all", "a")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", ["line 3", "'a' is there twice", "Remove one"]),
        ("a: {b: 1, b: 2}", ["line 1", "'b' is there twice"]),
        ("no: 1", ["'no' is not a text to YAML", "Quote it"]),
        ("1: x", ["'1' is not a text"]),
        ("a: {<<: x}", ["<< must be followed by a mapping", "*alias"]),
        ("a:\n  b: !!python/object:os.system x", ["line 2", "'!!python/object:os.system'"]),
        ("a: !secret x", ["'!secret' has no meaning here", "Remove it"]),
        ("a: !!set {b}", ["'!!set' has no meaning"]),
        ("a: !!omap []", ["'!!omap' has no meaning"]),
        ("a: !!binary eA==", ["'!!binary' has no meaning"]),
        ("a: 0x_", ["'0x_' is not a value that YAML can read", "Quote it"]),
        ("a: !!bool x", ["'x' is not a value"]),
        ("a: " + "9" * 200_000, ["is not a value"]),
        ("a: 1" + ":1" * 100_000, ["is not a value"]),
    ],
)
def test_what_is_wrong_in_one_place_is_found_there(text: str, words: list[str]) -> None:
    found = read("f.yml", text.encode())
    assert len(found.findings) == 1
    problem = found.findings[0].problem
    assert problem.cause.startswith(f"f.yml, line {found.findings[0].line}: ")
    assert problem.cause.endswith(".")
    assert problem.fix.endswith(".")
    assert len(str(problem)) < 200
    for word in words:
        assert word in str(problem)


def test_all_that_is_wrong_is_found() -> None:
    found = read("f.yml", b"a: 1\na: 2\nno: 3\nb: !x y\n")
    assert [each.line for each in found.findings] == [2, 3, 4]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["f.yml is empty", "feastflow-registry init"]),
        (b"# nothing\n\n", ["is empty"]),
        (b"x" * (LARGEST + 1), ["f.yml is larger than 256 KiB", "services and policy"]),
        (b"a: b\n---\nc: d\n", ["line 2: a second document begins", "three dashes"]),
        (b"---\n" * 60_000, ["line 2: a second document"]),
        (b"[" * 900, ["nested more than 32 levels deep", "services and policy"]),
        (b"- a\n" * 60_000, ["line 10000: it stands for more than 10000 values"]),
        (
            b"a: &a {%s}\nb: [%s]"
            % (b",".join(b"k%d: 1" % n for n in range(999)), b",".join([b"{<<: *a}"] * 999)),
            ["line 2: it stands for more than 10000 values"],
        ),
    ],
)
def test_refuses_a_file_that_is_none(content: bytes, words: list[str]) -> None:
    with fails(*words) as caught:
        read("f.yml", content)
    assert len(caught.value.problems) == 1
    assert len(str(caught.value)) < 400


PIECES = st.sampled_from([*"[]{}:,-?*&!|>'\"%@`#~ \n\t=", "a", "1", "no", "<<: *a", "&a", "---\n"])


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Failure):
        read("f.yml", text.encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(Failure):
        read("f.yml", content)
