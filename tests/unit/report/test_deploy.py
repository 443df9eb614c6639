from __future__ import annotations

import pytest
from support.runs import SHOP

from feastflow_registry.kubernetes.workloads import Change, Edit
from feastflow_registry.model.plan import Action
from feastflow_registry.model.references import Digest, Reference, Tag
from feastflow_registry.model.wording import printable
from feastflow_registry.report import deploy
from feastflow_registry.report.results import Result
from unit.report.test_markdown import HOSTILE, rows

DIGEST = Digest(f"sha256:{'0123456789abcdef' * 4}")
OLD, NEW = f"ada/shop@{DIGEST}", f"ada/shop:commit-1234567@{DIGEST}"
RESULT = Result(
    SHOP, Action.REUSED, DIGEST, (Reference(SHOP.repository, Tag("commit-1234567")),), 9, 0.0
)


def edited(*changed: Change, name: str = "k8s/a.yaml") -> Edit:
    return Edit(name, b"", b"", changed, ())


ONE = edited(Change(7, "Deployment/shop", "web", OLD, NEW))
TWO = edited(Change(1, "Pod/a", "b", "ada/shop", NEW), Change(2, "Pod/a", "c", "ada/shop", NEW))


@pytest.mark.parametrize(
    ("edits", "dry_run", "said"),
    [
        ([ONE], False, "1 image in 1 file changed."),
        ([ONE, TWO], False, "3 images in 2 files changed."),
        ([TWO], True, "2 images in 1 file to change: this was a dry run."),
        ([], True, "Nothing to change: the manifests name these images already."),
    ],
)
def test_what_was_done_is_counted(edits: list[Edit], dry_run: bool, said: str) -> None:
    lines = deploy.lines([RESULT], edits, dry_run=dry_run)
    assert lines[0] == f"✅ shop: {NEW}"
    assert lines[-1] == said
    text = deploy.markdown([RESULT], edits, dry_run=dry_run)
    assert text.startswith("### Planned\n" if dry_run else "### Deployed\n")
    assert f"\n{said}\n" in text
    assert ("| file |" in text) == bool(edits)


def test_each_image_has_its_place_and_both_its_names() -> None:
    assert list(deploy.listed([ONE])) == [
        "📝 k8s/a.yaml:7  web in Deployment/shop",
        "   ada/shop@sha256:0123456789ab… → ada/shop:commit-1234567@sha256:0123456789ab…",
    ]
    [row] = rows("\n".join(deploy.table([ONE])))
    assert row[:3] == ["k8s/a.yaml", "7", "web in Deployment/shop"]
    assert "sha256:0123456789ab…" in row[3]
    assert deploy.data([ONE]) == [
        {
            "file": "k8s/a.yaml",
            "line": 7,
            "resource": "Deployment/shop",
            "container": "web",
            "old": OLD,
            "new": NEW,
        }
    ]


def test_nothing_that_is_written_there_can_forge_a_line_or_a_cell() -> None:
    who = printable(HOSTILE, 120)  # As kubernetes reads it.
    edit = edited(Change(1, who, who, HOSTILE * 50, HOSTILE), name=HOSTILE)
    assert all(each.isprintable() for each in deploy.listed([edit]))
    [row] = rows("\n".join(deploy.table([edit])))
    assert len(row) == 5
