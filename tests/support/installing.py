"""A runner on which the action installs itself: its folders, its PATH, and what came of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from support.act import ROOT, SHIPPED

FAKE_UV = """#!/bin/sh
echo "$@" > "$0.argv"
while [ "$#" -gt 0 ]; do
  [ "$1" = --target ] && target=$2
  shift
done
mkdir -p "$target"
env > "$target/environ"
touch "$target/made_by_uv.py"
"""
FAKE_PIP = f"""
import os, pathlib, sys
index = pathlib.Path(os.environ["HOME"]).with_name("pip-index")
index.write_text(os.environ.get("PIP_INDEX_URL", ""))
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1])
(target / "bin").mkdir(parents=True)
(target / "made_by_pip.py").touch()
(target / "bin/uv").write_text({FAKE_UV!r})
(target / "bin/uv").chmod(0o755)
"""


@dataclass
class Runner:
    """A runner's folders, and a copy of what it unpacks of the action."""

    folder: Path
    path: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("action", "bin", "home", "tools", "temp"):
            (self.folder / name).mkdir()
        for name in SHIPPED:
            shutil.copy(ROOT / name, self.action)
        self.path = [str(self.folder / "bin"), "/usr/bin", "/bin"]

    @property
    def action(self) -> Path:
        return self.folder / "action"

    @property
    def home(self) -> Path:
        """Where the environments are kept."""
        return self.folder / "tools" / f"feastflow-registry-{os.getuid()}"

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir())

    @property
    def known(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join(self.path),
            "HOME": str(self.folder / "home"),
            "RUNNER_TOOL_CACHE": str(self.folder / "tools"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            **self.environ,
        }

    def put(self, name: str, script: str) -> None:
        """Put a command on the PATH."""
        (self.folder / "bin" / name).write_text(script)
        (self.folder / "bin" / name).chmod(0o755)

    def python(self, *, pip: bool = False) -> str:
        """A Python that has no pip, or one that only says that it was called."""
        folder = self.folder / f"python{pip:d}"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        if pip:
            [site] = folder.glob("lib/python*/site-packages")
            (site / "pip").mkdir()
            (site / "pip/__main__.py").write_text(FAKE_PIP)
        return str(folder / "bin/python")

    def edit(self, name: str, old: str, new: str) -> None:
        """Change this runner's copy of the action."""
        text = (self.action / name).read_text()
        assert old in text
        (self.action / name).write_text(text.replace(old, new))

    def argv(self, *arguments: str, python: str = sys.executable) -> list[str]:
        return [python, "-I", "-S", str(self.action / "bootstrap.py"), *arguments]

    def call(self, *arguments: str, python: str = sys.executable, output: str = "") -> Answer:
        return self._answer(self.argv(*arguments, python=python), "answer", output)

    def simulate(self, patch: str) -> Answer:
        """Run install in a process that believes something else about its machine."""
        bootstrap = str(self.action / "bootstrap.py")
        code = f"import os, runpy, shutil, sys; {patch}\nsys.argv = ['bootstrap.py', 'install']\n"
        code += f"runpy.run_path({bootstrap!r}, run_name='__main__')"
        return self._answer([sys.executable, "-I", "-S", "-c", code], "answer")

    def install(self, python: str = sys.executable) -> Path:
        """Install, which must succeed; the site folder."""
        return self.call("install", python=python).site

    def _answer(self, argv: list[str], name: str, given: str = "") -> Answer:
        output = Path(given or self.folder / f"{name}-{time.monotonic_ns()}")
        done = subprocess.run(
            argv,
            env={**self.known, "GITHUB_OUTPUT": str(output)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = output.read_text().splitlines() if output.is_file() else []
        outputs = dict(line.split("=", 1) for line in lines)
        return Answer(done.returncode, done.stdout, outputs)


@dataclass(frozen=True)
class Answer:
    """What a step said and gave to the runner."""

    code: int
    said: str
    outputs: dict[str, str]

    @property
    def site(self) -> Path:
        """The folder of the packages, which must have been installed."""
        assert self.code == 0, self.said
        return Path(self.outputs["site"])

    @property
    def made_by(self) -> str:
        """Who installed: uv, pip, or nobody but the action itself."""
        found = [path.stem.removeprefix("made_by_") for path in self.site.glob("made_by_*")]
        return "".join(found)

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("::error::")]
