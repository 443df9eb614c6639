"""Layers in GitHub's cache, by the steps that docs/caches.md shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Stack
from support import workflows
from support.act import Runner
from support.registries import LocalRegistry
from support.repositories import MARK, Project
from support.servers.actions_cache import ActionsCache

DOCKERFILE = f"""\
FROM scratch
LABEL {MARK}
COPY --chmod=755 busybox /
RUN ["/busybox", "sh", "-c", "env > /seen"]
"""


@pytest.mark.skipif(not shutil.which("node"), reason="act runs JavaScript by node")
def test_a_step_hands_on_how_it_is_reached_to_the_build_alone(
    place: LocalRegistry,
    project: Project,
    runners: Callable[..., Runner],
    stack: Stack,
    tmp_path: Path,
) -> None:
    stack.give_busybox(tmp_path)
    shutil.copy2(tmp_path / "busybox", project.folder)
    project.commit({"Dockerfile": DOCKERFILE})
    runner = runners("containerd")
    text = workflows.with_github_cache(workflows.caller(place.host, check="env | sort"))
    with ActionsCache() as github:
        told = [f"--env={name}={value}" for name, value in github.service.items()]
        job = runner.run(project.folder, workflow=text, options=("--json", *told)).ended()
        [built] = json.loads(job.outputs()["images"]).values()
        assert built["note"].endswith(" of 2 steps were there, written")
        assert github.scopes() == {"app"}
        assert github.token in job.commands("add-mask")
        printed = "\n".join(job.printed)
        assert "PATH=" in printed  # The check's.
        assert "ACTIONS_RUNTIME_TOKEN" not in printed
