"""What an engine's and BuildKit's words mean: a denial, a passing failure, or a build's own fault.

Both tell their errors in prose alone. What a step of a Dockerfile says of itself is nobody's word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feastflow_registry.builder import capabilities
from feastflow_registry.model.errors import Failure, Kind

_DENIED = re.compile(
    r"(?<!permission )denied|unauthorized|authentication required|no basic auth credentials|"
    r"insufficient_scope|"
    r"incorrect username|"
    r"\b40[13]\b|forbidden",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"(?:unexpected status|status code|response).{0,80}\b(?:408|429|5\d\d)\b|toomanyrequests|"
    r"connection reset|unexpected EOF|\bEOF$|i/o timeout|TLS handshake timeout|broken pipe",
    re.IGNORECASE,
)
_GONE = re.compile(r"code = Unavailable|failed to receive status|Cannot connect to the Docker")
_EMULATION = re.compile(r"exec format error|Invalid ELF image")
_NOISE = re.compile(r"failed to calculate checksum of ref \S+: ")
_CERTAIN = re.compile(r"exit code: (?!137$|143$)\d+$|\": not found$")
_TORN = re.compile(
    r"snapshot \S+ does not exist|failed to commit \S+ to \S+ during finalize|"
    r"failed to get dead record \S+"
)
_PUSHING = "failed to push"
_STEP_FAILED = "did not complete successfully"
_CANCELED = "context canceled"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a target was not built: the step (if it was one), its error, and its last words."""

    error: str
    step: str = ""
    output: Sequence[str] = ()


def is_denied(error: str) -> bool:
    """Whether a registry refuses a credential, or the lack of one."""
    return _DENIED.search(error) is not None and _STEP_FAILED not in error


def is_passing(error: str) -> bool:
    """Whether a registry or the way to it failed in a manner that may pass."""
    passing = _PUSHING in error or _PASSING.search(error) is not None
    return passing and _STEP_FAILED not in error and not is_denied(error)


def is_canceled(error: str) -> bool:
    """Whether a step was ended because another target failed. A step's own text is not last."""
    return error.endswith(_CANCELED)


def is_torn(error: str) -> bool:
    """Whether BuildKit stumbled over its own cache, where it had canceled a step or cleaned up."""
    return _TORN.search(error) is not None and _STEP_FAILED not in error


def is_own(error: str) -> bool:
    """Whether an error is a target's own, and would come again however often it is built."""
    if _STEP_FAILED in error:
        return not is_canceled(error)
    others = (is_denied, is_passing, is_torn, is_canceled, capabilities.is_lacking)
    return not _GONE.search(error) and not any(test(error) for test in others)


def is_certain(error: str) -> bool:
    """Whether an error cannot come of a session's end: a step's own exit code, or a missing file.

    A step that is killed ends with 137 or 143.
    """
    return _CERTAIN.search(error) is not None


def blame(faults: Mapping[str, Fault], named: str) -> Mapping[str, Fault]:
    """Leave out the targets that may have been ended by another's failure: these come again.

    One that was ended may say so first, and so be the one that the session ``named``.
    """
    certain = {target: each for target, each in faults.items() if is_certain(each.error)}
    return certain or {each: faults[each] for each in faults if each == named} or faults


def closing(line: str) -> tuple[str, str]:
    """Read BuildKit's closing line: the target it names, and the cause without the way to it."""
    said = line.removeprefix("ERROR:").strip()
    named = re.match(r"target ([\w-]+): (?=failed to )", said)
    said = said[named.end() :] if named else said
    said = re.sub(r"^failed to (?:build|solve): ", "", said)
    said = re.sub(r"^failed to solve: ", "", said)
    return named[1] if named else "", clean(_NOISE.sub("", said))


def brief(error: str) -> str:
    """What a step's error says beyond the step's own command and BuildKit's own names."""
    said = error.rpartition(f"{_STEP_FAILED}: ")[2]
    return clean(_NOISE.sub("", said))


def clean(text: str, length: int = 400) -> str:
    """Shorten another program's message to one printable line."""
    return "".join(each if each.isprintable() else " " for each in text.strip())[:length]


def explain(service: str, fault: Fault) -> Failure:
    """Say which service was not built, in which step, and what that said."""
    error = brief(fault.error) if fault.step else clean(fault.error)
    step = f"in {clean(fault.step, 120)}: " if fault.step else ""
    said = [clean(line, 160) for line in fault.output if line.strip()]
    words = f" (it said: {said[-1]})" if said else ""
    fix = "The log above shows the step; `feastflow-registry build` runs it by hand."
    if any(_EMULATION.search(text) for text in (error, *fault.output)):
        fix = (
            "The image is for a platform that this machine is not: run docker/setup-qemu-action "
            "first, or build where that platform is at home."
        )
    cause = f"the build of {service} failed: {step}{error}{words}."
    return Failure(Kind.BUILD, cause, fix)


def follows(service: str, needed: str, failure: Failure) -> Failure:
    """Say that a service was not built because one that it is built from was not."""
    [problem, *_] = failure.problems
    cause = f"{service} is built from {needed}, and {problem.cause}"
    return Failure(Kind.BUILD, cause, problem.fix)


def refuse(error: str, tries: int) -> Failure:
    """What a session ended with that is no single service's fault."""
    if capabilities.is_lacking(error):
        return Failure(
            Kind.BUILD,
            f"the builder cannot do what it was asked for: {error}",
            capabilities.remedy(),
        )
    if is_denied(error):
        return Failure(
            Kind.REFUSED,
            f"a registry denied the build: {error}",
            "Give the token read and write scope; for a private base image of another "
            "registry, run `docker login` for it first.",
        )
    if is_torn(error):
        return Failure(
            Kind.BUILD,
            f"the builder stumbled over its own cache: {error}",
            "Run again; if that does not help, clear it by `docker builder prune`, or by "
            "`docker buildx prune` where the input builder names one.",
        )
    if _PUSHING in error and is_passing(error):
        return Failure(
            Kind.UNREACHABLE,
            f"the push of what was built failed {tries} times: {error}",
            "Check the registry's status, then run again: what is built is in the cache.",
        )
    return Failure(
        Kind.BUILD,
        f"the build failed: {error or 'see the log above'}",
        "The log above names the step; `feastflow-registry build` runs it by hand.",
    )
