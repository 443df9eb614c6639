"""The command ``init``: a first ``feastflow.yml``, written from the Dockerfiles of a repository.

It decides what a service is called: as the folder of its Dockerfile, or as the nearest folder above
whose name says more than ``app`` or ``src``. The context is the Dockerfile's own folder. Every
Dockerfile that git tracks is taken; which of them are examples, a person knows better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from feastflow_registry.commands.app import LocalWorkspace
from feastflow_registry.config import grammar
from feastflow_registry.config.file import NAME
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Log
from feastflow_registry.model.run import source_url

SCHEMA = "https://raw.githubusercontent.com/feastflow/registry-action/main/feastflow.schema.json"
_GENERIC = frozenset({"app", "build", "container", "deploy", "docker", "src"})
_LONGEST_NAME = 60
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|\.")
_YAML_WORDS = frozenset({"false", "n", "no", "null", "off", "on", "true", "y", "yes"})
_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA}
# The services of this repository: look over the names and the contexts, and take out what is not
# to be published. The policy of the action (milestone, reuse, branches) can be said here, too.
"""


@dataclass(frozen=True, slots=True)
class _Dockerfile:
    folder: PurePosixPath
    name: str
    variant: str

    @property
    def words(self) -> list[str]:
        """What may name its service, the nearest first."""
        parts = [_word(each) for each in reversed(self.folder.parts)]
        telling = [each for each in parts if each and each not in _GENERIC]
        return ([_word(self.variant)] if _word(self.variant) else []) + telling


def run(workspace: LocalWorkspace, log: Log) -> None:
    """Write a first configuration from the Dockerfiles that are tracked."""
    checkout = workspace.checkout("")
    remote = source_url(checkout.remote)
    name = remote.rpartition("/")[2] or workspace.folder.resolve().name
    text = draft(name, sorted(workspace.tracked()))
    if not workspace.create(NAME, text):
        raise Failure(
            Kind.INPUT,
            f"there is a {NAME} already.",
            "Edit it, or remove it to have it written anew.",
        )
    log.say(f"✅ Wrote {NAME}. Look it over, then try: feastflow-registry publish --dry-run")
    branch = checkout.default_branch or "main"
    log.say(f"   Workflows push from {branch} and from git tags: `branches` names other branches.")


def draft(repository: str, paths: Sequence[str]) -> str:
    """Write the file's text. Raises an input failure where no path is that of a Dockerfile."""
    found = [each for path in sorted(set(paths)) for each in _dockerfiles(path)]
    if not found:
        raise Failure(
            Kind.INPUT,
            "there is no Dockerfile among the files that git tracks.",
            "Write one, `git add` it, and run this again.",
        )
    known = _word(repository.rpartition("/")[2]) or "image"
    names = _names(found, known)
    single = len(found) == 1 and found[0].folder == PurePosixPath()
    lines = [_HEAD + "services:"]
    for dockerfile, name in zip(found, names, strict=True):
        image = known if single or name == known else f"{known}-{name}"
        lines += [f"  {_scalar(name)}:", f"    image: {_scalar(image)}"]
        lines += [f"    context: {_scalar(str(dockerfile.folder))}"]
        if dockerfile.name != "Dockerfile":
            lines += [f"    dockerfile: {_scalar(dockerfile.name)}"]
    return "\n".join(lines) + "\n"


def _dockerfiles(path: str) -> Iterable[_Dockerfile]:
    """Yield what a path is, if that is a Dockerfile which a configuration can name."""
    whole = PurePosixPath(path)
    found = re.fullmatch(r"Dockerfile(?:\.(.+))?|(.+)\.Dockerfile", whole.name)
    if found and found[1] != "dockerignore":
        with suppress(Failure):  # A name that no configuration can hold, such as a line break.
            folder = grammar.relative_path(str(whole.parent))
            name = grammar.relative_path(whole.name)
            yield _Dockerfile(PurePosixPath(folder), name, found[1] or found[2] or "")


def _names(dockerfiles: Sequence[_Dockerfile], repository: str) -> list[str]:
    """Name each by its nearest word, and by more of them where that is taken."""
    names: list[str] = []
    for dockerfile in dockerfiles:
        words = dockerfile.words or [repository]
        sizes = range(1, len(words) + 1)
        choices = [_word("-".join(reversed(words[:size]))) for size in sizes]
        numbered = (f"{choices[-1]}-{number}" for number in range(2, len(dockerfiles) + 2))
        names.append(next(each for each in (*choices, *numbered) if each not in names))
    return names


def _word(text: str) -> str:
    """Turn any text into what a repository's name may hold, or nothing."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_NAME].strip("-")


def _scalar(text: str) -> str:
    """Write a text so that YAML reads it as that."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
