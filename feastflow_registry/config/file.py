"""``feastflow.yml``: the services and the policy of a repository, each value with its line.

It decides what the file says, and reports all that is wrong with it at once, ordered by line,
each with the key and the fix; where YAML read a number, a boolean, a date or nothing, with the
text that stood there. The policy becomes inputs of lower precedence, whose grammar is that of
``settings``. Who describes services in two places at once is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from feastflow_registry.config.schema import FileModel, Retention, ServiceModel
from feastflow_registry.config.settings import Settings
from feastflow_registry.config.strict_yaml import Date, Document, Finding, KeyPath
from feastflow_registry.config.strict_yaml import read as read_document
from feastflow_registry.model.errors import Failure, Kind, Problem, gather, nearest
from feastflow_registry.model.references import Repository
from feastflow_registry.model.services import Service

NAME = "feastflow.yml"
_OWN_WORDS = "x-"
"""How a key of the file's own begins, which holds what *aliases repeat; the rule is Compose's."""
OF_ONE_SERVICE = {
    "image": "image",
    "context": "context",
    "dockerfile": "dockerfile",
    "target": "target",
    "build-args": "args",
    "platforms": "platforms",
    "labels": "labels",
    "secrets": "secrets",
}
"""Each input that describes one service, and the word for it in a file."""
_SAID = {
    "bool_type": ("is not a boolean.", "Write true or false, without quotes."),
    "int_type": ("is not a whole number.", "Write its digits, without quotes."),
    "greater_than_equal": ("is less than {ge}.", "Write {ge} or more."),
    "less_than_equal": ("is more than {le}.", "Write {le} or less."),
    "tuple_type": ("is not a list.", "Write [one, two], or one item a line, each after a dash."),
    "too_short": ("is empty.", "Name a service, or remove the key."),
}
_RETENTION = ("keep-days", "keep-last", "keep")
_NO_MAPPING = ("is not a mapping.", "Write key: value lines below it, indented.")


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says. ``policy``: inputs by name; ``origins``: where each of them stands."""

    document: Document
    policy: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, ServiceModel] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.document.name

    def where(self, service: str, key: str = "") -> str:
        """Say where a service, or a key of it, stands."""
        path = ("services", service, key) if key else ("services", service)
        return f"{self.document.place(path)}: {_spelled(path)}"

    def build(self, settings: Settings, namespace: str) -> tuple[Service, ...]:
        """Give every service its repository and defaults. Raises all that is wrong at once."""
        found: list[Service] = []

        def add(name: str, model: ServiceModel) -> None:
            try:
                found.append(_service(name, model, settings, settings.namespace or namespace))
            except Failure as failure:
                where = self.where(name, "image" if model.image else "")
                problems = [
                    Problem(f"{where}: {each.cause}", each.fix) for each in failure.problems
                ]
                raise Failure.of(failure.kind, problems) from None

        gather(*(partial(add, name, model) for name, model in self.services.items()))
        return tuple(found)


def _service(name: str, model: ServiceModel, settings: Settings, namespace: str) -> Service:
    return Service(
        name=name,
        repository=Repository.parse(settings.registry, f"{namespace}/{model.image or name}"),
        context=model.context,
        dockerfile=model.dockerfile,
        target=model.target,
        args=tuple(model.args.items()),
        platforms=model.platforms,
        labels=tuple(model.labels.items()),
        secrets=model.secrets,
        ssh=model.ssh,
        contexts=tuple(model.additional_contexts.items()),
        pull=model.pull,
        no_cache=model.no_cache,
        watch=model.watch,
        smoke_test=model.smoke_test or settings.smoke_test,
        check=model.check or settings.check,
    )


def refuse_mixed(config: Config, given: Iterable[str]) -> None:
    """Refuse inputs, by name, that describe services where the configuration does so already."""
    names = dict.fromkeys(each.replace("_", "-") for each in given)
    problems = [
        Problem(
            f'input "{name}" describes one service, and {config.name} describes them all.',
            f"Remove the input; in {config.name} the word is {OF_ONE_SERVICE[name]}.",
        )
        for name in names
        if name in OF_ONE_SERVICE
    ]
    if "services-from" in names and config.document.lines:
        problems.append(
            Problem(
                f'input "services-from" names a file of services, and {config.name} has them too.',
                f"Remove the input, or the key services of {config.name}.",
            )
        )
    if config.services and problems:
        raise Failure.of(Kind.INPUT, problems)


