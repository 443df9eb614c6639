"""What the user asked for: every input, checked before anything is sent.

Each input is declared here once: its name, grammar, default and description. All problems are
reported at once, each with the input, the rule and the fix. The registry token is no setting, and
pydantic never prints a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from feastflow_registry.config import build_options, grammar, image_annotations, selectors
from feastflow_registry.config.parsed import Parsed, number
from feastflow_registry.config.platforms import Matrix, parse_matrix, parse_platform, parse_runners
from feastflow_registry.config.selectors import Destination, Selector
from feastflow_registry.model.errors import Failure, Kind, Problem, nearest
from feastflow_registry.model.plan import Command, Latest, Reuse
from feastflow_registry.model.references import HUB, RegistryHost, Repository, Tag
from feastflow_registry.model.services import (
    Annotation,
    BuildOptions,
    Secret,
    Service,
    SmokeTest,
)


class FromFile(NamedTuple):
    """A setting as YAML reads it from a file (text, boolean, number, list), and where it stands."""

    value: object
    place: str


Pairs = tuple[tuple[str, str], ...]
Words = tuple[str, ...]


class Settings(BaseModel):
    """Every input of ``action.yml`` but the two secrets, typed; the descriptions are the manual."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    command: Annotated[Command, Parsed(grammar.choice(Command))] = Field(
        Command.PUBLISH,
        description="What to do: publish, build, push, tags, promote, rollback, deploy, prune, "
        "init or doctor. Default: publish.",
    )
    insecure_registries: Annotated[
        tuple[RegistryHost, ...], Parsed(grammar.list_of(grammar.insecure_registry))
    ] = Field(
        (),
        description="Registries, as host[:port], for plain HTTP. Everybody on the way can "
        "read the token and change what you push.",
        examples=["registry:5000"],
    )
    registry: Annotated[RegistryHost, Parsed(RegistryHost.parse)] = Field(
        HUB,
        description="The registry, as host[:port]. TLS is used, except on this machine and for "
        'those in "insecure-registries". Default: docker.io.',
        examples=["docker.io", "ghcr.io"],
    )
    also: Annotated[tuple[Destination, ...], Parsed(grammar.list_of(selectors.place))] = Field(
        (),
        description="More registries for each image: repositories, with {service} in them if "
        "there are several services.",
        examples=[["ghcr.io/feastflow/{service}"]],
    )
    registries: Annotated[tuple[RegistryHost, ...], Parsed(grammar.list_of(RegistryHost.parse))] = (
        Field(
            (),
            description='Which of the registries in "registry" and "also" are used by tags, '
            "promote, rollback, deploy and prune. Default: all.",
            examples=[["ghcr.io"]],
        )
    )
    namespace: Annotated[str, Parsed(grammar.namespace)] = Field(
        "",
        description="The owner of the repositories; / if the registry has no owners. Default:"
        " username.",
        examples=["feastflow"],
    )
    username: Annotated[str, Parsed(grammar.username)] = Field(
        "", description="The registry's user. Empty if nothing is pushed."
    )
    working_directory: Annotated[str, Parsed(grammar.folder_below)] = Field(
        "",
        description="The folder of the repository, if actions/checkout has a path. Default: the "
        "workspace; if that is no git repository, the folder in it that is at this commit.",
        examples=["app"],
    )
    config: Annotated[str, Parsed(grammar.relative_path)] = Field(
        "", description="The file of services and policy. Default: feastflow.yml if there is one."
    )
    also_known_as: Annotated[Words, Parsed(grammar.list_of(grammar.other_name))] = Field(
        (),
        description="Other names of this repository, owner/name or addresses. Only for names "
        "that GitHub does not redirect.",
        examples=[["old-owner/old-name"]],
    )
    services: Annotated[Words, Parsed(grammar.list_of(grammar.service_name))] = Field(
        (), description="The services to work on, by name. Default: all."
    )
    services_from: Annotated[str, Parsed(grammar.relative_path)] = Field(
        "",
        description="A Compose or Bake file that describes the services.",
        examples=["compose.yaml"],
    )
    image: Annotated[str, Parsed(grammar.repository_path)] = Field(
        "", description="The image's name. Default: the repository's name."
    )
    context: Annotated[str, Parsed(grammar.context)] = Field(
        ".", description="The build context, a folder of the repository. Default: its top folder."
    )
    dockerfile: Annotated[str, Parsed(grammar.relative_path)] = Field(
        "Dockerfile", description="The Dockerfile, relative to the context. Default: Dockerfile."
    )
    target: Annotated[str, Parsed(grammar.target)] = Field("", description="The stage to build.")
    build_args: Annotated[Pairs, Parsed(grammar.pairs)] = Field(
        (), description="Build arguments, one KEY=value a line. Never a secret."
    )
    platforms: Annotated[Words, Parsed(grammar.list_of(parse_platform))] = Field(
        (), description="Platforms, such as linux/amd64,linux/arm64. Default: the builder's own."
    )
    labels: Annotated[Pairs, Parsed(grammar.labels)] = Field(
        (), description="More image labels, one key=value a line."
    )
    secrets: Annotated[
        tuple[Secret, ...], Parsed(grammar.list_of(grammar.secret, grammar.split_lines))
    ] = Field(
        (), description="Build secrets, id=NAME,src=FILE or id=NAME,env=VARIABLE, one a line."
    )
    network: Annotated[str, Parsed(build_options.network)] = Field(
        "",
        description="The network of the build's steps: default, none, or host (with \"allow: "
        'network.host"). Default: default.',
    )
    add_hosts: Annotated[Pairs, Parsed(build_options.extra_hosts)] = Field(
        (), description="More hosts for the build's steps, one HOST=ADDRESS a line."
    )
    ulimits: Annotated[Words, Parsed(build_options.ulimits)] = Field(
        (), description="Limits of the build's processes, such as nofile=1024:2048, one a line."
    )
    shm_size: Annotated[int, Parsed(build_options.shm_size)] = Field(
        0, description="The size of /dev/shm in the build, such as 2gb."
    )
    allow: Annotated[Words, Parsed(grammar.list_of(build_options.entitlement))] = Field(
        (),
        description="Additional rights of the build: network.host, security.insecure, device.",
    )
    no_cache_filters: Annotated[Words, Parsed(grammar.list_of(grammar.target))] = Field(
        (), description="Stages that are always built again."
    )
    annotations: Annotated[tuple[Annotation, ...], Parsed(image_annotations.parse)] = Field(
        (),
        description="Annotations in addition to those made from the labels, one key=value a "
        "line. The prefix manifest: or index: sets one only there.",
    )
    outputs: Annotated[
        Words, Parsed(grammar.list_of(build_options.output, grammar.split_lines))
    ] = Field(
        (),
        description="More places for the result of the command build, such as "
        "type=local,dest=out, one a line.",
    )
    secret_variables: Annotated[Words, Parsed(grammar.list_of(grammar.offered))] = Field(
        (),
        description="Environment variables of the step that the secrets of a file, such as "
        "feastflow.yml, may read. A run that may not push gives no variable to a build.",
        examples=[["NPM_TOKEN"]],
    )
    branches: Annotated[Words, Parsed(grammar.branches)] = Field(
        ("main",),
        description="Branches that may push, the main branch first; patterns as in "
        "on.push.branches. Empty: the repository's default branch, if known. "
        "Default: main.",
        examples=[["main", "release/**"]],
    )
    git_tags: Annotated[Words, Parsed(grammar.patterns)] = Field(
        ("**",),
        description="Git tags that may push; patterns as in on.push.tags. A prefix of a "
        "pattern, such as frontend/ in frontend/v*, is no part of the version. "
        "Default: **.",
        examples=[["v*"], ["frontend/v*"]],
    )
    milestone: Annotated[Tag | None, Parsed(grammar.milestone)] = Field(
        None,
        description="A tag, such as sprint3, that follows the main branch until you push a "
        "git tag of that name.",
        examples=["sprint3"],
    )
    latest: Annotated[Latest, Parsed(grammar.choice(Latest), Latest)] = Field(
        Latest.FORWARD,
        description="How latest moves. forward: to newer commits of the main branch; force: "
        "to this commit in any case; release: to the highest version of the git "
        "tags; never: not at all. Default: forward.",
    )
    extra_tags: Annotated[Words, Parsed(grammar.list_of(grammar.tag_template))] = Field(
        (),
        description="More tags: names, with {version}, {major}, {minor}, {branch}, {date}, "
        "{timestamp}, {sha} or {run} in them.",
        examples=[["{version}", "{major}.{minor}"]],
    )
    shared_tags: Annotated[bool, Parsed(grammar.flag)] = Field(
        True, description="Whether tags other than the commit tag move. Default: true."
    )
    sha_length: Annotated[int, number(7, 40)] = Field(
        7, description="How many digits of the commit are in its tag. Default: 7."
    )
    matrix: Annotated[Matrix, Parsed(grammar.choice(Matrix), Matrix)] = Field(
        Matrix.SERVICES,
        description="services: one runner for each service. platforms: one for each platform of "
        "each service; a last job puts the images together. Default: services.",
    )
    part: Annotated[str, Parsed(parse_platform)] = Field(
        "",
        description="The platform that this job builds. Another job puts the image together.",
        examples=["linux/arm64"],
    )
    runners: Annotated[tuple[tuple[str, Words], ...], Parsed(parse_runners)] = Field(
        (),
        description="The runner's label for a platform, one platform=label a line. Built in: "
        "linux/amd64=ubuntu-24.04 and linux/arm64=ubuntu-24.04-arm.",
        examples=[["linux/arm64=self-hosted,arm64"]],
    )
    built: Annotated[tuple[tuple[str, str], ...], Parsed(parse_matrix)] = Field(
        (),
        description="The images that all jobs before this one pushed: the output matrix of "
        "the planning job. This job waits until the registry shows them.",
    )
    reuse: Annotated[Reuse, Parsed(grammar.choice(Reuse), Reuse)] = Field(
        Reuse.COMMIT,
        description="commit: do not build again what is published for this commit. unchanged: "
        "also use an ancestor's image if its inputs are the same. never: always build. Default: "
        "commit.",
    )
    builder: Annotated[str, Parsed(grammar.builder)] = Field(
        "",
        description="The buildx builder. Default: the current builder; a new one if the engine's "
        "own cannot do what is needed.",
    )
    buildkit_image: Annotated[str, Parsed(grammar.buildkit_image)] = Field(
        "",
        description="The image of BuildKit for a new builder, such as a mirror's. Default: "
        "the release that this version pins.",
        examples=["mirror.example.com/moby/buildkit@sha256:…"],
    )
    cache: Annotated[str, Parsed(grammar.cache)] = Field(
        "",
        description="Where layers are kept between runs: none, registry, inline, gha or a buildx "
        "spec. Default: none.",
        examples=["registry"],
    )
    cache_from: Annotated[
        Words, Parsed(grammar.list_of(grammar.cache_source, grammar.split_lines))
    ] = Field(
        (),
        description='Instead of "cache": where builds read layers, buildx specs, one a line.',
        examples=[["type=registry,ref=ghcr.io/feastflow/{service}:buildcache"]],
    )
    cache_to: Annotated[
        Words, Parsed(grammar.list_of(grammar.cache_target, grammar.split_lines))
    ] = Field(
        (),
        description='Instead of "cache": where runs that may push write layers, buildx specs, '
        "one a line.",
        examples=[["type=registry,ref=ghcr.io/feastflow/{service}:buildcache,mode=max"]],
    )
    attest: Annotated[Words, Parsed(grammar.attest)] = Field(
        (),
        description="Provenance and SBOM: true, false or buildx specs, one a line. Default: false.",
        examples=[["type=provenance,mode=max", "type=sbom"]],
    )
    reproducible: Annotated[bool, Parsed(grammar.flag)] = Field(
        False,
        description="Whether files and layers newer than the commit get the commit's time, to "
        "make the build repeatable. Default: false.",
    )
    smoke_test: Annotated[SmokeTest | None, Parsed(grammar.smoke_test)] = Field(
        None,
        description="A port and a path, such as 3000/, that must answer with a status below 500.",
        examples=["3000/"],
    )
    check: Annotated[str, Parsed(str)] = Field(
        "",
        description="A command that checks the image before the push. The variable IMAGE has "
        "its name.",
    )
    tag: Annotated[tuple[Destination, ...], Parsed(grammar.list_of(selectors.destination))] = Field(
        (),
        description="For rollback, the tags to take back (default: latest). For deploy, the tag "
        "to read. For promote, the tags to give, or [host/]repository[:tag].",
    )
    to: Annotated[Selector | None, Parsed(selectors.selector)] = Field(
        None, description="The image to use: a commit, a tag or a digest."
    )
    from_: Annotated[Selector | None, Parsed(selectors.selector)] = Field(
        None,
        alias="from",
        description="The bad image for rollback: a commit, a digest or a git tag. Tags with "
        "another image stay.",
    )
    unmark: Annotated[bool, Parsed(grammar.flag)] = Field(
        False,
        description='Whether rollback removes the mark "bad" from the image in "to". With "from" '
        'and no "to": remove it from the image in "from"; no tag moves. Default: false.',
    )
    manifests: Annotated[Words, Parsed(grammar.list_of(grammar.relative_path))] = Field(
        (),
        description="For deploy and rollback: Kubernetes manifests to edit. For prune: files of "
        "any kind; the images named in them are kept. Names, patterns or folders.",
        examples=[["k8s/**"]],
    )
    keep_days: Annotated[int, number(0, 99_999)] = Field(
        90,
        description='Days for which prune keeps every commit tag; 0 leaves this to "keep-last". '
        "Default: 90.",
    )
    keep_last: Annotated[int, number(1, 99_999)] = Field(
        10,
        description="How many of the newest commit tags of each service prune keeps, however "
        "old. Default: 10.",
    )
    keep: Annotated[tuple[selectors.KeepItem, ...], Parsed(grammar.list_of(selectors.kept))] = (
        Field(
            (),
            description="Tags (patterns as in on.push.tags), digests or references that prune "
            "keeps.",
        )
    )
    dry_run: Annotated[bool, Parsed(grammar.flag)] = Field(
        False,
        description="Print the plan and stop; prune does so unless this is false. Default: false.",
    )

    @field_validator("registry")
    @classmethod
    def _reached(cls, host: RegistryHost, info: ValidationInfo) -> RegistryHost:
        """The registry, and whether it is one of those that are spoken with over plain HTTP."""
        return host.as_in(info.data.get("insecure_registries", ()))

    @field_validator("also")
    @classmethod
    def _also_reached(
        cls, also: tuple[Destination, ...], info: ValidationInfo
    ) -> tuple[Destination, ...]:
        named = info.data.get("insecure_registries", ())
        return tuple(replace(each, host=each.host and each.host.as_in(named)) for each in also)

    @property
    def main(self) -> str:
        """The branch from which shared tags move."""
        return self.branches[0]

    def service(self, *, namespace: str, image: str) -> Service:
        """The one service that the inputs describe, with defaults for what they leave out."""
        name = self.image or image.lower()
        return Service(
            name=name.rpartition("/")[2],
            repository=Repository.below(self.registry, self.namespace or namespace, name),
            context=self.context,
            dockerfile=self.dockerfile,
            target=self.target,
            args=self.build_args,
            platforms=self.platforms,
            labels=self.labels,
            secrets=self.secrets,
            smoke_test=self.smoke_test,
            check=self.check,
            options=BuildOptions(
                network=self.network,
                shm_size=self.shm_size,
                ulimits=self.ulimits,
                entitlements=self.allow,
                extra_hosts=self.add_hosts,
                no_cache_filter=self.no_cache_filters,
            ),
            annotations=self.annotations,
            outputs=self.outputs,
        )


