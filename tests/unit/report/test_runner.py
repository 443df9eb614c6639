"""What the runner reads: no text from outside can forge a command, an output or a summary's end."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feastflow_registry.model.secrets import Secrets
from feastflow_registry.report.runner import RunnerLog, one_line, outputs, summary

TEXTS = st.text() | st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["", " ", "\t", "\u00a0", "\u2028", "\ufeff", "\x1b[31m", "\r"]),
    st.sampled_from(["::", "::error::", "::stop-commands::x", "##[error]", "::x::", ":", "#"]),
    st.text(max_size=5),
    st.sampled_from(["", "::", "##[", "\n::error::x", "%0A::error::"]),
)
COMMANDS = {"error", "warning", "notice", "group", "endgroup", "add-mask", "stop-commands"}


def words(prefix: str = "w") -> Callable[[], str]:
    count = itertools.count()
    return lambda: f"{prefix}{next(count)}"


def obeyed(text: str) -> list[tuple[str, str]]:
    """The commands that the runner would obey, by its own rules.

    https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
    """
    found = []
    stopped = ""
    for line in text.split("\n"):
        head, separator, data = line.strip().removeprefix("::").partition("::")
        name = head.partition(" ")[0]
        is_command = line.lstrip().startswith("::") and bool(separator)
        if stopped:
            stopped = "" if is_command and name == stopped else stopped
        elif is_command and name in COMMANDS:
            stopped = data if name == "stop-commands" else ""
            found.append((name, data))
        elif "##[" in line:
            found.append(("##[", line))
    return found


def log(prefix: str = "w") -> tuple[RunnerLog, io.StringIO]:
    stream = io.StringIO()
    return RunnerLog(stream, words(prefix), str), stream


class TestRunnerLog:
    @given(st.lists(st.tuples(st.sampled_from(["say", "quote"]), TEXTS)))
    def test_no_text_is_obeyed(self, lines: list[tuple[str, str]]) -> None:
        shown, stream = log("unguessable")
        for method, text in lines:
            getattr(shown, method)(text)
        shown.say("end")
        assert {name for name, _ in obeyed(stream.getvalue())} <= {"stop-commands"}
        # What is said by us, and where others are quoted, is never taken for the other.
        stopped = ""
        for line in stream.getvalue().splitlines():
            if stopped:
                stopped = "" if line == f"::{stopped}::" else stopped
            elif line.startswith("::stop-commands::"):
                stopped = line.removeprefix("::stop-commands::")
            else:
                assert not line.lstrip().startswith("::")
                assert "##[" not in line

    @given(st.sampled_from(["notice", "warning", "fail", "group", "mask"]), TEXTS, TEXTS)
    def test_an_annotation_is_one_command_whatever_it_says(
        self, method: str, one: str, other: str
    ) -> None:
        shown, stream = log()
        name = {"fail": "error", "mask": "add-mask"}.get(method, method)
        if method == "fail":
            shown.fail(one, other)
        elif method == "group":
            with shown.group(one):
                pass
        elif method == "mask":
            shown.mask([one])
        else:
            getattr(shown, method)(one)
        assert [each for each, _ in obeyed(stream.getvalue())] == (
            ["group", "endgroup"] if method == "group" else [name]
        )

    def test_every_secret_is_masked_whole(self) -> None:
        shown, stream = log()
        shown.mask(["a\nb", "100%"])
        assert stream.getvalue() == "::add-mask::a%0Ab\n::add-mask::100%25\n"
        shown.quote("somebody else's")
        shown.mask(["b"])
        assert stream.getvalue().endswith("::w0::\n::add-mask::b\n"), "the runner obeys again"

    def test_only_what_would_be_a_command_is_changed(self) -> None:
        shown, stream = log()
        for text in (" ::a::b", "a::b"):
            shown.say(text)
        shown.quote("a\tb")
        assert stream.getvalue() == " : :a::b\na::b\n::stop-commands::w0\na\tb\n"

    @pytest.mark.parametrize(
        "secret", ["stop-commands", "::error::", "add-mask", "endgroup", "w0::", "unguessable"]
    )
    def test_a_secret_that_reads_like_a_command_hides_none(self, secret: str) -> None:
        """Whoever chooses a secret's value is not to choose what the runner obeys."""
        stream = io.StringIO()
        known = Secrets()
        known.learn([secret, "error::x", "stop-commands::"])
        shown = RunnerLog(stream, words("unguessable"), known.hide)
        shown.quote("::error::forged")
        shown.say("ours")
        shown.fail("cause", "fix")
        with shown.group("title"):
            pass
        found = obeyed(stream.getvalue())
        assert [name for name, _ in found] == ["stop-commands", "error", "group", "endgroup"]

    @given(st.text())
    def test_a_quoted_line_is_one_line_and_keeps_its_text(self, text: str) -> None:
        shown, stream = log()
        shown.quote(text)
        head, line, end = stream.getvalue().split("\n")
        assert (head, end) == ("::stop-commands::w0", "")
        assert line == "".join(each if each.isprintable() or each == "\t" else " " for each in text)

    def test_commands_are_stopped_once_and_by_another_word_each_time(self) -> None:
        shown, stream = log()
        for text in ("a", "b"):
            shown.quote(text)
        shown.notice("n")
        shown.quote("c")
        shown.say("d")
        assert stream.getvalue().splitlines() == [
            *["::stop-commands::w0", "a", "b", "::w0::", "::notice::n"],
            *["::stop-commands::w1", "c", "::w1::", "d"],
        ]

    def test_a_failure_has_its_fix_on_a_line_of_its_own(self) -> None:
        shown, stream = log()
        shown.fail("100% broken.", "Fix\x1b it.")
        assert stream.getvalue() == "::error::100%25 broken.%0AFix  it.\n"
        shown.fail("Broken.", "Fix it.", "https://example.com/#a")
        assert stream.getvalue().endswith("::error::Broken.%0AFix it.%0Ahttps://example.com/#a\n")

    def test_what_is_waited_for_is_not_written(self) -> None:
        shown, stream = log()
        with shown.working("a") as tell:
            tell("b")
        assert stream.getvalue() == ""

    def test_a_group_ends_with_an_exception_too(self) -> None:
        shown, stream = log()
        with pytest.raises(KeyError), shown.group("one"):
            raise KeyError
        assert stream.getvalue() == "::group::one\n::endgroup::\n"

    def test_past_what_github_shows_annotations_become_lines(self) -> None:
        shown, stream = log()
        for number in range(11):
            shown.warning(f"w{number}\nmore")
        lines = stream.getvalue().splitlines()
        assert [line for line in lines if line.startswith("::")] == [
            f"::warning::w{number}%0Amore" for number in range(9)
        ]
        assert lines[9:] == ["warning: w9", "warning: more", "warning: w10", "warning: more"]

    @pytest.mark.parametrize("flood", ["notice", "warning"])
    def test_no_kind_of_annotation_crowds_out_another(self, flood: str) -> None:
        """GitHub counts ten of each kind."""
        shown, stream = log()
        for _ in range(99):
            getattr(shown, flood)("x")
        shown.fail("It failed.", "Mend it.")
        assert stream.getvalue().endswith("::error::It failed.%0AMend it.\n")


