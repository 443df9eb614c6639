"""What a configuration file may hold: each key, its type, its grammar and what it says of itself.

The words of a service are those of Compose's ``build``, and ours with a hyphen; those of the top
level are the inputs of the action. It refuses what is no text where text is due, as YAML reads
``1.10`` and ``no`` as something else, and every key that it does not know.
https://docs.docker.com/reference/compose-file/build/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from feastflow_registry.config import grammar
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import Latest, Reuse
from feastflow_registry.model.references import split_host
from feastflow_registry.model.services import LINK, Secret, SmokeTest

T = TypeVar("T")
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_IMAGE = r"^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_REMOTE = re.compile(r"(?:https?|git|ssh|docker-image)://[!-~]+|git@[!-~]+")
_CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,255}")


def _parsed(parse: Callable[[str], T]) -> PlainValidator:
    """Turn a parser that raises a failure into one for pydantic, of text and nothing else."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise PydanticCustomError("not_text", "not a text")
        try:
            return parse(value)
        except Failure as failure:
            said = {"cause": failure.problems[0].cause, "fix": failure.problems[0].fix}
            raise PydanticCustomError("rule", "{cause} {fix}", said) from None

    return PlainValidator(validate)


def _shown(**schema: Any) -> WithJsonSchema:
    """Describe a text to editors."""
    return WithJsonSchema({"type": "string", **schema})


def _listed(split: Callable[[str], tuple[str, ...]]) -> BeforeValidator:
    """Take a list in the one text that an input takes, too."""
    return BeforeValidator(
        lambda value: split(value) if isinstance(value, str) else value,
        json_schema_input_type=list[str] | str,
    )


def _image(text: str) -> str:
    """A repository below the namespace, without the registry and the tag."""
    if split_host(text)[0]:
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} begins with a registry.",
            "Write the name alone; the registry and the namespace have keys of their own.",
        )
    if ":" in text or "@" in text:
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} holds a tag or a digest.",
            "Write the name alone; the tags come from the commit.",
        )
    return grammar.repository_path(text)


def _value(text: str) -> str:
    """The value of an argument or label."""
    if _CONTROL.search(text):
        raise Failure(Kind.INPUT, f"{text[:80]!r} holds a control character.", "Remove it.")
    return text


def _label(key: str) -> str:
    """A label that does not prove an image's origin."""
    grammar.labels(f"{_key(key)}=")
    return key


def _source(text: str) -> str:
    """What a named context is: a path, an address, an image or another service's image."""
    if text.startswith(LINK):
        return f"{LINK}{grammar.service_name(text.removeprefix(LINK))}"
    if text.startswith("target:"):
        raise Failure(
            Kind.INPUT, f"{text[:80]!r} is Bake's word.", "Write service:NAME, as Compose does."
        )
    if _REMOTE.fullmatch(text):
        return text
    try:
        return grammar.relative_path(text)
    except Failure:
        raise Failure(
            Kind.INPUT,
            f"{text[:80]!r} is not a context.",
            "Write a path inside the repository, https://…, docker-image://… or service:NAME.",
        ) from None


def _one(split: Callable[[str], tuple[str, ...]]) -> Callable[[str], str]:
    """One item of a list, which its input's separator would make two."""

    def parse(text: str) -> str:
        if len(split(text)) != 1:
            raise Failure(
                Kind.INPUT, f"{text[:80]!r} is not one item.", "Write one item on each line."
            )
        return text

    return parse


def _attested(value: object) -> object:
    """Take a boolean in place of the list of attestations."""
    if isinstance(value, bool):
        return [str(value).lower()]
    return _lines(value) if isinstance(value, str) else value


_key = grammar.matching(_KEY, "such a name", "Use letters, digits, '_', '.' and '-'.")
_context_name = grammar.matching(
    _CONTEXT_NAME, "the name of a context", "Use the name that the Dockerfile has after FROM."
)
_lines = grammar.lines(str)

Text = Annotated[str, _parsed(str), _shown()]
Path = Annotated[str, _parsed(grammar.relative_path), _shown()]
Key = Annotated[str, _parsed(_key), _shown(pattern=f"^{_KEY.pattern}$")]
LabelKey = Annotated[str, _parsed(_label), _shown(pattern=f"^{_KEY.pattern}$")]
Value = Annotated[str, _parsed(_value), _shown()]
ServiceName = Annotated[str, _parsed(grammar.service_name), _shown(pattern=_NAME)]
ContextName = Annotated[str, _parsed(_context_name), _shown(pattern=f"^{_CONTEXT_NAME.pattern}$")]
Count = Annotated[StrictInt, Field(ge=1, le=100_000)]
Items = Annotated[
    tuple[Annotated[str, _parsed(_one(grammar.items)), _shown()], ...], _listed(grammar.items)
]
Attestations = Annotated[
    tuple[Annotated[str, _parsed(_one(_lines)), _shown()], ...],
    BeforeValidator(_attested, json_schema_input_type=bool | list[str] | str),
]


