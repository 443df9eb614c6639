from __future__ import annotations

import json

import pytest
from support.runs import SHOP, SOURCE, B

from feastflow_registry.model.images import Published
from feastflow_registry.model.plan import (
    Action,
    Command,
    EditFile,
    Outcome,
    Permission,
    Plan,
    ReuseImage,
)
from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.model.wording import printable
from feastflow_registry.report import deploy
from unit.report.test_summary import HOSTILE, rows

DIGEST = Digest(f"sha256:{'0123456789abcdef' * 4}")
OLD, NEW = f"ada/shop@{DIGEST}", f"ada/shop:commit-1234567@{DIGEST}"
TAG = Tag("commit-1234567")
OWN = Reference(SHOP.repository, TAG)
REUSE = ReuseImage(SHOP, OWN, Published(DIGEST, B, SOURCE, 9))
ONE = EditFile(SHOP, TAG, DIGEST, "k8s/a.yaml", 7, "Deployment/shop", "web", OLD, NEW)
TWO = [
    EditFile(SHOP, TAG, DIGEST, "k8s/b.yaml", line, "Pod/a", "b", "ada/shop", NEW)
    for line in (1, 2)
]


def plan(*edits: EditFile) -> Plan:
    allowed = Permission(False, False, "deploy writes files and pushes nothing")
    return Plan(Command.DEPLOY, B, allowed, (REUSE, *edits))


@pytest.mark.parametrize(
    ("edits", "dry_run", "said"),
    [
        ([ONE], False, "1 image in 1 file changed."),
        ([ONE, *TWO], False, "3 images in 2 files changed."),
        (TWO, True, "2 images in 1 file to change: this was a dry run."),
        ([], True, "Nothing to change: the manifests name these images already."),
    ],
)
def test_what_was_done_is_counted(edits: list[EditFile], dry_run: bool, said: str) -> None:
    done = [Outcome(SHOP, Action.EDITED, OWN, DIGEST, note=edit.file) for edit in edits]
    found = deploy.report(plan(*edits), [] if dry_run else done, dry_run=dry_run)
    assert found.lines[0] == f"✅ shop: {NEW}"
    assert found.lines[-1] == said
    head = found.markdown.splitlines()[0]
    if edits and dry_run:
        assert head == "### ✅ Dry run, nothing is changed: 2 images in 1 file would change"
    else:
        assert head == f"### ✅ {said.removesuffix('.')}; no cluster was touched"
    assert ("Commit the files" in found.markdown) == bool(edits and not dry_run)
    assert ("without <code>dry-run: true</code>" in found.markdown) == bool(edits and dry_run)
    assert f"ada/shop:commit-1234567@{DIGEST}\n```" in found.markdown
    assert ("| file |" in found.markdown) == bool(edits)
    files = "" if dry_run else "\n".join(dict.fromkeys(edit.file for edit in edits))
    assert found.outputs["changed-files"] == files
    assert (found.outputs["pushed"], found.outputs["digest"]) == ("false", str(DIGEST))


def test_each_image_has_its_place_and_both_its_names() -> None:
    found = deploy.report(plan(ONE), [], dry_run=True)
    assert found.lines[1:3] == [
        "📝 k8s/a.yaml:7  web in Deployment/shop",
        "   ada/shop@sha256:0123456789ab… → ada/shop:commit-1234567@sha256:0123456789ab…",
    ]
    [row] = rows(found.markdown)
    assert row[:3] == ["k8s/a.yaml", "7", "web in Deployment/shop"]
    assert "sha256:0123456789ab…" in row[3]
    assert json.loads(found.json)["changes"] == [
        {
            "file": "k8s/a.yaml",
            "line": 7,
            "resource": "Deployment/shop",
            "container": "web",
            "old": OLD,
            "new": NEW,
        }
    ]


def test_the_plan_for_other_jobs_holds_no_user_name() -> None:
    assert "ada" not in deploy.report(plan(ONE), [], dry_run=True).outputs["plan"]


def test_nothing_that_is_written_there_can_forge_a_line_or_a_cell() -> None:
    who = printable(HOSTILE)  # As it is read from a manifest.
    edit = EditFile(SHOP, TAG, DIGEST, HOSTILE, 1, who, who, HOSTILE * 50, HOSTILE)
    assert all(each.isprintable() for each in deploy.edit_lines(plan(edit)))
    [row] = rows(deploy.report(plan(edit), [], dry_run=True).markdown)
    assert len(row) == 5
