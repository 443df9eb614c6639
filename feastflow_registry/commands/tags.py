"""The command ``tags``: what the registry holds of each service, without changing it."""

from __future__ import annotations

from collections.abc import Sequence

from feastflow_registry.commands.app import App
from feastflow_registry.config.selectors import Selector
from feastflow_registry.model.errors import Failure, Kind, nearest
from feastflow_registry.model.wording import some
from feastflow_registry.report import tags
from feastflow_registry.report.results import RunReport
from feastflow_registry.tags.catalog import Catalog, Cataloguer

_WHAT_IS_THERE = "`feastflow-registry tags` lists what is there; prune may have deleted it."


def run(app: App) -> RunReport:
    """List every tag of every service, or those that hold one image."""
    with app.log.working(f"reading what {app.settings.registry} holds"):
        catalogs = Cataloguer(app.registry, app.hub, app.revisions).read(app.services)
    for catalog in catalogs:
        if not catalog.entries:
            app.log.warning(tags.nothing(catalog))
    if app.settings.to:
        catalogs = _holding(catalogs, app.settings.to)
    lines = tags.lines(catalogs, app.width, whole=app.whole_digests)
    return RunReport(lines, tags.markdown(catalogs), {}, tags.json(catalogs))


def _holding(catalogs: Sequence[Catalog], wanted: Selector) -> tuple[Catalog, ...]:
    """What holds an image that somebody names. Refuses what nothing holds."""
    found = tuple(each.holding(wanted) for each in catalogs)
    if not any(each.entries for each in found):
        names = {each.tag.value for catalog in catalogs for each in catalog.entries}
        repositories = [str(each.service.repository) for each in catalogs]
        fix = "Nothing is published there: publish first."
        if names:
            fix = nearest(str(wanted), names) if wanted.tag else _WHAT_IS_THERE
        raise Failure(Kind.INPUT, f"no tag of {some(repositories)} holds {wanted}.", fix)
    return tuple(each for each in found if each.entries)
