"""May this run push and why, and which tags does its commit deserve: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from feastflow_registry.config.filter_patterns import matches
from feastflow_registry.config.grammar import unreserved
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.credentials import missing
from feastflow_registry.model.plan import Access, Command, Latest, Permission, Rule, SharedTag
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import DEPENDABOT, LAPTOP, RefKind, Run
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.model.wording import some

ALLOWED_EVENTS = frozenset(
    {"push", "workflow_dispatch", "schedule", "release", "repository_dispatch"}
)
UNPRIVILEGED = frozenset({"pull_request"})
"""The events in which GitHub gives a fork's code no secret, and no right to write.

https://docs.github.com/en/actions/reference/security/secure-use
"""
_FIRST = "the first of the input branches"
_VERSION = re.compile(r"v?((0|[1-9]\d*)\.(0|[1-9]\d*)(?:\.\d+)?)(-[0-9A-Za-z.-]+)?")


def permit(settings: Settings, run: Run) -> Permission:
    """Decide whether this run may write to the registry. The event counts, then the ref."""
    where = f"{run.event} on {run.ref}"
    if run.event == LAPTOP:
        if run.on_remote_main:
            where = f"by hand, from a commit of {settings.main}"
            return Permission(True, settings.shared_tags, where)
        where = f"by hand, from a commit that is not on the remote's {settings.main}"
        return Permission(True, False, f"{where} ({_FIRST})")
    if run.event not in ALLOWED_EVENTS or run.fork:
        what = "a fork" if run.fork else f"the event {run.event}"
        return Permission(False, False, f"{what} never pushes")
    if run.deleted:
        return Permission(False, False, f"{run.ref} was deleted, which publishes nothing")
    if run.ref.kind is RefKind.BRANCH:
        if run.ref.name == settings.main:
            return Permission(True, settings.shared_tags, where)
        if matches(run.ref.name, settings.branches):
            where = f"{where}, which is allowed but not {settings.main}"
            return Permission(True, False, f"{where} ({_FIRST})")
        where = f"{run.ref} is not among the branches that may push"
        return Permission(False, False, f"{where} (input branches: {some(settings.branches)})")
    if run.ref.kind is RefKind.TAG:
        if matches(run.ref.name, settings.git_tags):
            return Permission(True, settings.shared_tags, where)
        where = f"{run.ref} is not among the git tags that may push"
        return Permission(False, False, f"{where} (input git-tags: {some(settings.git_tags)})")
    return Permission(False, False, f"{run.ref} is neither a branch nor a git tag")


def grant(settings: Settings, run: Run, *, has_credential: bool) -> Permission:
    """Decide what this run may do with the credential that it has.

    Raises an input failure where a push is due and there is nothing to push with.
    """
    permission = permit(settings, run)
    if not (permission.push and settings.command.writes) or settings.dry_run:
        return permission
    if run.in_runner and run.actor == DEPENDABOT:
        reason = "Dependabot's runs publish nothing, whatever they are given"
        warning = f"Nothing is pushed: {reason}. The next run on main publishes."
        return Permission(False, False, reason, warning)
    if has_credential:
        return permission
    raise missing(settings.registry)


def access(settings: Settings, permission: Permission) -> Access:
    """Decide what a run asks a registry for."""
    command = settings.command
    writes = permission.push and (
        command is Command.DOCTOR or (command.writes and not settings.dry_run)
    )
    if not writes:
        return Access.READ
    return Access.DELETE if command is Command.PRUNE else Access.WRITE


def shared_tags(settings: Settings, run: Run, permission: Permission) -> tuple[SharedTag, ...]:
    """The tags besides its own that this commit deserves, ``latest`` last."""
    found: dict[Tag, Rule] = {}
    on_git_tag = run.ref.kind is RefKind.TAG
    on_main = permission.shared and not on_git_tag
    if permission.shared and on_git_tag:
        name = unreserved(Tag.parse(run.ref.name))
        found[name] = Rule.FINAL if name == settings.milestone else Rule.GIT_TAG
    if on_main and settings.milestone:
        found[settings.milestone] = Rule.MILESTONE
    if settings.shared_tags and permission.push:
        values = _template_values(run)
        for template in settings.extra_tags:
            own = "{branch}" in template and run.in_runner
            if not permission.shared and not own:
                continue
            tag = expand(template, values)
            if tag is not None:
                found.setdefault(tag, Rule.DATED if "{date}" in template else Rule.FORWARD)
    if on_main and settings.latest is not Latest.NEVER:
        found[LATEST] = Rule.FORCE if settings.latest is Latest.FORCE else Rule.FORWARD
    return tuple(SharedTag(tag, rule) for tag, rule in found.items())


def repointable(settings: Settings, permission: Permission) -> tuple[Tag, ...]:
    """The shared tags that may be given another digest of the very commit that they hold."""
    if not permission.shared:
        return ()
    latest = () if settings.latest is Latest.NEVER else (LATEST,)
    return latest + ((settings.milestone,) if settings.milestone else ())


def following(settings: Settings) -> frozenset[Tag]:
    """The tags that publishing moves to the newest commit of the main branch."""
    plain = {Tag.parse(each) for each in settings.extra_tags if "{" not in each}
    milestone = {settings.milestone} if settings.milestone else set()
    latest = set() if settings.latest is Latest.NEVER else {LATEST}
    return frozenset(plain | milestone | latest)


def expand(template: str, values: Mapping[str, str]) -> Tag | None:
    """Fill in a template; nothing, if it names a value that this run does not have."""
    names = re.findall(r"\{([^{}]*)\}", template)
    if not all(name in values for name in names):
        return None
    return unreserved(Tag.parse(re.sub(r"\{([^{}]*)\}", lambda found: values[found[1]], template)))


def _template_values(run: Run) -> Mapping[str, str]:
    values = {"date": run.committed.strftime("%Y%m%d")}
    if run.ref.kind is RefKind.BRANCH:
        values["branch"] = str(Tag.near(run.ref.name))
    version = _VERSION.fullmatch(run.ref.name) if run.ref.kind is RefKind.TAG else None
    if version:
        values["version"] = version[1] + (version[4] or "")
        if not version[4]:
            values |= {"major": version[2], "minor": version[3]}
    return values


def created_label(moment: datetime) -> str:
    """A commit's time as RFC 3339, for ``org.opencontainers.image.created``."""
    return moment.isoformat().replace("+00:00", "Z")
