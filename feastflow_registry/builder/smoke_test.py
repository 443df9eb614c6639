"""The smoke test of an image: its container is started, asked over HTTP, and removed.

Decides how a container is reached, and why it does not answer. The container is what ``docker run``
starts without options: no privilege, no volume, no variable. It is removed however its test ends.
A later run removes what a killed run has left, by age alone, because other runs may share the
engine.
"""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from feastflow_registry.builder.diagnosis import clean, is_torn
from feastflow_registry.builder.docker_api import ENGINE_ERRORS
from feastflow_registry.builder.tries import tries
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Log
from feastflow_registry.model.references import is_loopback
from feastflow_registry.model.services import Service, SmokeTest

LABEL = "io.github.feastflow.registry-action"
"""The label of every container that this program starts."""

_LEFT_OVER = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CONNECTING, _ANSWERING = 2.0, 15.0
_LOG_LINES, _LOG_BYTES = 50, 256 * 1024
_SERVER_ERROR = 500
_UNHEARD = "was not heard"


@dataclass(frozen=True, slots=True)
class SmokeTester:
    """Tests images on one engine. ``patience``: how many seconds an image may take to answer.

    ``random_word``: another one each time; ``hostname``: this machine's, by which a program that
    runs in a container finds that container.
    """

    client: docker.DockerClient
    log: Log
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random_word: Callable[[], str]
    patience: float
    hostname: str = ""

    def test(self, service: Service, test: SmokeTest, image: str, platform: str | None) -> None:
        """Run an image until it answers below 500. Raises a build failure, its log quoted."""
        self._sweep()
        name = f"feastflow-smoke-test-{self.random_word()}"
        began = self.clock()
        try:
            container = self._start(service, test, image, platform, name)
            try:
                status = self._wait(service, test, container, began + self.patience)
            except Failure:
                self._quote_log(service, container)
                raise
        except NotFound:
            raise _failure(service, "the container was removed by somebody else.") from None
        except ENGINE_ERRORS as problem:
            raise _failure(service, f"the engine says: {_said(problem)}") from None
        finally:
            self._remove(name)
        seconds = self.clock() - began
        where = f"port {test.port}, path {test.path}"
        self.log.say(f"{service.name}: {where} answered {status} after {seconds:.1f} s")

    def _start(
        self, service: Service, test: SmokeTest, image: str, platform: str | None, name: str
    ) -> Container:
        # An engine elsewhere is reached by its own address, so the port must be open there.
        binding = ("127.0.0.1", 0) if is_loopback(self._host) else None
        error = ""
        for _ in tries(self.sleep):
            try:
                container: Container = self.client.containers.create(
                    image,
                    name=name,
                    platform=platform,
                    labels={LABEL: "smoke-test"},
                    ports={f"{test.port}/tcp": binding},
                    network=self._network(),
                )
                container.start()
            except APIError as problem:
                error = _said(problem)
                # Whoever removes images may take a layer along; the next try unpacks it anew.
                if not is_torn(error):
                    break
                self._remove_once(name)
            else:
                return container
        raise self._explain_platform(service, image) or _failure(
            service,
            f"the image does not start: {error}",
            "Run again." if is_torn(error) else "Correct its ENTRYPOINT or CMD.",
        )

    def _wait(
        self, service: Service, test: SmokeTest, container: Container, deadline: float
    ) -> int:
        """Ask again and again; the first status below 500."""
        pause = _FIRST_PAUSE
        last: int | str = _UNHEARD
        while True:
            container.reload()
            if container.status in ("exited", "dead"):
                raise self._explain_exit(service, test, container)
            last = self._ask(test, container, deadline, last)
            if isinstance(last, int) and last < _SERVER_ERROR:
                return last
            if self.clock() >= deadline:
                raise self._explain_silence(service, test, container, last)
            self.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _ask(
        self, test: SmokeTest, container: Container, deadline: float, last: int | str
    ) -> int | str:
        """Ask at the published port; where nothing answers, at the container's own address.

        A program that runs in a container itself reaches other containers by the latter.
        """
        for host, port in self._addresses(test, container):
            patience = min(_ANSWERING, max(deadline - self.clock(), _FIRST_PAUSE))
            answer = _get(host, port, test.path, patience)
            if answer != _UNHEARD:
                return answer
        # A server that is being restarted says less than what it said before.
        return last

    def _addresses(self, test: SmokeTest, container: Container) -> Iterator[tuple[str, int]]:
        network: dict[str, Any] = container.attrs["NetworkSettings"]
        for binding in network["Ports"].get(f"{test.port}/tcp") or ():
            yield self._host, int(binding["HostPort"])
        if self._is_near:
            # Elsewhere, the same address may be another engine's container.
            for each in network["Networks"].values():
                if each.get("IPAddress"):
                    yield each["IPAddress"], test.port

    def _network(self) -> str | None:
        """The network of the container that this program runs in: Docker keeps networks apart."""
        try:
            own = self.client.api.inspect_container(self.hostname) if self.hostname else {}
        except NotFound:
            own = {}
        # Without a name of its own, a container is called by the beginning of its ID.
        if not own or not own["Id"].startswith(self.hostname):
            return None
        mode = str(own["HostConfig"]["NetworkMode"])
        shared = mode in ("default", "bridge", "host", "none") or mode.startswith("container:")
        return None if shared else mode

    @property
    def _is_near(self) -> bool:
        """Whether the engine is reached by a socket, and so runs on this machine."""
        return str(self.client.api.base_url).startswith("http+")

    @property
    def _host(self) -> str:
        """The host at which this program reaches the ports that the engine publishes."""
        url = urllib.parse.urlsplit(str(self.client.api.base_url))
        return "127.0.0.1" if self._is_near else url.hostname or "127.0.0.1"

    def _explain_exit(self, service: Service, test: SmokeTest, container: Container) -> Failure:
        state = container.attrs["State"]
        how = "ran out of memory" if state.get("OOMKilled") else f"exited with {state['ExitCode']}"
        return self._explain_platform(service, str(container.attrs["Image"])) or _failure(
            service,
            f"the container {how} before port {test.port} answered.",
            "Its log above says why.",
        )

    def _explain_silence(
        self, service: Service, test: SmokeTest, container: Container, last: int | str
    ) -> Failure:
        after = f"after {self.patience:.0f} s."
        if last != _UNHEARD:
            said = f"answered {last}" if isinstance(last, int) else last
            where = f"port {test.port}, path {test.path}"
            return _failure(service, f"{where} {said} {after}", "Its log above says why.")
        exposed = self._inspect(str(container.attrs["Image"]))["Config"].get("ExposedPorts")
        ports = [each.partition("/")[0] for each in exposed or ()]
        return _failure(
            service,
            f"nothing listens on port {test.port} {after}",
            f"The image exposes {', '.join(ports)}: correct the port."
            if ports and str(test.port) not in ports
            else "Make the program listen on 0.0.0.0, not on 127.0.0.1, or correct the port.",
        )

    def _explain_platform(self, service: Service, image: str) -> Failure | None:
        """Say that an image is made for other machines than the engine's, if it is."""
        try:
            own, engine = self._inspect(image), self.client.version()
        except ENGINE_ERRORS:
            return None
        if (own["Os"], own["Architecture"]) == (engine["Os"], engine["Arch"]):
            return None
        return _failure(
            service,
            f"the image is made for {own['Os']}/{own['Architecture']}, "
            f"and the engine runs {engine['Os']}/{engine['Arch']}.",
            "Set up emulation first with docker/setup-qemu-action, or use such a runner.",
        )

    def _inspect(self, image: str) -> dict[str, Any]:
        attributes: dict[str, Any] = self.client.images.get(image).attrs
        return attributes

    def _quote_log(self, service: Service, container: Container) -> None:
        """Quote the last lines that the container wrote."""
        with self.log.group(f"Log of {service.name}"):
            text = b""
            try:
                for part in container.logs(stream=True, follow=False, tail=_LOG_LINES):
                    text += part
                    if len(text) > _LOG_BYTES:
                        break
            except ENGINE_ERRORS as problem:
                self.log.say(f"It cannot be read: {_said(problem)}")
                return
            for line in text[:_LOG_BYTES].decode("utf-8", "replace").splitlines():
                self.log.quote(line)
            if not text:
                self.log.say("The container wrote nothing.")

    def _sweep(self) -> None:
        """Remove what killed runs have left. Both times are the engine's own."""
        try:
            now = datetime.fromisoformat(self.client.info()["SystemTime"]).timestamp()
            for each in self.client.api.containers(all=True, filters={"label": LABEL}):
                if now - each["Created"] > max(_LEFT_OVER, 10 * self.patience):
                    self._remove(each["Id"])
        except (*ENGINE_ERRORS, ValueError):
            return  # This run does not depend on it.

    def _remove(self, name: str) -> None:
        """Remove a container and its volumes, even if interrupted once more."""
        try:
            self._remove_once(name)
        except BaseException:
            self._remove_once(name)
            raise

    def _remove_once(self, name: str) -> None:
        try:
            self.client.api.remove_container(name, v=True, force=True)
        except NotFound:
            return
        except ENGINE_ERRORS as problem:
            if "already in progress" not in str(problem):
                self.log.warning(f"The container {name} could not be removed: {_said(problem)}")


def _get(host: str, port: int, path: str, patience: float) -> int | str:
    """Ask once, without proxies and without following a redirect; the status, or what is wrong."""
    connection = http.client.HTTPConnection(host, port, timeout=min(_CONNECTING, patience))
    try:
        connection.connect()
        connection.sock.settimeout(patience)
        # What is encoded already stays so.
        target = urllib.parse.quote(path, safe="/%?&=:@!$'()*+,;~-._")
        headers = {"User-Agent": "feastflow-registry", "Connection": "close"}
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status
    except TimeoutError:
        return "gave no answer" if connection.sock else _UNHEARD
    except OSError:
        return _UNHEARD
    except http.client.HTTPException:
        return "does not speak HTTP"
    finally:
        connection.close()


def _failure(service: Service, cause: str, fix: str = "Run again.") -> Failure:
    return Failure(
        Kind.BUILD, f"the smoke test of {service.name} failed: {cause}", fix, see="smoke-test"
    )


def _said(problem: Exception) -> str:
    """The engine's message, on one printable line."""
    return clean(str(getattr(problem, "explanation", None) or problem))
