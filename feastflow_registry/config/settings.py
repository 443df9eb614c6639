"""What the user asked for: every input, checked before anything is sent.

It decides the grammar of each input and reports all problems at once, each naming the input,
the rule and the fix. It never sees the registry token, and pydantic never prints a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from feastflow_registry.config import grammar, selectors
from feastflow_registry.config.selectors import Destination, Selector
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind, Problem, nearest
from feastflow_registry.model.plan import Command, Latest, Reuse
from feastflow_registry.model.references import RegistryHost, Repository, Tag
from feastflow_registry.model.services import EACH, Secret, Service, SmokeTest

T = TypeVar("T")


def _wrong(cause: str, fix: str) -> PydanticCustomError:
    escaped = {"cause": cause, "fix": fix}
    return PydanticCustomError("input", "{cause} {fix}", escaped)


def _parsed(parse: Callable[[str], T]) -> PlainValidator:
    """Turn a parser that raises a failure into one that pydantic can collect."""

    def validate(text: object) -> T:
        try:
            return parse(str(text))
        except Failure as failure:
            raise _wrong(failure.problems[0].cause, failure.problems[0].fix) from None

    return PlainValidator(validate)


_HUB = RegistryHost("docker.io")
Pairs = tuple[tuple[str, str], ...]
Words = tuple[str, ...]


class Settings(BaseModel):
    """Every input of ``action.yml`` but the two secrets, typed; the descriptions are the manual."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    command: Annotated[Command, _parsed(grammar.word(Command))] = Field(
        Command.PUBLISH,
        description="What to do: publish, build, push, tags, promote, rollback, deploy, prune, "
        "init or doctor. Default: publish.",
    )
    registry: Annotated[RegistryHost, _parsed(RegistryHost.parse)] = Field(
        _HUB,
        description="The registry, as host[:port]. Plain HTTP only on this machine. "
        "Default: docker.io.",
    )
    namespace: Annotated[str, _parsed(grammar.repository_path)] = Field(
        "", description="The owner of the repositories. Default: username."
    )
    username: Annotated[str, _parsed(grammar.username)] = Field(
        "", description="The registry's user. Empty where nothing is pushed."
    )
    config: Annotated[str, _parsed(grammar.relative_path)] = Field(
        "", description="The file of services and policy. Default: feastflow.yml if there is one."
    )
    services: Annotated[Words, _parsed(grammar.each(grammar.service_name))] = Field(
        (), description="The services to work on, by name. Default: all."
    )
    services_from: Annotated[str, _parsed(grammar.relative_path)] = Field(
        "", description="A Compose or Bake file that describes the services."
    )
    image: Annotated[str, _parsed(grammar.repository_path)] = Field(
        "", description="The image's name. Default: the repository's name."
    )
    context: Annotated[str, _parsed(grammar.relative_path)] = Field(
        ".", description="The build context, a folder of the repository. Default: its top folder."
    )
    dockerfile: Annotated[str, _parsed(grammar.relative_path)] = Field(
        "Dockerfile", description="The Dockerfile, relative to the context. Default: Dockerfile."
    )
    target: Annotated[str, _parsed(grammar.target)] = Field("", description="The stage to build.")
    build_args: Annotated[Pairs, _parsed(grammar.pairs)] = Field(
        (), description="Build arguments, one KEY=value a line. Never a secret."
    )
    platforms: Annotated[Words, _parsed(grammar.each(grammar.platform))] = Field(
        (), description="Platforms, such as linux/amd64,linux/arm64. Default: the builder's own."
    )
    labels: Annotated[Pairs, _parsed(grammar.labels)] = Field(
        (), description="More image labels, one key=value a line."
    )
    secrets: Annotated[tuple[Secret, ...], _parsed(grammar.lines(grammar.secret))] = Field(
        (), description="Build secrets, id=NAME,src=FILE or id=NAME,env=VARIABLE, one a line."
    )
    branches: Annotated[Words, _parsed(grammar.branches)] = Field(
        ("main",),
        description="Branches that may push, the main one first; patterns as in on.push.branches. "
        "Default: main.",
    )
    git_tags: Annotated[Words, _parsed(grammar.patterns)] = Field(
        ("*",), description="Git tags that may push; patterns as in on.push.tags. Default: *."
    )
    milestone: Annotated[Tag | None, _parsed(grammar.milestone)] = Field(
        None, description="A tag such as sprint3 that follows the main branch until it is tagged."
    )
    latest: Annotated[Latest, _parsed(grammar.word(Latest))] = Field(
        Latest.FORWARD, description="How latest moves: forward, force or never. Default: forward."
    )
    extra_tags: Annotated[Words, _parsed(grammar.each(grammar.tag_template))] = Field(
        (), description="More tags: names, {version}, {major}, {minor}, {branch}, {date}."
    )
    shared_tags: Annotated[bool, _parsed(grammar.flag)] = Field(
        True, description="Whether tags other than the commit tag move at all. Default: true."
    )
    sha_length: Annotated[int, _parsed(grammar.sha_length)] = Field(
        7, description="How many digits of the commit its tag has. Default: 7."
    )
    reuse: Annotated[Reuse, _parsed(grammar.word(Reuse))] = Field(
        Reuse.COMMIT,
        description="commit: build nothing that this commit published; unchanged: nor what an "
        "ancestor published from the same inputs; never: always build. Default: commit.",
    )
    builder: Annotated[str, _parsed(grammar.builder)] = Field(
        "", description="The buildx builder. Default: the current one."
    )
    cache: Annotated[str, _parsed(grammar.cache)] = Field(
        "",
        description="Where layers are kept between runs: none, registry or a buildx spec. "
        "Default: none.",
    )
    attest: Annotated[Words, _parsed(grammar.attest)] = Field(
        (),
        description="Provenance and SBOM: true, false or buildx specs, one a line. Default: false.",
    )
    reproducible: Annotated[bool, _parsed(grammar.flag)] = Field(
        False,
        description="Whether no file and layer is to be newer than the commit, so that a build can "
        "be repeated. Default: false.",
    )
    smoke_test: Annotated[SmokeTest | None, _parsed(grammar.smoke_test)] = Field(
        None, description="A port and a path that must answer below 500, such as 3000/."
    )
    check: str = Field(
        "", description="A command that judges the image, named by IMAGE, before it is pushed."
    )
    tag: Annotated[tuple[Destination, ...], _parsed(grammar.each(selectors.destination))] = Field(
        (),
        description="The tag that rollback takes back or deploy looks at, or the tags that promote "
        "gives, which may be [host/]repository[:tag].",
    )
    to: Annotated[Selector | None, _parsed(selectors.selector)] = Field(
        None, description="The image that is meant: a commit, a tag or a digest."
    )
    manifests: Annotated[Words, _parsed(grammar.each(grammar.relative_path))] = Field(
        (),
        description="Kubernetes manifests that deploy and rollback edit, and whose images prune "
        "keeps: files, patterns, folders.",
    )
    keep_days: Annotated[int, _parsed(grammar.count)] = Field(
        90, description="Days for which prune keeps every commit tag. Default: 90."
    )
    keep_last: Annotated[int, _parsed(grammar.count)] = Field(
        10, description="How many commit tags prune keeps anyway, per service. Default: 10."
    )
    keep: Annotated[tuple[selectors.Kept, ...], _parsed(grammar.each(selectors.kept))] = Field(
        (), description="Tags (patterns as in on.push.tags), digests or references prune keeps."
    )
    dry_run: Annotated[bool, _parsed(grammar.flag)] = Field(
        False,
        description="Stop after printing the plan, as prune does unless it is false. "
        "Default: false.",
    )

    @field_validator("username")
    @classmethod
    def _lowercase(cls, name: str, info: ValidationInfo) -> str:
        """A name is lowercase on Docker Hub, and wherever repositories are named after it."""
        is_hub = info.data.get("registry", _HUB).is_docker_hub
        if name != name.lower() and (is_hub or info.data.get("namespace") == ""):
            raise _wrong(
                "the user name must be lowercase, as repositories are named after it.",
                f'Write "{name.lower()}".',
            )
        return name

    @property
    def main(self) -> str:
        """The branch from which shared tags move."""
        return self.branches[0]

    def service(self, *, namespace: str, image: str) -> Service:
        """The one service that the inputs describe, with defaults for what they leave out."""
        name = self.image or image.lower()
        path = f"{self.namespace or namespace}/{name}"
        return Service(
            name=name.rpartition("/")[2],
            repository=Repository.parse(self.registry, path),
            context=self.context,
            dockerfile=self.dockerfile,
            target=self.target,
            args=self.build_args,
            platforms=self.platforms,
            labels=self.labels,
            secrets=self.secrets,
            smoke_test=self.smoke_test,
            check=self.check,
        )


