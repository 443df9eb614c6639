"""A job summary of each kind, from runs in memory that always say the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from feastflow_registry import commands
from feastflow_registry.commands import Command, deploy, rollback
from feastflow_registry.config.input_names import InputNames
from feastflow_registry.model.credentials import missing
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import ListedTag
from feastflow_registry.model.references import Tag
from feastflow_registry.model.run_state import RunState
from feastflow_registry.report import tags
from feastflow_registry.report.journal import Journal
from feastflow_registry.tags.catalog import Catalog, compile_catalog
from support.memory import FakeLog, digest_of
from support.runs import HOST, A, B, C, D, Run, World, commit, context, failing, service

RUN_URL = "https://github.com/feastflow/shop/actions/runs/7"
SIX = ("frontend", "menu", "order", "payment", "pricing", "stock")
START = datetime(2026, 1, 1, tzinfo=UTC)
IN_A_WORKFLOW = InputNames(in_runner=True)
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: storefront, namespace: shop}
spec: {template: {spec: {containers: [{name: web, image: "ada/shop:old"}]}}}
"""


def summary(run: Run) -> str:
    """Run a command as the program does, whether it ends well or not; what its summary says."""
    run.context = replace(run.context, run_url=RUN_URL)
    journal = Journal(FakeLog(), run.app.state)
    try:
        text = commands.run(run.command, run.app, journal).markdown
    except Failure as failure:
        text = journal.failed(failure).markdown
    return IN_A_WORKFLOW.spell(text)


def published(*names: str) -> World:
    world = World(names or ("shop",))
    for each in (A, B):
        world.publish(each)
    return world


def _publish() -> str:
    return summary(published().run(C, milestone="sprint3"))


def _monorepo() -> str:
    world = World(SIX)
    world.publish(A)
    world.inputs = {(at, name): name for at in (B, C) for name in SIX[1:]}
    world.publish(B, reuse="unchanged")
    return summary(world.run(C, reuse="unchanged"))


def _older() -> str:
    world = published()
    return summary(world.run(A))


def _not_pushed() -> str:
    run = World().run(B)
    run.context = context(B, "menu-prices")
    return summary(run)


def _no_token() -> str:
    report = Journal(FakeLog(), RunState()).failed(missing(HOST, in_runner=True))
    return IN_A_WORKFLOW.spell(report.markdown)


def _broken_off() -> str:
    return summary(World(("shop", "cart")).run(B, before=failing(11)))


def _dry_run() -> str:
    return summary(published(*SIX[:2]).run(C, milestone="sprint3", dry_run="true"))


def _promote() -> str:
    world = published()
    summary(world.start("promote", tag="production", to=A.sha))
    return summary(world.start("promote", tag="production", to=B.sha))


def bad() -> World:
    world = published()
    summary(world.start("promote", tag="production", to=B.sha))
    return world


def _rollback() -> str:
    return summary(bad().start("rollback"))


def _rollback_dry_run() -> str:
    return summary(bad().start("rollback", dry_run="true"))


def _rollback_again() -> str:
    world = bad()
    summary(world.start("rollback"))
    return summary(world.start("rollback"))


@contextmanager
def beside_manifest(world: World, module: Command, **inputs: str) -> Iterator[Run]:
    """A run of a command in a folder with a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shop.yaml").write_text(MANIFEST)
        given = {"manifests": "shop.yaml", **inputs}
        yield Run(world.app(given, run=context(C), folder=Path(folder)), module)


def _rollback_with_manifests() -> str:
    with beside_manifest(bad(), rollback, command="rollback", tag="latest") as run:
        return summary(run)


def _deploy() -> str:
    with beside_manifest(published(), deploy, command="deploy", to=B.sha) as run:
        return summary(run)


def _deploy_dry_run() -> str:
    given = {"command": "deploy", "to": B.sha, "dry_run": "true"}
    with beside_manifest(published(), deploy, **given) as run:
        return summary(run)


def _prune(dry_run: str) -> str:
    world = World()
    for each in (A, B, C, D):
        world.publish(each)
    return summary(world.start("prune", dry_run=dry_run, keep_last="1", keep="commit-000000b"))


def catalog(name: str, *sizes: int) -> Catalog:
    """A service whose commits, the oldest first, have images of these sizes."""
    known: dict[str, Revision] = {}
    listed: list[ListedTag] = []
    for number, size in enumerate(sizes):
        each, at = commit(0x100 + number), START + timedelta(days=number)
        known[each.short] = Revision(each, len(sizes) - number, at, at, f"Change {number}")
        tag = Tag(f"commit-{each.short}")
        listed.append(ListedTag(tag, digest_of(f"{name} {number}"), size, at))
    listed.append(replace(listed[-1], name=Tag("latest")))
    return compile_catalog(service(name), listed, known)


def _tags() -> str:
    return tags.markdown([catalog("shop", 41_000_000, 42_000_000, 90_000_000)])


def _tags_of_many() -> str:
    return tags.markdown(
        [
            catalog("frontend", *range(41_000_000, 61_000_000, 1_000_000)),
            catalog("menu", *[12_000_000] * 20),
            catalog("order", *[80_000_000] * 19, 50_000_000),
        ]
    )


SUMMARIES: dict[str, Callable[[], str]] = {
    "publish": _publish,
    "publish-monorepo": _monorepo,
    "publish-older": _older,
    "publish-dry-run": _dry_run,
    "not-pushed": _not_pushed,
    "no-token": _no_token,
    "broken-off": _broken_off,
    "promote": _promote,
    "rollback": _rollback,
    "rollback-again": _rollback_again,
    "rollback-dry-run": _rollback_dry_run,
    "rollback-manifests": _rollback_with_manifests,
    "deploy": _deploy,
    "deploy-dry-run": _deploy_dry_run,
    "prune": partial(_prune, "false"),
    "prune-dry-run": partial(_prune, "true"),
    "tags": _tags,
    "tags-monorepo": _tags_of_many,
}
"""By the names of the files that hold them."""
