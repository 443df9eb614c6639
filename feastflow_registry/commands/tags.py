"""The command ``tags``: what the registry holds of each service, without changing it."""

from __future__ import annotations

from dataclasses import dataclass

from feastflow_registry.commands.app import App
from feastflow_registry.report import tags
from feastflow_registry.report.results import Answer
from feastflow_registry.tags.cataloguing import Cataloguer


@dataclass(frozen=True, slots=True)
class Browsing:
    """One look."""

    app: App

    def run(self) -> Answer:
        """List every tag of every service."""
        app = self.app
        cataloguer = Cataloguer(app.registry, app.hub, app.git.revisions)
        catalogs = cataloguer.read(app.services)
        for each in catalogs:
            if not each.entries:
                app.log.warning(tags.nothing(each))
        return Answer(
            tags.lines(catalogs, app.width), tags.markdown(catalogs), {}, tags.json(catalogs)
        )
