"""The workflows that people copy, unchanged but for what a test says."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

SHIPPED = Path(__file__).resolve().parents[2] / "workflows" / "registry-ci.yml"
LAST_INPUT = "          milestone: sprint3\n"
COMMENTED = LAST_INPUT.replace("milestone", "# milestone")
MATRIX = SHIPPED.with_name("registry-ci-matrix.yml")
PLATFORMS = SHIPPED.with_name("registry-ci-platforms.yml")
DEPLOY = SHIPPED.with_name("deploy.yml")
TOKEN = "          token: ${{ secrets.DOCKERHUB_TOKEN }}\n"
PATH = ".github/workflows/registry-ci.yml"

LATER_JOB = """
  later:
    needs: publish
    runs-on: ubuntu-24.04
    steps:
      - id: later
        env:
          PUSHED: ${{ needs.publish.outputs.pushed }}
          DIGEST: ${{ needs.publish.outputs.digest }}
        run: printf 'pushed=%s\\ndigest=%s\\n' "$PUSHED" "$DIGEST" >> "$GITHUB_OUTPUT"
"""


def caller(registry: str, **inputs: str) -> str:
    """The shipped workflow with its milestone, a registry and perhaps more inputs."""
    text = SHIPPED.read_text()
    assert text.count(COMMENTED) == 1, "registry-ci.yml has changed its inputs"
    lines = {"registry": registry, **{name.replace("_", "-"): v for name, v in inputs.items()}}
    more = "".join(f"          {name}: {value}\n" for name, value in lines.items())
    return text.replace(COMMENTED, LAST_INPUT + more)


def with_github_cache(text: str) -> str:
    """Have layers kept in GitHub's cache, as docs/caches.md says."""
    page = (SHIPPED.parents[1] / "docs/caches.md").read_text()
    [before] = re.findall(r"(?m)^- id: cache\n  uses: .*\n", page)
    [given] = re.findall(r"(?m)^    cache: gha\n    cache-token: .*\n", page)
    step = "      # To pin it as well"
    assert text.count(step) == text.count(LAST_INPUT) == 1
    text = text.replace(step, f"{indent(before, ' ' * 6)}{step}")
    return text.replace(LAST_INPUT, LAST_INPUT + indent(given, " " * 6))


def matrix_caller(registry: str, shipped: Path = MATRIX) -> str:
    """The shipped workflow of many runners, with a registry given to each of its jobs."""
    text = shipped.read_text()
    assert text.count(TOKEN) == text.count("uses: feastflow/registry-action@") == 3
    return text.replace(TOKEN, f"{TOKEN}          registry: {registry}\n")


def deploy_caller(registry: str) -> str:
    """The shipped workflow that commits manifests, with a registry.

    act checks out what is there already, but only if a checkout names nothing by itself.
    """
    text, count = re.subn(r"(?m)^          ref: .*\n", "", DEPLOY.read_text())
    assert count == text.count(TOKEN) == 1
    return text.replace(TOKEN, f"{TOKEN}          registry: {registry}\n")


def button(name: str, registry: str) -> str:
    """A shipped workflow that somebody starts, with a registry."""
    text = SHIPPED.with_name(name).read_text()
    text = text.replace("secrets.DOCKERHUB_DELETE_TOKEN", "secrets.DOCKERHUB_TOKEN")
    assert text.count(TOKEN) == text.count("uses: feastflow/registry-action@") > 0
    return text.replace(TOKEN, f"{TOKEN}          registry: {registry}\n")


def with_input(text: str, name: str, value: str) -> str:
    """Give an input that the shipped workflow has another value."""
    changed, count = re.subn(rf"(?m)^(          {name}:) .*$", rf"\1 {value}", text)
    assert count == 1
    return changed


def triggered_by(text: str, event: str) -> str:
    """Start on another event: the only change is below `on:`, and act needs it to start."""
    changed, count = re.subn(r"(?ms)^on:\n.*?\n(?=permissions:)", f"on:\n  {event}:\n\n", text)
    assert count == 1
    return changed


def with_later_job(text: str) -> str:
    """Add a job that reads the outputs of the first."""
    return text.rstrip("\n") + "\n" + LATER_JOB
