"""A git repository with something small to build, and the bare repository that it is pushed to."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from support.registries import REPOSITORY

PAGE = f"https://github.com/{REPOSITORY}"
MARK = f"feastflow.tests={secrets.token_hex(4)}"
"""The label of every image that this process's tests make, by which they are found and removed."""

DOCKERFILE = f"FROM scratch\nLABEL {MARK}\nCOPY page.html /\n"


class Project:
    """`folder` is a working copy on `main`, `origin` its bare remote; both hold one commit.

    The working copy calls the remote by its address on GitHub, which git takes for the local one.
    """

    def __init__(self, home: Path) -> None:
        self.folder, self.origin = home / "app", home / "origin.git"
        self.commits = 0
        self._head = ""

    @classmethod
    def create(cls, home: Path) -> Project:
        """Make both repositories and the first commit."""
        project = cls(home)
        _git(home, "init", "--quiet", "--template=", "--bare", "-b", "main", str(project.origin))
        _git(home, "init", "--quiet", "--template=", "-b", "main", str(project.folder))
        project.git("remote", "add", "origin", PAGE)
        project.git("config", f"url.{project.origin}.insteadOf", PAGE)
        project.commit({"Dockerfile": DOCKERFILE})
        return project

    def copy(self, home: Path) -> Project:
        """Copy both repositories, which is a lot faster than making them."""
        project = Project(home)
        for old, new in ((self.folder, project.folder), (self.origin, project.origin)):
            shutil.copytree(old, new, symlinks=True)
        config = project.folder / ".git/config"
        config.write_text(config.read_text().replace(str(self.origin), str(project.origin)))
        project.commits = self.commits
        return project

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Run git in the working copy (or `at` another one); its output."""
        self._head = ""
        return _git(at or self.folder, *arguments)

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        if not self._head:
            self._head = self.git("rev-parse", "HEAD")
        return self._head

    def commit(
        self, files: dict[str, str] | None = None, *, message: str = "", push: bool = True
    ) -> str:
        """Commit a new page (and `files`), and push the branch; the commit's sha."""
        self.commits += 1
        page = {"page.html": f"<h1>{self.commits}</h1>\n"}
        for name, text in {**page, **(files or {})}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", message or f"Page {self.commits}")
        if push:
            self.git("push", "--quiet", "--force", "-u", "origin", "HEAD")
        return self.head

    def tag(self, name: str, *, annotated: bool = False, force: bool = False) -> str:
        """Tag HEAD and push the tag; the sha that the ref holds (an annotated tag's own)."""
        options = ["-m", name] if annotated else []
        self.git("tag", *options, *(["-f"] if force else []), name)
        self.git("push", "--quiet", "--force", "origin", f"refs/tags/{name}")
        return self.git("rev-parse", f"refs/tags/{name}")

    def clone(self, folder: Path, *options: str) -> Path:
        """Clone the remote as actions/checkout would: `--depth=1`, say."""
        _git(self.origin, "clone", "--quiet", *options, f"file://{self.origin}", str(folder))
        return folder


def _git(folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A Developer",
        "GIT_AUTHOR_EMAIL": "developer@example.com",
        "GIT_COMMITTER_NAME": "A Developer",
        "GIT_COMMITTER_EMAIL": "developer@example.com",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**clean, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()
