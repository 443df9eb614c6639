"""The command ``tags``: what the registry holds of each service, without changing it."""

from __future__ import annotations

from dataclasses import dataclass

from feastflow_registry import tables
from feastflow_registry.app import App
from feastflow_registry.cataloguing import Cataloguer
from feastflow_registry.parallel import spread
from feastflow_registry.report import Answer


@dataclass(frozen=True, slots=True)
class Browsing:
    """One look."""

    app: App

    def run(self) -> Answer:
        """List every tag of every service."""
        app = self.app
        cataloguer = Cataloguer(app.registry, app.hub, app.git.revisions, spread)
        catalogs = cataloguer.read(app.services)
        for each in catalogs:
            if not each.entries:
                app.log.warning(tables.nothing(each))
        return Answer(
            tables.lines(catalogs, app.width), tables.markdown(catalogs), {}, tables.json(catalogs)
        )
