"""An image's smoke test and its check, which run before it gets any tag on the registry.

Decides which copy of the image is tested: the one in the engine, or the one on the registry by
digest. The engine pulls the latter first, so that a check reaches a private image without being
able to read the credential. Nothing here writes to a registry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import docker
from docker.errors import ImageNotFound

from feastflow_registry.builder.diagnosis import clean, denied, is_denied
from feastflow_registry.builder.docker_api import ENGINE_ERRORS, tag_image
from feastflow_registry.builder.shell import NOT_FOUND, Shell
from feastflow_registry.builder.smoke_test import SmokeTester
from feastflow_registry.builder.tries import tries
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import BuiltImage, Log
from feastflow_registry.model.references import Reference, RegistryHost
from feastflow_registry.model.services import Service, SmokeTest

_FINAL = re.compile(r"no match(?:ing manifest)? for|does not match the specified|pull rate limit")


@dataclass
class Checks:
    """Runs what a service asks for. ``environ``: what a check sees; it holds no credential.

    ``client``: connects to the engine when it is needed; ``random_word``: another one each time.
    ``patience`` and ``limit``: seconds that a smoke test and a check may take. ``hostname``: this
    machine's, by which a program in a container finds its own network.
    """

    client: Callable[[], docker.DockerClient]
    workspace: Path
    environ: Mapping[str, str]
    log: Log
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random_word: Callable[[], str]
    credentials: Mapping[RegistryHost, Credential] = field(default_factory=dict)
    patience: float = 60.0
    limit: float = 1800.0
    hostname: str = ""
    _ended: Event = field(default_factory=Event)

    def check(
        self, service: Service, image: BuiltImage, reference: Reference, *, alone: bool = True
    ) -> None:
        """Run the smoke test, then the check. Raises a build failure.

        ``reference``: the commit tag; an image in the engine is called by it. ``alone``: whether
        no other check runs, so that its output may be shown as it comes.
        """
        if not (service.smoke_test or service.check):
            return
        if not (image.digest or image.image_id):
            self.log.notice(
                f"{service.name} was not checked: its image stayed in the builder's cache, as one "
                "of several platforms does where nothing is pushed."
            )
            return
        try:
            self._check(service, image, reference, alone=alone)
        except ENGINE_ERRORS as problem:
            raise Failure(
                Kind.BUILD,
                f"the engine failed while {service.name} was checked: {clean(str(problem))}",
                "Check that it runs (`docker info`), then run again.",
            ) from None

    def _check(
        self, service: Service, image: BuiltImage, reference: Reference, *, alone: bool
    ) -> None:
        if image.image_id:
            # It gets its name again, as another run may have built the same tag meanwhile.
            tag_image(self.client(), image.image_id, reference)
            self._judge(service, image.image_id, str(reference), alone=alone)
        elif image.digest:
            with self._pulled(service, Reference(reference.repository, image.digest)) as name:
                self._judge(service, name, name, alone=alone)

    def end(self) -> None:
        """Let every check that still runs end soon, and leave nothing behind."""
        self._ended.set()

    def _now(self) -> float:
        """The time, which is past every deadline once checks are to end."""
        return math.inf if self._ended.is_set() else self.clock()

    def _judge(self, service: Service, image: str, name: str, *, alone: bool) -> None:
        if service.smoke_test:
            self._try(service, service.smoke_test, image)
        if not service.check:
            return
        if alone:
            with self.log.group(f"Checking {service.name}"):
                self._run(service, name, self.log.quote)
            return
        lines: list[str] = []
        try:
            self._run(service, name, lines.append)
        finally:
            with self.log.group(f"Checking {service.name}"):
                for line in lines:
                    self.log.quote(line)

    def _try(self, service: Service, test: SmokeTest, image: str) -> None:
        client = self.client()
        tester = SmokeTester(
            client, self.log, self._now, self.sleep, self.random_word, self.patience, self.hostname
        )
        with self.log.working(f"Waiting for {service.name} to answer on port {test.port}"):
            tester.test(service, test, image, _platform(client, service))

    def _run(self, service: Service, name: str, quote: Callable[[str], None]) -> None:
        shell = Shell(self.workspace, self.environ, self._now)
        variables = {"IMAGE": name, "SERVICE": service.name}
        try:
            with self.log.working(f"Checking {service.name}"):
                code = shell.run(service.check, variables, quote, self.limit)
        except OSError as problem:
            cause = f"cannot be started: {problem.strerror}."
            raise _failed(service, cause, "Run the check by hand.") from None
        if code is None:
            limit = f"{self.limit / 60:.0f} minutes" if self.limit >= 60 else f"{self.limit:.1f} s"
            raise _failed(service, f"did not end within {limit}, and was stopped.")
        if code == NOT_FOUND:
            raise _failed(
                service,
                f"exited with {code}: a program was not found.",
                "Install it in a step before this one.",
            )
        if code:
            raise _failed(service, f"exited with {code}.")

    @contextmanager
    def _pulled(self, service: Service, reference: Reference) -> Iterator[str]:
        """Pull an image for a while, if the engine does not hold it yet.

        Only a smoke test cannot do without it.
        """
        name = str(reference)
        client: docker.DockerClient | None = None
        fetched = False
        try:
            client = self.client()
            if not _holds(client, name):
                self._pull(client, reference, _platform(client, service))
                fetched = True
        except Failure as failure:
            [problem, *_] = failure.problems
            if service.smoke_test:
                cause = f"the smoke test of {service.name} cannot begin: {problem.cause}"
                raise Failure(failure.kind, cause, problem.fix, problem.see) from None
            self.log.say(f"the check of {service.name} finds no copy here: {problem.cause}")
        try:
            yield name
        finally:
            if client and fetched:
                # The engine refuses while another run uses it, and that is right.
                with suppress(*ENGINE_ERRORS):
                    client.images.remove(name)

    def _pull(
        self, client: docker.DockerClient, reference: Reference, platform: str | None
    ) -> None:
        """Pull an image by its digest, again after a passing failure."""
        error = ""
        for number in tries(self.sleep):
            if number:
                self.log.say(f"the pull failed for a moment, trying again: {error}")
            error = self._pull_once(client, reference, platform)
            if not error:
                return
            if is_denied(error):
                raise denied("pull", reference, error)
            if _FINAL.search(error):
                break
        raise Failure(
            Kind.UNREACHABLE,
            f"the engine cannot pull {reference}: {error}",
            "Check that the engine reaches the registry, then run again.",
        )

    def _pull_once(
        self, client: docker.DockerClient, reference: Reference, platform: str | None
    ) -> str:
        """Pull once; the error that the engine reports, or an empty text."""
        host = reference.repository.host
        credential = self.credentials.get(host)
        auth = credential.engine_auth(host) if credential else None
        try:
            for event in client.api.pull(
                str(reference.repository),
                tag=reference.identifier,
                platform=platform,
                stream=True,
                decode=True,
                auth_config=auth,
            ):
                if "error" in event:
                    return clean(str(event["error"]))
        except ENGINE_ERRORS as problem:
            return clean(str(problem))
        return "" if _holds(client, str(reference)) else "the engine does not hold it afterwards"


def _holds(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _platform(client: docker.DockerClient, service: Service) -> str | None:
    """The platform of an image to run: the engine's own, else the first, which may be emulated."""
    if not service.platforms:
        return None
    version = client.version()
    here = f"{version['Os']}/{version['Arch']}"
    fitting = [each for each in service.platforms if f"{each}/".startswith(f"{here}/")]
    return (fitting or service.platforms)[0]


def _failed(
    service: Service, cause: str, fix: str = "Read the log above, or run the check by hand."
) -> Failure:
    return Failure(Kind.BUILD, f"the check of {service.name} {cause}", fix)
