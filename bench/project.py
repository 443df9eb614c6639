"""The repository that is published: a Dockerfile of random layers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MARK = "feastflow.bench"
"""The label of every image made here, by which they are found and removed."""
LAYER = "feastflow-bench-layer"

_AUTHOR = ("-c", "user.name=FeastFlow", "-c", "user.email=bench@feastflow.example")


@dataclass
class Project:
    """A working copy on `main`; its layers lie in `layers/`, which git ignores.

    Each project has layers of its own, so that no alternative finds another's in a cache.
    """

    folder: Path
    megabytes: int
    layers: int
    busybox: Path | None = None
    """What all layers but the last one are made with, as installed packages are; else copied."""
    halved: bool = False
    """Whether gzip makes a layer half as large, as it does with the files of programs."""
    commits: int = 0

    def __post_init__(self) -> None:
        self.data.mkdir(parents=True)
        steps = [f"COPY layers/{LAYER}-{number} /" for number in range(self.layers)]
        if self.busybox:
            shutil.copy(self.busybox, self.folder)
            make = ["/busybox", "dd", "if=/dev/urandom", "bs=1000"]
            made = [
                [*make, f"count={self._size // 1000}", f"of=/{n}"] for n in range(self.layers - 1)
            ]
            steps = ["COPY busybox /", *(f"RUN {json.dumps(argv)}" for argv in made), steps[-1]]
        text = "\n".join(["FROM scratch", f"LABEL {MARK}=yes", *steps, 'CMD ["/none"]', ""])
        (self.folder / "Dockerfile").write_text(text)
        (self.folder / ".gitignore").write_text("layers\nbusybox\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit(fresh=self.layers)

    @property
    def data(self) -> Path:
        """The folder of the layers."""
        return self.folder / "layers"

    @property
    def _size(self) -> int:
        """Of a layer, in bytes."""
        return self.megabytes * 1_000_000 // self.layers

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    def commit(self, *, fresh: int) -> None:
        """Make a new commit in which the last `fresh` layers are new."""
        self.commits += 1
        for number in range(self.layers - fresh, self.layers):
            # A new file, not new content: the old one may be linked into a job's workspace.
            path = self.data / f"{LAYER}-{number}"
            path.unlink(missing_ok=True)
            data = os.urandom(self._size)
            path.write_bytes(data[::2].hex().encode() if self.halved else data)
        (self.folder / "page.html").write_text(f"<h1>{self.commits}</h1>\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Page {self.commits}")

    def git(self, *arguments: str) -> str:
        """Run git in the working copy; its output."""
        return git(self.folder, *arguments)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder without anybody's configuration; its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(folder), *_AUTHOR, *arguments],
        env=clean | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
