"""The command ``prune``: old commit tags go, by policy; a dry run, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from feastflow_registry.commands.app import App
from feastflow_registry.kubernetes import files as manifest_files
from feastflow_registry.kubernetes import usage, workloads
from feastflow_registry.model.images import Names
from feastflow_registry.model.immutability import ImmutableTags
from feastflow_registry.model.parallel import spread
from feastflow_registry.model.plan import DeleteTag, KeepTag, Plan
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.registry.delete import RegistryDeletion
from feastflow_registry.report import tags
from feastflow_registry.report.results import Answer
from feastflow_registry.tags import retention
from feastflow_registry.tags.catalog import Catalog
from feastflow_registry.tags.cataloguing import Cataloguer
from feastflow_registry.tags.delete import Deleter
from feastflow_registry.tags.retention import Retention, Ruling


@dataclass(frozen=True, slots=True)
class Pruning:
    """One clearing up."""

    app: App

    def run(self) -> Answer:
        """List everything, plan, and delete what may go; or stop after the plan."""
        app = self.app
        app.check_may_write()
        plan = self._plan(self._names())
        app.journal.begin(plan)
        if not app.settings.dry_run:
            images = RegistryDeletion(app.registry)
            deleter = Deleter(app.registry, app.hub or images, images)
            for outcome in deleter.run(plan):
                app.journal.note(outcome)
        return app.journal.answer(dry_run=app.settings.dry_run)

    def _names(self) -> Mapping[Repository, Names]:
        """What is used of each repository; read first, for it may be bad input."""
        settings = self.app.settings
        files = manifest_files.find(self.app.workspace, settings.manifests)
        manifests = [workloads.read(each.name, each.content) for each in files]
        repositories = [each.repository for each in self.app.services]
        used = (manifest.names(each) for manifest in manifests for each in repositories)
        if manifests and not any(used):
            self.app.log.notice("No file of manifests names an image of these services.")

        def named(repository: Repository) -> Names:
            targets = (target for item in settings.keep for target in item.targets(repository))
            kept = dict.fromkeys(targets, retention.KEEP)
            return {**kept, **usage.named(repository, manifests)}

        return {each: named(each) for each in repositories}

    def _plan(self, names: Mapping[Repository, Names]) -> Plan:
        app = self.app
        cataloguer = Cataloguer(app.registry, app.hub, app.git.revisions)
        steps: list[DeleteTag | KeepTag] = []
        catalogs = cataloguer.read(app.services, sizes=False)
        self._check_keep(catalogs)
        for catalog in catalogs:
            if not catalog.entries:
                app.log.warning(tags.nothing(catalog))
            rulings = self._judge(cataloguer, catalog, names[catalog.service.repository])
            steps += retention.steps(catalog, rulings)
        context = app.context
        command = app.settings.command
        return Plan(command, context.commit, context.source, app.permission, tuple(steps))

    def _check_keep(self, catalogs: Sequence[Catalog]) -> None:
        """Warn of what `keep` names in vain: it may be misspelled."""
        for item in self.app.settings.keep:
            digest = (
                Reference(each.service.repository, item.digest) for each in catalogs if item.digest
            )
            if not any(retention.reaches(item, each) for each in catalogs) and not any(
                map(self.app.registry.resolve, digest)
            ):
                self.app.log.warning(f"keep: {item.text[:80]!r} names nothing that is there.")

    def _judge(self, cataloguer: Cataloguer, catalog: Catalog, names: Names) -> tuple[Ruling, ...]:
        """Decide; where that hangs on what only images tell, those are read, and no others."""
        app, repository = self.app, catalog.service.repository
        about = app.hub.about(repository) if app.hub and catalog.entries else None
        rules = Retention(
            now=datetime.fromtimestamp(app.http.wall(), UTC),
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
        whole = self._names_of_wholes(catalog, names)
        if whole:
            children = RegistryDeletion(app.registry).children
            going = retention.going(rulings)
            parts = zip(going, spread(partial(children, repository), going), strict=True)
            rules = replace(rules, named={**whole, **names}, parts=dict(parts))
            rulings = retention.judge(catalog, rules)
        return rulings

    def _names_of_wholes(self, catalog: Catalog, names: Names) -> Names:
        """Images that are used without having a tag, with all that they list.

        Each may be a part of an image that has one, or the other way round.
        """
        registry, repository = self.app.registry, catalog.service.repository
        found: dict[Tag | Digest, str] = {}
        for digest, where in names.items():
            if not isinstance(digest, Digest) or digest in catalog.sharing:
                continue
            if registry.resolve(Reference(repository, digest)):
                parts = RegistryDeletion(registry).children(repository, digest)
                found |= dict.fromkeys((digest, *parts), where)
        return found
