"""Where nothing may be pushed: a green build, a sentence that says why, no request at all.

One case for each kind of event, as GitHub shapes it; `integration/test_gate.py` has them all. act
hands the secrets even to a fork's pull request, so that it is the program that refuses.
"""

from __future__ import annotations

import html
import re

import pytest
from support import workflows
from support.act import Runner
from support.events import BLOCKED
from support.registries import LocalRegistry
from support.repositories import Project
from support.soak import chosen

# registry-ci.yml starts on the others; these need another `on:`, and nothing else is changed.
TRIGGERS = ("pull_request_target", "workflow_run", "merge_group")


@pytest.mark.parametrize(
    ("case", "secrets"),
    chosen(
        [
            ("a fork", False),  # As on GitHub, where a fork is given none.
            ("pull_request_target of a fork", True),
            ("workflow_run", True),
            ("merge_group", True),
            ("another git tag", True),
        ],
        2,
    ),
)
def test_it_builds_says_why_and_sends_nothing(
    place: LocalRegistry, project: Project, runner: Runner, case: str, secrets: bool
) -> None:
    prepare, describe, reason = BLOCKED[case]
    event = describe(prepare(project))
    text = workflows.caller(place.host, git_tags='"v*,sprint*"')
    if event.name in TRIGGERS:
        text = workflows.triggered_by(text, event.name)
    job = runner.run(project.folder, event, workflow=text, secrets=secrets).ended()
    outputs = job.outputs()
    assert outputs["pushed"] == "false"
    assert outputs["reason"] == reason
    assert outputs["digest"] == outputs["image"] == outputs["tags"] == ""
    assert any(reason in line for line in job.printed), job.readable
    assert any("built" in line for line in job.printed), "it was built all the same"
    assert job.summary.startswith("### ✅ Built and not pushed: commit ")
    assert reason[1:] in re.sub("</?code>", '"', html.unescape(job.summary))
    assert place.proxy.requests == place.realm.requests == ()
    assert place.tags() == {}