def _said(name: str, *examples: object) -> Any:
    """A key that is an input, too, and is described as that."""
    said = Settings.model_fields[name].description
    return Field(
        None, alias=name.replace("_", "-"), description=said, examples=list(examples) or None
    )


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServiceModel(_Strict):
    """One image to build."""

    image: Annotated[str, _parsed(_image), _shown(pattern=_IMAGE)] = Field(
        "",
        description="The repository's name below the namespace. Default: the service's name.",
        examples=["feastflow-frontend"],
    )
    context: Path = Field(
        ".",
        description="The build context, a folder of the repository. Default: its top folder.",
        examples=["frontend/app"],
    )
    dockerfile: Path = Field(
        "Dockerfile",
        description="The Dockerfile, relative to the context. Default: Dockerfile.",
    )
    target: Annotated[str, _parsed(grammar.target), _shown(pattern=_NAME)] = Field(
        "", description="The stage to build. Default: the last one."
    )
    args: dict[Key, Value] = Field(
        {}, description="Build arguments. Never a secret.", examples=[{"NODE_VERSION": "22"}]
    )
    platforms: Annotated[
        tuple[Annotated[str, _parsed(grammar.platform), _shown()], ...], _listed(grammar.items)
    ] = Field(
        (),
        description="Platforms. Default: the builder's own.",
        examples=[["linux/amd64", "linux/arm64"]],
    )
    labels: dict[LabelKey, Value] = Field({}, description="More image labels.")
    secrets: Annotated[
        tuple[Annotated[Secret, _parsed(grammar.secret), _shown()], ...], _listed(_lines)
    ] = Field(
        (),
        description="Build secrets, id=NAME,src=FILE or id=NAME,env=VARIABLE.",
        examples=[["id=npm,env=NPM_TOKEN"]],
    )
    ssh: Annotated[
        tuple[Annotated[str, _parsed(grammar.ssh), _shown()], ...], _listed(grammar.items)
    ] = Field((), description="SSH agents for the build: default, or NAME=SOCKET.")
    additional_contexts: dict[ContextName, Annotated[str, _parsed(_source), _shown()]] = Field(
        {},
        description="Named contexts: a path, an address, docker-image://… or service:NAME, which "
        "is another service's image.",
        examples=[{"base": "service:base"}],
    )
    pull: StrictBool = Field(
        False, description="Whether base images are always looked up again. Default: false."
    )
    no_cache: StrictBool = Field(
        False, description="Whether the build uses no cache. Default: false."
    )
    watch: Annotated[tuple[Path, ...], _listed(grammar.items)] = Field(
        (),
        description="Paths of the repository whose change makes another image, beyond those that "
        "the build names.",
    )
    smoke_test: Annotated[
        SmokeTest | None, _parsed(grammar.smoke_test), _shown(pattern=r"^[0-9]{1,5}(/.*)?$")
    ] = Field(
        None,
        alias="smoke-test",
        description="A port and a path that must answer below 500. Default: that of all services.",
        examples=["3000/"],
    )
    check: Text = Field(
        "",
        description="A command that judges the image, named by IMAGE, before it is pushed. "
        "Default: that of all services.",
    )


class Retention(_Strict):
    """Which commit tags outlive a prune."""

    keep_days: Count = Field(
        default=90,
        alias="keep-days",
        description="Days for which every commit tag is kept. Default: 90.",
    )
    keep_last: Count = Field(
        default=10,
        alias="keep-last",
        description="How many commit tags are kept anyway. Default: 10.",
    )
    keep: Items = Field(default=(), description="Tags, digests or references that are kept, too.")


def _described(value: object) -> object:
    """A service of which nothing is said takes every default."""
    return {} if value is None else value


class FileModel(_Strict):
    """Services and policy of feastflow/registry-action. An input of the action beats this file."""

    registry: Text = _said("registry", "docker.io", "ghcr.io")
    namespace: Text = _said("namespace", "feastflow")
    branches: Items = _said("branches", ["main", "release/**"])
    git_tags: Items = _said("git_tags", ["v*"])
    milestone: Text = _said("milestone", "sprint3")
    latest: Annotated[str, _parsed(str), _shown(enum=list(Latest))] = _said("latest")
    manifests: Items = _said("manifests", ["k8s/**"])
    extra_tags: Items = _said("extra_tags", ["{version}", "{major}.{minor}"])
    shared_tags: StrictBool = _said("shared_tags")
    sha_length: Annotated[StrictInt, Field(ge=7, le=40)] = _said("sha_length")
    reuse: Annotated[str, _parsed(str), _shown(enum=list(Reuse))] = _said("reuse")
    builder: Text = _said("builder")
    cache: Text = _said("cache", "registry")
    attest: Attestations = _said("attest", ["type=provenance,mode=max", "type=sbom"])
    reproducible: StrictBool = _said("reproducible")
    smoke_test: Text = _said("smoke_test", "3000/")
    check: Text = _said("check")
    services_from: Path = _said("services_from", "compose.yaml")
    services: Annotated[
        dict[ServiceName, Annotated[ServiceModel, BeforeValidator(_described)]],
        Field(min_length=1),
    ] = Field(
        default={}, description="The images of this repository, by the name of their service."
    )
    retention: Retention = Field(
        default=Retention(), description="Which commit tags outlive a prune."
    )
