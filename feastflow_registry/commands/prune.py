"""The command ``prune``: old commit tags go, by policy; a dry run, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain

from feastflow_registry.commands import registries
from feastflow_registry.commands.app import App
from feastflow_registry.kubernetes import files as manifest_files
from feastflow_registry.kubernetes import usage
from feastflow_registry.kubernetes.files import ShownFile
from feastflow_registry.kubernetes.usage import Places
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import ImmutableTags, Names
from feastflow_registry.model.parallel import one_after_another, spread
from feastflow_registry.model.plan import DeleteTag, KeepTag, Outcome, Plan
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.report import tags
from feastflow_registry.tags import choose, retention
from feastflow_registry.tags.catalog import Catalog, Cataloguer
from feastflow_registry.tags.delete import Deleter
from feastflow_registry.tags.retention import Retention


def plan(app: App) -> Plan:
    """List everything, look up all that the deletion hangs on, and decide about every tag."""
    app.check_may_write()
    files = manifest_files.every(app.workspace.folder, app.settings.manifests)
    unclear = usage.unclear(files, [each.repository for each in app.everywhere])
    catalogs = tuple(chain.from_iterable(registries.of_each(app, partial(_read, app))))
    _check_keep(app, catalogs)
    places = _find(app, files, catalogs, unclear)
    steps: list[DeleteTag | KeepTag] = []
    for catalog in catalogs:
        if not catalog.entries:
            app.log.warning(tags.nothing(catalog))
        steps += _decide(app, catalog, places)
    return app.plan(steps)


def _read(app: App, services: Sequence[Service]) -> Sequence[Catalog]:
    """List what one registry has of some services."""
    return _cataloguer(app, services[0].repository).read(services, sizes=False)


def _cataloguer(app: App, repository: Repository) -> Cataloguer:
    return Cataloguer(app.registry, app.hub(repository.host), app.revisions)


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Delete what is planned, and nothing that came to be needed meanwhile."""
    deletions = {host: app.deletion(host) for host in plan.hosts}
    return one_after_another(
        *(
            Deleter(app.registry, app.hub(host) or images, images).run(plan.on(host))
            for host, images in deletions.items()
        )
    )


def _check_keep(app: App, catalogs: Sequence[Catalog]) -> None:
    """Warn of what ``keep`` names in vain: it may be misspelled. Refuses what may mean several."""
    for item in app.settings.keep:
        for catalog in catalogs:
            choose.check_single(
                item.text, item.short_for(catalog.sharing), catalog.service.repository
            )
        if any(retention.reaches(item, catalog) for catalog in catalogs):
            continue
        repositories = [each.service.repository for each in catalogs if item.digest]
        digests = (Reference(each, item.digest) for each in repositories if item.digest)
        if not any(map(app.registry.resolve, digests)):
            app.log.warning(f'input "keep": {item.text[:80]!r} names nothing that is there.')


def _find(
    app: App,
    files: Sequence[ShownFile],
    catalogs: Sequence[Catalog],
    unclear: Mapping[Repository, Sequence[Problem]],
) -> Places:
    """Find what is there in the files. Refuses a manifest whose image none of them tells."""
    wanted = {catalog.service.repository: {*_digits(catalog)} for catalog in catalogs}
    places = usage.find(files, {*chain.from_iterable(wanted.values())})
    problems = [
        problem
        for repository, digits in wanted.items()
        if not digits & places.known.keys()
        for problem in unclear[repository]
    ]
    if problems:
        raise Failure.of(Kind.INPUT, problems)
    if files and not places.known:
        app.log.notice("No file of the manifests names an image that is there.")
    return places


def _digits(catalog: Catalog) -> Iterator[str]:
    """The digits that a file may name what is there by: those of commits and of digests."""
    yield from (each.digits for each in catalog.entries if each.is_commit or each.is_part)
    yield from (_hexadecimal(each) for each in catalog.sharing)


def _hexadecimal(digest: Digest) -> str:
    return digest.value.partition(":")[2]


