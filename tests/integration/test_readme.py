"""The pages show each command as it is: their examples are run here, and compared.

Digits of commits and digests, sizes, times and the registry's host may differ, and nothing else.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.feastflow import IMAGE, FeastFlow
from support.many_tags import ImageMaker, commit_days

PAGE = Path(__file__).resolve().parents[2] / "docs/after-the-push.md"
STORY = (
    "tags",
    "promote --to {good} --tag production",
    "rollback",
    "deploy --tag latest --manifests k8s --dry-run",
    "deploy --tag latest --manifests k8s",
    "prune --keep-last 2",
)


def normalize(text: str) -> str:
    """Name digits in their order, and leave out what every run has its own of."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0][:7], f"<{len(names) + 1}>")

    text = re.sub(r"localhost:\d+/", "", text)
    text = re.sub(r"\d+\.\d+ [kM]B", "<size>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<time>", text)
    text = re.sub(r" +\d+\.\d s", "", text)  # Which is shown only of what took a while.
    text = re.sub(r"[▁-█]{2,}", "<sizes>", text)
    text = re.sub(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12}|[0-9a-f]{7})\b", name, text)
    return re.sub(r"[ ═─]+", " ", text).strip()


def tell(feastflow: FeastFlow) -> str:
    """Publish two commits, and run the commands of the story one after the other."""
    told = []
    [old] = commit_days(feastflow.machine.project, 120, subject="Open the shop")
    stock = ImageMaker(feastflow.place)
    made = (datetime.now(UTC) - timedelta(days=120)).isoformat()
    digest = stock.image("old", size=1_130_000, created=made, repository=IMAGE)
    stock.tag({f"commit-{old}": digest}, repository=IMAGE)
    commits = []
    for page in ("the menu", "the prices"):
        own = feastflow.change(page, message=f"Show {page}")
        commits.append(own.removeprefix("commit-"))
        feastflow.run("publish", "--milestone", "sprint3")
    for line in STORY:
        command = line.format(good=commits[0])
        told.append(f"$ feastflow-registry {command}\n{feastflow.run(*command.split()).log}")
    return "\n".join(told)


def test_what_the_page_shows_is_what_the_commands_say(feastflow: FeastFlow) -> None:
    shown = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert normalize("\n".join(shown)) == normalize(tell(feastflow))
