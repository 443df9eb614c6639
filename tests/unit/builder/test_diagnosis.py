"""What the words of BuildKit and of an engine are taken for."""

from __future__ import annotations

import pytest

from feastflow_registry.builder import diagnosis
from feastflow_registry.builder.diagnosis import Fault
from feastflow_registry.model.errors import Kind

STEP = 'process "/bin/sh -c {}" did not complete successfully: exit code: 1'


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (STEP.format("true"), "own"),
        (STEP.format("echo denied; curl: unexpected EOF; context canceled"), "own"),
        (STEP.format("sleep 9") + "37: context canceled: context canceled", "canceled"),
        ("context canceled", "canceled"),
        ('"/nope": not found', "own"),
        ("dockerfile parse error on line 2: unknown instruction: COPPY", "own"),
        ("push access denied, repository does not exist", "denied"),
        ("unexpected status from HEAD request to https://r/v2/: 401 Unauthorized", "denied"),
        ("failed to push r/a: unexpected status from PUT request: 403 Forbidden", "denied"),
        ("unexpected status from GET request to https://r/v2/: 503 Service", "passing"),
        ("failed to push r/a: no route to host", "passing"),
        ("docker exporter does not currently support exporting manifest lists", "lacking"),
        ("rpc error: code = Unavailable desc = closing transport", "gone"),
        ("failed to receive status: rpc error", "gone"),
        ("failed to solve: permission denied", "own"),
    ],
)
def test_whose_an_error_is(error: str, kind: str) -> None:
    assert diagnosis.is_own(error) == (kind == "own")
    assert diagnosis.is_canceled(error) == (kind == "canceled")
    assert diagnosis.is_denied(error) == (kind == "denied")
    assert diagnosis.is_passing(error) == (kind == "passing")


@pytest.mark.parametrize(
    ("line", "target", "cause"),
    [
        ("ERROR: target a_b: failed to solve: no", "a_b", "no"),
        ("ERROR: failed to solve: no", "", "no"),
        ("ERROR: failed to build: failed to solve: no", "", "no"),
        ("ERROR: target of a shot", "", "target of a shot"),
        ('ERROR: failed to calculate checksum of ref 1::2: "/n": not found', "", '"/n": not found'),
        ("ERROR: a\x1b[2Jb\tc", "", "a [2Jb c"),
    ],
)
def test_the_closing_line(line: str, target: str, cause: str) -> None:
    assert diagnosis.closing(line) == (target, cause)


def test_a_fault_names_the_service_the_step_and_its_last_word() -> None:
    step = "[2/3] RUN npm ci"
    fault = Fault(STEP.format("npm ci"), step, ["npm ERR! missing", "", "\x1b[31mgone\r", " "])
    failure = diagnosis.explain("menu", fault)
    [problem] = failure.problems
    assert failure.kind is Kind.BUILD
    assert problem.cause == (
        "the build of menu failed: in [2/3] RUN npm ci: exit code: 1 (it said:  [31mgone)."
    )
    assert "feastflow-registry build" in problem.fix


def test_a_fault_without_a_step_is_told_whole() -> None:
    fault = Fault("failed to read dockerfile: open Dockerfile: no such file or directory")
    [problem] = diagnosis.explain("menu", fault).problems
    assert problem.cause == f"the build of menu failed: {fault.error}."


@pytest.mark.parametrize(
    "said", ["exec /bin/sh: exec format error", ".buildkit_qemu_emulator: Invalid ELF image for x"]
)
def test_a_foreign_program_needs_an_emulator(said: str) -> None:
    in_output = diagnosis.explain("menu", Fault(STEP.format("x"), "[2/2] RUN x", [said, "more"]))
    in_error = diagnosis.explain("menu", Fault(said))
    for failure in (in_output, in_error):
        assert "docker/setup-qemu-action" in failure.problems[0].fix


def test_what_is_built_from_a_failed_service_says_so() -> None:
    failure = diagnosis.explain("base", Fault("no", "[1/1] COPY no /"))
    [problem] = diagnosis.follows("menu", "base", failure).problems
    assert problem.cause == f"menu is built from base, and {failure.problems[0].cause}"
    assert problem.fix == failure.problems[0].fix


def test_long_words_are_cut() -> None:
    fault = Fault("e" * 9999, "s" * 9999, ["w" * 9999])
    assert len(str(diagnosis.explain("menu", fault))) < 1000


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        ("Cache export is not supported for the docker driver.", Kind.BUILD, "setup-buildx-action"),
        ("denied: no", Kind.REFUSED, "docker login"),
        ("failed to push r/a: unexpected EOF", Kind.UNREACHABLE, "in the cache"),
        ("unexpected status: 503 Service Unavailable", Kind.BUILD, "by hand"),
        ("", Kind.BUILD, "see the log above"),
    ],
)
def test_what_is_nobodys_fault_is_refused(error: str, kind: Kind, word: str) -> None:
    failure = diagnosis.refuse(error, 4)
    assert failure.kind is kind
    assert word in str(failure)
    assert error in str(failure)


TORN = (
    "failed to commit x1 to y2 during finalize: failed to stat active key during commit: "
    "snapshot x1 does not exist: not found"
)


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        ('process "/bin/sh -c false" did not complete successfully: exit code: 1', True),
        ('process "x" did not complete successfully: exit code: 127', True),
        ('"/nothing": not found', True),
        (TORN, False),
        ('process "x" did not complete successfully: exit code: 137', False),
        ('process "x" did not complete successfully: exit code: 143', False),
        ("failed to start: canceled", False),
    ],
)
def test_what_cannot_come_of_anothers_failure(error: str, certain: bool) -> None:
    assert diagnosis.is_certain(error) is certain


KILLED = diagnosis.Fault('process "x" did not complete successfully: exit code: 137')
FAILED = diagnosis.Fault('process "x" did not complete successfully: exit code: 3')


@pytest.mark.parametrize(
    ("faults", "named", "blamed"),
    [
        ({"slow": KILLED, "bad": FAILED}, "slow", {"bad"}),
        ({"slow": KILLED, "bad": FAILED}, "bad", {"bad"}),
        ({"slow": KILLED, "other": KILLED}, "slow", {"slow"}),
        ({"slow": KILLED, "other": KILLED}, "", {"slow", "other"}),
        ({"bad": FAILED, "worse": FAILED}, "bad", {"bad", "worse"}),
    ],
    ids=["named, but killed", "named", "all killed", "none named", "two that failed"],
)
def test_who_is_to_blame(faults: dict[str, diagnosis.Fault], named: str, blamed: set[str]) -> None:
    assert set(diagnosis.blame(faults, named)) == blamed
