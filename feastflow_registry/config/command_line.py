"""What the command line and the environment say: inputs, folders, and what children may see.

No value of the command line is shown in a message: it may be a token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
_MEANINGS = {
    Command.PUBLISH: "build, push and prove; also without any word",
    Command.BUILD: "build and tag here, push nothing",
    Command.PUSH: "push what build made",
    Command.TAGS: "list what is published",
    Command.PROMOTE: "give a published image another tag, repository or registry",
    Command.ROLLBACK: "take a tag back to the image before",
    Command.DEPLOY: "point Kubernetes manifests at a published image",
    Command.PRUNE: "delete old commit tags; a dry run unless --dry-run=false",
    Command.INIT: "write a first feastflow.yml",
    Command.DOCTOR: "look for what would make a publish fail",
}
_SECRETS = ("--token", "--password", "--github-token", "--also-credentials")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The inputs by name, whether JSON is wanted, and what is wrong, if anything is."""

    given: Mapping[str, str]
    json: bool
    problem: Problem | None = None


def read(argv: Sequence[str], version: Callable[[], str]) -> Arguments:
    """Read the arguments. An option that is given twice has both values, one a line."""
    if not argv:
        return Arguments({}, json=False)
    options, unknown = _parser().parse_known_args(argv)
    values = vars(options)
    if values.pop("version"):
        print(version())
        raise SystemExit(0)
    json = values.pop("json")
    given = {
        name: "\n".join(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }
    return Arguments(given, json, _unknown(unknown) or _wrong(given))


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
            cause = f"--{option(name)} is given without a value."
            return Problem(cause, "Leave it out or give it one: a variable may have been empty.")
    command = given.get("command", "")
    if command in {each.value for each in Command if not each.builds} and "username" in given:
        fix = "Services are named by --services, a user by DOCKERHUB_USERNAME."
        return Problem(f"{command} takes no other word.", fix)
    return None


def _options() -> list[str]:
    return [name for name in INPUTS if name not in ("command", "username")]


def _parser() -> ArgumentParser:
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    width = max(map(len, _MEANINGS))
    meanings = [f"  {each:{width}}  {meaning}" for each, meaning in _MEANINGS.items()]
    hint = "The token comes from DOCKERHUB_TOKEN or `docker login`, never from an option."
    parser = ArgumentParser(
        prog="feastflow-registry",
        description="Publish container images from a commit, and prove what is on the registry.",
        epilog="\n".join(["commands:", *meanings, "", hint]),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = "show program's version number and exit"
    parser.add_argument("--version", action="store_true", help=version)
    parser.add_argument("command", nargs="?", help="what to do, see below (default: publish)")
    parser.add_argument("username", nargs="?", help="the registry's user, of publish and its like")
    parser.add_argument("--json", action="store_true", help="print the plan or the list as JSON")
    for name in _options():
        setting = INPUTS[name]
        flag, text = f"--{option(name)}", setting.description
        if setting.annotation is bool:
            parser.add_argument(flag, metavar="BOOL", help=text, nargs="?", const="true")
        else:
            parser.add_argument(flag, metavar="VALUE", help=text, action="append")
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
