"""The filter knows every form of every secret, and leaves everything else alone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import token_search

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.secrets import HIDDEN, SHORTEST, Secrets
from feastflow_registry.report.summary import cell

TOKENS = ("ab%cd/ef+gh==", "dckr_pat_Ab-9_x+/=z", 'a"b\\c<&>|`*[]~@$d', "pässwört-ü", "9" * 60)
SECRETS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=SHORTEST, max_size=80)


def secrets(*texts: str) -> Secrets:
    found = Secrets()
    found.learn(texts)
    return found


@pytest.mark.parametrize("token", TOKENS)
def test_hides_every_form_that_the_search_for_tokens_knows(token: str) -> None:
    known = Secrets()
    known.learn_header(Credential("ada", token).basic)
    for name, form in token_search.forms(token, "ada").items():
        assert known.hide(f"before {form.decode()} after") == f"before {HIDDEN} after", name


@pytest.mark.parametrize("token", TOKENS)
def test_hides_it_as_a_summary_writes_it(token: str) -> None:
    assert secrets(token).hide(cell(f"x {token} y")) == f"x {HIDDEN} y"


@given(secret=SECRETS, before=st.text(max_size=9), after=st.text(max_size=9))
def test_nothing_is_left_wherever_it_stands(secret: str, before: str, after: str) -> None:
    assert secret not in secrets(secret).hide(f"{before}{secret}{after}")
    encoded = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    shown = secrets(secret).hide(encoded)
    assert len(shown) < len(encoded)


@pytest.mark.parametrize("size", [4, 9, 18])
def test_hides_what_is_left_of_one_that_was_cut_off(size: int) -> None:
    token = TOKENS[1]
    assert secrets(token).hide(f"said {token[:size]}… and more") == f"said {HIDDEN}… and more"


@pytest.mark.parametrize("size", [12, 25, 39])
def test_hides_what_is_left_of_one_that_was_cut_anywhere(size: int) -> None:
    token = "dckr_pat_0123456789abcdefghijklmnopqrstu"
    assert secrets(token).hide(f"a tag {token[:size]!r}") == f"a tag '{HIDDEN}'"


@pytest.mark.parametrize("encode", [base64.b64encode, lambda data: data.hex().encode()])
@pytest.mark.parametrize("width", [60, 64, 76])
def test_hides_each_line_of_what_a_tool_broke_into_lines(
    encode: Callable[[bytes], bytes], width: int
) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9." + "0123456789abcdefghijklmnop" * 9
    text = encode(token.encode()).decode()
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    shown = secrets(token).hide("\n".join(lines)).splitlines()
    assert shown[:-1] == [HIDDEN] * (len(lines) - 1)
    assert len(shown[-1]) < SHORTEST + len(HIDDEN)


def test_what_begins_as_secrets_do_is_hidden_each_time() -> None:
    """Also where a build prints it again and again, and where two of them overlap."""
    known = secrets("dckr_pat_abcdefghijklmnop", "abcdefghijklm-and-more")
    assert known.hide("a dckr_pat_abcX " * 20_000) == f"a {HIDDEN}X " * 20_000
    assert known.hide("dckr_pat_abcdefghijklmX") == f"{HIDDEN}X"
    assert known.hide("dckr_pat_abcdefghijklm-and") == HIDDEN
    assert known.hide("dckr_pat_abcdckr_pat_abc") == HIDDEN


def test_learns_line_by_line_and_leaves_short_lines_alone() -> None:
    known = secrets("-----BEGIN-----\n}\nfirst-line-of-it\r\nsecond-line-of-it\n")
    assert known.hide("} first-line-of-it second-line-of-it") == f"}} {HIDDEN} {HIDDEN}"
    assert secrets("latest").hide("latest") == "latest"


@pytest.mark.parametrize("scheme", ["Bearer", "token", "bearer"])
def test_learns_what_a_header_carries(scheme: str) -> None:
    known = Secrets()
    known.learn_header(f"{scheme} ey.token.here")
    assert known.hide("you sent ey.token.here") == f"you sent {HIDDEN}"


def test_learns_the_password_of_basic_too() -> None:
    known, pair = Secrets(), base64.b64encode(b"ada:correct-horse").decode()
    known.learn_header(f"Basic {pair}")
    assert known.hide(f"{pair} correct-horse ada") == f"{HIDDEN} {HIDDEN} ada"
    known.learn_header("Basic no base64!")
    known.learn_header("")
    assert known.hide("nothing else") == "nothing else"


ENCODERS: dict[str, Callable[[str], str]] = {
    "every character of JSON": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "every character of a URL": lambda text: "".join(f"%{ord(each):02X}" for each in text),
    "every character of HTML": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "HTML in hexadecimal": lambda text: "".join(f"&#x{ord(each):x};" for each in text),
    "hexadecimal with colons": lambda text: text.encode().hex(":"),
    "hexadecimal with spaces": lambda text: text.encode().hex(" ").upper(),
    "a URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "slashes of PHP": lambda text: text.replace("/", "\\/"),
    "entities of mustache": lambda text: text.replace("/", "&#x2F;").replace("=", "&#x3D;"),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_a_line_with_a_secret_in_another_encoding_is_hidden(encode: Callable[[str], str]) -> None:
    token = "AKv/x9+Qw2_eRt=y"
    shown = secrets(token).hide(f"one\ntold {encode(token)} again\r\n100%25 of two\n")
    assert shown == f"one\n{HIDDEN}\r\n100%25 of two\n"


def test_what_is_no_secret_stays() -> None:
    text = "ada/shop:latest sha256:0123456789abcdef… is there"
    assert Secrets().hide(text) == text
    assert secrets(*TOKENS).hide(text) == text


def test_one_thread_may_learn_while_another_hides() -> None:
    known = secrets("a-first-secret")
    old = known._forms
    known.learn(["a-second-secret"])
    assert old.keys() < known._forms.keys(), "what was being looked through is as it was"
