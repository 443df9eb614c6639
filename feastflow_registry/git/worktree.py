"""The files of a repository, of which none outside it is read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.services import Service, Where, output_parts
from feastflow_registry.model.wording import some

_LARGEST_DOTENV = 1024 * 1024
_MOST_NAMED = 3
_DOCKERFILE = re.compile(r"(?:^|/)(?:[^/]*\.)?(?:[Dd]ocker|[Cc]ontainer)file(?:[.-][^/]*)?$")


def read_file(workspace: Path, path: str, *, most: int) -> bytes | None:
    """Read at most the first ``most`` bytes of a file; nothing if it is missing.

    Raises an input failure if it is no file, or lies outside after links are followed.
    """
    whole = workspace / path
    if not os.path.lexists(whole):
        return None
    if not lies_within(whole, workspace) or not whole.is_file():
        raise Failure(
            Kind.INPUT,
            f"{_display(whole, workspace)} is not a file of the repository.",
            "Give a file inside it; a symbolic link must not lead out of it.",
        )
    with whole.open("rb") as file:
        return file.read(most)


def create_file(workspace: Path, path: str, text: str) -> bool:
    """Write a new file; false if it exists already."""
    try:
        with (workspace / path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def check_files(
    workspace: Path,
    services: Sequence[Service],
    where: Where,
    tracked: Callable[[], Iterable[str]],
) -> Iterator[Problem]:
    """Yield a problem for each path of a build that is missing, or outside by a symbolic link.

    ``tracked``: lists the files that git tracks, to name what may be meant.
    """
    yield from _check_dotenv(workspace)
    for service in services:
        yield from _check_build(workspace, service, where, tracked)
        others = [(value, "additional_contexts") for value in service.folders]
        others += [(value, "watch") for value in service.watch]
        others += [(each.file, "secrets") for each in service.secrets if each.file]
        for value, key in others:
            path = workspace / value
            if not lies_within(path, workspace):
                yield _outside(path, workspace, where(service.name, key))
            elif not (path.is_file() if key == "secrets" else _is_there(path)):
                shown = _display(path, workspace)
                cause = f"{where(service.name, key)}: there is no {shown}."
                yield Problem(cause, "Give a path relative to the top folder of the repository.")
        for parts in map(output_parts, service.outputs):
            yield from _check_output(workspace, parts, where(service.name, "outputs"))


def _check_output(workspace: Path, parts: Mapping[str, str], where: str) -> Iterator[Problem]:
    """Yield what keeps an output from being written: of a file, the folder has to be there."""
    path = workspace / parts["dest"]
    if not lies_within(path, workspace) or ".git" in _resolved(path).parts:
        yield _outside(path, workspace, where)
    elif parts["type"] != "local" and not path.parent.is_dir():
        cause = f"{where}: there is no folder {_display(path.parent, workspace)}."
        yield Problem(cause, "Make it in a step before, or name a file of the top folder.")


def _check_dotenv(workspace: Path) -> Iterator[Problem]:
    """Yield what keeps buildx from reading the ``.env`` of its folder, as it does unasked."""
    path = workspace / ".env"
    if os.path.lexists(path) and not lies_within(path, workspace):
        yield _outside(path, workspace, "buildx reads .env")
    elif os.path.lexists(path) and not (path.is_file() and path.stat().st_size <= _LARGEST_DOTENV):
        cause = f"buildx reads {_display(path, workspace)}, which is no file of up to 1 MiB."
        yield Problem(cause, "Move it out of this folder for this run.")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # A name that no file system takes.
        return False


def _check_build(
    workspace: Path, service: Service, where: Where, tracked: Callable[[], Iterable[str]]
) -> Iterator[Problem]:
    context = workspace / service.context
    dockerfile = context / service.dockerfile
    for name, path in (("context", context), ("dockerfile", dockerfile)):
        if not lies_within(path, workspace):
            yield _outside(path, workspace, where(service.name, name))
            return
    if not _is_there(context) or not context.is_dir():
        yield Problem(
            f"{where(service.name, 'context')}: there is no folder {_display(context, workspace)}.",
            "Give the folder that the Dockerfile copies from, relative to the repository.",
        )
    elif not _is_there(dockerfile) or not dockerfile.is_file():
        place = where(service.name, "dockerfile")
        named = sorted(each for each in tracked() if _DOCKERFILE.search(each))
        found = [repr(each) for each in named if _is_there(workspace / each)]
        fix = (
            "Write a Dockerfile there, and `git add` it; `feastflow-registry init` describes those "
            "that it finds."
        )
        if found:
            some_of = some(found, _MOST_NAMED)
            fix = f"There is {some_of}: give its folder in context, and its name in dockerfile."
        yield Problem(
            f"{place}: there is no file {_display(dockerfile, workspace)}.",
            fix,
            see="dockerfile",
        )


def _outside(path: Path, workspace: Path, where: str) -> Problem:
    return Problem(
        f"{where}: {_display(path, workspace)} lies outside the repository.",
        "Give a path inside it; a symbolic link must not lead out of it.",
    )


def lies_within(path: Path, workspace: Path) -> bool:
    """Tell whether a path is inside once its links are followed.

    buildx folds ``link/..`` before it follows the link: where that is another place, none is meant.
    """
    real = _resolved(path)
    is_plain = real == _resolved(Path(os.path.normpath(path)))
    return is_plain and real.is_relative_to(workspace.resolve())


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # A loop of links.
        return Path("/")


def _display(path: Path, workspace: Path) -> str:
    return repr(os.path.relpath(path, workspace))
