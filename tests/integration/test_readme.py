"""The pages show each command as it is: their examples are run here, and compared.

Digits of commits and digests, sizes, times and the registry's host may differ, and nothing else; of
what the builder says stands `…` on a page.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.feastflow import IMAGE, MANIFEST, FeastFlow
from support.many_tags import ImageMaker, commit_days
from support.registries import USER

ROOT = Path(__file__).resolve().parents[2]
DIGITS = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{12}|[0-9a-f]{7})\b")
ROLES = ("AUTHOR", "COMMITTER")
AFTER_THE_PUSH = (
    "tags",
    "promote --to {good} --tag production",
    "rollback",
    "deploy --tag latest --manifests k8s --dry-run",
    "deploy --tag latest --manifests k8s",
    "prune --keep-last 2",
)


def normalize(text: str, *, side_by_side: bool = False) -> str:
    """Name digits in their order, and leave out what every run has its own of.

    `side_by_side`: of several services, whose lines come in any order, they are sorted.
    """
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0][:7], f"<{len(names) + 1}>")

    text = re.sub(r"localhost:\d+/", "", text).replace("&nbsp;", " ")
    text = re.sub(r"(?ms)^((?:Building|Pushing) \S+\n).*?(?=^─)", r"\1  …\n", text)
    text = re.sub(r"\d+\.\d+ [kM]B", "<size>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<time>", text)
    text = re.sub(r" +\d+\.\d s", "", text)  # Which is shown only of what took a while.
    text = re.sub(r"[▁-█]{2,}", "<sizes>", text)
    if side_by_side:
        text = "\n".join(sorted(text.splitlines(), key=lambda line: DIGITS.sub("", line)))
    text = DIGITS.sub(name, text)
    return re.sub(r"[ ═─]+", " ", text).strip()


def shown(page: str, kind: str = "console", section: str = "") -> str:
    """What stands between the fences of one kind, on a page or in one of its sections."""
    text = (ROOT / page).read_text()
    if section:
        text = re.split(rf"(?m)^##+ {re.escape(section)}$", text)[1]
        text = re.split(r"(?m)^## ", text)[0]
    return "\n".join(re.findall(rf"(?ms)^```{kind}\n(.*?)^```", text))


def tell(feastflow: FeastFlow, *lines: str, code: int = 0) -> str:
    """Run commands one after the other, and show them as a page does."""
    told = []
    for line in lines:
        ran = feastflow.run(*shlex.split(line), code=code)
        told.append(f"$ feastflow-registry {line}\n{ran.log}")
    return "\n".join(told)


def arrange(feastflow: FeastFlow, *contexts: str, file: str = "") -> None:
    """Give the frontend another folder, or several copies, and the file that describes them."""
    project = feastflow.machine.project
    for context in contexts:
        (project.folder / context).mkdir(parents=True)
        for name in ("Dockerfile", "busybox"):
            shutil.copy2(project.folder / name, project.folder / context / name)
        shutil.copytree(project.folder / "site", project.folder / context / "site")
    for name in ("Dockerfile", "busybox", "feastflow.yml"):
        (project.folder / name).unlink()
    shutil.rmtree(project.folder / "site")
    project.commit({"feastflow.yml": file} if file else {}, message="Give each its folder")


def follow(feastflow: FeastFlow, script: str, **commits: str) -> None:
    """Run the lines of a script that start git or this program; `commits` by their names in it."""
    followed = 0
    for line in script.splitlines():
        match [commits.get(each, each) for each in shlex.split(line, comments=True)]:
            case ["git", *words]:
                feastflow.machine.project.git(*words)
            case ["feastflow-registry", *words]:
                feastflow.run(*words)
                followed += 1
    assert followed


def test_what_is_shown_of_the_commands_after_the_push(feastflow: FeastFlow) -> None:
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
    told = tell(feastflow, *(each.format(good=commits[0]) for each in AFTER_THE_PUSH))
    assert normalize(shown("docs/after-the-push.md")) == normalize(told)


def test_two_services_are_published_as_the_readme_says(feastflow: FeastFlow) -> None:
    file = shown("README.md", "yaml").partition("services:")
    arrange(feastflow, "frontend/app", "services/pricing", file="".join(file[1:]))
    good = feastflow.commit
    feastflow.run("publish")
    pages = ("frontend/app/site/index.html", "services/pricing/site/index.html")
    feastflow.machine.project.commit(dict.fromkeys(pages, "answers 500"))
    follow(feastflow, shown("README.md", "bash", "By hand"))
    bad = feastflow.commit
    for name in ("feastflow-frontend", "feastflow-pricing"):
        tags = feastflow.place.tags(f"{USER}/{name}")
        assert tags.keys() == {good, bad, bad.replace("commit-", "withdrawn-"), "latest"}
        assert tags["latest"] == tags[good] != tags[bad]


def test_what_is_shown_to_whoever_gets_started(feastflow: FeastFlow) -> None:
    arrange(feastflow, "frontend/app", "services/pricing")
    told = tell(feastflow, "init")
    written = (feastflow.machine.project.folder / "feastflow.yml").read_text()
    assert written == shown("docs/getting-started.md", "yaml", "3. Describe the services")
    feastflow.machine.project.commit(message="Describe the services")
    told += "\n" + tell(feastflow, "publish --dry-run", "publish", "publish")
    page = normalize(shown("docs/getting-started.md"), side_by_side=True)
    assert page == normalize(told, side_by_side=True)


def test_what_is_shown_of_a_service_that_did_not_change(feastflow: FeastFlow) -> None:
    file = "reuse: unchanged\nservices:\n"
    file += "  frontend: {image: feastflow-frontend, context: frontend/app}\n"
    file += "  pricing: {image: feastflow-pricing, context: services/pricing}\n"
    arrange(feastflow, "frontend/app", "services/pricing", file=file)
    feastflow.run("publish")
    feastflow.machine.project.commit({"services/pricing/site/index.html": "Half price\n"})
    told = tell(feastflow, "publish --dry-run", "publish")
    page = normalize(shown("docs/monorepos.md"), side_by_side=True)
    assert page == normalize(told, side_by_side=True)
    feastflow.machine.project.commit({"services/pricing/site/index.html": "Full price\n"})
    summary = feastflow.machine.publish(milestone="sprint3").ended().summary
    table = re.sub(r"localhost:\d+/", "", summary.partition("<details>")[0])
    if kept := os.environ.get("KEEP_SUMMARY"):
        Path(kept).write_text(table)
    assert normalize((ROOT / "docs/pictures/summary.md").read_text()) == normalize(table)


def test_what_is_shown_of_an_image_that_a_check_refuses(feastflow: FeastFlow) -> None:
    told = tell(feastflow, 'publish --check "echo It runs as root.; exit 1"', code=4)
    assert normalize(shown("docs/checks.md")) == normalize(told)
    assert feastflow.tags() == {}


def test_the_six_services_become_a_repository_of_their_own(feastflow: FeastFlow) -> None:
    """Without `make demo`: the registry is that of the tests."""
    lines = shown("examples/monorepo/README.md", "bash").splitlines()
    [begin] = [lines.index(each) for each in lines if each.startswith("cp ")]
    script = "\n".join(["set -e", *lines[begin:]])
    author = {f"GIT_{who}_{what}": "a@b.example" for who in ROLES for what in ("NAME", "EMAIL")}
    environ = feastflow.machine.laptop(FEASTFLOW_REGISTRY=feastflow.place.host)
    environ |= author | {"PATH": f"{Path(sys.executable).parent}:{environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script.replace("publish", "publish --dry-run")],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = re.findall(r"(?m)^build +\S+:commit-\w{7} from (\w+) ", done.stdout)
    assert built == ["frontend", "pricing", "menu", "order", "payment", "delivery"]
    assert len(re.findall(r"(?m)^tag +\S+:sprint3, latest \(new\)$", done.stdout)) == 6


def test_the_scripts_and_scenarios_of_feastflows_guide(feastflow: FeastFlow) -> None:
    page = "docs/from-feastflow-scripts.md"
    project, host = feastflow.machine.project, feastflow.place.host
    scenarios = re.findall(r"(?m)^## (Scenario \d: .*)$", (ROOT / page).read_text())
    first, second, third, fourth = (shown(page, "bash", each) for each in scenarios)
    manifest = shown(page, "yaml", scenarios[3]).replace(f" {USER}/", f" {host}/{USER}/")
    arrange(feastflow, "frontend/app", file=shown(page, "yaml", "Step 1: Describe the image"))
    project.commit({MANIFEST: manifest})
    assert normalize(shown(page)) == normalize(tell(feastflow, "build", "push"))

    good = feastflow.change("a new feature")
    follow(feastflow, first, a1b2c3d=good)
    tags = feastflow.tags()
    assert tags["production"] == tags["sprint3"] == tags[good]
    assert f"{good}@{tags[good]}" in feastflow.manifest()

    bad = feastflow.change("answers 500")
    feastflow.run("publish")
    follow(feastflow, second)
    tags = feastflow.tags()
    assert tags["latest"] == tags[good]
    assert tags[bad.replace("commit-", "withdrawn-")] == tags[bad]

    project.git("switch", "--quiet", "--create", "pricing")
    branch = feastflow.change("a new pricing algorithm")
    project.git("switch", "--quiet", "main")
    follow(feastflow, third)
    assert feastflow.tags().keys() - tags.keys() == {branch}

    follow(feastflow, fourth)
    assert f"{branch}@{feastflow.tags()[branch]}" in feastflow.manifest()
