"""What ``--help`` says: each command's meaning, one example, and its own options in groups.

The option itself, and what it means, is its setting's (``settings``). A command's help leaves out
what the command has no use for; an option of another command is read all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from feastflow_registry.config.settings import INPUTS, option
from feastflow_registry.model.plan import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, _ActionsContainer

PROGRAM = "feastflow-registry"
SHELLS = ("bash", "zsh", "fish")
"""The shells that ``completion`` writes for."""
SWITCHES = {
    "json": "print the result as JSON",
    "digest": "show whole digests",
}
"""What changes only how a result is shown, and so is no input; ``digest``: of ``tags`` alone."""

_GROUPS: Mapping[str, Sequence[str]] = {
    "which image": ("to", "from", "tag", "unmark"),
    "what stays": ("keep_days", "keep_last", "keep"),
    "files": ("manifests",),
    "the run": ("dry_run",),
    "the registry": ("registry", "namespace", "also", "registries", "insecure_registries"),
    "the services": (
        *("working_directory", "config", "services", "services_from", "image"),
        "also_known_as",
    ),
    "the tags": (
        *("branches", "git_tags", "milestone", "latest", "extra_tags", "shared_tags"),
        "sha_length",
    ),
    "the build": (
        *("context", "dockerfile", "target", "build_args", "platforms", "labels", "annotations"),
        *("secrets", "secret_variables", "outputs", "attest", "reproducible", "reuse"),
        *("network", "add_hosts", "ulimits", "shm_size", "allow"),
    ),
    "builder and caches": (
        *("builder", "buildkit_image", "cache", "cache_from", "cache_to"),
        "no_cache_filters",
    ),
    "a runner for each": ("matrix", "part", "runners", "built"),
    "before the push": ("smoke_test", "check"),
}
"""Every option, in the group that it is shown in; the groups in the order of their worth."""

_ALL = ("the registry", "the services")
_AFTER = (*_ALL, "the tags")
_BUILD = ("the build", "builder and caches", "a runner for each", "before the push")
_PUBLISH = ("the run", *_AFTER, *_BUILD)


@dataclass(frozen=True, slots=True)
class Manual:
    """One command. ``word``: what else it takes, and what that is; ``left_out``: of its groups.

    ``here``: what an option is for this command, where its setting tells of several commands.
    """

    meaning: str
    example: str
    groups: Sequence[str]
    word: tuple[str, str] = ("", "")
    left_out: Sequence[str] = ()
    here: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, list[str]]:
        """The inputs that the command uses, by group."""
        return {
            title: [name for name in names if name not in self.left_out]
            for title, names in _GROUPS.items()
            if title in self.groups
        }


_OF_PUBLISHING = ("branches", "git_tags", "milestone", "latest", "extra_tags", "shared_tags")
_USER = ("USER", "the registry's user; default: DOCKERHUB_USERNAME, or who `docker login` knows")
_IMAGE = ("IMAGE", "only what holds this image: a commit, a tag or a digest")
MANUALS: Mapping[Command, Manual] = {
    Command.PUBLISH: Manual(
        "build, push and prove; the command if none is given",
        "publish feastflow --milestone sprint3",
        _PUBLISH,
        _USER,
        ("outputs", "registries"),
    ),
    Command.BUILD: Manual(
        "build and tag here, push nothing",
        "build --smoke-test 3000/",
        _PUBLISH,
        _USER,
        ("registries", "part", "built"),
    ),
    Command.PUSH: Manual(
        "push what build made", "push feastflow", ("the run", *_AFTER), _USER, ("registries",)
    ),
    Command.TAGS: Manual(
        "list what is published, or whose image one is",
        "tags latest --digest",
        (*_ALL, "the tags"),
        _IMAGE,
        _OF_PUBLISHING,
    ),
    Command.PROMOTE: Manual(
        "give a published image another tag, repository or registry",
        "promote --to 90c7fc9 --tag production",
        ("which image", "the run", *_AFTER),
        left_out=("from", "unmark"),
        here={"tag": "The tags to give the image: each is TAG or [HOST/]REPOSITORY[:TAG]."},
    ),
    Command.ROLLBACK: Manual(
        "take a tag back to the image before",
        "rollback --from 90c7fc9 --dry-run",
        ("which image", "files", "the run", *_AFTER),
        here={
            "to": "The image to go to: a commit, a tag or a digest. Default: the good one before.",
            "from": "The bad image that tags are taken back from: a commit, a digest or a git tag. "
            "A tag that holds another image stays.",
            "tag": "The tags that are taken back. Default: latest.",
            "unmark": "The image of --to is good after all: take off its mark.",
            "manifests": "Kubernetes manifests to edit as well: files, patterns, folders.",
        },
    ),
    Command.DEPLOY: Manual(
        "point Kubernetes manifests at a published image",
        "deploy --to 90c7fc9 --manifests k8s",
        ("which image", "files", "the run", *_AFTER),
        left_out=("from", "unmark", *_OF_PUBLISHING),
        here={
            "to": "The image to deploy: a commit, a tag or a digest. Default: this commit's.",
            "tag": "The tag whose image to deploy, instead of --to.",
            "manifests": "Kubernetes manifests to edit: files, patterns, folders.",
        },
    ),
    Command.PRUNE: Manual(
        "delete old commit tags; a dry run unless --dry-run=false",
        "prune --keep-days 30 --keep-last 5",
        ("what stays", "files", "the run", *_AFTER),
        left_out=("milestone", "latest", "extra_tags"),
        here={
            "manifests": "Files of any kind whose images stay: files, patterns, folders.",
            "dry_run": "Print the plan and delete nothing. Default: true.",
        },
    ),
    Command.INIT: Manual("write a first feastflow.yml", "init", ()),
    Command.DOCTOR: Manual(
        "look for what would make a publish fail",
        "doctor feastflow --registry ghcr.io",
        _PUBLISH,
        _USER,
        ("outputs", "dry_run", "part", "built"),
    ),
}


def overview() -> str:
    """The help of the program: its commands. Each one's help has the options."""
    meanings = {each.value: MANUALS[each].meaning for each in Command}
    meanings["completion"] = f"print a script that completes words in a shell: {', '.join(SHELLS)}"
    width = max(map(len, meanings))
    return "\n".join(
        [
            f"usage: {PROGRAM} [COMMAND] [OPTIONS]",
            "",
            "Publish container images from a commit, and prove what is on the registry.",
            "",
            "commands:",
            *(f"  {name:{width}}  {meaning}" for name, meaning in meanings.items()),
            "",
            f"`{PROGRAM} COMMAND --help` shows the options of one of them.",
            "The token comes from DOCKERHUB_TOKEN or `docker login`, never from an option.",
            "",
        ]
    )


