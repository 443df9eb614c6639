"""The command ``tags``: what the registry holds of each service, without changing it."""

from __future__ import annotations

from feastflow_registry.commands.app import App
from feastflow_registry.report import tags
from feastflow_registry.report.results import RunReport
from feastflow_registry.tags.catalog import Catalog, Cataloguer


def run(app: App) -> RunReport:
    """List every tag of every service, registry by registry."""
    catalogs: list[Catalog] = []
    for host, services in app.by_registry.items():
        catalogs += Cataloguer(app.registry, app.hub(host), app.revisions).read(services)
    for catalog in catalogs:
        if not catalog.entries:
            app.log.warning(tags.nothing(catalog))
    return RunReport(
        tags.lines(catalogs, app.width), tags.markdown(catalogs), {}, tags.json(catalogs)
    )
