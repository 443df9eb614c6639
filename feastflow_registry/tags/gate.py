"""May this run push and why, and which tags does its commit deserve: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from feastflow_registry.config.filter_patterns import matches
from feastflow_registry.config.grammar import unreserved
from feastflow_registry.config.settings import Settings
from feastflow_registry.model.credentials import Access, missing
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.plan import (
    Command,
    Latest,
    Line,
    Permission,
    Rule,
    SharedTag,
)
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run import DEPENDABOT, LAPTOP, RefKind, Run
from feastflow_registry.model.tag_names import LATEST
from feastflow_registry.model.versions import Version, prefix_of
from feastflow_registry.model.wording import printable, some

ALLOWED_EVENTS = frozenset(
    {"push", "workflow_dispatch", "schedule", "release", "repository_dispatch"}
)
UNPRIVILEGED = frozenset({"pull_request"})
"""The events in which GitHub gives a fork's code no secret, and no right to write.

https://docs.github.com/en/actions/reference/security/secure-use
"""
_LONGEST_SHOWN = 100
_EXAMPLE = "https://github.com/you/shop"
_ON_MAIN = (Latest.FORWARD, Latest.FORCE)
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_OF_RELEASES = frozenset({"version", "major", "minor"})
_OF_ONE_RUN = frozenset({"date", "timestamp", "sha", "run"})


def permit(settings: Settings, run: Run) -> Permission:
    """Decide whether this run may write to the registry. The event counts, then the ref."""
    where = f"{run.event} on {run.ref}"
    if run.event == LAPTOP:
        if run.on_remote_main:
            where = f"by hand, from a commit of {settings.main}"
            return Permission(True, settings.shared_tags, where)
        where = f"by hand, from a commit that is not on the remote's {settings.main}"
        return Permission(True, False, f'{where} (the input "branches": {settings.main})')
    if run.event not in ALLOWED_EVENTS or run.fork:
        what = "a fork" if run.fork else f"the event {run.event}"
        fix = f"A push to {settings.main} publishes, as merging it does."
        return Permission(False, False, f"{what} never pushes", fix=fix)
    if run.deleted:
        return Permission(False, False, f"{run.ref} was deleted, which publishes nothing")
    if run.ref.kind is RefKind.BRANCH:
        if run.ref.name == settings.main:
            return Permission(True, settings.shared_tags, where)
        if matches(run.ref.name, settings.branches):
            where = f"{where}, which is allowed but not {settings.main}"
            return Permission(True, False, f'{where} (the input "branches": {settings.main})')
        where = f"{run.ref} is not among the branches that may push"
        where = f'{where} (the input "branches": {some(settings.branches)})'
        fix = f'Merge it into {settings.main}, or name the branch in the input "branches".'
        return Permission(False, False, where, fix=fix)
    if run.ref.kind is RefKind.TAG:
        if matches(run.ref.name, settings.git_tags):
            return Permission(True, settings.shared_tags, where)
        where = f"{run.ref} is not among the git tags that may push"
        where = f'{where} (the input "git-tags": {some(settings.git_tags)})'
        fix = 'Name it, or a pattern of it, in the input "git-tags".'
        return Permission(False, False, where, fix=fix)
    return Permission(False, False, f"{run.ref} is neither a branch nor a git tag")


def grant(settings: Settings, run: Run, *, has_credential: bool) -> Permission:
    """Decide what this run may do with the credential that it has.

    Raises an input failure where a push is due and there is nothing to push with.
    """
    permission = permit(settings, run)
    if not (permission.push and settings.command.writes) or settings.dry_run:
        return permission
    if run.actor == DEPENDABOT:
        reason = "Dependabot's runs publish nothing, whatever they are given"
        fix = f"The next run on {settings.main} publishes."
        return Permission(False, False, reason, f"Nothing is pushed: {reason}. {fix}", fix)
    if settings.command.builds:
        check_source(run)
    if has_credential:
        return permission
    raise missing(settings.registry, in_runner=run.in_runner)


def check_source(run: Run) -> None:
    """Refuse to have an image labelled as a repository's that nobody else knows by this name."""
    if run.source.is_known:
        return
    origin = printable(run.source.written, _LONGEST_SHOWN)
    where = "there is no git remote origin"
    fix = "Give it the repository's address: `git remote add origin ADDRESS`."
    if run.source.is_folder:
        where = f"the git remote origin is {origin!r}, a folder of this machine"
        fix = (
            f"Set its address at the git host with `git remote set-url origin {_EXAMPLE}`; to try "
            "without a host, have that lead to the folder: "
            f"`git config url.FOLDER.insteadOf {_EXAMPLE}`."
        )
    elif origin:
        where = f"the git remote origin is {origin!r}, which names no host that others know"
        fix = (
            "Set its whole address with `git remote set-url origin ADDRESS`, or give the SSH "
            "alias its HostName."
        )
    raise Failure(
        Kind.INPUT,
        f"{where}, so no image can be labelled as this repository's.",
        fix,
        see="unknown-host",
    )


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
        name = unreserved(Tag.near(run.ref.name))
        found[name] = Rule.FINAL if name == settings.milestone else Rule.GIT_TAG
    if on_main and settings.milestone:
        found[settings.milestone] = Rule.MILESTONE
    for template, tag in _made(settings, run, permission):
        if tag not in (None, settings.milestone):
            found.setdefault(tag, _rule(template))
    if on_main and settings.latest in _ON_MAIN:
        found[LATEST] = Rule.FORCE if settings.latest is Latest.FORCE else Rule.FORWARD
    if permission.shared and on_git_tag and settings.latest is Latest.RELEASE:
        version = version_of(settings, run.ref.name)
        if version and version.is_stable:
            found[LATEST] = Rule.RELEASE
    return tuple(SharedTag(tag, rule) for tag, rule in found.items())


