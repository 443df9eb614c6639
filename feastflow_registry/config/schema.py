"""What a configuration file may hold, and what is wrong with one in sentences.

A service has Compose's keys below ``build``, and ours with a hyphen. The keys of the top level are
inputs of the action: only the form of their values is checked here, as their grammar is that of
``settings``. Where a text is due, nothing else is taken, as YAML reads ``1.10`` and ``no`` as
something else. An unknown key is refused.
https://docs.docker.com/reference/compose-file/build/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeVar, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from feastflow_registry.config import build_options, grammar, image_annotations
from feastflow_registry.config.grammar import refusal
from feastflow_registry.config.parsed import Parsed
from feastflow_registry.config.platforms import parse_platform
from feastflow_registry.config.settings import Settings, option
from feastflow_registry.config.strict_yaml import Date, Document, Finding, KeyPath
from feastflow_registry.model.errors import Failure, Problem, nearest
from feastflow_registry.model.references import split_host
from feastflow_registry.model.services import SERVICE_PREFIX, Annotation, Secret, SmokeTest
from feastflow_registry.model.wording import printable

T = TypeVar("T")
POLICY = (
    *("registry", "namespace", "branches", "git_tags", "milestone", "latest", "manifests"),
    *("extra_tags", "shared_tags", "sha_length", "reuse", "builder"),
    *("cache", "cache_from", "cache_to", "attest"),
    *("reproducible", "smoke_test", "check", "services_from"),
)
"""The settings that a file may hold; those of ``RETENTION`` stand below ``retention``.

Not ``buildkit_image``: it runs as a privileged container, and anybody's pull request has a file.
"""
RETENTION = ("keep_days", "keep_last", "keep")
_REMOTE = re.compile(r"(?:https?|git|ssh|docker-image)://[!-~]+|git@[\w.-]+:[!-~]+")
_CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,255}")
_SENTENCES = {
    "bool_type": ("is not a boolean.", "Write true or false, without quotes."),
    "int_type": ("is not a whole number.", "Write its digits, without quotes."),
    "greater_than_equal": ("is less than {ge}.", "Write {ge} or more."),
    "less_than_equal": ("is more than {le}.", "Write {le} or less."),
    "tuple_type": ("is not a list.", "Write [one, two], or one item a line, each after a dash."),
    "too_short": ("is empty.", "Name a service, or remove the key."),
}
"""Cause and fix of pydantic's own errors."""
_NO_MAPPING = ("is not a mapping.", "Write key: value lines below it, indented.")


def _text(parse: Callable[[str], T], form: Any = str) -> Parsed:
    """Read a text with a parser, and refuse what is no text. ``form``: its JSON Schema."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise PydanticCustomError("not_text", "not a text")
        return parse(value)

    return Parsed(validate, form)


def _matching(pattern: str) -> Any:
    """A text that matches a pattern, for the JSON Schema."""
    return Annotated[str, Field(pattern=pattern)]


def _or_text(split: Callable[[str], tuple[str, ...]]) -> BeforeValidator:
    """Take a list in the one text that an input takes, too."""
    return BeforeValidator(
        lambda value: split(value) if isinstance(value, str) else value,
        json_schema_input_type=list[str] | str,
    )


def _image(text: str) -> str:
    """A repository below the namespace, without the registry and the tag."""
    if split_host(text)[0]:
        fix = "Write the name alone; the registry and the namespace have keys of their own."
        raise refusal(text, "begins with a registry.", fix)
    if ":" in text or "@" in text:
        fix = "Write the name alone; the tags come from the commit."
        raise refusal(text, "holds a tag or a digest.", fix)
    return grammar.repository_path(text)


def _value(text: str) -> str:
    """The value of an argument or label."""
    if grammar.CONTROL.search(text):
        raise refusal(text, "holds a control character.", "Remove it.")
    return text


def _label(key: str) -> str:
    """A label that does not prove an image's origin."""
    grammar.labels(f"{_key(key)}=")
    return key


def _source(text: str) -> str:
    """What a named context is: a path, an address, an image or another service's image."""
    if text.startswith(SERVICE_PREFIX):
        return f"{SERVICE_PREFIX}{grammar.service_name(text.removeprefix(SERVICE_PREFIX))}"
    if text.startswith("target:"):
        raise refusal(text, "is written in the form of Bake.", "Write service:NAME, as in Compose.")
    if _REMOTE.fullmatch(text):
        return text
    try:
        return grammar.relative_path(text)
    except Failure:
        fix = "Write a path inside the repository, https://…, docker-image://… or service:NAME."
        raise refusal(text, "is not a build context.", fix) from None


_key = grammar.matching(grammar.KEY, "a valid key", "Use letters, digits, '_', '.' and '-'.")
_context_name = grammar.matching(
    _CONTEXT_NAME, "the name of a context", "Use the name that the Dockerfile has after FROM."
)

