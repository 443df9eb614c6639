"""What the command line and the environment say: inputs, folders, and what children may see.

No value of the command line is shown in a message: it may be a token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from feastflow_registry.config import manual
from feastflow_registry.config.manual import SHELLS, SWITCHES
from feastflow_registry.config.settings import INPUTS, option
from feastflow_registry.model.errors import Failure, Kind, Problem, nearest
from feastflow_registry.model.plan import Command
from feastflow_registry.model.references import is_loopback

if TYPE_CHECKING:
    from argparse import ArgumentParser

PREFIX = "FEASTFLOW_"
ALSO_CREDENTIALS = f"{PREFIX}ALSO_CREDENTIALS"
TOKENS = (
    *(f"{PREFIX}TOKEN", f"{PREFIX}GITHUB_TOKEN", ALSO_CREDENTIALS),
    *("DOCKERHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN"),
)
_CHILD_SEES = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TERM|XDG_\w+|SSH_AUTH_SOCK|"
    r"SSL_CERT_(?:FILE|DIR)|GIT_SSL_CAINFO|CURL_CA_BUNDLE|(?:https?|no|all)_proxy|"
    r"DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|TLS_VERIFY)|BUILDX_(?:CONFIG|BUILDER)",
    re.IGNORECASE,
)
_ANY_OWNER = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
"""https://git-scm.com/docs/git-config#Documentation/git-config.txt-safedirectory"""
_SECRETS = ("--token", "--password", "--github-token", "--also-credentials")


_NO_SHELL = Problem(
    "completion needs the name of a shell.",
    f"Write one of {', '.join(SHELLS)}, as in `completion bash`.",
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The inputs by name, how the result is to be shown, and what is wrong, if anything is.

    ``digest``: whether a list has whole digests; ``shell``: whose completion is wanted instead.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    json: bool = False
    digest: bool = False
    shell: str = ""
    problem: Problem | None = None


def read(argv: Sequence[str], version: Callable[[], str]) -> Arguments:
    """Read the arguments. An option that is given twice has both values, one a line."""
    if not argv:
        return Arguments()
    options, unknown = _parser().parse_known_intermixed_args(argv)
    values = vars(options)
    asked = {name: values.pop(name) for name in ("version", "help", *SWITCHES)}
    command, word = values["command"], values["username"]
    if asked["version"] or asked["help"]:
        print(version() if asked["version"] else _help(command), flush=True)
        raise SystemExit(0)
    if command == "completion":
        known = word in SHELLS
        return Arguments(shell=word, problem=_unknown(unknown) or (None if known else _NO_SHELL))
    if command == Command.TAGS:
        values["to"], values["username"] = values["to"] or word, None
    given = {
        name: "\n".join(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }
    problem = _unknown(unknown) or _wrong(given)
    return Arguments(given, asked["json"], asked["digest"], problem=problem)


def _help(command: str | None) -> str:
    """The help of a command; without one that there is, of the program."""
    if command in [each.value for each in Command]:
        return manual.parser_of(Command(command)).format_help()
    return manual.overview()


def _unknown(arguments: Sequence[str]) -> Problem | None:
    """Name an option that there is not, or say that there is a word too many."""
    if not arguments:
        return None
    name = arguments[0].partition("=")[0]
    if not name.startswith("-"):
        fix = "Give a command and a user, and no word more."
        return Problem("the command line has a word too many.", fix)
    fix = nearest(name, [f"--{option(each)}" for each in _options()])
    if name == "--username":
        fix = "Give it after the command, as in `publish USER`, or set DOCKERHUB_USERNAME."
    if name in _SECRETS:
        fix = "A secret is never an option: set DOCKERHUB_TOKEN, or run `docker login`."
    return Problem(f'"{name}" is not an option.', fix)


def _wrong(given: Mapping[str, str]) -> Problem | None:
    """Refuse a value that is empty, and a user where services are more likely to be meant."""
    for name in _options():
        if not given.get(name, "-").strip():
            cause = f"--{option(name)} has no value."
            return Problem(cause, "Give it one, or leave it out: a variable may have been empty.")
    command = given.get("command", "")
    if command in {each.value for each in Command if not each.builds} and "username" in given:
        fix = "Name services with --services, and a user with DOCKERHUB_USERNAME."
        return Problem(f"{command} takes no user name.", fix)
    return None


def _options() -> list[str]:
    return [name for name in INPUTS if name not in ("command", "username")]


def _parser() -> ArgumentParser:
    """What reads the options of all commands alike."""
    from argparse import ArgumentParser

    parser = ArgumentParser(prog=manual.PROGRAM, add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    for switch in ("version", *SWITCHES):
        parser.add_argument(f"--{switch}", action="store_true")
    parser.add_argument("command", nargs="?")
    parser.add_argument("username", nargs="?")
    for name in _options():
        manual.add(parser, name)
    return parser


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What the programs that this one starts may see: what they need, and no secret."""
    seen = {name: value for name, value in environ.items() if _CHILD_SEES.fullmatch(name)}
    # In a job's container the workspace belongs to another user, and is the job's all the same.
    trusted = _ANY_OWNER if environ.get("GITHUB_ACTIONS") == "true" else {}
    return {**seen, **trusted, "GIT_TERMINAL_PROMPT": "0", "DOCKER_CLI_HINTS": "false"}


def find_folder(environ: Mapping[str, str], here: Path) -> Path:
    """The top of the working copy: the runner's workspace, or the one around this folder."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE"):
        return Path(environ["GITHUB_WORKSPACE"])
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), here)


def merge(given: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    """Merge the inputs: an option (``given``) beats a variable."""
    inputs = {"username": environ.get("DOCKERHUB_USERNAME", "").strip()}
    for name in INPUTS:
        value = given.get(name) or environ.get(f"{PREFIX}{name.upper()}", "")
        if value.strip():
            inputs[name] = value
    return inputs


def github_api(environ: Mapping[str, str]) -> str:
    """Where GitHub's REST API is. Raises an input failure for what is no https address."""
    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    host = re.match(r"http://(\[[^\]]+\]|[^/:]+)", url)
    where = url.split("/")[2:3]
    if "@" not in "".join(where) and (
        url.startswith("https://") or (host and is_loopback(host[1]))
    ):
        return url
    raise Failure(
        Kind.INPUT,
        f"the variable GITHUB_API_URL is {url[:80]!r}, which is not an https address.",
        "Leave it as the runner sets it.",
    )
