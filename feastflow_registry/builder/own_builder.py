"""The builder of our own: made where the engine's cannot do what a build needs.

Its name tells what it is made from, so that another image or another option is another builder.
It stays, with its cache, for the next run on the machine. buildx keeps a container and a volume
for it: https://docs.docker.com/build/builders/drivers/docker-container/
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import docker
from docker.errors import NotFound

from feastflow_registry.builder.buildx import Buildx
from feastflow_registry.builder.diagnosis import clean, is_denied
from feastflow_registry.builder.docker_api import ENGINE_ERRORS
from feastflow_registry.builder.tries import tries
from feastflow_registry.model.errors import Failure, Kind

PINNED_IMAGE = (
    "moby/buildkit:v0.32.2@sha256:28a898719c18a33f4e8000685287fa36fd0dd9560c6440227d3a732d79bb41d8"
)
"""The index of that release, as ``docker buildx imagetools inspect`` shows it: so say
https://github.com/gophersys/.devcontainer (``_ctl/lib.sh``, which reads it so) and ten more
repositories that pin it."""
PREFIX = "feastflow-registry-action-"
_OURS = re.compile(rf"{PREFIX}[0-9a-f]{{12}}")
_IDLE_DAYS = 7
_DRIVER = "docker-container"
_SECONDS = 600.0
"""How long the image may take to arrive."""
_AFRESH = 2
"""The try that begins with nothing that was there before."""
_OPTION = re.compile(r'(\S+)="([^"]*)"')
_MISSING = re.compile(r"manifest unknown|: not found$|repository does not exist|invalid reference")
"""What no later try will bring."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a builder of our own is made from.

    ``image``: BuildKit's; ``host_network``: whether it has to reach registries on this machine;
    ``plain_http``: the registries that it speaks plain HTTP with; ``clock``: seconds that never go
    back; ``wall``: Unix time.
    """

    image: str
    host_network: bool
    plain_http: tuple[str, ...]
    clock: Callable[[], float]
    wall: Callable[[], float]

    @property
    def options(self) -> Mapping[str, str]:
        """Options of the driver.

        https://docs.docker.com/build/builders/drivers/docker-container/#synopsis
        """
        return {"image": self.image, **({"network": "host"} if self.host_network else {})}

    @property
    def configuration(self) -> str:
        """BuildKit's own configuration. A registry on this machine needs none.

        https://docs.docker.com/build/buildkit/toml-configuration/
        """
        return "".join(f'[registry."{each}"]\n  http = true\n' for each in self.plain_http)


@dataclass(frozen=True, slots=True)
class OwnBuilder:
    """One builder of our own, on one engine."""

    recipe: Recipe
    buildx: Buildx
    client: docker.DockerClient

    @property
    def name(self) -> str:
        """The name that only this builder has."""
        facts = [self.recipe.options, self.recipe.configuration, self.client.info()["ID"]]
        text = json.dumps(facts, sort_keys=True)
        return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12]

    def describe(self) -> str:
        """Say what it is made from. Raises a build failure if the image cannot be had."""
        image = self.recipe.image
        try:
            self.client.images.get(image)
        except ENGINE_ERRORS:
            try:
                self.client.images.get_registry_data(image)
            except ENGINE_ERRORS as error:
                raise self._unmade(str(error)) from None
        return f"a builder of its own, made from {image}"

    def prepare(self) -> str:
        """Make the builder, or start it, unless it runs; say what that cost. Returns its name."""
        name, image, log = self.name, self.recipe.image, self.buildx.log
        started = self.recipe.clock()
        found = self.buildx.inspect(name)
        self._check_is_ours(name, found)
        if re.search(r"^Status:[ \t]*running", found, re.MULTILINE):
            log.say(f"An earlier run has made the builder {name}.")
        else:
            if "@sha256:" not in image:
                fix = 'add @sha256:… to it in the input "buildkit-image"'
                log.notice(f"{image} may be another image tomorrow: {fix}.")
            with log.working(f"Making the builder {name} from {image}"):
                self._start(name)
            seconds = self.recipe.clock() - started
            log.say(f"Made the builder {name} from {image} in {seconds:.1f} s.")
        self._remove_idle(name)
        return name

    def _check_is_ours(self, name: str, found: str) -> None:
        """Refuse a builder, or a container of one, that has our name but is none of ours."""
        driver = re.search(r"^Driver:[ \t]*(\S+)", found, re.MULTILINE)
        options = re.search(r"^Driver Options:(.*)", found, re.MULTILINE)
        given = dict(_OPTION.findall(options[1])) if options else {}
        if driver and (driver[1] != _DRIVER or given != self.recipe.options):
            raise _not_ours(name, f"its driver is {driver[1]}, its options are {given}")
        with suppress(NotFound):
            container = self.client.containers.get(_container(name))
            image = container.attrs["Config"]["Image"]
            if image != self.recipe.image:
                raise _not_ours(name, f"its container runs {image}")

    def _start(self, name: str) -> None:
        """Make what is missing of it. Another run may be doing so, too."""
        error = ""
        for number in tries(self.buildx.sleep):
            if number == _AFRESH:
                self.buildx.ask("rm", "--force", name)
            self._remove_half_made(name)
            error = self._boot(name)
            if not error:
                return
            if is_denied(error) or _MISSING.search(error):
                break
        self.buildx.ask("rm", "--force", name)
        raise self._unmade(error)

    def _boot(self, name: str) -> str:
        """Create the builder unless it is known, and boot it; the error, if there is one."""
        if self.buildx.inspect(name):
            done = self.buildx.ask("inspect", "--bootstrap", name, seconds=_SECONDS)
        else:
            options = [f"--driver-opt={key}={each}" for key, each in self.recipe.options.items()]
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(self.recipe.configuration)
                file.flush()
                configured = [f"--buildkitd-config={file.name}"] if self.recipe.plain_http else []
                done = self.buildx.ask(
                    *("create", "--name", name, "--driver", _DRIVER, "--bootstrap"),
                    *(*options, *configured),
                    seconds=_SECONDS,
                )
        return "" if done.returncode == 0 else clean(done.stderr.strip().rpartition("ERROR: ")[2])

    def _remove_half_made(self, name: str) -> None:
        """Remove a container that never ran: a kill may have kept it from its configuration."""
        with suppress(*ENGINE_ERRORS):
            container = self.client.containers.get(_container(name))
            if container.status == "created":
                container.remove(force=True)

    def _remove_idle(self, name: str) -> None:
        """Remove those of other images and options that nobody has used for days."""
        for other, used in self.buildx.used().items():
            days = (self.recipe.wall() - used) / 86_400
            if _OURS.fullmatch(other) and other != name and days > _IDLE_DAYS:
                self.buildx.log.say(f"Removing the builder {other}, unused for {days:.0f} days.")
                self.buildx.ask("rm", "--force", other)

    def _unmade(self, error: str) -> Failure:
        return Failure(
            Kind.BUILD,
            f"no builder can be made from {self.recipe.image}: {clean(error)}.",
            'Name an image of BuildKit that this engine can pull in the input "buildkit-image", or '
            'a builder that is there already in the input "builder".',
        )


def _container(name: str) -> str:
    """What buildx calls the container of a builder's only node."""
    return f"buildx_buildkit_{name}0"


def _not_ours(name: str, why: str) -> Failure:
    return Failure(
        Kind.BUILD,
        f"the builder {name} exists, but is another one than this program makes: {why}.",
        f"Remove it: `docker buildx rm {name}; docker rm --force {_container(name)}`. "
        'Or name another builder in the input "builder".',
    )
