"""What every `Ledger` does, the fake and the file alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.memory import FakeLedger

from feastflow_registry.builder.ledger import FileLedger
from feastflow_registry.model.ports import BuiltImage, Ledger
from feastflow_registry.model.references import Commit, Digest

A, B = Commit("a" * 40), Commit("b" * 40)
ONE, TWO = (BuiltImage("sha256:" + each * 64, size=7) for each in "12")


@pytest.fixture(params=["fake", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return FakeLedger() if request.param == "fake" else FileLedger(tmp_path)


def test_nothing_was_built(ledger: Ledger) -> None:
    assert ledger.read(A) == {}


def test_recalls_the_last_build_and_no_other(ledger: Ledger) -> None:
    ledger.write(A, {"one": ONE, "two": TWO})
    assert ledger.read(A) == {"one": ONE, "two": TWO}
    assert ledger.read(B) == {}
    ledger.write(B, {"one": TWO})
    assert ledger.read(B) == {"one": TWO}
    assert ledger.read(A) == {}


def test_only_what_is_in_the_engine_lasts(ledger: Ledger) -> None:
    ledger.write(A, {"one": BuiltImage(ONE.image_id, Digest(TWO.image_id), 7)})
    assert ledger.read(A) == {"one": ONE}
