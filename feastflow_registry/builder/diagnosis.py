"""What the error messages of Docker Engine and BuildKit mean.

Both report errors as English text only. The output of a step of a Dockerfile is never interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from feastflow_registry.builder import capabilities
from feastflow_registry.builder.tries import TRIES
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Reference
from feastflow_registry.model.wording import printable

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
_UNGRANTED = re.compile(r"(?:network\.host|security\.insecure) is not allowed$")
_NOISE = re.compile(r"(?:failed to compute cache key: )?failed to calculate checksum of ref \S+: ")
_TORN = re.compile(
    r"snapshot \S+ does not exist|failed to commit \S+ to \S+ during finalize|"
    r"failed to get dead record \S+"
)
_UNREAD = re.compile(
    r"httpReadSeeker: |failed commit on ref \"layer-|failed to extract layer|"
    r"failed to copy: |unexpected commit (?:digest|size)"
)
_PUSHING = "failed to push"
_STEP_FAILED = "did not complete successfully"
_CANCELED = "context canceled"
_PLAIN_HTTP = "server gave HTTP response to HTTPS client"
_ALLOW_HTTP = (
    "Name the registry under insecure-registries in the engine's daemon.json, and restart it; "
    "a builder wants a buildkitd.toml in which the registry has `http = true`."
)
"""https://docs.docker.com/reference/cli/dockerd/#insecure-registries
https://docs.docker.com/build/buildkit/configure/#setting-registry-certificates"""


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
    final = _STEP_FAILED in error or is_denied(error) or is_plain_http(error)
    return passing and not final


def is_canceled(error: str) -> bool:
    """Whether a step was ended because another one failed; BuildKit says so at the end."""
    return error.endswith(_CANCELED)


def is_torn(error: str) -> bool:
    """Whether BuildKit misses something in its own cache, as after a canceled step."""
    return _TORN.search(error) is not None and _STEP_FAILED not in error


def is_unread(error: str) -> bool:
    """Whether BuildKit got no layer, or another one, where it had been told of that layer."""
    own = _STEP_FAILED in error or _PUSHING in error
    return _UNREAD.search(error) is not None and not own


def is_plain_http(error: str) -> bool:
    """Whether an engine or a builder insists on TLS where a registry speaks plain HTTP."""
    return _PLAIN_HTTP in error and _STEP_FAILED not in error


def no_tls(what: str, error: str) -> Failure:
    """Say that an engine or a builder has not been told of a registry's plain HTTP."""
    return Failure(Kind.BUILD, f"{what} failed: {clean(error)}.", _ALLOW_HTTP, see="plain-http")


def closing(line: str) -> tuple[str, str]:
    """Read buildx's last line: the target that it names, if any, and the error."""
    text = line.removeprefix("ERROR:").strip()
    named = re.match(r"target ([\w-]+): (?=failed to )", text)
    text = text[named.end() :] if named else text
    return named[1] if named else "", re.sub(r"^(?:failed to (?:build|solve): )*", "", text)


def brief(error: str) -> str:
    """What a step's error says beyond the step's own command and BuildKit's own names."""
    return clean(_NOISE.sub("", error.rpartition(f"{_STEP_FAILED}: ")[2]))


def clean(text: str, length: int = 400) -> str:
    """Shorten another program's message to one printable line."""
    return printable(text.strip(), length)


def explain(service: str, fault: Fault) -> Failure:
    """Say which service was not built, in which step, and what that said."""
    error = brief(fault.error) if fault.step else clean(_NOISE.sub("", fault.error))
    step = f"in {clean(fault.step, 120)}: " if fault.step else ""
    said = [clean(line, 160) for line in fault.output if line.strip()]
    last = f" (it said: {said[-1]})" if said else ""
    fix = "The log above shows the step; `feastflow-registry build` runs it by hand."
    if is_torn(fault.error):
        step = "the cache of the builder is damaged: "
        fix = (
            "Run again; if that does not help, clear it by `docker builder prune`, or by "
            '`docker buildx prune` where the input "builder" names one.'
        )
    elif is_plain_http(fault.error):
        fix = _ALLOW_HTTP
    elif _UNGRANTED.search(fault.error):
        fix = 'Grant it in the input "allow", or in entitlements of feastflow.yml.'
    elif any(_EMULATION.search(text) for text in (error, *fault.output)):
        fix = (
            "The image is for another platform than this machine: run docker/setup-qemu-action "
            "first, or build on a runner of that platform."
        )
    cause = f"the build of {service} failed: {step}{error or 'see the log above'}{last}."
    return Failure(Kind.BUILD, cause, fix)


def follows(service: str, needed: str, failure: Failure) -> Failure:
    """Say that a service was not built because one that it is built from was not."""
    [problem, *_] = failure.problems
    cause = f"{service} is built from {needed}, and {problem.cause}"
    return Failure(Kind.BUILD, cause, problem.fix, problem.see)


def denied(what: str, reference: Reference, error: str) -> Failure:
    """Say that a registry refused a push or a pull."""
    return Failure(
        Kind.REFUSED,
        f"{reference.repository.host} denied the {what} of {reference}: {error}",
        'Give the token read and write scope, and check the input "namespace".',
        see="denied",
    )


def refuse(error: str) -> None:
    """Raise what a session ended with, if that is no single service's fault."""
    shown = clean(error)
    if _STEP_FAILED in error:
        return
    if capabilities.is_lacking(error):
        cause = f"the builder cannot do what it was asked for: {shown}"
        raise Failure(Kind.BUILD, cause, capabilities.remedy_for(error))
    if is_plain_http(error):
        raise no_tls("the build", error)
    if is_denied(error):
        raise Failure(
            Kind.REFUSED,
            f"a registry denied the build: {shown}",
            "Give the token read and write scope; for a private base image of another "
            "registry, run `docker login` for it first.",
            see="denied",
        )
    if _PUSHING in error:
        raise Failure(
            Kind.UNREACHABLE,
            f"the push of what was built failed {TRIES} times: {shown}",
            "Check the registry's status, then run again: what is built is in the cache.",
        )
    if _GONE.search(error):
        raise Failure(
            Kind.BUILD,
            f"the build failed: {shown}",
            "Check that the engine and the builder run (`docker info`), then run again.",
        )
