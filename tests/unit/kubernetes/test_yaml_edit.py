from __future__ import annotations

import pytest
from support.failures import fails

from feastflow_registry.kubernetes.yaml_edit import Insertion, Replacement, TextEdit, rewrite
from feastflow_registry.model.yaml_tree import Limits, Node, YamlFile, parse


def read(text: str) -> tuple[YamlFile, list[tuple[Node, Node]]]:
    file = parse("f.yaml", text.encode(), Limits(1000, 1000, 10, ""))
    return file, file.documents[0].pairs()


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
    file, [(_, node), *_] = read(old)
    if new is None:
        with fails("f.yaml, line 1: this is written in a way that cannot be edited in place"):
            rewrite(file, [Replacement(node, value)])
    else:
        assert rewrite(file, [Replacement(node, value)]) == new.encode()


def test_edits_may_meet_and_come_in_any_order() -> None:
    file, [(key, first), (_, second)] = read("\ufeff{a: , b: 1}")
    root = file.documents[0]
    edits: list[TextEdit] = [
        Insertion(root, key, first, (("c", "x-1"), ("d", "2"))),
        Replacement(second, "y-1"),
        Replacement(first, "z-1"),
    ]
    wanted = '\ufeff{a: z-1, c: x-1, d: "2", b: y-1}'
    assert rewrite(file, edits) == rewrite(file, edits[::-1]) == wanted.encode()
    assert rewrite(file, []) == "\ufeff{a: , b: 1}".encode()