def _named(app: App, catalog: Catalog, places: Places) -> Names:
    """What ``keep`` and files name of a repository, with the place that does."""
    repository = catalog.service.repository
    items = (each.targets(repository, catalog.sharing) for each in app.settings.keep)
    targets = chain.from_iterable(items)
    of_commits = (each for each in catalog.entries if each.is_commit or each.is_part)
    used: list[tuple[Tag | Digest, str]] = [(each.tag, each.digits) for each in of_commits]
    used += [(each, _hexadecimal(each)) for each in catalog.sharing]
    in_files = {each: places.known[digits] for each, digits in used if digits in places.known}
    return {**dict.fromkeys(targets, retention.KEEP), **in_files}


def _decide(app: App, catalog: Catalog, places: Places) -> Sequence[DeleteTag | KeepTag]:
    """Decide; where that hangs on what only images tell, those are read, and no others."""
    repository = catalog.service.repository
    hub, cataloguer = app.hub(repository.host), _cataloguer(app, repository)
    about = hub.about(repository) if hub and catalog.entries else None
    rules = Retention(
        now=datetime.fromtimestamp(app.now(), UTC),
        days=app.settings.keep_days,
        last=app.settings.keep_last,
        patterns=retention.patterns(app.settings.keep),
        named=_named(app, catalog, places),
        immutable=about.immutable if about else ImmutableTags(),
    )
    rulings = retention.judge(catalog, rules)
    read: frozenset[Digest] = frozenset()
    while unread := retention.unpushed(rulings) - read:
        created = {**rules.created, **cataloguer.created(repository, unread)}
        rules, read = replace(rules, created=created), read | unread
        rulings = retention.judge(catalog, rules)
    if not retention.going(rulings):
        return retention.steps(catalog, rulings, {})
    untagged = _untagged(app, catalog, rules.named, places.digests)
    # Docker Hub deletes a tag and never what an image lists; something may be about that, though.
    is_alone = hub and not any(each.subject for each in catalog.entries)
    asked = retention.going(rulings) if is_alone else catalog.sharing
    parts = _parts(app, repository, asked) if untagged or not hub else {}
    rules = replace(rules, named={**untagged, **rules.named}, parts=parts)
    rules = replace(rules, absent=_absent(app, catalog, rules))
    rulings = retention.judge(catalog, rules)
    needed = {} if hub else retention.needs(rulings, rules)
    return retention.steps(catalog, rulings, needed)


def _parts(
    app: App, repository: Repository, digests: Iterable[Digest]
) -> Mapping[Digest, frozenset[Digest]]:
    """All that images list. What cannot be read as an image, time and again, lists nothing."""
    deletion = app.deletion(repository.host)

    def children(digest: Digest) -> frozenset[Digest]:
        for _ in range(2):
            try:
                return deletion.children(repository, digest)
            except Failure as failure:
                if failure.kind is not Kind.UNVERIFIED:
                    raise
        return frozenset()

    wanted = tuple(digests)
    return dict(zip(wanted, spread(children, wanted), strict=True))


def _untagged(app: App, catalog: Catalog, names: Names, in_files: Mapping[Digest, str]) -> Names:
    """Images that are used without having a tag, with all that they list.

    Each may be a part of an image that has one, or the other way round.
    """
    repository = catalog.service.repository
    named = {each: why for each, why in names.items() if isinstance(each, Digest)}
    named = {**in_files, **named}
    there = _there(app, repository, named.keys() - catalog.sharing.keys())
    parts = _parts(app, repository, there)
    found: dict[Tag | Digest, str] = {}
    for digest in there:
        found |= dict.fromkeys((digest, *parts[digest]), named[digest])
    return found


def _absent(app: App, catalog: Catalog, rules: Retention) -> frozenset[Digest]:
    """The images that are gone, of those that something is about."""
    known = {*catalog.sharing, *chain.from_iterable(rules.parts.values())}
    subjects = {each.subject for each in catalog.entries if each.subject}
    there = _there(app, catalog.service.repository, subjects - known)
    return frozenset(subjects - known - there)


def _there(app: App, repository: Repository, digests: Iterable[Digest]) -> frozenset[Digest]:
    """Those digests that the registry has. What is absent is asked for twice."""
    wanted = frozenset(digests)
    missing = wanted
    for _ in range(2):
        asked = tuple(missing)
        found = spread(app.registry.resolve, [Reference(repository, each) for each in asked])
        missing = frozenset(each for each, there in zip(asked, found, strict=True) if not there)
    return wanted - missing
