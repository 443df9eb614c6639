"""What is waited for, on a line that is drawn over."""

from __future__ import annotations

import io
from threading import Event

import pytest

from feastflow_registry.report import progress
from feastflow_registry.report.progress import Progress

WIPE = "\r\x1b[K"


def drawn(stream: io.StringIO) -> str:
    """What the last second drew."""
    return stream.getvalue().rpartition(WIPE)[2]


def test_it_says_since_when_and_is_wiped_in_the_end() -> None:
    stream = io.StringIO()
    line = Progress(stream, 80)
    with line.working("pushing shop"):
        assert stream.getvalue() == ""
        for seconds in (1, 2, 3):
            line.tick()
            assert drawn(stream) == f"… pushing shop ({seconds} s)"
    assert stream.getvalue().endswith(f"(3 s){WIPE}")
    line.tick()
    assert stream.getvalue().endswith(WIPE)


def test_what_is_waited_for_within_it_is_shown_in_its_place() -> None:
    stream = io.StringIO()
    line = Progress(stream, 80)
    with line.working("publish"):
        began = line._ended
        with line.working("pushing shop") as tell, line.working("pushing cart"):
            line.tick()
            assert drawn(stream) == "… pushing shop (1 s), and 1 more"
            tell("pushing shop: half")
            line.tick()
            assert drawn(stream) == "… pushing shop: half (2 s), and 1 more"
        line.tick()
        assert drawn(stream) == "… publish (3 s)"
        assert line._ended is began, "one thread counts, as long as anything is waited for"
    assert began
    assert began.is_set()


def test_after_the_end_of_a_run_nothing_is_shown() -> None:
    stream = io.StringIO()
    line = Progress(stream, 80)
    with line.working("a"):
        line.tick()
        line.cease()
        assert line._ended is None
        with line.working("b"):
            line.tick()
        assert stream.getvalue() == f"… a (1 s){WIPE}"


def test_a_line_stands_above_it_and_none_is_wider_than_the_terminal() -> None:
    stream = io.StringIO()
    line = Progress(stream, 20)
    with line.working("pushing " * 9):
        line.tick()
        line.write("done")
        line.write("again")
        assert stream.getvalue() == f"… pushing pushing …{WIPE}done\nagain\n"
    stream = io.StringIO()
    line = Progress(stream, len("… a (1 s)"))
    with line.working("a"):
        line.tick()
        assert drawn(stream) == "… a (1 …"


def test_after_the_end_nothing_begins() -> None:
    """A thread of an interrupted run may come to its next task only then."""
    stream = io.StringIO()
    line = Progress(stream, 80)
    with line.working("a"):
        line.cease()
        with line.working("b"):
            line.tick()
    line.tick()
    assert drawn(stream) == ""


def test_seconds_pass_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    written = Event()

    class Stream(io.StringIO):
        def write(self, text: str, /) -> int:
            if "(3 s)" in text:
                written.set()
            return super().write(text)

    line = Progress(Stream(), 80)
    with line.working("a"):
        assert written.wait(60)


def test_a_terminal_that_is_gone_ends_it_quietly() -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise OSError("gone")

    line = Progress(Gone(), 80)
    with line.working("a"):
        line._run(Event())