def parser_of(command: Command) -> ArgumentParser:
    """A parser of one command with its options alone, which prints the help and completes words."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    manual = MANUALS[command]
    name, meaning = manual.word
    parser = ArgumentParser(
        prog=f"{PROGRAM} {command}",
        usage=" ".join(filter(None, (f"{PROGRAM} {command}", name and f"[{name}]", "[OPTIONS]"))),
        description=f"{manual.meaning[0].upper()}{manual.meaning[1:]}.\n\n"
        f"example:\n  {PROGRAM} {manual.example}",
        formatter_class=RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    if name:
        of_word = parser.add_argument_group("argument")
        of_word.add_argument("word", metavar=name, nargs="?", help=meaning)
    for title, names in manual.options().items():
        group = parser.add_argument_group(title)
        for each in names:
            add(group, each, manual.here.get(each, ""))
    shown = parser.add_argument_group("what is shown")
    for switch, text in SWITCHES.items():
        if switch != "digest" or command is Command.TAGS:
            shown.add_argument(f"--{switch}", action="store_true", help=text)
    shown.add_argument("--help", "-h", action="store_true", help="show this")
    return parser


def add(parser: _ActionsContainer, name: str, meaning: str = "") -> None:
    """Add one input as an option. ``meaning``: other than its setting's."""
    setting = INPUTS[name]
    flag, text = f"--{option(name)}", (meaning or setting.description or "").replace("%", "%%")
    if setting.annotation is bool:
        parser.add_argument(flag, metavar="BOOL", help=text, nargs="?", const="true")
    else:
        parser.add_argument(flag, metavar="VALUE", help=text, action="append")