def _made(settings: Settings, run: Run, permission: Permission) -> Iterator[tuple[str, Tag | None]]:
    """The templates that have a place in this run, with their tags; of some, values are missing."""
    values = _values(settings, run)
    for template in settings.extra_tags if settings.shared_tags and permission.push else ():
        own = "{branch}" in template and run.in_runner
        if permission.shared or own:
            yield template, expand(template, values)


def _rule(template: str) -> Rule:
    """How the tag of a template moves, by what the template is made of."""
    names = set(_VARIABLE.findall(template))
    if names & _OF_ONE_RUN:
        return Rule.ONE_RUN
    if names & _OF_RELEASES:
        return Rule.RELEASE
    return Rule.BRANCH if "branch" in names else Rule.FORWARD


def makes_lines(settings: Settings) -> bool:
    """Whether tags are made of the versions of git tags."""
    return any(_rule(each) is Rule.RELEASE for each in settings.extra_tags)


def version_of(settings: Settings, name: str) -> Version | None:
    """The version that a git tag is named after: what follows the prefix of its pattern."""
    if not matches(name, settings.git_tags):
        return None
    prefixes = (prefix_of(each) for each in settings.git_tags if matches(name, [each]))
    return next(filter(None, (Version.read(name, prefix) for prefix in prefixes)), None)


def line(
    settings: Settings, run: Run, tag: Tag, names: Iterable[str], published: Iterable[Tag] = ()
) -> Line:
    """The git tags of the releases that a tag is for: those from which it would be made, too.

    ``latest`` is for every release, ``1.2`` of ``{major}.{minor}`` for those of that line, and the
    name of a git tag for that one. ``published``: tags of images, as the list of git tags may be
    late; those that are named after no git tag are among the releases, too.
    """
    templates = [each for each in settings.extra_tags if _rule(each) is Rule.RELEASE]

    def is_for(version: Version) -> bool:
        if tag == LATEST:
            return version.is_stable
        with suppress(Failure):  # Somebody's git tag may make what is no tag.
            return any(expand(each, version.values) == tag for each in templates)
        return False

    names = list(names)
    named = (name for name in names if Tag.near(name) == tag)
    owners = tuple(name for name in named if matches(name, settings.git_tags))
    if owners:  # What is named as a git tag is that one's alone.
        return Line(run.ref.name, owners)
    names = {*names, *_sources(settings, published)}
    versions = filter(None, (version_of(settings, name) for name in names))
    found = sorted(filter(is_for, versions), key=lambda version: version.order, reverse=True)
    return Line(run.ref.name, tuple(version.name for version in found))


def _sources(settings: Settings, published: Iterable[Tag]) -> Iterator[str]:
    """The git tags that tags of images may be named after."""
    for prefix in {prefix_of(each) for each in settings.git_tags}:
        near = Tag.near(f"{prefix}0").value[:-1]
        for tag in published:
            if tag.value.startswith(near):
                yield f"{prefix}{tag.value.removeprefix(near)}"


def repointable(settings: Settings, permission: Permission) -> tuple[Tag, ...]:
    """The shared tags that may be given another digest of the very commit that they hold."""
    if not permission.shared:
        return ()
    latest = (LATEST,) if settings.latest in _ON_MAIN else ()
    return latest + ((settings.milestone,) if settings.milestone else ())


