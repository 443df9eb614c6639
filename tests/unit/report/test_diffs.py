from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.report.deploy import unified

TEN = "".join(f"{number}\n" for number in range(1, 11))


def test_nothing_differs_in_the_same() -> None:
    assert unified("f", b"a\n", b"a\n") == ""
    assert unified("f", b"", b"") == ""


def test_a_change_is_shown_with_what_is_around_it() -> None:
    assert unified("k8s/f.yaml", TEN.encode(), TEN.replace("5", "five").encode()) == (
        "--- a/k8s/f.yaml\n+++ b/k8s/f.yaml\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
    )


def test_a_line_that_comes_moves_those_below_it() -> None:
    assert unified("f", b"a\nc\n", b"a\nb\nc\n") == (
        "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n+b\n c\n"
    )


def test_changes_far_apart_have_hunks_of_their_own() -> None:
    found = unified("f", TEN.encode(), TEN.replace("1\n", "one\n", 1).replace("9", "nine").encode())
    assert [line for line in found.split("\n") if line.startswith("@@")] == [
        "@@ -1,4 +1,4 @@",
        "@@ -6,5 +6,5 @@",
    ]


def test_changes_close_to_one_another_share_one() -> None:
    assert unified("f", b"1\n2\n3\n", b"one\n2\nthree\n") == (
        "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n-1\n+one\n 2\n-3\n+three\n"
    )


@pytest.mark.parametrize(
    ("new", "hunks"),
    [
        (f"a\nb\n{TEN}".replace("9\n", ""), ["@@ -1,3 +1,5 @@", "@@ -6,5 +8,4 @@"]),
        (
            TEN.replace("1\n", "one\n", 1).replace("5", "five").replace("10", "ten"),
            ["@@ -1,10 +1,10 @@"],
        ),
        (TEN.replace("3", "3\nthree").replace("6", "6\nsix"), ["@@ -1,9 +1,11 @@"]),
    ],
)
def test_hunks_count_the_lines_of_both(new: str, hunks: list[str]) -> None:
    found = unified("f", TEN.encode(), new.encode())
    assert [line for line in found.split("\n") if line.startswith("@@")] == hunks


@pytest.mark.parametrize(("changed", "count"), [("8", 1), ("9", 2)])
def test_what_has_its_context_in_common_shares_one(changed: str, count: int) -> None:
    new = TEN.replace("1\n", "one\n", 1).replace(changed, "x")
    assert unified("f", TEN.encode(), new.encode()).count("@@ -") == count


def test_a_line_that_is_there_often_is_a_line_all_the_same() -> None:
    old = b"a\n" * 300
    assert unified("f", old, b"b\n" + old).split("\n", 3)[3] == "+b\n a\n a\n a\n"


def test_a_line_break_that_is_not_there_is_told() -> None:
    assert unified("f", b"a\nb", b"a\nc") == (
        "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n"
        "-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"
    )


def test_nothing_in_a_file_commands_a_terminal_or_a_runner() -> None:
    old, new = (
        b"::error::\xc3\xa9\x1b[31m\r\nb\tc\xe2\x80\xa8\r\n",
        "::stop-commands::x\r\nb\td\u202e\r\n",
    )
    found = unified("a\n::error::", old, new.encode())
    assert found == (
        "--- a/a\\n::error::\n+++ b/a\\n::error::\n@@ -1,2 +1,2 @@\n"
        "-::error::é\\x1b[31m\n-b\tc\\u2028\n+::stop-commands::x\n+b\td\\u202e\n"
    )
    assert all(line[:1] in "-+ @\\" for line in found.split("\n"))


@pytest.mark.no_cover
def test_thousands_of_changes_take_no_time() -> None:
    old = "image: a\nname: b\n\n" * 30_000
    found = unified("f", old.encode(), old.replace("a\n", "c\n").encode())
    assert found.count("\n+image: c\n") == 30_000


LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


@pytest.mark.parametrize("inserted", [False, True])
@given(st.data())
def test_it_is_what_difflib_writes(inserted: bool, data: st.DataObject) -> None:
    """The same lines, and hunks that add up; difflib may choose other lines to call the same."""
    old = data.draw(LINES)
    new = data.draw(LINES) if inserted else [data.draw(st.sampled_from("abc")) for _ in old]
    found = unified(
        "f",
        "".join(f"{each}\n" for each in old).encode(),
        "".join(f"{each}\n" for each in new).encode(),
    )
    body = found.split("\n")[2:-1]
    before = iter(old)
    at, result = 0, []
    for line in body:
        if line.startswith("@@"):
            start = int(line.split("-")[1].split(",")[0]) - 1
            while at < start:
                result.append(next(before))
                at += 1
        else:
            if line[0] in " -":
                assert next(before) == line[1:]
                at += 1
            if line[0] in " +":
                result.append(line[1:])
    assert [*result, *before] == new
    if old != new and len(old) != len(new):
        wanted = difflib.unified_diff(old, new, "a/f", "b/f", lineterm="")
        assert [line for line in body if line[0] != "@"] == [
            line for line in [*wanted][2:] if line[:2] != "@@"
        ]