def read(name: str, content: bytes) -> Config:
    """Read the file's bytes. Raises one input failure with every problem, ordered by line."""
    document = read_document(name, content)
    data = document.data
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if not key.startswith(_OWN_WORDS)}
    model, findings = FileModel(), list(document.findings)
    try:
        model = FileModel.model_validate(data)
    except ValidationError as error:
        known = {each.line for each in findings}
        findings += [each for each in complaints(document, error) if each.line not in known]
    if isinstance(data, dict) and {"services", "services-from"} <= data.keys():
        path = ("services-from",)
        cause = f"{document.place(path)}: services-from is there beside services."
        fix = "Keep one of them: both describe the services."
        findings.append(Finding(document.line(path), Problem(cause, fix)))
    if findings:
        findings.sort(key=lambda each: each.line)
        raise Failure.of(Kind.INPUT, [each.problem for each in findings])
    policy = _policy(model)
    places = {key: ("retention", key) if key in _RETENTION else (key,) for key in policy}
    origins = {key: f'{document.place(path)}: "{key}"' for key, path in places.items()}
    return Config(document, policy, origins, model.services)


def _policy(model: FileModel | Retention) -> dict[str, str]:
    """Write each given key as the text that its input would be."""
    found: dict[str, str] = {}
    for name, declared in type(model).model_fields.items():
        if name not in model.model_fields_set or name == "services":
            continue
        key, value = declared.alias or name, getattr(model, name)
        if isinstance(value, Retention):
            found |= _policy(value)
        elif isinstance(value, tuple):
            found[key] = "\n".join(value)
        else:
            found[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def complaints(document: Document, error: ValidationError) -> list[Finding]:
    """Say what is wrong with a document's data in sentences."""
    return [
        Finding(document.line(_path(each)), _complaint(document, _path(each), each))
        for each in error.errors(include_url=False, include_input=False)
    ]


def _path(error: ErrorDetails) -> KeyPath:
    """Where an error stands; pydantic marks what concerns a key and not its value."""
    path = error["loc"]
    return path[:-1] if path[-1:] == ("[key]",) else path


def _complaint(document: Document, path: KeyPath, error: ErrorDetails) -> Problem:
    where = f"{document.place(path)}: {_spelled(path)}" if path else document.name
    context = error.get("ctx", {})
    if error["type"] == "rule":
        return Problem(f"{where}: {context['cause']}", str(context["fix"]))
    if error["type"] == "not_text":
        cause, fix = _surprise(document.value(path), document.texts.get(path, ""))
    elif error["type"] == "extra_forbidden":
        cause, fix = "is not a key that is known here.", _known(path)
    else:
        cause, fix = _SAID.get(error["type"], _NO_MAPPING)
    return Problem(f"{where} {cause.format(**context)}", fix.format(**context))


def _known(path: KeyPath) -> str:
    models: dict[int, type[BaseModel]] = {1: FileModel, 2: Retention}
    model = models.get(len(path), ServiceModel)
    if path[-1] == "build" and model is ServiceModel:
        return "Write what Compose has below build directly below the service."
    names = [field.alias or name for name, field in model.model_fields.items()]
    return nearest(str(path[-1])[:60], names)


def _surprise(value: object, text: str) -> tuple[str, str]:
    """What YAML reads where a text was meant, and how to write the text."""
    match value:
        case bool():
            read = f"the boolean {str(value).lower()}"
        case int() | float():
            read = f"the number {value}"
        case Date():
            read = "a date"
        case dict() | list():
            kind = "mapping" if isinstance(value, dict) else "list"
            return f"is a {kind}, not a text.", "Write one text in its place."
        case _:
            read = "nothing"
    if not text:
        return "has no value.", "Give it one, or remove the line."
    shown = text.replace("{", "{{").replace("}", "}}")
    return f"is {shown}, which is {read} to YAML.", f'Quote it: "{shown}".'


def _spelled(path: KeyPath) -> str:
    """Write a path as ``services.pricing.args.ZIP``, an item of a list by its number from 1."""
    parts = [f"item {each + 1}" if isinstance(each, int) else each[:60] for each in path]
    return "".join(each if each.isprintable() else "?" for each in ".".join(parts))
