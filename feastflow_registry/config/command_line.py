"""What the command line and the environment say: inputs, folders, and what children may see.

No value of the command line is shown in a message: it may be a token.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feastflow_registry.config.settings import Settings, option
from feastflow_registry.model.errors import Problem, nearest
from feastflow_registry.model.plan import Command

PREFIX = "FEASTFLOW_"
TOKENS = (f"{PREFIX}TOKEN", f"{PREFIX}GITHUB_TOKEN", "DOCKERHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN")
_CHILD_SEES = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TERM|XDG_\w+|SSH_AUTH_SOCK|"
    r"SSL_CERT_(?:FILE|DIR)|GIT_SSL_CAINFO|CURL_CA_BUNDLE|(?:https?|no|all)_proxy|"
    r"DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|TLS_VERIFY)|BUILDX_(?:CONFIG|BUILDER)",
    re.IGNORECASE,
)
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
_SECRETS = ("--token", "--password", "--github-token")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The inputs by name, whether JSON is wanted, and what is wrong, if anything is."""

    given: Mapping[str, str]
    json: bool
    problem: Problem | None = None


def read(argv: Sequence[str] | None, version: str) -> Arguments:
    """Read the words. An option that is given twice has both values, one a line."""
    found, unknown = _parser(version).parse_known_args(argv)
    words = {name: value for name, value in vars(found).items() if name != "json"}
    given = {
        name: "\n".join(value) if isinstance(value, list) else value
        for name, value in words.items()
        if value is not None
    }
    return Arguments(given, found.json, _unknown(unknown) or _wrong(given))


def _unknown(words: Sequence[str]) -> Problem | None:
    """Name an option that there is not, or say that there is a word too many."""
    if not words:
        return None
    name = words[0].partition("=")[0]
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
    return [name for name in Settings.model_fields if name not in ("command", "username")]


def _parser(version: str) -> argparse.ArgumentParser:
    width = max(map(len, _MEANINGS))
    meanings = [f"  {each:{width}}  {meaning}" for each, meaning in _MEANINGS.items()]
    parser = argparse.ArgumentParser(
        prog="feastflow-registry",
        description="Publish container images from a commit, and prove what is on the registry.",
        epilog="\n".join(
            [
                *("commands:", *meanings, ""),
                "The token comes from DOCKERHUB_TOKEN or `docker login`, never from an option.",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("command", nargs="?", help="what to do, see below (default: publish)")
    parser.add_argument("username", nargs="?", help="the registry's user, of publish and its like")
    parser.add_argument("--json", action="store_true", help="print the plan or the list as JSON")
    for name in _options():
        each = Settings.model_fields[name]
        flag, text = f"--{option(name)}", each.description
        if each.annotation is bool:
            parser.add_argument(flag, metavar="BOOL", help=text, nargs="?", const="true")
        else:
            parser.add_argument(flag, metavar="VALUE", help=text, action="append")
    return parser


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What the programs that this one starts may see: what they need, and no secret."""
    seen = {name: value for name, value in environ.items() if _CHILD_SEES.fullmatch(name)}
    return {**seen, "GIT_TERMINAL_PROMPT": "0", "DOCKER_CLI_HINTS": "false"}


def find_folder(environ: Mapping[str, str], here: Path) -> Path:
    """The top of the working copy: the runner's workspace, or the one around this folder."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE"):
        return Path(environ["GITHUB_WORKSPACE"])
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), here)


def merge(given: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    """Merge the inputs: an option (``given``) beats a variable."""
    found = {"username": environ.get("DOCKERHUB_USERNAME", "").strip()}
    for name in Settings.model_fields:
        value = environ.get(f"{PREFIX}{name.upper()}", "")
        value = given.get(name) or value
        if value.strip():
            found[name] = value
    return found
