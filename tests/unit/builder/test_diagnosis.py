"""What the messages of BuildKit and of an engine mean."""

from __future__ import annotations

import pytest
from support.runs import SHOP

from feastflow_registry.builder import diagnosis
from feastflow_registry.builder.diagnosis import Fault
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Reference, Tag

PLAIN = 'Head "https://r:5000/v2/": http: server gave HTTP response to HTTPS client'
STEP = 'process "/bin/sh -c {}" did not complete successfully: exit code: 1'


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (STEP.format("true"), ""),
        (STEP.format("echo denied; curl: unexpected EOF; failed to push; context canceled"), ""),
        (STEP.format("snapshot x does not exist; is not supported"), ""),
        (STEP.format("sleep 9") + "37: context canceled: context canceled", "canceled"),
        ("context canceled", "canceled"),
        ('"/nope": not found', ""),
        ("dockerfile parse error on line 2: unknown instruction: COPPY", ""),
        ("push access denied, repository does not exist", "denied"),
        ("unexpected status from HEAD request to https://r/v2/: 401 Unauthorized", "denied"),
        ("failed to push r/a: unexpected status from PUT request: 403 Forbidden", "denied"),
        ("unexpected status from GET request to https://r/v2/: 503 Service", "passing"),
        ("failed to push r/a: no route to host", "passing"),
        ("failed to solve: permission denied", ""),
        (f"failed to push r/a: {PLAIN}", ""),
        ("failed to commit a to b during finalize: failed to stat active key", "torn"),
        ("failed to stat active key during commit: snapshot x1 does not exist: not found", "torn"),
        ("Internal: failed to get dead record thzfpw64re: not found", "torn"),
    ],
)
def test_what_an_error_is(error: str, kind: str) -> None:
    assert diagnosis.is_canceled(error) == (kind == "canceled")
    assert diagnosis.is_denied(error) == (kind == "denied")
    assert diagnosis.is_passing(error) == (kind == "passing")
    assert diagnosis.is_torn(error) == (kind == "torn")


@pytest.mark.parametrize(
    ("line", "target", "error"),
    [
        ("ERROR: target a_b: failed to solve: no", "a_b", "no"),
        ("ERROR: failed to solve: no", "", "no"),
        ("ERROR: failed to build: failed to solve: no", "", "no"),
        ("ERROR: target of a shot", "", "target of a shot"),
    ],
)
def test_the_last_line(line: str, target: str, error: str) -> None:
    assert diagnosis.closing(line) == (target, error)


def test_a_fault_names_the_service_the_step_and_its_last_word() -> None:
    step = "[2/3] RUN npm ci"
    error = STEP.format(f"npm ci {'-' * 500}")
    fault = Fault(error, step, ["npm ERR! missing", "", "\x1b[31mgone\r", " "])
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
    assert "see the log above" in str(diagnosis.explain("menu", Fault("")))


def test_a_file_that_is_missing_is_told_without_buildkits_own_names() -> None:
    error = 'failed to compute cache key: failed to calculate checksum of ref 1::2: "/n": not found'
    for step, where in (("", ""), ("[1/1] COPY n /", "in [1/1] COPY n /: ")):
        [problem] = diagnosis.explain("menu", Fault(error, step)).problems
        assert problem.cause == f'the build of menu failed: {where}"/n": not found.'


def test_a_torn_cache_says_how_it_is_cleared() -> None:
    failure = diagnosis.explain("menu", Fault("snapshot x1 does not exist", "[1/1] RUN x"))
    assert "of menu failed: the cache of the builder is damaged: snapshot x1" in str(failure)
    assert "docker builder prune" in str(failure)


@pytest.mark.parametrize(
    "said", ["exec /bin/sh: exec format error", ".buildkit_qemu_emulator: Invalid ELF image for x"]
)
def test_a_foreign_program_needs_an_emulator(said: str) -> None:
    in_output = diagnosis.explain("menu", Fault(STEP.format("x"), "[2/2] RUN x", [said, "more"]))
    in_error = diagnosis.explain("menu", Fault(said))
    for failure in (in_output, in_error):
        assert "docker/setup-qemu-action" in failure.problems[0].fix


def test_a_base_image_of_a_registry_of_plain_http_says_what_has_to_be_set() -> None:
    failure = diagnosis.explain("menu", Fault(f"r:5000/base: failed to resolve: {PLAIN}"))
    assert "daemon.json" in failure.problems[0].fix
    assert "buildkitd.toml" in failure.problems[0].fix
    assert diagnosis.is_plain_http(PLAIN)
    assert not diagnosis.is_plain_http(STEP.format(PLAIN))


@pytest.mark.parametrize("name", ["network.host", "security.insecure"])
def test_a_step_that_needs_what_is_not_granted_says_how_to(name: str) -> None:
    failure = diagnosis.explain("menu", Fault(f"failed to load LLB: {name} is not allowed"))
    assert 'in the input "allow"' in failure.problems[0].fix
    diagnosis.refuse(f"failed to load LLB: {name} is not allowed")


def test_what_is_built_from_a_failed_service_says_so() -> None:
    failure = diagnosis.explain("base", Fault("no", "[1/1] COPY no /"))
    [problem] = diagnosis.follows("menu", "base", failure).problems
    assert problem.cause == f"menu is built from base, and {failure.problems[0].cause}"
    assert problem.fix == failure.problems[0].fix


def test_long_words_are_cut() -> None:
    fault = Fault("e" * 9999, "s" * 9999, ["w" * 9999])
    assert len(str(diagnosis.explain("menu", fault))) < 1000


@pytest.mark.parametrize(
    ("error", "kind", "part"),
    [
        ("Cache export is not supported for the docker driver.", Kind.BUILD, "setup-buildx-action"),
        ("granting entitlement device is not allowed by x", Kind.BUILD, "allow-insecure-entitl"),
        ("host-gateway is not supported by the remote driver", Kind.BUILD, "own address"),
        (f"failed to push r/a: {PLAIN}", Kind.BUILD, "insecure-registries"),
        ("denied: no", Kind.REFUSED, "docker login"),
        ("failed to push r/a: unexpected EOF", Kind.UNREACHABLE, "in the cache"),
        ("rpc error: code = Unavailable desc = closing transport", Kind.BUILD, "docker info"),
        ("failed to receive status: rpc error", Kind.BUILD, "docker info"),
    ],
)
def test_what_is_no_services_fault_is_raised(error: str, kind: Kind, part: str) -> None:
    with pytest.raises(Failure) as caught:
        diagnosis.refuse(error)
    assert caught.value.kind is kind
    assert part in str(caught.value)
    assert error in str(caught.value)
    diagnosis.refuse(STEP.format(error))


@pytest.mark.parametrize("error", ["", "unexpected status: 503 Service Unavailable", "parse error"])
def test_what_is_a_services_own_is_not_raised(error: str) -> None:
    diagnosis.refuse(error)


def test_a_registry_that_refuses_is_named_with_what_it_refused() -> None:
    reference = Reference(SHOP.repository, Tag("latest"))
    problem = diagnosis.denied("push", reference, "denied: no").problems[0]
    assert str(problem).startswith("docker.io denied the push of ada/shop:latest: denied: no Give")
