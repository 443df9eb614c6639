"""The command ``prune``: old commit tags go, by policy; a dry run, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from feastflow_registry.commands.app import App
from feastflow_registry.kubernetes import files as manifest_files
from feastflow_registry.kubernetes import usage, workloads
from feastflow_registry.model.images import ImmutableTags, Names
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import DeleteTag, KeepTag, Outcome, Plan
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.report import tags
from feastflow_registry.tags import retention
from feastflow_registry.tags.catalog import Catalog, Cataloguer
from feastflow_registry.tags.delete import Deleter
from feastflow_registry.tags.retention import Retention, Ruling


def plan(app: App) -> Plan:
    """List everything, and decide about every tag."""
    app.check_may_write()
    names = _names(app)
    cataloguer = Cataloguer(app.registry, app.hub, app.revisions)
    catalogs = cataloguer.read(app.services, sizes=False)
    _check_keep(app, catalogs)
    steps: list[DeleteTag | KeepTag] = []
    for catalog in catalogs:
        if not catalog.entries:
            app.log.warning(tags.nothing(catalog))
        rulings = _judge(app, cataloguer, catalog, names[catalog.service.repository])
        steps += retention.steps(catalog, rulings)
    return app.plan(steps)


def carry_out(app: App, plan: Plan) -> Iterator[Outcome]:
    """Delete what is planned, and nothing that came to be needed meanwhile."""
    return Deleter(app.registry, app.hub or app.deletion, app.deletion).run(plan)


def _names(app: App) -> Mapping[Repository, Names]:
    """What is used of each repository; read first, for it may be bad input."""
    files = manifest_files.find(app.workspace.folder, app.settings.manifests)
    manifests = [workloads.read(file.name, file.content) for file in files]
    repositories = [service.repository for service in app.services]
    used = (manifest.names(each) for manifest in manifests for each in repositories)
    if manifests and not any(used):
        app.log.notice("No file of manifests names an image of these services.")

    def named(repository: Repository) -> Names:
        targets = (target for item in app.settings.keep for target in item.targets(repository))
        kept = dict.fromkeys(targets, retention.KEEP)
        return {**kept, **usage.named(repository, manifests)}

    return {each: named(each) for each in repositories}


def _check_keep(app: App, catalogs: Sequence[Catalog]) -> None:
    """Warn of what ``keep`` names in vain: it may be misspelled."""
    for item in app.settings.keep:
        if any(retention.reaches(item, catalog) for catalog in catalogs):
            continue
        repositories = [each.service.repository for each in catalogs if item.digest]
        digests = (Reference(each, item.digest) for each in repositories if item.digest)
        if not any(map(app.registry.resolve, digests)):
            app.log.warning(f"keep: {item.text[:80]!r} names nothing that is there.")


def _judge(app: App, cataloguer: Cataloguer, catalog: Catalog, names: Names) -> tuple[Ruling, ...]:
    """Decide; where that hangs on what only images tell, those are read, and no others."""
    repository = catalog.service.repository
    about = app.hub.about(repository) if app.hub and catalog.entries else None
    rules = Retention(
        now=datetime.fromtimestamp(app.now(), UTC),
        days=app.settings.keep_days,
        last=app.settings.keep_last,
        patterns=retention.patterns(app.settings.keep),
        named=names,
        immutable=about.immutable if about else ImmutableTags(),
    )
    rulings = retention.judge(catalog, rules)
    read: frozenset[Digest] = frozenset()
    while unread := retention.unpushed(rulings) - read:
        created = {**rules.created, **cataloguer.created(repository, unread)}
        rules, read = replace(rules, created=created), read | unread
        rulings = retention.judge(catalog, rules)
    untagged = _untagged(app, catalog, names)
    if untagged:
        going = retention.going(rulings)
        parts = zip(going, spread(partial(app.deletion.children, repository), going), strict=True)
        rules = replace(rules, named={**untagged, **names}, parts=dict(parts))
        rulings = retention.judge(catalog, rules)
    return rulings


def _untagged(app: App, catalog: Catalog, names: Names) -> Names:
    """Images that are used without having a tag, with all that they list.

    Each may be a part of an image that has one, or the other way round.
    """
    repository = catalog.service.repository
    found: dict[Tag | Digest, str] = {}
    for digest, where in names.items():
        if not isinstance(digest, Digest) or digest in catalog.sharing:
            continue
        if app.registry.resolve(Reference(repository, digest)):
            parts = app.deletion.children(repository, digest)
            found |= dict.fromkeys((digest, *parts), where)
    return found