@pytest.mark.parametrize(
    ("text", "safe"),
    [("a\nb\x1b[0mc\u2028d", "a b [0mc d"), ("##[error]", "## [error]"), ("# #[", "# #[")],
)
def test_one_line(text: str, safe: str) -> None:
    assert one_line(text) == safe


def read_outputs(text: str) -> dict[str, str]:
    """Read a file of outputs as the runner does.

    https://github.com/actions/runner/blob/main/src/Runner.Worker/FileCommandManager.cs
    """
    found: dict[str, str] = {}
    lines = iter(text.split("\n")[:-1])
    for line in lines:
        equals, heredoc = line.find("="), line.find("<<")
        assert heredoc >= 0
        assert equals < 0 or heredoc < equals
        name, _, delimiter = line.partition("<<")
        found[name] = "\n".join(iter(lines.__next__, delimiter))
    return found


class TestOutputs:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.dictionaries(
            st.from_regex(r"[a-z-]{1,8}", fullmatch=True),
            st.text() | st.sampled_from(["end-w0", "x\nend-w0\ny=1", "a<<b\nb", "=", "\r\n\n"]),
        )
    )
    def test_round_trip(self, values: Mapping[str, str]) -> None:
        text = outputs(values, words("unguessable")).decode()
        assert read_outputs(text) == values

    def test_each_value_has_a_delimiter_of_its_own(self) -> None:
        text = b"a<<end-w0\n1\nend-w0\nb<<end-w1\n2\nend-w1\n"
        assert outputs({"a": "1", "b": "2"}, words()) == text

    def test_a_ref_that_is_not_utf8_is_no_defect(self) -> None:
        text = outputs({"reason": "branch \udcff"}, words()).decode()
        assert read_outputs(text) == {"reason": "branch ?"}


class TestSummary:
    def test_what_is_not_utf8_is_no_defect(self) -> None:
        assert summary("zwölf \udcff\n").decode() == "zwölf ?\n"

    def test_stays_below_githubs_limit_and_ends_with_a_whole_line(self) -> None:
        data = summary("ä" * 99 + "\n" + ("ö" * 100 + "\n") * 20_000)
        assert len(data) <= 1024 * 1024
        *_, last, _, end, empty = data.decode().split("\n")
        assert last == "ö" * 100
        assert (end, empty) == ("The rest is in the log.", "")


def test_an_interrupted_run_writes_on_whoever_holds_the_log() -> None:
    ours, stream = log()
    with ThreadPoolExecutor(1) as other:
        other.submit(ours._writing.acquire).result()
        ours.seize()
        ours.warning("The run was cancelled.")
    assert stream.getvalue() == "::warning::The run was cancelled.\n"