def option(name: str) -> str:
    """Spell a setting as an input and an option: ``build_args`` is ``build-args``."""
    return name.replace("_", "-")


def parse(inputs: Mapping[str, str], origins: Mapping[str, str] | None = None) -> Settings:
    """Check all inputs. Raises one input failure with every problem. Empty means default.

    ``origins``: where an input stands, if it was not given as one.
    """
    given = {key.replace("-", "_"): value for key, value in inputs.items() if value.strip()}
    if given.get("command") == Command.PRUNE:
        given.setdefault("dry_run", "true")
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_input=False)
        problems = [_problem(each["loc"], each, origins or {}) for each in found]
    raise Failure.of(Kind.INPUT, problems)


def _problem(
    location: tuple[int | str, ...], error: Mapping[str, object], origins: Mapping[str, str]
) -> Problem:
    name = option(str(location[0]))
    context = error.get("ctx")
    if isinstance(context, dict) and "fix" in context:
        where = origins.get(str(location[0]), f'input "{name}"')
        return Problem(f"{where}: {context['cause']}", str(context["fix"]))
    known = [option(field) for field in Settings.model_fields]
    return Problem(f'"{name}" is not an input of this action.', nearest(name, known))


def check_options(services: Iterable[Service], settings: Settings) -> Iterator[Problem]:
    """Yield what the options of a build forbid its services."""
    known = tuple(services)
    if settings.cache not in ("", "registry") and len(known) > 1 and EACH not in settings.cache:
        yield Problem(
            'input "cache": the services would overwrite each other\'s layers.',
            f"Put {EACH} into it, which becomes the service's name.",
        )
    if any("mode=max" in each for each in settings.attest):
        for service in known:
            for key, _ in service.args:
                if grammar.looks_secret(key):
                    yield Problem(
                        f'input "attest": provenance with mode=max would publish the build '
                        f"argument {key} of {service.name}, which looks like a credential.",
                        "Hand it to the build as a secret, or leave mode=max out.",
                    )


def caches(settings: Settings, service: Service, *, write: bool) -> Mapping[str, str]:
    """Where layers are looked for and left: in the repository itself, or where buildx is told.

    https://docs.docker.com/build/cache/backends/
    """
    if not settings.cache:
        return {}
    spec = settings.cache.replace(EACH, service.name)
    if spec == "registry":
        name = f"{service.repository.host}/{service.repository.path}:{tag_names.CACHE_TAG}"
        spec = f"type=registry,ref={name}"
        return {"cache_from": spec, "cache_to": f"{spec},mode=max" if write else ""}
    found = spec.replace(",dest=", ",src=") if spec.startswith("type=local,") else spec
    return {"cache_from": found, "cache_to": spec if write else ""}
