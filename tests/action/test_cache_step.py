"""The step that hands on how GitHub's cache is reached: what it says, and what it hides."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

STEP = Path(__file__).resolve().parents[2] / "cache" / "index.js"
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="it is JavaScript")
TOKEN = {"ACTIONS_RUNTIME_TOKEN": "secret"}


def run(tmp_path: Path, variables: dict[str, str]) -> tuple[str, str]:
    """What the step says, and the outputs that it leaves."""
    output = tmp_path / "output"
    output.touch()
    environ = {"GITHUB_OUTPUT": str(output), **variables}
    node = shutil.which("node") or ""
    ran = subprocess.run([node, STEP], env=environ, check=True, capture_output=True, text=True)
    return ran.stdout, output.read_text()


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"ACTIONS_CACHE_URL": "https://old/"},
        {"ACTIONS_RESULTS_URL": "https://new/", "ACTIONS_CACHE_SERVICE_V2": "True"},
    ],
)
def test_it_hands_on_what_it_is_told_and_hides_the_token(
    tmp_path: Path, others: dict[str, str]
) -> None:
    said, outputs = run(tmp_path, {**TOKEN, **others, "OTHER": "not this"})
    assert said == "::add-mask::secret\n"
    name, _, value = outputs.partition("=")
    assert (name, json.loads(value)) == ("token", {**TOKEN, **others})


@pytest.mark.parametrize("variables", [{}, {"ACTIONS_RUNTIME_TOKEN": ""}])
def test_a_runner_without_a_cache(tmp_path: Path, variables: dict[str, str]) -> None:
    said, outputs = run(tmp_path, variables)
    assert said == (
        "::warning::This runner has no cache, so that no layers are kept in it. "
        "Give the input cache another value, such as registry.\n"
    )
    assert outputs == ""
