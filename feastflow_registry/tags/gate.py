"""May this run push and why, and which tags does its commit deserve: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from feastflow_registry.config.filter_patterns import matches
from feastflow_registry.config.grammar import unreserved
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.plan import Latest, Permission, Rule, SharedTag
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import LAPTOP, Context, RefKind
from feastflow_registry.model.tag_names import LATEST

ALLOWED_EVENTS = frozenset(
    {"push", "workflow_dispatch", "schedule", "release", "repository_dispatch"}
)
_VERSION = re.compile(r"v?((0|[1-9]\d*)\.(0|[1-9]\d*)(?:\.\d+)?)(-[0-9A-Za-z.-]+)?")


def permit(settings: Settings, context: Context) -> Permission:
    """Decide whether this run may write to the registry. The event counts, then the ref."""
    where = f"{context.event} on {context.ref}"
    if context.event == LAPTOP:
        if context.on_remote_main:
            where = f"by hand, from a commit of {settings.main}"
            return Permission(True, settings.shared_tags, where)
        return Permission(
            True, False, f"by hand, from a commit that is not on the remote's {settings.main}"
        )
    if context.event not in ALLOWED_EVENTS or context.fork:
        what = "a fork" if context.fork else f"the event {context.event}"
        return Permission(False, False, f"{what} never pushes")
    if context.deleted:
        return Permission(False, False, f"{context.ref} was deleted, which publishes nothing")
    if context.ref.kind is RefKind.BRANCH:
        if context.ref.name == settings.main:
            return Permission(True, settings.shared_tags, where)
        if matches(context.ref.name, settings.branches):
            return Permission(True, False, f"{where}, which is allowed but not {settings.main}")
        return Permission(False, False, f"{context.ref} is not among the branches that may push")
    if context.ref.kind is RefKind.TAG:
        if matches(context.ref.name, settings.git_tags):
            return Permission(True, settings.shared_tags, where)
        return Permission(False, False, f"{context.ref} is not among the git tags that may push")
    return Permission(False, False, f"{context.ref} is neither a branch nor a git tag")


def shared_tags(
    settings: Settings, context: Context, permission: Permission
) -> tuple[SharedTag, ...]:
    """The tags besides its own that this commit deserves, ``latest`` last."""
    found: dict[Tag, Rule] = {}
    on_git_tag = context.ref.kind is RefKind.TAG
    on_main = permission.shared and not on_git_tag
    if permission.shared and on_git_tag:
        name = unreserved(Tag.parse(context.ref.name))
        found[name] = Rule.FINAL if name == settings.milestone else Rule.GIT_TAG
    if on_main and settings.milestone:
        found[settings.milestone] = Rule.MILESTONE
    if settings.shared_tags and permission.push:
        values = _template_values(context)
        for template in settings.extra_tags:
            own = "{branch}" in template and context.in_runner
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


def expand(template: str, values: Mapping[str, str]) -> Tag | None:
    """Fill in a template; nothing, if it names a value that this run does not have."""
    names = re.findall(r"\{([^{}]*)\}", template)
    if not all(name in values for name in names):
        return None
    return unreserved(Tag.parse(re.sub(r"\{([^{}]*)\}", lambda found: values[found[1]], template)))


def _template_values(context: Context) -> Mapping[str, str]:
    values = {"date": context.committed.strftime("%Y%m%d")}
    if context.ref.kind is RefKind.BRANCH:
        values["branch"] = str(Tag.near(context.ref.name))
    version = _VERSION.fullmatch(context.ref.name) if context.ref.kind is RefKind.TAG else None
    if version:
        values["version"] = version[1] + (version[4] or "")
        if not version[4]:
            values |= {"major": version[2], "minor": version[3]}
    return values


def created_label(moment: datetime) -> str:
    """A commit's time as RFC 3339, for ``org.opencontainers.image.created``."""
    return moment.isoformat().replace("+00:00", "Z")
