"""Every message of the program, and the page that says more of those that often come."""

from __future__ import annotations

import re
from itertools import product

import pytest
from support.messages import PAGE, ROOT, Message, listing, literals, messages, rows

from feastflow_registry.config.settings import INPUTS, option
from feastflow_registry.model.errors import HELP

ALL = messages()
DOCUMENTED = [each for each in ALL if each.see]
NOTES = {"taken-back", "python", "also"}
"""What is said of a tag that stays, before the program is there, and of one registry of several."""
LITERALS = literals()


def test_the_list_is_what_was_read() -> None:
    """After a change, `dev/messages` writes it anew; then read it."""
    kept = (ROOT / "tests/lint/messages.txt").read_text(encoding="utf-8")
    assert listing() == kept


def test_every_place_is_named_by_a_message_and_every_name_has_a_place() -> None:
    assert {each.see for each in DOCUMENTED} | NOTES == set(rows())


def test_the_address_is_that_of_the_page() -> None:
    assert HELP.endswith(f"/blob/main/{PAGE.relative_to(ROOT)}")


@pytest.mark.parametrize("place", sorted(rows()))
def test_what_the_page_shows_is_what_is_said(place: str) -> None:
    """What stands between backquotes is in a message of that place, whatever stands for `…`."""
    said = [
        f"{cause} {fix}"
        for each in DOCUMENTED
        if each.see == place
        for cause, fix in product(each.causes, each.fixes)
    ]
    assert said or place in NOTES
    for shown in re.findall(r"`([^`]+)`", rows()[place]):
        parts = [re.escape(each) for each in re.split(r" ?… ?", shown) if each]
        found = re.compile(".*".join(parts), re.DOTALL)
        assert any(map(found.search, [*said, *LITERALS])), shown


def test_an_input_is_named_in_the_one_form_that_is_spelled_for_its_reader() -> None:
    """`config/input_names.py` knows `input "to"` and `input "latest: force"`, and no other."""
    names = "|".join(option(name) for name in INPUTS)
    bare = re.compile(
        rf"\binput (?:{names})(?![\w-])|(?<!\")\b(?:tag|latest|dry-run): [a-z](?!his)"
    )
    for message in ALL:
        for text in message.texts:
            assert not bare.search(text), text


@pytest.mark.parametrize("message", ALL, ids=str)
def test_a_message_is_one_sentence_of_cause_and_one_of_fix(message: Message) -> None:
    for text in message.texts:
        assert not text or text[-1] in '.…"' or text.startswith("is ") or "://" in text, text
        assert "\n" not in text
        assert "  " not in text