def following(settings: Settings) -> frozenset[Tag]:
    """The tags that publishing moves to the newest commit of the main branch."""
    plain = {Tag.parse(each) for each in settings.extra_tags if "{" not in each}
    milestone = {settings.milestone} if settings.milestone else set()
    latest = {LATEST} if settings.latest in _ON_MAIN else set()
    return frozenset(plain | milestone | latest)


def expand(template: str, values: Mapping[str, str]) -> Tag | None:
    """Fill in a template; nothing, if it names a value that this run does not have."""
    if not all(name in values for name in _VARIABLE.findall(template)):
        return None
    return unreserved(Tag.parse(_VARIABLE.sub(lambda found: values[found[1]], template)))


def _values(settings: Settings, run: Run) -> Mapping[str, str]:
    """What templates may use in this run."""
    committed = run.committed.astimezone(UTC)
    values = {"date": f"{committed:%Y%m%d}", "timestamp": f"{committed:%Y%m%d%H%M%S}"}
    values["sha"] = run.commit.sha[: settings.sha_length]
    if run.number:
        values["run"] = run.number
    if run.ref.kind is RefKind.BRANCH:
        values["branch"] = str(Tag.near(run.ref.name))
    version = version_of(settings, run.ref.name) if run.ref.kind is RefKind.TAG else None
    return {**values, **(version.values if version else {})}


def left_behind(settings: Settings, run: Run, permission: Permission) -> Problem | None:
    """The tags that a publish by hand leaves where they are, as main does not have the commit."""
    asked = [str(settings.milestone)] if settings.milestone else []
    asked += [*settings.extra_tags, *(["latest"] if settings.latest in _ON_MAIN else [])]
    is_behind = run.event == LAPTOP and settings.shared_tags and not permission.shared
    if not asked or not is_behind:
        return None
    stay = "stays where it is" if len(asked) == 1 else "stay where they are"
    cause = f"{some(asked)} {stay}: {run.commit.short} is not on the remote's {settings.main}."
    return Problem(cause, "Push it, then run again.")


def left_out(settings: Settings, run: Run, permission: Permission) -> Iterator[str]:
    """What is asked for and has no place in this run, each with the reason."""
    if not permission.push or not settings.shared_tags:
        return
    behind = left_behind(settings, run, permission)
    if behind:
        yield f"{behind.cause} {behind.fix}"
    yield from _overruled(settings, run, permission)
    if permission.shared:
        yield from _without_value(settings, run)


def _overruled(settings: Settings, run: Run, permission: Permission) -> Iterator[str]:
    """The tags that another rule keeps from being what was asked for."""
    given = {each.tag for each in shared_tags(settings, run, permission)}
    for template, tag in _made(settings, run, permission):
        if tag and tag == settings.milestone and tag not in given:
            yield f'input "extra-tags": {template}: {tag} is the milestone. Name them apart.'
    if settings.latest is Latest.FORCE and run.in_runner and LATEST not in given:
        where = f"on {settings.main} alone, not on {run.ref}"
        yield f"latest stays where it is: force moves it {where}."


def _without_value(settings: Settings, run: Run) -> Iterator[str]:
    """What the name of a branch or git tag gives no value, or another one."""
    values = _values(settings, run)
    on_git_tag = run.ref.kind is RefKind.TAG
    for template in settings.extra_tags:
        lacking = [name for name in _VARIABLE.findall(template) if name not in values]
        if lacking and on_git_tag == bool(_OF_RELEASES & set(lacking)):
            what = f"{template} is left out, as {run.ref} has no {{{lacking[0]}}}"
            yield f'input "extra-tags": {what}.'
    version = version_of(settings, run.ref.name)
    is_release = on_git_tag and version is not None and version.is_stable
    if settings.latest is Latest.RELEASE and not is_release:
        rule = 'input "latest: release" moves it with the git tag of a release'
        why = f"{run.ref.name} is no release" if on_git_tag else rule
        yield f"latest stays where it is: {why}."
    near = Tag.near(run.ref.name)
    if on_git_tag and near.value != run.ref.name:
        yield f"{run.ref.name} is no name for a tag of an image, so it is published as {near}."


def created_label(moment: datetime) -> str:
    """A commit's time as RFC 3339, for ``org.opencontainers.image.created``."""
    return moment.isoformat().replace("+00:00", "Z")