INPUTS = {field.alias or name: field for name, field in Settings.model_fields.items()}
"""Every setting by the name of its input, with underscores."""


def option(name: str) -> str:
    """Spell a setting as an input and an option: ``build_args`` is ``build-args``."""
    return name.replace("_", "-")


def parse(inputs: Mapping[str, str], policy: Mapping[str, FromFile] | None = None) -> Settings:
    """Check all inputs. Raises one input failure with every problem. Empty means not given.

    ``policy``: what a file says, by the names of the settings; an input beats it.
    """
    given = {key.replace("-", "_"): value for key, value in inputs.items() if value.strip()}
    stated = {name: each for name, each in (policy or {}).items() if name not in given}
    values = {name: each.value for name, each in stated.items() if not _is_empty(each.value)}
    values |= given
    if given.get("command") == Command.PRUNE:
        values.setdefault("dry_run", "true")
    if given.get("part"):
        values["shared_tags"] = "false"  # They hold whole images alone.
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        places = {name: each.place for name, each in stated.items()}
        problems = [_problem(each, places) for each in error.errors(include_input=False)]
    raise Failure.of(Kind.INPUT, problems)


def _is_empty(value: object) -> bool:
    return not value.strip() if isinstance(value, str) else value == []


def _problem(error: ErrorDetails, places: Mapping[str, str]) -> Problem:
    name = str(error["loc"][0])
    context = error.get("ctx", {})
    if error["type"] == "refused":
        place = places.get(name, f'input "{option(name)}"')
        return Problem(context["cause"], context["fix"], context["see"]).at(place)
    known = [option(each) for each in INPUTS]
    return Problem(
        f'"{option(name)}" is not an input of this action.', nearest(option(name), known)
    )