_NAME = _matching(f"^{grammar.NAME.pattern}$")
_KEY = _matching(f"^{grammar.KEY.pattern}$")
_IMAGE = r"^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$"
Text = Annotated[str, _text(str)]
FilePath = Annotated[str, _text(grammar.relative_path)]
Key = Annotated[str, _text(_key, _KEY)]
LabelKey = Annotated[str, _text(_label, _KEY)]
Value = Annotated[str, _text(_value)]
ServiceName = Annotated[str, _text(grammar.service_name, _NAME)]
ContextName = Annotated[str, _text(_context_name, _matching(f"^{_CONTEXT_NAME.pattern}$"))]
Items = Annotated[tuple[Text, ...], _or_text(grammar.split_items)]
Attestations = Annotated[
    tuple[Text, ...],
    BeforeValidator(
        lambda value: [str(value)] if isinstance(value, bool | str) else value,
        json_schema_input_type=bool | list[str] | str,
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServiceModel(_Strict):
    """One image to build."""

    image: Annotated[str, _text(_image, _matching(_IMAGE))] = Field(
        "",
        description="The repository's name below the namespace. Default: the service's name.",
        examples=["feastflow-frontend"],
    )
    context: Annotated[str, _text(grammar.context)] = Field(
        ".",
        description="The build context, a folder of the repository. Default: its top folder.",
        examples=["frontend/app"],
    )
    dockerfile: FilePath = Field(
        "Dockerfile",
        description="The Dockerfile, relative to the context. Default: Dockerfile.",
    )
    target: Annotated[str, _text(grammar.target, _NAME)] = Field(
        "", description="The stage to build. Default: the last one."
    )
    args: dict[Key, Value] = Field(
        {}, description="Build arguments. Never a secret.", examples=[{"NODE_VERSION": "22"}]
    )
    platforms: Annotated[
        tuple[Annotated[str, _text(parse_platform)], ...], _or_text(grammar.split_items)
    ] = Field(
        (),
        description="Platforms. Default: the builder's own.",
        examples=[["linux/amd64", "linux/arm64"]],
    )
    labels: dict[LabelKey, Value] = Field({}, description="More image labels.")
    secrets: Annotated[
        tuple[Annotated[Secret, _text(grammar.secret)], ...], _or_text(grammar.split_lines)
    ] = Field(
        (),
        description="Build secrets, id=NAME,src=FILE or id=NAME,env=VARIABLE.",
        examples=[["id=npm,env=NPM_TOKEN"]],
    )
    ssh: Annotated[
        tuple[Annotated[str, _text(grammar.ssh)], ...], _or_text(grammar.split_items)
    ] = Field((), description="SSH agents for the build: default, or NAME=SOCKET.")
    additional_contexts: dict[ContextName, Annotated[str, _text(_source)]] = Field(
        {},
        description="Named contexts: a path, an address, docker-image://… or service:NAME, which "
        "is another service's image.",
        examples=[{"base": "service:base"}],
    )
    pull: StrictBool = Field(
        False, description="Whether base images are always fetched again. Default: false."
    )
    no_cache: StrictBool = Field(
        False, description="Whether the build uses no cache. Default: false."
    )
    no_cache_filter: Annotated[
        tuple[Annotated[str, _text(grammar.target, _NAME)], ...], _or_text(grammar.split_items)
    ] = Field((), description="Stages that are always built again.")
    network: Annotated[str, _text(build_options.network, Literal["default", "none", "host"])] = (
        Field(
            "",
            description="The network of the build's steps: default, none, or host (with the "
            "entitlement network.host).",
        )
    )
    extra_hosts: Annotated[
        tuple[tuple[str, str], ...],
        Parsed(build_options.extra_hosts, dict[str, str | list[str]] | list[str]),
    ] = Field(
        (),
        description="More hosts for the build's steps, with their addresses.",
        examples=[{"cache.internal": "10.0.0.7"}],
    )
    ulimits: Annotated[
        tuple[str, ...],
        Parsed(build_options.ulimits, dict[str, int | str | dict[str, int]] | list[str]),
    ] = Field(
        (),
        description="Limits of the build's processes: a number, or a soft and a hard number.",
        examples=[{"nproc": 65535, "nofile": {"soft": 20000, "hard": 40000}}],
    )
    shm_size: Annotated[int, Parsed(build_options.shm_size, int | str)] = Field(
        0, description="The size of /dev/shm: in bytes, or such as 64m or 2gb.", examples=["2gb"]
    )
    entitlements: Annotated[
        tuple[Annotated[str, _text(build_options.entitlement)], ...],
        _or_text(grammar.split_items),
    ] = Field(
        (),
        description="Additional rights of the build: network.host, security.insecure, device.",
    )
    annotations: Annotated[
        tuple[Annotation, ...], Parsed(image_annotations.parse, dict[str, str] | list[str])
    ] = Field(
        (),
        description="Annotations in addition to those made from the labels. The prefix manifest: "
        "or index: sets one only there.",
        examples=[{"index:org.opencontainers.image.description": "The shop"}],
    )
    outputs: Annotated[
        tuple[Annotated[str, _text(build_options.output)], ...], _or_text(grammar.split_lines)
    ] = Field(
        (),
        description="More places for the result of the command build, as buildx specs.",
        examples=[["type=local,dest=out"]],
    )
    watch: Annotated[tuple[FilePath, ...], _or_text(grammar.split_items)] = Field(
        (),
        description="More paths of the repository that are inputs of the image.",
    )
    smoke_test: Annotated[
        SmokeTest | None, _text(grammar.smoke_test, _matching(r"^[0-9]{1,5}(/.*)?$"))
    ] = Field(
        None,
        alias="smoke-test",
        description="A port and a path that must answer below 500. Default: that of all services.",
        examples=["3000/"],
    )
    check: Text = Field(
        "",
        description="A command that checks the image before the push. The variable IMAGE has "
        "its name. Default: that of all services.",
    )


def _filled(value: object) -> object:
    """A service without keys takes every default."""
    return {} if value is None else value


def _form(name: str) -> Any:
    """What YAML has to read where a file gives a setting."""
    setting = Settings.model_fields[name]
    parsed: Parsed = setting.metadata[0]
    if name == "attest":
        return Attestations
    if setting.annotation is bool:
        return StrictBool
    if setting.annotation is int:
        return parsed.form
    if get_origin(setting.annotation) is tuple:
        return Items
    return Annotated[str, _text(str, parsed.form)]


def _settings(names: Iterable[str]) -> dict[str, Any]:
    """Make a key of each setting, called and described as the input is."""
    return {
        name: (
            _form(name),
            Field(
                None,
                alias=option(name),
                description=Settings.model_fields[name].description,
                examples=Settings.model_fields[name].examples,
            ),
        )
        for name in names
    }


class _WithServices(_Strict):
    services: Annotated[
        dict[ServiceName, Annotated[ServiceModel, BeforeValidator(_filled)]],
        Field(min_length=1),
    ] = Field({}, description="The images of this repository, by the name of their service.")


RetentionModel = create_model(
    "RetentionModel",
    __base__=_Strict,
    __doc__="Which commit tags outlive a prune.",
    **_settings(RETENTION),
)
FileModel = create_model(
    "FileModel",
    __base__=_WithServices,
    __doc__="Services and policy of feastflow/registry-action. An input of the action beats this "
    "file.",
    **_settings(POLICY),
    retention=(RetentionModel, Field({}, description=str(RetentionModel.__doc__))),
)


def check(document: Document, data: object) -> tuple[dict[str, ServiceModel], list[Finding]]:
    """Give the services of a document's data, and all that is wrong with the data."""
    try:
        return FileModel.model_validate(data).services, []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    return {}, [
        Finding(document.line(_path(each)), _complaint(document, _path(each), each))
        for each in errors
    ]


def _path(error: ErrorDetails) -> KeyPath:
    """Where an error stands; pydantic marks what concerns a key and not its value."""
    path = error["loc"]
    return path[:-1] if path[-1:] == ("[key]",) else path


def _complaint(document: Document, path: KeyPath, error: ErrorDetails) -> Problem:
    where = f"{document.place(path)}: {_spell(path)}" if path else document.name
    context = error.get("ctx", {})
    if error["type"] == "refused":
        return Problem(context["cause"], context["fix"], context["see"]).at(where)
    if error["type"] == "not_text":
        cause, fix = _surprise(document.value(path), document.texts.get(path, ""))
    elif error["type"] == "extra_forbidden":
        cause, fix = "is not a key that is known here.", _known_keys(path)
    else:
        sentences = _SENTENCES.get(error["type"], _NO_MAPPING)
        cause, fix = (each.format(**context) for each in sentences)
    return Problem(f"{where} {cause}", fix)


def _known_keys(path: KeyPath) -> str:
    models: dict[int, type[BaseModel]] = {1: FileModel, 2: RetentionModel}
    model = models.get(len(path), ServiceModel)
    if path[-1] == "build" and model is ServiceModel:
        return "Write what Compose has below build directly below the service."
    names = [field.alias or name for name, field in model.model_fields.items()]
    return nearest(str(path[-1])[:60], names)


def _surprise(value: object, text: str) -> tuple[str, str]:
    """What YAML reads where a text was meant, and how to write the text."""
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"is a {kind}, not a text.", "Write one text in its place."
    if not text:
        return "has no value.", "Give it one, or remove the line."
    read = f"the number {value}"
    if isinstance(value, bool):
        read = f"the boolean {str(value).lower()}"
    elif isinstance(value, Date) or value is None:
        read = "a date" if value else "nothing"
    return f"is {text}, which is {read} to YAML.", f'Quote it: "{text}".'


def _spell(path: KeyPath) -> str:
    """Write a path as ``services.pricing.args.ZIP``, an item of a list by its number from 1."""
    return printable(".".join(f"item {e + 1}" if isinstance(e, int) else e[:60] for e in path))
