"""dev/release and what stands around the project on GitHub: a release can be made at any commit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TAG = "v0.1.0"
DATED = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n\n### Added\n- All.\n"


def git(folder: Path, *words: str) -> str:
    nobody = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    return subprocess.check_output(["git", *nobody, *words], cwd=folder, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with the project's files as they are here, and a dated changelog."""
    folder = tmp_path / "project"
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        if not name.startswith(("tests/", "bench/")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "CHANGELOG.md").write_text(DATED)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Release")


def release(project: Path, into: str = "made", tag: str = TAG) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(project / "dev/release"), tag, str(project.parent / into)],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_release_has_what_the_commit_has(project: Path) -> None:
    code, said = release(project)
    assert (code, said) == (0, "")
    made = project.parent / "made"
    assert (made / "notes.md").read_text() == "### Added\n- All.\n"

    assets = made / "assets"
    sums = dict(line.split("  ")[::-1] for line in (assets / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in assets.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert sorted(sums) == [
        "feastflow_registry-0.1.0-py3-none-any.whl",
        "registry-action-0.1.0.tar.gz",
        "registry-action.cdx.json",
    ]

    bill = json.loads((assets / "registry-action.cdx.json").read_text())
    locked = re.findall(r"(?m)^([a-z][\w.-]*)==(\S+)", (ROOT / "requirements.txt").read_text())
    assert {(each["name"], each["version"]) for each in bill["components"]} == set(locked)
    assert bill["metadata"]["timestamp"].startswith(git(project, "log", "-1", "--format=%cI")[:4])

    listed = subprocess.check_output(
        ["tar", "--list", "--file", str(assets / "registry-action-0.1.0.tar.gz")], text=True
    )
    assert "registry-action-0.1.0/action.yml" in listed.splitlines()


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("CHANGELOG.md", " - 2026-12-01", "", "move those of Unreleased there"),
        ("CHANGELOG.md", "\n### Added\n- All.\n", "", "move those of Unreleased there"),
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"', "the version 0.2.0"),
        ("docs/releases.md", "action@v0.1.0", "action@v0.0.9", "docs/releases.md names v0.0.9"),
        ("workflows/prune.yml", "action@v0.1.0", "action@v1", "workflows/prune.yml names v1"),
    ],
)
def test_what_disagrees_is_refused(project: Path, file: str, old: str, new: str, said: str) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    commit(project)
    code, output = release(project)
    assert code == 1
    assert said in output
    assert not (project.parent / "made").exists()


def test_changed_files_are_refused(project: Path) -> None:
    (project / "action.yml").write_text("")
    code, said = release(project)
    assert code == 1
    assert "The working copy has changes" in said
