from __future__ import annotations

import pytest
from support.failures import fails

from feastflow_registry.kubernetes.streams import Stream, parse
from feastflow_registry.kubernetes.yaml_edit import Insertion, Replacement, Step, rewrite
from feastflow_registry.kubernetes.yaml_tree import Node


def stream(text: str) -> tuple[Stream, list[tuple[Node, Node]]]:
    found = parse("f.yaml", text.encode())
    return found, found.documents[0].pairs()


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("a: b # c", "d", 'a: "d" # c'),
        ("a: b\n", "d-e", "a: d-e\n"),
        ("a: 'b'\n", "123", "a: '123'\n"),
        ('a: &x !!str "b\\x41\\\n  c"\n', "d", 'a: &x !!str "d"\n'),
        ("a: &x\n  'b'\n", "d", "a: &x\n  'd'\n"),
        ("a: ''\n", "d", "a: 'd'\n"),
        ("a:\n", "d-e", "a: d-e\n"),
        ("a: >2- # a\n\n\n    \n", "d", None),
        ("a: >-\r\n  b\r\n\r\n# b\r\n", "d", "a: >-\r\n  d\r\n\r\n# b\r\n"),
        ("a: |-\n  b\u2028", "d", "a: |-\n  d\u2028"),
        ("a: b\n", "c: d", None),
        ("a: 'b'\n", "c'd", None),
        ('a: "b"\n', "\\q", None),
        ("a: b\n", "c-d # e", None),
    ],
)
def test_a_text_is_replaced_in_its_own_manner_or_not_at_all(
    old: str, value: str, new: str | None
) -> None:
    found, [(_, node), *_] = stream(old)
    if new is None:
        with fails("f.yaml, line 1: this is written in a way that cannot be edited in place"):
            rewrite(found, [Replacement(node, value)])
    else:
        assert rewrite(found, [Replacement(node, value)]) == new.encode()


def test_steps_may_meet_and_come_in_any_order() -> None:
    found, [(key, first), (_, second)] = stream("\ufeff{a: , b: 1}")
    root = found.documents[0]
    steps: list[Step] = [
        Insertion(root, key, first, (("c", "x-1"), ("d", "2"))),
        Replacement(second, "y-1"),
        Replacement(first, "z-1"),
    ]
    wanted = '\ufeff{a: z-1, c: x-1, d: "2", b: y-1}'
    assert rewrite(found, steps) == rewrite(found, steps[::-1]) == wanted.encode()
    assert rewrite(found, []) == "\ufeff{a: , b: 1}".encode()
